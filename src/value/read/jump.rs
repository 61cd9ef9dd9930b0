//! Where a `jmp_buf` leads: to the instruction behind the call of setjmp that has filled it.

use super::Reader;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::value::Value;

/// A C library's part of a `jmp_buf`, by the machine's words.
struct Layout {
    /// The number of the saved instruction pointer: the last of `__jmp_buf` (bits/setjmp.h), in musl's too.
    instruction: i64,
    /// glibc hides it: by so much it is rotated to the left, after it was combined with the word that is so far behind
    /// the thread pointer (sysdeps/x86_64/pointer_guard.h, sysdeps/i386/sysdep.h).
    rotated: u32,
    guard: i64,
}

impl Reader<'_> {
    /// A `jmp_buf`, and where it leads if that can be told.
    pub(super) fn jump(&self, at: Addr) -> Value {
        match self.leads_to(at) {
            Some(to) => Value::Leads { at, to, name: None },
            None => Value::Pointer(at),
        }
    }

    fn leads_to(&self, at: Addr) -> Option<Addr> {
        let machine = self.memory.machine();
        let layout = layout(machine);
        let word = |at: Addr| self.memory.read_word(at).ok();
        let saved = word(at.offset(layout.instruction * machine.word() as i64))?;
        let is_there = |at: &u64| *at != 0 && self.memory.read_uint(Addr(*at), 1).is_ok();
        let hidden = || {
            let guard = word(Addr(self.thread_pointer).offset(layout.guard))?;
            let rotated = match machine {
                Machine::Amd64 => saved.rotate_right(layout.rotated),
                Machine::I386 => u64::from((saved as u32).rotate_right(layout.rotated)),
            };
            Some(rotated ^ guard).filter(is_there)
        };
        let to = hidden().or_else(|| Some(saved).filter(is_there))?;
        Some(self.process.caller(Addr(to)))
    }
}

fn layout(machine: Machine) -> Layout {
    match machine {
        Machine::Amd64 => Layout {
            instruction: 7,
            rotated: 17,
            guard: 0x30,
        },
        Machine::I386 => Layout {
            instruction: 5,
            rotated: 9,
            guard: 0x18,
        },
    }
}
