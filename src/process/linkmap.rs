//! The dynamic linker's list of loaded modules: `struct r_debug` and `struct link_map` of `<link.h>`,
//! alike in glibc and musl.

use crate::base::addr::{Addr, Bias};
use crate::base::memory::{Memory, Unreadable};
use std::collections::HashSet;

/// More modules than any program loads: a list that does not end sooner is damaged or a trap.
const MOST_MODULES: usize = 16384;
/// More namespaces than dlmopen(3) gives out.
const MOST_NAMESPACES: usize = 64;
const MOST_NAME: usize = 4096;

/// What `r_debug` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debug {
    /// `r_map`, the first module.
    pub first: Addr,
    /// `r_brk`, the function that the dynamic linker calls at every change.
    pub brk: Addr,
    /// `r_state` is RT_CONSISTENT: no change is under way.
    pub consistent: bool,
    /// The next namespace's `r_debug` (`struct r_debug_extended`, since version 2).
    pub next: Option<Addr>,
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `l_addr`.
    pub bias: Bias,
    /// `l_name` as the dynamic linker wrote it; empty for the main program.
    pub name: Vec<u8>,
    /// `l_ld`, the module's dynamic section.
    pub dynamic: Addr,
    /// In which list it stands first: that of the program, or one that dlmopen(3) has made.
    pub namespace: usize,
}

/// Reads `struct r_debug`, whose every member begins a word: r_version, r_map, r_brk, r_state, r_ldbase and,
/// in later versions, r_next. `None` while the dynamic linker has not filled it.
pub fn debug(memory: &dyn Memory, at: Addr) -> Result<Option<Debug>, Unreadable> {
    let version = memory.read_uint(at, 4)?;
    if version == 0 {
        return Ok(None);
    }
    let word = |index: i64| memory.read_word(at.offset(index * memory.machine().word() as i64));
    let next = if version >= 2 { word(5)? } else { 0 };
    Ok(Some(Debug {
        first: Addr(word(1)?),
        brk: Addr(word(2)?),
        // An enumeration, of 32 bits.
        consistent: word(3)? as u32 == 0,
        next: (next != 0).then_some(Addr(next)),
    }))
}

/// The modules of all namespaces, each once: the dynamic linker itself stands in all of them. A list that breaks off in unreadable memory ends there: the dynamic
/// linker may be changing it.
pub fn modules(memory: &dyn Memory, r_debug: Addr) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    let mut visited = HashSet::new();
    let mut next_list = Some(r_debug);
    for namespace in 0..MOST_NAMESPACES {
        let Some(Ok(Some(debug))) = next_list.map(|at| self::debug(memory, at)) else {
            break;
        };
        let mut at = debug.first;
        // A list that leads back into itself ends there.
        while at.0 != 0 && visited.len() < MOST_MODULES && visited.insert(at) {
            let Ok((mut entry, next)) = entry(memory, at) else {
                break;
            };
            if seen.insert((entry.bias, entry.dynamic)) {
                entry.namespace = namespace;
                entries.push(entry);
            }
            at = next;
        }
        next_list = debug.next;
    }
    entries
}

/// Reads `struct link_map`: l_addr, l_name, l_ld, l_next.
fn entry(memory: &dyn Memory, at: Addr) -> Result<(Entry, Addr), Unreadable> {
    let mut bytes = [0; 32];
    let bytes = &mut bytes[..4 * memory.machine().word()];
    memory.read_exact(at, bytes)?;
    let words: Vec<u64> = memory.machine().words(bytes).collect();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let name = memory
        .read_c_string(Addr(word(1)), MOST_NAME)
        .map(|(name, _)| name.into_vec())
        .unwrap_or_default();
    Ok((
        Entry {
            bias: Bias(word(0)),
            name,
            dynamic: Addr(word(2)),
            namespace: 0,
        },
        Addr(word(3)),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Entry, debug, modules};
    use crate::base::addr::{Addr, Bias};
    use crate::base::memory::Stretch;

    fn words(at: u64, words: &[u64]) -> Stretch {
        Stretch {
            at: Addr(at),
            bytes: words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        }
    }

    #[test]
    fn an_unfilled_r_debug_is_nothing() {
        assert_eq!(debug(&words(0x1000, &[0; 6]), Addr(0x1000)), Ok(None));
        assert!(debug(&words(0x1000, &[1]), Addr(0x1000)).is_err());
    }

    #[test]
    fn a_list_of_two() {
        let name = u64::from_le_bytes(*b"libx.so\0");
        let memory = words(
            0x1000,
            &[
                1, 0x1028, 0x77, 0, 0, /* 0x1028 */ 0x10, 0, 0x20, 0x1050, 0,
                /* 0x1050 */ 0x30, 0x1070, 0x40, 0, name,
            ],
        );
        let entry = |bias, name: &str, dynamic| Entry {
            bias: Bias(bias),
            name: name.into(),
            dynamic: Addr(dynamic),
            namespace: 0,
        };
        assert_eq!(
            modules(&memory, Addr(0x1000)),
            [entry(0x10, "", 0x20), entry(0x30, "libx.so", 0x40)]
        );
    }

    #[test]
    fn namespaces_share_the_dynamic_linker() {
        // Version 2, with another r_debug at 0x1090: a program and the linker, then a library and the linker.
        let memory = words(
            0x1000,
            &[
                2, 0x1030, 0x77, 0, 0, 0x1090, /* 0x1030 */ 0x10, 0, 0x20, 0x1058, 0,
                /* 0x1058 */ 0x30, 0, 0x40, 0, 0, 0, /* 0x1088 */ 0, /* 0x1090 */ 2,
                0x10c0, 0x77, 0, 0, 0, /* 0x10c0 */ 0x50, 0, 0x60, 0x10e0,
                /* 0x10e0 */ 0x30, 0, 0x40, 0,
            ],
        );
        let found = modules(&memory, Addr(0x1000));
        let found: Vec<(u64, usize)> = found.iter().map(|e| (e.bias.0, e.namespace)).collect();
        assert_eq!(found, [(0x10, 0), (0x30, 0), (0x50, 1)]);
    }

    #[test]
    fn a_list_in_a_circle_ends() {
        let memory = words(0x1000, &[1, 0x1028, 0x77, 0, 0, 0x10, 0, 0x20, 0x1028, 0]);
        assert_eq!(modules(&memory, Addr(0x1000)).len(), 1);
    }
}
