//! Releases that ought not to be: twice, of what was never handed out, by the wrong function.

use crate::base::Tid;
use crate::leak::kinds::KindId;
use crate::leak::site::{Origin, SiteId};
use std::collections::HashMap;
use std::sync::Arc;

/// What is wrong with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wrong {
    /// It was released before.
    Double {
        /// Who had asked for it.
        site: SiteId,
        /// Who released it first.
        earlier: Origin,
    },
    /// It lies inside of something else.
    Inside {
        /// Who had asked for that.
        site: SiteId,
        /// How far inside.
        offset: u64,
    },
    /// It was not handed out.
    Never,
    /// A function of another family was meant to.
    Mismatch {
        /// Who had asked for it.
        site: SiteId,
    },
}

/// Releases that are wrong in the same way at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// What kind of thing it was.
    pub kind: KindId,
    /// What was wrong.
    pub wrong: Wrong,
    /// The function that was called.
    pub symbol: Arc<str>,
    /// Who called it.
    pub origin: Origin,
    /// The value, the first time.
    pub key: u64,
    /// The thread, the first time.
    pub thread: Tid,
    /// How often.
    pub count: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Misuses {
    all: Vec<Misuse>,
    index: HashMap<(KindId, Wrong, Arc<str>, Origin), usize>,
}

/// A program that is wrong in more ways than this has been told enough.
const MOST: usize = 1000;

impl Misuses {
    /// It happened.
    pub fn add(&mut self, misuse: Misuse) {
        let Misuse {
            kind,
            wrong,
            symbol,
            origin,
            ..
        } = &misuse;
        let same = (*kind, *wrong, symbol.clone(), *origin);
        if let Some(known) = self.index.get(&same) {
            if let Some(known) = self.all.get_mut(*known) {
                known.count += misuse.count;
            }
        } else if self.all.len() < MOST {
            self.index.insert(same, self.all.len());
            self.all.push(misuse);
        }
    }

    /// In the order in which they were first seen.
    pub fn iter(&self) -> impl Iterator<Item = &Misuse> {
        self.all.iter()
    }
}
