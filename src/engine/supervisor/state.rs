//! What the supervisor knows of all that it traces.

use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::debug::Files;
use crate::engine::goroutines::Parked;
use crate::engine::hit::What;
use crate::engine::instrument::inprocess::Forked;
use crate::engine::space::{Missing, Space};
use crate::engine::supervisor::last_stop;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::realise::Instrument;
use crate::engine::supervisor::resume::Resume;
use crate::engine::task::{SpaceId, Task};
use crate::plan::Plan;
use crate::plan::spare::Spare;
use crate::process::module::{FileKey, Planned};
use crate::sys::front::Link;
use crate::sys::interrupt;
use crate::sys::placement::Placement;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long we sleep at least when nothing was recorded: a reader right behind it would slow a thread down.
pub(in crate::engine) const SHORTEST_NAP: Duration = Duration::from_micros(50);

/// Whether child processes are traced as well. Threads always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// They run untraced.
    #[default]
    Threads,
    /// They are (`-f`).
    Children,
}

/// One supervisor of all traced tasks, under ptrace. Dropping it lets go of every task, the int3s out.
pub struct Supervisor {
    pub(in crate::engine) plan: Plan,
    pub(in crate::engine) follow: Follow,
    pub(in crate::engine) instrument: Instrument,
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
    /// Children that record calls from their first stop on, as their makers do.
    pub(in crate::engine) forked: HashMap<Tid, Forked>,
    pub(in crate::engine) images: HashMap<(FileKey, Option<String>), Arc<Planned>>,
    /// What debug information says of functions.
    pub(in crate::engine) debug: Files<FileKey>,
    pub(in crate::engine) complained: HashSet<String>,
    pub(in crate::engine) next_call: u64,
    /// Tracepoints of calls that are over.
    pub(in crate::engine) spare_points: Spare,
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
    /// Tasks of a process that is being attached to, which stand still, but the one by which that is done.
    pub(in crate::engine) held: Vec<(Stopped, Stop)>,
    /// How long to sleep before it is looked again for what was recorded.
    pub(in crate::engine) nap: Duration,
    /// Tasks that were served and stand still until their batch is complete, or a request is served.
    pub(in crate::engine) batch: Vec<(Tid, Resume)>,
    /// What we are about to end for, once the consumer knows.
    pub(in crate::engine) asked: Option<interrupt::Request>,
    /// The task that could not be served the last time.
    pub(in crate::engine) failed: Option<Tid>,
    /// The tick at which we looked after the guards.
    pub(in crate::engine) ticks: u32,
    pub(in crate::engine) front: Link,
    pub(in crate::engine) placement: Placement,
    pub(in crate::engine) is_placed: bool,
    /// No more calls are to be seen.
    pub(in crate::engine) is_tracing_stopped: bool,
    /// Who wants to know by what calls are seen.
    pub(in crate::engine) on_realised: Option<fn(&str)>,
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

impl Supervisor {
    /// An engine that traces no process yet.
    pub fn new(plan: Plan, follow: Follow, instrument: Instrument, front: Link) -> Supervisor {
        Supervisor {
            debug: Files::new(&plan.prototypes),
            plan,
            follow,
            instrument,
            tasks: HashMap::new(),
            spaces: HashMap::new(),
            goroutines: HashMap::new(),
            unannounced: HashMap::new(),
            to_release: HashMap::new(),
            incomplete: HashMap::new(),
            forked: HashMap::new(),
            images: HashMap::new(),
            complained: HashSet::new(),
            next_call: 0,
            spare_points: Spare::default(),
            next_space: 0,
            launched: None,
            planted: false,
            found: Instant::now(),
            matched: HashSet::new(),
            provided: false,
            held: Vec::new(),
            batch: Vec::new(),
            failed: None,
            ticks: 0,
            asked: None,
            front,
            placement: Placement::default(),
            is_placed: false,
            nap: SHORTEST_NAP,
            is_tracing_stopped: false,
            on_realised: None,
            ending: last_stop::Ending::default(),
        }
    }

    /// From now on this is told, for each place, by what calls are seen there and why.
    pub fn tell_instruments(&mut self, tell: fn(&str)) {
        self.on_realised = Some(tell);
    }

    /// The command that we started, and its end.
    pub fn launched(&self) -> Option<Launched> {
        self.launched
    }

    pub(in crate::engine) fn is_command(&self, tid: Tid) -> bool {
        self.launched.is_some_and(|l| l.pid.0 == tid.0)
    }

    /// A terminal's Ctrl-C goes to the command as well, and it is for the command to end by it.
    pub(in crate::engine) fn is_shared_with_command(&self, request: interrupt::Request) -> bool {
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

    /// Tells once of something that could not be traced.
    pub(in crate::engine) fn complain(&mut self, tid: Tid, what: &str, out: &mut Out<'_>) {
        if self.complained.insert(what.to_owned()) {
            let pid = self.tasks.get(&tid).map_or(Pid(tid.0), |task| task.pid);
            out.tell(pid, tid, What::Lost { what, count: None });
        }
    }
}
