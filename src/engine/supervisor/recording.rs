//! What the supervisor does for code in the target that records calls: it waits and reads, and sees to births, signals
//! and ends.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::engine::instrument::inprocess::drain::Share;
use crate::engine::instrument::inprocess::{Claim, Forked, Recorder, Whose};
use crate::engine::space::Space;
use crate::engine::stacks::Runner;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::{SHORTEST_NAP, Supervisor};
use crate::engine::task::SpaceId;
use crate::sys;
use crate::sys::interrupt;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::{self, Patience, Status};
use nix::libc;
use std::collections::HashSet;
use std::time::Duration;

/// How long we sleep at most when nothing was recorded.
const LONGEST_NAP: Duration = Duration::from_millis(10);
/// After so many records there is no time to sleep: a ring would be full first.
const MANY: usize = 2048;

impl Supervisor {
    /// Has a forked child record calls as its maker does. It has executed nothing yet.
    pub(in crate::engine) fn record_child(
        &mut self,
        stopped: &Stopped,
        forked: Forked,
        out: &mut Out<'_>,
    ) {
        let task = self.tasks.get(&stopped.tid());
        let Some(space) = task.and_then(|task| self.spaces.get_mut(&task.space)) else {
            return;
        };
        let remote = space
            .remote(stopped)
            .ok_or("no syscall instruction".to_owned());
        match remote.and_then(|remote| forked.record(stopped, &remote, &space.memory)) {
            Ok(recorder) => space.recorder = Some(recorder),
            Err(why) => {
                let what = format!("calls of process {} are not traced: {why}", space.pid);
                self.complain(stopped.tid(), &what, out);
            }
        }
    }

    /// From now on int3s in the stubs show calls, each by a stop. Calls that are open return to int3s as well.
    pub(in crate::engine) fn stop_at_stubs(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        self.drain(id, out, Share::All);
        let recorder = self
            .spaces
            .get(&id)
            .and_then(|space| space.recorder.as_ref());
        let Some(recorder) = recorder.filter(|recorder| recorder.is_enabled()) else {
            return;
        };
        // A task that comes to one of these goes on when we have done with this, and then records no more.
        for (at, purpose) in recorder.stubs() {
            self.plant(stopped, id, at, purpose, out);
        }
        if let Some(space) = self.spaces.get_mut(&id)
            && let Some(recorder) = &mut space.recorder
        {
            recorder.disable(&space.memory);
        }
        // What was recorded before the last of those stood.
        self.drain(id, out, Share::All);
        let tasks = self.tasks.values().filter(|task| task.space == id);
        let returns: HashSet<Addr> = tasks
            .flat_map(|task| task.calls.return_addresses())
            .collect();
        for at in returns {
            self.expect_return(stopped, id, at, out);
        }
    }

    /// Waits for the next thing that happens to any task, reading what is recorded meanwhile. `None` when it is time
    /// to look around.
    pub(in crate::engine) fn look(
        &mut self,
        out: &mut Out<'_>,
    ) -> sys::Result<Option<(Tid, Status)>> {
        let records = |space: &Space| space.recorder.as_ref().is_some_and(Recorder::is_enabled);
        if !self.spaces.values().any(records) {
            return self.placement.look();
        }
        let ticks = interrupt::ticks();
        loop {
            let seen = wait::look(Patience::Poll)?;
            let is_due = interrupt::ticks() != ticks || interrupt::is_requested();
            if seen.is_some() {
                self.nap = SHORTEST_NAP;
                return Ok(seen);
            }
            let count = self.drain_all(out, Share::Much);
            self.nap = match count {
                0 => (2 * self.nap).min(LONGEST_NAP),
                _ => SHORTEST_NAP,
            };
            if is_due || out.request.is_some() {
                return Ok(None);
            }
            if count < MANY {
                wait::nap(self.nap);
            }
        }
    }

    /// Tells of what tasks of this one's space have recorded before it stopped.
    pub(in crate::engine) fn drain_before(&mut self, tid: Tid, out: &mut Out<'_>) {
        if let Some(id) = self.tasks.get(&tid).map(|task| task.space) {
            self.drain(id, out, Share::All);
        }
    }

    /// A task may ask for a ring: then it goes on as it has to. Where there is none left, int3s show the calls of the
    /// whole space from now on.
    pub(in crate::engine) fn claimed(
        &mut self,
        stopped: &Stopped,
        regs: &Regs,
        out: &mut Out<'_>,
    ) -> sys::Result<bool> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(false);
        };
        let (id, pid) = (task.space, task.pid);
        let space = self.spaces.get_mut(&id);
        let Some((space, claim)) = space.and_then(|space| {
            let claim = space.recorder.as_mut()?.claimed(tid, regs)?;
            Some((space, claim))
        }) else {
            return Ok(false);
        };
        space.seen(regs.fs_base, tid);
        let runner = Runner {
            tid,
            pid,
            thread_pointer: regs.fs_base,
            memory: &space.memory,
        };
        // To be known when records are read, perhaps after its end.
        task.stacks.is_own(regs.rsp, runner);
        match claim {
            Claim::Given { resume } => {
                let stack = task.stacks.own_range(runner);
                if let Some((stack, recorder)) = stack.zip(space.recorder.as_ref()) {
                    recorder.set_stack(tid, &stack);
                }
                stopped.set_rip(resume)?;
            }
            Claim::NoneLeft => {
                let recorder = space.recorder.as_ref();
                let again = recorder.and_then(|recorder| recorder.out(regs, &space.memory));
                self.stop_at_stubs(stopped, id, out);
                if let Some(regs) = again {
                    stopped.set_regs(&regs)?;
                }
            }
        }
        Ok(true)
    }

    /// A signal has stopped a task that may be in the code that records. Gives where it goes on if the signal is not
    /// the program's.
    pub(in crate::engine) fn interrupted(
        &mut self,
        stopped: &Stopped,
        signal: Signal,
    ) -> sys::Result<bool> {
        let task = self.tasks.get(&stopped.tid());
        let space = task.and_then(|task| self.spaces.get(&task.space));
        let Some((space, recorder)) = space.and_then(|s| Some((s, s.recorder.as_ref()?))) else {
            return Ok(false);
        };
        let regs = stopped.regs()?;
        if matches!(signal.0, libc::SIGSEGV | libc::SIGBUS)
            && let Some(resume) = recorder.resume_after_fault(regs.rip)
            && stopped.signal_info()?.code() > 0
        {
            stopped.set_rip(resume)?;
            return Ok(true);
        }
        if let Some(regs) = recorder.out(&regs, &space.memory) {
            stopped.set_regs(&regs)?;
        }
        Ok(false)
    }

    /// A task is about to give itself a seccomp filter, or to become one that may.
    pub(in crate::engine) fn sandboxes_itself(&mut self, id: SpaceId, regs: &Regs) {
        let option = regs.rdi as i32;
        if matches!(option, libc::PR_SET_SECCOMP | libc::PR_SET_NO_NEW_PRIVS)
            && let Some(space) = self.spaces.get(&id)
            && let Some(recorder) = &space.recorder
        {
            recorder.make_no_system_calls();
        }
    }

    /// A task has gone, and all that it recorded was told.
    pub(in crate::engine) fn release_ring(&mut self, tid: Tid) {
        let space = self.tasks.get(&tid).map(|task| task.space);
        if let Some(space) = space.and_then(|id| self.spaces.get_mut(&id))
            && let Some(recorder) = &mut space.recorder
        {
            recorder.release(tid);
        }
    }

    /// A thread is about to begin that has the thread pointer of one that has ended, perhaps without our having seen it
    /// end: what that has recorded is told, and its ring is no longer found.
    pub(in crate::engine) fn take_back_ring(
        &mut self,
        maker: Tid,
        thread_pointer: u64,
        out: &mut Out<'_>,
    ) {
        let Some(id) = self.tasks.get(&maker).map(|task| task.space) else {
            return;
        };
        let holder = |space: &Space| space.recorder.as_ref()?.holder(thread_pointer);
        if let Some(tid) = self.spaces.get(&id).and_then(holder)
            && tid != maker
        {
            self.drain(id, out, Share::All);
            self.release_ring(tid);
        }
    }

    /// A task waits for its vfork child, which runs in its place, or does so no longer.
    pub(in crate::engine) fn lend_ring(&mut self, tid: Tid, whose: Whose) {
        let space = self.tasks.get(&tid).map(|task| task.space);
        if let Some(space) = space.and_then(|id| self.spaces.get_mut(&id))
            && let Some(recorder) = &mut space.recorder
        {
            recorder.lend(tid, whose);
        }
    }
}
