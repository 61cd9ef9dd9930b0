//! Letting go: every task stopped, put back where the program would be without us, every int3 out, and
//! only then released. Runs at the end of every session, however it came, and when the engine is dropped.

use crate::base::addr::Addr;
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::engine::hit::What;
use crate::engine::instrument::inprocess::drain::Share;
use crate::engine::space::{Original, Space};
use crate::engine::supervisor::fork_exec_exit::clone_flags;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{Resume, finish, move_out_of_slot};
use crate::engine::supervisor::state::{Ending, Supervisor};
use crate::engine::supervisor::stop_all::kernel::Linux;
use crate::engine::supervisor::stop_all::{Limits, Next, Policy, StopAll, Want};
use crate::engine::task::{Role, SpaceId, Task};
use crate::event::Request;
use crate::event::Why;
use crate::sys;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;
use nix::libc;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Only a task that waits in the kernel for its vfork child takes longer, and it cannot hit an int3 there; when we
/// are gone it goes on by itself.
const LIMITS: Limits = Limits {
    asleep: Duration::from_millis(500),
    running: Duration::from_millis(500),
};

impl Supervisor {
    /// Lets go of every task.
    pub(in crate::engine) fn leave(&mut self, out: &mut Out<'_>) {
        self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        let held = self.stop_everyone(out);
        self.drain_all(out, Share::All);
        self.see_to_spaces();
        let mut tids: Vec<Tid> = self.tasks.keys().copied().collect();
        tids.sort();
        for tid in tids {
            if let Some(space) = self.tasks.get(&tid).map(|task| task.space) {
                self.close_goroutines(space, tid, Why::Detached, out);
            }
            let Some(task) = self.tasks.get_mut(&tid) else {
                continue;
            };
            if let Some(call) = task.system_call.take() {
                out.tell(task.pid, tid, call.no_return(Why::Detached));
            }
            for call in task.calls.take_all() {
                out.tell_no_return(tid, &call, Why::Detached);
            }
            if task.role == Role::Shown {
                out.tell(task.pid, tid, What::Detached);
            }
        }
        for stop in &held {
            let task = self.tasks.get(&stop.tid());
            if let Some(space) = task.and_then(|task| self.spaces.get(&task.space)) {
                space.memory.write_by(stop);
                // ESRCH: it was killed meanwhile and needs no help.
                let _ = put_back(stop, space);
            }
        }
        self.spaces.values_mut().for_each(Space::remove_breakpoints);
        self.to_release
            .values_mut()
            .for_each(Space::remove_breakpoints);
        self.remove_guards(&held);
        for stop in held {
            // ESRCH: as above.
            let _ = stop.detach(None);
        }
        self.tasks.clear();
        self.spaces.clear();
        self.to_release.clear();
    }

    /// Gives every program its own SIGTRAP action back, by one task of each process.
    fn remove_guards(&mut self, held: &[Stopped]) {
        let mut users: HashMap<SpaceId, HashMap<Pid, &Stopped>> = HashMap::new();
        for stopped in held {
            if let Some(task) = self.tasks.get(&stopped.tid()) {
                let processes = users.entry(task.space).or_default();
                processes.insert(task.pid, stopped);
            }
        }
        for (id, processes) in users {
            if let Some(space) = self.spaces.get_mut(&id) {
                space.remove_guard(processes.into_values());
            }
        }
    }

    /// Stops every task.
    fn stop_everyone(&mut self, out: &mut Out<'_>) -> Vec<Stopped> {
        let mut stop_all = StopAll::new(&Linux);
        for (tid, stopped) in self.unannounced.drain() {
            stop_all.add_stopped(tid, stopped);
        }
        let mut everyone = Everyone {
            supervisor: self,
            out,
        };
        let halted = stop_all.run(&mut everyone, LIMITS);
        halted
            .stopped
            .into_iter()
            .map(|(stopped, _)| stopped)
            .collect()
    }

    /// What a task shows before it stops goes its way, as it would be served, but is not told any more. No handler's
    /// instruction is executed before that stop. The signal to deliver.
    fn pass(
        &mut self,
        stopped: &Stopped,
        stop: Stop,
        out: &mut Out<'_>,
    ) -> sys::Result<Option<Signal>> {
        let tid = stopped.tid();
        match stop {
            Stop::Signal(Signal(libc::SIGTRAP)) => match self.past_int3(stopped)? {
                Some(slot) => stopped.set_rip(slot.0)?,
                None => return Ok(Some(Signal(libc::SIGTRAP))),
            },
            Stop::Signal(other) => return Ok(Some(other)),
            Stop::Fork | Stop::Vfork | Stop::Clone => self.adopt(tid, stopped, stop)?,
            Stop::Exec => {
                let machine = stopped.regs()?.machine();
                self.close(tid, Why::Gone, out);
                let fresh = self.add_space(Space::new(Pid(tid.0), machine));
                self.tasks
                    .insert(tid, Task::new(Pid(tid.0), fresh, Role::VforkChild));
            }
            _ => {}
        }
        Ok(None)
    }

    /// A child born while we leave: with the same memory or a copy of it.
    fn adopt(&mut self, maker: Tid, stopped: &Stopped, stop: Stop) -> sys::Result<()> {
        let child = Tid(stopped.event_message()? as i32);
        let Some(id) = self.tasks.get(&maker).map(|task| task.space) else {
            return Ok(());
        };
        let Some(space) = self.spaces.get(&id) else {
            return Ok(());
        };
        let shares =
            clone_flags(&stopped.regs()?, stop, &space.memory) & libc::CLONE_VM as u64 != 0;
        let id = if shares {
            id
        } else {
            self.add_space(space.copy_for(Pid(child.0)))
        };
        self.tasks
            .insert(child, Task::new(Pid(child.0), id, Role::VforkChild));
        Ok(())
    }

    /// Where a task that has hit one of our int3s goes on, or does so already, served and not yet
    /// resumed when we came to leave.
    fn past_int3(&self, stopped: &Stopped) -> sys::Result<Option<Addr>> {
        let tid = stopped.tid();
        let space = self.tasks.get(&tid);
        let Some(space) = space.and_then(|task| self.spaces.get(&task.space)) else {
            return Ok(None);
        };
        let rip = stopped.regs()?.rip;
        if let Some(breakpoint) = space.breakpoint(Addr(rip.wrapping_sub(1))) {
            return Ok(Some(breakpoint.slot.start));
        }
        if space
            .recorder
            .as_ref()
            .is_some_and(|recorder| recorder.is_stop(rip))
        {
            return Ok(Some(Addr(rip)));
        }
        // Only an int3's SIGTRAP comes from the kernel so (arch/x86/kernel/traps.c, do_int3).
        let served = matches!(space.original(rip), Some(Original::Before(_)))
            && stopped.signal_info()?.code() == libc::SI_KERNEL;
        Ok(served.then_some(Addr(rip)))
    }
}

/// All tasks, and those made meanwhile.
struct Everyone<'s, 'o, 'h> {
    supervisor: &'s mut Supervisor,
    out: &'o mut Out<'h>,
}

impl Policy<Stopped> for Everyone<'_, '_, '_> {
    fn wants(&mut self) -> Vec<(Tid, Want)> {
        let Supervisor {
            tasks, to_release, ..
        } = &*self.supervisor;
        let everyone = tasks.keys().chain(to_release.keys());
        everyone.map(|&tid| (tid, Want::Stopped)).collect()
    }

    fn serve(&mut self, stopped: Stopped, stop: Stop) -> Next<Stopped> {
        let resume = match self.supervisor.pass(&stopped, stop, self.out) {
            Ok(Some(signal)) => Resume::Deliver(stopped, signal),
            Ok(None) => Resume::Run(stopped),
            // It was killed, and shows its end next; or its stop is looked at once more.
            Err(_) => Resume::Again,
        };
        Next::GoOn(resume)
    }

    fn ended(&mut self, tid: Tid, ending: Option<Ending>) {
        match ending {
            Some(ending) => drop(self.supervisor.ended(tid, ending, self.out)),
            None => drop(self.supervisor.close(tid, Why::Gone, self.out)),
        }
    }
}

/// Moves a stopped task to where the program would be without us.
pub(in crate::engine) fn put_back(stopped: &Stopped, space: &Space) -> sys::Result<()> {
    let mut regs = stopped.regs()?;
    if let Some(original) = space.original(regs.rip) {
        move_out_of_slot(&mut regs, original);
        stopped.set_regs(&regs)?;
    }
    let recorder = space.recorder.as_ref();
    if let Some(regs) = recorder.and_then(|recorder| recorder.out(&regs, &space.memory)) {
        stopped.set_regs(&regs)?;
    }
    Ok(())
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if !self.tasks.is_empty() || !self.unannounced.is_empty() || !self.to_release.is_empty() {
            self.leave(&mut Out::new(&mut |_| ControlFlow::Break(Request::End)));
        }
    }
}
