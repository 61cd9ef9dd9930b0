//! One process: which of its calls hand something out, which take it back, and what is live. A thread's
//! calls nest, and only the outermost of a kind counts: operator new > malloc > mmap.

mod effects;
mod inner;
mod judge;
#[cfg(test)]
mod tests;

use crate::base::Tid;
use crate::base::addr::{Addr, Vaddr};
use crate::base::time::Timestamp;
use crate::event::CallId;
use crate::leak::amount::Amount;
use crate::leak::heap;
use crate::leak::kinds::{Action, Kind, KindId, Kinds, Role, Shape};
pub use crate::leak::knowledge::Knowledge;
use crate::leak::misuse::Misuses;
use crate::leak::pages::Pages;
use crate::leak::recent_frees::RecentFrees;
use crate::leak::site::{Origin, Passed, Site, SiteId, Sites};
use crate::leak::system::FileId;
use crate::leak::table::{Live, Table, Taken};
pub use crate::leak::words::Args;
use crate::leak::words::Words;
use crate::plan::pairs::Width;
use rustc_hash::{FxHashMap, FxHashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The label of the allocator's kind.
pub const HEAP: &str = "heap";

/// Who begins a call.
#[derive(Clone, Debug)]
pub struct Caller<'e> {
    /// The thread.
    pub thread: Tid,
    /// When.
    pub time: Timestamp,
    /// Which call.
    pub id: CallId,
    /// What the function that is called has to do with any kind.
    pub roles: &'e [Arc<Role>],
    /// Where that begins: several functions may be called like one.
    pub entry: Vaddr,
    /// From where.
    pub origin: Origin,
    /// The instruction it returns to.
    pub return_address: Addr,
}

/// What a call gave back.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'e> {
    /// When.
    pub time: Timestamp,
    /// What is told of arguments at the return.
    pub out_args: Args<'e>,
    /// The result; nothing if there is none.
    pub result: Args<'e>,
}

/// What a process holds, and who gave it.
#[derive(Clone, Debug)]
pub struct Tracker {
    kinds: Arc<Kinds>,
    knowledge: Knowledge,
    /// Of so many bytes of heaps one is drawn; `None`: all blocks are seen.
    sample: Option<u64>,
    start: Timestamp,
    now: Timestamp,
    /// Since when calls are seen no more.
    stopped: Option<Timestamp>,
    /// Where the heap's small blocks are given from.
    pages: Pages,
    /// The allocator's own code, if it is a library's. It frees what it keeps for a thread when that ends.
    allocator: Range<u64>,
    tables: Vec<Holdings>,
    threads: FxHashMap<Tid, Thread>,
    /// Who asked.
    pub sites: Sites,
    /// Who released wrongly.
    pub misuses: Misuses,
    /// Descriptors that were handed out, and have not been looked at yet.
    fresh: Vec<(KindId, u64)>,
}

/// What is live of one kind, and what was.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// What is live.
    pub table: Table,
    /// What was released lately.
    recent_frees: RecentFrees<RecentFree>,
    /// Which file each descriptor stood for when it was handed out.
    pub files: FxHashMap<u64, FileId>,
    /// What calls were handed out that others of the kind made for themselves: the chunk that operator new cuts
    /// blocks from, or the place where a block has a header. None of it is the program's.
    inner: FxHashSet<u64>,
    /// Releases of what was handed out before the attach.
    pub older_released: u64,
    /// Things whose value was handed out again: they were released unseen.
    pub missed: u64,
}

#[derive(Clone, Copy, Debug)]
struct RecentFree {
    site: SiteId,
    released: Origin,
}

#[derive(Clone, Debug, Default)]
struct Thread {
    open: Vec<Open>,
    /// Its last release: operator delete calls free for the same block.
    last: Option<Last>,
    /// What function that was by. It stays when the release is of no interest any more: most often the next is by the
    /// same, and to count its owners takes as long as all the rest.
    released_by: Option<Arc<Role>>,
    /// The last call of interest.
    after: Option<Arc<Passed>>,
}

/// What was released, and where the function begins.
#[derive(Clone, Copy, Debug)]
struct Last {
    key: u64,
    entry: Vaddr,
}

/// A call whose effect is known when it returns.
#[derive(Clone, Debug)]
struct Open {
    id: CallId,
    role: Arc<Role>,
    call: Call,
}

/// What is known of a call.
#[derive(Clone, Debug)]
struct Call {
    entry: Vaddr,
    origin: Origin,
    return_address: Addr,
    words: Words,
    /// What it took out of the table, until it is known to have released it.
    taken: Taken,
    /// It is another call's own business.
    is_inner: bool,
}

impl Tracker {
    /// A process that holds nothing yet that we know of.
    pub fn new(kinds: Arc<Kinds>, knowledge: Knowledge, start: Timestamp) -> Tracker {
        let holdings = |kind: (KindId, &Kind)| Holdings::new(kind.1.shape);
        Tracker {
            tables: kinds.all().map(holdings).collect(),
            kinds,
            knowledge,
            sample: None,
            pages: Pages::default(),
            allocator: 0..0,
            start,
            now: start,
            stopped: None,
            threads: FxHashMap::default(),
            sites: Sites::default(),
            misuses: Misuses::default(),
            fresh: Vec::new(),
        }
    }

    /// The same, of whose heaps samples are seen.
    pub fn sampled(self, sample: Option<u64>) -> Tracker {
        Tracker { sample, ..self }
    }

    /// A call begins.
    pub fn call(&mut self, caller: &Caller<'_>, args: Args<'_>) {
        for role in caller.roles {
            let mut call = self.begin(caller, role, args);
            if role.function.needs_return() {
                let open = &mut self.threads.entry(caller.thread).or_default().open;
                open.push(Open {
                    id: caller.id,
                    role: role.clone(),
                    call,
                });
            } else {
                self.settle(caller.thread, role, &mut call);
            }
        }
    }

    /// A call that has returned before its thread did anything else.
    pub fn complete(&mut self, caller: &Caller<'_>, args: Args<'_>, returned: &Returned<'_>) {
        let [role] = caller.roles else {
            self.call(caller, args);
            return self.returned(caller.thread, caller.id, returned);
        };
        let mut call = self.begin(caller, role, args);
        if role.function.needs_return() {
            self.now = self.now.max(returned.time);
            call.words.at_return(returned.out_args, returned.result);
        }
        self.settle(caller.thread, role, &mut call);
    }

    fn begin(&mut self, caller: &Caller<'_>, role: &Role, args: Args<'_>) -> Call {
        self.now = self.now.max(caller.time);
        let open = self.threads.get(&caller.thread);
        let mut open = open.into_iter().flat_map(|thread| &thread.open);
        let is_inner =
            open.any(|open| open.id != caller.id && hides(&open.role, role, &self.kinds));
        let words = Words::at_entry(args);
        let taken = match role.action {
            _ if is_inner => self.take_inner(role, &words),
            Action::Acquire(_) => Taken::new(),
            Action::Release => self.take(role, &words),
            Action::Replace(_) => {
                let old = role.function.old.and_then(|at| words.arg(at));
                old.map_or(Taken::new(), |old| self.take_old(role.kind, old))
            }
        };
        Call {
            entry: caller.entry,
            origin: caller.origin,
            return_address: caller.return_address,
            words,
            taken,
            is_inner,
        }
    }

    /// A call returned.
    pub fn returned(&mut self, thread: Tid, id: CallId, returned: &Returned<'_>) {
        self.now = self.now.max(returned.time);
        while let Some(Open { role, mut call, .. }) = self.close(thread, id) {
            call.words.at_return(returned.out_args, returned.result);
            self.settle(thread, &role, &mut call);
        }
    }

    /// Notes which files the descriptors stand for that were handed out just now.
    pub fn identify(&mut self, file: impl Fn(u64) -> Option<FileId>) {
        for (kind, key) in self.fresh.drain(..) {
            if let Some(holdings) = self.tables.get_mut(usize::from(kind.0)) {
                match file(key) {
                    Some(file) => holdings.files.insert(key, file),
                    None => holdings.files.remove(&key),
                };
            }
        }
    }

    /// A call will not return: it had no effect.
    pub fn unwound(&mut self, thread: Tid, id: CallId) {
        while let Some(Open { role, mut call, .. }) = self.close(thread, id) {
            self.put_back(&role, &mut call);
        }
    }

    /// A thread made a call of interest (`--context`), told as the text.
    pub fn passed(&mut self, thread: Tid, call: Passed) {
        self.threads.entry(thread).or_default().after = Some(Arc::new(call));
    }

    /// A thread is no more.
    pub fn thread_gone(&mut self, thread: Tid) {
        if let Some(gone) = self.threads.remove(&thread) {
            for Open { role, mut call, .. } in gone.open {
                self.put_back(&role, &mut call);
            }
        }
    }

    /// Another program took the process over: its memory is new, and what the old one did with its own is
    /// no leak. Descriptors stay (execve(2)), but for those that close on exec, which only the kernel
    /// knows.
    pub fn exec(&mut self) {
        self.threads.clear();
        self.pages.clear();
        let kinds = self.kinds.clone();
        for ((_, kind), holdings) in kinds.all().zip(&mut self.tables) {
            if kind.width == Width::Word {
                holdings.table.clear();
                holdings.recent_frees.clear();
                holdings.inner.clear();
                (holdings.older_released, holdings.missed) = (0, 0);
            }
        }
        let is_of_memory = |site: &Site| {
            let kind = kinds.kind(site.kind);
            kind.is_some_and(|kind| kind.width == Width::Word)
        };
        self.sites.begin_anew(is_of_memory);
        self.knowledge = Knowledge::All;
    }

    /// The process is a copy of another one (fork(2)): it has one thread, none of whose calls is ours yet.
    pub fn forked(&mut self) {
        let threads: Vec<Tid> = self.threads.keys().copied().collect();
        threads
            .into_iter()
            .for_each(|thread| self.thread_gone(thread));
        // Those are the other's, and told of it.
        self.misuses = Misuses::default();
    }

    /// What is live of each kind.
    pub fn holdings(&self) -> impl Iterator<Item = (KindId, &Holdings)> {
        (0..).map(KindId).zip(&self.tables)
    }

    /// Notes what a check found: that these are lost.
    pub fn mark_lost(&mut self, kind: KindId, keys: impl Iterator<Item = u64>) {
        if let Some(holdings) = self.tables.get_mut(usize::from(kind.0)) {
            keys.for_each(|key| holdings.table.mark_lost(key));
        }
    }

    /// Calls are seen no more: what is live is known by the heap only.
    pub fn tracing_stopped(&mut self) {
        self.stopped.get_or_insert(self.now);
    }

    /// How long calls have not been seen any more; `None`: they are seen.
    pub fn unseen(&self) -> Option<Duration> {
        self.stopped.map(|stopped| self.now.since(stopped))
    }

    /// Blocks of the heap that were released unseen.
    pub fn released_unseen(&mut self, keys: &[u64]) {
        let now = self.micros(self.now);
        let kinds = self.kinds.clone();
        for ((_, kind), holdings) in kinds.all().zip(&mut self.tables) {
            if kind.label != HEAP {
                continue;
            }
            for (_, live) in keys.iter().flat_map(|key| holdings.table.take(*key, None)) {
                if let Some(site) = self.sites.get_mut(live.site) {
                    // Without all releases there are no samples.
                    site.takes(Amount::of(live.size), now.saturating_sub(live.born));
                }
            }
        }
    }

    /// Start and size of what calls have taken back that have not returned.
    pub fn in_flight(&self) -> Vec<(u64, u64)> {
        let open = self.threads.values().flat_map(|thread| &thread.open);
        open.flat_map(|open| &open.call.taken)
            .map(|(start, live)| (*start, live.size))
            .collect()
    }

    /// A call is about to move something to another place, and may not have finished copying.
    pub fn is_moving(&self) -> bool {
        let mut open = self.threads.values().flat_map(|thread| &thread.open);
        open.any(|open| {
            !open.call.taken.is_empty() || matches!(open.role.action, Action::Replace(_))
        })
    }

    /// Where the heap's small blocks are given from.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Of how many bytes one is drawn of a kind whose blocks are not all seen.
    pub fn sample(&self, kind: KindId) -> Option<u64> {
        let is_heap = || self.kinds.kind(kind).is_some_and(heap::is_heap);
        self.sample.filter(|_| is_heap())
    }

    /// What a live thing stands for.
    pub fn amount(&self, kind: KindId, key: u64, live: &Live) -> Amount {
        amount(self.sample(kind), key, live.size)
    }

    /// The kinds that are tracked.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// What was known from the beginning.
    pub fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    /// When tracking began.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Microseconds from the start to a moment.
    pub fn micros(&self, time: Timestamp) -> u64 {
        u64::try_from(time.since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// The allocator's own code is there.
    pub fn set_allocator(&mut self, range: Range<u64>) {
        self.allocator = range;
    }

    /// It is so late now.
    pub fn tick(&mut self, time: Timestamp) {
        self.now = self.now.max(time);
    }

    /// When the last event was.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn close(&mut self, thread: Tid, id: CallId) -> Option<Open> {
        let open = &mut self.threads.get_mut(&thread)?.open;
        let at = open.iter().rposition(|open| open.id == id)?;
        Some(open.remove(at))
    }
}

impl Holdings {
    fn new(shape: Shape) -> Holdings {
        Holdings {
            table: Table::new(shape),
            recent_frees: RecentFrees::default(),
            files: FxHashMap::default(),
            inner: FxHashSet::default(),
            older_released: 0,
            missed: 0,
        }
    }
}

fn amount(sample: Option<u64>, key: u64, size: u64) -> Amount {
    match sample {
        Some(interval) => Amount::estimate(size, interval, key),
        None => Amount::of(size),
    }
}

/// Inside of the one call, the other is the first one's own business. Mappings are what the others are
/// made of; counts nest by themselves.
fn hides(outer: &Role, inner: &Role, kinds: &Kinds) -> bool {
    match kinds.kind(inner.kind).map(|kind| kind.shape) {
        Some(Shape::Owned) => outer.kind == inner.kind,
        Some(Shape::Ranges) => true,
        Some(Shape::Counted) | None => false,
    }
}
