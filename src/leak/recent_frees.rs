//! What was released lately, so that a second release is known as such.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// The last releases.
#[derive(Clone, Debug)]
pub struct RecentFrees<T> {
    by_key: FxHashMap<u64, (u64, T)>,
    order: VecDeque<(u64, u64)>,
    next: u64,
}

/// How many releases are remembered.
const MOST: usize = 64 * 1024;

impl<T> Default for RecentFrees<T> {
    fn default() -> RecentFrees<T> {
        RecentFrees {
            by_key: FxHashMap::default(),
            order: VecDeque::new(),
            next: 0,
        }
    }
}

impl<T> RecentFrees<T> {
    /// It was released.
    pub fn record(&mut self, key: u64, how: T) {
        self.next += 1;
        self.by_key.insert(key, (self.next, how));
        self.order.push_back((key, self.next));
        if self.order.len() > MOST
            && let Some((old, number)) = self.order.pop_front()
            && self.by_key.get(&old).is_some_and(|(n, _)| *n == number)
        {
            self.by_key.remove(&old);
        }
    }

    /// Forgets the last release of what was handed out anew.
    pub fn forget(&mut self, key: u64) {
        self.by_key.remove(&key);
    }

    /// How it was released.
    pub fn find(&self, key: u64) -> Option<&T> {
        self.by_key.get(&key).map(|(_, how)| how)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.by_key.clear();
        self.order.clear();
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
        recent.forget(2);
        assert_eq!(recent.find(2), None);
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
