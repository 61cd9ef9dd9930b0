//! Letting go: every task stopped, put back where the program would be without us, every int3 out, and
//! only then released. Runs at the end of every session, however it came, and when the engine is dropped.

use crate::base::addr::Addr;
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::engine::hit::What;
use crate::engine::space::{Original, Space};
use crate::engine::supervisor::fork_exec_exit::clone_flags;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{finish, put_back_home};
use crate::engine::supervisor::state::{Ending, Supervisor};
use crate::engine::task::{Role, SpaceId, Task};
use crate::event::Request;
use crate::event::Why;
use crate::sys::ptrace::{self, Stopped};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{self, proc};
use nix::libc;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long a task may take to stop. Only one that waits in the kernel for its vfork child takes longer,
/// and it cannot hit an int3 there; when we are gone it goes on by itself.
const PATIENCE: Duration = Duration::from_millis(500);

impl Supervisor {
    /// Lets go of every task.
    pub(in crate::engine) fn leave(&mut self, out: &mut Out<'_>) {
        self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        let held = self.hold_everyone(out);
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
            for call in task.calls.take_all() {
                out.tell_no_return(task.pid, tid, &call, Why::Detached);
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
        self.spaces.values_mut().for_each(Space::take_out);
        self.to_release.values_mut().for_each(Space::take_out);
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
    fn hold_everyone(&mut self, out: &mut Out<'_>) -> Vec<Stopped> {
        let mut held: HashMap<Tid, Stopped> = HashMap::new();
        for (tid, stopped) in self.unannounced.drain() {
            held.insert(tid, stopped);
        }
        let mut waiting: Vec<Tid> = self
            .tasks
            .keys()
            .chain(self.to_release.keys())
            .copied()
            .collect();
        waiting.retain(|tid| !held.contains_key(tid));
        for &tid in &waiting {
            let _ = ptrace::interrupt(tid);
        }
        let began = Instant::now();
        while !waiting.is_empty() && began.elapsed() < PATIENCE {
            let mut next = Vec::new();
            for tid in waiting.drain(..) {
                match self.hold_one(tid, &mut next, out) {
                    Ok(Some(stop)) => drop(held.insert(tid, stop)),
                    Ok(None) => next.push(tid),
                    Err(_) if is_gone(tid) => drop(self.close(tid, Why::Gone, out)),
                    Err(_) => next.push(tid),
                }
            }
            waiting = next;
            if !waiting.is_empty() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        held.into_values().collect()
    }

    /// Looks whether one task has come to the stop that we asked for. What comes before it goes its way:
    /// signals are delivered, though no handler's instruction is executed before that stop.
    fn hold_one(
        &mut self,
        tid: Tid,
        new: &mut Vec<Tid>,
        out: &mut Out<'_>,
    ) -> sys::Result<Option<Stopped>> {
        let ending = match wait::look_at(tid, Patience::Poll)? {
            Some(Status::Stopped(stopped, stop)) => {
                return self.hold_stopped(stopped, stop, new, out);
            }
            Some(Status::Exited(status)) => Ending::Exited(status),
            Some(Status::Killed(signal)) => Ending::Killed(signal),
            None => return Ok(None),
        };
        self.ended(tid, ending, out);
        Err(sys::Error {
            call: "waitid",
            errno: nix::errno::Errno::ESRCH,
        })
    }

    fn hold_stopped(
        &mut self,
        stopped: Stopped,
        stop: Stop,
        new: &mut Vec<Tid>,
        out: &mut Out<'_>,
    ) -> sys::Result<Option<Stopped>> {
        let tid = stopped.tid();
        match stop {
            // An int3 was hit, but its SIGTRAP waits behind the stop we asked for: let it come, and ask anew.
            // A SIGSTOP to the process may stop it before that, too; released, it stops again.
            Stop::Interrupt | Stop::Group(_) if proc::is_pending(tid, libc::SIGTRAP) => {
                return stopped.resume(None).map(|()| None);
            }
            Stop::Interrupt | Stop::Group(_) => return Ok(Some(stopped)),
            _ => ptrace::interrupt(tid)?,
        }
        let mut signal = None;
        match stop {
            Stop::Signal(Signal(libc::SIGTRAP)) => match self.past_int3(&stopped)? {
                Some(slot) => stopped.set_rip(slot.0)?,
                None => signal = Some(Signal(libc::SIGTRAP)),
            },
            Stop::Signal(other) => signal = Some(other),
            Stop::Fork | Stop::Vfork | Stop::Clone => new.extend(self.adopt(tid, &stopped, stop)?),
            Stop::Exec => {
                self.close(tid, Why::Gone, out);
                let fresh = self.add_space(Space::new(Pid(tid.0), stopped.regs()?.machine()));
                self.tasks
                    .insert(tid, Task::new(Pid(tid.0), fresh, Role::VforkChild));
            }
            _ => {}
        }
        stopped.resume(signal).map(|()| None)
    }

    /// A child born while we leave: with the same memory or a copy of it.
    fn adopt(&mut self, maker: Tid, stopped: &Stopped, stop: Stop) -> sys::Result<Option<Tid>> {
        let child = Tid(stopped.event_message()? as i32);
        let Some(id) = self.tasks.get(&maker).map(|task| task.space) else {
            return Ok(None);
        };
        let Some(space) = self.spaces.get(&id) else {
            return Ok(None);
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
        Ok(Some(child))
    }

    /// The slot in which a task that has hit one of our int3s goes on, or does so already, served and not yet
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
        // Only an int3's SIGTRAP comes from the kernel so (arch/x86/kernel/traps.c, do_int3).
        let served = matches!(space.home(rip), Some(Original::Before(_)))
            && stopped.signal_info()?.code() == libc::SI_KERNEL;
        Ok(served.then_some(Addr(rip)))
    }
}

fn is_gone(tid: Tid) -> bool {
    matches!(proc::state(tid), None | Some('Z' | 'X'))
}

/// Moves a stopped task to where the program would be without us.
pub(in crate::engine) fn put_back(stopped: &Stopped, space: &Space) -> sys::Result<()> {
    let mut regs = stopped.regs()?;
    if let Some(home) = space.home(regs.rip) {
        put_back_home(&mut regs, home);
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
