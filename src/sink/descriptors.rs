//! Descriptors with what they are open on (`-y`): `read(3</etc/passwd>, …)`; streams as the descriptors that they have;
//! threads with their names. Only while a call's task stands still, so that another file cannot have the number by then.

use super::Sink;
use super::around::Around;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::event::{Event, Kind};
use crate::plan::descriptors::{self, Places};
use crate::value::Value;
use std::io;

/// What a task knows a file by.
#[derive(Clone, Copy, Debug)]
pub enum Handle {
    /// A descriptor.
    Descriptor(i64),
    /// A `FILE *`.
    Stream(Addr),
    /// Another of its threads.
    Thread(i64),
}

/// The number that this is for a task, and what that stands for, if the task has such a one.
pub type Describe = Box<dyn FnMut(Tid, Handle) -> Option<(i64, String)>>;

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
        self.replace(tid, Handle::Descriptor(number), value);
    }

    fn describe_stream(&mut self, tid: Tid, value: &mut Value) {
        let at = match value {
            Value::Pointer(at) => *at,
            Value::Guess(word) => Addr(*word),
            _ => return,
        };
        self.replace(tid, Handle::Stream(at), value);
    }

    /// Threads among the values, with their names.
    fn describe_threads(&mut self, tid: Tid, kind: &mut Kind) {
        let (values, result) = match kind {
            Kind::Call { args, .. } => (args, None),
            Kind::Return {
                out_args, result, ..
            } => (out_args, Some(result)),
            _ => return,
        };
        for value in values.iter_mut().chain(result) {
            let value = match value {
                Value::Again(value) => &mut **value,
                value => value,
            };
            if let Value::Thread(thread, name) = value
                && let Some((_, known)) = (self.of)(tid, Handle::Thread((*thread).into()))
            {
                *name = Some(known.into());
            }
        }
    }

    fn replace(&mut self, tid: Tid, handle: Handle, value: &mut Value) {
        if let Some((number, what)) = (self.of)(tid, handle) {
            *value = Value::Descriptor(number, what.into());
        }
    }

    /// The event with what is to be told of descriptors; `None` when there is nothing.
    fn described(&mut self, event: &Event) -> Option<Event> {
        let (Kind::Call { point, .. } | Kind::Return { point, .. }) = &event.kind else {
            return None;
        };
        let places = descriptors::of(&point.symbol);
        let has_threads = has_threads(&event.kind);
        if places.is_none() && !has_threads {
            return None;
        }
        let mut event = event.clone();
        if let Some(places) = places {
            self.describe_places(event.tid, places, &mut event.kind);
        }
        if has_threads {
            self.describe_threads(event.tid, &mut event.kind);
        }
        Some(event)
    }

    /// The descriptors and streams of a call or return, which has them there.
    fn describe_places(&mut self, tid: Tid, places: &Places, kind: &mut Kind) {
        match kind {
            Kind::Call { args, .. } => {
                for &place in &places.arguments {
                    if let Some(value) = args.get_mut(place) {
                        self.describe(tid, value);
                    }
                }
                for &place in &places.streams {
                    if let Some(value) = args.get_mut(place) {
                        self.describe_stream(tid, value);
                    }
                }
            }
            Kind::Return {
                result,
                out_args,
                point,
                ..
            } if places.result || places.stream || !places.streams.is_empty() => {
                // Those that are shown at the return are the last ones.
                let named = point.prototype.as_ref().map_or(0, |p| p.params.len());
                let shown = named.saturating_sub(out_args.len());
                for place in places.streams.iter().filter_map(|n| n.checked_sub(shown)) {
                    if let Some(value) = out_args.get_mut(place) {
                        self.describe_stream(tid, value);
                    }
                }
                if places.result {
                    self.describe(tid, result);
                }
                if places.stream {
                    self.describe_stream(tid, result);
                }
            }
            _ => {}
        }
    }
}

/// Whether a call or its return shows threads.
fn has_threads(kind: &Kind) -> bool {
    let (values, result) = match kind {
        Kind::Call { args, .. } => (args, None),
        Kind::Return {
            out_args, result, ..
        } => (out_args, Some(result)),
        _ => return false,
    };
    values.iter().chain(result).any(|value| match value {
        Value::Again(value) => matches!(**value, Value::Thread(..)),
        value => matches!(value, Value::Thread(..)),
    })
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
