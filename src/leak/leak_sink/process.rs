//! What is known of one process: what it holds, who it is, and what has been told of it.

use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{Event, Kind};
use crate::leak::allocators::Allocator;
use crate::leak::history::History;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::report::build::PerCall;
use crate::leak::report::model::Report;
use crate::leak::system::Facts;
use crate::leak::tracker::Tracker;
use crate::stack::Module;
use std::collections::{BTreeSet, HashMap};
use std::io;

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
    /// It runs in another process's memory, and has not run a program of its own: what it does there is in that one's
    /// report.
    pub(super) shares_memory: bool,
    /// What the system said of it in its last moment.
    pub(super) at_exit: Option<Facts>,
    /// It has ended; by what, where that is worth telling. It is known until its last report is made.
    pub(super) ended: Option<Option<String>>,
}

impl Traced {
    /// There may be more to be told of it.
    pub(super) fn is_to_be_told(&self) -> bool {
        !self.told && !self.shares_memory
    }

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
            tracker: Tracker::new(setup.kinds.clone(), setup.knowledge, now)
                .sampled(setup.options.sample),
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
            shares_memory: false,
            at_exit: None,
            ended: None,
        })
    }

    /// A task of a process began, or the process itself, by fork(2).
    pub(super) fn started(&mut self, event: &Event, parent: Option<Pid>) -> io::Result<()> {
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
        Ok(())
    }

    /// A module was loaded.
    pub(super) fn loaded(&mut self, event: &Event) {
        let Kind::Loaded {
            module,
            range,
            bias,
            file: Some(file),
        } = &event.kind
        else {
            return;
        };
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
        let book = &mut self.setup.book;
        book.loaded(event.pid, module, range.clone(), *bias);
    }

    /// The process runs another program.
    pub(super) fn executed(&mut self, pid: Pid) {
        self.setup.book.forget(pid);
        self.functions.forget(pid);
        let name = self.setup.system.program(pid);
        let traced = self.traced(pid);
        traced.tracker.exec();
        traced.allocators.clear();
        traced.no_allocator = false;
        traced.name = name.unwrap_or_default();
        traced.per = PerCall::default();
        traced.last = None;
        traced.at_exit = None;
        traced.unfollowed = 0;
        traced.shares_memory = false;
        traced.history = History::default();
        // What was found out about the old program says nothing of this one.
        self.pending
            .retain(|pending| pending.pid != pid || !pending.is_check());
    }

    /// The process is about to end.
    pub(super) fn exiting(&mut self, pid: Pid) {
        // While it is still there to be asked.
        let facts = self.setup.system.facts(pid);
        let traced = self.traced(pid);
        traced.at_exit = Some(facts);
        // Perhaps the memory has become its own, as the other one is gone.
        traced.shares_memory = false;
        self.setup.book.ends(pid);
        // The next snapshot of it is the last: it goes on to its end behind that.
        self.wanted
            .retain(|wanted| *wanted != (pid, Moment::Meanwhile));
        let of_it = self.wanted.iter().position(|(wanted, _)| *wanted == pid);
        let at = of_it.unwrap_or(self.wanted.len());
        self.wanted.insert(at, (pid, Moment::AtExit));
    }

    /// A task has ended.
    pub(super) fn ended(&mut self, event: &Event, last: bool, how: Option<String>) {
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
    pub(super) fn end_told(&mut self, pid: Pid) {
        let is_coming = self.pending.iter().any(|pending| pending.is_awaited(pid));
        let traced = self.processes.get_mut(&pid).filter(|_| !is_coming);
        if let Some(how) = traced.and_then(|traced| traced.ended.take()) {
            self.tell_last(pid, how);
            self.processes.remove(&pid);
            self.functions.forget(pid);
            self.setup.book.forget(pid);
        }
    }
}
