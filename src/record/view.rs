//! A record as the decoder sees calls: registers, memory and floating-point registers.

use super::ring::{Kind, Record};
use crate::base::addr::Addr;
use crate::base::memory::{Memory, Unreadable};
use crate::base::regs::{FloatRegs, Floats, Process, Regs, View};

/// The selector of 64-bit code (arch/x86/include/asm/segment.h, __USER_CS).
const USER_CS: u64 = 0x33;

/// What can be seen of a call or a return: what was recorded, and nothing else.
#[derive(Debug)]
pub struct Seen<'r> {
    regs: &'r Regs,
    /// The low halves of `xmm0` and up, and what `st(0)` holds: made into registers where a value is in one.
    vector: &'r [u64],
    x87: &'r [u64],
    /// The stack behind the return address.
    stack: Stretch<'r>,
    /// Other memory: of each stretch its address, its length and its bytes.
    blobs: &'r [u64],
}

/// What stands in the place of the address before the return addresses of a stack.
pub(super) const RETURNS: u64 = 1;

/// Memory that was copied.
#[derive(Clone, Copy, Debug)]
struct Stretch<'r> {
    at: u64,
    bytes: usize,
    words: &'r [u64],
}

/// Stretches in a record. What does not fit into it is not there.
struct Stretches<'r>(&'r [u64]);

impl<'r> Iterator for Stretches<'r> {
    type Item = Stretch<'r>;

    fn next(&mut self) -> Option<Stretch<'r>> {
        let [at, length, rest @ ..] = self.0 else {
            return None;
        };
        let bytes = usize::try_from(*length).unwrap_or(usize::MAX);
        let (words, rest) = rest.split_at_checked(bytes.div_ceil(8))?;
        self.0 = rest;
        Some(Stretch {
            at: *at,
            bytes,
            words,
        })
    }
}

impl<'r> Seen<'r> {
    /// The registers of a thread with this thread pointer, for its records to be put in.
    pub fn registers(thread_pointer: u64) -> Regs {
        Regs {
            cs: USER_CS,
            fs_base: thread_pointer,
            ..Regs::default()
        }
    }

    /// What a record shows. `regs`: as [`Seen::registers`] gave them, or as they are after another record. `ip`: where the
    /// thread was at the call, or where it has returned to.
    #[inline]
    pub fn new(record: &Record<'r>, regs: &'r mut Regs, ip: u64) -> Seen<'r> {
        regs.rip = ip;
        match record.kind {
            Kind::Return => Seen::returned(record, regs),
            _ => Seen::called(record, regs),
        }
    }

    /// The argument registers, and the stack behind the return address.
    #[inline]
    fn called(record: &Record<'r>, regs: &'r mut Regs) -> Seen<'r> {
        let shape = record.shape;
        let (general, rest) = split(record.words, shape.general);
        let (vector, rest) = split(rest, shape.vector);
        let (stack, blobs) = split(rest, shape.stack);
        let word = |number: usize| general.get(number).copied().unwrap_or_default();
        (regs.rdi, regs.rsi, regs.rdx) = (word(0), word(1), word(2));
        (regs.rcx, regs.r8, regs.r9) = (word(3), word(4), word(5));
        (regs.rax, regs.rsp) = (0, record.frame);
        Seen {
            regs,
            vector,
            x87: &[],
            stack: Stretch {
                at: record.frame.wrapping_add(8),
                bytes: 8 * stack.len(),
                words: stack,
            },
            blobs,
        }
    }

    #[inline]
    fn returned(record: &Record<'r>, regs: &'r mut Regs) -> Seen<'r> {
        let result = record.shape.result;
        let (rdx, rest) = split(record.words, u8::from(result.rdx));
        let (vector, rest) = split(rest, result.vector);
        let (x87, blobs) = split(rest, 2 * u8::from(result.x87));
        (regs.rdi, regs.rsi, regs.rcx, regs.r8, regs.r9) = (0, 0, 0, 0, 0);
        regs.rax = record.word;
        regs.rdx = rdx.first().copied().unwrap_or_default();
        regs.rsp = record.frame.wrapping_add(8);
        Seen {
            regs,
            vector,
            x87,
            stack: Stretch {
                at: 0,
                bytes: 0,
                words: &[],
            },
            blobs,
        }
    }

    /// As the decoder takes it.
    pub fn view<'v>(&'v self, process: &'v dyn Process) -> View<'v> {
        View {
            regs: self.regs,
            memory: self,
            floats: self,
            process,
            errno: None,
        }
    }
}

fn split<N: Into<usize>>(words: &[u64], count: N) -> (&[u64], &[u64]) {
    words.split_at(count.into().min(words.len()))
}

impl Stretch<'_> {
    /// How much of it is behind an address.
    fn behind(&self, at: Addr) -> usize {
        let from = at.0.wrapping_sub(self.at);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.bytes.saturating_sub(from)
    }
}

impl<'r> Stretch<'r> {
    /// What of it is behind an address; records are ours, and of this machine.
    fn bytes(&self, at: Addr) -> &'r [u8] {
        let from = usize::try_from(at.0.wrapping_sub(self.at)).unwrap_or(usize::MAX);
        let all: &[u8] = bytemuck::cast_slice(self.words);
        let all = all.get(..self.bytes).unwrap_or(all);
        all.get(from..).unwrap_or_default()
    }
}

impl Memory for Seen<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        if buf.is_empty() {
            return Ok(0);
        }
        let piece = self.borrow(at).ok_or(Unreadable(at))?;
        let count = piece.len().min(buf.len());
        buf[..count].copy_from_slice(&piece[..count]);
        Ok(count)
    }

    fn borrow(&self, at: Addr) -> Option<&[u8]> {
        let others = Stretches(self.blobs).filter(|stretch| stretch.at != RETURNS);
        let all = others.chain([self.stack]);
        let most = all.max_by_key(|stretch| stretch.behind(at))?;
        Some(most.bytes(at)).filter(|piece| !piece.is_empty())
    }

    fn returns(&self) -> Option<&[u64]> {
        let found = Stretches(self.blobs).find(|stretch| stretch.at == RETURNS);
        found.map(|stretch| stretch.words)
    }
}

impl Floats for Seen<'_> {
    fn floats(&self) -> Option<FloatRegs> {
        let mut floats = FloatRegs::default();
        for (register, word) in floats.xmm.iter_mut().zip(self.vector) {
            register[..8].copy_from_slice(&word.to_le_bytes());
        }
        let top = self.x87.iter().flat_map(|word| word.to_le_bytes());
        for (byte, value) in floats.st[0].iter_mut().zip(top) {
            *byte = value;
        }
        Some(floats)
    }
}
