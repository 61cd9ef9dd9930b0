//! Where code makes a system call of its own.

use super::Image;
use crate::base::addr::Vaddr;
use crate::base::machine::Machine;
use goblin::elf::header::{EM_386, EM_X86_64};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Register};

/// The numbers of a system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// asm/unistd_64.h
    pub(super) amd64: u8,
    /// asm/unistd_32.h
    pub(super) i386: u8,
}

impl Numbers {
    /// `mov $NUMBER, %eax`
    fn loaded(self, machine: Machine) -> [u8; 5] {
        let number = match machine {
            Machine::Amd64 => self.amd64,
            Machine::I386 => self.i386,
        };
        [0xb8, number, 0, 0, 0]
    }
}

/// So many instructions may stand between that and the call.
const MOST: usize = 16;
/// And so many bytes.
const REACH: usize = 96;

impl Image {
    /// The instructions that make this system call.
    pub(super) fn system_calls(&self, bytes: &[u8], numbers: Numbers) -> Vec<Vaddr> {
        let machine = match self.machine {
            EM_X86_64 => Machine::Amd64,
            EM_386 => Machine::I386,
            _ => return Vec::new(),
        };
        let text = self.text(bytes);
        text.flat_map(|(at, code)| calls(machine, numbers, at, code))
            .collect()
    }
}

/// Whether an instruction makes a system call. On i386 the C library calls what the kernel has for that, through
/// the thread's control block (`call *%gs:0x10`).
fn is_system_call(machine: Machine, instruction: &Instruction) -> bool {
    match (machine, instruction.code()) {
        (Machine::Amd64, code) => code == Code::Syscall,
        (Machine::I386, Code::Int_imm8) => instruction.immediate8() == 0x80,
        (Machine::I386, Code::Call_rm32) => instruction.segment_prefix() == Register::GS,
        (Machine::I386, _) => false,
    }
}

fn calls(machine: Machine, numbers: Numbers, at: Vaddr, code: &[u8]) -> Vec<Vaddr> {
    let loaded = numbers.loaded(machine);
    let starts = memchr::memmem::find_iter(code, &loaded);
    let call = |offset: usize| {
        let rest = &code[offset..code.len().min(offset + REACH)];
        let ip = at.0.wrapping_add(offset as u64);
        let decoder = Decoder::with_ip(machine.bits(), rest, ip, DecoderOptions::NONE);
        for instruction in decoder.into_iter().take(MOST) {
            if is_system_call(machine, &instruction) {
                return Some(Vaddr(instruction.ip()));
            }
            if instruction.flow_control() != FlowControl::Next {
                return None;
            }
        }
        None
    };
    starts.filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::{Numbers, calls};
    use crate::base::addr::Vaddr;
    use crate::base::machine::Machine::{self, Amd64, I386};

    const NUMBERS: Numbers = Numbers {
        amd64: 13,
        i386: 174,
    };

    #[track_caller]
    fn check(machine: Machine, code: &[u8], expected: &[u64]) {
        let expected: Vec<Vaddr> = expected.iter().map(|&at| Vaddr(at)).collect();
        assert_eq!(calls(machine, NUMBERS, Vaddr(0x1000), code), expected);
    }

    #[test]
    fn calls_behind_their_number() {
        // As glibc has it, and as musl does with other arguments in between.
        check(Amd64, &[0x90, 0xb8, 13, 0, 0, 0, 0x0f, 0x05], &[0x1006]);
        check(
            Amd64,
            &[0xb8, 13, 0, 0, 0, 0x41, 0xba, 8, 0, 0, 0, 0x0f, 0x05, 0xc3],
            &[0x100b],
        );
        // Another number, a branch, the end of the code.
        check(Amd64, &[0xb8, 14, 0, 0, 0, 0x0f, 0x05], &[]);
        check(Amd64, &[0xb8, 13, 0, 0, 0, 0xc3, 0x0f, 0x05], &[]);
        check(Amd64, &[0xb8, 13, 0, 0, 0], &[]);
    }

    #[test]
    fn calls_of_i386() {
        // As glibc has it, and a static program.
        let number = [0xb8, 174, 0, 0, 0, 0xbe, 8, 0, 0, 0];
        let check_after = |call: &[u8], expected: &[u64]| {
            check(I386, &[&number, call].concat(), expected);
        };
        check_after(&[0x65, 0xff, 0x15, 0x10, 0, 0, 0], &[0x100a]);
        check_after(&[0xcd, 0x80], &[0x100a]);
        // Other calls and interrupts, and the number of x86-64.
        check_after(&[0xff, 0x15, 0x10, 0, 0, 0], &[]);
        check_after(&[0xcd, 0x03], &[]);
        check(I386, &[0xb8, 13, 0, 0, 0, 0xcd, 0x80], &[]);
    }
}
