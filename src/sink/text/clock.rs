//! The time at the beginning of a line (`-r`, `-t`, `-tt`, `-ttt`).

use super::line::Line;
use crate::base::time::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// How the time of a line is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// Not at all.
    #[default]
    Hidden,
    /// What passed since the line before began (`-r`).
    Delta,
    /// `11:24:00` (`-t`)
    OfDay,
    /// `11:24:00.672193` (`-tt`)
    OfDayMicros,
    /// `1795173840.681493` (`-ttt`)
    Epoch,
}

/// Shows times, and knows those that it has to know for it.
pub(super) struct Clock {
    time: Time,
    zone: TimeZone,
    /// When the line before began.
    before: Option<Timestamp>,
    /// A second since the epoch, and how a wall clock showed it.
    second: Option<(u64, String)>,
}

impl Clock {
    pub(super) fn new(time: Time) -> Clock {
        let zone = match time {
            Time::OfDay | Time::OfDayMicros => TimeZone::system(),
            _ => TimeZone::UTC,
        };
        Clock {
            time,
            zone,
            before: None,
            second: None,
        }
    }

    /// Puts the time of a line before it.
    pub(super) fn show(&mut self, now: Timestamp, line: &mut Line) {
        let (seconds, micros) = (now.0.as_secs(), now.0.subsec_micros());
        // Writing to a line does not fail.
        let _ = match self.time {
            Time::Hidden => Ok(()),
            Time::Delta => {
                let delta = now.since(self.before.replace(now).unwrap_or(now));
                write!(line, "{:3}.{:06} ", delta.as_secs(), delta.subsec_micros())
            }
            Time::OfDay => write!(line, "{} ", self.of_day(seconds)),
            Time::OfDayMicros => write!(line, "{}.{micros:06} ", self.of_day(seconds)),
            Time::Epoch => write!(line, "{seconds}.{micros:06} "),
        };
    }

    fn of_day(&mut self, second: u64) -> &str {
        if self
            .second
            .as_ref()
            .is_none_or(|(known, _)| *known != second)
        {
            self.second = Some((second, of_day(second, &self.zone)));
        }
        self.second.as_ref().map_or("", |(_, shown)| shown)
    }
}

fn of_day(second: u64, zone: &TimeZone) -> String {
    let second = i64::try_from(second)
        .ok()
        .and_then(|second| jiff::Timestamp::from_second(second).ok());
    let time = zone.to_datetime(second.unwrap_or_default());
    format!(
        "{:02}:{:02}:{:02}",
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(second: u64, zone: &str, shown: &str) {
        let zone = TimeZone::posix(zone).expect("a time zone");
        assert_eq!(of_day(second, &zone), shown);
    }

    #[test]
    fn times_of_day() {
        check(0, "UTC0", "00:00:00");
        check(1_795_173_840, "UTC0", "11:24:00");
        check(1_795_173_840, "CET-1CEST,M3.5.0,M10.5.0/3", "12:24:00");
        check(u64::MAX, "UTC0", "00:00:00");
    }
}
