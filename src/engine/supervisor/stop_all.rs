//! Taking hold of a running process: every task that can touch its memory stands still before the first
//! int3 is written, and whatever they do meanwhile is kept track of.
//!
//! A task that sleeps in the kernel and cannot be interrupted there, such as one whose vfork child still
//! runs, need not be waited for: it was asked to stop, and does so before it executes anything. Where all
//! of a process sleep so, those that share its memory run on until one has woken up.

use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::engine::supervisor::attach::AttachError;
use crate::engine::supervisor::resume::go_on;
use crate::sys::interrupt;
use crate::sys::ptrace::{self, Stopped};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{self, proc};
use nix::errno::Errno;
use nix::libc;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long a task may take before we ask what keeps it.
const PROMPT: Duration = Duration::from_millis(5);
/// How often we look again.
const PAUSE: Duration = Duration::from_micros(100);
/// How often we try to seize a task that is refused to us.
const TRIES: u32 = 20;
/// How long a task may take that does run.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tasks of a process, and of those that share its memory, which stand still.
#[derive(Debug, Default)]
pub(in crate::engine) struct Held {
    /// In these stops, consumed.
    pub stopped: Vec<(Stopped, Stop)>,
    /// Asleep in the kernel, about to stop.
    pub asleep: Vec<Tid>,
    /// Whose each of them is.
    pub process: HashMap<Tid, Pid>,
}

/// What was taken hold of when it failed: tasks that are still to be let go when they stop.
pub(in crate::engine) struct Failed {
    pub why: AttachError,
    pub asleep: Vec<Tid>,
}

/// Seizes and stops every task, looking again until no new one has appeared.
pub(in crate::engine) fn hold(pid: Pid) -> Result<Held, Failed> {
    let mut hold = Hold::new(pid);
    let done = match proc::process_of(Tid(pid.0)) {
        None => Err(AttachError::Missing),
        Some(process) if process != pid => Err(AttachError::Thread(process)),
        Some(_) => hold.complete(),
    };
    match done {
        Ok(()) => Ok(Held {
            stopped: hold.held.into_values().collect(),
            asleep: hold.asked.into_iter().collect(),
            process: hold.process,
        }),
        Err(why) => {
            for (stopped, _) in hold.held.into_values() {
                // ESRCH: it was killed meanwhile.
                let _ = stopped.detach(None);
            }
            for &tid in &hold.free {
                // ESRCH: as above.
                let _ = ptrace::interrupt(tid);
            }
            let asleep = hold.asked.into_iter().chain(hold.leaving).chain(hold.free);
            let asleep = asleep.collect();
            Err(Failed { why, asleep })
        }
    }
}

struct Hold {
    pid: Pid,
    /// The process, and those that were found to share its memory.
    processes: Vec<Pid>,
    process: HashMap<Tid, Pid>,
    held: HashMap<Tid, (Stopped, Stop)>,
    /// Asked to stop.
    asked: HashSet<Tid>,
    /// Of other processes, running on for as long as all of ours sleep.
    free: HashSet<Tid>,
    /// Those with a memory of their own, born meanwhile: none of our int3s stands in it.
    leaving: HashSet<Tid>,
    /// /proc goes on listing a thread that has ended, until it is reaped.
    ended: HashSet<Tid>,
}

impl Hold {
    fn new(pid: Pid) -> Hold {
        Hold {
            pid,
            processes: vec![pid],
            process: HashMap::new(),
            held: HashMap::new(),
            asked: HashSet::new(),
            free: HashSet::new(),
            leaving: HashSet::new(),
            ended: HashSet::new(),
        }
    }

    fn complete(&mut self) -> Result<(), AttachError> {
        let mut began = Instant::now();
        loop {
            if interrupt::is_requested() {
                return Err(AttachError::Asked);
            }
            if self.seize_new()? {
                began = Instant::now();
            }
            self.look()?;
            let late = began.elapsed() > PROMPT;
            if self.waits(late) || !self.has_own() {
                if began.elapsed() > PATIENCE {
                    return Err(AttachError::Stuck);
                }
                std::thread::sleep(PAUSE);
            } else if self.recall() {
                began = Instant::now();
            } else if !self.seize_new()?
                && !self.find_others()
                && !self.let_strangers_go()
                && !self.look_again()?
            {
                return Ok(());
            }
        }
    }

    /// Whether a task of the process itself stands still. If it has none but sleepers, the others run on:
    /// it is one of them that they wait for.
    fn has_own(&mut self) -> bool {
        let is_own = |tid: &Tid| self.process.get(tid) == Some(&self.pid);
        if self.held.keys().any(is_own) || !self.asked.iter().any(is_own) {
            return true;
        }
        for (tid, (stopped, stop)) in self.held.drain() {
            self.free.insert(tid);
            // ESRCH: it was killed meanwhile; the next look shows it.
            let _ = go_on(stopped, stop);
        }
        false
    }

    /// Asks those to stop that were let run on; whether there were any.
    fn recall(&mut self) -> bool {
        let found = !self.free.is_empty();
        for tid in self.free.drain() {
            // ESRCH: it has ended; the next look shows it.
            let _ = ptrace::interrupt(tid);
            self.asked.insert(tid);
        }
        found
    }

    /// Whether a task that was asked to stop may still be executing something.
    fn waits(&self, late: bool) -> bool {
        !self.leaving.is_empty()
            || self
                .asked
                .iter()
                .any(|&tid| !late || proc::state(tid) != Some('D'))
    }

    /// Asks every task to stop that was not known yet; whether there was one.
    fn seize_new(&mut self) -> Result<bool, AttachError> {
        let mut found = false;
        let mut index = 0;
        while let Some(&pid) = self.processes.get(index) {
            index += 1;
            for tid in proc::tasks(pid).unwrap_or_default() {
                let known = self.held.contains_key(&tid) || self.asked.contains(&tid);
                if known || self.free.contains(&tid) || self.ended.contains(&tid) {
                    continue;
                }
                match seize(tid) {
                    Ok(()) => drop(self.asked.insert(tid)),
                    Err(e) if e.is_gone() => drop(self.ended.insert(tid)),
                    Err(e) => return Err(super::attach::explain(pid, e)),
                }
                self.process.insert(tid, pid);
                found = true;
            }
            self.find_sharers(pid);
        }
        Ok(found)
    }

    /// Children that run in the same memory (vfork, CLONE_VM): the int3s will be theirs as well.
    fn find_sharers(&mut self, pid: Pid) {
        for child in proc::children(pid) {
            let known = self.processes.contains(&child) || self.leaving.contains(&Tid(child.0));
            if !known && proc::shares_memory(pid, child) {
                self.processes.push(child);
            }
        }
    }

    /// The same of all others: siblings, and those whose maker has ended. Whether there were any.
    fn find_others(&mut self) -> bool {
        let Some(own) = self.one_of_ours() else {
            return false;
        };
        let before = self.processes.len();
        for other in proc::processes() {
            if !self.processes.contains(&other) && proc::shares_memory(own, other) {
                self.processes.push(other);
            }
        }
        self.processes.len() > before
    }

    /// A thread that stands still. The process's id may be that of one that has ended, and has no memory.
    fn one_of_ours(&self) -> Option<Pid> {
        let is_own = |tid: &&Tid| self.process.get(tid) == Some(&self.pid);
        self.held.keys().find(is_own).map(|tid| Pid(tid.0))
    }

    /// Lets those go that have another memory by now. Whether there were any.
    fn let_strangers_go(&mut self) -> bool {
        let (pid, own) = (self.pid, self.one_of_ours().unwrap_or(self.pid));
        let (still, strangers) = self
            .processes
            .iter()
            .partition(|&&other| other == pid || proc::shares_memory(own, other));
        self.processes = still;
        let strangers: Vec<Pid> = strangers;
        let is_stranger = |pid: &Pid| strangers.contains(pid);
        let tids = self.process.iter().filter(|(_, pid)| is_stranger(pid));
        let tids: Vec<Tid> = tids.map(|(&tid, _)| tid).collect();
        for tid in &tids {
            self.process.remove(tid);
            if let Some((stopped, _)) = self.held.remove(tid) {
                // ESRCH: it was killed meanwhile.
                let _ = stopped.detach(None);
            } else if self.asked.remove(tid) {
                self.leaving.insert(*tid);
            }
        }
        !strangers.is_empty()
    }

    /// Looks which of those asked have stopped. What comes before that stop goes its way, and takes the
    /// request with it: any trap clears a pending one (kernel/signal.c, ptrace_stop).
    fn look(&mut self) -> sys::Result<()> {
        for tid in self.asked.clone() {
            let Some(status) = look_at(tid)? else {
                continue;
            };
            match status {
                // It has hit the int3 of a killed tracer, whose SIGTRAP waits behind the stop we asked for.
                Status::Stopped(stopped, Stop::Interrupt | Stop::Group(_)) if is_trapped(tid) => {
                    // ESRCH: it was killed meanwhile; its end comes next.
                    let _ = stopped.resume(None);
                }
                Status::Stopped(stopped, stop @ (Stop::Interrupt | Stop::Group(_))) => {
                    wait::consume(tid)?;
                    self.asked.remove(&tid);
                    self.held.insert(tid, (stopped, stop));
                }
                Status::Stopped(stopped, stop) => self.pass(stopped, stop)?,
                Status::Exited(_) | Status::Killed(_) => self.forget(tid),
            }
        }
        for tid in self.free.clone() {
            match look_at(tid)? {
                None => {}
                Some(Status::Stopped(stopped, stop)) => self.pass_free(stopped, stop)?,
                Some(_) => self.forget(tid),
            }
        }
        for tid in self.leaving.clone() {
            match look_at(tid)? {
                None => continue,
                Some(Status::Stopped(stopped, _)) => drop(stopped.detach(None)),
                Some(_) => drop(wait::reap(tid)),
            }
            self.leaving.remove(&tid);
        }
        Ok(())
    }

    /// Lets a task go on from a stop that is not the one that we asked for, and asks anew.
    fn pass(&mut self, stopped: Stopped, stop: Stop) -> sys::Result<()> {
        let tid = stopped.tid();
        unless_gone(self.note(&stopped, stop).and_then(|signal| {
            ptrace::interrupt(tid)?;
            stopped.resume(signal)
        }))
    }

    fn pass_free(&mut self, stopped: Stopped, stop: Stop) -> sys::Result<()> {
        unless_gone(
            self.note(&stopped, stop)
                .and_then(|signal| match (stop, signal) {
                    (_, Some(signal)) => stopped.resume(Some(signal)),
                    _ => go_on(stopped, stop),
                }),
        )
    }

    /// What a stop tells of others, and the signal that it is about.
    fn note(&mut self, stopped: &Stopped, stop: Stop) -> sys::Result<Option<Signal>> {
        let tid = stopped.tid();
        let mut signal = None;
        match stop {
            Stop::Signal(number) => signal = Some(number),
            // Until then the kernel refuses a task that took another's id (kernel/ptrace.c,
            // looks_like_a_spurious_pid).
            Stop::Exec => {
                wait::consume(tid)?;
            }
            Stop::Fork | Stop::Vfork | Stop::Clone => {
                let child = Tid(stopped.event_message()? as i32);
                let maker = self.process.get(&tid).copied().unwrap_or(Pid(tid.0));
                let child_pid = proc::process_of(child).unwrap_or(Pid(child.0));
                if child_pid != maker && !proc::shares_memory(maker, child_pid) {
                    self.leaving.insert(child);
                }
            }
            _ => {}
        }
        Ok(signal)
    }

    /// A held task that was killed, or runs another program by the exec of one that was not held yet, has
    /// something new to tell. Whether there was one.
    fn look_again(&mut self) -> sys::Result<bool> {
        let mut changed = false;
        let held: Vec<Tid> = self.held.keys().copied().collect();
        for tid in held {
            match look_at(tid)? {
                None => continue,
                Some(Status::Stopped(stopped, stop)) => {
                    self.held.remove(&tid);
                    self.asked.insert(tid);
                    self.pass(stopped, stop)?;
                }
                Some(_) => self.forget(tid),
            }
            changed = true;
        }
        Ok(changed)
    }

    /// Its end is left for the one who serves the tasks, or for nobody.
    fn forget(&mut self, tid: Tid) {
        let _ = wait::reap(tid);
        self.asked.remove(&tid);
        self.free.remove(&tid);
        self.held.remove(&tid);
        self.ended.insert(tid);
    }
}

/// A task that was killed meanwhile shows its end next.
fn unless_gone(done: sys::Result<()>) -> sys::Result<()> {
    match done {
        Err(e) if e.is_gone() => Ok(()),
        other => other,
    }
}

/// Seizes one task and asks it to stop.
fn seize(tid: Tid) -> sys::Result<()> {
    let mut tries = TRIES;
    while let Err(e) = ptrace::seize(tid) {
        if e.errno != Errno::EPERM || tries == 0 {
            return Err(e);
        }
        if matches!(proc::state(tid), None | Some('Z' | 'X')) {
            let errno = Errno::ESRCH;
            return Err(sys::Error { errno, ..e });
        }
        // One born after its maker was seized is seized with it.
        if is_ours(tid) {
            break;
        }
        // A tracer that was killed just now may still have hold of it.
        tries -= 1;
        std::thread::sleep(PAUSE * 10);
    }
    ptrace::interrupt(tid)
}

fn is_trapped(tid: Tid) -> bool {
    proc::is_pending(tid, libc::SIGTRAP)
}

fn is_ours(tid: Tid) -> bool {
    proc::tracer(tid) == std::process::id() as i32
}

/// What a task has to tell; one that is no longer there, or not ours, has ended.
fn look_at(tid: Tid) -> sys::Result<Option<Status>> {
    match wait::look_at(tid, Patience::Poll) {
        Err(e) if e.errno == Errno::ECHILD => Ok(Some(Status::Exited(0))),
        other => other,
    }
}
