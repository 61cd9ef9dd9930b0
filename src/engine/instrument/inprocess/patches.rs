//! The instructions that are led to stubs, and what stood there before.

use crate::base::addr::Addr;
use crate::base::memory::{Memory, Unreadable};
use crate::record::{MOST_PATCHES, Shared, log};
use crate::sys::memory::ProcessMemory;
use std::collections::BTreeMap;
use std::ops::Range;

/// The longest instruction that is replaced, with its prefix.
const LONGEST: usize = 7;
const PAGE: u64 = 4096;

/// What was replaced, by its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    written: BTreeMap<u64, Patch>,
    /// Still to be written.
    wanted: BTreeMap<u64, Patch>,
}

/// Memory without what has been written into it.
pub(super) struct Unpatched<'p> {
    pub(super) memory: &'p dyn Memory,
    pub(super) patches: &'p Patches,
}

impl Memory for Unpatched<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let got = self.memory.read(at, buf)?;
        self.patches.original(at.0, &mut buf[..got]);
        Ok(got)
    }
}

/// Bytes in the place of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patch {
    before: [u8; 6],
    after: [u8; 6],
}

impl Patches {
    /// Leads the instruction at `at`, a call or jump by way of this slot, to `target`.
    pub(super) fn add(
        &mut self,
        memory: &ProcessMemory,
        at: Addr,
        slot: Addr,
        target: u64,
    ) -> Result<(), String> {
        let mut code = [0; LONGEST];
        let got = memory.read(at, &mut code);
        let got = got.map_err(|_| "the code cannot be read".to_owned())?;
        let found = patch(&code[..got], at.0, slot.0, target);
        let (at, patch) = found.ok_or("the instruction has another form")?;
        self.wanted.insert(at, patch);
        Ok(())
    }

    /// Puts a jump to `target` there, over what need not be one instruction.
    pub(super) fn add_jump(
        &mut self,
        memory: &ProcessMemory,
        at: u64,
        target: u64,
    ) -> Result<(), String> {
        let mut before = [0; 6];
        let there: &dyn Memory = memory;
        let read = there.read_exact(Addr(at), &mut before);
        read.map_err(|_| "the code cannot be read".to_owned())?;
        let [a, b, c, d] = relative(at + 5, target).ok_or("it is too far away")?;
        let after = [0xe9, a, b, c, d, before[5]];
        self.wanted.insert(at, Patch { before, after });
        Ok(())
    }

    /// Whether a jump stands there, or will, that was a jump before.
    pub(super) fn is_jump(&self, at: u64) -> bool {
        let patch = self.wanted.get(&at).or_else(|| self.written.get(&at));
        patch.is_some_and(|patch| patch.after[0] == 0xe9)
    }

    /// Whether what is replaced there would overlap with what is replaced already.
    pub(super) fn is_near(&self, at: u64) -> bool {
        let near = at.saturating_sub(5)..at.saturating_add(6);
        let patches = [&self.written, &self.wanted];
        patches
            .iter()
            .any(|patches| patches.range(near.clone()).next().is_some())
    }

    /// Code as it was before what has been written.
    pub(super) fn original(&self, at: u64, code: &mut [u8]) {
        let end = at.saturating_add(code.len() as u64);
        if code.is_empty() {
            return;
        }
        for (start, patch) in self.written.range(at.saturating_sub(5)..end) {
            for (address, byte) in (*start..).zip(patch.before) {
                if let Some(index) = address.checked_sub(at)
                    && let Some(there) = code.get_mut(index as usize)
                {
                    *there = byte;
                }
            }
        }
    }

    /// Whether an instruction that was written begins before this address and ends behind it. The last byte of a patch
    /// with a jump is not executed.
    pub(super) fn is_inside(&self, at: u64) -> bool {
        let mut before = self.written.range(at.saturating_sub(5)..at);
        before.any(|(start, patch)| match patch.after[0] {
            0xe9 => at < start + 5,
            _ => true,
        })
    }

    /// Whether there may be no more of them.
    pub(super) fn is_full(&self) -> bool {
        (self.written.len() + self.wanted.len()) as u64 >= MOST_PATCHES
    }

    /// Writes what is wanted, page by page.
    pub(super) fn write(
        &mut self,
        memory: &ProcessMemory,
        shared: Shared<'_>,
    ) -> Result<(), String> {
        let wanted = std::mem::take(&mut self.wanted);
        log::note(shared, wanted.iter().map(|(at, patch)| (*at, patch.before)));
        let after = wanted.iter().map(|(at, patch)| (*at, patch.after));
        let result = write_all(memory, after);
        self.written.extend(wanted);
        result
    }

    /// Puts back what stood there, as far as what we wrote stands there still; whether all of it is back.
    pub(super) fn undo(&mut self, memory: &ProcessMemory) -> bool {
        let written = std::mem::take(&mut self.written);
        let stands = |at: u64, patch: &Patch| {
            let mut bytes = [0; 6];
            let memory: &dyn Memory = memory;
            let read = memory.read_exact(Addr(at), &mut bytes);
            read.is_ok() && bytes == patch.after
        };
        let standing = written.iter().filter(|(at, patch)| stands(**at, patch));
        // Nothing better can be done for a page that has become unwritable: the code that is led to stays there.
        write_all(memory, standing.map(|(at, patch)| (*at, patch.before))).is_ok()
    }

    pub(super) fn forget(&mut self, range: &Range<u64>) {
        self.written.retain(|at, _| !range.contains(at));
    }
}

/// Writes stretches of 6 bytes, those that are near each other together: each page costs a fault and a copy.
fn write_all(
    memory: &ProcessMemory,
    patches: impl Iterator<Item = (u64, [u8; 6])>,
) -> Result<(), String> {
    let mut patches = patches.peekable();
    while let Some((start, bytes)) = patches.next() {
        let mut group = vec![(0, bytes)];
        while let Some((at, bytes)) = patches.next_if(|(at, _)| at / PAGE == start / PAGE) {
            group.push(((at - start) as usize, bytes));
        }
        let length = group.last().map_or(0, |(offset, _)| offset + 6);
        let mut code = vec![0; length];
        let before: &dyn Memory = memory;
        before
            .read_exact(Addr(start), &mut code)
            .map_err(|_| "the code cannot be read".to_owned())?;
        for (offset, bytes) in group {
            code[offset..offset + 6].copy_from_slice(&bytes);
        }
        memory
            .write(Addr(start), &code)
            .map_err(|why| format!("cannot write code into the process: {why}"))?;
    }
    Ok(())
}

/// `call *slot(%rip)` becomes `addr32 call target`, which is as long, so that the return address is the same;
/// `jmp *slot(%rip)`, perhaps with a `bnd` or `notrack` before it, becomes `jmp target`, whose last byte is not executed
/// (Intel SDM vol. 2, CALL and JMP).
fn patch(code: &[u8], at: u64, slot: u64, target: u64) -> Option<(u64, Patch)> {
    let prefix = usize::from(matches!(code.first(), Some(0xf2 | 0x3e)));
    let start = at.checked_add(prefix as u64)?;
    let there: [u8; 6] = *code.get(prefix..)?.first_chunk()?;
    let before = left(there, start, slot).unwrap_or(there);
    let [opcode, modrm, displacement @ ..] = before;
    let used = start
        .wrapping_add(6)
        .wrapping_add_signed(i32::from_le_bytes(displacement).into());
    if used != slot {
        return None;
    }
    let relative = |end: u64| relative(end, target);
    let after = match (opcode, modrm, prefix) {
        (0xff, 0x15, 0) => {
            let [a, b, c, d] = relative(start.wrapping_add(6))?;
            [0x67, 0xe8, a, b, c, d]
        }
        (0xff, 0x25, _) => {
            let [a, b, c, d] = relative(start.wrapping_add(5))?;
            [0xe9, a, b, c, d, displacement[3]]
        }
        _ => return None,
    };
    Some((start, Patch { before, after }))
}

/// The displacement of a branch that ends there.
fn relative(end: u64, target: u64) -> Option<[u8; 4]> {
    let distance = target.wrapping_sub(end) as i64;
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}

/// What stood here before an earlier tracer put one of these in its place: a process has such patches of its maker's
/// that was traced when it forked.
fn left(there: [u8; 6], start: u64, slot: u64) -> Option<[u8; 6]> {
    let displacement = slot.wrapping_sub(start.wrapping_add(6)) as i64;
    let [a, b, c, d] = i32::try_from(displacement).ok()?.to_le_bytes();
    match there {
        [0x67, 0xe8, ..] => Some([0xff, 0x15, a, b, c, d]),
        [0xe9, .., last] if last == d => Some([0xff, 0x25, a, b, c, d]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::patch;

    #[track_caller]
    fn check(code: &[u8], expected: Option<(u64, [u8; 6])>) {
        let found = patch(code, 0x1000, 0x3008, 0x2000);
        assert_eq!(found.map(|(at, patch)| (at, patch.after)), expected);
    }

    #[test]
    fn calls_and_jumps_by_way_of_the_slot() {
        let call = [0xff, 0x15, 0x02, 0x20, 0, 0, 0x90];
        check(&call, Some((0x1000, [0x67, 0xe8, 0xfa, 0x0f, 0, 0])));
        let jump = [0xff, 0x25, 0x02, 0x20, 0, 0, 0x90];
        check(&jump, Some((0x1000, [0xe9, 0xfb, 0x0f, 0, 0, 0])));
        let bnd_jump = [0xf2, 0xff, 0x25, 0x01, 0x20, 0, 0];
        check(&bnd_jump, Some((0x1001, [0xe9, 0xfa, 0x0f, 0, 0, 0])));
    }

    /// As if they were not there.
    #[test]
    fn patches_that_were_left() {
        let left = [0x67, 0xe8, 0x11, 0x22, 0x33, 0x44, 0x90];
        let found = patch(&left, 0x1000, 0x3008, 0x2000).expect("a patch");
        assert_eq!(found.1.before, [0xff, 0x15, 0x02, 0x20, 0, 0]);
        check(&left, Some((0x1000, [0x67, 0xe8, 0xfa, 0x0f, 0, 0])));
        let left = [0xf2, 0xe9, 0x11, 0x22, 0x33, 0x44, 0];
        let found = patch(&left, 0x1000, 0x3008, 0x2000).expect("a patch");
        assert_eq!(found.1.before, [0xff, 0x25, 0x01, 0x20, 0, 0]);
        check(&[0xe9, 0x11, 0x22, 0x33, 0x44, 0x55], None);
    }

    #[test]
    fn anything_else_is_left_alone() {
        // Another slot, a call with a prefix, an int3, too short.
        check(&[0xff, 0x15, 0x03, 0x20, 0, 0, 0], None);
        check(&[0xf2, 0xff, 0x15, 0x01, 0x20, 0, 0], None);
        check(&[0xcc, 0x15, 0x02, 0x20, 0, 0, 0], None);
        check(&[0xff, 0x15, 0x02, 0x20, 0], None);
        let far = patch(&[0xff, 0x25, 0x02, 0x20, 0, 0, 0], 0x1000, 0x3008, 1 << 40);
        assert_eq!(far, None);
    }
}
