//! Call stacks: copied at a stop ([`RawStack`]), unwound later ([`Unwinder`]), kept once
//! ([`Stacks`]), and named when they are asked for ([`Symbolizer`]). All of it works on copies and
//! files; nothing here touches a process.
//!
//! A frame is an address in a file, not in a process: it stays true when the process has gone, and
//! it is the same in the next one, wherever that has mapped the file.

mod call_stack;
mod cfi;
mod data;
mod emulate;
mod function;
pub mod origin;
mod perf_map;
mod raw;
pub mod script;
mod stacks;
mod step;
mod symbolize;
mod symbols;
mod unwind;

use crate::base::addr::Vaddr;
use std::num::NonZeroU32;

pub use crate::base::names;
pub use crate::debug::{Bytes, Module};
pub use crate::sys::root::Root;
pub use call_stack::CallStack;
pub use data::DataNames;
pub use perf_map::PerfMap;
pub use raw::{LeftStack, Moment, RawStack};
pub use script::{ScriptCalls, ScriptLine};
pub use stacks::Stacks;
pub use symbolize::{Location, Progress, Symbolizer};
pub use symbols::{Symbols, streams};
pub use unwind::{CallerRule, End, Unwinder, Unwound};

/// A module of [`Stacks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(NonZeroU32);

/// A stack of [`Stacks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u32);

/// One call of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame {
    /// The file that the code is from; `None` for code from no known file, as compiled at run time.
    pub module: Option<ModuleId>,
    /// The address in the file; without a module, the address in the process. Of a script, its place among
    /// the lines of [`Stacks`].
    pub vaddr: Vaddr,
    /// What the address points at.
    pub kind: FrameKind,
}

/// What the address of a frame points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// The instruction that is run next: the innermost frame, and one that a signal interrupted.
    Exact,
    /// The instruction behind the call.
    Return,
    /// A line that an interpreter runs.
    Script,
    /// No call: the stack goes on from here in an unknown way.
    Cut,
}

impl Frame {
    /// What stands at the end of a stack of which there is more.
    pub const CUT: Frame = Frame {
        module: None,
        vaddr: Vaddr(0),
        kind: FrameKind::Cut,
    };

    /// The address to look up: that of the call, which may be the last instruction of its function
    /// and of its line, for a return address.
    pub fn lookup(&self) -> Vaddr {
        match self.kind {
            FrameKind::Exact | FrameKind::Script | FrameKind::Cut => self.vaddr,
            FrameKind::Return => Vaddr(self.vaddr.0.wrapping_sub(1)),
        }
    }
}

impl ModuleId {
    /// The id of the module of this number, from 1 on, where no one else numbers them.
    pub fn numbered(number: usize) -> ModuleId {
        ModuleId::from_count(number)
    }

    /// The id of the module that makes the table so long. No process has 2^32 of them.
    fn from_count(count: usize) -> ModuleId {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        ModuleId(NonZeroU32::new(count).unwrap_or(NonZeroU32::MAX))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}
