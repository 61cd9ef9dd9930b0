//! `--serve`: what is known, for those who ask by HTTP while the trace goes on.

use super::mode::Mode;
use super::tell;
use crate::base::names::Spelling;
use crate::error::Error;
use crate::serve::{Board, Server};
use crate::sink::Sink;
use crate::sink::both::Both;
use crate::sink::counts::Counter;
use crate::sink::demangle::Names;
use crate::sys::placement;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where it is told, and what.
pub(super) struct Served {
    server: Server,
    board: Arc<Board>,
}

/// Listens there; no reader is answered yet.
pub(super) fn serve(at: SocketAddr, mode: &mut dyn Mode) -> Result<Served, Error> {
    let board = Arc::new(Board::default());
    let refused = |why| Error::Serve { at, why };
    let server = Server::bind(at, board.clone()).map_err(refused)?;
    if at.port() == 0 {
        tell(&format!("http://{}/", server.address().map_err(refused)?));
    }
    mode.serve(&board);
    Ok(Served { server, board })
}

/// The sink, beside one that counts for those who ask.
pub(super) fn counted(served: Option<Served>, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    let Some(Served { server, board }) = served else {
        return sink;
    };
    let mut server = Some(server);
    let begin = move || {
        if let Some(server) = server.take() {
            server.begin(placement::give_way);
        }
    };
    let counter = Counter::new(board, Names::new(Spelling::Whole), Box::new(begin));
    Box::new(Both(counter, sink))
}
