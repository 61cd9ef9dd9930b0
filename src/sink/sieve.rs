//! Which calls of a trace are shown: those that took long, that failed, that are not too deep, between two functions, up
//! to a limit. What is shown of a call may depend on its end; it is held back until then.

use super::Sink;
use crate::base::Tid;
use crate::base::time::Timestamp;
use crate::event::{CallId, Event, Kind, Request};
use crate::plan::Tracepoint;
use crate::plan::filter::Filter;
use crate::value::Value;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// What is asked of calls. The usual conditions let every call pass.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// They took at least so long (`--min-time`).
    pub min_time: Option<Duration>,
    /// They ended so (`-z`, `-Z`).
    pub outcome: Option<Outcome>,
    /// So many calls deep at most, the outermost being one deep (`--depth`).
    pub depth: Option<usize>,
    /// From a call of one of these on (`--trigger`).
    pub triggers: Vec<Filter>,
    /// Up to a call of one of these (`--stop`).
    pub stops: Vec<Filter>,
    /// Up to so many, or for so long (`--until`).
    pub until: Option<Until>,
}

/// How a call is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does not say that it failed.
    Success,
    /// It does.
    Failure,
}

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many calls.
    Calls(u64),
    /// After this time.
    Time(Duration),
}

impl Conditions {
    /// Whether any call may be left out.
    pub fn are_any(&self) -> bool {
        let Conditions {
            min_time,
            outcome,
            depth,
            triggers,
            stops,
            until,
        } = self;
        min_time.is_some()
            || outcome.is_some()
            || depth.is_some()
            || !triggers.is_empty()
            || !stops.is_empty()
            || until.is_some()
    }

    /// A call is judged when it has ended.
    fn wait_for_ends(&self) -> bool {
        self.min_time.is_some() || self.outcome.is_some()
    }
}

/// Lets calls pass that meet the conditions, and everything else.
pub struct Sieve<S> {
    inner: S,
    conditions: Conditions,
    /// Between trigger and stop.
    is_on: bool,
    /// Calls that are shown, and have not ended.
    shown: FxHashSet<CallId>,
    /// Calls that are not judged yet, and those of each task in their order.
    held: FxHashMap<CallId, Event>,
    order: HashMap<Tid, Vec<CallId>>,
    begun: Option<Timestamp>,
    count: u64,
    /// The one that was shown last.
    last: Option<CallId>,
    is_enough: bool,
}

impl<S: Sink> Sieve<S> {
    /// Passes on to `inner` what meets these conditions.
    pub fn new(conditions: Conditions, inner: S) -> Sieve<S> {
        Sieve {
            inner,
            is_on: conditions.triggers.is_empty(),
            conditions,
            shown: FxHashSet::default(),
            held: FxHashMap::default(),
            order: HashMap::new(),
            begun: None,
            count: 0,
            last: None,
            is_enough: false,
        }
    }

    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Tracepoint,
    ) -> io::Result<()> {
        let is_of = |filters: &[Filter]| {
            let mut filters = filters.iter();
            filters.any(|filter| filter.matches(&point.symbol, &point.module))
        };
        let is_stop = self.is_on && is_of(&self.conditions.stops);
        self.is_on |= is_of(&self.conditions.triggers);
        let too_deep = self.conditions.depth.is_some_and(|most| depth >= most);
        let passes = self.is_on && !too_deep && !self.is_enough;
        // The one that stops is the last that is shown.
        self.is_on &= !is_stop;
        if !passes {
            return Ok(());
        }
        if self.conditions.wait_for_ends() {
            self.held.insert(id, event.clone());
            self.order.entry(event.tid).or_default().push(id);
            return Ok(());
        }
        self.show(id, event)
    }

    fn show(&mut self, id: CallId, event: &Event) -> io::Result<()> {
        self.count += 1;
        self.last = Some(id);
        self.shown.insert(id);
        self.inner.event(event)
    }

    /// A call has ended: it passes if it is shown already, or is now.
    fn end(
        &mut self,
        event: &Event,
        id: CallId,
        result: Option<&Value>,
        elapsed: Duration,
    ) -> io::Result<()> {
        if let Some(held) = self.held.remove(&id) {
            if self.is_met(result, elapsed) && !self.is_enough {
                self.show_outer(held.tid, id)?;
                self.show(id, &held)?;
            }
            if let Some(order) = self.order.get_mut(&held.tid) {
                order.retain(|other| *other != id);
            }
        }
        match self.shown.remove(&id) {
            true => {
                let written = self.inner.event(event);
                self.look_for_the_end(event.time);
                written
            }
            false => Ok(()),
        }
    }

    fn is_met(&self, result: Option<&Value>, elapsed: Duration) -> bool {
        let is_long = self
            .conditions
            .min_time
            .is_none_or(|least| elapsed >= least);
        is_long
            && match (self.conditions.outcome, result) {
                (None, _) => true,
                (Some(Outcome::Failure), result) => result.is_some_and(says_failure),
                (Some(Outcome::Success), result) => !result.is_some_and(says_failure),
            }
    }

    /// The calls around one that took long enough take as long: they come before it.
    fn show_outer(&mut self, tid: Tid, id: CallId) -> io::Result<()> {
        if self.conditions.outcome.is_some() {
            return Ok(());
        }
        let order = self
            .order
            .get_mut(&tid)
            .map(std::mem::take)
            .unwrap_or_default();
        let before = order.iter().take_while(|other| **other != id);
        for outer in before.copied().collect::<Vec<_>>() {
            if let Some(held) = self.held.remove(&outer) {
                self.show(outer, &held)?;
            }
        }
        Ok(())
    }

    fn look_for_the_end(&mut self, now: Timestamp) {
        let begun = *self.begun.get_or_insert(now);
        self.is_enough |= match self.conditions.until {
            None => false,
            // Others may be open for ever.
            Some(Until::Calls(most)) => {
                let is_open = |id| self.shown.contains(&id);
                self.count >= most && !self.last.is_some_and(is_open)
            }
            Some(Until::Time(time)) => now.since(begun) >= time,
        };
    }
}

/// The result is an error, or the number that stands for one. A null pointer means too much else.
fn says_failure(result: &Value) -> bool {
    matches!(result, Value::Signed(-1) | Value::Failed(..))
}

impl<S: Sink> Sink for Sieve<S> {
    fn begin(&mut self) {
        self.inner.begin();
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            Kind::Call {
                id, depth, point, ..
            } => {
                self.look_for_the_end(event.time);
                self.call(event, *id, *depth, point)
            }
            Kind::Return {
                id,
                result,
                elapsed,
                ..
            } => self.end(event, *id, Some(result), *elapsed),
            Kind::NoReturn { id, elapsed, .. } => self.end(event, *id, None, *elapsed),
            Kind::Tick => {
                if self.begun.is_some() {
                    self.look_for_the_end(event.time);
                }
                self.inner.event(event)
            }
            _ => self.inner.event(event),
        }
    }

    fn request(&mut self) -> Option<Request> {
        match self.is_enough {
            true => Some(Request::End),
            false => self.inner.request(),
        }
    }

    fn status(&self) -> Option<u8> {
        self.inner.status()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Why;
    use crate::sink::tests::{ONE, Written, imported};
    use crate::sink::text::{Style, Text};
    use Value::{Signed, Void};

    fn took(millis: u64, mut event: Event) -> Event {
        if let Kind::Return { elapsed, .. } | Kind::NoReturn { elapsed, .. } = &mut event.kind {
            *elapsed = Duration::from_millis(millis);
        }
        event
    }

    /// `outer` calls `fails` and `slow`; then `last` never returns.
    fn events() -> Vec<Event> {
        let [outer, fails, slow, last] = ["outer", "fails", "slow", "last"].map(imported);
        vec![
            ONE.call(1, 0, &outer, &[]),
            ONE.call(2, 1, &fails, &[]),
            took(1, ONE.returns(2, 1, &fails, Signed(-1))),
            ONE.call(3, 1, &slow, &[]),
            took(50, ONE.returns(3, 1, &slow, Void)),
            took(60, ONE.returns(1, 0, &outer, Signed(0))),
            ONE.call(4, 0, &last, &[]),
            took(2, ONE.no_return(4, 0, &last, Why::Gone)),
            ONE.exited(0),
        ]
    }

    #[track_caller]
    fn check(conditions: Conditions, names: &[&str]) -> bool {
        let written = Written::default();
        let text = Text::new(Style::default(), Box::new(written.clone()));
        let mut sieve = Sieve::new(conditions, text);
        let mut is_enough = false;
        for event in events() {
            sieve.event(&event).expect("written");
            is_enough |= sieve.request().is_some();
        }
        sieve.finish().expect("written");
        let text = written.text();
        let lines = text.lines().filter(|line| !line.starts_with(['+', '<']));
        let found: Vec<&str> = lines
            .map(|line| line.split('(').next().unwrap_or(""))
            .collect();
        assert_eq!(found, names, "{text}");
        is_enough
    }

    #[test]
    fn calls_by_their_time() {
        let least = |millis| Conditions {
            min_time: Some(Duration::from_millis(millis)),
            ..Conditions::default()
        };
        check(Conditions::default(), &["outer", "fails", "slow", "last"]);
        check(least(2), &["outer", "slow", "last"]);
        check(least(55), &["outer"]);
        check(least(100), &[]);
    }

    #[test]
    fn calls_by_their_outcome() {
        let ended = |outcome| Conditions {
            outcome: Some(outcome),
            ..Conditions::default()
        };
        check(ended(Outcome::Failure), &["fails"]);
        check(ended(Outcome::Success), &["slow", "outer", "last"]);
        let both = Conditions {
            min_time: Some(Duration::from_millis(55)),
            ..ended(Outcome::Success)
        };
        check(both, &["outer"]);
    }

    #[test]
    fn calls_by_their_depth() {
        let depth = |most| Conditions {
            depth: Some(most),
            ..Conditions::default()
        };
        check(depth(1), &["outer", "last"]);
        check(depth(2), &["outer", "fails", "slow", "last"]);
    }

    #[test]
    fn calls_between_two() {
        let filters = |names: &[&str]| -> Vec<Filter> {
            let names = names.iter();
            names
                .map(|name| Filter::parse(name).expect("a filter"))
                .collect()
        };
        let between = |triggers: &[&str], stops: &[&str]| Conditions {
            triggers: filters(triggers),
            stops: filters(stops),
            ..Conditions::default()
        };
        check(between(&["slow"], &[]), &["slow", "last"]);
        check(between(&[], &["fails"]), &["outer", "fails"]);
        check(between(&["fails"], &["slow"]), &["fails", "slow"]);
        check(between(&["nothing"], &[]), &[]);
    }

    #[test]
    fn so_many_calls() {
        let until = |until| Conditions {
            until: Some(until),
            ..Conditions::default()
        };
        assert!(check(until(Until::Calls(3)), &["outer", "fails", "slow"]));
        assert!(!check(
            until(Until::Calls(9)),
            &["outer", "fails", "slow", "last"]
        ));
        let hour = Until::Time(Duration::from_secs(3600));
        assert!(!check(until(hour), &["outer", "fails", "slow", "last"]));
        assert!(check(until(Until::Time(Duration::ZERO)), &[]));
    }
}
