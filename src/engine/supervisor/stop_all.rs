//! Tasks are brought to a stop: each is asked to, what happens until then goes its way, and those that do not stop
//! are told.
//!
//! Attaching, snapshots, the end of tracing calls and detaching differ in who is to stop, in what becomes of what
//! happens meanwhile ([`Policy`]) and in how long is waited ([`Limits`]); the loop is this one.
//!
//! A task that sleeps in the kernel and cannot be interrupted there, such as one whose vfork child still
//! runs, need not be waited for: it was asked to stop, and does so before it executes anything.

pub(super) mod kernel;
#[cfg(test)]
mod tests;

use crate::base::Tid;
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Ending;
use crate::sys::wait::{Status, Stop};
use kernel::Kernel;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long tasks are waited for, from when the last new one was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Limits {
    /// Those that sleep in the kernel.
    pub asleep: Duration,
    /// All others.
    pub running: Duration,
}

/// What is to become of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Want {
    /// It stands still.
    Stopped,
    /// It runs on for now.
    Running,
    /// It is let go.
    Released,
}

/// What becomes of a task that has shown another stop than the one that it was asked for.
#[derive(Debug)]
pub(in crate::engine) enum Next<S> {
    /// It goes on, and is asked anew.
    GoOn(Resume<S>),
    /// It is kept in this stop.
    Keep(S),
}

/// What a policy says of the whole, when every task stands still that it wants to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Verdict {
    /// That is all.
    Complete,
    /// It wants something else now.
    Changed,
    /// It waits for one that was given up to wake.
    Incomplete,
}

/// Who is to stop, and what becomes of what happens until then.
pub(in crate::engine) trait Policy<S> {
    /// All tasks that it knows of by now. A task that is not named any more is forgotten, unless it stands still.
    fn wants(&mut self) -> Vec<(Tid, Want)>;

    /// A task has shown another stop than the one that it was asked for.
    fn serve(&mut self, stopped: S, stop: Stop) -> Next<S>;

    /// A task has ended; `None`: it is gone without a word.
    fn ended(&mut self, tid: Tid, ending: Option<Ending>);

    /// Every task stands still that is to: these.
    fn settled(&mut self, _: &[Tid]) -> Verdict {
        Verdict::Complete
    }

    /// Those are not waited for any more that have not stopped yet.
    fn gives_up(&mut self) -> bool {
        false
    }
}

/// Tasks that were to be stopped.
#[derive(Debug)]
pub(in crate::engine) struct Halted<S> {
    /// The policy has all that it wants.
    pub is_complete: bool,
    /// They are in these stops, consumed.
    pub stopped: Vec<(S, Stop)>,
    /// They sleep in the kernel, and stop when they wake.
    pub asleep: Vec<Tid>,
    /// They have not stopped.
    pub running: Vec<Tid>,
}

/// What is known of a task.
#[derive(Debug)]
enum Standing<S> {
    /// It was asked to stop.
    Asked,
    /// It is in this stop, consumed.
    Stopped(S, Stop),
    /// It runs on for now.
    Running,
    /// It is to be let go once it stops.
    Leaving,
    /// It has ended, or was let go.
    Gone,
}

/// The loop.
pub(in crate::engine) struct StopAll<'k, K: Kernel> {
    kernel: &'k K,
    tasks: BTreeMap<Tid, Standing<K::Stopped>>,
}

impl<'k, K: Kernel> StopAll<'k, K> {
    pub(in crate::engine) fn new(kernel: &'k K) -> StopAll<'k, K> {
        StopAll {
            kernel,
            tasks: BTreeMap::new(),
        }
    }

    /// A task stands still already.
    pub(in crate::engine) fn add_stopped(&mut self, tid: Tid, stopped: K::Stopped) {
        let standing = Standing::Stopped(stopped, Stop::Interrupt);
        self.tasks.insert(tid, standing);
    }

    /// Stops all tasks that the policy wants stopped, as far as they do in time.
    pub(in crate::engine) fn run(
        mut self,
        policy: &mut impl Policy<K::Stopped>,
        limits: Limits,
    ) -> Halted<K::Stopped> {
        let mut began = self.kernel.now();
        loop {
            if self.ask(policy.wants()) {
                began = self.kernel.now();
            }
            let has_moved = self.look(policy);
            let waited = self.kernel.now() - began;
            let verdict = match self.is_awaited(waited > limits.asleep) {
                true => Verdict::Incomplete,
                // One that has stopped meanwhile may have made others just before.
                false if self.ask(policy.wants()) => Verdict::Changed,
                false => policy.settled(&self.stopped()),
            };
            match verdict {
                Verdict::Complete if self.look_again(policy) => {}
                Verdict::Complete => return self.halted(true),
                Verdict::Changed | Verdict::Incomplete if policy.gives_up() => break,
                Verdict::Changed => began = self.kernel.now(),
                Verdict::Incomplete if waited > limits.running => break,
                Verdict::Incomplete if has_moved => {}
                Verdict::Incomplete => self.kernel.pause(),
            }
        }
        self.halted(false)
    }

    /// Asks of every task what is wanted of it. Whether there is one more that is to stop.
    fn ask(&mut self, wants: Vec<(Tid, Want)>) -> bool {
        let mut found = false;
        let mut before = std::mem::take(&mut self.tasks);
        for (tid, want) in wants {
            let standing = match (before.remove(&tid), want) {
                (None | Some(Standing::Running), Want::Stopped) => {
                    found = true;
                    // ESRCH: it has ended; the next look shows it.
                    let _ = self.kernel.interrupt(tid);
                    Standing::Asked
                }
                (Some(Standing::Stopped(stopped, stop)), Want::Running) => {
                    self.kernel.resume(Resume::after(stopped, stop));
                    Standing::Running
                }
                (Some(Standing::Stopped(stopped, _)), Want::Released) => {
                    self.kernel.resume(Resume::Release(stopped));
                    Standing::Gone
                }
                (Some(Standing::Asked | Standing::Running) | None, Want::Released) => {
                    Standing::Leaving
                }
                (None, Want::Running) => Standing::Running,
                (Some(standing), _) => standing,
            };
            self.tasks.insert(tid, standing);
        }
        before.retain(|_, standing| matches!(standing, Standing::Stopped(..) | Standing::Gone));
        self.tasks.append(&mut before);
        found
    }

    /// Looks what those have to tell that do not stand still. Whether there was anything.
    fn look(&mut self, policy: &mut impl Policy<K::Stopped>) -> bool {
        let is_out =
            |standing: &Standing<_>| !matches!(standing, Standing::Stopped(..) | Standing::Gone);
        let out = self.tasks.iter().filter(|(_, standing)| is_out(standing));
        let out: Vec<Tid> = out.map(|(&tid, _)| tid).collect();
        let looked = out.into_iter().map(|tid| self.look_at(tid, policy));
        looked.fold(false, |moved, has_moved| moved | has_moved)
    }

    /// A task that stood still and was killed, or that runs another program by the exec of a thread that had not
    /// stopped yet, has something new to tell. Whether there was one.
    fn look_again(&mut self, policy: &mut impl Policy<K::Stopped>) -> bool {
        let stopped = self.stopped().into_iter();
        let looked = stopped.map(|tid| self.look_at(tid, policy));
        looked.fold(false, |moved, has_moved| moved | has_moved)
    }

    fn look_at(&mut self, tid: Tid, policy: &mut impl Policy<K::Stopped>) -> bool {
        let (stopped, stop) = match self.kernel.look(tid) {
            Ok(None) => return false,
            Ok(Some(Status::Stopped(stopped, stop))) => (stopped, stop),
            Ok(Some(Status::Exited(status))) => {
                return self.ended(tid, Some(Ending::Exited(status)), policy);
            }
            Ok(Some(Status::Killed(signal))) => {
                return self.ended(tid, Some(Ending::Killed(signal)), policy);
            }
            Err(_) if self.kernel.state(tid).is_none() => return self.ended(tid, None, policy),
            Err(_) => return false,
        };
        let standing = self.tasks.entry(tid).or_insert(Standing::Asked);
        if matches!(standing, Standing::Stopped(..)) {
            *standing = Standing::Asked;
        }
        match (standing, stop) {
            (Standing::Running, _) => return self.pass(tid, stopped, stop, policy),
            // An int3 was hit, but its SIGTRAP waits behind the stop that was asked for, or behind a SIGSTOP to
            // the process: it is let come, and the task asked anew then.
            (_, Stop::Interrupt | Stop::Group(_)) if self.kernel.is_trapped(tid) => {
                self.kernel.resume(Resume::Run(stopped));
            }
            (_, Stop::Interrupt | Stop::Group(_)) => self.keep(tid, stopped, stop),
            _ => return self.pass(tid, stopped, stop, policy),
        }
        true
    }

    /// What a task shows before it stops goes its way, and takes the request with it: any trap clears a
    /// pending one (kernel/signal.c, ptrace_stop).
    fn pass(
        &mut self,
        tid: Tid,
        stopped: K::Stopped,
        stop: Stop,
        policy: &mut impl Policy<K::Stopped>,
    ) -> bool {
        if stop == Stop::Exec {
            // Until then the kernel refuses a task that took another's id (kernel/ptrace.c,
            // looks_like_a_spurious_pid).
            self.kernel.consume(tid);
        }
        let resume = match policy.serve(stopped, stop) {
            Next::Keep(stopped) => {
                self.keep(tid, stopped, stop);
                return true;
            }
            Next::GoOn(resume) => resume,
        };
        match resume {
            Resume::Release(_) => drop(self.tasks.insert(tid, Standing::Gone)),
            _ if matches!(self.tasks.get(&tid), Some(Standing::Running)) => {}
            // ESRCH: it was killed; the next look shows it.
            _ => drop(self.kernel.interrupt(tid)),
        }
        let has_moved = resume.stopped().is_some();
        self.kernel.resume(resume);
        has_moved
    }

    fn keep(&mut self, tid: Tid, stopped: K::Stopped, stop: Stop) {
        self.kernel.consume(tid);
        self.tasks.insert(tid, Standing::Stopped(stopped, stop));
    }

    fn ended(
        &mut self,
        tid: Tid,
        ending: Option<Ending>,
        policy: &mut impl Policy<K::Stopped>,
    ) -> bool {
        policy.ended(tid, ending);
        self.tasks.insert(tid, Standing::Gone);
        true
    }

    /// Whether a task that is to stop, or to be let go, may still be executing something.
    fn is_awaited(&self, is_late: bool) -> bool {
        self.tasks.iter().any(|(&tid, standing)| match standing {
            Standing::Asked => !is_late || !is_asleep(self.kernel, tid),
            Standing::Leaving => true,
            Standing::Stopped(..) | Standing::Running | Standing::Gone => false,
        })
    }

    fn stopped(&self) -> Vec<Tid> {
        let is_stopped = |standing: &Standing<_>| matches!(standing, Standing::Stopped(..));
        let stopped = self
            .tasks
            .iter()
            .filter(|(_, standing)| is_stopped(standing));
        stopped.map(|(&tid, _)| tid).collect()
    }

    fn halted(self, is_complete: bool) -> Halted<K::Stopped> {
        let mut halted = Halted {
            is_complete,
            stopped: Vec::new(),
            asleep: Vec::new(),
            running: Vec::new(),
        };
        for (tid, standing) in self.tasks {
            match standing {
                Standing::Stopped(stopped, stop) => halted.stopped.push((stopped, stop)),
                Standing::Asked if is_asleep(self.kernel, tid) => halted.asleep.push(tid),
                Standing::Asked | Standing::Running | Standing::Leaving => halted.running.push(tid),
                Standing::Gone => {}
            }
        }
        halted
    }
}

/// The task executes nothing, or nothing any more: the end of the first of a process is not told as long as there
/// are others.
fn is_asleep(kernel: &impl Kernel, tid: Tid) -> bool {
    matches!(kernel.state(tid), None | Some('D' | 'Z' | 'X'))
}
