//! Where the code of a remote system call and the frame that restores the task are: in a page of our own, or,
//! for the call that maps it, in the padding of the process's files.
//!
//! Padding is what follows a segment in its last page: bytes that are zero and that nothing refers to. It is
//! borrowed while every task stands still, and put back.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc::{self, Mapping};
use crate::sys::sigframe;
use std::io;

/// The size of our mapping: a page for others, then code, and a frame with the largest extended state.
pub const SIZE: u64 = 24 << 10;
const PAGE: u64 = 4096;
/// Offsets behind that page.
const CONTEXT: u64 = 512;
const STATE: u64 = 1024;
/// The processor wants extended state aligned so (Intel SDM vol. 1, 13.4).
const STATE_ALIGNMENT: u64 = 64;
/// The room for all of the code.
const CODE: u64 = 96;
/// Zeros that a segment may end with.
const MARGIN: u64 = 64;

/// `syscall`, or `int $0x80` with which 32-bit code calls the kernel.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const INT_80: [u8; 2] = [0xcd, 0x80];
/// `mov $15, %eax; syscall`: rt_sigreturn(2) of 64-bit code.
const RESTORE: [u8; 7] = [0xb8, 15, 0, 0, 0, 0x0f, 0x05];
/// `xor %edi, %edi; mov $231, %eax; syscall`: exit_group(2).
const EXIT: [u8; 9] = [0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
/// `test %eax, %eax; je` over [`RESTORE`].
const UNLESS_CHILD: [u8; 4] = [0x85, 0xc0, 0x74, RESTORE.len() as u8];
/// The selector of 64-bit code (arch/x86/include/asm/segment.h, __USER_CS).
const USER_CS: u16 = 0x33;

/// Whom an instruction is for: what follows it runs when we are killed in the middle of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) enum Entry {
    /// The task is restored.
    Task = 0,
    /// The task is restored, and the child that it makes ends.
    Maker = 32,
    /// A child of ours: it ends.
    Child = 64,
}

/// The code that goes to an address.
fn code(machine: Machine, at: Addr) -> Vec<u8> {
    let mut code = match machine {
        Machine::Amd64 => [&SYSCALL[..], &RESTORE].concat(),
        // On to 64-bit code, by a far jump: there is one kind of frame.
        Machine::I386 => {
            let next = (at.0 as u32).wrapping_add(9).to_le_bytes();
            [
                &INT_80[..],
                &[0xea],
                &next,
                &USER_CS.to_le_bytes(),
                &RESTORE,
            ]
            .concat()
        }
    };
    if machine == Machine::Amd64 {
        code.resize(Entry::Maker as usize, 0xcc);
        code.extend([&SYSCALL[..], &UNLESS_CHILD, &RESTORE, &EXIT].concat());
        code.resize(Entry::Child as usize, 0xcc);
        code.extend([&SYSCALL[..], &EXIT].concat());
    }
    code
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub(in crate::sys) struct Places {
    code: Addr,
    context: Addr,
    state: Addr,
}

impl Places {
    /// In our own mapping.
    pub(in crate::sys) fn in_page(page: Addr) -> Places {
        let code = Addr(page.0.wrapping_add(PAGE));
        Places {
            code,
            context: code.offset(CONTEXT as i64),
            state: code.offset(STATE as i64),
        }
    }

    /// Our mapping, for places in it.
    pub(in crate::sys) fn page(&self) -> Addr {
        Addr(self.code.0.wrapping_sub(PAGE))
    }

    pub(super) fn has_code(&self, memory: &ProcessMemory) -> bool {
        let wanted = code(memory.machine(), self.code);
        let mut there = vec![0; wanted.len()];
        let memory: &dyn Memory = memory;
        memory.read_exact(self.code, &mut there).is_ok() && there == wanted
    }

    pub(in crate::sys) fn instruction(&self, entry: Entry) -> Addr {
        Addr(self.code.0 + entry as u64)
    }

    pub(super) fn write_code(&self, memory: &ProcessMemory) -> io::Result<()> {
        memory.write(self.code, &code(memory.machine(), self.code))
    }

    /// Writes a frame that restores these registers and this signal mask. The result is the stack pointer with
    /// which the code finds it.
    pub(super) fn write_frame(
        &self,
        memory: &ProcessMemory,
        state: &[u8],
        context: impl FnOnce(Addr) -> Vec<u8>,
    ) -> io::Result<u64> {
        memory.write(self.state, state)?;
        memory.write(self.context, &context(self.state))?;
        Ok(self.context.0)
    }
}

/// Padding in use, and what it is made of.
pub(super) struct Borrowed {
    pub(super) places: Places,
    sizes: [(Addr, usize); 3],
}

/// Zeros at the end of a mapping.
#[derive(Clone, Copy)]
struct Hole {
    executable: bool,
    start: u64,
    end: u64,
}

impl Borrowed {
    /// Finds padding for the code and a frame with an extended state of this size.
    pub(super) fn find(memory: &ProcessMemory, state: usize) -> Option<Borrowed> {
        let maps = proc::maps(memory.pid()).ok()?;
        let mut holes: Vec<Hole> = (0..maps.len())
            .filter(|&index| has_padding(&maps, index))
            .filter_map(|index| Hole::at_end(&maps[index], memory))
            .collect();
        // That of code first, which no data can be mistaken for.
        holes.sort_by_key(|hole| !hole.executable);
        let mut take = |size: u64, alignment: u64, executable: bool| {
            let mut fitting = holes.iter_mut().filter(|h| h.executable || !executable);
            fitting.find_map(|hole| hole.take(size, alignment))
        };
        let code = take(CODE, 16, true)?;
        let state_at = take(state as u64, STATE_ALIGNMENT, false)?;
        let context = take(sigframe::CONTEXT as u64, 16, false)?;
        Some(Borrowed {
            places: Places {
                code,
                context,
                state: state_at,
            },
            sizes: [
                (code, CODE as usize),
                (state_at, state),
                (context, sigframe::CONTEXT),
            ],
        })
    }

    /// Puts back what was there.
    pub(super) fn give_back(self, memory: &ProcessMemory) {
        for (at, size) in self.sizes {
            // What cannot be written now could not be written before.
            let _ = memory.write(at, &vec![0; size]);
        }
    }
}

/// Whether a segment of a file may end in a mapping: not where another part of the same one goes on, which
/// can be written.
fn has_padding(maps: &[Mapping], index: usize) -> bool {
    let mapping = &maps[index];
    let goes_on = maps.get(index + 1).is_some_and(|next| {
        next.writable && next.range.start == mapping.range.end && next.file == mapping.file
    });
    mapping.readable && !mapping.writable && !mapping.shared && mapping.file.1 != 0 && !goes_on
}

impl Hole {
    fn at_end(mapping: &Mapping, memory: &dyn Memory) -> Option<Hole> {
        let end = mapping.range.end;
        let mut page = vec![0; PAGE as usize];
        memory.read_exact(Addr(end - PAGE), &mut page).ok()?;
        let zeros = page.iter().rev().take_while(|&&byte| byte == 0).count() as u64;
        let start = end - zeros.checked_sub(MARGIN)?;
        Some(Hole {
            executable: mapping.executable,
            start,
            end,
        })
    }

    fn take(&mut self, size: u64, alignment: u64) -> Option<Addr> {
        let at = self.start.next_multiple_of(alignment);
        let end = at.checked_add(size)?;
        (end <= self.end).then(|| {
            self.start = end;
            Addr(at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, code};
    use crate::base::addr::Addr;
    use crate::base::machine::Machine;
    use iced_x86::{Code, Decoder, DecoderOptions};

    fn codes(bytes: &[u8], bits: u32, at: u64) -> Vec<Code> {
        let decoder = Decoder::with_ip(bits, bytes, at, DecoderOptions::NONE);
        decoder.into_iter().map(|i| i.code()).collect()
    }

    #[test]
    fn what_follows_a_call() {
        let code = code(Machine::Amd64, Addr(0x1000));
        let task = codes(&code[..9], 64, 0x1000);
        assert_eq!(task, [Code::Syscall, Code::Mov_r32_imm32, Code::Syscall]);
        let maker = &code[Entry::Maker as usize..];
        let branch = Decoder::with_ip(64, &maker[4..], 0x1024, DecoderOptions::NONE).decode();
        // To the exit, behind the other call.
        assert_eq!(branch.near_branch_target(), 0x1020 + 2 + 4 + 7);
        let child = codes(&code[Entry::Child as usize..], 64, 0x1040);
        assert_eq!(child.first(), Some(&Code::Syscall));
        assert_eq!(child.last(), Some(&Code::Syscall));
    }

    #[test]
    fn code_of_32_bits_goes_on_in_64() {
        let code = code(Machine::I386, Addr(0xf7d0_0000));
        let jump = Decoder::with_ip(32, &code[2..], 0xf7d0_0002, DecoderOptions::NONE).decode();
        assert_eq!(jump.far_branch_selector(), 0x33);
        assert_eq!(jump.far_branch32(), 0xf7d0_0009);
        let rest = codes(&code[9..], 64, 0xf7d0_0009);
        assert_eq!(rest, [Code::Mov_r32_imm32, Code::Syscall]);
    }
}
