//! ltrace's lines, one for each call:
//!
//! ```text
//! [PREFIX]NAME(ARG, ARG, ...) <pad> = RESULT[ <SECONDS>]
//! ```
//!
//! The left half is written at the entry of a call, the right one at its return. What has to be
//! written in between closes the half line with `<unfinished ...>`; the return then has a line of its
//! own, `<... NAME resumed> ) = RESULT`, with the arguments that are known only at the return before
//! the `)`. Each call has one end:
//!
//! ```text
//! puts("hi")                   = 3        <... puts resumed> )              = 3
//! exit(3 <no return ...>                  <... read resumed> <no return ...>      its task or program is gone
//! longjmp(0x7ffe40, 1 <unwound ...>       <... qsort resumed> <unwound ...>       longjmp or an exception went past it
//! read(0 <detached ...>                   <... read resumed> <detached ...>       we went, it goes on
//! ```
//!
//! A second return of the same call (setjmp, vfork) is `<... _setjmp resumed again> ) = 1`.

pub mod backtrace;
mod clock;
mod heads;
mod line;
mod style;

pub use clock::Time;
pub use style::{Ends, Style, TaskIdForm, TaskIds};

use super::Sink;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::printable::printable;
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::{self, Tracepoint};
use crate::stack::CallStack;
use crate::value::Value;
use anstyle::{AnsiColor, Style as Paint};
use backtrace::Backtrace;
use clock::Clock;
use heads::Heads;
use line::Line;
use rustc_hash::FxHashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

const TASK: Paint = Paint::new().dimmed();
const FUNCTION: Paint = Paint::new().bold();
const NOTE: Paint = Paint::new().dimmed();
const GOOD: Paint = AnsiColor::Green.on_default();
const BAD: Paint = AnsiColor::Red.on_default();
const SIGNAL: Paint = AnsiColor::Magenta.on_default();
const END: Paint = AnsiColor::Yellow.on_default();

/// ltrace shows -1 for the place where a task ended.
const NOWHERE: Addr = Addr(u64::MAX);

/// However deep the calls, a line is not indented further.
const DEEPEST: usize = 1000;

/// Writes lines.
pub struct Text {
    style: Style,
    out: Box<dyn Write>,
    line: Line,
    clock: Clock,
    heads: Heads,
    tasks: Tasks,
    /// The call whose half line stands at the end of the output.
    half: Option<(CallId, Begun)>,
    /// Calls whose half lines were closed before they ended.
    unfinished: FxHashMap<CallId, Begun>,
    backtraces: Option<backtrace::Shared>,
}

/// What the end of a call has to know of its beginning.
#[derive(Clone, Copy)]
struct Begun {
    /// An argument was shown: the next one needs a comma.
    has_args: bool,
    /// So many arguments are behind us, hidden ones among them.
    args: usize,
    return_address: Addr,
    backtrace: Option<Backtrace>,
}

impl Text {
    /// Lines that go to `out`, each half in a single write.
    pub fn new(style: Style, out: Box<dyn Write>) -> Text {
        Text {
            out,
            line: Line::new(style.coloured).with_charset(style.charset),
            clock: Clock::new(style.time),
            heads: Heads::new(&style),
            tasks: Tasks::default(),
            half: None,
            unfinished: FxHashMap::default(),
            backtraces: None,
            style,
        }
    }

    /// The same with backtraces from there.
    pub fn with_backtraces(self, backtraces: backtrace::Shared) -> Text {
        let backtraces = Some(backtraces);
        Text { backtraces, ..self }
    }

    /// Shows arguments behind so many others, the first after a comma if any of those was shown: whether there is one now.
    fn args(&mut self, point: &Tracepoint, args: &[Value], before: usize, has_args: bool) -> bool {
        let mut any = has_args;
        let mut again = false;
        for (value, number) in args.iter().zip(before..) {
            if *value == Value::Hidden {
                continue;
            }
            match value {
                Value::Again(_) if !again => {
                    self.line.push(" => ");
                    again = true;
                }
                _ if any => self.line.push(", "),
                _ => {}
            }
            if self.style.arg_names
                && let Some(name) = point.arg_name(number)
            {
                self.line.push(&printable(name));
                self.line.push("=");
            }
            self.line.push_value(value);
            any = true;
        }
        any
    }

    /// The right half of a line, from the parenthesis on.
    fn result(&mut self, result: &Value) {
        self.line.push(") ");
        // The column counts from 1, and `=` stands in it.
        self.line.pad_to(self.style.align.saturating_sub(1));
        self.line.push("= ");
        let paint = if says_failure(result) { BAD } else { GOOD };
        self.line.paint_value(paint, result);
    }

    fn elapsed(&mut self, elapsed: Duration) {
        if self.style.elapsed {
            let (seconds, micros) = (elapsed.as_secs(), elapsed.subsec_micros());
            let _ = write!(self.line, " <{seconds}.{micros:06}>");
        }
    }

    /// Goes on with the call where it was left: on its half line, or on a new one.
    fn resume(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Arc<Tracepoint>,
    ) -> Begun {
        if let Some((_, begun)) = self.half.take_if(|(open, _)| *open == id) {
            return begun;
        }
        let unknown = Begun {
            has_args: false,
            args: 0,
            return_address: NOWHERE,
            backtrace: None,
        };
        let begun = self.unfinished.remove(&id).unwrap_or(unknown);
        self.begin(event, begun.return_address, depth);
        self.resumed(point, " resumed> ");
        begun
    }

    fn resumed(&mut self, point: &Arc<Tracepoint>, how: &str) {
        self.line.paint(NOTE, "<... ");
        self.line.paint(FUNCTION, &self.heads.of(point).name);
        self.line.paint(NOTE, how);
    }

    /// Begins a line; the half line that may stand there is closed first.
    fn begin(&mut self, event: &Event, at: Addr, depth: usize) {
        self.interrupt();
        if self.style.task_ids == TaskIds::Always || self.tasks.several {
            let form = self.style.task_id_form;
            // Writing to a line does not fail.
            self.line.painted(TASK, |line| {
                let _ = match form {
                    TaskIdForm::Bracketed => write!(line, "[pid {}]", event.tid),
                    TaskIdForm::Bare => write!(line, "{}", event.tid),
                };
            });
            self.line.push(" ");
        }
        self.clock.show(event.time, &mut self.line);
        if self.style.addresses {
            let _ = write!(self.line, "[{at}] ");
        }
        self.line
            .blanks(self.style.indent.saturating_mul(depth).min(DEEPEST));
    }

    fn unwind(
        &self,
        event: &Event,
        point: &Tracepoint,
        stack: Option<&CallStack>,
    ) -> Option<Backtrace> {
        let (backtraces, stack) = (self.backtraces.as_ref()?, stack?);
        Some(Backtrace {
            stack: backtraces.borrow_mut().unwind(event.pid, stack),
            has_callee: point.kind != plan::Kind::SystemCall,
        })
    }

    /// The calls that led to one, below the line that ends it.
    fn backtrace(&mut self, event: &Event, begun: Begun) {
        if let (Some(backtraces), Some(backtrace)) = (&self.backtraces, begun.backtrace) {
            let mut backtraces = backtraces.borrow_mut();
            let frames = backtraces.frames(event.pid, backtrace, self.style.frames);
            self.line
                .add_lines(|lines| backtrace::write(&frames, lines));
        }
    }

    fn interrupt(&mut self) {
        if let Some((id, begun)) = self.half.take() {
            self.unfinished.insert(id, begun);
            self.line.paint(NOTE, " <unfinished ...>");
            self.line.end();
        }
    }

    /// A line that is not about a call.
    fn note(&mut self, event: &Event, at: Addr, paint: Paint, text: &str) {
        self.begin(event, at, 0);
        self.line.paint(paint, text);
        self.line.end();
    }

    fn show(&mut self, event: &Event) {
        match &event.kind {
            Kind::Call { id, .. } => self.half = self.call(event).map(|begun| (*id, begun)),
            Kind::Return {
                id, depth, point, ..
            } => {
                let begun = self.resume(event, *id, *depth, point);
                self.returned(event, begun);
            }
            Kind::ReturnedAgain {
                point,
                depth,
                return_address,
                result,
            } => {
                self.begin(event, *return_address, *depth);
                self.resumed(point, " resumed again> ");
                self.result(result);
                self.line.end();
            }
            Kind::NoReturn {
                id,
                depth,
                point,
                why,
                ..
            } => {
                if self.half.is_some_and(|(open, _)| open == *id) {
                    self.line.push(" ");
                }
                let begun = self.resume(event, *id, *depth, point);
                self.line.paint(NOTE, no_return(*why));
                self.line.end();
                self.backtrace(event, begun);
            }
            _ => self.show_note(event),
        }
    }

    /// The left half of a line.
    fn call(&mut self, event: &Event) -> Option<Begun> {
        let Kind::Call {
            depth,
            point,
            return_address,
            args,
            stack,
            ..
        } = &event.kind
        else {
            return None;
        };
        self.begin(event, *return_address, *depth);
        self.line.push_line(&self.heads.of(point).call);
        let has_args = self.args(point, args, 0, false);
        Some(Begun {
            has_args,
            args: args.len(),
            return_address: *return_address,
            backtrace: self.unwind(event, point, stack.as_ref()),
        })
    }

    /// The right half, and what stands below the line.
    fn returned(&mut self, event: &Event, begun: Begun) {
        let Kind::Return {
            point,
            out_args,
            result,
            elapsed,
            ..
        } = &event.kind
        else {
            return;
        };
        self.args(point, out_args, begun.args, begun.has_args);
        self.result(result);
        self.elapsed(*elapsed);
        self.line.end();
        self.backtrace(event, begun);
    }

    /// What is no call.
    fn show_note(&mut self, event: &Event) {
        match &event.kind {
            Kind::Signal { signal, ip } if self.style.signals => {
                let text = format!("--- {signal} ({}) ---", signal.description());
                self.note(event, *ip, SIGNAL, &text);
            }
            Kind::Exec { ip } => self.note(event, *ip, END, "--- Called exec() ---"),
            Kind::Exited { status, last } if self.style.ends.show(*last) => {
                self.note(
                    event,
                    NOWHERE,
                    END,
                    &format!("+++ exited (status {status}) +++"),
                );
            }
            Kind::Killed { signal, last } if self.style.ends.show(*last) => {
                self.note(event, NOWHERE, END, &format!("+++ killed by {signal} +++"));
            }
            Kind::Lost { what, .. } | Kind::NoAllocator { what } => {
                self.interrupt();
                self.line.push("ltrace: ");
                self.line.push(&printable(what));
                self.line.end();
            }
            _ => (),
        }
    }
}

impl Sink for Text {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tasks.see(event);
        if let Some(backtraces) = &self.backtraces {
            backtraces.borrow_mut().event(event);
        }
        if !event.kind.is_bookkeeping() {
            self.show(event);
        }
        self.line.write_to(&mut self.out)
    }

    /// Each half would be written by itself.
    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        if call.kind.is_bookkeeping() {
            return Ok(());
        }
        if let Some(begun) = self.call(call) {
            self.returned(returned, begun);
        }
        self.line.write_to(&mut self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.interrupt();
        self.line.write_to(&mut self.out)?;
        self.out.flush()
    }
}

/// Whether there ever were two tasks at a time.
#[derive(Default)]
struct Tasks {
    only: Option<Tid>,
    several: bool,
}

impl Tasks {
    fn see(&mut self, event: &Event) {
        match event.kind {
            Kind::Started { .. } => {
                let other = self.only.replace(event.tid);
                self.several |= other.is_some_and(|other| other != event.tid);
            }
            Kind::Exited { .. } | Kind::Killed { .. } | Kind::Detached => {
                self.only.take_if(|only| *only == event.tid);
            }
            _ => (),
        }
    }
}

fn no_return(why: Why) -> &'static str {
    match why {
        Why::Unwound => "<unwound ...>",
        Why::Gone => "<no return ...>",
        Why::Detached => "<detached ...>",
        Why::Unwatched => "<unwatched ...>",
    }
}

/// The results by which C functions say that they failed. For the colour only: some mean nothing by it.
fn says_failure(result: &Value) -> bool {
    matches!(
        result,
        Value::Signed(-1) | Value::Pointer(Addr(0)) | Value::Failed(..)
    )
}

#[cfg(test)]
mod tests;
