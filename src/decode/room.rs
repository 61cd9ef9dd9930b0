//! Events that were made, kept for the next ones of their functions: their values use the same room, and it is not
//! counted how many have the tracepoint, which costs as much as to decode a call.

use crate::base::addr::Addr;
use crate::engine::hit::Stamp;
use crate::event::{CallId, Event, Kind};
use crate::plan::Tracepoint;
use crate::plan::spare::slot;
use crate::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// The last call and the last return of some functions.
#[derive(Default)]
pub(super) struct Room {
    calls: Slots,
    returns: Slots,
}

/// The functions that share a slot have some bits of their tracepoint's address in common.
const SLOTS: usize = 1 << BITS;
const BITS: u32 = 4;

#[derive(Default)]
struct Slots([Option<Event>; SLOTS]);

impl Room {
    /// An event of a call of this function; all but that is to be filled in.
    pub(super) fn call(&mut self, stamp: Stamp, point: &Arc<Tracepoint>) -> &mut Event {
        self.calls.event(stamp, point, || Kind::Call {
            id: CallId(0),
            depth: 0,
            point: point.clone(),
            return_address: Addr(0),
            args: Vec::new(),
            words: Vec::new(),
            stack: None,
        })
    }

    /// The same of a return.
    pub(super) fn returned(&mut self, stamp: Stamp, point: &Arc<Tracepoint>) -> &mut Event {
        self.returns.event(stamp, point, || Kind::Return {
            id: CallId(0),
            depth: 0,
            point: point.clone(),
            return_address: Addr(0),
            out_args: Vec::new(),
            result: Value::Void,
            word: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// The last events of a call of this function and of a return.
    pub(super) fn last(&self, point: &Arc<Tracepoint>) -> Option<(&Event, &Event)> {
        Some((self.calls.last(point)?, self.returns.last(point)?))
    }

    /// The room for the values of a call.
    pub(super) fn arguments(&mut self, point: &Arc<Tracepoint>) -> Vec<Value> {
        self.calls.values(point)
    }

    /// The same of a return.
    pub(super) fn out_arguments(&mut self, point: &Arc<Tracepoint>) -> Vec<Value> {
        self.returns.values(point)
    }
}

impl Slots {
    fn event(
        &mut self,
        stamp: Stamp,
        point: &Arc<Tracepoint>,
        new: impl FnOnce() -> Kind,
    ) -> &mut Event {
        let slot = &mut self.0[slot(point, BITS)];
        if !slot.as_ref().is_some_and(|event| is_of(event, point)) {
            *slot = None;
        }
        let event = slot.get_or_insert_with(|| Event {
            pid: stamp.pid,
            tid: stamp.tid,
            time: stamp.time,
            kind: new(),
        });
        (event.pid, event.tid, event.time) = (stamp.pid, stamp.tid, stamp.time);
        event
    }

    fn last(&self, point: &Arc<Tracepoint>) -> Option<&Event> {
        let event = self.0[slot(point, BITS)].as_ref();
        event.filter(|event| is_of(event, point))
    }

    fn values(&mut self, point: &Arc<Tracepoint>) -> Vec<Value> {
        let Some(Event {
            kind:
                Kind::Call { args: values, .. }
                | Kind::Return {
                    out_args: values, ..
                },
            ..
        }) = &mut self.0[slot(point, BITS)]
        else {
            return Vec::new();
        };
        let mut values = std::mem::take(values);
        values.clear();
        values
    }
}

fn is_of(event: &Event, point: &Arc<Tracepoint>) -> bool {
    matches!(
        &event.kind,
        Kind::Call { point: of, .. } | Kind::Return { point: of, .. } if Arc::ptr_eq(of, point)
    )
}
