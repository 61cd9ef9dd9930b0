//! The last moment of a process: its tasks stop before they end, with memory and registers as they were
//! (ptrace(2), PTRACE_O_TRACEEXIT). There is one whatever ends it: exit_group(2) by any thread, the exit of the
//! last one, a signal, SIGKILL too. A process cannot have a child any more then; so where it has much memory, which a
//! child is to keep, it is told of when it calls `_exit`, or when a signal is about to be delivered that ends it.

use crate::base::machine::Machine;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::base::snapshot::TaskState;
use crate::base::{Pid, Tid};
use crate::engine::hit::What;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::supervisor::{snapshot, snapshot_memory};
use crate::engine::task::Role;
use crate::sys;
use crate::sys::proc;
use crate::sys::ptrace::{Ends, SignalInfo, Stopped};
use nix::libc;
use std::collections::{HashMap, HashSet};

/// Processes that are about to end.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ending {
    /// It has been told of these.
    told: HashSet<Pid>,
    /// Those of them that have not come to their last stop.
    early: HashSet<Pid>,
    /// What tasks were like that others have ended, and that may be gone when it is told.
    states: HashMap<Pid, Vec<TaskState>>,
}

impl Ending {
    /// The process is gone, or runs another program.
    pub(in crate::engine) fn forget(&mut self, pid: Pid) {
        self.told.remove(&pid);
        self.early.remove(&pid);
        self.states.remove(&pid);
    }

    /// It is in its last stop, and that has been told.
    pub(in crate::engine) fn is_last(&self, pid: Pid) -> bool {
        self.told.contains(&pid) && !self.early.contains(&pid)
    }

    /// What tasks of it were like that are about to end, or have ended with it.
    pub(in crate::engine) fn states(&self, pid: Pid) -> &[TaskState] {
        self.states.get(&pid).map_or(&[], Vec::as_slice)
    }
}

impl Supervisor {
    /// Has a task stop before it ends, if a sink wants to look at it then.
    pub(in crate::engine) fn watch_end(&self, stopped: &Stopped) {
        if self.plan.resources.want_stacks() {
            // One that is gone by now has had no last moment.
            let _ = stopped.set_ends(Ends::Told);
        }
    }

    /// A task has called `_exit`.
    pub(in crate::engine) fn about_to_end(&mut self, tid: Tid, out: &mut Out<'_>) {
        if let Some(pid) = self.large_process(tid)
            && self.ending.told.insert(pid)
        {
            self.ending.early.insert(pid);
            out.tell(pid, tid, What::Exiting);
        }
    }

    /// A signal is about to be delivered to a task. Where it ends a process with much memory, that is told of; the
    /// signal makes way for the child that keeps the memory, and is sent once more.
    pub(in crate::engine) fn told_of_end(
        &mut self,
        stopped: &Stopped,
        signal: Signal,
        out: &mut Out<'_>,
    ) -> sys::Result<bool> {
        let tid = stopped.tid();
        if !self.plan.resources.want_stacks() || !proc::is_ended_by(tid, signal) {
            return Ok(false);
        }
        let Some(pid) = self.large_process(tid) else {
            return Ok(false);
        };
        if self.ending.told.contains(&pid) {
            return Ok(false);
        }
        let info = stopped.signal_info()?;
        // To trace another user's process does not take the right to send it signals.
        if stopped.send(pid, signal).is_err() {
            return Ok(false);
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.postponed = Some((signal, info));
        }
        self.about_to_end(tid, out);
        Ok(true)
    }

    /// What a signal carried that was sent once more and now is there.
    pub(in crate::engine) fn postponed(&mut self, tid: Tid, signal: Signal) -> Option<SignalInfo> {
        let task = self.tasks.get_mut(&tid)?;
        let (_, info) = task.postponed.take_if(|(which, _)| *which == signal)?;
        if !proc::is_ended_by(tid, signal) {
            // Another thread has set an action for it meanwhile.
            self.ending.forget(task.pid);
        }
        Some(info)
    }

    /// The process of a task that is shown, if it has so much memory of its own that a child is to keep it.
    fn large_process(&self, tid: Tid) -> Option<Pid> {
        let task = self.tasks.get(&tid).filter(|t| t.role == Role::Shown)?;
        let pid = Some(task.pid).filter(|_| !self.shares_memory(task));
        pid.filter(|pid| snapshot_memory::is_much(*pid))
    }

    /// A task is about to end.
    pub(in crate::engine) fn exiting(
        &mut self,
        stopped: Stopped,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            self.to_release.remove(&tid);
            return Ok(Resume::Run(stopped));
        };
        task.is_exiting = true;
        self.ending.early.remove(&task.pid);
        let (pid, role, space) = (task.pid, task.role, task.space);
        let mut others = self.tasks.values().filter(|task| task.pid == pid);
        let is_last = others.all(|task| task.is_exiting);
        let how = how(&stopped.regs()?, stopped.event_message()?);
        if how != How::Itself {
            let states = self.ending.states.entry(pid).or_default();
            states.extend(snapshot::state(&stopped));
        }
        let space = self.spaces.get(&space);
        let is_whole = (is_last || how == How::Process) && space.is_some_and(|s| s.pid == pid);
        if is_whole && role == Role::Shown && self.ending.told.insert(pid) {
            if self.tasks.values().all(|task| task.pid == pid) {
                self.explain_nothing(tid, out);
            }
            out.tell(pid, tid, What::Exiting);
        }
        Ok(Resume::Run(stopped))
    }

    pub(in crate::engine) fn is_exiting(&self, tid: Tid) -> bool {
        self.tasks.get(&tid).is_some_and(|task| task.is_exiting)
    }
}

/// What ends with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It alone, by exit(2).
    Itself,
    /// Its process.
    Process,
    /// Its process, or all but the thread that asks for another program: both look alike from here.
    Others,
}

/// From its registers and the status that it ends with (kernel/exit.c, do_group_exit).
fn how(regs: &Regs, status: u64) -> How {
    // asm/unistd_32.h
    let (exit, exit_group) = match regs.machine() {
        Machine::I386 => (1, 252),
        Machine::Amd64 => (libc::SYS_exit, libc::SYS_exit_group),
    };
    match regs.orig_rax as i64 {
        number if number == exit && status & 0x7f == 0 => How::Itself,
        number if number == exit_group || status != 0 => How::Process,
        _ => How::Others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_with_a_task() {
        let check = |call: i64, status, expected| {
            let regs = Regs {
                orig_rax: call as u64,
                cs: 0x33,
                ..Regs::default()
            };
            assert_eq!(how(&regs, status), expected, "{call} {status:#x}");
        };
        check(libc::SYS_exit, 0, How::Itself);
        check(libc::SYS_exit, 3 << 8, How::Itself);
        check(libc::SYS_exit_group, 0, How::Process);
        check(libc::SYS_futex, 3 << 8, How::Process);
        check(-1, libc::SIGKILL as u64, How::Process);
        check(-1, libc::SIGSEGV as u64 | 0x80, How::Process);
        // By exit_group(0), or by the exec of another thread.
        check(libc::SYS_futex, 0, How::Others);
    }
}
