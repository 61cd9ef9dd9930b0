//! Whether it is right to take something back, and what is wrong with it if it is not.

use crate::base::Tid;
use crate::leak::kinds::{Action, FamilyId, Role};
use crate::leak::misuse::{Misuse, Wrong};
use crate::leak::table::Table;
use crate::leak::tracker::{Call, Knowledge, Tracker};
use crate::plan::pairs::Width;

impl Tracker {
    /// Is it right to take this back, in this way?
    pub(super) fn judge(
        &mut self,
        thread: Tid,
        role: &Role,
        call: &Call,
        replacing: Option<FamilyId>,
    ) {
        let kind = role.kind;
        // What is not known may be a block that is not seen.
        if call.taken.is_empty() && self.sample(kind).is_some() {
            return;
        }
        let mut wrong = None;
        for (key, live) in &call.taken {
            let is_right = match replacing {
                Some(replaced) => self.kinds.may_replace(live.family, replaced),
                None => self.kinds.may_release(live.family, &role.symbol),
            };
            if !is_right {
                wrong = Some((*key, Wrong::Mismatch { site: live.site }));
            }
        }
        if call.taken.is_empty() {
            let key = match replacing {
                Some(_) => role
                    .function
                    .old
                    .and_then(|at| call.words.arg(at))
                    .filter(|&old| old != 0),
                None => call.words.keys(&role.function).next(),
            };
            wrong = key.and_then(|key| Some((key, self.unknown(thread, role, call, key)?)));
        }
        let Some((key, wrong)) = wrong else { return };
        let (symbol, origin) = (role.symbol.clone(), call.origin);
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
    fn unknown(&mut self, thread: Tid, role: &Role, call: &Call, key: u64) -> Option<Wrong> {
        let kind = role.kind;
        let thread = self.threads.get(&thread);
        let last = thread.and_then(|thread| Some((thread.last?, thread.released_by.as_ref()?)));
        let told = last.is_some_and(|(last, by)| {
            let is_other = by.symbol != role.symbol || last.entry != call.entry;
            by.kind == kind && last.key == key && is_other
        });
        // operator delete told of it already.
        if told && role.action == Action::Release {
            return None;
        }
        if self.allocator.contains(&call.return_address.0) {
            return None;
        }
        let is_number = role.function.width(role.function.key) == Width::Int;
        let replaces_number = is_number && matches!(role.action, Action::Replace(_));
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
