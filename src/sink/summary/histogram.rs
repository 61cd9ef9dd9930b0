//! How long calls took, in so many classes that a quantile is at most a thirtieth off.

use std::time::Duration;

/// Classes of each power of two.
const PARTS: u32 = 32;

/// Counts by class.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u32>,
}

impl Histogram {
    pub(super) fn add(&mut self, time: Duration) {
        let class = class(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] = self.counts[class].saturating_add(1);
    }

    /// The time that so many of a thousand calls do not exceed.
    pub(super) fn quantile(&self, per_mille: u64) -> Duration {
        let all: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let wanted = (all * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        Duration::from_nanos(reached.map_or(0, middle))
    }
}

/// Numbers below [`PARTS`] have classes of their own; others go by their highest bits.
fn class(nanos: u64) -> usize {
    let Some(shift) = (nanos / u64::from(PARTS)).checked_ilog2() else {
        return nanos as usize;
    };
    let part = (nanos >> shift) as u32;
    (shift * PARTS + part) as usize
}

/// The number in the middle of a class.
fn middle(class: usize) -> u64 {
    let class = class as u64;
    let parts = u64::from(PARTS);
    if class < 2 * parts {
        return class;
    }
    let shift = class / parts - 1;
    let part = class % parts + parts;
    (part << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_narrow_and_in_order() {
        for nanos in (0..200).chain([1000, 12_345, 1 << 20, 987_654_321, u64::MAX / 3]) {
            let found = middle(class(nanos));
            let apart = found.abs_diff(nanos);
            assert!(apart <= nanos / 30, "{nanos}: {found}");
            assert!(class(nanos) <= class(nanos + 1), "{nanos}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), Duration::ZERO);
        for nanos in 1..=10 {
            histogram.add(Duration::from_nanos(nanos));
        }
        let quantile = |per_mille| histogram.quantile(per_mille).as_nanos();
        assert_eq!((quantile(500), quantile(990), quantile(0)), (5, 10, 1));
    }
}
