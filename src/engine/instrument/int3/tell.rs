//! Tells of calls that breakpoints show: which begin, which return, which are unwound.

use super::arrivals::{Arrival, Seen};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::{Regs, View};
use crate::engine::calls::{Landing, OpenCall, Position};
use crate::engine::hit::{self, What};
use crate::engine::space::Space;
use crate::engine::stacks::{Runner, Stack};
use crate::engine::supervisor::out::Out;
use crate::engine::task::Task;
use crate::event::{CallId, Why};
use crate::plan::{Kind, Returns, Tracepoint};
use crate::sys::ptrace::Stopped;
use std::sync::Arc;

/// Tells of the calls of one task that stands still.
pub(super) struct Teller<'a, 'o> {
    pub(super) task: &'a mut Task,
    pub(super) stopped: &'a Stopped,
    pub(super) space: &'a Space,
    pub(super) next_call: &'a mut u64,
    pub(super) out: &'a mut Out<'o>,
}

impl<'a> Teller<'a, '_> {
    /// Opens a call and tells of it; says whether its return is to be expected. What its frame shows to be
    /// unwound is closed first.
    pub(super) fn arrive(&mut self, arrival: &Arrival, view: View<'_>) -> bool {
        let Arrival {
            point,
            regs,
            return_address,
            ..
        } = arrival;
        let frame = regs.rsp;
        let Some(pid) = self.task.tells_of(point, self.space.pid) else {
            return false;
        };
        let position = self.position(regs);
        let unwound = self.task.calls.unwound_by_call(position, *return_address);
        self.unwound(unwound);
        let is_passed = self.task.calls.passed_again(frame, *return_address, point);
        if is_passed || self.is_seen_again(arrival) {
            return false;
        }
        let unwound = self.task.calls.replaced(frame, *return_address, point);
        self.unwound(unwound);
        let id = CallId(*self.next_call);
        *self.next_call += 1;
        let depth = self.task.calls.depth();
        let what = What::Call(hit::Call {
            id,
            depth,
            point,
            return_address: *return_address,
            view,
        });
        let began = self.out.tell(pid, self.stopped.tid(), what);
        let call = OpenCall {
            id,
            pid,
            point: point.clone(),
            frame,
            return_address: *return_address,
            stack: position.stack,
            depth,
            again: false,
            at_callee: arrival.seen == Seen::AtCallee,
            machine: regs.machine(),
            began,
        };
        let unwatched = match point.returns {
            Returns::Unwatched => true,
            Returns::Perhaps => !self.space.follows_call(*return_address),
            _ => false,
        };
        if unwatched {
            let tid = self.stopped.tid();
            if !call.point.is_told_once() {
                self.out.tell_no_return(tid, &call, Why::Unwatched);
            }
            self.task.calls.pass(call);
            return false;
        }
        self.task.calls.push(call);
        point.returns != Returns::Never
    }

    /// Whether it is the innermost call once more.
    fn is_seen_again(&mut self, arrival: &Arrival) -> bool {
        let Arrival {
            point,
            regs,
            return_address,
            ..
        } = arrival;
        let goroutine = self.task.goroutine.as_ref().map(|(goroutine, _)| goroutine);
        let innermost = self.task.calls.innermost_at(regs.rsp, *return_address);
        let Some(call) = innermost else {
            return false;
        };
        let same = Arc::ptr_eq(&call.point, point);
        let seen_again = match arrival.seen {
            Seen::Itself => same && std::mem::take(&mut call.again),
            // Seen where it was made, and now at the callee; or a traced call has led here by a tail call.
            Seen::AtCallee => !same || !call.at_callee || std::mem::take(&mut call.again),
        };
        // RIP is behind the int3 still.
        let entry = Addr(regs.rip.wrapping_sub(1));
        let is_entry = matches!(point.kind, Kind::Entry { .. });
        // Not a call: the function's own jump back.
        seen_again || same && is_entry && self.space.comes_back(entry, goroutine)
    }

    /// Closes the calls that return here with this stack pointer. Without any, a call that is not traced has
    /// returned, which is passed in silence. The result are those that were of resolvers.
    pub(super) fn come_back(&mut self, at: Addr, regs: &Regs) -> Vec<Arc<Tracepoint>> {
        let tid = self.stopped.tid();
        let time = self.out.now();
        let at = self.space.caller(at);
        let view = View {
            regs,
            memory: &self.space.memory,
            floats: self.stopped,
            process: self.space,
            errno: self.space.errno(regs.thread_pointer()),
        };
        let position = self.position(regs);
        let calls = &mut self.task.calls;
        let returned = calls.returned(at, position);
        for call in calls.unwound_by_return(position) {
            let what = call.no_return(Why::Unwound);
            self.out.tell_at(time, call.pid, tid, what);
        }
        let landed = calls.has_landed(Landing {
            address: at,
            rsp: regs.rsp,
            result: regs.rax,
        });
        if returned.is_empty()
            && !landed
            && let Some(call) = calls.again(at, regs.rsp)
        {
            let what = What::ReturnedAgain {
                depth: calls.depth(),
                point: &call.point,
                return_address: at,
                view,
            };
            self.out.tell_at(time, call.pid, tid, what);
        }
        let mut resolvers = Vec::new();
        for call in returned {
            let what = What::Return {
                call: hit::Call {
                    id: call.id,
                    depth: call.depth,
                    point: &call.point,
                    return_address: at,
                    view,
                },
                began: call.began,
            };
            self.out.tell_at(time, call.pid, tid, what);
            if matches!(call.point.kind, Kind::Resolver { .. }) {
                resolvers.push(call.point);
            } else if call.point.returns == Returns::Again {
                calls.may_return_again(call);
            }
        }
        resolvers
    }

    /// An exception has been caught by the function that is about to call this one's breakpoint.
    pub(super) fn caught(&mut self, regs: &Regs) {
        let memory: &dyn Memory = &self.space.memory;
        let return_address = Addr(memory.read_word(Addr(regs.rsp)).unwrap_or(0));
        let return_address = self.space.caller(return_address);
        let position = self.position(regs);
        let unwound = self.task.calls.unwound_by_call(position, return_address);
        self.unwound(unwound);
    }

    fn unwound(&mut self, calls: Vec<OpenCall>) {
        for call in calls {
            let tid = self.stopped.tid();
            self.out.tell_no_return(tid, &call, Why::Unwound);
        }
    }

    /// Where the task is, as far as its calls are concerned.
    fn position(&mut self, regs: &Regs) -> Position<'a> {
        let space = self.space;
        let memory: &dyn Memory = &space.memory;
        let runner = Runner {
            tid: self.stopped.tid(),
            pid: self.task.pid,
            thread_pointer: regs.thread_pointer(),
            memory,
        };
        let stack = match self.task.goroutine {
            Some(_) => Stack::Own,
            None => self.task.stacks.meet(regs.rsp, runner),
        };
        Position {
            rsp: regs.rsp,
            stack,
            frames: Some(space),
        }
    }
}
