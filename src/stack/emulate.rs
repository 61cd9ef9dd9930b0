//! The way back from code that no call frame information covers, such as some C libraries: what the
//! function will do to the stack until it returns is followed instruction by instruction.
//!
//! Only the stack pointer and what is restored from the stack are of interest. Of each branch both ways
//! are tried, and calls are taken to return; a way is believed when the return address that it leads to
//! stands behind a call.

use super::raw::{RBP, RIP, RSP, RawStack, Registers};
use crate::base::addr::Addr;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashSet;

/// As many instructions are followed in all. Functions that do not return within them are given up.
const INSTRUCTIONS: usize = 1024;

/// Code, as a file has it. Addresses are those of the process.
pub(super) trait Code {
    /// The instructions from an address on; empty where there are none.
    fn code_at(&self, at: u64) -> &[u8];
    /// Whether something may return to this address.
    fn is_return(&self, at: u64) -> bool;
}

/// A way through the function, as far as it was followed.
struct Way {
    at: u64,
    registers: Registers,
}

/// What comes after an instruction.
enum Next {
    /// These instructions.
    At([Option<u64>; 2]),
    /// The caller.
    Return,
    /// Nothing that can be followed.
    Nothing,
}

/// The caller's registers, when this instruction is about to be run.
pub(super) fn until_return(
    at: u64,
    code: &dyn Code,
    raw: &RawStack,
    registers: &Registers,
) -> Option<Registers> {
    let mut ways = vec![Way {
        at,
        registers: registers.clone(),
    }];
    let mut seen = HashSet::new();
    let mut left = INSTRUCTIONS;
    while let Some(mut way) = ways.pop() {
        while left > 0 && seen.insert(way.at) {
            left -= 1;
            let bytes = code.code_at(way.at);
            let bytes = &bytes[..bytes.len().min(15)];
            let mut decoder = Decoder::with_ip(64, bytes, way.at, DecoderOptions::NONE);
            let instruction = decoder.decode();
            match next(&instruction) {
                Next::Return => {
                    if let Some(caller) = returned(&way.registers, code, raw) {
                        return Some(caller);
                    }
                    break;
                }
                Next::At([Some(first), second]) => {
                    if !run(&instruction, raw, &mut way.registers) {
                        break;
                    }
                    way.at = first;
                    if let Some(at) = second {
                        let registers = way.registers.clone();
                        ways.push(Way { at, registers });
                    }
                }
                Next::At([None, _]) | Next::Nothing => break,
            }
        }
    }
    None
}

fn next(instruction: &Instruction) -> Next {
    let behind = Some(instruction.next_ip());
    let target = match instruction.op0_kind() {
        OpKind::NearBranch64 => Some(instruction.near_branch64()),
        _ => None,
    };
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
            Next::At([behind, None])
        }
        FlowControl::UnconditionalBranch => Next::At([target, None]),
        FlowControl::ConditionalBranch => Next::At([behind, target]),
        // A tail call: it leaves the stack as a return does.
        FlowControl::Return | FlowControl::IndirectBranch => Next::Return,
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => {
            Next::Nothing
        }
    }
}

/// What the instruction does to the stack pointer and to registers that callers rely on. False when
/// that cannot be told.
fn run(instruction: &Instruction, raw: &RawStack, registers: &mut Registers) -> bool {
    let known = match instruction.mnemonic() {
        Mnemonic::Push => moved(registers, -8),
        Mnemonic::Pop => pop(instruction.op0_register(), raw, registers),
        Mnemonic::Leave => {
            registers.set(RSP, registers.get(RBP));
            pop(Register::RBP, raw, registers)
        }
        Mnemonic::Add if adjusts(instruction) => moved(registers, immediate(instruction)),
        Mnemonic::Sub if adjusts(instruction) => {
            moved(registers, immediate(instruction).wrapping_neg())
        }
        Mnemonic::Lea if instruction.op0_register() == Register::RSP => {
            let base = number(instruction.memory_base());
            let offset = instruction.memory_displacement64() as i64;
            let plain = instruction.memory_index() == Register::None;
            let from = base.filter(|_| plain).and_then(|base| registers.get(base));
            set_stack_pointer(registers, from, offset)
        }
        Mnemonic::Mov
            if instruction.op0_register() == Register::RSP
                && instruction.op1_kind() == OpKind::Register =>
        {
            let from = number(instruction.op1_register()).and_then(|from| registers.get(from));
            set_stack_pointer(registers, from, 0)
        }
        Mnemonic::Cmp | Mnemonic::Test => Some(()),
        _ => {
            // Whatever it computes, it is not what was restored from the stack.
            if instruction.op_count() > 0
                && instruction.op0_kind() == OpKind::Register
                && let Some(changed) = number(instruction.op0_register().full_register())
            {
                registers.set(changed, None);
            }
            Some(())
        }
    };
    known.is_some() && registers.get(RSP).is_some()
}

fn adjusts(instruction: &Instruction) -> bool {
    instruction.op0_register() == Register::RSP && is_immediate(instruction)
}

fn is_immediate(instruction: &Instruction) -> bool {
    matches!(
        instruction.op1_kind(),
        OpKind::Immediate8to64 | OpKind::Immediate32to64
    )
}

fn immediate(instruction: &Instruction) -> i64 {
    instruction.immediate(1) as i64
}

fn moved(registers: &mut Registers, by: i64) -> Option<()> {
    let from = registers.get(RSP);
    set_stack_pointer(registers, from, by)
}

fn set_stack_pointer(registers: &mut Registers, from: Option<u64>, by: i64) -> Option<()> {
    let to = from?.checked_add_signed(by)?;
    registers.set(RSP, Some(to));
    Some(())
}

fn pop(into: Register, raw: &RawStack, registers: &mut Registers) -> Option<()> {
    let value = raw.read(Addr(registers.get(RSP)?), 8);
    moved(registers, 8)?;
    registers.set(number(into.full_register())?, value);
    Some(())
}

/// The registers of the caller, if there is a return address where the stack pointer points.
fn returned(registers: &Registers, code: &dyn Code, raw: &RawStack) -> Option<Registers> {
    let address = raw.read(Addr(registers.get(RSP)?), 8)?;
    if !code.is_return(address) {
        return None;
    }
    let mut caller = registers.clone();
    caller.keep_callee_saved();
    moved(&mut caller, 8)?;
    caller.set(RIP, Some(address));
    Some(caller)
}

/// Whether these bytes, in front of a return address, end in a call: `call rel32`, or `call` by
/// register or memory in any of its lengths (Intel SDM vol. 2, CALL, `FF /2`).
pub(super) fn ends_in_call(before: &[u8]) -> bool {
    if before.len() >= 5 && before[before.len() - 5] == 0xe8 {
        return true;
    }
    (2..=8)
        .filter(|length| *length <= before.len())
        .any(|length| {
            let bytes = &before[before.len() - length..];
            let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
            let instruction = decoder.decode();
            instruction.len() == length && instruction.flow_control() == FlowControl::IndirectCall
        })
}

/// The DWARF number of a general register (psABI 3.6.2).
fn number(register: Register) -> Option<u16> {
    const ORDER: [Register; 16] = [
        Register::RAX,
        Register::RDX,
        Register::RCX,
        Register::RBX,
        Register::RSI,
        Register::RDI,
        Register::RBP,
        Register::RSP,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];
    let index = ORDER.iter().position(|r| *r == register)?;
    u16::try_from(index).ok()
}
