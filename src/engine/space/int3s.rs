//! The int3s of an address space: planted, found again and taken out, with the slots where displaced instructions run.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::message;
use crate::engine::instrument::int3::breakpoint::{Breakpoint, INT3, Purpose, Slot};
use crate::engine::instrument::int3::displaced::{self, SLOT};
use crate::engine::instrument::int3::guard;
use crate::engine::space::Space;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use std::ops::Range;

/// Why an int3 cannot be planted at an address.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no code there.
    #[error("there is no code at {0}")]
    NoCode(Addr),
    /// The code there cannot be read.
    #[error("the code at {0} cannot be read")]
    Unreadable(Addr),
    /// A breakpoint that is not ours stands there.
    #[error("at {0} the program has a breakpoint instruction of its own")]
    NotOurs(Addr),
    /// The instruction there cannot run elsewhere.
    #[error("the instruction at {0} cannot be moved")]
    Unmovable(Addr),
    /// No page for slots could be mapped near it.
    #[error("no memory for displaced instructions can be had in the process: {0}")]
    NoRoom(String),
    /// The guard's table is full.
    #[error("a program can hold {} breakpoints, and this one does", guard::MOST)]
    Full,
    /// The process's memory cannot be written.
    #[error("cannot write to the process's memory at {at}: {}", message(why))]
    Unwritable {
        /// Where.
        at: Addr,
        /// Why.
        why: std::io::Error,
    },
}

/// Where a task really is, whose instruction pointer is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// Before the displaced instruction: at the breakpoint.
    Before(Addr),
    /// After it.
    After(Addr),
    /// In the middle of a displaced call, its return address pushed: at the breakpoint, one word up.
    Pushed(Addr),
}

impl Space {
    /// The breakpoint planted at an address.
    pub fn breakpoint(&self, at: Addr) -> Option<&Breakpoint> {
        self.breakpoints.get(&at.0)
    }

    /// Puts back what stood there before our int3s.
    pub(super) fn without_int3s(&self, at: Addr, code: &mut [u8]) {
        let end = at.0.saturating_add(code.len() as u64);
        for (there, breakpoint) in self.breakpoints.range(at.0..end) {
            code[(there - at.0) as usize] = breakpoint.original;
        }
    }

    /// Plants an int3, or adds a purpose to the one that is there. The slot is complete before the int3
    /// stands, so that no task can ever hit one without the other. `stopped` is any task of the space in
    /// a stop that no signal of the program's own caused.
    pub fn plant(&mut self, stopped: &Stopped, at: Addr, purpose: Purpose) -> Result<(), Refused> {
        if let Some(breakpoint) = self.breakpoints.get_mut(&at.0) {
            breakpoint.purposes.push(purpose);
            return Ok(());
        }
        if !self.is_code(at) {
            return Err(Refused::NoCode(at));
        }
        self.memory.write_by(stopped);
        if self.guard.is_none() {
            self.guard = Some(self.install_guard(stopped));
        }
        if matches!(&self.guard, Some(Ok(guard)) if guard.is_full()) {
            return Err(Refused::Full);
        }
        let recorder = self.recorder.as_ref();
        if recorder.is_some_and(|recorder| recorder.is_inside_patch(at)) {
            return Err(Refused::Unmovable(at));
        }
        // As it stands, with what is led to stubs: that is what runs behind the int3.
        let mut code = [0; displaced::LONGEST];
        let got = self.memory.read(at, &mut code).unwrap_or(0);
        let code = &mut code[..got];
        self.without_int3s(at, code);
        let original = *code.first().ok_or(Refused::Unreadable(at))?;
        if original == INT3 {
            return Err(Refused::NotOurs(at));
        }
        let (area, start) = self.room(stopped, at)?;
        let machine = self.memory.machine();
        let displaced =
            displaced::displace(machine, code, at, Addr(start)).ok_or(Refused::Unmovable(at))?;
        self.write(Addr(start), &displaced.code)?;
        self.take_slot(area, start, at);
        if let Some(Ok(guard)) = &mut self.guard {
            guard
                .cover(&self.memory, at, Addr(start), original)
                .map_err(|why| Refused::Unwritable { at, why })?;
        }
        self.write(at, &[INT3])?;
        // An instruction that holds an int3 makes no system calls any more.
        self.remote.take_if(|remote| remote.uses(at));
        let slot = Slot {
            start: Addr(start),
            body: displaced.body,
            next: displaced.next,
        };
        self.breakpoints.insert(
            at.0,
            Breakpoint {
                original,
                slot,
                base: displaced.base,
                number: self.planted,
                purposes: vec![purpose],
            },
        );
        self.planted += 1;
        Ok(())
    }

    /// Forgets the int3s of a module that is no longer mapped, and what stood for its imports elsewhere.
    pub(super) fn forget_int3s(&mut self, range: &Range<u64>) {
        let areas = &mut self.areas;
        self.breakpoints.retain(|at, breakpoint| {
            let keep = !range.contains(at);
            if !keep
                && let Some(area) = areas
                    .iter_mut()
                    .find(|a| a.contains(breakpoint.slot.start.0))
            {
                area.free.push(breakpoint.slot.start.0);
            }
            keep
        });
        for breakpoint in self.breakpoints.values_mut() {
            breakpoint
                .purposes
                .retain(|p| !matches!(p, Purpose::Callee { caller, .. } if caller == range));
        }
    }

    /// Takes every int3 out of the memory, where it still stands. The slots stay: a task may be in one.
    pub(super) fn remove_int3s(&mut self) {
        for (at, breakpoint) in std::mem::take(&mut self.breakpoints) {
            // Twice, as an int3 that stays kills the program; nothing better can be done for a page that has
            // become unwritable meanwhile.
            let _ = lift(&self.memory, Addr(at), breakpoint.original)
                || lift(&self.memory, Addr(at), breakpoint.original);
        }
    }

    /// Where a task really is, when its instruction pointer is in one of our slots.
    pub fn original(&self, rip: u64) -> Option<Original> {
        let area = self.areas.iter().find(|a| a.contains(rip))?;
        let offset = (rip - area.start) as usize;
        let at = *area.slots.get(offset / SLOT)?;
        let slot = self.breakpoints.get(&at.0)?.slot;
        Some(match offset % SLOT {
            0 => Original::Before(at),
            inside if slot.body != 0 && inside >= slot.body => Original::After(slot.next),
            _ => Original::Pushed(at),
        })
    }

    fn write(&self, at: Addr, bytes: &[u8]) -> Result<(), Refused> {
        self.memory
            .write(at, bytes)
            .map_err(|why| Refused::Unwritable { at, why })
    }
}

/// Takes one int3 out, and says whether none stands there now.
fn lift(memory: &ProcessMemory, at: Addr, original: u8) -> bool {
    let mut byte = [0];
    match memory.read(at, &mut byte) {
        Ok(_) => byte[0] != INT3 || memory.write(at, &[original]).is_ok(),
        Err(_) => false,
    }
}
