//! The assembler, with what our code needs besides: operands at fixed addresses, the frame, and marks that tell
//! later what a task was doing at an instruction.

use super::super::labels::{Place, Span};
use iced_x86::code_asm::{
    AsmMemoryOperand, CodeAssembler, CodeAssemblerResult, CodeLabel, qword_ptr, rsp,
};
use iced_x86::{BlockEncoderOptions, Code, IcedError, Instruction, MemoryOperand, Register};
use std::ops::{Deref, DerefMut};

/// The frame of our code, by offsets from the stack pointer. Behind it lies the number that the stub or the
/// trampoline pushed, and behind that, in a stub, the return address.
pub(in crate::record) mod frame {
    pub(crate) const RAX: i32 = 0;
    pub(crate) const RDX: i32 = 8;
    pub(crate) const R10: i32 = 16;
    pub(crate) const R11: i32 = 24;
    pub(crate) const RCX: i32 = 32;
    pub(crate) const RSI: i32 = 40;
    pub(crate) const RDI: i32 = 48;
    pub(crate) const R8: i32 = 56;
    pub(crate) const R9: i32 = 64;
    /// Where the record begins that is being written, and its last blob.
    pub(crate) const RECORD: i32 = 72;
    pub(crate) const BLOB: i32 = 80;
    /// The entry of what the call has kept for its return, or 0.
    pub(crate) const KEPT: i32 = 88;
    /// In its place, at a call: which words lead to texts, as its format tells.
    pub(crate) const TEXTS: i32 = KEPT;
    /// Room for subroutines.
    pub(crate) const SPILL: [i32; 4] = [96, 104, 112, 120];
    /// The last two are read when the frame is gone already: within the red zone (psABI 3.2.2).
    pub(crate) const TRAMPOLINE: i32 = 128;
    pub(crate) const TARGET: i32 = 136;
    /// The number of the tracepoint or of the trampoline.
    pub(crate) const NUMBER: i32 = 144;
    pub(crate) const RETURN_ADDRESS: i32 = 152;
}

/// Multiplied with it, a key's bits decide the upper ones: 2^64 over the golden ratio.
pub(in crate::record) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A label, or why the code cannot be made.
pub(super) type Made<T = ()> = Result<T, IcedError>;

/// Code on its way.
pub(super) struct Asm {
    code: CodeAssembler,
    marks: Vec<(CodeLabel, Place)>,
}

/// Code for one address.
pub(super) struct Assembled {
    pub(super) bytes: Vec<u8>,
    pub(super) spans: Vec<Span>,
    result: CodeAssemblerResult,
}

impl Deref for Asm {
    type Target = CodeAssembler;
    fn deref(&self) -> &CodeAssembler {
        &self.code
    }
}

impl DerefMut for Asm {
    fn deref_mut(&mut self) -> &mut CodeAssembler {
        &mut self.code
    }
}

impl Asm {
    pub(super) fn new() -> Made<Asm> {
        Ok(Asm {
            code: CodeAssembler::new(64)?,
            marks: Vec::new(),
        })
    }

    /// Puts a label here.
    pub(super) fn here(&mut self, label: &mut CodeLabel) -> Made {
        self.code.set_label(label)?;
        // More than one may stand before an instruction.
        self.code.zero_bytes()
    }

    /// A label that stands here.
    pub(super) fn label_here(&mut self) -> Made<CodeLabel> {
        let mut label = self.code.create_label();
        self.here(&mut label)?;
        Ok(label)
    }

    /// From here on a task is at such a place.
    pub(super) fn mark(&mut self, place: Place) -> Made {
        let label = self.label_here()?;
        self.marks.push((label, place));
        Ok(())
    }

    /// `lea register, [address]`
    pub(super) fn lea_at(&mut self, register: Register, address: u64) -> Made {
        self.with_memory(Code::Lea_r64_m, register, address)
    }

    /// `mov register, [address]`
    pub(super) fn load_at(&mut self, register: Register, address: u64) -> Made {
        self.with_memory(Code::Mov_r64_rm64, register, address)
    }

    /// `cmp register, [address]`
    pub(super) fn cmp_at(&mut self, register: Register, address: u64) -> Made {
        self.with_memory(Code::Cmp_r64_rm64, register, address)
    }

    fn with_memory(&mut self, code: Code, register: Register, address: u64) -> Made {
        let instruction = Instruction::with2(code, register, at(address))?;
        self.code.add_instruction(instruction)
    }

    /// `cmp byte ptr [address], 0`
    pub(super) fn is_zero_at(&mut self, address: u64) -> Made {
        let instruction = Instruction::with2(Code::Cmp_rm8_imm8, at(address), 0)?;
        self.code.add_instruction(instruction)
    }

    /// `mov byte ptr [address], 0`
    pub(super) fn clear_at(&mut self, address: u64) -> Made {
        let instruction = Instruction::with2(Code::Mov_rm8_imm8, at(address), 0)?;
        self.code.add_instruction(instruction)
    }

    /// `test dword ptr [address], mask`
    pub(super) fn test_at(&mut self, address: u64, mask: i32) -> Made {
        let instruction = Instruction::with2(Code::Test_rm32_imm32, at(address), mask)?;
        self.code.add_instruction(instruction)
    }

    /// `jmp [address]`
    pub(super) fn jmp_through(&mut self, address: u64) -> Made {
        let instruction = Instruction::with1(Code::Jmp_rm64, at(address))?;
        self.code.add_instruction(instruction)
    }

    /// The code as it runs at this address.
    pub(super) fn assemble(mut self, at: u64) -> Made<Assembled> {
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let result = self.code.assemble_options(at, options)?;
        let bytes = result.inner.code_buffer.clone();
        let mut spans = Vec::new();
        for (label, place) in &self.marks {
            let start = result.label_ip(label)?;
            spans.push(Span {
                start,
                place: *place,
            });
        }
        spans.push(Span {
            start: at + bytes.len() as u64,
            place: Place::Elsewhere,
        });
        Ok(Assembled {
            bytes,
            spans,
            result,
        })
    }
}

impl Assembled {
    pub(super) fn ip(&self, label: &CodeLabel) -> Made<u64> {
        self.result.label_ip(label)
    }
}

fn at(address: u64) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RIP, address as i64)
}

/// A slot of the frame, in the code whose frame it is.
pub(super) fn slot(offset: i32) -> AsmMemoryOperand {
    qword_ptr(rsp + offset)
}

/// A slot of the caller's frame, in a subroutine.
pub(super) fn outer(offset: i32) -> AsmMemoryOperand {
    qword_ptr(rsp + offset + 8)
}
