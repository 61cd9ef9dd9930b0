//! Whether a tracer that follows its target waits too long for the processor.

use std::time::Duration;

/// Waiting for the processor longer than this for each stop means that we starve.
const STARVED: Duration = Duration::from_micros(150);
/// Less waiting than this in all proves nothing: others get their time slices.
const PROOF: Duration = Duration::from_millis(50);
/// So many stops are looked at together.
const WINDOW: u32 = 4096;

/// What is looked at together, by its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) stops: u32,
    /// How long we had waited for the processor.
    pub(super) waited: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Starved,
    Well,
}

impl Window {
    /// What to think of the time from its beginning to `now`, once it is long enough.
    pub(super) fn verdict(&self, now: Window) -> Option<Verdict> {
        let stops = now.stops.wrapping_sub(self.stops);
        let waited = now.waited.saturating_sub(self.waited);
        if waited >= PROOF && waited > STARVED * stops {
            Some(Verdict::Starved)
        } else if waited >= PROOF || stops >= WINDOW {
            Some(Verdict::Well)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, Window};
    use std::time::Duration;

    #[test]
    fn starving() {
        #[track_caller]
        fn check(stops: u32, milliseconds: u64, expected: Option<Verdict>) {
            let begin = Window {
                stops: u32::MAX,
                waited: Duration::from_secs(7),
            };
            let now = Window {
                stops: begin.stops.wrapping_add(stops),
                waited: begin.waited + Duration::from_millis(milliseconds),
            };
            assert_eq!(begin.verdict(now), expected);
        }
        check(16, 96, Some(Verdict::Starved));
        check(16, 20, None);
        check(333, 50, Some(Verdict::Starved));
        check(334, 50, Some(Verdict::Well));
        check(4095, 40, None);
        check(4096, 40, Some(Verdict::Well));
        check(4096, 1000, Some(Verdict::Starved));
    }
}
