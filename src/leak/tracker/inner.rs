//! Calls inside of others of their kind: what an allocator asks another one for, to hand it out itself.

use crate::leak::kinds::{Action, Role};
use crate::leak::table::{Table, Taken};
use crate::leak::tracker::{Open, Tracker};
use crate::leak::words::Words;

impl Tracker {
    /// A call made for another one of its kind takes back what such a call was handed out, if anything of ours.
    pub(super) fn take_inner(&mut self, role: &Role, words: &Words) -> Taken {
        let key = match role.action {
            Action::Acquire(_) => None,
            Action::Release => words.keys(&role.function).first().copied(),
            Action::Replace(_) => role.function.old.and_then(|at| words.arg(at)),
        };
        if let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0))
            && let Some(key) = key
        {
            holdings.inner.remove(&key);
        }
        Taken::new()
    }

    /// Notes what such a call was handed out.
    pub(super) fn note_inner(&mut self, open: &Open) {
        let gives = matches!(open.role.action, Action::Acquire(_) | Action::Replace(_));
        if let Some(holdings) = self.tables.get_mut(usize::from(open.role.kind.0))
            && matches!(holdings.table, Table::Owned(_))
            && gives
            && open.words.hold(&open.role.function)
        {
            holdings.inner.extend(open.words.keys(&open.role.function));
        }
    }
}
