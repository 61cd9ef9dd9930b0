//! The instruction that an int3 displaced, rewritten to run at another place.
//!
//! A slot holds that one instruction and a jump back, so that going on past a breakpoint is nothing but
//! setting the instruction pointer to the slot: the int3 is never lifted and no thread is ever stepped.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, MemoryOperand, OpKind, Register,
};

/// Room that one slot takes: a pushed return address, a jump through memory out of
/// reach and its literal are the longest content.
pub const SLOT: usize = 64;

/// The longest instruction there is (Intel SDM vol. 2, 2.3.11).
pub const LONGEST: usize = 15;

/// A displaced instruction, ready to be written to its slot.
#[derive(Debug, PartialEq, Eq)]
pub struct Displaced {
    /// The slot's bytes.
    pub code: Vec<u8>,
    /// Where the original instruction ends.
    pub next: Addr,
    /// How many bytes of the slot the instruction itself takes, when the task can be put back to the
    /// original text after it; zero when it leaves for good.
    pub body: usize,
    /// The general register, by its number, whose content and a displacement are the address of what a jump
    /// or call of i386 goes through.
    pub base: Option<u8>,
}

/// Rewrites the instruction at the head of `code`, which stands at `at`, to run at `slot`. `None` when it
/// cannot be decoded or moved.
pub fn displace(machine: Machine, code: &[u8], at: Addr, slot: Addr) -> Option<Displaced> {
    let original = Decoder::with_ip(machine.bits(), code, at.0, DecoderOptions::NONE).decode();
    if original.is_invalid() {
        return None;
    }
    let next = original.next_ip();
    let back = jump_to(machine, next)?;
    let (instructions, leaves) = match original.flow_control() {
        // The decoder counts a system call as a call; its return address is a register's business.
        FlowControl::Call if original.code() == Code::Syscall => (vec![original, back], false),
        FlowControl::Call => (
            push_and(machine, direct_jump(machine, &original)?, next)?,
            true,
        ),
        FlowControl::IndirectCall => (
            push_and(machine, indirect_jump(machine, &original)?, next)?,
            true,
        ),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return => {
            (vec![original], true)
        }
        // The kernel goes on behind this one as behind a `syscall`.
        FlowControl::Interrupt if is_system_call(&original) => (vec![original, back], false),
        FlowControl::Next | FlowControl::ConditionalBranch => (vec![original, back], false),
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => {
            return None;
        }
    };
    let block = InstructionBlock::new(&instructions, slot.0);
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let encoded = BlockEncoder::encode(machine.bits(), block, options).ok()?;
    let body = if leaves {
        0
    } else {
        *encoded.new_instruction_offsets.get(1)? as usize
    };
    if encoded.code_buffer.len() > SLOT {
        return None;
    }
    Some(Displaced {
        code: encoded.code_buffer,
        next: Addr(next),
        body,
        base: base_of(machine, &original),
    })
}

fn is_system_call(instruction: &Instruction) -> bool {
    instruction.code() == Code::Int_imm8 && instruction.immediate8() == 0x80
}

fn base_of(machine: Machine, branch: &Instruction) -> Option<u8> {
    let through_memory = matches!(branch.code(), Code::Call_rm32 | Code::Jmp_rm32)
        && branch.op0_kind() == OpKind::Memory;
    let base = branch.memory_base();
    (machine == Machine::I386 && through_memory && base.is_gpr32()).then(|| base.number() as u8)
}

fn jump_to(machine: Machine, target: u64) -> Option<Instruction> {
    let code = match machine {
        Machine::Amd64 => Code::Jmp_rel32_64,
        Machine::I386 => Code::Jmp_rel32_32,
    };
    Instruction::with_branch(code, target).ok()
}

/// Pushes the return address of the original place, as the call there would, and goes on by `jump`.
/// No flag is touched.
pub(in crate::engine::instrument) fn push_and(
    machine: Machine,
    jump: Instruction,
    return_address: u64,
) -> Option<Vec<Instruction>> {
    let low = return_address as u32 as i32;
    if machine == Machine::I386 {
        return Some(vec![Instruction::with1(Code::Pushd_imm32, low).ok()?, jump]);
    }
    let high = (return_address >> 32) as u32;
    let upper_half = MemoryOperand::with_base_displ(Register::RSP, 4);
    Some(vec![
        Instruction::with1(Code::Pushq_imm32, low).ok()?,
        Instruction::with2(Code::Mov_rm32_imm32, upper_half, high).ok()?,
        jump,
    ])
}

pub(in crate::engine::instrument) fn direct_jump(
    machine: Machine,
    call: &Instruction,
) -> Option<Instruction> {
    if !matches!(call.code(), Code::Call_rel32_64 | Code::Call_rel32_32) {
        return None;
    }
    jump_to(machine, call.near_branch_target())
}

fn indirect_jump(machine: Machine, call: &Instruction) -> Option<Instruction> {
    let mut jump = *call;
    // In 64-bit code a displacement of 8 means one of 32 bits, sign-extended.
    let (code, sp, displacement_size) = match call.code() {
        Code::Call_rm64 => (Code::Jmp_rm64, Register::RSP, 8),
        Code::Call_rm32 => (Code::Jmp_rm32, Register::ESP, 4),
        _ => return None,
    };
    jump.set_code(code);
    let through_stack = call.op0_kind() == OpKind::Memory && call.memory_base() == sp;
    if through_stack {
        // The operand was meant for the stack pointer before the push.
        let pushed = machine.word() as u64;
        jump.set_memory_displacement64(
            call.memory_displacement64().wrapping_add(pushed) & (u64::MAX >> (64 - machine.bits())),
        );
        jump.set_memory_displ_size(displacement_size);
    } else if call.op0_kind() == OpKind::Register && call.op0_register() == sp {
        return None;
    }
    Some(jump)
}

#[cfg(test)]
mod tests {
    use super::{Displaced, displace};
    use crate::base::addr::Addr;
    use crate::base::machine::Machine;

    const AT: u64 = 0x40_1000;
    const SLOT_AT: u64 = 0x30_0000;

    #[track_caller]
    fn check(code: &[u8], expected: Option<(&[u8], u64, usize)>) {
        let got = displace(Machine::Amd64, code, Addr(AT), Addr(SLOT_AT));
        let expected = expected.map(|(code, length, body)| Displaced {
            code: code.to_vec(),
            next: Addr(AT + length),
            body,
            base: None,
        });
        assert_eq!(got, expected, "{code:x?}");
    }

    /// `jmp rel32` from the given offset in the slot to the instruction after `length` bytes.
    fn with_jump_back(body: &[u8], length: u64) -> Vec<u8> {
        let from = SLOT_AT + body.len() as u64 + 5;
        let displacement = (AT + length).wrapping_sub(from) as u32;
        [body, &[0xe9], &displacement.to_le_bytes()].concat()
    }

    #[test]
    fn plain_instructions_run_and_jump_back() {
        for code in [
            &[0x55][..],
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0x48, 0x83, 0xec, 0x18],
            &[0xf3, 0xa4],
            &[0x0f, 0x05],
        ] {
            let length = code.len();
            check(
                code,
                Some((&with_jump_back(code, length as u64), length as u64, length)),
            );
        }
    }

    #[test]
    fn relative_operands_are_moved() {
        // mov rax, [rip+0x10]
        let target = AT + 7 + 0x10;
        let moved = target.wrapping_sub(SLOT_AT + 7) as u32;
        let body = [&[0x48, 0x8b, 0x05][..], &moved.to_le_bytes()].concat();
        check(
            &[0x48, 0x8b, 0x05, 0x10, 0, 0, 0],
            Some((&with_jump_back(&body, 7), 7, 7)),
        );
        // jmp [rip+0x10], a PLT stub's own
        let moved = (AT + 6 + 0x10).wrapping_sub(SLOT_AT + 6) as u32;
        let body = [&[0xff, 0x25][..], &moved.to_le_bytes()].concat();
        check(&[0xff, 0x25, 0x10, 0, 0, 0], Some((&body, 6, 0)));
        // je +0x20 becomes its long form
        let moved = (AT + 2 + 0x20).wrapping_sub(SLOT_AT + 6) as u32;
        let body = [&[0x0f, 0x84][..], &moved.to_le_bytes()].concat();
        check(&[0x74, 0x20], Some((&with_jump_back(&body, 2), 2, 6)));
    }

    #[test]
    fn calls_push_the_original_return_address() {
        let push = |length: u64| {
            [
                &[0x68][..],
                &((AT + length) as u32).to_le_bytes(),
                &[0xc7, 0x44, 0x24, 4, 0, 0, 0, 0],
            ]
            .concat()
        };
        // call +0x100
        let moved = (AT + 5 + 0x100).wrapping_sub(SLOT_AT + 13 + 5) as u32;
        let jump = [&[0xe9][..], &moved.to_le_bytes()].concat();
        check(&[0xe8, 0, 1, 0, 0], Some((&[push(5), jump].concat(), 5, 0)));
        // call rax
        check(
            &[0xff, 0xd0],
            Some((&[push(2), vec![0xff, 0xe0]].concat(), 2, 0)),
        );
        // call [rsp+8] reads what was 8 above before the push
        let jump = vec![0xff, 0xa4, 0x24, 0x10, 0, 0, 0];
        let code = [0xff, 0x54, 0x24, 8];
        let got = displace(Machine::Amd64, &code, Addr(AT), Addr(SLOT_AT)).unwrap();
        assert!(
            got.code == [push(4), jump].concat()
                || got.code == [push(4), vec![0xff, 0x64, 0x24, 0x10]].concat()
        );
    }

    #[track_caller]
    fn check_32(code: &[u8], expected: Option<(&[u8], u64, usize, Option<u8>)>) {
        let got = displace(Machine::I386, code, Addr(AT), Addr(SLOT_AT));
        let expected = expected.map(|(code, length, body, base)| Displaced {
            code: code.to_vec(),
            next: Addr(AT + length),
            body,
            base,
        });
        assert_eq!(got, expected, "{code:x?}");
    }

    #[test]
    fn instructions_of_i386() {
        // push ebp; endbr32; int 0x80; and what is prefixed in 64-bit code: inc eax
        for code in [
            &[0x55][..],
            &[0xf3, 0x0f, 0x1e, 0xfb],
            &[0xcd, 0x80],
            &[0x40],
        ] {
            let length = code.len();
            let moved = with_jump_back(code, length as u64);
            check_32(code, Some((&moved, length as u64, length, None)));
        }
        // jmp [abs32] and jmp [ebx+disp32]
        let stub = [0xff, 0x25, 4, 3, 2, 1];
        check_32(&stub, Some((&stub, 6, 0, None)));
        let stub = [0xff, 0xa3, 0x0c, 1, 0, 0];
        check_32(&stub, Some((&stub, 6, 0, Some(3))));
    }

    #[test]
    fn calls_of_i386_push_the_original_return_address() {
        let push = |length: u64| [&[0x68][..], &((AT + length) as u32).to_le_bytes()].concat();
        let moved = (AT + 5 + 0x100).wrapping_sub(SLOT_AT + 5 + 5) as u32;
        let jump = [&[0xe9][..], &moved.to_le_bytes()].concat();
        let code = [push(5), jump].concat();
        check_32(&[0xe8, 0, 1, 0, 0], Some((&code, 5, 0, None)));
        // call [esi+0x100]
        let code = [push(6), vec![0xff, 0xa6, 0, 1, 0, 0]].concat();
        let call = [0xff, 0x96, 0, 1, 0, 0];
        check_32(&call, Some((&code, 6, 0, Some(6))));
        // call [esp+8] reads what was 4 above before the push
        let code = [push(4), vec![0xff, 0xa4, 0x24, 0x0c, 0, 0, 0]].concat();
        let call = [0xff, 0x54, 0x24, 8];
        check_32(&call, Some((&code, 4, 0, Some(4))));
        // callw, sysenter
        check_32(&[0x66, 0xe8, 0, 1], None);
        check_32(&[0x0f, 0x34], None);
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        check(&[0xcc], None);
        check(&[0x06], None);
        check(&[], None);
    }
}
