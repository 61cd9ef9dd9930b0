//! Code that processes make at run time: who has told of it.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::stack::PerfMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The maps of a process and of those that it was forked from, its own first. Copies share them.
#[derive(Clone, Default)]
pub(super) struct MadeCode(Vec<(Pid, Arc<Mutex<PerfMap>>)>);

/// So many generations are remembered.
const GENERATIONS: usize = 4;

impl MadeCode {
    /// Code of no file was met in a process that is alive.
    pub(super) fn meet(&mut self, pid: Pid) {
        if self.0.first().is_some_and(|(own, _)| *own == pid) {
            return;
        }
        if let Some(map) = PerfMap::of(pid) {
            self.0.insert(0, (pid, Arc::new(Mutex::new(map))));
            self.0.truncate(GENERATIONS);
        }
    }

    fn maps(&self) -> impl Iterator<Item = MutexGuard<'_, PerfMap>> {
        self.0
            .iter()
            .map(|(_, map)| map.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what the maps say by now.
    pub(super) fn refresh(&self) {
        self.maps().for_each(|mut map| map.refresh());
    }

    /// The function around an address, and how far into it that is.
    pub(super) fn find(&self, at: Addr) -> Option<(String, u64)> {
        self.maps().find_map(|map| {
            let (name, offset) = map.find(at)?;
            Some((name.into_owned(), offset))
        })
    }
}
