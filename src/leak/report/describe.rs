//! What is in a block, who holds it, and what a cycle is made of: in words.

use crate::base::addr::Addr;
use crate::base::printable::printable;
use crate::leak::heap::block_at;
use crate::leak::reach::index::Node;
use crate::leak::reach::scan::Place;
use crate::leak::reach::{Step, lost};
use crate::leak::report::checked::Checked;
use crate::leak::report::model::{CycleStep, Holds, Line, Origin};
use crate::leak::report::numbers::bytes;
use crate::leak::symbols::Names;
use crate::leak::tracker::Tracker;
use std::collections::HashMap;
use std::sync::Arc;

/// So much of a block is looked at.
const LOOK: u64 = 256;
/// So much of it is shown.
const SHOWN: usize = 32;
/// A reader wants to know no more of a block.
const MOST_SAID: usize = 3;
/// Chains of holders are cut in the middle.
const LONGEST_CHAIN: usize = 5;

/// One check, to be put into words.
pub(super) struct Describer<'a> {
    /// What it holds.
    pub(super) tracker: &'a Tracker,
    /// What the check found.
    pub(super) checked: &'a Checked,
}

impl Describer<'_> {
    /// What most of these blocks hold.
    pub(super) fn holds(&self, samples: &[u64], names: &mut dyn Names) -> Option<Holds> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for &start in samples {
            *counts.entry(self.content(start, names)).or_default() += 1;
        }
        let most = counts
            .into_iter()
            .max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)));
        let (what, alike) = most.filter(|(what, _)| !what.is_empty())?;
        Some(Holds {
            what,
            alike,
            of: samples.len() as u64,
        })
    }

    /// `+0 -> served (server .bss), rest zero`; nothing when there is nothing to say.
    fn content(&self, start: u64, names: &mut dyn Names) -> String {
        let size = block_at(self.tracker, start).map_or(0, |live| live.size);
        let mut said = Vec::new();
        let mut rest_is_zero = size >= 8;
        for offset in (0..size.min(LOOK) / 8).map(|number| number * 8) {
            let Some(word) = self.checked.snapshot.word(start + offset) else {
                return String::new();
            };
            match self.word(word, names) {
                _ if word == 0 => {}
                Some(what) => said.push(format!("+{offset:#x} {what}").replace("+0x0 ", "+0 ")),
                None => rest_is_zero = false,
            }
        }
        rest_is_zero &= size <= LOOK;
        let more = said.len() > MOST_SAID;
        said.truncate(MOST_SAID);
        match (said.is_empty(), rest_is_zero, more) {
            (true, true, _) => "zero".to_owned(),
            (true, false, _) => self.text(start, size).unwrap_or_default(),
            (false, _, true) => format!("{}, more pointers", said.join(", ")),
            (false, true, _) => format!("{}, rest zero", said.join(", ")),
            (false, false, _) => said.join(", "),
        }
    }

    fn word(&self, word: u64, names: &mut dyn Names) -> Option<String> {
        if let Some((node, offset)) = self.checked.check.index.find(word) {
            let block = self.checked.check.index.blocks.get(node as usize)?;
            let inside = if offset == 0 {
                String::new()
            } else {
                format!("+{offset:#x}")
            };
            return Some(format!("-> block of {}{inside}", block.size));
        }
        if let Some(class) = names.class(Addr(word)) {
            return Some(format!("class {class}"));
        }
        let is_data = self
            .checked
            .snapshot
            .regions
            .iter()
            .any(|region| region.range.contains(&word));
        match is_data || self.checked.snapshot.is_image(word) {
            true => names.data(Addr(word)).map(|data| format!("-> {data}")),
            false => None,
        }
    }

    /// The text that a block begins with, if it does.
    fn text(&self, start: u64, size: u64) -> Option<String> {
        let text: String = self
            .first_bytes(start, size)?
            .iter()
            .map_while(|byte| character(*byte))
            .collect();
        (text.len() >= 4).then(|| format!("\"{text}\""))
    }

    /// As much of a block as is shown.
    fn first_bytes(&self, start: u64, size: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size.min(SHOWN as u64) as usize];
        let memory = &self.checked.snapshot.memory;
        let got = memory.read(Addr(start), &mut bytes).ok()?;
        bytes.truncate(got);
        Some(bytes)
    }

    /// `0x5555…: 61 62 63 … "abc…"`
    pub(super) fn dump(&self, start: u64) -> Option<String> {
        let size = block_at(self.tracker, start)?.size;
        let bytes = self.first_bytes(start, size)?;
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = bytes
            .iter()
            .map(|byte| character(*byte).unwrap_or('.'))
            .collect();
        let more = if size > SHOWN as u64 { " ..." } else { "" };
        Some(format!("{start:#x}: {}{more}  |{text}|", hex.join(" ")))
    }

    /// Who holds a block, nearest first.
    pub(super) fn held_by(&self, start: u64, names: &mut dyn Names) -> Vec<String> {
        let Some((node, _)) = self.checked.check.index.find(start) else {
            return Vec::new();
        };
        let steps = self.checked.check.holders(node);
        let mut told: Vec<String> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if steps.len() > LONGEST_CHAIN && at == LONGEST_CHAIN - 2 {
                told.push(format!("{} more", steps.len() - LONGEST_CHAIN + 1));
            }
            if steps.len() <= LONGEST_CHAIN || at < LONGEST_CHAIN - 2 || at + 1 == steps.len() {
                told.push(match step {
                    Step::Block(node) => self.block(*node, names),
                    Step::Place(place) => self.place(*place, names),
                });
            }
        }
        told
    }

    fn place(&self, place: Place, names: &mut dyn Names) -> String {
        match place {
            Place::Data(at) => {
                let name = names.data(Addr(at));
                let region = || {
                    self.checked
                        .snapshot
                        .regions
                        .iter()
                        .find(|r| r.range.contains(&at))
                };
                let region = || {
                    region()
                        .map(|region| printable(&region.name).into_owned())
                        .filter(|name| !name.is_empty())
                };
                name.or_else(|| Some(format!("{at:#x} in {}", region()?)))
                    .unwrap_or_else(|| format!("{at:#x}"))
            }
            Place::Stack(thread, at) => format!("the stack of thread {thread} ({at:#x})"),
            Place::Register(thread) => format!("a register of thread {thread}"),
            Place::Itself => "a call that has not returned".to_owned(),
        }
    }

    /// `Vec buffer 512 B`, `word_counter 64 B`, `block of 64 B by parse`
    fn block(&self, node: Node, names: &mut dyn Names) -> String {
        let Some(block) = self.checked.check.index.blocks.get(node as usize) else {
            return "a block".to_owned();
        };
        let size = bytes(block.size);
        let class = self.checked.snapshot.word(block.start);
        if let Some(class) = class.and_then(|word| names.class(Addr(word))) {
            return format!("{class} {size}");
        }
        let site =
            block_at(self.tracker, block.start).and_then(|live| self.tracker.sites.get(live.site));
        let Some(site) = site else {
            return format!("block of {size}");
        };
        let stack = names.stack(site.origin);
        match (
            container(&stack),
            stack.iter().find(|line| line.origin == Origin::User),
        ) {
            (Some(container), _) => format!("{container} {size}"),
            (None, Some(line)) => format!("block of {size} by {}", line.function),
            (None, None) => format!("block of {size}"),
        }
    }

    /// The steps of a group's cycle, from this block on.
    pub(super) fn cycle(
        &self,
        group: &lost::Group,
        first: Node,
        names: &mut dyn Names,
    ) -> Vec<CycleStep> {
        let mut cycle = group.cycle.clone();
        let at = cycle.iter().position(|node| *node == first).unwrap_or(0);
        cycle.rotate_left(at);
        let next = cycle.iter().cycle().skip(1);
        let step = |(&node, &next): (&Node, &Node)| {
            let offset = self
                .checked
                .check
                .offset(&self.checked.snapshot, node, next)
                .unwrap_or(0);
            let block = self.checked.check.index.blocks.get(node as usize);
            let class = block.and_then(|block| self.checked.snapshot.word(block.start));
            let class = class.and_then(|word| names.class(Addr(word)));
            let what = class.unwrap_or_else(|| self.block(node, names));
            CycleStep { what, offset }
        };
        cycle.iter().zip(next).map(step).collect()
    }
}

/// The byte as a printable character.
fn character(byte: u8) -> Option<char> {
    (byte.is_ascii_graphic() || byte == b' ').then_some(char::from(byte))
}

/// What a standard library's functions before the user's have made.
fn container(stack: &[Arc<Line>]) -> Option<&'static str> {
    const CONTAINERS: [(&str, &str); 16] = [
        ("raw_vec", "Vec buffer"),
        ("RawVec", "Vec buffer"),
        ("hashbrown", "HashMap table"),
        ("btree", "BTreeMap node"),
        ("alloc::string", "String"),
        ("alloc::sync::Arc", "Arc"),
        ("alloc::rc::Rc", "Rc"),
        ("alloc::boxed::Box", "Box"),
        ("std::vector", "vector buffer"),
        ("std::_Vector_base", "vector buffer"),
        ("basic_string", "string"),
        ("std::_Hashtable", "hash table"),
        ("std::__detail::_Hash", "hash table"),
        ("std::_Rb_tree", "map node"),
        ("std::deque", "deque"),
        ("std::__cxx11::list", "list node"),
    ];
    let inner = stack.iter().take_while(|line| line.origin != Origin::User);
    inner
        .filter(|line| line.origin == Origin::Standard)
        .find_map(|line| {
            let known = CONTAINERS
                .iter()
                .find(|(part, _)| line.function.contains(part));
            known.map(|(_, name)| *name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers() {
        let check = |names: &[&str], expected| {
            let line = |name: &&str| Line {
                function: (*name).to_owned(),
                origin: if name.contains("::") {
                    Origin::Standard
                } else {
                    Origin::User
                },
                ..Line::default()
            };
            let stack: Vec<Arc<Line>> = names.iter().map(line).map(Arc::new).collect();
            assert_eq!(container(&stack), expected, "{names:?}");
        };
        check(
            &[
                "alloc::raw_vec::RawVec<T, A>::grow_one",
                "alloc::vec::Vec<T>::push",
                "main",
            ],
            Some("Vec buffer"),
        );
        check(
            &["std::vector<...>::_M_realloc_insert", "main"],
            Some("vector buffer"),
        );
        check(&["main", "std::vector<...>::f"], None);
        check(&["std::sort", "main"], None);
    }
}
