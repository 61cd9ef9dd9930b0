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
