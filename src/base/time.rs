//! When something happened.

use std::time::Duration;

/// A moment of the wall clock, as time since the Unix epoch. Times of one task never run backwards
/// in an event stream, whatever is done to the clock meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Duration);

impl Timestamp {
    /// The time that passed since `earlier`; zero when there was none.
    pub fn since(self, earlier: Timestamp) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
