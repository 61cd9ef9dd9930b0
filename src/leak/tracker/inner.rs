//! Calls inside of others of their kind: what an allocator asks another one for, to hand it out itself.

use crate::leak::kinds::{Action, Role};
use crate::leak::table::{Table, Taken};
use crate::leak::tracker::{Call, Tracker};
use crate::leak::words::Words;

impl Tracker {
    /// A call made for another one of its kind takes back what such a call was handed out, if anything of ours.
    pub(super) fn take_inner(&mut self, role: &Role, words: &Words) -> Taken {
        let key = match role.action {
            Action::Acquire(_) => None,
            Action::Release => words.keys(&role.function).next(),
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
    pub(super) fn note_inner(&mut self, role: &Role, call: &Call) {
        let gives = matches!(role.action, Action::Acquire(_) | Action::Replace(_));
        if let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0))
            && matches!(holdings.table, Table::Owned(_))
            && gives
            && call.words.hold(&role.function)
        {
            holdings.inner.extend(call.words.keys(&role.function));
        }
    }
}
