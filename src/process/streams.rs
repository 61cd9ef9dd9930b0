//! The descriptor behind a `FILE *` of the C library.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;

/// Where a C library has what is looked at, by the machine's words.
struct Layout {
    /// A word that is always zero (musl), if any.
    zero: Option<u64>,
    descriptor: u64,
}

/// The descriptor that a stream reads and writes by. `None` when it has none, or this is no stream of glibc or musl.
pub fn descriptor(memory: &dyn Memory, at: Addr) -> Option<i64> {
    let flags = memory.read_uint(at, 4).ok()?;
    let layout = layout(flags as u32, memory.machine())?;
    let word = |offset: u64| memory.read_word(at.offset(offset as i64)).ok();
    if layout.zero.is_some_and(|zero| word(zero) != Some(0)) {
        return None;
    }
    let number = memory.read_uint(at.offset(layout.descriptor as i64), 4);
    let number = i64::from(number.ok()? as i32);
    (number >= 0).then_some(number)
}

/// glibc: `struct _IO_FILE` (bits/types/struct_FILE.h), whose flags have a magic upper half (libio.h, `_IO_MAGIC`). musl:
/// `struct _IO_FILE` (src/internal/stdio_impl.h), whose flags are few.
fn layout(flags: u32, machine: Machine) -> Option<Layout> {
    let is_64 = machine == Machine::Amd64;
    match flags {
        0xfbad_0000..=0xfbad_ffff => Some(Layout {
            zero: None,
            descriptor: if is_64 { 112 } else { 56 },
        }),
        0..=0xff => Some(Layout {
            zero: Some(if is_64 { 48 } else { 24 }),
            descriptor: if is_64 { 120 } else { 60 },
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Stretch;

    #[track_caller]
    fn check(words: &[(usize, u32)], expected: Option<i64>) {
        let mut bytes = vec![0; 160];
        for (at, word) in words {
            bytes[*at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let at = Addr(0x1000);
        let found = descriptor(&Stretch { at, bytes }, at);
        assert_eq!(found, expected, "{words:?}");
    }

    #[test]
    fn of_both_libraries() {
        check(&[(0, 0xfbad_2488), (112, 3)], Some(3));
        check(&[(0, 0xfbad_2488), (112, u32::MAX)], None);
        check(&[(0, 9), (120, 4)], Some(4));
        check(&[(0, 9), (48, 1), (120, 4)], None);
        check(&[(0, 0x1234_5678), (112, 3), (120, 4)], None);
        assert_eq!(descriptor(&Stretch::default(), Addr(8)), None);
    }
}
