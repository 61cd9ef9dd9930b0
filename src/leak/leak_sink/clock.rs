//! When something is due. The time that was asked for begins with the first event of a program that runs.

use crate::base::time::Timestamp;
use std::time::Duration;

/// How often it is noted how much is live, and looked what keys and signals ask for.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// What time it is for the leak sink.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    now: Timestamp,
    begun: Option<Timestamp>,
    next_look: Timestamp,
    next_report: Option<Timestamp>,
}

impl Clock {
    /// When the last event was.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Programs run.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.begun.get_or_insert(now);
    }

    /// It is so late now. Whether it is time for a look.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let is_due = self.begun.is_some() && self.now >= self.next_look;
        if is_due {
            self.next_look = self.after(LOOK);
        }
        is_due
    }

    /// So much time has passed since the beginning.
    pub(super) fn has_passed(&self, time: Duration) -> bool {
        self.begun
            .is_some_and(|begun| self.now.since(begun) >= time)
    }

    /// It is time for a report, of which there is one in every such time.
    pub(super) fn is_report_due(&mut self, every: Duration) -> bool {
        let Some(begun) = self.begun else {
            return false;
        };
        let due = self.next_report.unwrap_or(Timestamp(begun.0 + every));
        let is_due = self.now >= due;
        self.next_report = Some(match is_due {
            true => self.after(every),
            false => due,
        });
        is_due
    }

    /// The next report comes after this time, and not before.
    pub(super) fn put_off(&mut self, time: Duration) {
        self.next_report = Some(self.after(time));
    }

    fn after(&self, time: Duration) -> Timestamp {
        Timestamp(self.now.0.saturating_add(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp(Duration::from_millis(millis))
    }

    #[test]
    fn nothing_is_due_before_the_beginning() {
        let mut clock = Clock::default();
        assert!(!clock.advance(at(1000)));
        assert!(!clock.has_passed(Duration::ZERO));
        assert!(!clock.is_report_due(Duration::ZERO));
        assert_eq!(clock.now(), at(1000));
    }

    #[test]
    fn looks_and_reports() {
        let every = Duration::from_millis(500);
        let mut clock = Clock::default();
        clock.begin(at(1000));
        let mut seen = Vec::new();
        for now in [1000, 1050, 1100, 1499, 1300, 1500, 1600, 2000] {
            seen.push((now, clock.advance(at(now)), clock.is_report_due(every)));
        }
        let expected = [
            (1000, true, false),
            (1050, false, false),
            (1100, true, false),
            (1499, true, false),
            (1300, false, false),
            (1500, false, true),
            (1600, true, false),
            (2000, true, true),
        ];
        assert_eq!(seen, expected);
        assert!(clock.has_passed(Duration::from_millis(1000)));
        assert!(!clock.has_passed(Duration::from_millis(1001)));
        clock.put_off(Duration::from_millis(700));
        clock.advance(at(2699));
        assert!(!clock.is_report_due(every));
        clock.advance(at(2700));
        assert!(clock.is_report_due(every));
        // A report in a million years is never due.
        clock.put_off(Duration::MAX);
        assert!(!clock.is_report_due(every));
    }
}
