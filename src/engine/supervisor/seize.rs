//! Taking hold of a running process: every task that can touch its memory is seized and stopped before the first
//! int3 is written.
//!
//! Where all tasks of the process sleep in the kernel, those of others that share its memory run on until one has
//! woken: it is one of them that it waits for.

use crate::base::{Pid, Tid};
use crate::engine::supervisor::attach::{self, AttachError};
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Ending;
use crate::engine::supervisor::stop_all::kernel::{Linux, Processes};
use crate::engine::supervisor::stop_all::{Halted, Limits, Next, Policy, StopAll, Verdict, Want};
use crate::sys::interrupt;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LIMITS: Limits = Limits {
    asleep: Duration::from_millis(5),
    running: Duration::from_secs(10),
};

/// Tasks of a process, and of those that share its memory, which stand still.
#[derive(Debug)]
pub(in crate::engine) struct Seized<S = Stopped> {
    /// In these stops, consumed.
    pub stopped: Vec<(S, Stop)>,
    /// Asleep in the kernel, about to stop.
    pub asleep: Vec<Tid>,
    /// Whose each of them is.
    pub process: BTreeMap<Tid, Pid>,
}

/// What was seized when it failed: tasks that are still to be let go when they stop.
#[derive(Debug)]
pub(in crate::engine) struct Failed {
    pub why: AttachError,
    pub asleep: Vec<Tid>,
}

/// Seizes and stops every task, looking again until no new one has appeared.
pub(in crate::engine) fn seize(pid: Pid) -> Result<Seized, Failed> {
    seize_by(&Linux, pid)
}

pub(super) fn seize_by<K: Processes>(kernel: &K, pid: Pid) -> Result<Seized<K::Stopped>, Failed> {
    let why = match kernel.process_of(Tid(pid.0)) {
        None => Some(AttachError::Missing),
        Some(process) if process != pid => Some(AttachError::Thread(process)),
        Some(_) => None,
    };
    if let Some(why) = why {
        let asleep = Vec::new();
        return Err(Failed { why, asleep });
    }
    let mut seizing = Seizing::new(kernel, pid);
    let halted = StopAll::new(kernel).run(&mut seizing, LIMITS);
    let Halted {
        is_complete,
        stopped,
        mut asleep,
        running,
    } = halted;
    let failed = match seizing.failed {
        None if !is_complete => Some(AttachError::Stuck),
        failed => failed,
    };
    let Some(why) = failed else {
        let process = seizing.process;
        return Ok(Seized {
            stopped,
            asleep,
            process,
        });
    };
    for (stopped, _) in stopped {
        kernel.resume(Resume::Release(stopped));
    }
    for &tid in &running {
        // ESRCH: it was killed meanwhile.
        let _ = kernel.interrupt(tid);
    }
    asleep.extend(running);
    Err(Failed { why, asleep })
}

struct Seizing<'k, K> {
    kernel: &'k K,
    pid: Pid,
    /// The process, and those that were found to share its memory.
    processes: Vec<Pid>,
    /// Whose each seized task is.
    process: BTreeMap<Tid, Pid>,
    /// Those with a memory of their own, born meanwhile: none of our int3s stands in it.
    strangers: BTreeSet<Tid>,
    /// /proc goes on listing a thread that has ended, until it is reaped.
    ended: BTreeSet<Tid>,
    /// Those of other processes run on, for as long as all of ours sleep.
    others_run: bool,
    failed: Option<AttachError>,
}

impl<K: Processes> Policy<K::Stopped> for Seizing<'_, K> {
    fn wants(&mut self) -> Vec<(Tid, Want)> {
        self.seize_new();
        let seized = self.process.iter().map(|(&tid, &pid)| {
            let want = match self.others_run && pid != self.pid {
                true => Want::Running,
                false => Want::Stopped,
            };
            (tid, want)
        });
        let strangers = self.strangers.iter().map(|&tid| (tid, Want::Released));
        seized.chain(strangers).collect()
    }

    fn serve(&mut self, stopped: K::Stopped, stop: Stop) -> Next<K::Stopped> {
        Next::GoOn(match stop {
            Stop::Signal(signal) => Resume::Deliver(stopped, signal),
            Stop::Fork | Stop::Vfork | Stop::Clone => match self.kernel.born(&stopped) {
                Ok(child) => {
                    self.note_birth(self.kernel.tid(&stopped), child);
                    Resume::Run(stopped)
                }
                Err(_) => Resume::Again,
            },
            _ => Resume::after(stopped, stop),
        })
    }

    fn ended(&mut self, tid: Tid, _: Option<Ending>) {
        // Its end is left for the loop that serves the tasks, if there is one.
        self.kernel.reap(tid);
        self.process.remove(&tid);
        self.strangers.remove(&tid);
        self.ended.insert(tid);
    }

    fn settled(&mut self, stopped: &[Tid]) -> Verdict {
        let is_own = |tid: &Tid| self.process.get(tid) == Some(&self.pid);
        // The process's id may be that of a thread that has ended, and has no memory.
        let own = stopped.iter().find(|tid| is_own(tid)).map(|tid| Pid(tid.0));
        if own.is_none() && self.process.keys().any(is_own) {
            self.others_run = true;
            return Verdict::Incomplete;
        }
        if std::mem::take(&mut self.others_run) {
            return Verdict::Changed;
        }
        let found = own.is_some_and(|own| self.find_others(own));
        match found || self.let_strangers_go(own.unwrap_or(self.pid)) {
            true => Verdict::Changed,
            false => Verdict::Complete,
        }
    }

    fn gives_up(&mut self) -> bool {
        if interrupt::is_requested() {
            self.failed.get_or_insert(AttachError::Asked);
        }
        self.failed.is_some()
    }
}

impl<'k, K: Processes> Seizing<'k, K> {
    fn new(kernel: &'k K, pid: Pid) -> Seizing<'k, K> {
        Seizing {
            kernel,
            pid,
            processes: vec![pid],
            process: BTreeMap::new(),
            strangers: BTreeSet::new(),
            ended: BTreeSet::new(),
            others_run: false,
            failed: None,
        }
    }

    /// Seizes every task that was not known yet.
    fn seize_new(&mut self) {
        let mut index = 0;
        while let Some(&pid) = self.processes.get(index) {
            index += 1;
            for tid in self.kernel.tasks(pid) {
                let is_seized = self.process.contains_key(&tid) || self.strangers.contains(&tid);
                if is_seized || self.ended.contains(&tid) {
                    continue;
                }
                match self.kernel.seize(tid) {
                    Ok(()) => drop(self.process.insert(tid, pid)),
                    Err(e) if e.is_gone() => drop(self.ended.insert(tid)),
                    Err(e) => {
                        self.failed.get_or_insert(attach::explain(pid, e));
                        return;
                    }
                }
            }
            self.find_sharers(pid);
        }
    }

    /// Children that run in the same memory (vfork, CLONE_VM): the int3s will be theirs as well.
    fn find_sharers(&mut self, pid: Pid) {
        for child in self.kernel.children(pid) {
            let is_known =
                self.processes.contains(&child) || self.strangers.contains(&Tid(child.0));
            if !is_known && self.kernel.share_memory(pid, child) {
                self.processes.push(child);
            }
        }
    }

    /// The same of all others: siblings, and those whose maker has ended. Whether there were any.
    fn find_others(&mut self, own: Pid) -> bool {
        let before = self.processes.len();
        for other in self.kernel.processes() {
            if !self.processes.contains(&other) && self.kernel.share_memory(own, other) {
                self.processes.push(other);
            }
        }
        self.processes.len() > before
    }

    /// Those are let go that have another memory by now. Whether there were any.
    fn let_strangers_go(&mut self, own: Pid) -> bool {
        let is_ours = |&other: &Pid| other == self.pid || self.kernel.share_memory(own, other);
        let ours: Vec<Pid> = self.processes.iter().copied().filter(is_ours).collect();
        let found = ours.len() < self.processes.len();
        self.processes = ours;
        let strangers = self
            .process
            .iter()
            .filter(|(_, pid)| !self.processes.contains(pid));
        let strangers: Vec<Tid> = strangers.map(|(&tid, _)| tid).collect();
        for tid in strangers {
            self.process.remove(&tid);
            self.strangers.insert(tid);
        }
        found
    }

    /// A task that was seized made another one, which is seized with it.
    fn note_birth(&mut self, maker: Tid, child: Tid) {
        let maker = self.process.get(&maker).copied().unwrap_or(Pid(maker.0));
        let process = self.kernel.process_of(child).unwrap_or(Pid(child.0));
        if process != maker && !self.kernel.share_memory(maker, process) {
            self.strangers.insert(child);
        }
    }
}
