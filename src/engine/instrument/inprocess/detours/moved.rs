//! The first instructions of a function, made to run at another place: a jump to a stub takes theirs.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::engine::instrument::int3::displaced::{direct_jump, push_and};
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock,
};

/// `jmp rel32`
pub(super) const JUMP: usize = 5;
/// So much code is enough to plan: the longest instruction may begin at the jump's last byte.
pub(super) const CODE: usize = 32;
/// `endbr64`, which stays: indirect branches come to it.
const LANDING: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// What a jump at the beginning of a function displaces.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// Where the jump goes.
    pub(super) at: u64,
    instructions: Vec<Instruction>,
    /// The last one does not go on behind itself.
    leaves: bool,
}

/// Displaced instructions at their new place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) bytes: Vec<u8>,
    /// Where each instruction was, from the jump's first byte on, and where it is in these bytes.
    pub(super) offsets: Vec<(u64, u64)>,
}

impl Moved {
    /// What has to be moved of a function that begins with this code.
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub(super) fn plan(code: &[u8], entry: Addr) -> Result<Moved, &'static str> {
        let landing = if code.starts_with(&LANDING) {
            LANDING.len()
        } else {
            0
        };
        let at = entry.0.wrapping_add(landing as u64);
        let code = code.get(landing..).unwrap_or_default();
        let mut decoder = Decoder::with_ip(64, code, at, DecoderOptions::NONE);
        let mut instructions = Vec::new();
        let mut leaves = false;
        while decoder.position() < JUMP {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return Err("an instruction cannot be decoded");
            }
            if leaves {
                // Padding behind a function that is shorter than the jump.
                match instruction.code() {
                    code if is_padding(code) => continue,
                    _ => return Err("it is too short for a jump"),
                }
            }
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::ConditionalBranch => {}
                FlowControl::Call if instruction.code() == Code::Call_rel32_64 => leaves = true,
                FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Return => leaves = true,
                FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::Interrupt
                | FlowControl::XbeginXabortXend
                | FlowControl::Exception => {
                    return Err("an instruction at its beginning cannot be moved");
                }
            }
            instructions.push(instruction);
        }
        let moved = Moved {
            at,
            instructions,
            leaves,
        };
        let comes_back = |instruction: &Instruction| {
            let is_branch = matches!(
                instruction.flow_control(),
                FlowControl::ConditionalBranch
                    | FlowControl::UnconditionalBranch
                    | FlowControl::Call
            );
            let target = instruction.near_branch_target();
            is_branch && (entry.0..at + JUMP as u64).contains(&target)
        };
        match moved.instructions.iter().any(comes_back) {
            true => Err("it branches back to its beginning"),
            false => Ok(moved),
        }
    }

    /// The instructions as they run at `to`, and on behind the jump.
    pub(super) fn at(&self, to: u64) -> Option<Copy> {
        let mut instructions = Vec::new();
        let mut starts = Vec::new();
        for instruction in &self.instructions {
            starts.push((instruction.ip(), instructions.len()));
            match instruction.flow_control() {
                FlowControl::Call => {
                    let jump = direct_jump(Machine::Amd64, instruction)?;
                    instructions.extend(push_and(Machine::Amd64, jump, instruction.next_ip())?);
                }
                _ => instructions.push(*instruction),
            }
        }
        if !self.leaves {
            let next = self.instructions.last()?.next_ip();
            instructions.push(Instruction::with_branch(Code::Jmp_rel32_64, next).ok()?);
        }
        let block = InstructionBlock::new(&instructions, to);
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let encoded = BlockEncoder::encode(64, block, options).ok()?;
        let new = |index: usize| encoded.new_instruction_offsets.get(index).copied();
        let offsets = starts.into_iter();
        let offsets = offsets.map(|(ip, index)| Some((ip - self.at, u64::from(new(index)?))));
        Some(Copy {
            offsets: offsets.collect::<Option<_>>()?,
            bytes: encoded.code_buffer,
        })
    }
}

fn is_padding(code: Code) -> bool {
    matches!(
        code,
        Code::Nopd
            | Code::Nopw
            | Code::Nopq
            | Code::Nop_rm16
            | Code::Nop_rm32
            | Code::Nop_rm64
            | Code::Int3
    )
}

#[cfg(test)]
mod tests {
    use super::{Copy, Moved};
    use crate::base::addr::Addr;

    const ENTRY: u64 = 0x40_1000;
    const TO: u64 = 0x50_0000;

    fn planned(code: &[u8]) -> Result<Copy, &'static str> {
        let moved = Moved::plan(code, Addr(ENTRY))?;
        moved.at(TO).ok_or("it cannot be encoded")
    }

    /// `jmp rel32` at this offset of the copy, to this one of the function.
    fn jump(from: u64, to: u64) -> Vec<u8> {
        let distance = (ENTRY + to).wrapping_sub(TO + from + 5) as u32;
        [&[0xe9][..], &distance.to_le_bytes()].concat()
    }

    #[test]
    fn plain_instructions_and_a_jump_back() {
        // push rbp; mov rbp, rsp; push rbx; whatever
        let code = [0x55, 0x48, 0x89, 0xe5, 0x53, 0x90];
        let copy = planned(&code).expect("a copy");
        assert_eq!(copy.bytes, [&code[..5], &jump(5, 5)].concat());
        assert_eq!(copy.offsets, [(0, 0), (1, 1), (4, 4)]);
        // endbr64; sub rsp, 0x18; xor eax, eax
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x18, 0x31, 0xc0];
        let copy = planned(&code).expect("a copy");
        assert_eq!(copy.bytes, [&code[4..], &jump(6, 10)].concat());
        assert_eq!(copy.offsets, [(0, 0), (4, 4)]);
    }

    #[test]
    fn what_is_relative() {
        // cmp dword ptr [rip + 0x100], 0
        let code = [0x83, 0x3d, 0, 1, 0, 0, 0];
        let copy = planned(&code).expect("a copy");
        let distance = (ENTRY + 7 + 0x100).wrapping_sub(TO + 7) as u32;
        let moved = [&[0x83, 0x3d][..], &distance.to_le_bytes(), &[0]].concat();
        assert_eq!(copy.bytes, [moved, jump(7, 7)].concat());
        // test edi, edi; je +0x20; push rbx
        let copy = planned(&[0x85, 0xff, 0x74, 0x20, 0x53]).expect("a copy");
        let distance = (ENTRY + 4 + 0x20).wrapping_sub(TO + 8) as u32;
        let branch = [
            &[0x85, 0xff, 0x0f, 0x84][..],
            &distance.to_le_bytes(),
            &[0x53],
        ]
        .concat();
        assert_eq!(copy.bytes, [branch, jump(9, 5)].concat());
        assert_eq!(copy.offsets, [(0, 0), (2, 2), (4, 8)]);
    }

    #[test]
    fn calls_push_the_original_return_address() {
        // push rbx; call +0x100
        let copy = planned(&[0x53, 0xe8, 0, 1, 0, 0]).expect("a copy");
        let return_address = (ENTRY + 6) as u32;
        let push = [&[0x53, 0x68][..], &return_address.to_le_bytes()].concat();
        let upper = [0xc7, 0x44, 0x24, 4, 0, 0, 0, 0];
        assert_eq!(copy.bytes, [push, upper.to_vec(), jump(14, 0x106)].concat());
    }

    #[test]
    fn short_functions_with_padding() {
        // xor eax, eax; ret; nop; nop
        let copy = planned(&[0x31, 0xc0, 0xc3, 0x90, 0x90]).expect("a copy");
        assert_eq!(copy.bytes, [0x31, 0xc0, 0xc3]);
        // jmp +0x100
        let copy = planned(&[0xe9, 0, 1, 0, 0]).expect("a copy");
        assert_eq!(copy.bytes, jump(0, 0x105));
    }

    #[test]
    fn what_is_refused() {
        let refused = [
            // Another function begins in the jump's place.
            &[0x31, 0xc0, 0xc3, 0x55, 0x90][..],
            // An indirect call, a system call, an int3, nothing.
            &[0xff, 0xd0, 0x90, 0x90, 0x90],
            &[0x31, 0xc0, 0x0f, 0x05, 0xc3],
            &[0xcc, 0x90, 0x90, 0x90, 0x90],
            &[0x55],
            // A loop to its first instruction, and into the jump's bytes.
            &[0xff, 0xcf, 0x75, 0xfc, 0xc3],
            &[0x31, 0xc0, 0xff, 0xcf, 0x75, 0xfc],
        ];
        for code in refused {
            assert!(planned(code).is_err(), "{code:x?}");
        }
    }
}
