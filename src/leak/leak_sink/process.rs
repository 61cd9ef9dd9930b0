//! What is known of one process: what it holds, who it is, and what has been told of it.

use crate::base::{Pid, Tid};
use crate::leak::allocators::Allocator;
use crate::leak::history::History;
use crate::leak::leak_sink::LeakSink;
use crate::leak::report::build::PerCall;
use crate::leak::report::model::Report;
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
}

impl LeakSink {
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
        })
    }
}
