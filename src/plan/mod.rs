//! What the user asked to see: tracepoints, computed from an ELF image, the filters and the
//! prototypes. How a tracepoint is realised is the engine's business.

pub mod filter;

use crate::base::addr::Vaddr;
use crate::proto::Prototype;
use std::sync::Arc;

/// A function that the user asked to see.
#[derive(Debug)]
pub struct Tracepoint {
    /// The module it belongs to: the *caller* for [`Kind::Plt`], the definer for [`Kind::Entry`].
    pub module: Arc<ModuleName>,
    /// The symbol as the file spells it (mangled).
    pub symbol: Arc<str>,
    /// Which calls count as hits.
    pub kind: Kind,
    /// How arguments and result are typed, when anybody knows.
    pub prototype: Option<Arc<Prototype>>,
    /// How often a call comes back.
    pub returns: Returns,
}

/// Which calls of a tracepoint's function count as hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls that the module makes through its import (PLT or GOT), by `-e` and `-l`.
    Plt {
        /// Where the dynamic linker stores the address of the imported function.
        slot: Vaddr,
    },
    /// Every call that arrives at the function's first instruction, by `-x`.
    Entry {
        /// That instruction.
        entry: Vaddr,
    },
}

/// How often one call of a function comes back to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// As functions do.
    Once,
    /// `exit`, `longjmp`, `__cxa_throw`: what stands behind the call may not even be code.
    Never,
    /// `setjmp`, `vfork`, `getcontext`: the first return closes the call, later ones are told apart.
    Again,
}

/// How a module is called, in filters and in lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleName {
    /// `DT_SONAME`, or the file's base name when it has none; the base name for the main program.
    pub name: String,
    /// Where its file is, as the process names it.
    pub path: String,
    /// It is the main program.
    pub is_main: bool,
}
