//! The calls that led to one, below its line (`-w`).

use crate::base::Pid;
use crate::event::Event;
use crate::stack::{RawStack, StackId};
use std::cell::RefCell;
use std::rc::Rc;

/// Where backtraces come from.
pub trait Backtraces {
    /// Learns of modules that come and go, and of processes that fork and end.
    fn event(&mut self, event: &Event);

    /// The stack of a call that has just begun.
    fn unwind(&mut self, pid: Pid, raw: &RawStack) -> StackId;

    /// Appends at most so many calls of a stack, each on a line of its own, and an empty line.
    fn write(&mut self, pid: Pid, stack: Backtrace, most: usize, out: &mut String);
}

/// Those of all processes, whichever output shows them.
pub type Shared = Rc<RefCell<dyn Backtraces>>;

/// What is shown of a call's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The stack.
    pub stack: StackId,
    /// It begins with the function that is called, which the line above names.
    pub has_callee: bool,
}
