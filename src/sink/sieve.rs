//! Which calls of a trace are shown: those that took long, that failed, that are not too deep, between two functions, up
//! to a limit. What is shown of a call may depend on its end; it is held back until then.

pub mod condition;

use super::Sink;
use super::around::Around;
use crate::base::addr::Addr;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, Request};
use crate::plan::filter::Filter;
use crate::plan::{ModuleName, Tracepoint, descriptors};
use crate::value::Value;
use condition::{Call, Condition, End};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
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
    /// Made by the code of one of these functions (`--caller`).
    pub callers: Vec<Filter>,
    /// Of those that speak of the function, one holds (`--arg`).
    pub values: Vec<Condition>,
    /// They touch one of these paths (`-P`).
    pub paths: Vec<String>,
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
            callers,
            values,
            paths,
            triggers,
            stops,
            until,
        } = self;
        min_time.is_some()
            || outcome.is_some()
            || depth.is_some()
            || !callers.is_empty()
            || !values.is_empty()
            || !paths.is_empty()
            || !triggers.is_empty()
            || !stops.is_empty()
            || until.is_some()
    }

    /// Functions of which they speak, by their options: those that are traced.
    pub fn functions(&self) -> Vec<(&'static str, Filter)> {
        let values = self.values.iter().filter_map(Condition::functions);
        let all = values.map(|filter| ("--arg", filter));
        let all = all.chain(self.triggers.iter().map(|filter| ("--trigger", filter)));
        let all = all.chain(self.stops.iter().map(|filter| ("--stop", filter)));
        all.map(|(option, filter)| (option, filter.clone()))
            .collect()
    }

    /// A call is judged when it has ended.
    fn wait_for_ends(&self) -> bool {
        self.min_time.is_some() || self.outcome.is_some()
    }

    /// Whether what is asked of values holds; `None` when that is known at the end only.
    fn values_hold(&self, call: &Call<'_>) -> Option<bool> {
        match self.paths.is_empty() || touches(&self.paths, call) {
            true => {}
            false if call.end.is_none() && gives_descriptor(call.point) => return None,
            false => return Some(false),
        }
        let mut about = self
            .values
            .iter()
            .filter(|value| value.is_about(call.point))
            .peekable();
        if about.peek().is_none() {
            return Some(true);
        }
        let mut is_open = false;
        for condition in about {
            match condition.holds(call) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => is_open = true,
            }
        }
        (!is_open).then_some(false)
    }
}

/// A descriptor that a call gives may be open on any path.
fn gives_descriptor(point: &Tracepoint) -> bool {
    descriptors::of(&point.symbol).is_some_and(|places| places.result)
}

/// One of the call's values is one of these paths, or open on it.
fn touches(paths: &[String], call: &Call<'_>) -> bool {
    let is_meant = |found: &[u8]| {
        paths.iter().any(|path| match path.strip_suffix('/') {
            Some(_) => found.starts_with(path.as_bytes()),
            None => found == path.as_bytes(),
        })
    };
    let result = call
        .end
        .and_then(|end| end.result)
        .map(|(result, _)| result);
    let mut values = call.args.iter().chain(call.out_args).chain(result);
    values.any(|value| match value {
        Value::Bytes { bytes, cut: false } => is_meant(bytes),
        // As far as it is known.
        Value::Bytes { bytes, cut: true } => {
            paths.iter().any(|path| path.as_bytes().starts_with(bytes)) || is_meant(bytes)
        }
        Value::Descriptor(_, what) => is_meant(what.as_bytes()),
        _ => false,
    })
}

/// Who tells whose code calls.
pub trait Callers {
    /// Learns of modules that come and go.
    fn event(&mut self, event: &Event);

    /// The function around a return address: its symbol and its module.
    fn caller(&mut self, pid: Pid, return_address: Addr) -> Option<(String, Arc<ModuleName>)>;
}

/// Behind it, another code may be at an address.
pub(super) fn moves_code(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Loaded { .. } | Kind::Unloaded { .. } | Kind::Exec { .. }
    )
}

/// Whose code calls, from where: answers that were given.
#[derive(Default)]
struct Calling {
    callers: Option<Box<dyn Callers>>,
    known: FxHashMap<(Pid, Addr), bool>,
}

impl Calling {
    fn event(&mut self, event: &Event) {
        let Some(callers) = &mut self.callers else {
            return;
        };
        callers.event(event);
        if moves_code(&event.kind) {
            self.known.clear();
        }
    }

    /// It is from one of these functions.
    fn is_from(&mut self, filters: &[Filter], pid: Pid, from: Addr) -> bool {
        let Some(callers) = &mut self.callers else {
            return true;
        };
        *self.known.entry((pid, from)).or_insert_with(|| {
            let caller = callers.caller(pid, from);
            caller.is_some_and(|(symbol, module)| {
                filters
                    .iter()
                    .any(|filter| filter.matches(&symbol, &module))
            })
        })
    }
}

/// Lets calls pass that meet the conditions, and everything else.
pub struct Sieve<S> {
    inner: S,
    conditions: Conditions,
    calling: Calling,
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
            calling: Calling::default(),
            shown: FxHashSet::default(),
            held: FxHashMap::default(),
            order: HashMap::new(),
            begun: None,
            count: 0,
            last: None,
            is_enough: false,
        }
    }

    /// The same, with one who tells whose code calls.
    pub fn with_callers(self, callers: Option<Box<dyn Callers>>) -> Sieve<S> {
        let known = FxHashMap::default();
        Sieve {
            calling: Calling { callers, known },
            ..self
        }
    }

    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        call: &Call<'_>,
        from: Addr,
    ) -> io::Result<()> {
        let point = call.point;
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
        let callers = &self.conditions.callers;
        let is_meant = callers.is_empty() || self.calling.is_from(callers, event.pid, from);
        if !passes || !is_meant {
            return Ok(());
        }
        let holds = self.conditions.values_hold(call);
        if holds == Some(false) {
            return Ok(());
        }
        if self.conditions.wait_for_ends() || holds.is_none() {
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
        out_args: &[Value],
        end: End<'_>,
    ) -> io::Result<()> {
        if let Some(held) = self.held.remove(&id) {
            if self.is_met(&held, out_args, end) && !self.is_enough {
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

    fn is_met(&self, held: &Event, out_args: &[Value], end: End<'_>) -> bool {
        let least = self.conditions.min_time;
        let is_long = least.is_none_or(|least| end.elapsed >= least);
        let result = end.result.map(|(value, _)| value);
        let holds = match &held.kind {
            Kind::Call {
                point, args, words, ..
            } => self.conditions.values_hold(&Call {
                point,
                args,
                out_args,
                words,
                end: Some(end),
            }),
            _ => None,
        };
        is_long
            && holds == Some(true)
            && match (self.conditions.outcome, result) {
                (None, _) => true,
                (Some(Outcome::Failure), result) => result.is_some_and(says_failure),
                (Some(Outcome::Success), result) => !result.is_some_and(says_failure),
            }
    }

    /// The calls around one that took long enough take as long: they come before it.
    fn show_outer(&mut self, tid: Tid, id: CallId) -> io::Result<()> {
        if self.conditions.outcome.is_some()
            || !self.conditions.values.is_empty()
            || !self.conditions.paths.is_empty()
        {
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

impl<S: Sink> Around for Sieve<S> {
    fn inner(&self) -> &dyn Sink {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Sink {
        &mut self.inner
    }

    fn pass(&mut self, event: &Event) -> io::Result<()> {
        self.calling.event(event);
        match &event.kind {
            Kind::Call {
                id,
                depth,
                point,
                return_address,
                args,
                words,
                ..
            } => {
                self.look_for_the_end(event.time);
                let call = Call {
                    point,
                    args,
                    out_args: &[],
                    words,
                    end: None,
                };
                self.call(event, *id, *depth, &call, *return_address)
            }
            Kind::Return {
                id,
                out_args,
                result,
                word,
                elapsed,
                ..
            } => {
                let end = End {
                    result: Some((result, *word)),
                    elapsed: *elapsed,
                };
                self.end(event, *id, out_args, end)
            }
            Kind::NoReturn { id, elapsed, .. } => {
                let end = End {
                    result: None,
                    elapsed: *elapsed,
                };
                self.end(event, *id, &[], end)
            }
            Kind::Tick => {
                if self.begun.is_some() {
                    self.look_for_the_end(event.time);
                }
                self.inner.event(event)
            }
            _ => self.inner.event(event),
        }
    }

    fn ask(&mut self) -> Option<Request> {
        match self.is_enough {
            true => Some(Request::End),
            false => self.inner.request(),
        }
    }
}

#[cfg(test)]
mod tests;
