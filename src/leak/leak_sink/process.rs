//! What is known of one process: what it holds, who it is, and what has been told of it.

use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::leak::allocators::Allocator;
use crate::leak::history::History;
use crate::leak::leak_sink::LeakSink;
use crate::leak::report::build::PerCall;
use crate::leak::report::model::Report;
use crate::leak::system::Facts;
use crate::leak::tracker::Tracker;
use std::collections::{BTreeSet, HashMap};

/// One process.
pub(super) struct Traced {
    pub(super) tracker: Tracker,
    pub(super) name: String,
    /// The allocators that it was seen to use.
    pub(super) allocators: Vec<Allocator>,
    /// None was found in any of its modules.
    pub(super) no_allocator: bool,
    pub(super) threads: BTreeSet<Tid>,
    /// How many children it made that are not followed.
    pub(super) unfollowed: u64,
    /// The names that threads had, where they are asked for: some are no more.
    pub(super) names: HashMap<Tid, String>,
    /// The function of `--per`.
    pub(super) per: PerCall,
    pub(super) marked: bool,
    pub(super) history: History,
    /// The report that is told if the process ends before another one.
    pub(super) last: Option<Report>,
    /// The last one was told.
    pub(super) told: bool,
    /// What the system said of it in its last moment.
    pub(super) at_exit: Option<Facts>,
    /// It has ended; by what, where that is worth telling. It is known until its last report is made.
    pub(super) ended: Option<Option<String>>,
}

impl Traced {
    /// Notes how much is live now. Of one that has ended no more is to be noted.
    pub(super) fn look(&mut self, now: Timestamp) {
        if self.ended.is_none() {
            self.tracker.tick(now);
            self.history.look_now(&self.tracker);
        }
    }
}

impl LeakSink {
    /// What the system says of a process.
    pub(super) fn facts(&mut self, pid: Pid) -> Facts {
        let traced = self.processes.get_mut(&pid);
        let at_exit = traced.and_then(|traced| traced.at_exit.take());
        at_exit.unwrap_or_else(|| self.setup.system.facts(pid))
    }

    /// What is known of a process: nothing, if it was never met.
    pub(super) fn traced(&mut self, pid: Pid) -> &mut Traced {
        let (setup, now) = (&self.setup, self.clock.now());
        self.first.get_or_insert(pid);
        self.processes.entry(pid).or_insert_with(|| Traced {
            tracker: Tracker::new(setup.kinds.clone(), setup.knowledge, now),
            name: setup.system.program(pid).unwrap_or_default(),
            allocators: Vec::new(),
            no_allocator: false,
            threads: BTreeSet::new(),
            unfollowed: 0,
            names: HashMap::new(),
            per: PerCall::default(),
            marked: false,
            history: History::default(),
            last: None,
            told: false,
            at_exit: None,
            ended: None,
        })
    }
}
