//! Sites: who asked, by the whole stack. What all things of one site have in common is kept here, once.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::leak::amount::Amount;
use crate::leak::kinds::{KindId, Title, TitleId};
use crate::stack::StackId;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A site, by its place in [`Sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// Where a call came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Its stack is known.
    Stack(StackId),
    /// Only the caller is.
    Caller(Addr),
}

/// A call of interest (`--context`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// As a line of a trace shows it.
    pub call: Arc<str>,
    /// Where it returned to.
    pub caller: Addr,
}

/// One site.
#[derive(Clone, Debug)]
pub struct Site {
    /// What it asks for.
    pub kind: KindId,
    /// By which function, and what ought to take it back: `open -> close`.
    pub title: Arc<str>,
    /// From where.
    pub origin: Origin,
    /// All that it was given.
    pub allocated: Amount,
    /// What of it was taken back.
    pub freed: Amount,
    /// What was live at the mark.
    pub marked: Amount,
    /// The longest life of anything that was taken back, in microseconds.
    pub longest: u64,
    /// The threads that asked, as far as they were counted.
    pub threads: BTreeSet<Tid>,
    /// The one that asked last.
    last: Option<Tid>,
    /// The last call of interest that its thread had made before it last asked.
    pub after: Option<Arc<Passed>>,
    /// Releases that were refused, by the function and its result.
    pub refused: FxHashMap<(Arc<str>, i64), u64>,
    /// Things whose release was not seen: their value was handed out again.
    pub missed: u64,
}

/// All sites.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    all: Vec<Site>,
    index: FxHashMap<(KindId, TitleId, Origin), SiteId>,
}

/// More threads than this are told as "more".
const THREADS: usize = 1000;

impl Site {
    fn new(kind: KindId, title: Arc<str>, origin: Origin) -> Site {
        Site {
            kind,
            title,
            origin,
            allocated: Amount::default(),
            freed: Amount::default(),
            marked: Amount::default(),
            longest: 0,
            threads: BTreeSet::new(),
            last: None,
            after: None,
            refused: FxHashMap::default(),
            missed: 0,
        }
    }

    /// What was given and not taken back.
    pub fn live(&self) -> Amount {
        self.allocated - self.freed
    }

    /// It was given something.
    pub fn gives(&mut self, what: Amount, thread: Tid, after: Option<Arc<Passed>>) {
        self.allocated += what;
        if self.last.replace(thread) != Some(thread) && self.threads.len() < THREADS {
            self.threads.insert(thread);
        }
        if after.is_some() {
            self.after = after;
        }
    }

    /// Something was taken back after so many microseconds.
    pub fn takes(&mut self, what: Amount, life: u64) {
        self.freed += what;
        self.longest = self.longest.max(life);
    }
}

impl Sites {
    /// The site that asks in this way from there.
    pub fn find(&mut self, kind: KindId, title: &Title, origin: Origin) -> SiteId {
        let all = &mut self.all;
        *self
            .index
            .entry((kind, title.id, origin))
            .or_insert_with(|| {
                all.push(Site::new(kind, title.text.clone(), origin));
                SiteId((all.len() - 1) as u32)
            })
    }

    /// A site.
    pub fn get(&self, id: SiteId) -> Option<&Site> {
        self.all.get(id.0 as usize)
    }

    /// A site, to note something there.
    pub fn get_mut(&mut self, id: SiteId) -> Option<&mut Site> {
        self.all.get_mut(id.0 as usize)
    }

    /// All sites.
    pub fn iter(&self) -> impl Iterator<Item = (SiteId, &Site)> {
        (0..).map(SiteId).zip(&self.all)
    }

    /// Forgets all that some sites did. They keep their places.
    pub fn begin_anew(&mut self, which: impl Fn(&Site) -> bool) {
        for site in self.all.iter_mut().filter(|site| which(site)) {
            *site = Site::new(site.kind, site.title.clone(), site.origin);
        }
    }

    /// Sets the mark: from now on growth is counted from here.
    pub fn mark(&mut self) {
        for site in &mut self.all {
            site.marked = site.live();
        }
    }
}
