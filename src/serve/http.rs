//! HTTP, as much as readers of profiles and metrics need: GET and HEAD, one request a connection. A reader that is slow, or says
//! too much, is left: a connection has a thread, of which there are a few, and a time.

use super::Board;
use super::answers::{Answer, answer};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Listens, and answers once it is let.
pub struct Server {
    listener: TcpListener,
    board: Arc<Board>,
}

/// So many are answered at once. Others hear that there are too many.
const MOST: usize = 16;
/// A request's head is no longer.
const HEAD: usize = 8 << 10;
const HEADERS: usize = 64;
/// So long may a request take to be said, and an answer to be read.
const TO_SAY: Duration = Duration::from_secs(5);
const TO_READ: Duration = Duration::from_secs(30);

impl Server {
    /// One that listens there.
    pub fn bind(at: SocketAddr, board: Arc<Board>) -> io::Result<Server> {
        let listener = TcpListener::bind(at)?;
        Ok(Server { listener, board })
    }

    /// Where it listens: with the port that it was given, when none was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to answer, in threads that do `first`. Where none can be had, no reader is answered.
    pub fn begin(self, first: fn()) {
        let listen = move || {
            first();
            let open = Arc::new(AtomicUsize::new(0));
            loop {
                match self.listener.accept() {
                    Ok((client, _)) => take(client, &self.board, &open, first),
                    // Too many files are open, or the client has gone.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        // Without it no reader is answered, and all else goes on.
        let _ = thread::Builder::new()
            .name("ltrace serve".to_owned())
            .spawn(listen);
    }
}

/// A place among those that are answered.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take(client: TcpStream, board: &Arc<Board>, open: &Arc<AtomicUsize>, first: fn()) {
    let place = Place(open.clone());
    if open.fetch_add(1, Ordering::Relaxed) >= MOST {
        let answer = Answer::text("503 Service Unavailable", "too many ask at once\n");
        // There is room for this much, or it is not said.
        let _ = client.set_nonblocking(true);
        let _ = (&client).write_all(&head(&answer));
        return;
    }
    let board = board.clone();
    let work = move || {
        let _place = place;
        first();
        // A client that has gone is no matter.
        let _ = serve(client, &board);
    };
    let _ = thread::Builder::new()
        .name("ltrace answer".to_owned())
        .spawn(work);
}

fn serve(mut client: TcpStream, board: &Board) -> io::Result<()> {
    let answer = match request(&mut client)? {
        Ok((_, target)) if target.len() > HEAD => return Ok(()),
        Ok((method, target)) => {
            let mut answer = answer(board, &target);
            let bytes = head(&answer);
            if method == "HEAD" {
                answer.body.clear();
            }
            return write(&mut client, &[bytes, answer.body].concat());
        }
        Err(wrong) => wrong,
    };
    write(&mut client, &[head(&answer), answer.body].concat())
}

/// Method and target of the request, or what is wrong with it.
fn request(client: &mut TcpStream) -> io::Result<Result<(String, String), Answer>> {
    let until = Instant::now() + TO_SAY;
    let mut said = Vec::new();
    loop {
        client.set_read_timeout(Some(rest(until)?))?;
        let mut part = [0; 1024];
        let count = client.read(&mut part)?;
        said.extend_from_slice(&part[..count]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&said) {
            Ok(httparse::Status::Complete(_)) => {
                let method = request.method.unwrap_or_default();
                let target = request.path.unwrap_or_default();
                return Ok(match method {
                    "GET" | "HEAD" => Ok((method.to_owned(), target.to_owned())),
                    _ => Err(Answer::text(
                        "405 Method Not Allowed",
                        "GET and HEAD are understood\n",
                    )),
                });
            }
            Ok(httparse::Status::Partial) if count > 0 && said.len() < HEAD => {}
            Ok(httparse::Status::Partial) if count == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            _ => return Ok(Err(Answer::text("400 Bad Request", "this is no request\n"))),
        }
    }
}

fn head(answer: &Answer) -> Vec<u8> {
    let Answer { status, kind, body } = answer;
    let length = body.len();
    let allow = if status.starts_with("405") {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

fn write(client: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let until = Instant::now() + TO_READ;
    while !bytes.is_empty() {
        client.set_write_timeout(Some(rest(until)?))?;
        match client.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    client.flush()
}

/// What is left of a time.
fn rest(until: Instant) -> io::Result<Duration> {
    let rest = until.checked_duration_since(Instant::now());
    rest.filter(|rest| !rest.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}
