//! Descriptors with what they are open on (`-y`): `read(3</etc/passwd>, …)`. Only while a call's task stands still, so
//! that another file cannot have the number by then.

use super::Sink;
use super::around::Around;
use crate::base::Tid;
use crate::event::{Event, Kind};
use crate::plan::descriptors;
use crate::value::Value;
use std::io;

/// What a task's descriptor is open on, if the task has such a one.
pub type Describe = Box<dyn FnMut(Tid, i64) -> Option<String>>;

/// Hands on events with descriptors described.
pub struct Described<S> {
    inner: S,
    of: Describe,
}

impl<S: Sink> Described<S> {
    /// Hands them on to `inner`.
    pub fn new(of: Describe, inner: S) -> Described<S> {
        Described { inner, of }
    }

    fn describe(&mut self, tid: Tid, value: &mut Value) {
        let number = match value {
            Value::Signed(number) => *number,
            Value::Unsigned(number) | Value::Guess(number) => *number as i64,
            _ => return,
        };
        if let Some(what) = (self.of)(tid, number) {
            *value = Value::Descriptor(number, what.into());
        }
    }

    /// The event with what is to be told of descriptors; `None` when there is nothing.
    fn described(&mut self, event: &Event) -> Option<Event> {
        let (Kind::Call { point, .. } | Kind::Return { point, .. }) = &event.kind else {
            return None;
        };
        let places = descriptors::of(&point.symbol)?;
        let mut event = event.clone();
        let tid = event.tid;
        match &mut event.kind {
            Kind::Call { args, .. } => {
                for &place in &places.arguments {
                    if let Some(value) = args.get_mut(place) {
                        self.describe(tid, value);
                    }
                }
            }
            Kind::Return { result, .. } if places.result => self.describe(tid, result),
            _ => return None,
        }
        Some(event)
    }
}

impl<S: Sink> Around for Described<S> {
    fn inner(&self) -> &dyn Sink {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Sink {
        &mut self.inner
    }

    fn pass(&mut self, event: &Event) -> io::Result<()> {
        match self.described(event) {
            Some(described) => self.inner.event(&described),
            None => self.inner.event(event),
        }
    }
}
