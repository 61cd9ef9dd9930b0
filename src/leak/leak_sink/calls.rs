//! Calls, as the books of a process take them.

use crate::base::addr::{Addr, Vaddr};
use crate::base::printable::printable;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, PlainCall};
use crate::leak::allocators::Allocator;
use crate::leak::heap::live_heap;
use crate::leak::leak_sink::LeakSink;
use crate::leak::leak_sink::process::Traced;
use crate::leak::options::Thread;
use crate::leak::site::{Origin, Passed};
use crate::leak::tracker::{Args, Caller, Knowledge, Returned};
use crate::plan::{self, Tracepoint};
use crate::stack::CallStack;
use crate::value::Value;
use crate::value::render;
use std::slice;
use std::sync::Arc;

/// A call that begins.
struct Begun<'e> {
    pid: Pid,
    tid: Tid,
    time: Timestamp,
    id: CallId,
    point: &'e Arc<Tracepoint>,
    args: Args<'e>,
    stack: Stack<'e>,
    return_address: Addr,
}

/// What is known of its stack.
#[derive(Clone, Copy)]
enum Stack<'e> {
    /// Nothing: it is not wanted.
    Unknown,
    Seen(&'e CallStack),
    /// Its thread has walked it.
    Walked(&'e [u64]),
}

impl<'e> Begun<'e> {
    /// `None`: it is none of those whose books we keep.
    fn of(event: &'e Event) -> Option<Begun<'e>> {
        match &event.kind {
            Kind::Call {
                id,
                point,
                return_address,
                args,
                stack,
                ..
            } if is_ours(point) => Some(Begun {
                pid: event.pid,
                tid: event.tid,
                time: event.time,
                id: *id,
                point,
                args: Args::Values(args),
                stack: stack.as_ref().map_or(Stack::Unknown, Stack::Seen),
                return_address: *return_address,
            }),
            _ => None,
        }
    }
}

/// A return of one of our functions: which call's, and what it gave back.
fn returned(event: &Event) -> Option<(CallId, &Arc<Tracepoint>, Returned<'_>)> {
    match &event.kind {
        Kind::Return {
            id,
            point,
            out_args,
            result,
            ..
        } if is_ours(point) => {
            let returned = Returned {
                time: event.time,
                out_args: Args::Values(out_args),
                result: Args::Values(slice::from_ref(result)),
            };
            Some((*id, point, returned))
        }
        _ => None,
    }
}

impl LeakSink {
    /// A call begins, returns, or is known not to return.
    pub(super) fn called(&mut self, event: &Event) {
        if let Some(begun) = Begun::of(event) {
            return self.call(&begun, None);
        }
        if let Some((id, point, back)) = returned(event) {
            let tracker = &mut self.traced(event.pid).tracker;
            tracker.returned(event.tid, id, &back);
            self.came_back(event.pid, event.tid, point);
        }
        if let Kind::NoReturn { id, point, .. } = &event.kind
            && is_ours(point)
        {
            self.traced(event.pid).tracker.unwound(event.tid, *id);
        }
    }

    /// A call that has returned before its thread did anything else.
    pub(super) fn completed(&mut self, call: &Event, back: &Event) {
        if let (Some(begun), Some((_, point, returned))) = (Begun::of(call), returned(back)) {
            self.call(&begun, Some(&returned));
            self.came_back(back.pid, back.tid, point);
        }
    }

    /// Calls of the function are told with their arguments (`--context`).
    pub(super) fn shows_call(&mut self, point: &Arc<Tracepoint>) -> bool {
        self.functions.find(point, &self.setup).is_context
    }

    /// A call that is told without an event.
    pub(super) fn plainly_called(&mut self, call: &PlainCall<'_>) {
        let begun = Begun {
            pid: call.pid,
            tid: call.tid,
            time: call.time,
            id: call.id,
            point: call.point,
            args: Args::Numbers(call.args),
            stack: match call.stack {
                [] => Stack::Unknown,
                addresses => Stack::Walked(addresses),
            },
            return_address: call.return_address,
        };
        let Some(back) = &call.returned else {
            return self.call(&begun, None);
        };
        let returned = Returned {
            time: back.time,
            out_args: Args::Numbers(&[]),
            result: Args::Numbers(back.result.as_slice()),
        };
        self.call(&begun, Some(&returned));
        self.came_back(call.pid, call.tid, call.point);
    }

    fn came_back(&mut self, pid: Pid, tid: Tid, point: &Tracepoint) {
        self.per_ends(pid, &point.symbol);
        self.identify(pid, tid);
    }

    fn call(&mut self, begun: &Begun<'_>, back: Option<&Returned<'_>>) {
        let (pid, point) = (begun.pid, begun.point);
        let (book, begins) = (&mut self.setup.book, is_of_allocator(point));
        let origin = match begun.stack {
            Stack::Seen(stack) => Origin::Stack(book.unwind(pid, stack, begins)),
            Stack::Walked(addresses) => Origin::Stack(book.walked(pid, addresses, begins)),
            Stack::Unknown => Origin::Caller(begun.return_address),
        };
        self.per_begins(pid, &point.symbol);
        let known = self.functions.find(point, &self.setup);
        let (is_context, maps) = (known.is_context, known.maps);
        if known.learned.replace(pid) != Some(pid) {
            self.learn_allocator(pid, point);
        }
        self.learn_name(pid, begun.tid);
        if is_context && let Args::Values(args) = begun.args {
            self.passed(begun, args);
        }
        if maps && self.is_own_mapping(begun) {
            return;
        }
        let known = self.functions.find(point, &self.setup);
        let from = Caller {
            thread: begun.tid,
            time: begun.time,
            id: begun.id,
            roles: &known.roles,
            entry: match point.kind {
                plan::Kind::Resource { entry, .. } => entry,
                _ => Vaddr(0),
            },
            origin,
            return_address: begun.return_address,
        };
        // It is there: its first call was learned from, and what is forgotten of it is forgotten everywhere.
        if let Some(Traced { tracker, .. }) = self.processes.get_mut(&pid) {
            match back {
                Some(back) => tracker.complete(&from, begun.args, back),
                None => tracker.call(&from, begun.args),
            }
        }
    }

    /// Notes a call of interest (`--context`).
    fn passed(&mut self, begun: &Begun<'_>, args: &[Value]) {
        let mut call = format!("{}(", printable(&begun.point.symbol));
        render::list(&mut call, args);
        call.push(')');
        let passed = Passed {
            call: call.into(),
            caller: begun.return_address,
        };
        self.traced(begun.pid).tracker.passed(begun.tid, passed);
    }

    /// Asks the kernel which files new descriptors stand for.
    fn identify(&mut self, pid: Pid, tid: Tid) {
        if let Some(traced) = self.processes.get_mut(&pid) {
            let system = &self.setup.system;
            traced.tracker.identify(|number| system.file(tid, number));
        }
    }

    /// Notes whose function is called, if that is an allocator's.
    fn learn_allocator(&mut self, pid: Pid, point: &Tracepoint) {
        let is_met = |allocator: &Allocator| allocator.has(point);
        if self.traced(pid).allocators.iter().any(is_met) {
            return;
        }
        let Some(allocator) = Allocator::of(point) else {
            return;
        };
        let file = allocator.file().map(str::to_owned);
        let range = file.and_then(|file| self.setup.book.module(pid, &file));
        let traced = self.traced(pid);
        traced.allocators.push(allocator);
        traced.no_allocator = false;
        // A program that brings its own calls it from everywhere.
        if let Some(range) = range {
            traced.tracker.set_allocator(range);
        }
    }

    /// With `--thread NAME` a thread's name is looked up until it is that one: it may be given late, and a
    /// thread that has ended has none.
    fn learn_name(&mut self, pid: Pid, tid: Tid) {
        let Some(Thread::Name(wanted)) = &self.setup.options.blocks.thread else {
            return;
        };
        if let Some(traced) = self.processes.get_mut(&pid)
            && traced.names.get(&tid) != Some(wanted)
            && let Some(name) = self.setup.system.thread(pid, tid)
        {
            traced.names.insert(tid, name);
        }
    }

    /// The C library maps memory for itself: thread stacks, an allocator's arenas.
    fn is_own_mapping(&self, begun: &Begun<'_>) -> bool {
        let module = &begun.point.module;
        let caller = begun.return_address.0;
        let range = || self.setup.book.module(begun.pid, &module.path);
        !module.is_main && range().is_some_and(|range| range.contains(&caller))
    }

    fn is_per(&self, symbol: &str) -> bool {
        self.setup.options.per.as_deref() == Some(symbol)
    }

    /// A call begins that may be one of the function of `--per`.
    fn per_begins(&mut self, pid: Pid, symbol: &str) {
        if self.is_per(symbol) {
            let Traced { per, tracker, .. } = self.traced(pid);
            match tracker.knowledge() {
                Knowledge::SinceAttach => per.calls += 1,
                Knowledge::All => {
                    per.before.get_or_insert_with(|| live_heap(tracker));
                }
            }
        }
    }

    /// Such a call returned. Those that were waiting in it when we came are not known to have called it.
    fn per_ends(&mut self, pid: Pid, symbol: &str) {
        if self.is_per(symbol) {
            let traced = self.traced(pid);
            traced.per.calls += u64::from(traced.tracker.knowledge() == Knowledge::All);
        }
    }
}

/// The function is known to be an allocator's.
fn is_of_allocator(point: &Tracepoint) -> bool {
    matches!(
        point.kind,
        plan::Kind::Resource {
            allocator: Some(_),
            ..
        }
    )
}

/// The call is one of those whose books we keep.
fn is_ours(point: &Tracepoint) -> bool {
    matches!(point.kind, plan::Kind::Resource { .. })
}
