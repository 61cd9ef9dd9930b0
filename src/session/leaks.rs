//! A run with `--leaks`: reports or the view, and lines of calls if any were asked for besides.

use super::code::Code;
use super::live_system::LiveSystem;
use super::mode::{Mode, Out, text};
use super::screen::OnTerminal;
use crate::base::snapshot::SnapshotMethod;
use crate::config::Leaks;
use crate::debug::below_roots;
use crate::error::Error;
use crate::leak::book::Book;
use crate::leak::kinds::Kinds;
use crate::leak::leak_sink::{HeapReaders, LeakSink, Setup};
use crate::leak::progress::Progress;
use crate::leak::symbols::Namer;
use crate::leak::tracker::Knowledge;
use crate::leak::view::View;
use crate::leak::{functions, output};
use crate::plan::resources::Resources;
use crate::proto::library::Library;
use crate::serve::Board;
use crate::sink::Sink;
use crate::sink::behind::Behind;
use crate::sink::both::Both;
use crate::sink::output::{Destination, Shared};
use crate::sink::text::{Style, Text};
use crate::stack::Symbolizer;
use crate::sys::front::UserRequests;
use crate::sys::terminal::Terminal;
use crate::sys::{interrupt, placement};
use std::io::{self, Write};
use std::sync::Arc;

/// Everything that was asked for, and what it is drawn on.
pub(super) struct LeakMode {
    leaks: Leaks,
    kinds: Arc<Kinds>,
    drawn: Drawn,
    readers: Option<Arc<dyn HeapReaders>>,
}

/// What is drawn on the terminal, besides lines.
enum Drawn {
    Nothing,
    /// How far something is that takes long.
    Bars,
    View(Terminal),
}

impl LeakMode {
    /// Files that cannot be written are an error now. The terminal is looked for before the tracer is in a process
    /// group of its own, which is never in the foreground.
    pub(super) fn new(leaks: &Leaks) -> Result<LeakMode, Error> {
        output::try_files(&leaks.options.files)?;
        let kinds = Arc::new(Kinds::new(&leaks.options.sets)?);
        let drawn = match leaks.view.and_then(|_| Terminal::ours()) {
            Some(terminal) => Drawn::View(terminal),
            None if Terminal::can_draw() => Drawn::Bars,
            None => Drawn::Nothing,
        };
        Ok(LeakMode {
            leaks: leaks.clone(),
            kinds,
            drawn,
            readers: None,
        })
    }
}

impl Mode for LeakMode {
    fn user_requests(&self) -> UserRequests {
        UserRequests::Heard
    }

    fn terminal(&self) -> Option<Terminal> {
        match &self.drawn {
            Drawn::View(terminal) => Some(terminal.clone()),
            Drawn::Bars | Drawn::Nothing => None,
        }
    }

    fn serve(&mut self, board: &Arc<Board>) {
        board.expect_heaps();
        self.readers = Some(board.clone());
    }

    fn resources(&self, prototypes: &Library) -> Resources {
        functions::resources(&self.kinds, &self.leaks.options, prototypes)
    }

    fn copying(&self) -> SnapshotMethod {
        self.leaks.options.snapshot_method
    }

    fn shows_frames(&self) -> bool {
        self.leaks.lines.is_some()
    }

    fn hides_losses(&self) -> bool {
        !matches!(self.drawn, Drawn::View(_))
    }

    fn sink(self: Box<Self>, _: &Destination, out: Out, knowledge: Knowledge) -> Box<dyn Sink> {
        let Leaks {
            options,
            suppressions,
            lines,
            view,
        } = self.leaks;
        let (bars, terminal): (Option<Box<dyn Write>>, _) = match self.drawn {
            Drawn::Nothing => (None, None),
            Drawn::Bars => (Some(Box::new(io::stderr())), None),
            Drawn::View(terminal) => (None, Some(terminal)),
        };
        let view = view
            .zip(terminal)
            .map(|(look, terminal)| View::new(Box::new(OnTerminal::new(terminal)), look));
        let (out, lines) = outputs(lines, out);
        let setup = Setup {
            readers: self.readers,
            options,
            kinds: self.kinds,
            knowledge,
            suppressions: Arc::new(suppressions),
            book: Book::default(),
            system: Box::new(LiveSystem),
            out,
            progress: Progress::new(bars),
            give_way: placement::give_way,
            view,
        };
        let leaks = LeakSink::new(setup, Namer::new(Symbolizer::new(below_roots)));
        match lines {
            Some(text) => Box::new(Both(text, leaks)),
            None => Box::new(leaks),
        }
    }
}

/// Where reports go, and lines of calls with them if they are wanted.
fn outputs(lines: Option<Style>, out: Out) -> (Behind, Option<Text>) {
    let unwanted = interrupt::is_unwanted;
    let Some(style) = lines else {
        return (Behind::new(out, unwanted), None);
    };
    let shared = Shared::new(out);
    let backtraces = Code::of_processes().backtraces(style.demangle, style.frames);
    let text = text(&style, &backtraces, Box::new(shared.clone()));
    (Behind::shared(Box::new(shared), unwanted), Some(text))
}
