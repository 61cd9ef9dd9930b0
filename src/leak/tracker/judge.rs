//! Whether it is right to take something back, and what is wrong with it if it is not.

use crate::base::Tid;
use crate::leak::kinds::{Action, FamilyId};
use crate::leak::misuse::{Misuse, Wrong};
use crate::leak::table::Table;
use crate::leak::tracker::{Knowledge, Open, Tracker};
use crate::plan::pairs::Width;

impl Tracker {
    /// Is it right to take this back, in this way?
    pub(super) fn judge(&mut self, thread: Tid, open: &Open, replacing: Option<FamilyId>) {
        let kind = open.role.kind;
        // What is not known may be a block that is not seen.
        if open.taken.is_empty() && self.sample(kind).is_some() {
            return;
        }
        let mut wrong = None;
        for (key, live) in &open.taken {
            let is_right = match replacing {
                Some(replaced) => self.kinds.may_replace(live.family, replaced),
                None => self.kinds.may_release(live.family, &open.role.symbol),
            };
            if !is_right {
                wrong = Some((*key, Wrong::Mismatch { site: live.site }));
            }
        }
        if open.taken.is_empty() {
            let key = match replacing {
                Some(_) => open
                    .role
                    .function
                    .old
                    .and_then(|at| open.words.arg(at))
                    .filter(|&old| old != 0),
                None => open.words.keys(&open.role.function).first().copied(),
            };
            wrong = key.and_then(|key| Some((key, self.unknown(thread, open, key)?)));
        }
        let Some((key, wrong)) = wrong else { return };
        let (symbol, origin) = (open.role.symbol.clone(), open.origin);
        self.misuses.add(Misuse {
            kind,
            wrong,
            symbol,
            origin,
            key,
            thread,
            count: 1,
        });
    }

    /// Something was released that is not live.
    fn unknown(&mut self, thread: Tid, open: &Open, key: u64) -> Option<Wrong> {
        let kind = open.role.kind;
        let last = self
            .threads
            .get(&thread)
            .and_then(|thread| thread.last.as_ref());
        let told = last.is_some_and(|last| {
            let is_other = last.role.symbol != open.role.symbol || last.entry != open.entry;
            last.role.kind == kind && last.key == key && is_other
        });
        // operator delete told of it already.
        if told && open.role.action == Action::Release {
            return None;
        }
        if self.allocator.contains(&open.return_address.0) {
            return None;
        }
        let is_number = open.role.function.width(open.role.function.key) == Width::Int;
        let replaces_number = is_number && matches!(open.role.action, Action::Replace(_));
        let holdings = self.tables.get_mut(usize::from(kind.0))?;
        if holdings.inner.remove(&key) {
            return None;
        }
        if matches!(holdings.table, Table::Ranges(_)) || replaces_number {
            return None;
        }
        if let Some(freed) = holdings.recent_frees.find(key) {
            return Some(Wrong::Double {
                site: freed.site,
                earlier: freed.released,
            });
        }
        if let Some((start, live)) = holdings.table.around(key) {
            return Some(Wrong::Inside {
                site: live.site,
                offset: key - start,
            });
        }
        if is_number || self.knowledge == Knowledge::All {
            return Some(Wrong::Never);
        }
        holdings.older_released += 1;
        None
    }
}
