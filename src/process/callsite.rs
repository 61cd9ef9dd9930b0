//! What the call before a return address calls through: it tells a module's own calls of a function from
//! those that merely end up there, by a tail call inside the library.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl};

/// The call instruction that ends at a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSite {
    /// `call stub`, where the stub jumps through a GOT slot.
    Stub,
    /// `call function` of the same module.
    Local,
    /// `call *slot(%rip)`, and on i386 `call *slot` and `call *offset(%register)`.
    Slot(Addr),
    /// `call *%rax` and other computed targets.
    Computed,
}

impl CallSite {
    /// Reads the code before a return address. A tail jump leaves the return address of another function's
    /// call, which is then a local one. `got` is what code of i386 that does not know its own address keeps in
    /// a register, if all goes well.
    pub fn before(memory: &dyn Memory, return_address: Addr, got: Option<Addr>) -> CallSite {
        let mut code = [0; 6];
        if memory
            .read_exact(return_address.offset(-6), &mut code)
            .is_err()
        {
            return CallSite::Computed;
        }
        match code {
            [0xff, modrm, displacement @ ..] => match memory.machine() {
                Machine::Amd64 if modrm == 0x15 => {
                    CallSite::Slot(relative(return_address, displacement))
                }
                Machine::Amd64 => CallSite::Computed,
                Machine::I386 => through_slot(modrm, displacement, got),
            },
            [_, 0xe8, displacement @ ..]
                if is_stub(memory, relative(return_address, displacement)) =>
            {
                CallSite::Stub
            }
            [_, 0xe8, displacement @ ..]
                if is_code(memory, relative(return_address, displacement)) =>
            {
                CallSite::Local
            }
            _ => CallSite::Computed,
        }
    }
}

/// Whether a call instruction ends where `code` does.
pub fn ends_with_call(machine: Machine, code: &[u8]) -> bool {
    // From `call *%rax` to a call through a scaled index with a displacement and a REX prefix.
    (2..=8).any(|length| {
        let Some(from) = code.len().checked_sub(length) else {
            return false;
        };
        let mut decoder = Decoder::new(machine.bits(), &code[from..], DecoderOptions::NONE);
        let instruction = decoder.decode();
        let flow = instruction.flow_control();
        instruction.len() == length
            && matches!(flow, FlowControl::Call | FlowControl::IndirectCall)
            && instruction.code() != Code::Syscall
    })
}

/// Where code that stands at `at` jumps to before it does anything else than move data.
pub fn jumps_on_to(machine: Machine, code: &[u8], at: Addr) -> Option<Addr> {
    let mut decoder = Decoder::with_ip(machine.bits(), code, at.0, DecoderOptions::NONE);
    let mut branches = decoder
        .iter()
        .skip_while(|i| i.flow_control() == FlowControl::Next);
    let jump = branches.next()?;
    let is_jump = jump.flow_control() == FlowControl::UnconditionalBranch;
    is_jump.then(|| Addr(jump.near_branch_target()))
}

/// Whether the code, which stands at `entry`, has a jump back there.
pub fn branches_to(machine: Machine, code: &[u8], entry: Addr) -> bool {
    let mut decoder = Decoder::with_ip(machine.bits(), code, entry.0, DecoderOptions::NONE);
    decoder.iter().any(|instruction| {
        let flow = instruction.flow_control();
        matches!(
            flow,
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        ) && instruction.near_branch_target() == entry.0
    })
}

/// `call` with an operand of this ModRM byte in 32-bit code.
fn through_slot(modrm: u8, displacement: [u8; 4], got: Option<Addr>) -> CallSite {
    let displacement = u32::from_le_bytes(displacement);
    let slot = |base: u64| Addr((base as u32).wrapping_add(displacement).into());
    match (modrm, got) {
        (0x15, _) => CallSite::Slot(slot(0)),
        // Behind 0x94 an index would follow.
        (0x90..=0x93 | 0x95..=0x97, Some(got)) => CallSite::Slot(slot(got.0)),
        _ => CallSite::Computed,
    }
}

fn relative(next: Addr, displacement: [u8; 4]) -> Addr {
    next.offset(i32::from_le_bytes(displacement).into())
}

/// A stub is `jmp *slot(%rip)`, after `endbr64` perhaps, and in mold's after the loading of an index; on i386
/// `jmp *slot` or `jmp *offset(%ebx)`, after `endbr32` perhaps. Its jump may hold one of our int3s.
fn is_stub(memory: &dyn Memory, at: Addr) -> bool {
    let mut code = [0; 12];
    let Ok(got) = memory.read(at, &mut code) else {
        return false;
    };
    let code = &code[..got];
    if memory.machine() == Machine::I386 {
        let code = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfb]).unwrap_or(code);
        return matches!(code, [0xff | 0xcc, 0x25 | 0xa3, ..]);
    }
    let code = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(code);
    let code = if code.starts_with(&[0x41, 0xbb]) {
        code.get(6..).unwrap_or_default()
    } else {
        code
    };
    let code = code.strip_prefix(&[0xf2]).unwrap_or(code);
    matches!(code, [0xff | 0xcc, 0x25, ..])
}

fn is_code(memory: &dyn Memory, at: Addr) -> bool {
    memory.read(at, &mut [0]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{CallSite, branches_to, ends_with_call, jumps_on_to};
    use crate::base::addr::Addr;
    use crate::base::machine::Machine;
    use crate::base::memory::{Memory, Stretch, Unreadable};

    #[track_caller]
    fn check(code: &[u8], expected: CallSite) {
        // The call ends at 0x1010; stubs of every kind stand at 0x1100.
        let mut bytes = vec![0x90; 0x10 - code.len()];
        bytes.extend(code);
        bytes.resize(0x100, 0x90);
        bytes.extend([0xff, 0x25, 1, 2, 3, 4, 0x90, 0x90]);
        bytes.extend([0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xcc, 0x25, 1, 2, 3, 4, 0x90]);
        bytes.resize(0x200, 0x90);
        let memory = Stretch {
            at: Addr(0x1000),
            bytes,
        };
        assert_eq!(
            CallSite::before(&memory, Addr(0x1010), None),
            expected,
            "{code:x?}"
        );
    }

    #[test]
    fn calls_by_their_bytes() {
        check(&[0xff, 0x15, 0x10, 0, 0, 0], CallSite::Slot(Addr(0x1020)));
        check(&[0xe8, 0xf0, 0, 0, 0], CallSite::Stub);
        check(&[0xe8, 0xf8, 0, 0, 0], CallSite::Stub);
        check(&[0xe8, 0x20, 0, 0, 0], CallSite::Local);
        check(&[0xff, 0xd0], CallSite::Computed);
        check(&[0x41, 0xff, 0x54, 0x24, 8], CallSite::Computed);
    }

    #[test]
    fn code_that_jumps_back() {
        let check = |code: &[u8], expected| {
            let found = branches_to(Machine::Amd64, code, Addr(0x1000));
            assert_eq!(found, expected, "{code:x?}");
        };
        check(&[0xff, 0xcf, 0x75, 0xfc, 0xc3], true);
        check(&[0x90, 0xeb, 0xfd], true);
        check(&[0x90, 0xeb, 0xfe], false);
        check(&[0xe8, 0xfb, 0xff, 0xff, 0xff], false);
        check(&[], false);
    }

    #[test]
    fn code_that_jumps_on() {
        let check = |code: &[u8], expected: Option<u64>| {
            let found = jumps_on_to(Machine::Amd64, code, Addr(0x1000));
            assert_eq!(found, expected.map(Addr), "{code:x?}");
        };
        // mov 8(%rsp), %rax; jmp -0x40
        check(&[0x48, 0x8b, 0x44, 0x24, 8, 0xeb, 0xb9], Some(0xfc0));
        check(&[0x74, 0xfc, 0xeb, 0xfa], None);
        check(&[0xc3, 0xeb, 0xfa], None);
        check(&[0xe8, 1, 2, 3, 4, 0xeb, 0xfa], None);
        check(&[0x90, 0x90], None);
        check(&[], None);
    }

    #[test]
    fn code_that_ends_with_a_call() {
        let check = |code: &[u8], expected| {
            assert_eq!(ends_with_call(Machine::Amd64, code), expected, "{code:x?}");
        };
        check(&[0xe8, 1, 2, 3, 4], true);
        check(&[0x90, 0xff, 0xd0], true);
        check(&[0x41, 0xff, 0x94, 0xc4, 1, 2, 3, 4], true);
        check(&[0xff, 0x15, 1, 2, 3, 4], true);
        check(&[0x0f, 0x05], false);
        check(&[0xff, 0xe0], false);
        check(&[0xd0], false);
        check(&[], false);
        check(b"some text", false);
    }

    struct Of386(Stretch);

    impl Memory for Of386 {
        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
            self.0.read(at, buf)
        }

        fn machine(&self) -> Machine {
            Machine::I386
        }
    }

    #[track_caller]
    fn check_32(code: &[u8], expected: CallSite) {
        let mut bytes = vec![0x90; 0x10 - code.len()];
        bytes.extend(code);
        bytes.resize(0x100, 0x90);
        bytes.extend([0xf3, 0x0f, 0x1e, 0xfb, 0xcc, 0xa3, 1, 2, 3, 4, 0x90, 0x90]);
        bytes.resize(0x200, 0x90);
        let memory = Of386(Stretch {
            at: Addr(0x1000),
            bytes,
        });
        let found = CallSite::before(&memory, Addr(0x1010), Some(Addr(0x2000)));
        assert_eq!(found, expected, "{code:x?}");
    }

    #[test]
    fn calls_of_i386() {
        check_32(&[0xff, 0x15, 0x10, 0, 0, 0], CallSite::Slot(Addr(0x10)));
        check_32(
            &[0xff, 0x93, 0xf0, 0xff, 0xff, 0xff],
            CallSite::Slot(Addr(0x1ff0)),
        );
        check_32(&[0xff, 0x94, 0x24, 1, 0, 0], CallSite::Computed);
        check_32(&[0xe8, 0xf0, 0, 0, 0], CallSite::Stub);
        check_32(&[0xe8, 0x20, 0, 0, 0], CallSite::Local);
        check_32(&[0xff, 0x53, 8], CallSite::Computed);
    }
}
