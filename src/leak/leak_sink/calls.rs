//! Calls, as the books of a process take them.

use crate::base::addr::{Addr, Vaddr};
use crate::base::printable::printable;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind};
use crate::leak::allocators::Allocator;
use crate::leak::heap::live_heap;
use crate::leak::kinds::{Action, Role, Shape};
use crate::leak::leak_sink::LeakSink;
use crate::leak::leak_sink::process::Traced;
use crate::leak::options::Thread;
use crate::leak::site::{Origin, Passed};
use crate::leak::tracker::{Caller, Knowledge};
use crate::plan::{self, Tracepoint};
use crate::stack::CallStack;
use crate::value::Value;
use crate::value::render;
use std::sync::Arc;

impl LeakSink {
    /// A call begins, returns, or is known not to return.
    pub(super) fn called(&mut self, event: &Event) {
        match &event.kind {
            Kind::Call {
                id,
                point,
                return_address,
                args,
                stack,
                ..
            } if is_ours(point) => {
                let origin = match stack {
                    Some(stack) => self.origin(event.pid, point, stack),
                    None => Origin::Caller(*return_address),
                };
                self.per_begins(event.pid, &point.symbol);
                self.call(event, *id, point, args, origin, *return_address);
            }
            Kind::Return {
                id,
                point,
                out_args,
                result,
                ..
            } if is_ours(point) => {
                self.per_ends(event.pid, &point.symbol);
                let tracker = &mut self.traced(event.pid).tracker;
                tracker.returned(event.tid, event.time, *id, out_args, result);
                self.identify(event.pid, event.tid);
            }
            Kind::NoReturn { id, point, .. } if is_ours(point) => {
                self.traced(event.pid).tracker.unwound(event.tid, *id);
            }
            _ => {}
        }
    }

    fn origin(&mut self, pid: Pid, point: &Tracepoint, stack: &CallStack) -> Origin {
        let book = &mut self.setup.book;
        let stack = book.unwind(pid, stack);
        if is_of_allocator(point) {
            book.begins_in_allocator(stack);
        }
        Origin::Stack(stack)
    }

    /// A call begins.
    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        point: &Arc<Tracepoint>,
        args: &[Value],
        origin: Origin,
        caller: Addr,
    ) {
        let symbol = &point.symbol;
        if self
            .setup
            .options
            .context
            .iter()
            .any(|name| **name == **symbol)
        {
            let mut call = format!("{}(", printable(symbol));
            render::list(&mut call, args);
            call.push(')');
            let passed = Passed {
                call: call.into(),
                caller,
            };
            self.traced(event.pid).tracker.passed(event.tid, passed);
        }
        let kinds = self.setup.kinds.clone();
        let roles = kinds.roles(symbol);
        let from = Caller {
            thread: event.tid,
            time: event.time,
            id,
            roles,
            entry: match point.kind {
                plan::Kind::Resource { entry, .. } => entry,
                _ => Vaddr(0),
            },
            origin,
            return_address: caller,
        };
        self.learn_allocator(event.pid, point);
        self.learn_name(event.pid, event.tid);
        if !self.is_own_mapping(event.pid, point, roles, caller) {
            self.traced(event.pid).tracker.call(&from, args);
        }
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
    fn is_own_mapping(
        &self,
        pid: Pid,
        point: &Tracepoint,
        roles: &[Arc<Role>],
        caller: Addr,
    ) -> bool {
        let kinds = &self.setup.kinds;
        let is_mapping = |role: &Arc<Role>| {
            let shape = kinds.kind(role.kind).map(|kind| kind.shape);
            shape == Some(Shape::Ranges) && role.action != Action::Release
        };
        roles.iter().any(is_mapping)
            && !point.module.is_main
            && self
                .setup
                .book
                .module(pid, &point.module.path)
                .is_some_and(|range| range.contains(&caller.0))
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
