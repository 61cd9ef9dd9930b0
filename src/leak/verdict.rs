//! What a check says of blocks.

use serde::{Deserialize, Serialize};

/// What is known of a site's blocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They cannot be reached.
    Lost,
    /// Only lost blocks lead to them.
    Indirect,
    /// Only pointers to the inside of blocks lead to them.
    Possible,
    /// They can be reached.
    Reachable,
    /// There was no check.
    #[default]
    Unchecked,
}
