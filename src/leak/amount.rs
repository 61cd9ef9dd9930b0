//! Amounts of memory, or of other things: how many, and how much.

use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Sub};

/// Blocks and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    /// How many blocks.
    pub blocks: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Amount {
    /// One block.
    pub fn of(bytes: u64) -> Amount {
        Amount { blocks: 1, bytes }
    }

    /// What a block stands for of which one byte was drawn, of `interval` on average: as many as it is likely that none
    /// is drawn of one that is as large. `key` decides how the fraction of a block is rounded, in which all of them are
    /// right on average.
    pub fn estimate(bytes: u64, interval: u64, key: u64) -> Amount {
        let is_drawn = -(-(bytes as f64) / interval as f64).exp_m1();
        let blocks = 1.0 / is_drawn;
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let is_rounded_up = blocks.fract() * (1_u64 << 53) as f64 > hash as f64;
        Amount {
            blocks: blocks as u64 + u64::from(is_rounded_up),
            bytes: (bytes as f64 * blocks).round() as u64,
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Sub for Amount {
    type Output = Amount;

    fn sub(self, other: Amount) -> Amount {
        Amount {
            blocks: self.blocks.saturating_sub(other.blocks),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What drawn blocks of this size stand for altogether, against what there is.
    #[track_caller]
    fn check(size: u64, interval: u64) {
        let share = 1.0 - (-(size as f64) / interval as f64).exp();
        let count = 10_000_u32;
        let exact = f64::from(count) / share;
        let mut all = Amount::default();
        (0..u64::from(count))
            .for_each(|n| all += Amount::estimate(size, interval, 0x5500_0000 + 16 * n));
        let off = |estimate: u64, exact: f64| (estimate as f64 / exact - 1.0).abs();
        assert!(off(all.blocks, exact) < 0.01, "{size}: {all:?}");
        assert!(
            off(all.bytes, exact * size as f64) < 0.01,
            "{size}: {all:?}"
        );
    }

    #[test]
    fn estimates_are_right_on_average() {
        for size in [16, 1000, 300_000, 524_288, 1_000_000, 100_000_000] {
            check(size, 524_288);
        }
        let one = Amount::estimate(100 << 20, 1, 0x10);
        assert_eq!(one, Amount::of(100 << 20));
    }
}
