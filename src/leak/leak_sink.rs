//! The sink: events in, reports out. Keeps a tracker for each process, asks for a snapshot of a process when a
//! report is due, and writes.

mod calls;
mod checks;
mod clock;
mod pending;
mod process;
mod reports;
#[cfg(test)]
mod tests;
mod user_requests;

use crate::base::Pid;
use crate::base::snapshot::Snapshot;
use crate::base::time::Timestamp;
use crate::event::{Event, Kind, Request};
use crate::leak::book::Book;
use crate::leak::check_thread::CheckThread;
use crate::leak::history::History;
use crate::leak::kinds::Kinds;
use crate::leak::options::Options;
use crate::leak::progress::Progress;
use crate::leak::report::build::PerCall;
use crate::leak::report::suppress::Suppressions;
use crate::leak::site::Origin;
use crate::leak::symbols::Namer;
use crate::leak::system::{System, UserRequest};
use crate::leak::tracker::Knowledge;
use crate::leak::view::View;
use crate::leak::worker::Worker;
use crate::plan::{self, Tracepoint};
use crate::sink::Sink;
use crate::sink::behind::Behind;
use crate::stack::Module;
use clock::Clock;
use pending::Pending;
use process::Traced;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

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

    fn ended(&mut self, event: &Event, last: bool, how: Option<String>) {
        let now = self.clock.now();
        let traced = self.traced(event.pid);
        traced.tracker.thread_gone(event.tid);
        if !last {
            return;
        }
        traced.look(now);
        traced.ended = Some(how);
        self.give_up_passing(event.pid);
        if let Some(view) = &mut self.setup.view {
            view.gone(event.pid);
        }
        self.end_told(event.pid);
    }

    /// Tells of a process that has ended, once all is known of it that will be.
    fn end_told(&mut self, pid: Pid) {
        let is_coming = self.pending.iter().any(|pending| pending.is_awaited(pid));
        let traced = self.processes.get_mut(&pid).filter(|_| !is_coming);
        if let Some(how) = traced.and_then(|traced| traced.ended.take()) {
            self.tell_last(pid, how);
            self.processes.remove(&pid);
            self.setup.book.forget(pid);
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

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.collect()?;
        }
        // Not while processes are still being attached to: what there is to say of that comes first, and the
        // time that was asked for has not begun.
        let runs = matches!(
            event.kind,
            Kind::Tick | Kind::Call { .. } | Kind::Return { .. }
        );
        if runs {
            self.clock.begin(event.time);
        }
        self.tick(event.time);
        if runs && std::mem::take(&mut self.is_to_listen) {
            self.listen()?;
        }
        match &event.kind {
            Kind::Call {
                id,
                point,
                return_address,
                args,
                stack,
                ..
            } if is_ours(point) => {
                let origin = match stack {
                    Some(raw) => {
                        let stack = self.setup.book.unwind(event.pid, raw);
                        if is_of_allocator(point) {
                            self.setup.book.begins_in_allocator(stack);
                        }
                        Origin::Stack(stack)
                    }
                    None => Origin::Caller(*return_address),
                };
                self.per_begins(event.pid, &point.symbol);
                self.call(event, *id, point, args, origin, *return_address);
            }
            Kind::Return {
                id,
                point,
                out_args,
                result,
                ..
            } if is_ours(point) => {
                self.per_ends(event.pid, &point.symbol);
                let traced = self.traced(event.pid);
                traced
                    .tracker
                    .returned(event.tid, event.time, *id, out_args, result);
                self.identify(event.pid, event.tid);
            }
            Kind::NoReturn { id, point, .. } if is_ours(point) => {
                self.traced(event.pid).tracker.unwound(event.tid, *id);
            }
            Kind::Started { parent } => {
                let known = self.processes.get(&event.pid);
                if known.is_some_and(|known| known.ended.is_some()) {
                    // Another one had this id before.
                    self.see_out(event.pid)?;
                }
                if let Some(parent) = parent.filter(|parent| *parent != event.pid)
                    && let Some(known) = self.processes.get(&parent)
                {
                    let (mut tracker, no_allocator) = (known.tracker.clone(), known.no_allocator);
                    tracker.forked();
                    let traced = self.traced(event.pid);
                    traced.tracker = tracker;
                    traced.no_allocator = no_allocator;
                    self.setup.book.forked(parent, event.pid);
                }
                self.traced(event.pid).threads.insert(event.tid);
            }
            Kind::Loaded {
                module,
                range,
                bias,
                file: Some(file),
            } => {
                // A program that its dynamic linker runs comes after that.
                if module.is_main && self.setup.book.has_modules(event.pid) {
                    self.traced(event.pid).name = module.name.clone();
                }
                let module = Module {
                    name: module.name.clone(),
                    path: module.path.clone(),
                    build_id: None,
                    root: None,
                    file: file.clone(),
                };
                self.setup
                    .book
                    .loaded(event.pid, module, range.clone(), *bias);
            }
            Kind::Unloaded { range, .. } => self.setup.book.unloaded(event.pid, range),
            Kind::Exec { .. } => {
                self.setup.book.forget(event.pid);
                let name = self.setup.system.program(event.pid);
                let traced = self.traced(event.pid);
                traced.tracker.exec();
                traced.allocators.clear();
                traced.no_allocator = false;
                traced.name = name.unwrap_or_default();
                traced.per = PerCall::default();
                traced.last = None;
                traced.at_exit = None;
                traced.unfollowed = 0;
                traced.history = History::default();
                // What was found out about the old program says nothing of this one.
                self.pending
                    .retain(|pending| pending.pid != event.pid || !pending.is_check());
            }
            Kind::Unfollowed => self.traced(event.pid).unfollowed += 1,
            Kind::Exiting => {
                // While it is still there to be asked.
                let facts = self.setup.system.facts(event.pid);
                self.traced(event.pid).at_exit = Some(facts);
                self.wanted.push_back((event.pid, Moment::AtExit));
            }
            Kind::Exited { last, .. } => self.ended(event, *last, None),
            Kind::Killed { signal, last } => {
                self.ended(event, *last, Some(format!("killed by {signal}")))
            }
            Kind::Leaving => self.want_all(Moment::Leaving),
            Kind::Lost { what, .. } | Kind::NoAllocator { what } => {
                if matches!(event.kind, Kind::NoAllocator { .. }) {
                    self.traced(event.pid).no_allocator = true;
                }
                if let Some(view) = &mut self.setup.view {
                    view.say(what.clone());
                }
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

/// The function is known to be an allocator's.
fn is_of_allocator(point: &Tracepoint) -> bool {
    matches!(
        point.kind,
        plan::Kind::Resource {
            allocator: Some(_),
            ..
        }
    )
}

/// The call is one of those whose books we keep.
fn is_ours(point: &Tracepoint) -> bool {
    matches!(point.kind, plan::Kind::Resource { .. })
}
