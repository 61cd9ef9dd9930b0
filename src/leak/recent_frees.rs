//! What was released lately, so that a second release is known as such.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// The last releases.
#[derive(Clone, Debug)]
pub struct RecentFrees<T> {
    /// The oldest first.
    all: VecDeque<(u64, T)>,
    /// The number of the first of them.
    first: u64,
    /// The number of the last of each key. It is asked seldom, and then brought up to date.
    by_key: FxHashMap<u64, u64>,
    /// The number of the first that is not in there.
    unknown: u64,
}

/// How many releases are remembered.
const MOST: usize = 64 * 1024;

impl<T> Default for RecentFrees<T> {
    fn default() -> RecentFrees<T> {
        RecentFrees {
            all: VecDeque::new(),
            first: 0,
            by_key: FxHashMap::default(),
            unknown: 0,
        }
    }
}

impl<T> RecentFrees<T> {
    /// It was released.
    pub fn record(&mut self, key: u64, how: T) {
        if self.all.len() == MOST {
            self.all.pop_front();
            self.first += 1;
        }
        self.all.push_back((key, how));
    }

    /// How it was released last.
    pub fn find(&mut self, key: u64) -> Option<&T> {
        let from = self.unknown.max(self.first);
        for (number, (key, _)) in (from..).zip(self.all.range((from - self.first) as usize..)) {
            self.by_key.insert(*key, number);
        }
        self.unknown = self.first + self.all.len() as u64;
        if self.by_key.len() > 2 * MOST {
            self.by_key.retain(|_, number| *number >= self.first);
        }
        let place = self.by_key.get(&key)?.checked_sub(self.first)?;
        self.all.get(place as usize).map(|(_, how)| how)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = RecentFrees::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_in_order() {
        let mut recent = RecentFrees::default();
        recent.record(1, 'a');
        recent.record(2, 'b');
        recent.record(1, 'c');
        assert_eq!(recent.find(1), Some(&'c'));
        assert_eq!(recent.find(2), Some(&'b'));
        assert_eq!(recent.find(3), None);
        for key in 10..10 + MOST as u64 - 2 {
            recent.record(key, 'x');
        }
        assert_eq!(
            recent.find(1),
            Some(&'c'),
            "the first record of 1 was not its last"
        );
        recent.record(5, 'x');
        recent.record(6, 'x');
        assert_eq!(recent.find(1), None);
    }
}
