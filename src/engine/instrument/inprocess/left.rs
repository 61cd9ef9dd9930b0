//! What a tracer has left that did not live to take its patches out.

use super::{area, islands};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::record::{Layout, header, log};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc::Mapping;
use std::ops::Range;

/// Puts back what stood in the place of patches that lead to areas of earlier tracers; how many those were. Every task
/// must stand still. The areas stay: calls may return there.
pub fn remove_left_over(maps: &[Mapping], memory: &ProcessMemory) -> usize {
    let code: Vec<Range<u64>> = maps
        .iter()
        .filter(|m| m.executable)
        .map(|m| m.range.clone())
        .collect();
    area::left(maps)
        .map(|layout| remove(layout, &code, memory))
        .sum()
}

/// The log stays as it is: a child that was forked shares it with its maker, whose patches may still stand.
fn remove(layout: Layout, code: &[Range<u64>], memory: &ProcessMemory) -> usize {
    let view: &dyn Memory = memory;
    let is_code = |at: u64| code.iter().any(|range| range.contains(&at));
    let ours = ours(layout, view);
    let is_ours = |at: u64| ours.iter().any(|range| range.contains(&at));
    let mut removed = 0;
    for (at, before) in log::left(layout, view) {
        let mut there = [0; 6];
        let stands = is_code(at)
            && view.read_exact(Addr(at), &mut there).is_ok()
            && target(at, there).is_some_and(is_ours);
        // Nothing better can be done for a page that has become unwritable.
        if stands && memory.write(Addr(at), &before).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// Where the code is that patches lead to: the area, islands and detours.
fn ours(layout: Layout, memory: &dyn Memory) -> Vec<Range<u64>> {
    let shared = layout.shared().start;
    let listed = |offset: u64, most: u64| {
        let words = (0..most).map(move |n| Addr(shared + offset + 8 * n));
        let starts = words.map_while(move |at| memory.read_word(at).ok().filter(|at| *at != 0));
        starts.map(|start| start..start.saturating_add(islands::BYTES))
    };
    let islands = listed(header::ISLANDS, header::MOST_ISLANDS);
    let detours = listed(header::DETOURS, header::MOST_DETOURS);
    islands.chain(detours).chain([layout.code()]).collect()
}

/// Where a patch leads to.
fn target(at: u64, patch: [u8; 6]) -> Option<u64> {
    let (end, [a, b, c, d]) = match patch {
        [0x67, 0xe8, a, b, c, d] => (at.wrapping_add(6), [a, b, c, d]),
        [0xe9, a, b, c, d, _] => (at.wrapping_add(5), [a, b, c, d]),
        _ => return None,
    };
    Some(end.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into()))
}
