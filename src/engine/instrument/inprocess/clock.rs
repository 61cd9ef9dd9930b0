//! Ticks of the processor as moments of the wall clock.

use crate::base::time::Timestamp;
use crate::sys::ticks;
use std::time::Duration;

/// Where a straight line begins and where it has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Option<(u64, Timestamp)>,
    /// Moments here are nanoseconds since the epoch, which last for 584 years.
    now: (u64, u64),
    /// Nanoseconds a tick, in 2^-32.
    rate: u64,
    /// The last moment that was told.
    latest: u64,
}

/// So many ticks may pass while both clocks are read: more are an interruption.
const AT_ONCE: u64 = 1000;
/// So often it is tried to read them without one.
const TRIES: u32 = 4;

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            began: None,
            now: (0, 0),
            rate: 0,
            latest: 0,
        }
    }

    /// It is what `clock` says.
    pub(super) fn set(&mut self, clock: impl Fn() -> Timestamp) {
        let read = || {
            let before = ticks::now();
            let now = clock();
            let after = ticks::now();
            (after.saturating_sub(before), before.midpoint(after), now)
        };
        let mut reads = (0..TRIES).map(|_| read());
        let mut best = read();
        while best.0 > AT_ONCE
            && let Some(next) = reads.next()
        {
            best = best.min(next);
        }
        self.set_at(best.1, best.2);
    }

    fn set_at(&mut self, ticks: u64, now: Timestamp) {
        let (first, began) = *self.began.get_or_insert((ticks, now));
        let passed = u128::from(ticks.saturating_sub(first));
        let nanos = now.since(began).as_nanos();
        if let Some(rate) = (nanos << 32).checked_div(passed) {
            self.rate = rate as u64;
        }
        self.now = (ticks, u64::try_from(now.0.as_nanos()).unwrap_or(u64::MAX));
    }

    /// When that was: before what was [`set`](Clock::set) last, and not before what was told last.
    pub(super) fn time(&mut self, ticks: u64) -> Timestamp {
        let (last, now) = self.now;
        let passed = (u128::from(last.saturating_sub(ticks)) * u128::from(self.rate)) >> 32;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.latest = self.latest.max(now.saturating_sub(passed));
        Timestamp(Duration::from_nanos(self.latest))
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::base::time::Timestamp;
    use std::time::Duration;

    #[test]
    fn ticks_between_two_moments() {
        let at = |seconds| Timestamp(Duration::from_secs(seconds));
        let mut clock = Clock::new();
        clock.set_at(1_000, at(100));
        assert_eq!(clock.time(1_000), at(100));
        clock.set_at(3_000_001_000, at(101));
        let nanos = clock.time(1_500_001_000).since(at(100)).as_nanos();
        assert!(nanos.abs_diff(500_000_000) < 10, "{nanos}");
        // Later than now, and before what was told.
        assert_eq!(clock.time(u64::MAX), at(101));
        assert_eq!(clock.time(0), at(101));
    }
}
