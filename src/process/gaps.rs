//! Free stretches of an address space, for mappings of ours.

use crate::sys::proc;

/// How far a mapping of ours may be from code that it serves, so that relative operands (32 bits, signed) still reach
/// all of the module.
pub const REACH: u64 = 3 << 29;
/// Nothing can be mapped lower (mmap_min_addr's usual value) or higher (the end of user space).
const LOWEST: u64 = 0x10000;
/// So much below the stack stays free for it: several times what it may grow to by default (8 MiB), and its guard gap.
const STACK: u64 = 64 << 20;

/// The nearest place for so many bytes, less than `reach` away: at the upper end of a gap, where neither the heap, which grows up,
/// nor the next mapping, which the kernel puts below the lowest, is in its way. Where large reservations leave no
/// such gap: at the lower end of the one below the stack, which the kernel keeps free for its growth.
pub fn gap_near(maps: &[proc::Mapping], at: u64, bytes: u64, reach: u64) -> Option<u64> {
    let mut previous_end = LOWEST;
    let mut best: Option<u64> = None;
    let mut below_stack = None;
    for mapping in maps {
        let start = mapping.range.start;
        let fits = start >= previous_end.saturating_add(bytes);
        let is_stack = mapping.path.as_os_str() == "[stack]";
        if is_stack && start >= previous_end.saturating_add(STACK) {
            below_stack = Some(previous_end).filter(|end| end.abs_diff(at) < reach);
        } else if fits && !is_stack {
            let candidate = start - bytes;
            let nearer = best.is_none_or(|best| candidate.abs_diff(at) < best.abs_diff(at));
            if candidate.abs_diff(at) < reach && nearer {
                best = Some(candidate);
            }
        }
        previous_end = mapping.range.end.max(previous_end);
    }
    best.or(below_stack)
}

#[cfg(test)]
mod tests {
    use super::{REACH, gap_near};
    use crate::sys::proc::Mapping;

    const AREA: u64 = 64 << 10;

    fn maps(ranges: &[(u64, u64, &str)]) -> Vec<Mapping> {
        let mapping = |&(start, end, path): &(u64, u64, &str)| Mapping {
            range: start..end,
            readable: true,
            writable: true,
            executable: false,
            shared: false,
            offset: 0,
            file: (0, 0),
            path: path.into(),
        };
        ranges.iter().map(mapping).collect()
    }

    #[test]
    fn the_upper_end_of_the_nearest_gap() {
        let maps = maps(&[
            (0x5600_0000_0000, 0x5600_0010_0000, ""),
            (0x5600_4000_0000, 0x5600_4010_0000, ""),
            (0x7ffc_0000_0000, 0x7ffc_0010_0000, "[stack]"),
        ]);
        let found = gap_near(&maps, 0x5600_0000_8000, AREA, REACH);
        assert_eq!(found, Some(0x5600_0000_0000 - AREA));
    }

    #[test]
    fn above_a_library_that_a_reservation_touches() {
        let lib = 0x7fde_3300_0000;
        let stack = 0x7ffc_0000_0000;
        let all = [
            (lib - (8 << 40), lib, ""),
            (lib, lib + 0x20_0000, "/lib/libc.so.6"),
            (stack, stack + 0x2_0000, "[stack]"),
        ];
        assert_eq!(
            gap_near(&maps(&all), lib, AREA, REACH),
            Some(lib + 0x20_0000)
        );
        // Too near to the stack.
        let mut near = all;
        near[2].0 = lib + 0x120_0000;
        assert_eq!(gap_near(&maps(&near), lib, AREA, REACH), None);
    }
}
