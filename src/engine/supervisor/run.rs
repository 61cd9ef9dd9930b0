//! The one loop from a stop to its resumption.
//!
//! A stop is looked at, served while the task stands still, and the task is resumed; nothing else is
//! ever stopped for it. What serving means for each kind of stop stands in the sibling files: breakpoint
//! hits in `int3::hits`, signals in `signals`, births, execs and deaths in `fork_exec_exit`, the modules of
//! a program in `modules`, the beginning in `attach` and the end in `detach`.

use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::engine::hit::{Hit, What};
use crate::engine::instrument::inprocess::Whose;
use crate::engine::instrument::inprocess::drain::Share;
use crate::engine::space::Doubt;
use crate::engine::supervisor::attach;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::realise::Instrument;
use crate::engine::supervisor::resume::{Resume, finish};
use crate::engine::supervisor::state::{Ending, Supervisor};
use crate::engine::task::Tracing;
use crate::event::Request;
use crate::sys;
use crate::sys::interrupt;
use crate::sys::patience;
use crate::sys::placement::{Placement, leave_session};
use crate::sys::ptrace::Stopped;
use crate::sys::traceme;
use crate::sys::wait::{self, Patience, Status, Stop};
use std::ops::ControlFlow;

/// After how many ticks a process is made to tell its SIGTRAP action.
const CALM: u32 = 20;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no process left to trace.
    Done,
    /// We were asked to end; every task was let go.
    Asked(interrupt::Request),
    /// The consumer wants no more; every task was let go.
    Refused,
    /// The consumer asks for something else; the task that the last hit was about stands still until the next
    /// run.
    Requested(Request),
}

impl Supervisor {
    /// Traces until there is no process left, the user asks us to end, or the consumer wants no more. While
    /// `on_hit` runs, the task it is about stands still; a call of it without a task is a timer tick, at which
    /// consumers may look after what they hold back.
    pub fn run(
        &mut self,
        on_hit: &mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>,
    ) -> sys::Result<Outcome> {
        let mut out = Out::new(on_hit);
        if !std::mem::replace(&mut self.is_placed, true) {
            match self.instrument {
                Instrument::Stop => self.placement = Placement::take(),
                // Where calls do not stop their tasks, the scheduler knows best.
                Instrument::Record(_) => {
                    leave_session();
                }
            }
        }
        let outcome = self.serve_all(&mut out);
        if !matches!(outcome, Ok(Outcome::Requested(_))) {
            self.leave(&mut out);
        }
        outcome
    }

    fn serve_all(&mut self, out: &mut Out<'_>) -> sys::Result<Outcome> {
        self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        while !self.tasks.is_empty() {
            match out.request {
                Some(Request::End) => return Ok(Outcome::Refused),
                Some(request) => return Ok(Outcome::Requested(request)),
                None => {}
            }
            if let Some(request) = self.asked.take() {
                return Ok(Outcome::Asked(request));
            }
            match self.look(out) {
                Ok(Some((tid, status))) => self.serve_batch(tid, status, out),
                Ok(None) => self.tick(out),
                // All tasks are gone without a wait status; nothing can come any more.
                Err(e) if e.errno == nix::errno::Errno::ECHILD => break,
                Err(e) => return Err(e),
            }
            let ticks = interrupt::ticks();
            let before = std::mem::replace(&mut self.ticks, ticks);
            if before != ticks {
                let doubt = match before / CALM != ticks / CALM {
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
                // What sinks have to say then is about all that has happened.
                self.drain_all(out, Share::All);
                out.tell(Pid(0), Tid(0), What::Leaving);
            }
        }
        Ok(Outcome::Done)
    }

    /// Nothing happened for a while.
    fn tick(&mut self, out: &mut Out<'_>) {
        for path in patience::given_up() {
            let what = patience::told(&path);
            let what = What::Lost {
                what: &what,
                count: None,
            };
            out.tell(Pid(0), Tid(0), what);
        }
        out.tell(Pid(0), Tid(0), What::Tick);
        let first = self.tasks.keys().min().copied();
        if self.has_had_time()
            && let Some(tid) = first
        {
            self.explain_nothing(tid, out);
        }
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
            if self.batch.is_empty() && self.tasks.len() < 2 && out.request.is_none() {
                return finish(resume);
            }
            if matches!(resume, Resume::Deliver(..) | Resume::Watched(_, Some(_)))
                && out.request.is_none()
            {
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
            if out.request.is_none() {
                next = wait::look(Patience::Poll).ok().flatten();
            }
        }
        // They stand still for a request, so that what the last hit showed can be looked at in full.
        if matches!(out.request, None | Some(Request::End)) {
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
        resume = self.watched(resume);
        if let Some(task) = self.tasks.get_mut(&tid)
            && let Some(space) = self.spaces.get(&task.space)
        {
            task.planted = space.planted();
        }
        resume
    }

    /// A debugger's child is to be seen when it asks to be traced, and others where system calls are to be seen.
    pub(in crate::engine) fn watched(&self, resume: Resume) -> Resume {
        let is_watched = |stopped: &Stopped| {
            let task = self.tasks.get(&stopped.tid());
            task.is_some_and(|task| {
                task.tracing == Tracing::Possible || self.wants_system_calls(task)
            })
        };
        match resume {
            Resume::Run(stopped) if is_watched(&stopped) => Resume::Watched(stopped, None),
            Resume::Deliver(stopped, signal) if is_watched(&stopped) => {
                Resume::Watched(stopped, Some(signal))
            }
            resume => resume,
        }
    }

    fn serve_one(&mut self, tid: Tid, status: Status, out: &mut Out<'_>) -> Resume {
        self.drain_before(tid, out);
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
                    self.at_system_call(&stopped, out)?;
                }
                if stop == Stop::VforkDone {
                    self.lend_ring(stopped.tid(), Whose::Own);
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
}
