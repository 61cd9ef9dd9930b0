//! Goes over everything that is live and sorts it by site and verdict.

use crate::base::Tid;
use crate::leak::heap::{block_at, has_addresses};
use crate::leak::kinds::{Kind, KindId};
use crate::leak::options::{BlockFilter, Thread};
use crate::leak::reach::{self, index::Node};
use crate::leak::report::checked::{Checked, born_before};
use crate::leak::report::model::{Amount, Verdict};
use crate::leak::site::SiteId;
use crate::leak::system::Descriptor;
use crate::leak::table::Live;
use crate::leak::tracker::{Holdings, Knowledge, Tracker};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Live things of one site and one verdict.
#[derive(Clone, Debug)]
pub struct Group {
    /// How much.
    pub live: Amount,
    /// The size of each, while all are alike.
    pub size: Option<u64>,
    /// When the first and the last of them were handed out, in microseconds.
    pub born: (u64, u64),
    /// How many in each quarter of the time since the beginning.
    pub quarters: [u64; 4],
    /// Some of them.
    pub samples: Vec<u64>,
}

/// What is live, by kind, site and verdict.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of kinds and sites.
    pub groups: BTreeMap<(KindId, SiteId, Verdict), Group>,
    /// What is too young to be judged.
    pub young: Amount,
    /// Descriptors that were closed unseen, by who opened them.
    pub closed_unseen: HashMap<SiteId, u64>,
}

/// What was handed out within less than this, in microseconds, came at once.
const GROWTH: u64 = 500_000;

/// So many values of a group are kept to look into.
const SAMPLES: usize = 64;

impl Group {
    /// It does not stop growing. What a program allocates while it starts is no growth: there something
    /// must be from nearly every part of the time.
    pub fn is_spread(&self, knowledge: Knowledge) -> bool {
        let parts = self.quarters.iter().filter(|count| **count > 0).count();
        let is_long = self.born.1 - self.born.0 >= GROWTH;
        let is_throughout = match knowledge {
            Knowledge::All => parts >= 3,
            Knowledge::SinceAttach => true,
        };
        self.live.blocks >= 4 && is_long && is_throughout
    }

    fn add(&mut self, key: u64, live: &Live, what: Amount, quarter: usize) {
        self.live += what;
        self.size = self.size.filter(|size| *size == live.size);
        self.born = (self.born.0.min(live.born), self.born.1.max(live.born));
        if let Some(count) = self.quarters.get_mut(quarter) {
            *count += 1;
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(key);
        }
    }
}

/// Sorts what is live. `threads` are the names of threads, `known` the descriptors that the kernel knows.
pub fn survey(
    tracker: &Tracker,
    checked: Option<&Checked>,
    filter: &BlockFilter,
    threads: &HashMap<Tid, String>,
    known: Option<&BTreeMap<u64, Descriptor>>,
) -> Survey {
    let mut survey = Survey::default();
    // What came since the snapshot has no verdict.
    let born_before = match checked {
        Some(checked) => checked.born_before,
        None => born_before(tracker, filter.older),
    };
    let now = tracker.micros(tracker.now()).max(1);
    let skip = u64::try_from(filter.skip_first.as_micros()).unwrap_or(u64::MAX);
    let is_meant = |live: &Live| {
        (filter.min_size..=filter.max_size).contains(&live.size)
            && live.born >= skip
            && filter
                .thread
                .as_ref()
                .is_none_or(|thread| is_thread(thread, live.thread, threads))
    };
    for (id, holdings) in tracker.holdings() {
        let kind = tracker.kinds().kind(id);
        let is_checked = kind.is_some_and(has_addresses);
        let known = known.filter(|_| kind.is_some_and(Kind::has_descriptors));
        let mut place = 0;
        for (key, live) in holdings.table.iter().filter(|(_, live)| is_meant(live)) {
            if known.is_some_and(|known| !is_open(holdings, known, key)) {
                *survey.closed_unseen.entry(live.site).or_default() += 1;
                continue;
            }
            if live.born > born_before {
                survey.young += tracker.amount(id, key, &live);
                continue;
            }
            let verdict = match checked.filter(|_| is_checked) {
                Some(checked) => verdict(checked, &mut place, key, &live),
                None => Verdict::Unchecked,
            };
            let quarter = (live.born.saturating_mul(4) / now).min(3) as usize;
            let new = || Group {
                live: Amount::default(),
                size: Some(live.size),
                born: (live.born, live.born),
                quarters: [0; 4],
                samples: Vec::new(),
            };
            let group = survey
                .groups
                .entry((id, live.site, verdict))
                .or_insert_with(new);
            group.add(key, &live, tracker.amount(id, key, &live), quarter);
        }
    }
    survey
}

/// The descriptor stands for the file that it stood for when it was handed out.
fn is_open(holdings: &Holdings, known: &BTreeMap<u64, Descriptor>, key: u64) -> bool {
    known.get(&key).is_some_and(|now| {
        let then = holdings.files.get(&key);
        then.zip(now.file.as_ref())
            .is_none_or(|(then, now)| then == now)
    })
}

fn is_thread(thread: &Thread, id: Tid, names: &HashMap<Tid, String>) -> bool {
    match thread {
        Thread::Id(wanted) => id.0 == *wanted,
        Thread::Name(wanted) => names.get(&id).is_some_and(|name| name == wanted),
    }
}

/// What could not be reached once is never reached again: a later word on some stack is a stale one. `place` is where
/// the block before was found.
fn verdict(checked: &Checked, place: &mut Node, key: u64, live: &Live) -> Verdict {
    let found = checked.check.index.find_behind(*place, key);
    *place = found.unwrap_or(*place);
    match found.map(|node| checked.check.verdict(node)) {
        Some(reach::Verdict::Lost | reach::Verdict::Indirect) => {
            match found.is_some_and(|node| checked.tells(node)) {
                true => Verdict::Lost,
                false => Verdict::Indirect,
            }
        }
        Some(reach::Verdict::Possible | reach::Verdict::Reachable) if live.lost => Verdict::Lost,
        Some(reach::Verdict::Possible) => Verdict::Possible,
        Some(reach::Verdict::Reachable) => Verdict::Reachable,
        None => Verdict::Unchecked,
    }
}

/// What is lost for good, of each kind. Few blocks are, so that these are looked for among what is live, not the other way.
pub fn lost_keys(tracker: &Tracker, checked: &Checked) -> Vec<(KindId, Vec<u64>)> {
    let check = &checked.check;
    let starts: Vec<u64> = (0..)
        .zip(&check.index.blocks)
        .filter(|(node, _)| check.verdict(*node) == reach::Verdict::Lost)
        .map(|(_, block)| block.start)
        .collect();
    let holdings = tracker
        .holdings()
        .filter(|(id, _)| tracker.kinds().kind(*id).is_some_and(has_addresses));
    let lost = holdings.map(|(id, holdings)| {
        let live = |key: &u64| holdings.table.get(*key);
        let is_old = |key: &u64| live(key).is_some_and(|live| live.born <= checked.born_before);
        (id, starts.iter().copied().filter(is_old).collect())
    });
    lost.collect()
}

/// Groups of lost blocks by the site of their leaders.
pub struct Led {
    /// How many groups, and how much is in all of them.
    pub group: super::model::Group,
    /// One of the groups, by its place in the check: one with a cycle if there is any.
    pub example: usize,
}

/// What the leaders of each site keep.
pub fn led(tracker: &Tracker, checked: &Checked) -> BTreeMap<SiteId, Led> {
    let mut led: BTreeMap<SiteId, Led> = BTreeMap::new();
    let check = &checked.check;
    let mut seen = BTreeSet::new();
    for ((number, group), told_by) in check.groups.iter().enumerate().zip(&checked.told_by) {
        let leader = check.index.blocks.get(*told_by as usize);
        let Some(live) = leader.and_then(|block| block_at(tracker, block.start)) else {
            continue;
        };
        let mut all = Amount::default();
        for &node in group.all() {
            all += Amount::of(
                check
                    .index
                    .blocks
                    .get(node as usize)
                    .map_or(0, |block| block.size),
            );
        }
        let known = led.entry(live.site).or_insert_with(|| Led {
            group: super::model::Group::default(),
            example: number,
        });
        known.group.groups += 1;
        known.group.all += all;
        if !group.cycle.is_empty() && seen.insert(live.site) {
            known.example = number;
        }
    }
    led
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows() {
        #[track_caller]
        fn check(quarters: [u64; 4], micros: u64, knowledge: Knowledge, expected: bool) {
            let group = Group {
                live: Amount {
                    blocks: quarters.iter().sum(),
                    bytes: 100,
                },
                size: None,
                born: (10, 10 + micros),
                quarters,
                samples: Vec::new(),
            };
            assert_eq!(
                group.is_spread(knowledge),
                expected,
                "{quarters:?}, {micros} us"
            );
        }
        let (all, attached) = (Knowledge::All, Knowledge::SinceAttach);
        check([5, 5, 5, 5], 600_000, all, true);
        check([5, 5, 5, 0], 600_000, all, true);
        check([5, 0, 0, 5], 600_000, all, false);
        check([5, 0, 0, 5], 600_000, attached, true);
        check([1, 1, 1, 0], 600_000, attached, false);
        // A program that runs for a moment only starts.
        check([5, 5, 5, 5], 90_000, all, false);
        check([5, 5, 5, 5], 90_000, attached, false);
    }
}
