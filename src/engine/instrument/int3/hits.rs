//! What a hit breakpoint means: a call begins, a call returns, or the dynamic linker has news.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::{FloatRegs, Floats, Regs, View};
use crate::engine::calls::{Landing, OpenCall, Position};
use crate::engine::hit::{self, What};
use crate::engine::instrument::int3::breakpoint::{Breakpoint, Purpose};
use crate::engine::instrument::int3::clones::told_of;
use crate::engine::space::Space;
use crate::engine::space::stack::Translated;
use crate::engine::stacks::{Runner, Stack};
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::{Role, SpaceId, Task};
use crate::event::{CallId, Why};
use crate::plan::{self, Kind, Returns, Tracepoint};
use crate::process::callsite::CallSite;
use crate::sys;
use crate::sys::memory::Prefetched;
use crate::sys::ptrace::Stopped;
use std::sync::Arc;

/// A call as a breakpoint shows it.
struct Arrival {
    point: Arc<Tracepoint>,
    seen: Seen,
    /// The registers as on the callee's first instruction.
    regs: Regs,
    return_address: Addr,
    /// Where that really is: in code of ours that goes on there, for a call that is recorded as well.
    lands_at: Addr,
}

/// Where a call was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Where it is made, or at an entry that every call passes.
    Itself,
    /// At an imported function's first instruction, which other calls may end up at too.
    AtCallee,
}

impl Floats for Stopped {
    fn floats(&self) -> Option<FloatRegs> {
        self.float_regs().ok()
    }
}

impl Supervisor {
    /// A SIGTRAP: one of our breakpoints, or the program's own affair.
    pub(in crate::engine) fn trapped(
        &mut self,
        stopped: Stopped,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let regs = stopped.regs()?;
        // RIP is after the int3 (Intel SDM vol. 3, 6.15, "Interrupt 3").
        let at = Addr(regs.rip.wrapping_sub(1));
        let Some(&Task {
            space: id,
            role,
            pid,
            ..
        }) = self.tasks.get(&stopped.tid())
        else {
            return Ok(Resume::Run(stopped));
        };
        if self.claimed(&stopped, &regs, out)? || self.asked(&stopped, &regs, out) {
            return Ok(Resume::Run(stopped));
        }
        let Some(breakpoint) = self.spaces.get(&id).and_then(|space| space.breakpoint(at)) else {
            return self.own_trap(stopped, out);
        };
        let slot = breakpoint.slot.start;
        // First of all: from here on the task goes on rightly even if we are killed.
        stopped.set_rip(slot.0)?;
        match role {
            Role::Shown => {
                self.enter_goroutine(stopped.tid(), &regs);
                let served = self.hit(&stopped, id, at, regs, out);
                self.leave_goroutine(stopped.tid());
                served?;
            }
            Role::VforkChild => self.hit_by_child(&stopped, id, at, regs, out),
        }
        if let Some(space) = self.spaces.get_mut(&id).filter(|space| space.pid == pid) {
            space.see_to_guard(&stopped);
        }
        Ok(Resume::Run(stopped))
    }

    /// Serves each purpose of the breakpoint; returns come before calls that begin at the same place.
    fn hit(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        regs: Regs,
        out: &mut Out<'_>,
    ) -> sys::Result<()> {
        let Some(breakpoint) = self.spaces.get(&id).and_then(|space| space.breakpoint(at)) else {
            return Ok(());
        };
        let has = |wanted: fn(&Purpose) -> bool| breakpoint.purposes.iter().any(wanted);
        let modules_changed = has(|p| matches!(p, Purpose::LinkMap));
        let relocated = has(|p| matches!(p, Purpose::Relocated));
        let begins_action = has(|p| matches!(p, Purpose::SignalEntry));
        let sets_action = has(|p| matches!(p, Purpose::SignalAction));
        let makes_task = has(|p| matches!(p, Purpose::Clone));
        let ends = has(|p| matches!(p, Purpose::End));
        let calls_prctl = has(|p| matches!(p, Purpose::Prctl));
        let slot = breakpoint.slot.start;
        for resolver in self.called_or_returned(stopped, id, at, regs, out) {
            self.chosen(stopped, id, &resolver, Addr(regs.rax), out);
        }
        if modules_changed {
            self.list_changed(stopped, id, out);
        }
        if relocated {
            self.resolve_imports(stopped, id, out);
        }
        if begins_action {
            self.watch_action_calls(stopped, id, at, regs, out);
        }
        if sets_action {
            self.answer_action(stopped, id, at, regs)?;
        }
        if calls_prctl {
            self.sandboxes_itself(id, &regs);
        }
        if ends {
            self.about_to_end(stopped.tid(), out);
        }
        if makes_task && let Some(told) = told_of(&regs) {
            stopped.set_regs(&Regs {
                rip: slot.0,
                ..told
            })?;
        }
        Ok(())
    }

    /// A child that shares this memory has hit the breakpoint: what it does to blocks is told, nothing else.
    fn hit_by_child(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        regs: Regs,
        out: &mut Out<'_>,
    ) {
        if !self.plan.resources.functions.is_empty() {
            self.called_or_returned(stopped, id, at, regs, out);
        }
    }

    /// Tells of the calls that return at a breakpoint, and of those that begin there. The result are the resolvers
    /// that have returned.
    fn called_or_returned(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        regs: Regs,
        out: &mut Out<'_>,
    ) -> Vec<Arc<Tracepoint>> {
        let mut choosing = Vec::new();
        let Some(space) = self.spaces.get(&id) else {
            return choosing;
        };
        let Some(breakpoint) = space.breakpoint(at) else {
            return choosing;
        };
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return choosing;
        };
        let has = |wanted: fn(&Purpose) -> bool| breakpoint.purposes.iter().any(wanted);
        let (arrivals, prefetched) = arrivals(space, at, breakpoint, regs);
        let mut teller = Teller {
            task,
            stopped,
            space,
            next_call: &mut self.next_call,
            out,
        };
        if has(|p| matches!(p, Purpose::Return)) {
            choosing = teller.come_back(at, &regs);
        }
        if has(|p| matches!(p, Purpose::Caught)) {
            teller.caught(&regs);
        }
        let mut call_sites = Vec::with_capacity(arrivals.len());
        let stack = Translated {
            memory: &prefetched,
            space,
        };
        for arrival in arrivals {
            let memory: &dyn Memory = match arrival.point.stack {
                plan::Stack::Wanted => &stack,
                plan::Stack::Unwanted => &prefetched,
            };
            let view = View {
                regs: &arrival.regs,
                memory,
                floats: stopped,
                errno: None,
            };
            if teller.arrive(&arrival, view) {
                call_sites.push(arrival.lands_at);
            }
        }
        for call_site in call_sites {
            self.expect_return(stopped, id, call_site, out);
        }
        choosing
    }

    /// Plants the breakpoint that a call will return to, unless it stands already.
    pub(in crate::engine) fn expect_return(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        call_site: Addr,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let stands = |b: &Breakpoint| b.purposes.iter().any(|p| matches!(p, Purpose::Return));
        if space.breakpoint(call_site).is_some_and(stands) {
            return;
        }
        self.plant(stopped, id, call_site, Purpose::Return, out);
    }
}

/// The calls that begin at this breakpoint, with the memory they will be read from: stack and texts in
/// one system call.
fn arrivals<'s>(
    space: &'s Space,
    at: Addr,
    breakpoint: &Breakpoint,
    regs: Regs,
) -> (Vec<Arrival>, Prefetched<'s>) {
    let mut arrivals = Vec::new();
    let mut prefetched = None;
    let mut callees: Vec<(&Arc<Tracepoint>, Addr, Addr)> = Vec::new();
    let mut at_callee = (Addr(0), regs);
    let through_got = space.goes_through_got(at, breakpoint, &regs);
    for purpose in &breakpoint.purposes {
        if purpose.uses_slot() && !through_got {
            continue;
        }
        let (point, caller) = match purpose {
            Purpose::Entry(point) => (point, None),
            Purpose::Callee {
                point,
                caller,
                slot,
            } => (point, Some((caller, slot))),
            Purpose::CallSite(point) => {
                // The call is about to push its return address.
                let regs = regs.with_call_pushed();
                let return_address = breakpoint.slot.next;
                prefetched.get_or_insert_with(|| prefetch(space, &regs, point));
                arrivals.push(Arrival {
                    point: point.clone(),
                    seen: Seen::Itself,
                    regs,
                    return_address,
                    lands_at: return_address,
                });
                continue;
            }
            _ => continue,
        };
        let memory: &dyn Memory = prefetched.get_or_insert_with(|| prefetch(space, &regs, point));
        let Ok(lands_at) = memory.read_word(Addr(regs.rsp)).map(Addr) else {
            continue;
        };
        let return_address = space.caller(lands_at);
        let regs = at_entry(space, at, return_address, regs);
        match caller {
            Some((caller, slot)) if caller.contains(&return_address.0) => {
                at_callee = (lands_at, regs);
                callees.push((point, *slot, return_address))
            }
            Some(_) => {}
            None => arrivals.push(Arrival {
                point: point.clone(),
                seen: Seen::Itself,
                regs,
                return_address,
                lands_at,
            }),
        }
    }
    if let Some((point, return_address)) = called(space, &callees) {
        let (lands_at, regs) = at_callee;
        arrivals.push(Arrival {
            point: point.clone(),
            seen: Seen::AtCallee,
            regs,
            return_address,
            lands_at,
        });
    }
    let prefetched = prefetched.unwrap_or_else(|| Prefetched::take(&space.memory, &[]));
    (arrivals, prefetched)
}

/// The registers as they are where the function begins: no unwinder knows of the stub that an int3 may stand in.
fn at_entry(space: &Space, at: Addr, return_address: Addr, regs: Regs) -> Regs {
    let recorder = space.recorder.as_ref();
    match recorder.and_then(|recorder| recorder.seen_at(at, return_address)) {
        Some(Addr(rip)) => Regs { rip, ..regs },
        None => regs,
    }
}

/// The import that a hit at its callee is a call of. Several may hold one address (memcpy and memmove,
/// open and open64): the call instruction names the slot, or any may be meant. A call through a stub was
/// seen there, so that what arrives here is that call, or what it has led to by a tail call.
pub(in crate::engine::instrument) fn called<'p>(
    space: &Space,
    callees: &[(&'p Arc<Tracepoint>, Addr, Addr)],
) -> Option<(&'p Arc<Tracepoint>, Addr)> {
    let &(point, _, return_address) = callees.first()?;
    match space.call_site(return_address) {
        CallSite::Stub => None,
        CallSite::Slot(called) => callees
            .iter()
            .find(|(_, slot, _)| *slot == called)
            .map(|(point, ..)| (*point, return_address)),
        CallSite::Local | CallSite::Computed => Some((point, return_address)),
    }
}

fn prefetch<'s>(space: &'s Space, regs: &Regs, point: &Tracepoint) -> Prefetched<'s> {
    let mut places = [Addr(regs.rsp); sys::memory::PREFETCHES];
    let mut count = 1;
    let typed = point.typed(regs.machine());
    let texts = typed.map_or(0, |(_, capture)| capture.pointers);
    for (index, register) in regs.arguments().into_iter().enumerate() {
        if texts & (1 << index) != 0 && count < places.len() {
            places[count] = Addr(register);
            count += 1;
        }
    }
    Prefetched::take(&space.memory, &places[..count])
}

/// Tells of the calls of one task that stands still.
struct Teller<'a, 'o> {
    task: &'a mut Task,
    stopped: &'a Stopped,
    space: &'a Space,
    next_call: &'a mut u64,
    out: &'a mut Out<'o>,
}

impl<'a> Teller<'a, '_> {
    /// Opens a call and tells of it; says whether its return is to be expected. What its frame shows to be
    /// unwound is closed first.
    fn arrive(&mut self, arrival: &Arrival, view: View<'_>) -> bool {
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
    fn come_back(&mut self, at: Addr, regs: &Regs) -> Vec<Arc<Tracepoint>> {
        let tid = self.stopped.tid();
        let time = self.out.now();
        let at = self.space.caller(at);
        let view = View {
            regs,
            memory: &self.space.memory,
            floats: self.stopped,
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
    fn caught(&mut self, regs: &Regs) {
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
