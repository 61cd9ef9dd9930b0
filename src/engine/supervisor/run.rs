//! The ptrace engine: the one loop from a stop to its resumption.
//!
//! A stop is looked at, served while the task stands still, and the task is resumed; nothing else is
//! ever stopped for it. What serving means for each kind of stop stands in the sibling files: breakpoint
//! hits in `hits`, births, execs and deaths in `lives`, the modules of a program in `modules`, the
//! beginning in `start` and the end in `leave`.

use crate::base::addr::Addr;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::engine::calls::Landing;
use crate::engine::goroutines::Parked;
use crate::engine::hit::{Hit, What};
use crate::engine::space::{Doubt, Missing, Original, Space};
use crate::engine::supervisor::attach;
use crate::engine::supervisor::last_stop;
use crate::engine::supervisor::resume::{Resume, finish, put_back_home};
use crate::engine::task::{Role, SpaceId, Task, Tracing};
use crate::plan::Plan;
use crate::process::module::{FileKey, Planned};
use crate::sys;
use crate::sys::front::Link;
use crate::sys::interrupt::{self, Request};
use crate::sys::patience;
use crate::sys::placement::Placement;
use crate::sys::ptrace::Stopped;
use crate::sys::traceme;
use crate::sys::wait::{self, Patience, Status, Stop};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Whether child processes are traced as well. Threads always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// They run untraced.
    #[default]
    Threads,
    /// They are (`-f`).
    Children,
}

/// The classic engine: int3 breakpoints under ptrace. Dropping it lets go of every task, the int3s out.
pub struct Supervisor {
    pub(in crate::engine) plan: Plan,
    pub(in crate::engine) follow: Follow,
    pub(in crate::engine) tasks: HashMap<Tid, Task>,
    pub(in crate::engine) spaces: HashMap<SpaceId, Space>,
    /// The open calls of goroutines.
    pub(in crate::engine) goroutines: Parked,
    /// Tasks that stopped for the first time before their parent's event told of them.
    pub(in crate::engine) unannounced: HashMap<Tid, Stopped>,
    /// Children to be let go at their first stop, their copies of our int3s taken out.
    pub(in crate::engine) to_release: HashMap<Tid, Space>,
    /// Children at whose first stop breakpoints are to be planted that their copies lack.
    pub(in crate::engine) incomplete: HashMap<Tid, Vec<Missing>>,
    pub(in crate::engine) images: HashMap<(FileKey, Option<String>), Arc<Planned>>,
    pub(in crate::engine) complained: HashSet<String>,
    pub(in crate::engine) next_call: u64,
    pub(in crate::engine) next_space: u32,
    pub(in crate::engine) launched: Option<Launched>,
    /// Something was found to trace.
    pub(in crate::engine) planted: bool,
    /// When the last program was found that a process runs.
    pub(in crate::engine) found: Instant,
    /// The filters of `-x`, by their indices, that meant something in some module.
    pub(in crate::engine) matched: HashSet<usize>,
    /// Some program has what [`crate::plan::resources::Resources`] expects.
    pub(in crate::engine) provided: bool,
    /// Tasks that were served and stand still until their batch is complete, or a pause is over.
    pub(in crate::engine) batch: Vec<(Tid, Resume)>,
    /// What we are about to end for, once the consumer knows.
    asked: Option<Request>,
    /// The task that could not be served the last time.
    failed: Option<Tid>,
    /// The beat at which we looked after the guards.
    beats: u32,
    front: Link,
    pub(in crate::engine) placement: Placement,
    is_placed: bool,
    /// No more calls are to be seen.
    pub(in crate::engine) is_resting: bool,
    pub(in crate::engine) ending: last_stop::Ending,
}

/// The command that we started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its process.
    pub pid: Pid,
    /// How it ended, once it has.
    pub end: Option<Ending>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By exit, with this status.
    Exited(i32),
    /// By a signal.
    Killed(Signal),
}

/// After how many beats a process is made to tell its SIGTRAP action.
const CALM: u32 = 20;

/// What a consumer wants that does not want the next hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cease {
    /// The end: nothing more can be taken.
    End,
    /// A pause, in which the engine can be asked for something.
    Pause,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nobody left to trace.
    Done,
    /// We were asked to end; every task was let go.
    Asked(Request),
    /// The consumer wants no more; every task was let go.
    Refused,
    /// The consumer wants a pause; the task that the last hit was about stands still until the next run.
    Paused,
}

/// Where observations go to, and whether more are wanted.
pub(in crate::engine) struct Out<'a> {
    on_hit: &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Cease>,
    pub(in crate::engine) ceased: Option<Cease>,
    began: Instant,
    epoch: Timestamp,
}

impl<'a> Out<'a> {
    pub(in crate::engine) fn new(
        on_hit: &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Cease>,
    ) -> Out<'a> {
        let epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Out {
            on_hit,
            ceased: None,
            began: Instant::now(),
            epoch: Timestamp(epoch),
        }
    }

    /// The wall clock of the beginning, carried on by a clock that never runs backwards.
    pub(in crate::engine) fn now(&self) -> Timestamp {
        Timestamp(self.epoch.0 + self.began.elapsed())
    }

    pub(in crate::engine) fn tell(&mut self, pid: Pid, tid: Tid, what: What<'_>) {
        self.tell_at(self.now(), pid, tid, what);
    }

    pub(in crate::engine) fn tell_at(
        &mut self,
        time: Timestamp,
        pid: Pid,
        tid: Tid,
        what: What<'_>,
    ) {
        // Who wants a pause is told all the same what happens until then.
        if self.ceased == Some(Cease::End) {
            return;
        }
        if let ControlFlow::Break(cease) = (self.on_hit)(&Hit {
            pid,
            tid,
            time,
            what,
        }) {
            self.ceased = Some(cease);
        }
    }
}

impl Supervisor {
    /// An engine that traces nobody yet.
    pub fn new(plan: Plan, follow: Follow, front: Link) -> Supervisor {
        Supervisor {
            plan,
            follow,
            tasks: HashMap::new(),
            spaces: HashMap::new(),
            goroutines: HashMap::new(),
            unannounced: HashMap::new(),
            to_release: HashMap::new(),
            incomplete: HashMap::new(),
            images: HashMap::new(),
            complained: HashSet::new(),
            next_call: 0,
            next_space: 0,
            launched: None,
            planted: false,
            found: Instant::now(),
            matched: HashSet::new(),
            provided: false,
            batch: Vec::new(),
            failed: None,
            beats: 0,
            asked: None,
            front,
            placement: Placement::default(),
            is_placed: false,
            is_resting: false,
            ending: last_stop::Ending::default(),
        }
    }

    /// The command that we started, and its end.
    pub fn launched(&self) -> Option<Launched> {
        self.launched
    }

    /// Traces until there is nobody left, somebody asks us to end, or the consumer wants no more. While
    /// `on_hit` runs, the task it is about stands still; a call of it without a task is a beat, at which
    /// consumers may look after what they hold back.
    pub fn run(
        &mut self,
        on_hit: &mut dyn FnMut(&Hit<'_>) -> ControlFlow<Cease>,
    ) -> sys::Result<Outcome> {
        let mut out = Out::new(on_hit);
        if !std::mem::replace(&mut self.is_placed, true) {
            self.placement = Placement::take();
        }
        let outcome = self.serve_all(&mut out);
        if !matches!(outcome, Ok(Outcome::Paused)) {
            self.leave(&mut out);
        }
        outcome
    }

    fn serve_all(&mut self, out: &mut Out<'_>) -> sys::Result<Outcome> {
        self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        while !self.tasks.is_empty() {
            match out.ceased {
                Some(Cease::End) => return Ok(Outcome::Refused),
                Some(Cease::Pause) => return Ok(Outcome::Paused),
                None => {}
            }
            if let Some(request) = self.asked.take() {
                return Ok(Outcome::Asked(request));
            }
            match self.placement.look() {
                Ok(Some((tid, status))) => self.serve_batch(tid, status, out),
                Ok(None) => self.beat(out),
                // Whoever we knew of is gone without a word; nothing can come any more.
                Err(e) if e.errno == nix::errno::Errno::ECHILD => break,
                Err(e) => return Err(e),
            }
            let beats = interrupt::beats();
            let before = std::mem::replace(&mut self.beats, beats);
            if before != beats {
                let doubt = match before / CALM != beats / CALM {
                    true => Doubt::Replaced,
                    false => Doubt::Reset,
                };
                let spaces = self.spaces.values_mut();
                spaces.for_each(|space| space.doubt_guard(doubt));
            }
            if let Some(request) = interrupt::requested()
                && !self.is_shared_with_command(request)
            {
                self.asked = Some(request);
                out.tell(Pid(0), Tid(0), What::Leaving);
            }
        }
        Ok(Outcome::Done)
    }

    /// Nothing happened for a while.
    fn beat(&mut self, out: &mut Out<'_>) {
        for path in patience::given_up() {
            let what = patience::told(&path);
            out.tell(Pid(0), Tid(0), What::Lost { what: &what });
        }
        out.tell(Pid(0), Tid(0), What::Tick);
        let first = self.tasks.keys().min().copied();
        if self.has_had_time()
            && let Some(tid) = first
        {
            self.explain_nothing(tid, out);
        }
    }

    fn is_command(&self, tid: Tid) -> bool {
        self.launched.is_some_and(|l| l.pid.0 == tid.0)
    }

    /// A terminal's Ctrl-C goes to the command as well, and it is for the command to end by it.
    fn is_shared_with_command(&self, request: Request) -> bool {
        let runs = self.launched.is_some_and(|l| l.end.is_none());
        request.from_terminal
            && runs
            && self.tasks.values().all(|t| {
                self.launched.is_some_and(|l| l.pid == t.pid) || self.follow == Follow::Children
            })
    }

    /// Whether we are asked to end, without a command that may be meant: then nothing more is looked for.
    pub(in crate::engine) fn is_ending(&self) -> bool {
        self.launched.is_none() && interrupt::is_requested()
    }

    /// Serves a stop and all others that wait by now, and only then lets them go on: a look shows the
    /// same stopped task first, again and again, so a busy one would shut out the rest.
    fn serve_batch(&mut self, tid: Tid, status: Status, out: &mut Out<'_>) {
        let mut next = Some((tid, status));
        while let Some((tid, status)) = next.take() {
            // Until then the kernel refuses a task that took another's id: the tracer might mean the
            // other one (kernel/ptrace.c, looks_like_a_spurious_pid).
            let exec = status.is_exec().then(|| wait::consume(tid));
            let is_exec = exec.is_some();
            let is_exit = status.is_exit();
            let mut resume = self.serve(tid, status, out);
            if matches!(resume, Resume::Again) {
                match exec {
                    Some(Ok(Some(status))) => resume = self.serve(tid, status, out),
                    // Not consumed: the next look finds it.
                    _ => break,
                }
            }
            if self.batch.is_empty() && self.tasks.len() < 2 && out.ceased.is_none() {
                return finish(resume);
            }
            if matches!(resume, Resume::Deliver(..)) && out.ceased.is_none() {
                // Not consumed: if we were killed before it goes on, its signal would be lost.
                finish(resume);
                next = wait::look(Patience::Poll).ok().flatten();
                continue;
            }
            // Its registers are right again, so that its stop may be consumed.
            match wait::consume(tid) {
                // Not the one that was served: the task was killed meanwhile, perhaps by a thread that took
                // its id in an exec.
                Ok(Some(status))
                    if !is_exec && status.is_exec() || !is_exit && status.is_exit() =>
                {
                    resume = self.serve(tid, status, out);
                    let _ = wait::consume(tid);
                }
                Err(_) => {
                    // Left to be looked at, it would be served a second time.
                    finish(resume);
                    break;
                }
                _ => {}
            }
            self.batch.retain(|(earlier, _)| *earlier != tid);
            self.batch.push((tid, resume));
            if out.ceased.is_none() {
                next = wait::look(Patience::Poll).ok().flatten();
            }
        }
        // In a pause they stand still, so that what the last hit showed can be looked at in full.
        if out.ceased != Some(Cease::Pause) {
            self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        }
    }

    /// Serves what one task did.
    pub(in crate::engine) fn serve(
        &mut self,
        tid: Tid,
        status: Status,
        out: &mut Out<'_>,
    ) -> Resume {
        self.placement.served(tid);
        let mut resume = self.serve_one(tid, status, out);
        if let Resume::Run(stopped) = resume {
            resume = self.watched(stopped);
        }
        if let Some(task) = self.tasks.get_mut(&tid)
            && let Some(space) = self.spaces.get(&task.space)
        {
            task.planted = space.planted();
        }
        resume
    }

    /// A debugger's child is to be seen when it asks to be traced.
    fn watched(&self, stopped: Stopped) -> Resume {
        let task = self.tasks.get(&stopped.tid());
        match task.is_some_and(|task| task.tracing == Tracing::Possible) {
            true => Resume::Watched(stopped),
            false => Resume::Run(stopped),
        }
    }

    fn serve_one(&mut self, tid: Tid, status: Status, out: &mut Out<'_>) -> Resume {
        match status {
            Status::Stopped(stopped, stop) => match self.stopped(stopped, stop, out) {
                Ok(resume) => {
                    self.failed.take_if(|failed| *failed == tid);
                    resume
                }
                // It was killed while it was served, so that its end shows itself next; or it is still there.
                Err(_) if self.failed.replace(tid) != Some(tid) => Resume::Again,
                // ESRCH, here and nowhere else: gone.
                Err(e) if e.is_gone() => Resume::Nothing,
                Err(e) => {
                    self.complain(tid, &format!("lost a stop of task {tid}: {e}"), out);
                    Resume::Nothing
                }
            },
            Status::Exited(status) => self.ended(tid, Ending::Exited(status), out),
            Status::Killed(signal) => self.ended(tid, Ending::Killed(signal), out),
        }
    }

    fn stopped(&mut self, stopped: Stopped, stop: Stop, out: &mut Out<'_>) -> sys::Result<Resume> {
        if stop == Stop::Exit {
            return self.exiting(stopped, out);
        }
        if !self.tasks.contains_key(&stopped.tid()) {
            return Ok(self.first_stop(stopped, out));
        }
        match stop {
            Stop::Signal(Signal(nix::libc::SIGTRAP)) => self.trapped(stopped, out),
            Stop::Signal(signal) => self.signalled(stopped, signal, out),
            Stop::Group(signal) => {
                if self.is_command(stopped.tid()) {
                    self.front.command_stopped(signal);
                }
                Ok(Resume::Listen(stopped))
            }
            Stop::Fork | Stop::Vfork | Stop::Clone => self.gave_birth(stopped, stop, out),
            Stop::Exec => self.executed(stopped, out),
            Stop::Interrupt | Stop::VforkDone | Stop::Syscall | Stop::Exit | Stop::Other => {
                if stop == Stop::Syscall {
                    self.called(&stopped)?;
                }
                if stop == Stop::Interrupt {
                    self.watch_end(&stopped);
                    attach::unblock_trap(&stopped)?;
                    self.complete_copy(&stopped, out);
                }
                if self.is_command(stopped.tid()) {
                    self.front.command_runs();
                }
                Ok(Resume::Run(stopped))
            }
        }
    }

    /// A child that may ask to be traced by its parent has made a system call.
    fn called(&mut self, stopped: &Stopped) -> sys::Result<()> {
        let task = self.tasks.get_mut(&stopped.tid());
        if let Some(task) = task.filter(|task| task.tracing == Tracing::Possible) {
            let regs = stopped.regs()?;
            if traceme::is_asked(&regs) {
                traceme::skip(stopped, &regs)?;
                task.tracing = Tracing::Promised;
            }
        }
        Ok(())
    }

    /// A signal on its way to the task. One that finds it in a slot must not: a handler, and whoever
    /// unwinds from it, is to see the program's own code.
    pub(in crate::engine) fn signalled(
        &mut self,
        stopped: Stopped,
        signal: Signal,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let tid = stopped.tid();
        let mut regs = stopped.regs()?;
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Resume::Deliver(stopped, signal));
        };
        let space = self.spaces.get(&task.space);
        let home = space.and_then(|space| space.home(regs.rip));
        let dying = space.is_some_and(|space| space.is_guard(Addr(regs.rip)));
        if let Some(home) = home {
            put_back_home(&mut regs, home);
            stopped.set_regs(&regs)?;
        }
        task.stacks.interrupt(&regs);
        // In our handler a task raises the program's own SIGTRAP for the second time.
        if task.role == Role::Shown && !dying {
            let ip = Addr(regs.rip);
            out.tell(task.pid, tid, What::Signal { signal, ip });
        }
        if let Some(home) = home {
            self.taken_home(tid, &regs, home);
        }
        Ok(Resume::Deliver(stopped, signal))
    }

    /// A signal took the task out of a slot: the breakpoint will be hit once more.
    fn taken_home(&mut self, tid: Tid, regs: &Regs, home: Original) {
        self.enter_goroutine(tid, regs);
        if let Some(task) = self.tasks.get_mut(&tid) {
            if let Original::Before(address) = home {
                task.calls.lands_again(Landing {
                    address,
                    rsp: regs.rsp,
                    result: regs.rax,
                });
            }
            if !matches!(home, Original::After(_)) {
                task.calls.entered_again(regs.rsp);
            }
        }
        self.leave_goroutine(tid);
    }

    /// Tells once of something that could not be traced.
    pub(in crate::engine) fn complain(&mut self, tid: Tid, what: &str, out: &mut Out<'_>) {
        if self.complained.insert(what.to_owned()) {
            let pid = self.tasks.get(&tid).map_or(Pid(tid.0), |task| task.pid);
            out.tell(pid, tid, What::Lost { what });
        }
    }
}
