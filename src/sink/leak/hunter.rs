//! The sink: events in, reports out. Keeps a tracker for each process, asks for a frozen process when a
//! report is due, and writes.

mod checks;
mod wishes;

use super::allocators;
use super::aside::Aside;
use super::book::Book;
use super::history::History;
use super::kinds::{Action, Kinds, Role, Shape};
use super::options::{Checks, Options, Thread};
use super::output;
use super::outside::{Outside, Wish};
use super::progress::Progress;
use super::report::build::{Subject, build};
use super::report::checked::Checked;
use super::report::model::{Process, Report, Since, Verdict};
use super::report::suppress::Suppressions;
use super::site::{Origin, Passed, SiteId};
use super::tracker::{Caller, Knowledge, Tracker};
use super::view::View;
use crate::base::addr::Addr;
use crate::base::frozen::Frozen;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind};
use crate::plan::{self, Tracepoint};
use crate::sink::Sink;
use crate::stack::Module;
use crate::value::Value;
use crate::value::render;
use checks::Pending;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// What is given to a hunt.
pub struct Setup {
    /// What the user wants.
    pub options: Options,
    /// The pairs, joined.
    pub kinds: Arc<Kinds>,
    /// What is known of processes that do not begin under our eyes.
    pub knowledge: Knowledge,
    /// What he does not want to hear of.
    pub suppressions: Suppressions,
    /// Names.
    pub book: Book,
    /// The system.
    pub outside: Box<dyn Outside>,
    /// Where reports go.
    pub out: Box<dyn Write>,
    /// Where those are shown that are not the last ones.
    pub view: Option<View>,
    /// Where it is told how far something is that takes long.
    pub progress: Progress,
}

/// The hunt.
pub struct Hunter {
    setup: Setup,
    processes: BTreeMap<Pid, Prey>,
    /// The one that was first.
    first: Option<Pid>,
    begun: Option<Timestamp>,
    now: Timestamp,
    /// When the next report is due.
    due: Option<Timestamp>,
    /// When it is next noted how much is live.
    next_look: Timestamp,
    /// It is to be looked what keys and signals ask for.
    is_to_listen: bool,
    /// Processes that are to be looked at, and why.
    wanted: VecDeque<(Pid, Moment)>,
    /// Where checks are made, once everything has begun.
    aside: Option<Aside>,
    /// Those that are being made.
    checks: Vec<Pending>,
    /// What the last report cost: the process waited for so long.
    cost: Duration,
    /// The time of `--window` is over.
    is_resting: bool,
    /// Where this hunt has come to.
    stage: Stage,
    /// More was found than the user bears (`--fail-on`).
    failed: bool,
    /// So many snapshots were written.
    snapshots: usize,
    /// What is written when the view is gone.
    held_back: String,
}

/// One process.
struct Prey {
    tracker: Tracker,
    name: String,
    /// The allocator's name, and its file.
    allocator: Option<(String, String)>,
    /// None was found in any of its modules.
    no_allocator: bool,
    threads: BTreeSet<Tid>,
    /// The names that threads had, where they are asked for: some are no more.
    names: HashMap<Tid, String>,
    /// Calls of the function of `--per`.
    calls: u64,
    marked: bool,
    history: History,
    /// Sites whose stacks have names.
    named: HashSet<SiteId>,
    /// The report that is told if the process ends before another one.
    last: Option<Report>,
    /// The last one was told.
    told: bool,
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
    /// A signal may end it.
    Dying,
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

/// How often it is noted how much is live.
const LOOK: Duration = Duration::from_millis(100);
/// The exit status for `--fail-on`: a program's own is seldom this one.
const FAILURE: u8 = 99;

/// Functions by which a program ends itself: nothing of its own runs after them.
pub const ENDINGS: [&str; 3] = ["_exit", "_Exit", "quick_exit"];
/// Signals that tell of a mistake, and mostly end a process (signal(7)).
const DEADLY: [i32; 6] = [4, 6, 7, 8, 11, 31];

impl Hunter {
    /// A hunt that has seen nothing yet.
    pub fn new(setup: Setup) -> Hunter {
        Hunter {
            setup,
            processes: BTreeMap::new(),
            first: None,
            begun: None,
            now: Timestamp::default(),
            due: None,
            next_look: Timestamp::default(),
            is_to_listen: false,
            wanted: VecDeque::new(),
            aside: None,
            checks: Vec::new(),
            cost: Duration::ZERO,
            is_resting: false,
            stage: Stage::Running,
            failed: false,
            snapshots: 0,
            held_back: String::new(),
        }
    }

    fn prey(&mut self, pid: Pid) -> &mut Prey {
        let (setup, now) = (&self.setup, self.now);
        self.first.get_or_insert(pid);
        self.processes.entry(pid).or_insert_with(|| Prey {
            tracker: Tracker::new(setup.kinds.clone(), setup.knowledge, now),
            name: setup.outside.program(pid).unwrap_or_default(),
            allocator: None,
            no_allocator: false,
            threads: BTreeSet::new(),
            names: HashMap::new(),
            calls: 0,
            marked: false,
            history: History::default(),
            named: HashSet::new(),
            last: None,
            told: false,
        })
    }

    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        point: &Arc<Tracepoint>,
        args: &[Value],
        origin: Origin,
        caller: Addr,
    ) {
        let symbol = &point.symbol;
        if self
            .setup
            .options
            .context
            .iter()
            .any(|name| **name == **symbol)
        {
            let mut call = format!("{symbol}(");
            render::list(&mut call, args);
            call.push(')');
            let passed = Passed {
                call: call.into(),
                caller,
            };
            self.prey(event.pid).tracker.passed(event.tid, passed);
        }
        if ENDINGS.contains(&&**symbol) {
            self.wanted.push_back((event.pid, Moment::AtExit));
        }
        let from = Caller {
            thread: event.tid,
            time: event.time,
            id,
            symbol,
            origin,
            return_address: caller,
        };
        let is_first = self.prey(event.pid).allocator.is_none();
        if is_first && allocators::ALLOCATORS.contains(&&**symbol) {
            let range = self.setup.book.module(event.pid, &point.module.path);
            let prey = self.prey(event.pid);
            prey.allocator = Some((allocators::name(point), point.module.path.clone()));
            prey.no_allocator = false;
            // A program that brings its own calls it from everywhere.
            if let Some(range) = range.filter(|_| !point.module.is_main) {
                prey.tracker.set_allocator(range);
            }
        }
        self.learn_name(event.pid, event.tid);
        if !self.is_own_mapping(event.pid, point, caller) {
            self.prey(event.pid).tracker.call(&from, args);
        }
    }

    /// With `--thread NAME` a thread's name is looked up until it is that one: it may be given late, and a
    /// thread that has ended has none.
    fn learn_name(&mut self, pid: Pid, tid: Tid) {
        let Some(Thread::Name(wanted)) = &self.setup.options.blocks.thread else {
            return;
        };
        if let Some(prey) = self.processes.get_mut(&pid)
            && prey.names.get(&tid) != Some(wanted)
            && let Some(name) = self.setup.outside.thread(pid, tid)
        {
            prey.names.insert(tid, name);
        }
    }

    /// The C library maps memory for itself: thread stacks, an allocator's arenas.
    fn is_own_mapping(&self, pid: Pid, point: &Tracepoint, caller: Addr) -> bool {
        let kinds = &self.setup.kinds;
        let is_mapping = |role: &Arc<Role>| {
            let shape = kinds.kind(role.kind).map(|kind| kind.shape);
            shape == Some(Shape::Ranges) && role.action != Action::Release
        };
        kinds.roles(&point.symbol).iter().any(is_mapping)
            && !point.module.is_main
            && self
                .setup
                .book
                .module(pid, &point.module.path)
                .is_some_and(|range| range.contains(&caller.0))
    }

    /// Counts the calls of the function of `--per`.
    fn count(&mut self, pid: Pid, symbol: &str) {
        if self.setup.options.per.as_deref() == Some(symbol) {
            self.prey(pid).calls += 1;
        }
    }

    fn ended(&mut self, event: &Event, last: bool, how: Option<String>) -> io::Result<()> {
        let prey = self.prey(event.pid);
        prey.tracker.thread_gone(event.tid);
        if !last {
            return Ok(());
        }
        self.settle(event.pid)?;
        self.tell_last(event.pid, how)?;
        self.processes.remove(&event.pid);
        if let Some(view) = &mut self.setup.view {
            view.gone(event.pid);
        }
        self.setup.book.forget(event.pid);
        Ok(())
    }

    /// Tells of a process that cannot be looked at any more.
    fn tell_last(&mut self, pid: Pid, how: Option<String>) -> io::Result<()> {
        let Some(prey) = self.processes.get_mut(&pid) else {
            return Ok(());
        };
        if prey.told {
            return Ok(());
        }
        prey.told = true;
        let mut report = match prey.last.take() {
            Some(report) => report,
            None => self.report_older(pid, Duration::ZERO, None, None),
        };
        if how.is_some() {
            report.process.ended = how;
        }
        self.write(&report, Last::Yes)
    }

    /// A report of what is at least so old: nothing will become of what is young at the end.
    fn report_older(
        &mut self,
        pid: Pid,
        older: Duration,
        checked: Option<&Checked>,
        ended: Option<String>,
    ) -> Report {
        let usual = std::mem::replace(&mut self.setup.options.blocks.older, older);
        let report = self.report(pid, checked, ended);
        self.setup.options.blocks.older = usual;
        report
    }

    fn report(&mut self, pid: Pid, checked: Option<&Checked>, ended: Option<String>) -> Report {
        let Some(prey) = self.processes.get(&pid) else {
            return Report::default();
        };
        let setup = &mut self.setup;
        let threads = setup.outside.threads(pid);
        let process = Process {
            name: prey.name.clone(),
            pid: pid.0,
            since: match setup.knowledge {
                Knowledge::All => Since::Launched,
                Knowledge::SinceAttach => Since::Attached,
            },
            seconds: self.now.since(prey.tracker.start()).as_secs_f64(),
            threads: match threads.len() {
                0 => prey.threads.len(),
                alive => alive,
            },
            allocator: prey.allocator.as_ref().map(|(name, _)| name.clone()),
            no_allocator: prey.no_allocator,
            ended,
        };
        let mut names = prey.names.clone();
        names.extend(threads);
        let subject = Subject {
            pid,
            tracker: &prey.tracker,
            checked,
            options: &setup.options,
            suppressions: &setup.suppressions,
            threads: names,
            descriptors: setup.outside.descriptors(pid),
            calls: prey.calls,
            marked: prey.marked,
            history: &prey.history.points,
        };
        build(&subject, process, &mut setup.book)
    }

    fn write(&mut self, report: &Report, last: Last) -> io::Result<()> {
        if last == Last::Yes {
            let bad = |verdict: &Verdict| match verdict {
                Verdict::Lost | Verdict::Indirect => report.lost.bytes,
                Verdict::Possible => report.possible.bytes,
                Verdict::Reachable => report.reachable.bytes,
                Verdict::Unchecked => 0,
            };
            if let Some((verdict, limit)) = &self.setup.options.fail_on {
                self.failed |= bad(verdict) > *limit;
            }
            let pid = Pid(report.process.pid);
            let other = self.first.filter(|first| *first != pid).map(|_| pid);
            output::files(report, &self.setup.options, other)?;
        }
        let text = output::text(report, &self.setup.options);
        if self.setup.view.is_some() {
            self.held_back.push_str(&text);
            return Ok(());
        }
        self.setup.out.write_all(text.as_bytes())?;
        self.setup.out.flush()
    }

    /// Looks at the clock.
    fn beat(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let Some(begun) = self.begun else { return };
        if now >= self.next_look {
            self.next_look = Timestamp(now.0 + LOOK);
            for prey in self.processes.values_mut() {
                prey.tracker.tick(now);
                prey.history.look(&prey.tracker);
            }
            self.is_to_listen = true;
        }
        let is_over = self
            .setup
            .options
            .watch
            .is_some_and(|watch| now.since(begun) >= watch);
        if is_over {
            self.end();
        }
        if self.stage == Stage::Running
            && let Some(pause) = self.pause()
        {
            let due = *self.due.get_or_insert(Timestamp(begun.0 + pause));
            if now >= due {
                self.due = Some(Timestamp(now.0 + pause));
                self.want_all(Moment::Meanwhile);
            }
        }
    }

    fn wants_check(&self, moment: Moment) -> bool {
        match (self.setup.options.checks, moment) {
            (Checks::Off, _) => false,
            (Checks::Final, Moment::Meanwhile | Moment::Snapshot) => false,
            (Checks::Final | Checks::Report, _) => true,
        }
    }
}

/// Whether more reports on a process may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

impl Sink for Hunter {
    fn begin(&mut self) {
        self.aside.get_or_insert_with(Aside::begin);
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if !self.checks.is_empty() {
            self.collect()?;
        }
        // Not while processes are still being attached to: what there is to say of that comes first, and the
        // time that was asked for has not begun.
        let runs = matches!(
            event.kind,
            Kind::Tick | Kind::Call { .. } | Kind::Return { .. }
        );
        if runs {
            self.begun.get_or_insert(event.time);
        }
        self.beat(event.time);
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
                    Some(raw) => Origin::Stack(self.setup.book.unwind(event.pid, raw)),
                    None => Origin::Caller(*return_address),
                };
                if self.setup.knowledge == Knowledge::SinceAttach {
                    self.count(event.pid, &point.symbol);
                }
                self.call(event, *id, point, args, origin, *return_address);
            }
            Kind::Return {
                id,
                point,
                out_args,
                result,
                ..
            } if is_ours(point) => {
                // Those that were waiting in it when we came are not known to have called it.
                if self.setup.knowledge == Knowledge::All {
                    self.count(event.pid, &point.symbol);
                }
                let prey = self.prey(event.pid);
                prey.tracker
                    .returned(event.tid, event.time, *id, out_args, result);
            }
            Kind::NoReturn { id, point, .. } if is_ours(point) => {
                self.prey(event.pid).tracker.unwound(event.tid, *id);
            }
            Kind::Started { parent } => {
                if let Some(parent) = parent.filter(|parent| *parent != event.pid)
                    && let Some(known) = self.processes.get(&parent)
                {
                    let (mut tracker, no_allocator) = (known.tracker.clone(), known.no_allocator);
                    tracker.forked();
                    let prey = self.prey(event.pid);
                    prey.tracker = tracker;
                    prey.no_allocator = no_allocator;
                    self.setup.book.forked(parent, event.pid);
                }
                self.prey(event.pid).threads.insert(event.tid);
            }
            Kind::Loaded {
                module,
                range,
                bias,
                file: Some(file),
            } => {
                let module = Module {
                    name: module.name.clone(),
                    path: module.path.clone(),
                    build_id: None,
                    file: file.clone(),
                };
                self.setup
                    .book
                    .loaded(event.pid, module, range.clone(), *bias);
            }
            Kind::Unloaded { range, .. } => self.setup.book.unloaded(event.pid, range),
            Kind::Exec { .. } => {
                self.setup.book.forget(event.pid);
                let name = self.setup.outside.program(event.pid);
                let prey = self.prey(event.pid);
                prey.tracker.exec();
                prey.allocator = None;
                prey.no_allocator = false;
                prey.name = name.unwrap_or_default();
            }
            Kind::Signal { signal, .. } if DEADLY.contains(&signal.0) => {
                self.wanted.push_back((event.pid, Moment::Dying));
            }
            Kind::Exited { last, .. } => self.ended(event, *last, None)?,
            Kind::Killed { signal, last } => {
                self.ended(event, *last, Some(format!("killed by {signal}")))?
            }
            Kind::Leaving => self.want_all(Moment::Leaving),
            Kind::Lost { what } | Kind::NoAllocator { what } => {
                if matches!(event.kind, Kind::NoAllocator { .. }) {
                    self.prey(event.pid).no_allocator = true;
                }
                if let Some(view) = &mut self.setup.view {
                    view.say(what.clone());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn wants(&mut self) -> Option<Pid> {
        // What needs no check is told at once, by what `flush` finds here.
        let (pid, moment) = *self.wanted.front()?;
        self.wants_check(moment).then_some(pid)
    }

    fn wants_rest(&mut self) -> bool {
        let window = self.setup.options.window;
        let is_over = window
            .zip(self.begun)
            .is_some_and(|(window, begun)| self.now.since(begun) >= window);
        let wants = is_over && !std::mem::replace(&mut self.is_resting, is_over);
        if wants {
            for prey in self.processes.values_mut() {
                prey.tracker.rest();
            }
        }
        wants
    }

    fn frozen(&mut self, pid: Pid, frozen: Option<Frozen>) -> io::Result<()> {
        let at = self.wanted.iter().position(|(wanted, _)| *wanted == pid);
        let Some((_, moment)) = at.and_then(|at| self.wanted.remove(at)) else {
            return Ok(());
        };
        match frozen {
            Some(frozen) => self.look_at(pid, moment, frozen)?,
            None => self.looked_at(pid, moment, None, Duration::ZERO)?,
        }
        self.unchecked()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unchecked()
    }

    fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn status(&self) -> Option<u8> {
        self.failed.then_some(FAILURE)
    }

    fn finish(&mut self) -> io::Result<()> {
        let all: Vec<Pid> = self.processes.keys().copied().collect();
        for pid in all {
            self.settle(pid)?;
            self.tell_last(pid, None)?;
        }
        if let Some(mut view) = self.setup.view.take() {
            view.leave();
            let text = std::mem::take(&mut self.held_back);
            self.setup.out.write_all(text.as_bytes())?;
        }
        self.setup.out.flush()
    }
}

impl Hunter {
    /// Reports that are due and need no check.
    fn unchecked(&mut self) -> io::Result<()> {
        while let Some((pid, moment)) = self
            .wanted
            .front()
            .copied()
            .filter(|(_, moment)| !self.wants_check(*moment))
        {
            self.wanted.pop_front();
            self.looked_at(pid, moment, None, Duration::ZERO)?;
        }
        if self.stage == Stage::Ending && self.wanted.is_empty() {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}

/// The call is one of those whose books we keep.
fn is_ours(point: &Tracepoint) -> bool {
    matches!(point.kind, plan::Kind::Resource { .. })
}
