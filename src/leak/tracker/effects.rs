//! What calls do to the books: they hand out, take back, or replace, once that is known.

use crate::base::Tid;
use crate::leak::kinds::{Action, FamilyId, Kind, KindId, Role};
use crate::leak::table::{Live, Table, Taken};
use crate::leak::tracker::{Call, Last, RecentFree, Tracker, amount};
use crate::leak::words::Words;
use crate::plan::pairs::Width;
use std::sync::Arc;

impl Tracker {
    pub(super) fn take(&mut self, role: &Role, words: &Words) -> Taken {
        let size = words.size(&role.function);
        let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0)) else {
            return Taken::new();
        };
        let mut keys = words.keys(&role.function);
        // Most often there is one.
        let first = keys.next().map(|key| holdings.table.take(key, size));
        let mut taken = first.unwrap_or_default();
        for key in keys {
            taken.extend(holdings.table.take(key, size));
        }
        taken
    }

    pub(super) fn take_old(&mut self, kind: KindId, old: u64) -> Taken {
        let holdings = self.tables.get_mut(usize::from(kind.0));
        holdings.map_or(Taken::new(), |holdings| holdings.table.take(old, None))
    }

    pub(super) fn put_back(&mut self, role: &Role, call: &mut Call) {
        if let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0)) {
            holdings.table.put_back(std::mem::take(&mut call.taken));
        }
    }

    /// The effect of a call is known.
    pub(super) fn settle(&mut self, thread: Tid, role: &Arc<Role>, call: &mut Call) {
        if call.is_inner {
            return self.note_inner(role, call);
        }
        match role.action {
            Action::Acquire(family) => self.acquire(thread, role, call, family),
            Action::Release => self.release(thread, role, call),
            Action::Replace(family) => self.replace(thread, role, call, family),
        }
    }

    fn acquire(&mut self, thread: Tid, role: &Role, call: &Call, family: FamilyId) {
        let function = &role.function;
        if !call.words.hold(function) {
            return;
        }
        let size = call.words.size(function).unwrap_or(0);
        let state = self.threads.entry(thread).or_default();
        state.last = None;
        let after = state.after.clone();
        let site = self.sites.find(role.kind, &role.title, call.origin);
        let born = self.micros(self.now);
        let kind = self.kinds.kind(role.kind);
        let has_descriptors = kind.is_some_and(Kind::has_descriptors);
        let sample = self.sample(role.kind);
        for key in call.words.keys(function) {
            if has_descriptors {
                self.fresh.push((role.kind, key));
            }
            if let Some(site) = self.sites.get_mut(site) {
                site.gives(amount(sample, key, size), thread, after.clone());
            }
            let live = Live {
                size,
                born,
                site,
                thread,
                family,
                lost: false,
            };
            let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0)) else {
                return;
            };
            // What is asked for without a size is no block of an allocator's.
            if !function.sizes.is_empty() && matches!(holdings.table, Table::Owned(_)) {
                self.pages.note(key, size);
            }
            if !holdings.inner.is_empty() {
                holdings.inner.remove(&key);
            }
            let replaced = holdings.table.open(key, live);
            if replaced.is_empty() {
                continue;
            }
            // A mapping may be laid over another; anything else was released behind our back.
            let unseen = matches!(holdings.table, Table::Owned(_));
            for (key, old) in replaced {
                holdings.missed += u64::from(unseen);
                if let Some(site) = self.sites.get_mut(old.site) {
                    let what = amount(sample, key, old.size);
                    site.takes(what, born.saturating_sub(old.born));
                    site.missed += u64::from(unseen);
                }
            }
        }
    }

    fn replace(&mut self, thread: Tid, role: &Role, call: &mut Call, family: FamilyId) {
        let succeeded =
            call.words.hold(&role.function) && call.words.keys(&role.function).next().is_some();
        // realloc(p, 0) frees p and returns NULL (malloc(3), glibc).
        let emptied = call.words.size(&role.function) == Some(0);
        if !succeeded && !emptied {
            return self.put_back(role, call);
        }
        self.judge(thread, role, call, Some(family));
        self.record_free(role, call);
        // The engine tells behind the arguments whether it was drawn.
        let told = role.function.params.len();
        let is_seen = self.sample(role.kind).is_none() || call.words.arg(told) == Some(1);
        if succeeded && is_seen {
            self.acquire(thread, role, call, family);
        }
    }

    fn release(&mut self, thread: Tid, role: &Arc<Role>, call: &mut Call) {
        if !call.words.hold(&role.function) {
            return self.refuse(thread, role, call);
        }
        let is_proven = !role.function.tests.is_empty();
        let is_number = role.function.width(role.function.key) == Width::Int;
        // A release of a descriptor that succeeds was right, however it was opened.
        if !(call.taken.is_empty() && is_proven && is_number) {
            self.judge(thread, role, call, None);
        }
        self.record_free(role, call);
        if let Some(key) = call.words.keys(&role.function).next() {
            let state = self.threads.entry(thread).or_default();
            let entry = call.entry;
            state.last = Some(Last { key, entry });
            let by = &mut state.released_by;
            if !by.as_ref().is_some_and(|by| Arc::ptr_eq(by, role)) {
                *by = Some(role.clone());
            }
        }
    }

    fn refuse(&mut self, thread: Tid, role: &Role, call: &mut Call) {
        let result = call.words.result().unwrap_or_default();
        let is_number = role.function.width(role.function.key) == Width::Int;
        if call.taken.is_empty() && is_number {
            self.judge(thread, role, call, None);
        }
        for (_, live) in &call.taken {
            if let Some(site) = self.sites.get_mut(live.site) {
                *site
                    .refused
                    .entry((role.symbol.clone(), result))
                    .or_default() += 1;
            }
        }
        self.put_back(role, call);
    }

    /// Notes what was taken back.
    fn record_free(&mut self, role: &Role, call: &Call) {
        let now = self.micros(self.now);
        let sample = self.sample(role.kind);
        for (key, live) in &call.taken {
            if let Some(site) = self.sites.get_mut(live.site) {
                site.takes(
                    amount(sample, *key, live.size),
                    now.saturating_sub(live.born),
                );
            }
            if let Some(holdings) = self.tables.get_mut(usize::from(role.kind.0)) {
                holdings.recent_frees.record(
                    *key,
                    RecentFree {
                        site: live.site,
                        released: call.origin,
                    },
                );
            }
        }
    }
}
