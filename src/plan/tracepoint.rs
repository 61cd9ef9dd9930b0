//! A function that is traced, and what is known of it before its first call.

use super::capture::Capture;
use super::nesting::Nesting;
use super::sample::Sample;
use crate::base::addr::Vaddr;
use crate::base::machine::Machine;
use crate::proto::types::Type;
use crate::proto::{Param, Prototype};
use std::sync::{Arc, OnceLock};

/// A function that the user asked to see.
#[derive(Clone, Debug)]
pub struct Tracepoint {
    /// The module it belongs to: the *caller* for [`Kind::Plt`], the definer for [`Kind::Entry`].
    pub module: Arc<ModuleName>,
    /// The symbol as the file spells it (mangled).
    pub symbol: Arc<str>,
    /// Which calls count as hits.
    pub kind: Kind,
    /// The types of arguments and result, when they are known.
    pub prototype: Option<Arc<Prototype>>,
    /// What is taken of its calls by the prototype: computed when the first is seen.
    pub capture: OnceLock<Capture>,
    /// How often a call comes back.
    pub returns: Returns,
    /// Whether its calls are wanted with their stacks.
    pub stack: Stack,
}

impl Tracepoint {
    /// Its prototype and what is taken of its calls, when they are known. All of its calls are made by code
    /// for one machine.
    pub fn typed(&self, machine: Machine) -> Option<(&Prototype, &Capture)> {
        let prototype = self.prototype.as_deref()?;
        let capture = self.capture.get_or_init(|| Capture::of(prototype, machine));
        Some((prototype, capture))
    }

    /// Whose the things are that it hands out, if they are tracked.
    pub fn holder(&self) -> Option<Holder> {
        match self.kind {
            Kind::Resource { holder, .. } => Some(holder),
            _ => None,
        }
    }

    /// Which of its calls are seen, if not all.
    pub fn sample(&self) -> Option<&Sample> {
        match &self.kind {
            Kind::Resource { sample, .. } => sample.as_ref(),
            _ => None,
        }
    }

    /// What it does for others of its allocator.
    pub fn nesting(&self) -> Option<Nesting> {
        match self.kind {
            Kind::Resource { nesting, .. } => nesting,
            _ => None,
        }
    }

    /// All that is told of its calls is that they are made.
    pub fn is_told_once(&self) -> bool {
        self.returns == Returns::Unwatched && matches!(self.kind, Kind::Resource { .. })
    }

    /// What its source calls the argument of this number from 0.
    pub fn arg_name(&self, number: usize) -> Option<&str> {
        let params = &self.prototype.as_ref()?.params;
        params.get(number)?.name.as_deref()
    }

    /// What its source calls all of them, as far as any has a name.
    pub fn arg_names(&self) -> Option<Vec<Option<Arc<str>>>> {
        let params = &self.prototype.as_ref()?.params;
        let names = || params.iter().map(|param| param.name.clone());
        names()
            .any(|name| name.is_some())
            .then(|| names().collect())
    }

    /// A function of which nothing is known but these names.
    pub fn with_arg_names(self, names: Vec<Option<Arc<str>>>) -> Tracepoint {
        let params = names.into_iter().map(|name| Param {
            ty: Type::Void,
            name,
            at_return: false,
        });
        let prototype = Prototype::new(&self.symbol, Type::Void, params.collect());
        Tracepoint {
            prototype: Some(Arc::new(prototype)),
            ..self
        }
    }

    /// The same function with this prototype.
    pub fn retyped(self: &Arc<Self>, prototype: Option<Arc<Prototype>>) -> Arc<Tracepoint> {
        let as_ptr = |p: &Option<Arc<Prototype>>| p.as_ref().map(Arc::as_ptr);
        if as_ptr(&prototype) == as_ptr(&self.prototype) {
            return self.clone();
        }
        Arc::new(Tracepoint {
            prototype,
            capture: OnceLock::new(),
            ..(**self).clone()
        })
    }
}

/// Whether the stacks of a tracepoint's calls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// They cost a copy of some KiB each.
    Unwanted,
    /// They are.
    Wanted,
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
    /// Every call of the resolver that chooses the code of an IFUNC, by `-x` with the IFUNC's name.
    Resolver {
        /// Its first instruction.
        entry: Vaddr,
    },
    /// Every call that arrives at the function of this name that the dynamic linker gives to all who
    /// import it, for the tracking of a resource; its calls are not shown.
    Resource {
        /// Its first instruction.
        entry: Vaddr,
        /// The allocator that is known by such functions; its symbol is then that of the C heap's function
        /// that it is called like.
        allocator: Option<&'static str>,
        /// Whose the things are.
        holder: Holder,
        /// Which of its calls are seen, if not all.
        sample: Option<Sample>,
        /// What it does for others of its allocator, if that is known.
        nesting: Option<Nesting>,
    },
    /// A system call, by `-S`.
    SystemCall,
}

/// Whose the things are that a function hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The memory's: every process that shares it can give them back, as a vfork child its maker's blocks.
    Memory,
    /// The process's: children get descriptors of their own.
    Process,
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
    /// As functions do, if it was called: it was named by an address, or others come to it by jumps, and where
    /// the return address would be there may be anything.
    Perhaps,
    /// As functions do, but that is not of interest: its calls cost one stop, not two.
    Unwatched,
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
