//! How tracing begins: a command is launched, or processes are attached to.

use super::Hit;
use super::What;
use super::lives::leave_exec;
use super::modules::Stage;
use super::ptrace::{Cease, Launched, Out, PtraceEngine};
use super::task::{Role, Task};
use crate::base::{Pid, Tid};
use crate::sys::ptrace::{self, Stopped};
use crate::sys::spawn::{self, Command};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{self, proc, remote};
use crate::tracee::space::Space;
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Why a process could not be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is none.
    #[error("no such process")]
    Missing,
    /// Its id belongs to a thread.
    #[error("it is a thread of process {0}; use -p {0}")]
    Thread(Pid),
    /// Somebody traces it already.
    #[error("it is already traced by process {0}")]
    Traced(i32),
    /// The kernel does not let us.
    #[error("{0}")]
    Denied(String),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] sys::Error),
}

type OnHit<'a> = &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Cease>;

impl PtraceEngine {
    /// Starts a command. It stands at the first instruction of its program until [`PtraceEngine::run`].
    pub fn launch(&mut self, command: &Command, on_hit: OnHit<'_>) -> Result<Pid, spawn::Error> {
        let mut out = Out::new(on_hit);
        let mut spawned = spawn::spawn(command)?;
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
                    let errno = spawned.failure().unwrap_or(Errno::ECHILD);
                    let _ = wait::reap(tid);
                    return Err(spawn::Error::Exec(errno));
                }
                None => {}
            }
        };
        self.launched = Some(Launched { pid, end: None });
        let id = self.add_space(Space::new(pid, stopped.regs()?.machine()));
        self.tasks.insert(tid, Task::new(pid, id, Role::Shown));
        out.tell(pid, tid, What::Started { parent: None });
        let stopped = leave_exec(stopped)?;
        unblock_trap(&stopped)?;
        self.program_found(&stopped, id, Stage::Beginning, &mut out);
        stopped.resume(None)?;
        Ok(pid)
    }

    /// Attaches to all threads of a process. The int3s are planted while every thread stands still; on
    /// failure all of them are let go.
    pub fn attach(&mut self, pid: Pid, on_hit: OnHit<'_>) -> Result<(), AttachError> {
        let mut out = Out::new(on_hit);
        let mut held = hold_all(pid)?;
        let Some(planter) = held
            .iter()
            .position(|(_, stop)| *stop == Stop::Interrupt)
            .or((!held.is_empty()).then_some(0))
        else {
            return Err(AttachError::Missing);
        };
        held.swap(0, planter);
        let first = held.first().ok_or(AttachError::Missing)?;
        // One that is gone by now has nothing to lose.
        let machine = first.0.regs().map(|regs| regs.machine());
        let id = self.add_space(Space::new(pid, machine.unwrap_or_default()));
        for (stopped, _) in &held {
            self.tasks
                .insert(stopped.tid(), Task::new(pid, id, Role::Shown));
            out.tell(pid, stopped.tid(), What::Started { parent: None });
        }
        for (stopped, _) in &held {
            // One that is gone by now has nothing to lose.
            let _ = unblock_trap(stopped);
        }
        if let Some((stopped, _)) = held.first() {
            let space = self.spaces.get_mut(&id);
            let stood = space.map_or(0, |space| space.take_over(stopped));
            if stood > 0 {
                let what = format!(
                    "took out {stood} breakpoints that a killed tracer had left in the process"
                );
                self.complain(stopped.tid(), &what, &mut out);
            }
            self.program_found(stopped, id, Stage::Running, &mut out);
            self.explain_nothing(stopped.tid(), &mut out);
        }
        for (stopped, stop) in held {
            interrupt_again(&stopped, stop);
            let _ = stopped.resume(None);
        }
        Ok(())
    }
}

/// A remote call has woken it from its group-stop: interrupted, it falls back into it before it executes
/// anything (kernel/signal.c, do_jobctl_trap).
fn interrupt_again(stopped: &Stopped, stop: Stop) {
    if matches!(stop, Stop::Group(_)) {
        let _ = ptrace::interrupt(stopped.tid());
    }
}

/// Lets a held task go on untraced.
pub(super) fn let_go(stopped: Stopped, stop: Stop) {
    interrupt_again(&stopped, stop);
    // One that is gone by now needs no help.
    let _ = stopped.detach(None);
}

/// A blocked SIGTRAP would make the kernel reset the action of SIGTRAP at the first int3
/// (kernel/signal.c, force_sig_info_to_task), and with it what guards the program.
fn unblock_trap(stopped: &Stopped) -> sys::Result<()> {
    let mask = stopped.signal_mask()?;
    let trap = 1 << (nix::libc::SIGTRAP - 1);
    if mask & trap != 0 {
        stopped.set_signal_mask(mask & !trap)?;
    }
    Ok(())
}

/// Seizes and stops every thread of a process, looking again until no new one has appeared.
pub(super) fn hold_all(pid: Pid) -> Result<Vec<(Stopped, Stop)>, AttachError> {
    match proc::process_of(Tid(pid.0)) {
        None => return Err(AttachError::Missing),
        Some(process) if process != pid => return Err(AttachError::Thread(process)),
        Some(_) => {}
    }
    let mut held: HashMap<Tid, (Stopped, Stop)> = HashMap::new();
    // /proc goes on listing a thread that has ended, until it is reaped.
    let mut ended = HashSet::new();
    loop {
        let tasks = proc::tasks(pid).unwrap_or_default();
        let new: Vec<Tid> = tasks
            .into_iter()
            .filter(|tid| !held.contains_key(tid) && !ended.contains(tid))
            .collect();
        if new.is_empty() {
            return Ok(held.into_values().collect());
        }
        for tid in new {
            match hold(tid) {
                Ok(Some(stop)) => drop(held.insert(tid, stop)),
                Ok(None) => drop(ended.insert(tid)),
                Err(e) => {
                    for (stopped, _) in held.into_values() {
                        let _ = stopped.detach(None);
                    }
                    return Err(explain(pid, e));
                }
            }
        }
    }
}

/// Seizes one thread and waits until it stands still. `None`: it ended meanwhile.
fn hold(tid: Tid) -> sys::Result<Option<(Stopped, Stop)>> {
    let gone_is_none = |e: sys::Error| if e.is_gone() { Ok(None) } else { Err(e) };
    // A thread born after its maker was seized is seized with it.
    match ptrace::seize(tid) {
        Err(e) if e.is_gone() => return Ok(None),
        Err(e) if e.errno == Errno::EPERM && is_ours(tid) => {}
        other => other?,
    }
    if let Err(e) = ptrace::interrupt(tid) {
        return gone_is_none(e);
    }
    loop {
        match remote::next_stop(tid) {
            // It has hit the int3 of a killed tracer, whose SIGTRAP waits behind the stop we asked for.
            Ok((stopped, Stop::Interrupt)) if proc::is_pending(tid, nix::libc::SIGTRAP) => {
                if let Err(e) = stopped.resume(None) {
                    return gone_is_none(e);
                }
            }
            Ok((stopped, stop @ (Stop::Interrupt | Stop::Group(_)))) => {
                wait::consume(tid)?;
                return Ok(Some((stopped, stop)));
            }
            Ok((stopped, stop)) => {
                // Something else came first and goes its way. Any stop takes the interrupt back
                // (kernel/signal.c, ptrace_stop).
                if let Err(e) = ptrace::interrupt(tid).and_then(|()| go_on(stopped, stop)) {
                    return gone_is_none(e);
                }
            }
            Err(e) => return gone_is_none(e),
        }
    }
}

fn go_on(stopped: Stopped, stop: Stop) -> sys::Result<()> {
    match stop {
        Stop::Signal(signal) => stopped.resume(Some(signal)),
        Stop::Fork | Stop::Vfork | Stop::Clone => {
            let maker = stopped.tid();
            let child = Tid(stopped.event_message()? as i32);
            stopped.resume(None)?;
            release_child(maker, child)
        }
        _ => stopped.resume(None),
    }
}

/// A child made while we take hold: a new thread is found in /proc, a process of its own is let go, as no
/// int3 stands yet that it could have inherited.
fn release_child(maker: Tid, child: Tid) -> sys::Result<()> {
    if proc::process_of(child) == proc::process_of(maker) {
        return Ok(());
    }
    match remote::next_stop(child) {
        Ok((stopped, _)) => stopped.detach(None),
        Err(e) if e.is_gone() => Ok(()),
        Err(e) => Err(e),
    }
}

fn is_ours(tid: Tid) -> bool {
    proc::status_field(tid, "TracerPid")
        .is_some_and(|tracer| tracer == std::process::id().to_string())
}

/// Why, and what to do about it (ptrace(2), "Ptrace access mode checking").
fn explain(pid: Pid, error: sys::Error) -> AttachError {
    if error.errno != Errno::EPERM {
        return AttachError::Other(error);
    }
    let tid = Tid(pid.0);
    let tracer = proc::status_field(tid, "TracerPid")
        .and_then(|t| t.parse().ok())
        .unwrap_or(0);
    if tracer != 0 {
        return AttachError::Traced(tracer);
    }
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let first = |name| {
        proc::status_field(tid, name)
            .and_then(|ids| ids.split_whitespace().next().map(str::to_owned))
    };
    let other_user = first("Uid").is_some_and(|uid| uid != nix::unistd::getuid().to_string());
    AttachError::Denied(match yama.trim() {
        _ if other_user => "permission denied: it belongs to another user; run as that user or as root".into(),
        "1" => "permission denied: kernel.yama.ptrace_scope is 1, which lets you trace only programs that you start \
                from here; run as root, or 'sysctl kernel.yama.ptrace_scope=0'"
            .into(),
        "2" => "permission denied: kernel.yama.ptrace_scope is 2, which lets only root trace; run as root".into(),
        "3" => "permission denied: kernel.yama.ptrace_scope is 3, which forbids all tracing until the next boot".into(),
        _ => "permission denied: run as root; in a container give it the capability SYS_PTRACE".into(),
    })
}
