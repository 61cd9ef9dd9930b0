//! What a hit breakpoint means: a call begins, a call returns, or the dynamic linker has news.

use super::arrivals::arrivals;
use super::tell::Teller;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::{FloatRegs, Floats, Regs, View};
use crate::engine::instrument::int3::breakpoint::{Breakpoint, Purpose};
use crate::engine::instrument::int3::clones::told_of;
use crate::engine::space::stack::Translated;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::{Role, SpaceId, Task};
use crate::plan::{self, Tracepoint};
use crate::sys;
use crate::sys::ptrace::Stopped;
use std::sync::Arc;

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
        if task.role == Role::Shown {
            space.seen(regs.thread_pointer(), stopped.tid());
        }
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
                process: space,
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
