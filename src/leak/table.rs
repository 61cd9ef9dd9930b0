//! What is live of one kind, keyed by its value: opened, taken back, put back when the release was
//! refused.

mod owned;

use crate::base::Tid;
use crate::leak::kinds::Shape;
use crate::leak::site::SiteId;
use owned::Owned;
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;

/// One live thing. There may be millions: what its site can say is said there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its size in bytes as it was asked for.
    pub size: u64,
    /// Microseconds from the session's beginning to its acquisition.
    pub born: u64,
    /// Who asked for it.
    pub site: SiteId,
    /// The thread it was handed to.
    pub thread: Tid,
    /// Which functions may take it back.
    pub family: super::kinds::FamilyId,
    /// A check found it lost.
    pub lost: bool,
}

/// Things and their values: most often one.
pub type Taken = SmallVec<[(u64, Live); 1]>;

/// What is live of one kind.
#[derive(Clone, Debug)]
pub enum Table {
    /// Things that are handed out once.
    Owned(Owned),
    /// The last one taken is the first one given back, as far as is known.
    Counted(FxHashMap<u64, Vec<Live>>),
    /// By first address; `size` is the length, and they do not overlap.
    Ranges(BTreeMap<u64, Live>),
}

/// Mappings come in pages.
const PAGE: u64 = 4096;

fn pages(size: u64) -> u64 {
    size.checked_next_multiple_of(PAGE).unwrap_or(size)
}

/// How far before an address the block is looked for that it may be inside of.
const INSIDE: u64 = 1024;
/// Where an allocator's blocks may begin.
const ALIGNMENT: u64 = 16;

impl Table {
    /// An empty one.
    pub fn new(shape: Shape) -> Table {
        match shape {
            Shape::Owned => Table::Owned(Owned::default()),
            Shape::Counted => Table::Counted(FxHashMap::default()),
            Shape::Ranges => Table::Ranges(BTreeMap::new()),
        }
    }

    /// Something was handed out. What comes back is what it takes the place of: its release was missed,
    /// or a mapping was laid over it.
    pub fn open(&mut self, key: u64, live: Live) -> Taken {
        match self {
            Table::Owned(all) => taken(key, all.insert(key, live)),
            Table::Counted(all) => {
                all.entry(key).or_default().push(live);
                Taken::new()
            }
            Table::Ranges(all) => {
                let size = pages(live.size);
                let replaced = take_range(all, key, size);
                all.insert(key, Live { size, ..live });
                replaced
            }
        }
    }

    /// Takes out what is released: the thing of this value, or what of this range is live. `size` is for
    /// ranges; without it the one that begins there is meant.
    pub fn take(&mut self, key: u64, size: Option<u64>) -> Taken {
        let one = match self {
            Table::Owned(all) => all.remove(key),
            Table::Counted(all) => {
                let last = all.get_mut(&key).and_then(Vec::pop);
                if all.get(&key).is_some_and(Vec::is_empty) {
                    all.remove(&key);
                }
                last
            }
            Table::Ranges(all) => match size {
                Some(size) => return take_range(all, key, pages(size)),
                None => all.remove(&key),
            },
        };
        taken(key, one)
    }

    /// Gives back what was taken out for a release that was refused. What has come to its place
    /// meanwhile stays.
    pub fn put_back(&mut self, taken: Taken) {
        for (key, live) in taken {
            match self {
                Table::Owned(all) => all.insert_new(key, live),
                Table::Counted(all) => all.entry(key).or_default().push(live),
                Table::Ranges(all) => {
                    if overlapping(all, key, live.size).is_empty() {
                        all.insert(key, live);
                    }
                }
            }
        }
    }

    /// The thing that begins a little before this value and reaches over it.
    pub fn around(&self, key: u64) -> Option<(u64, Live)> {
        let Table::Owned(all) = self else { return None };
        let first = key - key % ALIGNMENT;
        let starts = (0..INSIDE / ALIGNMENT).filter_map(|n| first.checked_sub(n * ALIGNMENT));
        let mut candidates = starts.filter_map(|start| Some((start, all.get(start)?)));
        let (start, live) = candidates.next()?;
        (key - start < live.size && start != key).then_some((start, live))
    }

    /// The thing of this value, if it is live; of several the last one.
    pub fn get(&self, key: u64) -> Option<Live> {
        match self {
            Table::Owned(all) => all.get(key),
            Table::Counted(all) => all.get(&key).and_then(|all| all.last()).copied(),
            Table::Ranges(all) => all.get(&key).copied(),
        }
    }

    /// What is live, in no order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (u64, Live)> + '_> {
        match self {
            Table::Owned(all) => Box::new(all.iter()),
            Table::Counted(all) => Box::new(
                all.iter()
                    .flat_map(|(key, all)| all.iter().map(|live| (*key, *live))),
            ),
            Table::Ranges(all) => Box::new(all.iter().map(|(key, live)| (*key, *live))),
        }
    }

    /// How much is live.
    pub fn len(&self) -> usize {
        match self {
            Table::Owned(all) => all.len(),
            Table::Counted(all) => all.values().map(Vec::len).sum(),
            Table::Ranges(all) => all.len(),
        }
    }

    /// Nothing is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that this thing is lost.
    pub fn mark_lost(&mut self, key: u64) {
        if let Table::Owned(all) = self {
            all.mark_lost(key);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        match self {
            Table::Owned(all) => all.clear(),
            Table::Counted(all) => all.clear(),
            Table::Ranges(all) => all.clear(),
        }
    }
}

fn taken(key: u64, live: Option<Live>) -> Taken {
    live.map_or(Taken::new(), |live| smallvec![(key, live)])
}

/// The first addresses of the ranges that share an address with this one.
fn overlapping(all: &BTreeMap<u64, Live>, start: u64, size: u64) -> Vec<u64> {
    let end = start.saturating_add(size);
    let before = all.range(..start).next_back();
    let reaches = |(at, live): &(&u64, &Live)| at.saturating_add(live.size) > start;
    let before = before.filter(reaches).map(|(at, _)| *at);
    before
        .into_iter()
        .chain(all.range(start..end).map(|(at, _)| *at))
        .collect()
}

/// Cuts a range out of all that overlap it.
fn take_range(all: &mut BTreeMap<u64, Live>, start: u64, size: u64) -> Taken {
    let end = start.saturating_add(size);
    let mut taken = Taken::new();
    for at in overlapping(all, start, size) {
        let Some(live) = all.remove(&at) else {
            continue;
        };
        let live_end = at.saturating_add(live.size);
        if at < start {
            all.insert(
                at,
                Live {
                    size: start - at,
                    ..live
                },
            );
        }
        if live_end > end {
            all.insert(
                end,
                Live {
                    size: live_end - end,
                    ..live
                },
            );
        }
        let (from, to) = (at.max(start), live_end.min(end));
        taken.push((
            from,
            Live {
                size: to - from,
                ..live
            },
        ));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::kinds::FamilyId;
    use proptest::prelude::*;

    fn live(size: u64) -> Live {
        let (site, thread, family) = (SiteId(0), Tid(1), FamilyId(0));
        Live {
            size,
            born: 0,
            site,
            thread,
            family,
            lost: false,
        }
    }

    /// `key+size` of each, in order.
    fn shown(things: impl Iterator<Item = (u64, Live)>) -> String {
        let mut things: Vec<(u64, u64)> = things.map(|(key, live)| (key, live.size)).collect();
        things.sort_unstable();
        let shown: Vec<String> = things
            .iter()
            .map(|(key, size)| format!("{key:#x}+{size:#x}"))
            .collect();
        shown.join(" ")
    }

    #[track_caller]
    fn check(table: &Table, expected: &str) {
        assert_eq!(shown(table.iter()), expected);
        assert_eq!(table.len(), table.iter().count());
    }

    #[test]
    fn owned_things() {
        let mut table = Table::new(Shape::Owned);
        assert!(table.open(0x1000, live(32)).is_empty());
        assert!(table.open(0x2000, live(8)).is_empty());
        assert_eq!(
            table.open(0x1000, live(16)).as_slice(),
            [(0x1000, live(32))],
            "a missed release"
        );
        check(&table, "0x1000+0x10 0x2000+0x8");
        let taken = table.take(0x1000, None);
        assert_eq!(taken.as_slice(), [(0x1000, live(16))]);
        assert!(table.take(0x1000, None).is_empty());
        table.put_back(taken);
        check(&table, "0x1000+0x10 0x2000+0x8");
        let taken = table.take(0x2000, None);
        table.open(0x2000, live(9));
        table.put_back(taken);
        check(&table, "0x1000+0x10 0x2000+0x9");
    }

    #[test]
    fn inside_of_a_block() {
        let mut table = Table::new(Shape::Owned);
        table.open(0x1000, live(40));
        let check = |key, expected: Option<u64>| {
            assert_eq!(
                table.around(key).map(|(start, _)| start),
                expected,
                "{key:#x}"
            );
        };
        check(0x1000, None);
        check(0x1008, Some(0x1000));
        check(0x1027, Some(0x1000));
        check(0x1028, None);
        check(0xfff, None);
        check(3, None);
    }

    #[test]
    fn counted_things() {
        let mut table = Table::new(Shape::Counted);
        table.open(7, live(1));
        table.open(7, live(2));
        table.open(8, live(3));
        check(&table, "0x7+0x1 0x7+0x2 0x8+0x3");
        assert_eq!(
            table.take(7, None).as_slice(),
            [(7, live(2))],
            "the last comes first"
        );
        assert_eq!(table.take(7, None).as_slice(), [(7, live(1))]);
        assert!(table.take(7, None).is_empty());
        check(&table, "0x8+0x3");
    }

    #[test]
    fn ranges_are_cut() {
        let mut table = Table::new(Shape::Ranges);
        table.open(0x10000, live(0x5000));
        table.open(0x20000, live(100));
        check(&table, "0x10000+0x5000 0x20000+0x1000");
        let taken = table.take(0x11000, Some(0x1001));
        assert_eq!(shown(taken.clone().into_iter()), "0x11000+0x2000");
        check(&table, "0x10000+0x1000 0x13000+0x2000 0x20000+0x1000");
        table.put_back(taken);
        check(
            &table,
            "0x10000+0x1000 0x11000+0x2000 0x13000+0x2000 0x20000+0x1000",
        );
        let replaced = table.open(0x12000, live(0xf000));
        assert_eq!(
            shown(replaced.into_iter()),
            "0x12000+0x1000 0x13000+0x2000 0x20000+0x1000"
        );
        check(&table, "0x10000+0x1000 0x11000+0x1000 0x12000+0xf000");
        assert_eq!(
            shown(table.take(0x12000, None).into_iter()),
            "0x12000+0xf000"
        );
        assert!(table.take(u64::MAX - 5, Some(u64::MAX)).is_empty());
    }

    proptest! {
        /// Against a page by page model.
        #[test]
        fn ranges_keep_every_page(steps in proptest::collection::vec((any::<bool>(), 0u64..64, 1u64..16), 0..40)) {
            let mut table = Table::new(Shape::Ranges);
            let mut pages = std::collections::BTreeSet::new();
            for (opens, start, count) in steps {
                let (key, size) = (start * PAGE, count * PAGE);
                if opens {
                    table.open(key, live(size));
                    pages.extend(start..start + count);
                } else {
                    let taken = table.take(key, Some(size));
                    let gone = (start..start + count).filter(|page| pages.remove(page)).count() as u64;
                    prop_assert_eq!(taken.iter().map(|(_, live)| live.size).sum::<u64>(), gone * PAGE);
                }
                let held = table.iter().flat_map(|(at, live)| at / PAGE..(at + live.size) / PAGE);
                let mut held: Vec<u64> = held.collect();
                held.sort_unstable();
                prop_assert_eq!(held, pages.iter().copied().collect::<Vec<u64>>());
            }
        }
    }
}
