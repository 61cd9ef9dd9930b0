//! Which argument registers a function reads: mangled names do not tell whether there is an object, or room for a result,
//! before what they name. A register that is read before anything is written to it holds an argument.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};
use std::collections::HashMap;

/// So many instructions are looked at for one function. Most of them have written or read all of these registers, or called
/// another function, much earlier.
const INSTRUCTIONS: usize = 2000;
/// So deep functions are followed that are called with registers as they are.
const MOST_DEPTH: usize = 2;

/// The integer argument registers, in their order (psABI 3.2.3).
const REGISTERS: [Register; 6] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
];
const ALL: u8 = 0b11_1111;

/// How many of the argument registers are read, up to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    /// On some way through the function.
    pub(super) surely: u32,
    /// The same, and by whom these may be meant that are left as they are in a call.
    pub(super) perhaps: u32,
}

/// Bits of registers.
#[derive(Clone, Copy, Default)]
struct Seen {
    surely: u8,
    perhaps: u8,
}

/// What is known of code by now.
struct Walk<'c> {
    code: &'c dyn Fn(u64) -> &'c [u8],
    info: InstructionInfoFactory,
    left: usize,
}

/// What the function at an address reads. `code` has the instructions from an address on.
pub(super) fn arguments<'c>(code: &'c dyn Fn(u64) -> &'c [u8], at: u64) -> Reads {
    let mut walk = Walk {
        code,
        info: InstructionInfoFactory::new(),
        left: INSTRUCTIONS,
    };
    let seen = walk.function(at, 0);
    let count = |bits: u8| u8::BITS - bits.leading_zeros();
    Reads {
        surely: count(seen.surely),
        perhaps: count(seen.surely | seen.perhaps),
    }
}

impl Walk<'_> {
    fn function(&mut self, at: u64, depth: usize) -> Seen {
        let mut seen = Seen::default();
        // Where to go on, and what has been written by then.
        let mut ways = vec![(at, 0_u8)];
        let mut been: HashMap<u64, u8> = HashMap::new();
        while let Some((mut at, mut written)) = ways.pop() {
            loop {
                let unknown = ALL & !(written | seen.surely);
                if unknown == 0 {
                    break;
                }
                // Another way that came here with fewer of them written has seen all of this.
                let before = been.entry(at).or_insert(ALL);
                if *before & !written == 0 && *before != ALL {
                    break;
                }
                *before &= written;
                if self.left == 0 {
                    seen.perhaps |= unknown;
                    break;
                }
                self.left -= 1;
                let bytes = (self.code)(at);
                let bytes = &bytes[..bytes.len().min(15)];
                let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
                let instruction = decoder.decode();
                if instruction.is_invalid() {
                    break;
                }
                self.look(&instruction, &mut written, &mut seen);
                let unknown = ALL & !(written | seen.surely);
                match instruction.flow_control() {
                    FlowControl::Next => at = instruction.next_ip(),
                    FlowControl::ConditionalBranch => {
                        ways.push((instruction.near_branch_target(), written));
                        at = instruction.next_ip();
                    }
                    FlowControl::UnconditionalBranch => at = instruction.near_branch_target(),
                    FlowControl::Call if depth < MOST_DEPTH => {
                        let called = self.function(instruction.near_branch_target(), depth + 1);
                        seen.perhaps |= (called.surely | called.perhaps) & unknown;
                        break;
                    }
                    FlowControl::Call | FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                        seen.perhaps |= unknown;
                        break;
                    }
                    _ => break,
                }
            }
        }
        seen
    }

    /// What an instruction reads and writes.
    fn look(&mut self, instruction: &Instruction, written: &mut u8, seen: &mut Seen) {
        let is_pushed =
            instruction.mnemonic() == Mnemonic::Push && instruction.op0_kind() == OpKind::Register;
        let mut now = 0;
        for used in self.info.info(instruction).used_registers() {
            let register = used.register();
            if !register.is_gpr() {
                continue;
            }
            let full = register.full_register();
            let Some(number) = REGISTERS.iter().position(|known| *known == full) else {
                continue;
            };
            let bit = 1 << number;
            let is_read = matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            if is_read && *written & bit == 0 {
                match is_pushed {
                    // It may be there to move the stack pointer only.
                    true => seen.perhaps |= bit,
                    false => seen.surely |= bit,
                }
            }
            if matches!(used.access(), OpAccess::Write | OpAccess::ReadWrite) {
                now |= bit;
            }
        }
        *written |= now;
    }
}
