//! How a number went over the last reports: a sparkline and a rate.

use std::collections::VecDeque;

/// The last values of a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Trend {
    /// Seconds and the value, oldest first.
    values: VecDeque<(f64, u64)>,
}

/// With which characters lines are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Those of Unicode.
    #[default]
    Unicode,
    /// For terminals that know no others.
    Ascii,
}

/// More values than the widest terminal has columns for are not kept.
const VALUES: usize = 200;
/// A rate is that of so many seconds.
const RATE: f64 = 10.0;

impl Glyphs {
    /// From nothing to the most.
    fn levels(self) -> [char; 8] {
        match self {
            Glyphs::Unicode => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Glyphs::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

impl Trend {
    /// The value at this second.
    pub(super) fn add(&mut self, seconds: f64, value: u64) {
        if self.values.len() >= VALUES {
            self.values.pop_front();
        }
        self.values.push_back((seconds, value));
    }

    /// By how much it grew in a second, lately.
    pub(super) fn rate(&self) -> Option<f64> {
        let (now, last) = *self.values.back()?;
        let (then, first) = *self.values.iter().find(|(at, _)| now - at <= RATE)?;
        (now > then).then(|| (last as f64 - first as f64) / (now - then))
    }

    /// The last values, a character for each, from nothing to the largest of them; blanks where there are
    /// none yet.
    pub(super) fn line(&self, width: usize, glyphs: Glyphs) -> String {
        let shown = self.values.len().min(width);
        let last = || self.values.iter().skip(self.values.len() - shown);
        let most = last().map(|(_, value)| *value).max().unwrap_or(0).max(1);
        let levels = glyphs.levels();
        let level = |value: u64| {
            // Rounded up, so that what is there can be told from nothing.
            let level = (value as f64 / most as f64 * (levels.len() - 1) as f64).ceil();
            levels.get(level as usize).copied().unwrap_or(' ')
        };
        let blanks = std::iter::repeat_n(' ', width - shown);
        blanks
            .chain(last().map(|(_, value)| level(*value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(values: &[u64]) -> Trend {
        let mut trend = Trend::default();
        for (at, value) in values.iter().enumerate() {
            trend.add(at as f64, *value);
        }
        trend
    }

    #[track_caller]
    fn check(values: &[u64], width: usize, line: &str) {
        assert_eq!(trend(values).line(width, Glyphs::Unicode), line);
    }

    #[test]
    fn lines() {
        check(&[], 3, "   ");
        check(&[0, 0], 3, " ▁▁");
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█");
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 3, "▆▇█");
        check(&[1, 1_000_000], 4, "  ▂█");
        check(&[u64::MAX, 5], 2, "█▂");
        check(&[5], 0, "");
        assert_eq!(trend(&[0, 4, 8]).line(5, Glyphs::Ascii), "  _=#");
    }

    #[test]
    fn rates() {
        assert_eq!(trend(&[]).rate(), None);
        assert_eq!(trend(&[7]).rate(), None);
        assert_eq!(trend(&[0, 10, 20]).rate(), Some(10.0));
        assert_eq!(trend(&[20, 0]).rate(), Some(-20.0));
        // What was long ago is no rate any more.
        let mut values = vec![0; 5];
        values.extend([100; 20]);
        assert_eq!(trend(&values).rate(), Some(0.0));
    }

    #[test]
    fn it_stays_small() {
        let mut long = Trend::default();
        for at in 0..10_000_u64 {
            long.add(at as f64, at);
        }
        assert_eq!(long.values.len(), VALUES);
        assert_eq!(long.line(VALUES, Glyphs::Unicode).chars().count(), VALUES);
    }
}
