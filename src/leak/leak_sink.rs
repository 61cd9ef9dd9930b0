//! The sink: events in, reports out. Keeps a tracker for each process, asks for a snapshot of a process when a
//! report is due, and writes.

mod calls;
mod checks;
mod clock;
mod known;
mod pending;
mod process;
mod reports;
#[cfg(test)]
mod tests;
mod user_requests;

use crate::base::Pid;
use crate::base::snapshot::Snapshot;
use crate::base::time::Timestamp;
use crate::event::{Event, Kind, PlainCall, Request};
use crate::export::Profile;
use crate::leak::book::Book;
use crate::leak::check_thread::CheckThread;
use crate::leak::kinds::Kinds;
use crate::leak::options::Options;
use crate::leak::progress::Progress;
use crate::leak::report::suppress::Suppressions;
use crate::leak::symbols::Namer;
use crate::leak::system::{System, UserRequest};
use crate::leak::tracker::Knowledge;
use crate::leak::view::View;
use crate::leak::worker::Worker;
use crate::sink::Sink;
use crate::sink::behind::Behind;
use clock::Clock;
use known::KnownFunctions;
use pending::Pending;
use process::Traced;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Who asks for what is live while the trace goes on (`--serve`).
pub trait HeapReaders: Send + Sync {
    /// Whether a reader has asked since this was called last.
    fn take_request(&self) -> bool;

    /// Here it is, of one process.
    fn give(&self, pid: Pid, heap: Profile);

    /// The process has ended.
    fn gone(&self, pid: Pid);
}

/// What a leak sink is made of.
pub struct Setup {
    /// What the user wants.
    pub options: Options,
    /// The pairs, joined.
    pub kinds: Arc<Kinds>,
    /// What is known of processes that were not launched by us.
    pub knowledge: Knowledge,
    /// What he does not want to hear of.
    pub suppressions: Arc<Suppressions>,
    /// What is known of all modules and stacks.
    pub book: Book,
    /// The system.
    pub system: Box<dyn System>,
    /// Where reports go.
    pub out: Behind,
    /// Where those are shown that are not the last ones.
    pub view: Option<View>,
    /// Who asks for what is live.
    pub readers: Option<Arc<dyn HeapReaders>>,
    /// Where it is told how far something is that takes long.
    pub progress: Progress,
    /// What the leak sink's threads do, so that they take no time from the thread that serves the processes.
    pub give_way: fn(),
}

/// Tracks every process, and reports.
pub struct LeakSink {
    setup: Setup,
    processes: BTreeMap<Pid, Traced>,
    /// The one that was first.
    first: Option<Pid>,
    /// What its calls' functions are.
    functions: KnownFunctions,
    clock: Clock,
    /// It is to be looked what keys and signals ask for.
    is_to_listen: bool,
    /// Processes that are to be looked at, and why.
    wanted: VecDeque<(Pid, Moment)>,
    /// Where checks are made.
    check_thread: CheckThread,
    /// Where names are found for reports.
    report_thread: Worker<Namer>,
    /// What is on its way, in the order in which it was asked for.
    pending: Vec<Pending>,
    /// How long the last report took.
    cost: Duration,
    /// The time of `--window` is over.
    is_tracing_stopped: bool,
    /// Which stage it is in.
    stage: Stage,
    /// More was found than the user bears (`--fail-on`).
    failed: bool,
    /// So many snapshots were written.
    snapshots: usize,
    /// What is written when the view is gone.
    held_back: String,
}

/// When a process is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// While it runs.
    Meanwhile,
    /// While it runs, for those who read what is live.
    Asked,
    /// While it runs, to be kept.
    Snapshot,
    /// It is about to end: nothing of its own will run any more.
    AtExit,
    /// We are about to let go of it.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// The time of `--for` is over.
    Ending,
    Done,
}

/// The exit status for `--fail-on`: a program's own is seldom this one.
const FAILURE: u8 = 99;

impl LeakSink {
    /// One that has seen nothing yet.
    pub fn new(setup: Setup, namer: Namer) -> LeakSink {
        LeakSink {
            setup,
            processes: BTreeMap::new(),
            first: None,
            functions: KnownFunctions::default(),
            clock: Clock::default(),
            is_to_listen: false,
            wanted: VecDeque::new(),
            check_thread: CheckThread::new(()),
            report_thread: Worker::new(namer),
            pending: Vec::new(),
            cost: Duration::ZERO,
            is_tracing_stopped: false,
            stage: Stage::Running,
            failed: false,
            snapshots: 0,
            held_back: String::new(),
        }
    }

    /// Tells it in the view: elsewhere others tell it.
    fn say(&mut self, what: &str) {
        if let Some(view) = &mut self.setup.view {
            view.say(what.to_owned());
        }
    }

    /// Looks at the clock.
    fn tick(&mut self, now: Timestamp) {
        if self.clock.advance(now) {
            let running = self.processes.values_mut().filter(|p| p.ended.is_none());
            for traced in running {
                traced.tracker.tick(now);
                traced.history.look(&traced.tracker);
            }
            self.is_to_listen = true;
        }
        let readers = self.setup.readers.as_ref();
        if self.stage == Stage::Running && readers.is_some_and(|readers| readers.take_request()) {
            self.want_all(Moment::Asked);
        }
        let watch = self.setup.options.watch;
        if watch.is_some_and(|watch| self.clock.has_passed(watch)) {
            self.end();
        }
        if self.stage == Stage::Running
            && let Some(pause) = self.pause()
            && self.clock.is_report_due(pause)
        {
            self.want_all(Moment::Meanwhile);
        }
    }

    /// What is due before something is taken that happened then. `runs`: it is a call or a return, or time has passed.
    fn at(&mut self, now: Timestamp, runs: bool) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.collect()?;
        }
        // Not while processes are still being attached to: what there is to say of that comes first, and the
        // time that was asked for has not begun.
        if runs {
            self.clock.begin(now);
        }
        self.tick(now);
        if runs && std::mem::take(&mut self.is_to_listen) {
            self.listen()?;
        }
        Ok(())
    }

    /// Reports that are due and need no check.
    fn tell_unchecked(&mut self) -> io::Result<()> {
        while let Some((pid, moment)) = self
            .wanted
            .front()
            .copied()
            .filter(|(_, moment)| !self.wants_check(*moment))
        {
            self.wanted.pop_front();
            let seen = self.unchecked(pid);
            self.looked_at(pid, moment, seen);
        }
        if self.stage == Stage::Ending && self.wanted.is_empty() {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}

impl Sink for LeakSink {
    fn begin(&mut self) {
        self.check_thread.begin("ltrace check", self.setup.give_way);
        self.report_thread
            .begin("ltrace names", self.setup.give_way);
        self.setup.out.begin();
    }

    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.at(call.time, true)?;
        self.completed(call, returned);
        Ok(())
    }

    fn plain_call(&mut self, call: &PlainCall<'_>) -> io::Result<bool> {
        if self.shows_call(call.point) {
            return Ok(false);
        }
        self.at(call.time, true)?;
        self.plainly_called(call);
        Ok(true)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let runs = matches!(
            event.kind,
            Kind::Tick | Kind::Call { .. } | Kind::Return { .. }
        );
        self.at(event.time, runs)?;
        if let Kind::Exited { last: true, .. } | Kind::Killed { last: true, .. } = event.kind
            && let Some(readers) = &self.setup.readers
        {
            readers.gone(event.pid);
        }
        match &event.kind {
            Kind::Call { .. } | Kind::Return { .. } | Kind::NoReturn { .. } => self.called(event),
            Kind::Started {
                parent,
                shares_memory,
            } => {
                self.started(event, *parent)?;
                self.traced(event.pid).shares_memory = *shares_memory;
            }
            Kind::Loaded { .. } => self.loaded(event),
            Kind::Unloaded { range, .. } => self.setup.book.unloaded(event.pid, range),
            Kind::Exec { .. } => self.executed(event.pid),
            Kind::Unfollowed => self.traced(event.pid).unfollowed += 1,
            Kind::Exiting => self.exiting(event.pid),
            Kind::Exited { last, .. } => self.ended(event, *last, None),
            Kind::Killed { signal, last } => {
                self.ended(event, *last, Some(format!("killed by {signal}")))
            }
            Kind::Leaving => self.want_all(Moment::Leaving),
            Kind::Lost { what, .. } => self.say(what),
            Kind::NoAllocator { what } => {
                self.traced(event.pid).no_allocator = true;
                self.say(what);
            }
            _ => {}
        }
        Ok(())
    }

    fn request(&mut self) -> Option<Request> {
        let window = self.setup.options.window;
        if !self.is_tracing_stopped && window.is_some_and(|window| self.clock.has_passed(window)) {
            return Some(Request::StopTracing);
        }
        // What needs no check is told at once, by what `flush` finds here.
        if let Some(&(pid, moment)) = self.wanted.front()
            && self.wants_check(moment)
        {
            return Some(Request::Snapshot(pid));
        }
        (self.stage == Stage::Done).then_some(Request::End)
    }

    fn tracing_stopped(&mut self) {
        self.is_tracing_stopped = true;
        for traced in self.processes.values_mut() {
            traced.tracker.tracing_stopped();
        }
    }

    fn snapshot(&mut self, pid: Pid, snapshot: Option<Snapshot>) -> io::Result<()> {
        let at = self.wanted.iter().position(|(wanted, _)| *wanted == pid);
        let Some((_, moment)) = at.and_then(|at| self.wanted.remove(at)) else {
            return Ok(());
        };
        match snapshot {
            Some(snapshot) => self.look_at(pid, moment, snapshot)?,
            None => {
                let seen = self.unchecked(pid);
                self.looked_at(pid, moment, seen);
            }
        }
        self.tell_unchecked()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tell_unchecked()
    }

    fn status(&self) -> Option<u8> {
        self.failed.then_some(FAILURE)
    }

    fn finish(&mut self) -> io::Result<()> {
        let all: Vec<Pid> = self.processes.keys().copied().collect();
        for pid in all {
            self.see_out(pid)?;
            self.tell_last(pid, None);
        }
        self.wait_for(|_| true)?;
        if let Some(mut view) = self.setup.view.take() {
            view.leave();
            let text = std::mem::take(&mut self.held_back);
            self.setup.out.write_all(text.as_bytes())?;
        }
        self.setup.out.finish()
    }
}
