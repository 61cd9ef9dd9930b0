//! One int3 in an address space: what it displaced, and for whom it stands.

use crate::base::addr::Addr;
use crate::plan::{Kind, Tracepoint};
use std::ops::Range;
use std::sync::Arc;

/// The instruction `int3`.
pub const INT3: u8 = 0xcc;

/// A planted int3.
#[derive(Clone, Debug)]
pub struct Breakpoint {
    /// The byte that it displaced.
    pub original: u8,
    /// Where the displaced instruction runs.
    pub slot: Slot,
    /// The general register that a jump or call of i386 finds its GOT slot by, if it does.
    pub base: Option<u8>,
    /// How many were planted before it in its space.
    pub number: u64,
    /// Why it stands here. It stays planted while the module is loaded.
    pub purposes: Vec<Purpose>,
}

/// Where a displaced instruction runs, out of line.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its first byte.
    pub start: Addr,
    /// How many bytes the instruction itself takes; zero when it jumps away for good.
    pub body: usize,
    /// Where the original instruction ends.
    pub next: Addr,
}

/// Why an int3 was planted.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// A call begins here, the return address already pushed: a function's first instruction, a PLT
    /// stub's jump, or a tail jump.
    Entry(Arc<Tracepoint>),
    /// `call *slot(%rip)`: a call begins with this instruction.
    CallSite(Arc<Tracepoint>),
    /// The first instruction of an imported function; a hit counts when the call comes out of the
    /// importing module.
    Callee {
        /// The import.
        point: Arc<Tracepoint>,
        /// Where the importing module lies.
        caller: Range<u64>,
        /// The import's GOT slot in the process.
        slot: Addr,
    },
    /// A traced call returns here.
    Return,
    /// The dynamic linker tells that its list of modules changed (`r_brk`, `<link.h>`).
    LinkMap,
    /// A C++ exception has been caught: what its catcher called is unwound (`__cxa_begin_catch`, Itanium C++ ABI,
    /// exception handling, 2.5.3).
    Caught,
    /// prctl(2) is called, by which programs put themselves into a seccomp sandbox (seccomp(2): without privileges only
    /// after PR_SET_NO_NEW_PRIVS).
    Prctl,
    /// exit(3) is called: what streams hold back is written then (exit(3), "Description").
    Exit,
    /// The dynamic linker has relocated a module and is about to run its initializers, or the program.
    Relocated,
    /// sigaction(3) is called.
    SignalEntry,
    /// A signal action is asked for or set: a `syscall` that makes rt_sigaction(2).
    SignalAction,
    /// A `syscall` that makes clone(2).
    Clone,
    /// A process is about to end (`_exit`, _exit(2)).
    End,
}

impl Purpose {
    /// What is seen here, in the user's words.
    pub fn name(&self) -> String {
        match self {
            Purpose::Entry(point) | Purpose::CallSite(point) | Purpose::Callee { point, .. } => {
                point.symbol.to_string()
            }
            Purpose::Caught => "the catching of exceptions".to_owned(),
            Purpose::Prctl => "prctl".to_owned(),
            Purpose::Exit => "exit".to_owned(),
            Purpose::Return => "the return of a call".to_owned(),
            Purpose::LinkMap => "the loading of libraries".to_owned(),
            Purpose::Relocated => "the beginning of a module".to_owned(),
            Purpose::SignalEntry | Purpose::SignalAction => {
                "the setting of signal actions".to_owned()
            }
            Purpose::Clone => "the making of tasks".to_owned(),
            Purpose::End => "the end of the process".to_owned(),
        }
    }

    /// For which tracepoint.
    pub fn point(&self) -> Option<&Arc<Tracepoint>> {
        match self {
            Purpose::Entry(point) | Purpose::CallSite(point) | Purpose::Callee { point, .. } => {
                Some(point)
            }
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn point_mut(&mut self) -> Option<&mut Arc<Tracepoint>> {
        match self {
            Purpose::Entry(point) | Purpose::CallSite(point) | Purpose::Callee { point, .. } => {
                Some(point)
            }
            Purpose::Return
            | Purpose::LinkMap
            | Purpose::Relocated
            | Purpose::Caught
            | Purpose::Prctl
            | Purpose::Exit
            | Purpose::SignalEntry
            | Purpose::SignalAction
            | Purpose::Clone
            | Purpose::End => None,
        }
    }

    /// It stands at an instruction that uses the GOT slot of an import.
    pub fn uses_slot(&self) -> bool {
        match self {
            Purpose::CallSite(_) => true,
            Purpose::Entry(point) => matches!(point.kind, Kind::Plt { .. }),
            _ => false,
        }
    }
}
