//! What a run asks of the session, by what it makes of calls: lines, a summary, or reports of leaks.

use super::code::Code;
use crate::base::names::Spelling;
use crate::base::snapshot::SnapshotMethod;
use crate::config::Form;
use crate::leak::tracker::Knowledge;
use crate::plan::resources::Resources;
use crate::proto::library::Library;
use crate::serve::Board;
use crate::sink::Nothing;
use crate::sink::Sink;
use crate::sink::both::Both;
use crate::sink::chrome::Chrome;
use crate::sink::demangle::Names;
use crate::sink::json::Json;
use crate::sink::output::{Destination, Shared};
use crate::sink::page::Page;
use crate::sink::per_process::{Make, PerProcess};
use crate::sink::recording;
use crate::sink::summary::{self, Table};
use crate::sink::text::backtrace::Shared as Backtraces;
use crate::sink::text::{Style, Text};
use crate::sink::tree::Tree;
use crate::sys::front::UserRequests;
use crate::sys::terminal::Terminal;
use crate::sys::user_requests::{self, UserRequest};
use std::io::Write;
use std::sync::Arc;

/// Where the decoded trace goes to, opened.
pub(super) type Out = Box<dyn Write + Send>;

/// Resolved once, before front end and tracer part.
pub(super) trait Mode {
    /// Whether users may ask for something by signals while it goes on.
    fn user_requests(&self) -> UserRequests {
        UserRequests::Unknown
    }

    /// The terminal that it draws on, which the front end puts in order when the tracer cannot.
    fn terminal(&self) -> Option<Terminal> {
        None
    }

    /// What it knows is asked for while it goes on.
    fn serve(&mut self, _: &Arc<Board>) {}

    /// Functions that it needs besides those that the user selected.
    fn resources(&self, _prototypes: &Library) -> Resources {
        Resources::default()
    }

    /// Whether it shows calls that led to one, should any be asked for.
    fn shows_frames(&self) -> bool {
        false
    }

    /// How memory is kept for it.
    fn copying(&self) -> SnapshotMethod {
        SnapshotMethod::default()
    }

    /// Whether it shows what calls were made with.
    fn shows_arguments(&self) -> bool {
        true
    }

    /// Whether it writes while the program runs, so that the order with what that writes matters.
    fn writes_as_it_goes(&self) -> bool {
        false
    }

    /// Whether its output does not show what was lost, so that standard error has to.
    fn hides_losses(&self) -> bool {
        false
    }

    /// What takes the events.
    fn sink(self: Box<Self>, to: &Destination, out: Out, knowledge: Knowledge) -> Box<dyn Sink>;
}

/// A line for each call, and perhaps the table behind them.
pub(super) struct Lines {
    pub(super) style: Style,
    pub(super) counted: Option<Table>,
    pub(super) code: Code,
}

/// For programs to read.
pub(super) struct Machine {
    pub(super) form: Form,
    pub(super) frames: usize,
    pub(super) code: Code,
}

/// Nothing but what is served.
pub(super) struct Quiet;

impl Mode for Quiet {
    fn hides_losses(&self) -> bool {
        true
    }

    fn sink(self: Box<Self>, _: &Destination, _: Out, _: Knowledge) -> Box<dyn Sink> {
        Box::new(Nothing)
    }
}

/// The table of `-c`.
pub(super) struct Summary {
    pub(super) demangle: Spelling,
    pub(super) table: Table,
}

impl Mode for Lines {
    fn user_requests(&self) -> UserRequests {
        match self.counted {
            Some(_) => UserRequests::Heard,
            None => UserRequests::Unknown,
        }
    }

    fn shows_frames(&self) -> bool {
        true
    }

    fn writes_as_it_goes(&self) -> bool {
        true
    }

    fn sink(self: Box<Self>, to: &Destination, out: Out, _: Knowledge) -> Box<dyn Sink> {
        let Lines {
            style,
            counted,
            code,
        } = *self;
        let backtraces = code.backtraces(style.demangle, style.frames);
        let make = move |out: Out| -> Box<dyn Sink> {
            let Some(counted) = &counted else {
                return Box::new(text(&style, &backtraces, out));
            };
            let shared = Shared::new(out);
            let lines = text(&style, &backtraces, Box::new(shared.clone()));
            let table = table(style.demangle, counted, Box::new(shared));
            Box::new(Both(lines, table.without_losses()))
        };
        each(to, out, Box::new(make))
    }
}

impl Mode for Machine {
    fn shows_frames(&self) -> bool {
        true
    }

    fn writes_as_it_goes(&self) -> bool {
        true
    }

    fn sink(self: Box<Self>, to: &Destination, out: Out, _: Knowledge) -> Box<dyn Sink> {
        each(
            to,
            out,
            Box::new(move |out| machine(self.form, &self.code, self.frames, out)),
        )
    }
}

impl Mode for Summary {
    fn user_requests(&self) -> UserRequests {
        UserRequests::Heard
    }

    fn shows_arguments(&self) -> bool {
        false
    }

    fn sink(self: Box<Self>, to: &Destination, out: Out, _: Knowledge) -> Box<dyn Sink> {
        let make =
            move |out: Out| -> Box<dyn Sink> { Box::new(table(self.demangle, &self.table, out)) };
        each(to, out, Box::new(make))
    }
}

/// Lines of calls.
pub(super) fn text(style: &Style, backtraces: &Option<Backtraces>, out: Box<dyn Write>) -> Text {
    let text = Text::new(style.clone(), out);
    match backtraces {
        Some(backtraces) => text.with_backtraces(backtraces.clone()),
        None => text,
    }
}

/// The table of `-c`, written as well when SIGUSR1 comes.
fn table(demangle: Spelling, table: &Table, out: Box<dyn Write>) -> summary::Summary {
    let is_asked = || user_requests::take().any(|request| request == UserRequest::Mark);
    summary::Summary::new(Names::new(demangle), out).with_table(table.clone(), is_asked)
}

/// One output for programs.
pub(super) fn machine(form: Form, code: &Code, frames: usize, out: Out) -> Box<dyn Sink> {
    match form {
        Form::Json => {
            // Names as the source has them.
            let backtraces = code.backtraces(Spelling::Whole, frames);
            Box::new(Json::new(out).with_backtraces(backtraces, frames))
        }
        Form::Page => Box::new(Page::new(Names::new(Spelling::Whole), out)),
        Form::Recording => {
            let backtraces = code.backtraces(Spelling::AsTheyAre, frames);
            let writer = recording::Writer::new(out).with_callers(code.callers());
            Box::new(writer.with_backtraces(backtraces, frames))
        }
        Form::Tree { demangle } => Box::new(Tree::new(Names::new(demangle), out)),
        Form::Chrome => Box::new(Chrome::new(Names::new(Spelling::Whole), out)),
    }
}

/// One sink, or one for each process (`-ff`).
fn each(to: &Destination, out: Out, make: Make) -> Box<dyn Sink> {
    match to {
        Destination::PerProcess(path) => Box::new(PerProcess::new(path.clone(), make)),
        _ => make(out),
    }
}
