//! How tracing begins: a command is launched, or processes are attached to.

use crate::base::machine::Machine;
use crate::base::{Pid, Tid};
use crate::engine::hit::Hit;
use crate::engine::hit::What;
use crate::engine::space::Space;
use crate::engine::supervisor::denied;
use crate::engine::supervisor::fork_exec_exit::leave_exec;
use crate::engine::supervisor::linker::Stage;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{Resume, finish};
use crate::engine::supervisor::seize::{Failed, Seized, seize};
use crate::engine::supervisor::state::{Follow, Launched, Supervisor};
use crate::engine::task::{Role, SpaceId, Task};
use crate::event::Request;
use crate::process::files::GoneFiles;
use crate::sys::ptrace::{self, Stopped};
use crate::sys::spawn::{self, Command};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{self, interrupt, proc, remote};
use nix::errno::Errno;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

/// Why a process could not be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is none.
    #[error("no such process")]
    Missing,
    /// Its id belongs to a thread.
    #[error("it is a thread of process {0}; use -p {0}")]
    Thread(Pid),
    /// Another tracer traces it already.
    #[error("it is already traced by process {0}")]
    Traced(i32),
    /// It may make no system call for us.
    #[error(
        "it is in a seccomp sandbox, where tracing it would kill it; only root may suspend that: run as root"
    )]
    Sandboxed,
    /// The kernel does not let us.
    #[error("{0}")]
    Denied(String),
    /// We were asked to end before it stood still.
    #[error("interrupted")]
    Asked,
    /// None of its tasks stops.
    #[error("it does not stop: it sleeps in the kernel and cannot be interrupted there")]
    Stuck,
    /// Anything else.
    #[error(transparent)]
    Other(#[from] sys::Error),
}

type OnHit<'a> = &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>;

impl Supervisor {
    /// Starts a command. It stands at the first instruction of its program until [`Supervisor::run`].
    pub fn launch(&mut self, command: &Command, on_hit: OnHit<'_>) -> Result<Pid, spawn::Error> {
        let mut out = Out::new(on_hit);
        let mut spawned = spawn::spawn(command).map_err(|e| match e {
            spawn::Error::Trace(why) if why.errno == Errno::EPERM => {
                spawn::Error::Denied(denied::child())
            }
            other => other,
        })?;
        spawned.go();
        let tid = spawned.tid;
        let pid = Pid(tid.0);
        let stopped = loop {
            match wait::look_at(tid, Patience::Block)? {
                Some(Status::Stopped(stopped, Stop::Exec)) => break stopped,
                Some(Status::Stopped(stopped, Stop::Signal(signal))) => {
                    stopped.resume(Some(signal))?
                }
                Some(Status::Stopped(stopped, Stop::Group(_))) => stopped.listen()?,
                Some(Status::Stopped(stopped, _)) => stopped.resume(None)?,
                Some(Status::Exited(_) | Status::Killed(_)) => {
                    let _ = wait::reap(tid);
                    return Err(spawned.failure(command));
                }
                None => {}
            }
        };
        self.launched = Some(Launched { pid, end: None });
        let id = self.add_space(Space::new(pid, stopped.regs()?.machine()));
        self.tasks.insert(tid, Task::new(pid, id, Role::Shown));
        let what = What::Started {
            parent: None,
            shares_memory: false,
        };
        out.tell(pid, tid, what);
        let stopped = leave_exec(stopped)?;
        unblock_trap(&stopped)?;
        self.watch_end(&stopped);
        self.program_found(&stopped, id, Stage::Beginning, &mut out);
        finish(self.watched(Resume::Run(stopped)));
        Ok(pid)
    }

    /// Attaches to all threads of a process. The int3s are planted while every thread stands still; on
    /// failure all of them are let go.
    pub fn attach(&mut self, pid: Pid, on_hit: OnHit<'_>) -> Result<(), AttachError> {
        let mut out = Out::new(on_hit);
        let copies = self.plan_ahead(pid);
        let Seized {
            stopped: mut held,
            asleep,
            process,
        } = self.seize(pid)?;
        let is_own = |stopped: &Stopped| process.get(&stopped.tid()) == Some(&pid);
        let Some(planter) = planter(&held, is_own) else {
            let why = match held.is_empty() && asleep.is_empty() {
                true => denied::not_running(pid).map_or(AttachError::Missing, AttachError::Denied),
                false => AttachError::Stuck,
            };
            for (stopped, _) in held {
                // ESRCH: it was killed meanwhile.
                let _ = stopped.detach(None);
            }
            return Err(self.let_go(pid, Failed { why, asleep }));
        };
        held.swap(0, planter);
        if held.iter().any(|(stopped, _)| !remote::may_call(stopped)) {
            held.into_iter()
                .for_each(|(stopped, stop)| let_go(stopped, stop));
            let why = AttachError::Sandboxed;
            return Err(self.let_go(pid, Failed { why, asleep }));
        }
        let first = held.first().ok_or(AttachError::Missing)?;
        // One that is gone by now has nothing to lose.
        let machine = first.0.regs().map(|regs| regs.machine());
        let mut space = Space::new(pid, machine.unwrap_or_default());
        space.gone_files = copies;
        space.tells_tasks_apart =
            process.values().all(|owner| *owner == pid) || have_thread_pointers_of_their_own(&held);
        let id = self.add_space(space);
        for tid in held.iter().map(|(s, _)| s.tid()).chain(asleep) {
            let owner = process.get(&tid).copied().unwrap_or(pid);
            self.add_met(tid, owner, (pid, id), &mut out);
        }
        for (stopped, _) in &held {
            if let (Ok(regs), Some(space)) = (stopped.regs(), self.spaces.get(&id)) {
                space.seen(regs.thread_pointer(), stopped.tid());
            }
            // One that is gone by now has nothing to lose.
            let _ = unblock_trap(stopped);
            self.watch_end(stopped);
        }
        // The others are to be found by who patches code that they may be in.
        self.held = held.split_off(1);
        if let Some((stopped, _)) = held.first() {
            self.plant_by(stopped, id, &mut out);
        }
        held.append(&mut self.held);
        self.forget_copies(id);
        self.guard_sharers(pid, id, &held);
        for (stopped, stop) in held {
            interrupt_again(&stopped, stop);
            finish(self.watched(Resume::Run(stopped)));
        }
        Ok(())
    }

    /// Adds a task of `owner`, which was met in the memory of a process that is attached to.
    fn add_met(&mut self, tid: Tid, owner: Pid, (pid, id): (Pid, SpaceId), out: &mut Out<'_>) {
        let role = if owner == pid || self.follow == Follow::Children {
            Role::Shown
        } else {
            Role::VforkChild
        };
        self.tasks.insert(tid, Task::new(owner, id, role));
        if role == Role::Shown {
            let what = What::Started {
                parent: None,
                shares_memory: owner != pid,
            };
            out.tell(owner, tid, what);
        }
    }
}

/// The task by which int3s are planted: one of the process's own, and one that is in the middle of nothing if there is
/// such.
fn planter(held: &[(Stopped, Stop)], is_own: impl Fn(&Stopped) -> bool) -> Option<usize> {
    let is_free = |(stopped, stop): &(Stopped, Stop)| is_own(stopped) && *stop == Stop::Interrupt;
    let mut all = held.iter();
    all.position(is_free)
        .or_else(|| held.iter().position(|(stopped, _)| is_own(stopped)))
}

/// Processes that share their memory may have one thread pointer.
fn have_thread_pointers_of_their_own(held: &[(Stopped, Stop)]) -> bool {
    let mut seen = HashSet::new();
    // One that is gone by now records nothing.
    let all = held.iter().filter_map(|(stopped, _)| stopped.regs().ok());
    all.map(|regs| regs.thread_pointer())
        .all(|pointer| seen.insert(pointer))
}

/// A remote call has woken it from its group-stop: interrupted, it falls back into it before it executes
/// anything (kernel/signal.c, do_jobctl_trap).
fn interrupt_again(stopped: &Stopped, stop: Stop) {
    if matches!(stop, Stop::Group(_)) {
        let _ = ptrace::interrupt(stopped.tid());
    }
}

/// Lets a held task go on untraced.
pub(in crate::engine) fn let_go(stopped: Stopped, stop: Stop) {
    interrupt_again(&stopped, stop);
    // One that is gone by now needs no help.
    let _ = stopped.detach(None);
}

impl Supervisor {
    /// Plants in a process that stands still, after what a killed tracer has left there was taken out.
    fn plant_by(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        let space = self.spaces.get_mut(&id);
        let stood = space.map_or(0, |space| space.take_over(stopped));
        if stood > 0 {
            let what = format!(
                "took out {stood} breakpoints that a killed tracer had left in the process"
            );
            self.complain(stopped.tid(), &what, out);
            self.forget_copies(id);
        }
        self.program_found(stopped, id, Stage::Running, out);
        // What is to come may have what was asked for.
        if !self.is_loading(id) {
            self.explain_nothing(stopped.tid(), out);
        }
    }

    /// Those who share the memory have SIGTRAP actions of their own, unless they share these as well.
    fn guard_sharers(&mut self, pid: Pid, id: SpaceId, held: &[(Stopped, Stop)]) {
        let mut seen = HashSet::from([pid]);
        for (stopped, _) in held {
            let owner = self.tasks.get(&stopped.tid()).map(|task| task.pid);
            if owner.is_some_and(|owner| seen.insert(owner))
                && let Some(space) = self.spaces.get_mut(&id)
            {
                space.guard_sharer(stopped);
            }
        }
    }

    /// They are of no use any more: all of them were looked at, or int3s stand in them.
    fn forget_copies(&mut self, id: SpaceId) {
        if let Some(space) = self.spaces.get_mut(&id) {
            space.gone_files = GoneFiles::default();
        }
    }

    /// Takes hold of all tasks of a process. An ltrace whose front end was killed has all that it read before to tell, and
    /// then leaves: that is waited for.
    fn seize(&mut self, pid: Pid) -> Result<Seized, AttachError> {
        let began = Instant::now();
        loop {
            let why = match seize(pid) {
                Ok(seized) => return Ok(seized),
                Err(failed) => self.let_go(pid, failed),
            };
            let is_leaving = matches!(why, AttachError::Traced(other) if has_no_front(other));
            if !is_leaving || began.elapsed() > LEAVING || interrupt::is_unwanted() {
                return Err(why);
            }
            thread::sleep(LOOK);
        }
    }

    /// What could not be taken hold of is let go, as soon as it stops.
    fn let_go(&mut self, pid: Pid, failed: Failed) -> AttachError {
        for tid in failed.asleep {
            self.to_release
                .insert(tid, Space::new(pid, Machine::default()));
        }
        failed.why
    }
}

/// So long an earlier tracer may take to leave, and so often it is looked whether it has.
const LEAVING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Whether a process is an ltrace whose front end is gone.
fn has_no_front(tracer: i32) -> bool {
    let field = |pid: i32, field| proc::status_field(Tid(pid), field);
    let is_ltrace = |pid: i32| field(pid, "Name").is_some_and(|name| name.trim() == "ltrace");
    let parent = field(tracer, "PPid").and_then(|pid| pid.trim().parse().ok());
    is_ltrace(tracer) && !parent.is_some_and(is_ltrace)
}

/// A blocked SIGTRAP would make the kernel reset the action of SIGTRAP at the first int3
/// (kernel/signal.c, force_sig_info_to_task), and with it what guards the program.
pub(in crate::engine) fn unblock_trap(stopped: &Stopped) -> sys::Result<()> {
    let mask = stopped.signal_mask()?;
    let trap = 1 << (nix::libc::SIGTRAP - 1);
    if mask & trap != 0 {
        stopped.set_signal_mask(mask & !trap)?;
    }
    Ok(())
}

/// Why, and what to do about it (ptrace(2), "Ptrace access mode checking").
pub(in crate::engine) fn explain(pid: Pid, error: sys::Error) -> AttachError {
    if error.errno != Errno::EPERM {
        return AttachError::Other(error);
    }
    match proc::tracer(Tid(pid.0)) {
        0 => AttachError::Denied(denied::process(pid)),
        other => AttachError::Traced(other),
    }
}
