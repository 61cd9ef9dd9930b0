//! Who tells of code, for what is made of calls: of that of processes, or as a recording has it.

use crate::base::names::Spelling;
use crate::debug::below_roots;
use crate::leak::backtrace::Traces;
use crate::leak::callers;
use crate::sink::demangle::Names;
use crate::sink::recording::Reader;
use crate::sink::sieve::Callers;
use crate::sink::text::backtrace::Shared;
use crate::stack::Symbolizer;
use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

/// Makes those who tell whose code calls, and what led to calls.
#[derive(Clone)]
pub(super) struct Code {
    callers: Rc<dyn Fn() -> Box<dyn Callers>>,
    backtraces: Rc<dyn Fn(Names, usize) -> Shared>,
}

impl Code {
    /// Of processes that are traced.
    pub(super) fn of_processes() -> Code {
        Code {
            callers: Rc::new(|| Box::new(callers::Callers::new(Symbolizer::new(below_roots)))),
            backtraces: Rc::new(|names, most| {
                let traces = Traces::new(Symbolizer::new(below_roots), names, most);
                Rc::new(RefCell::new(traces))
            }),
        }
    }

    /// As a recording tells it.
    pub(super) fn of_recording<R: Read>(reader: &Reader<R>) -> Code {
        let (callers, backtraces) = (reader.callers(), reader.backtraces());
        Code {
            callers: Rc::new(move || Box::new(callers.clone())),
            backtraces: Rc::new(move |names, _| backtraces.named(names)),
        }
    }

    pub(super) fn callers(&self) -> Box<dyn Callers> {
        (self.callers)()
    }

    /// Backtraces of so many calls, if any are wanted, with names written so.
    pub(super) fn backtraces(&self, spelling: Spelling, frames: usize) -> Option<Shared> {
        (frames > 0).then(|| (self.backtraces)(Names::new(spelling), frames))
    }
}
