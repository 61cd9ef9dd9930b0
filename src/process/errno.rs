//! Where a thread's `errno` is, against its thread pointer: told by the code of `__errno_location`, which is a few
//! instructions in every C library and the only thing about errno that all of them export.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// So many instructions are followed at most.
const MOST_STEPS: usize = 24;
/// How much code of the function is looked at.
pub const MOST_CODE: usize = 96;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Unknown,
    Number(u64),
    /// So far behind the thread pointer.
    Thread(u64),
}

/// The function that is followed.
struct Walk<'m> {
    machine: Machine,
    memory: &'m dyn Memory,
    registers: [Held; 16],
    /// Return addresses, and words that were pushed.
    stack: Vec<Held>,
}

/// The offset of errno from the thread pointer, by the code of `__errno_location` that stands at `at`. `None` before its
/// module is relocated, and for code that is not understood.
pub fn offset(code: &[u8], at: Addr, memory: &dyn Memory) -> Option<i64> {
    let machine = memory.machine();
    let mut walk = Walk {
        machine,
        memory,
        registers: [Held::Unknown; 16],
        stack: Vec::new(),
    };
    let mut decoder = Decoder::with_ip(machine.bits(), code, at.0, DecoderOptions::NONE);
    // i386 code calls another function to learn its own address.
    let mut elsewhere = [0; 8];
    for _ in 0..MOST_STEPS {
        let instruction = decoder.decode();
        let next = match instruction.mnemonic() {
            Mnemonic::Ret => match walk.stack.pop() {
                Some(Held::Number(back)) => back,
                Some(_) => return None,
                None => return walk.result(),
            },
            Mnemonic::Call => {
                walk.stack.push(Held::Number(instruction.next_ip()));
                instruction.near_branch_target()
            }
            _ => {
                walk.step(&instruction)?;
                continue;
            }
        };
        let within = next.checked_sub(at.0).filter(|n| *n < code.len() as u64);
        decoder = match within {
            Some(offset) => {
                let rest = code.get(offset as usize..)?;
                Decoder::with_ip(machine.bits(), rest, next, DecoderOptions::NONE)
            }
            None => {
                memory.read_exact(Addr(next), &mut elsewhere).ok()?;
                Decoder::with_ip(machine.bits(), &elsewhere, next, DecoderOptions::NONE)
            }
        };
    }
    None
}

impl Walk<'_> {
    /// The control block itself is there when the offset has not been stored yet.
    fn result(&self) -> Option<i64> {
        match self.registers[0] {
            Held::Thread(0) => None,
            Held::Thread(offset) => Some(self.machine.sign_extended(offset)),
            _ => None,
        }
    }

    /// Follows one instruction. `None`: it does what such a function never does.
    fn step(&mut self, instruction: &Instruction) -> Option<()> {
        match instruction.mnemonic() {
            Mnemonic::Endbr64 | Mnemonic::Endbr32 | Mnemonic::Nop => {}
            Mnemonic::Push => {
                let pushed = self.operand(instruction, 0);
                self.stack.push(pushed);
            }
            Mnemonic::Pop => {
                let popped = self.stack.pop()?;
                self.store(instruction, popped)?;
            }
            Mnemonic::Mov => {
                let value = self.operand(instruction, 1);
                self.store(instruction, value)?;
            }
            Mnemonic::Lea => {
                let value = self.address(instruction);
                self.store(instruction, value)?;
            }
            Mnemonic::Add => {
                let sum = add(self.operand(instruction, 0), self.operand(instruction, 1));
                self.store(instruction, sum)?;
            }
            Mnemonic::Sub => {
                let difference = match self.operand(instruction, 1) {
                    Held::Number(n) => {
                        let negative = Held::Number(n.wrapping_neg());
                        add(self.operand(instruction, 0), negative)
                    }
                    _ => Held::Unknown,
                };
                self.store(instruction, difference)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn operand(&self, instruction: &Instruction, number: u32) -> Held {
        match instruction.op_kind(number) {
            OpKind::Register => self.register(instruction.op_register(number)),
            OpKind::Memory => self.loaded(instruction),
            _ => match instruction.try_immediate(number) {
                Ok(immediate) => Held::Number(immediate),
                Err(_) => Held::Unknown,
            },
        }
    }

    fn loaded(&self, instruction: &Instruction) -> Held {
        match instruction.segment_prefix() {
            Register::FS | Register::GS => match self.address(instruction) {
                // The control block begins with its own address.
                Held::Number(0) => Held::Thread(0),
                _ => Held::Unknown,
            },
            _ if instruction.memory_base() == self.stack_pointer() => {
                match instruction.memory_displacement64() {
                    0 => self.stack.last().copied().unwrap_or(Held::Unknown),
                    _ => Held::Unknown,
                }
            }
            _ => match self.address(instruction) {
                Held::Number(at) => match self.memory.read_word(Addr(at)) {
                    Ok(word) => Held::Number(word),
                    Err(_) => Held::Unknown,
                },
                _ => Held::Unknown,
            },
        }
    }

    /// The address of a memory operand, segments aside.
    fn address(&self, instruction: &Instruction) -> Held {
        if instruction.memory_index() != Register::None {
            return Held::Unknown;
        }
        let displacement = Held::Number(instruction.memory_displacement64());
        match instruction.memory_base() {
            // Decoded displacements are absolute there.
            Register::None | Register::RIP | Register::EIP => displacement,
            base => self.wrapped(add(self.register(base), displacement)),
        }
    }

    fn register(&self, register: Register) -> Held {
        match register.is_gpr() {
            true => self.registers[register.full_register().number()],
            false => Held::Unknown,
        }
    }

    fn store(&mut self, instruction: &Instruction, value: Held) -> Option<()> {
        let to = instruction.op0_register();
        if instruction.op0_kind() != OpKind::Register || !to.is_gpr() {
            return None;
        }
        self.registers[to.full_register().number()] = self.wrapped(value);
        Some(())
    }

    fn stack_pointer(&self) -> Register {
        match self.machine {
            Machine::Amd64 => Register::RSP,
            Machine::I386 => Register::ESP,
        }
    }

    fn wrapped(&self, held: Held) -> Held {
        let cut = |n: u64| match self.machine {
            Machine::Amd64 => n,
            Machine::I386 => n & u64::from(u32::MAX),
        };
        match held {
            Held::Number(n) => Held::Number(cut(n)),
            Held::Thread(n) => Held::Thread(cut(n)),
            Held::Unknown => Held::Unknown,
        }
    }
}

fn add(one: Held, other: Held) -> Held {
    match (one, other) {
        (Held::Number(a), Held::Number(b)) => Held::Number(a.wrapping_add(b)),
        (Held::Thread(a), Held::Number(b)) | (Held::Number(a), Held::Thread(b)) => {
            Held::Thread(a.wrapping_add(b))
        }
        _ => Held::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::offset;
    use crate::base::addr::Addr;
    use crate::base::machine::Machine;
    use crate::base::memory::{Memory, Unreadable};

    /// Code and slots of a C library.
    struct Library {
        machine: Machine,
        parts: Vec<(u64, Vec<u8>)>,
    }

    impl Memory for Library {
        fn machine(&self) -> Machine {
            self.machine
        }

        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
            let part = self.parts.iter().find_map(|(start, bytes)| {
                let rest = bytes.get(at.0.checked_sub(*start)? as usize..)?;
                (!rest.is_empty()).then_some(rest)
            });
            let part = part.ok_or(Unreadable(at))?;
            let count = part.len().min(buf.len());
            buf[..count].copy_from_slice(&part[..count]);
            Ok(count)
        }
    }

    #[track_caller]
    fn check(machine: Machine, code: &[u8], others: &[(u64, Vec<u8>)], expected: Option<i64>) {
        let library = Library {
            machine,
            parts: others.to_vec(),
        };
        assert_eq!(offset(code, Addr(0x1000), &library), expected);
    }

    #[test]
    fn glibc() {
        // endbr64; mov 0x100(%rip),%rax; add %fs:0,%rax; ret
        let code = b"\xf3\x0f\x1e\xfa\x48\x8b\x05\x00\x01\x00\x00\x64\x48\x03\x04\x25\0\0\0\0\xc3";
        let slot = |n: i64| [(0x110b, n.to_le_bytes().into())];
        check(Machine::Amd64, code, &slot(-0x78), Some(-0x78));
        check(Machine::Amd64, code, &slot(0), None);
        check(Machine::Amd64, code, &[], None);
        // Statically linked: mov $-64,%rax; add %fs:0,%rax; ret
        let code = b"\x48\xc7\xc0\xc0\xff\xff\xff\x64\x48\x03\x04\x25\0\0\0\0\xc3";
        check(Machine::Amd64, code, &[], Some(-64));
    }

    #[test]
    fn musl() {
        // mov %fs:0,%rax; add $0x34,%rax; ret
        let code = b"\x64\x48\x8b\x04\x25\0\0\0\0\x48\x83\xc0\x34\xc3";
        check(Machine::Amd64, code, &[], Some(0x34));
    }

    #[test]
    fn i386() {
        // call 0x2000; add $0x100,%eax; mov -8(%eax),%eax; add %gs:0,%eax; ret
        let code =
            b"\xe8\xfb\x0f\x00\x00\x05\x00\x01\x00\x00\x8b\x80\xf8\xff\xff\xff\x65\x03\x05\0\0\0\0\xc3";
        // mov (%esp),%eax; ret
        let thunk = (0x2000, b"\x8b\x04\x24\xc3\x90\x90\x90\x90".to_vec());
        let slot = (0x1000 + 5 + 0x100 - 8, (-40_i32).to_le_bytes().into());
        check(Machine::I386, code, &[thunk, slot], Some(-40));
    }

    #[test]
    fn code_that_is_not_understood() {
        check(Machine::Amd64, b"\xeb\xfe", &[], None);
        check(Machine::Amd64, b"\xe8\xfb\xff\xff\xff", &[], None);
        check(Machine::Amd64, b"", &[], None);
        check(Machine::Amd64, b"\x48\x89\x00\xc3", &[], None);
        check(Machine::Amd64, b"\x31\xc0\xc3", &[], None);
    }
}
