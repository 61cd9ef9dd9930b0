//! What a run asks of the session, by what it makes of calls: lines, a summary, or reports of leaks.

use crate::base::snapshot::SnapshotMethod;
use crate::debug::below_roots;
use crate::leak::backtrace::Traces;
use crate::leak::tracker::Knowledge;
use crate::plan::resources::Resources;
use crate::proto::library::Library;
use crate::sink::demangle::Names;
use crate::sink::output::Destination;
use crate::sink::per_process::{Make, PerProcess};
use crate::sink::text::backtrace::Shared;
use crate::sink::text::{Style, Text};
use crate::sink::{Sink, summary};
use crate::stack::Symbolizer;
use crate::sys::front::UserRequests;
use crate::sys::terminal::Terminal;
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

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

    /// Functions that it needs besides those that the user selected.
    fn resources(&self, _prototypes: &Library) -> Resources {
        Resources::default()
    }

    /// How many calls that led to one it shows below it.
    fn frames(&self) -> usize {
        0
    }

    /// How memory is kept for it.
    fn copying(&self) -> SnapshotMethod {
        SnapshotMethod::default()
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

/// A line for each call.
pub(super) struct Lines(pub(super) Style);

/// The table of `-c`.
pub(super) struct Summary {
    pub(super) demangle: bool,
}

impl Mode for Lines {
    fn frames(&self) -> usize {
        self.0.frames
    }

    fn writes_as_it_goes(&self) -> bool {
        true
    }

    fn sink(self: Box<Self>, to: &Destination, out: Out, _: Knowledge) -> Box<dyn Sink> {
        let style = self.0;
        let backtraces = backtraces(&style);
        let make = move |out: Out| Box::new(text(&style, &backtraces, out)) as Box<dyn Sink>;
        each(to, out, Box::new(make))
    }
}

impl Mode for Summary {
    fn sink(self: Box<Self>, to: &Destination, out: Out, _: Knowledge) -> Box<dyn Sink> {
        let names = match self.demangle {
            true => Names::demangled,
            false => Names::as_they_are,
        };
        let make = move |out: Out| Box::new(summary::Summary::new(names(), out)) as Box<dyn Sink>;
        each(to, out, Box::new(make))
    }
}

/// Lines of calls.
pub(super) fn text(style: &Style, backtraces: &Option<Shared>, out: Box<dyn Write>) -> Text {
    let text = Text::new(style.clone(), out);
    match backtraces {
        Some(backtraces) => text.with_backtraces(backtraces.clone()),
        None => text,
    }
}

/// What is shown below lines, if anything is.
pub(super) fn backtraces(style: &Style) -> Option<Shared> {
    let names = match style.demangle {
        true => Names::demangled(),
        false => Names::as_they_are(),
    };
    let symbolizer = Symbolizer::new(below_roots);
    let traces = || Traces::new(symbolizer, names, style.frames);
    (style.frames > 0).then(|| Rc::new(RefCell::new(traces())) as Shared)
}

/// One sink, or one for each process (`-ff`).
fn each(to: &Destination, out: Out, make: Make) -> Box<dyn Sink> {
    match to {
        Destination::PerProcess(path) => Box::new(PerProcess::new(path.clone(), make)),
        _ => make(out),
    }
}
