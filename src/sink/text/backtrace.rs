//! The calls that led to one (`-w`): where they come from, and as lines below its own.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::event::Event;
use crate::stack::{CallStack, StackId};
use serde::Serialize;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

/// Where backtraces come from.
pub trait Backtraces {
    /// Learns of modules that come and go, and of processes that fork and end.
    fn event(&mut self, event: &Event);

    /// The stack of a call that has just begun.
    fn unwind(&mut self, pid: Pid, stack: &CallStack) -> StackId;

    /// At most so many calls of a stack, innermost first.
    fn frames(&mut self, pid: Pid, backtrace: Backtrace, most: usize) -> Vec<Frame>;
}

/// Those of all processes, whichever output shows them.
pub type Shared = Rc<RefCell<dyn Backtraces>>;

/// A call's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The stack.
    pub stack: StackId,
    /// It begins with the function that is called, which is told anyway.
    pub has_callee: bool,
}

/// One call that led to another.
#[derive(Clone, Debug, Serialize)]
pub struct Frame {
    /// Where it goes on, in the process; a script's has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Addr>,
    /// The same in the file.
    #[serde(flatten)]
    pub place: Arc<Place>,
}

/// A place in a file of code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The file; `...` where it is not known how the stack goes on.
    pub module: String,
    /// The symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// How far behind the symbol, or into the file where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Its source: what was inlined there first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
}

/// A line of source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Source {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The function that was inlined there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inlined: Option<String>,
}

/// Appends the calls as ltrace's lines, and an empty one:
///
/// ```text
///  > /usr/bin/prog(main+0x14) [0x563af050517d]
/// <TAB>prog.c:58:16
/// ```
pub(super) fn write(frames: &[Frame], out: &mut String) {
    for Frame { address, place } in frames {
        // Writing to a text does not fail.
        let _ = write!(out, " > {}", place.module);
        match (&place.function, place.offset) {
            (None, None) => {}
            (function, offset) => {
                let _ = write!(out, "({}", function.as_deref().unwrap_or_default());
                let _ = offset.map(|offset| write!(out, "+{offset:#x}"));
                out.push(')');
            }
        }
        let _ = address.map(|at| write!(out, " [{at}]"));
        out.push('\n');
        for source in &place.source {
            let _ = write!(out, "\t{}", source.file);
            let _ = source.line.map(|line| write!(out, ":{line}"));
            let _ = source.column.map(|column| write!(out, ":{column}"));
            if let Some(function) = &source.inlined {
                let _ = write!(out, " {function} (inlined)");
            }
            out.push('\n');
        }
    }
    out.push('\n');
}
