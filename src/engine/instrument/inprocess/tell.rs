//! Calls and returns that code in the target has seen: matched with each other, and told.

use super::{Callee, Recorded};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::View;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::engine::calls::{OpenCall, Position};
use crate::engine::hit::{self, What};
use crate::engine::instrument::int3::arrivals::called;
use crate::engine::space::Space;
use crate::engine::stacks::{Runner, Stack};
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::{SpaceId, Task};
use crate::event::{CallId, Why};
use crate::plan::spare::Spare;
use crate::plan::{Returns, Tracepoint};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// Tells of one task's calls.
pub(super) struct Teller<'a, 'o> {
    pub(super) task: &'a mut Task,
    pub(super) tid: Tid,
    pub(super) space: &'a Space,
    pub(super) thread_pointer: u64,
    pub(super) next_call: &'a mut u64,
    pub(super) spare: &'a mut Spare,
    pub(super) out: &'a mut Out<'o>,
    /// The call that was told of last, while nothing else was: most calls come back next, and need not be put among
    /// the open ones.
    pub(super) last: Option<Last<'a>>,
}

/// A call on the stack that its task was born with, whose return will be recorded.
pub(super) struct Last<'p> {
    id: CallId,
    pid: Pid,
    point: &'p Arc<Tracepoint>,
    frame: u64,
    return_address: Addr,
    depth: usize,
    at_callee: bool,
    began: Timestamp,
}

impl<'a, 'o> Teller<'a, 'o> {
    /// For a task of this space. `None`: it has none of that id.
    pub(super) fn new(
        supervisor: &'a mut Supervisor,
        (tid, id): (Tid, SpaceId),
        thread_pointer: u64,
        out: &'a mut Out<'o>,
    ) -> Option<Teller<'a, 'o>> {
        let task = supervisor.tasks.get_mut(&tid);
        Some(Teller {
            task: task.filter(|task| task.space == id)?,
            tid,
            space: supervisor.spaces.get(&id)?,
            thread_pointer,
            next_call: &mut supervisor.next_call,
            spare: &mut supervisor.spare_points,
            out,
            last: None,
        })
    }
}

/// A call at the function's first instruction.
pub(super) struct Call<'p> {
    pub(super) point: &'p Arc<Tracepoint>,
    /// Where the word lies on the stack that holds the return address.
    pub(super) frame: u64,
    /// Where the program's own code goes on.
    pub(super) return_address: Addr,
    /// It was seen at an imported function, which other calls may end up at too.
    pub(super) at_callee: bool,
}

impl<'a> Teller<'a, '_> {
    /// Whether a call is one of this tracepoint. At an imported function arrive calls of other modules and other
    /// imports, and those that were seen where they are made.
    pub(super) fn is_meant(
        &mut self,
        recorded: &Recorded,
        callees: &HashMap<u64, Vec<Callee>>,
        frame: u64,
        return_address: Addr,
    ) -> bool {
        let Some((at, callee)) = &recorded.callee else {
            return true;
        };
        self.settle();
        let callees = callees.get(at).into_iter().flatten();
        let callees: SmallVec<[(&Arc<Tracepoint>, Addr, Addr); 4]> = callees
            .filter(|callee| callee.caller.contains(&return_address.0))
            .map(|callee| (&callee.point, callee.slot, return_address))
            .collect();
        let is_this = |(point, _): (&Arc<Tracepoint>, Addr)| Arc::ptr_eq(point, &recorded.point);
        if !callee.caller.contains(&return_address.0)
            || !called(self.space, &callees).is_some_and(is_this)
        {
            return false;
        }
        let position = self.position(frame);
        let unwound = self.task.calls.unwound_by_call(position, return_address);
        self.unwound(unwound);
        let innermost = self.task.calls.innermost_at(frame, return_address);
        innermost.is_none_or(|call| Arc::ptr_eq(&call.point, &recorded.point) && call.at_callee)
    }

    pub(super) fn called(&mut self, call: &Call<'a>, view: View<'_>) {
        self.settle();
        let Call {
            point,
            frame,
            return_address,
            at_callee,
        } = *call;
        let Some(pid) = self.task.tells_of(point, self.space.pid) else {
            return;
        };
        let position = self.position(frame);
        if position.stack != Stack::Own || !self.task.calls.are_above(frame) {
            let unwound = self.task.calls.unwound_by_call(position, return_address);
            self.unwound(unwound);
            let unwound = self.task.calls.replaced(frame, return_address, point);
            self.unwound(unwound);
        }
        let id = CallId(*self.next_call);
        *self.next_call += 1;
        let depth = self.task.calls.depth();
        let what = What::Call(hit::Call {
            id,
            depth,
            point,
            return_address,
            view,
        });
        let began = self.out.tell(pid, self.tid, what);
        if point.is_told_once() {
            return;
        }
        if position.stack == Stack::Own && point.returns == Returns::Once {
            self.last = Some(Last {
                id,
                pid,
                point,
                frame,
                return_address,
                depth,
                at_callee,
                began,
            });
            return;
        }
        let call = OpenCall {
            id,
            pid,
            point: point.clone(),
            frame,
            return_address,
            stack: position.stack,
            depth,
            again: false,
            at_callee,
            machine: Machine::Amd64,
            began,
        };
        match point.returns {
            Returns::Unwatched => {
                self.out.tell_no_return(self.tid, &call, Why::Unwatched);
            }
            _ => self.task.calls.push(call),
        }
    }

    /// A call that has returned, before its task did anything else.
    pub(super) fn complete(
        &mut self,
        call: &Call<'a>,
        view: View<'_>,
        (ended, returned): (Timestamp, View<'_>),
    ) {
        self.settle();
        let Call {
            point,
            frame,
            return_address,
            ..
        } = *call;
        let is_alone = point.returns == Returns::Once
            && self.position(frame).stack == Stack::Own
            && self.task.calls.are_above(frame);
        if !is_alone {
            self.called(call, view);
            self.out.at(Some(ended));
            if let Some(return_address) = self.caller(frame, point) {
                self.returned(point, frame, return_address, returned);
            }
            return;
        }
        let Some(pid) = self.task.tells_of(point, self.space.pid) else {
            return;
        };
        let id = CallId(*self.next_call);
        *self.next_call += 1;
        let what = What::Complete {
            call: hit::Call {
                id,
                depth: self.task.calls.depth(),
                point,
                return_address,
                view,
            },
            returned,
            ended,
        };
        self.out.tell(pid, self.tid, what);
        self.task.calls.came_back(frame, return_address, point);
    }

    /// Where a call of this function returns to whose return address was in this place.
    pub(super) fn caller(&self, frame: u64, point: &Arc<Tracepoint>) -> Option<Addr> {
        if let Some(last) = &self.last
            && last.frame == frame
            && Arc::ptr_eq(last.point, point)
        {
            return Some(last.return_address);
        }
        self.task.calls.caller(frame, point)
    }

    pub(super) fn returned(
        &mut self,
        point: &Arc<Tracepoint>,
        frame: u64,
        return_address: Addr,
        view: View<'_>,
    ) {
        // It is not moved: what was just written would be waited for.
        if let Some(last) = &self.last
            && last.frame == frame
            && Arc::ptr_eq(last.point, point)
            && self.task.calls.are_above(frame)
        {
            self.task.calls.came_back(frame, return_address, point);
            let what = What::Return {
                call: hit::Call {
                    id: last.id,
                    depth: last.depth,
                    point,
                    return_address,
                    view,
                },
                began: last.began,
            };
            self.out.tell(last.pid, self.tid, what);
            self.last = None;
            return;
        }
        self.settle();
        if self.task.calls.is_same_return(frame, return_address, point) {
            return;
        }
        let position = self.position(frame.wrapping_add(8));
        let calls = &mut self.task.calls;
        if position.stack == Stack::Own
            && let Some(call) = calls.returned_alone(return_address, frame)
        {
            self.came_back(call, return_address, view);
            return;
        }
        let returned = self.task.calls.returned(return_address, position);
        let unwound = self.task.calls.unwound_by_return(position);
        self.unwound(unwound);
        if returned.is_empty()
            && let Some(call) = self.task.calls.again(return_address, position.rsp)
        {
            let what = What::ReturnedAgain {
                depth: self.task.calls.depth(),
                point: &call.point,
                return_address,
                view,
            };
            self.out.tell(call.pid, self.tid, what);
        }
        for call in returned {
            self.came_back(call, return_address, view);
        }
    }

    fn came_back(&mut self, call: OpenCall, return_address: Addr, view: View<'_>) {
        let what = What::Return {
            call: hit::Call {
                id: call.id,
                depth: call.depth,
                point: &call.point,
                return_address,
                view,
            },
            began: call.began,
        };
        self.out.tell(call.pid, self.tid, what);
        match call.point.returns {
            Returns::Again => self.task.calls.may_return_again(call),
            _ => self.spare.give(call.point),
        }
    }

    /// Puts the call that was told of last among the open ones.
    pub(super) fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.open(last);
        }
    }

    fn open(&mut self, call: Last<'_>) {
        self.task.calls.push(OpenCall {
            id: call.id,
            pid: call.pid,
            point: self.spare.take(call.point),
            frame: call.frame,
            return_address: call.return_address,
            stack: Stack::Own,
            depth: call.depth,
            again: false,
            at_callee: call.at_callee,
            machine: Machine::Amd64,
            began: call.began,
        });
    }

    fn position(&mut self, rsp: u64) -> Position<'static> {
        let memory: &dyn Memory = &self.space.memory;
        let runner = Runner {
            tid: self.tid,
            pid: self.task.pid,
            thread_pointer: self.thread_pointer,
            memory,
        };
        Position {
            rsp,
            stack: self.task.stacks.meet(rsp, runner),
            frames: None,
        }
    }

    fn unwound(&mut self, calls: Vec<OpenCall>) {
        for call in calls {
            self.out.tell_no_return(self.tid, &call, Why::Unwound);
        }
    }
}
