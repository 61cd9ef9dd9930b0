//! How much was live over time, in all and at the sites that had most. Its resolution grows with time, so
//! that it stays small.

use crate::leak::amount::Amount;
use crate::leak::heap::heap_sites;
use crate::leak::site::SiteId;
use crate::leak::tracker::Tracker;

/// One look.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// Microseconds from the beginning.
    pub(super) micros: u64,
    /// All of the heap.
    pub(super) live: Amount,
    /// The bytes of the sites that had most.
    pub(super) sites: Vec<(SiteId, u64)>,
}

/// All looks.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) points: Vec<Point>,
    /// Microseconds between two looks.
    every: u64,
}

/// So many looks are kept.
const POINTS: usize = 400;
/// So many sites of each.
const SITES: usize = 8;
/// The first looks are so far apart, in microseconds.
const FIRST: u64 = 100_000;

impl Default for History {
    fn default() -> History {
        History {
            points: Vec::new(),
            every: FIRST,
        }
    }
}

impl History {
    /// Looks, if it is time to.
    pub(super) fn look(&mut self, tracker: &Tracker) {
        let now = tracker.micros(tracker.now());
        let last = self.points.last().map(|point| point.micros);
        if last.is_some_and(|last| now < last + self.every) {
            return;
        }
        self.look_now(tracker);
        if self.points.len() >= POINTS {
            let mut number = 0;
            self.points.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// Looks.
    pub(super) fn look_now(&mut self, tracker: &Tracker) {
        let mut live = Amount::default();
        let mut sites = Vec::new();
        for (id, site) in heap_sites(tracker) {
            let own = site.live();
            live += own;
            if own.bytes > 0 {
                sites.push((id, own.bytes));
            }
        }
        sites.sort_by_key(|(id, bytes)| (std::cmp::Reverse(*bytes), *id));
        sites.truncate(SITES);
        self.points.push(Point {
            micros: tracker.micros(tracker.now()),
            live,
            sites,
        });
    }
}
