//! What is known of a running trace, for those who ask by HTTP (`--serve`): Prometheus, `go tool pprof`, and stores of
//! profiles. The tracer's thread hands out copies when a reader asks, and never waits for a reader.

mod answers;
mod http;
mod metrics;

pub use http::Server;

use crate::base::Pid;
use crate::export::Profile;
use crate::leak::leak_sink::HeapReaders;
use crate::sink::counts::{Counts, Readers};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between the tracer's thread, which knows, and those who ask.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
    counts_wanted: AtomicBool,
    heap_wanted: AtomicBool,
    has_heap: AtomicBool,
}

#[derive(Default)]
struct State {
    counts: Arc<Counts>,
    /// How often counts were handed out.
    given: u64,
    /// The last report on each process.
    heaps: BTreeMap<Pid, Arc<Profile>>,
    heaps_given: u64,
}

/// The tracer looks up every 100 ms; a stop of many threads may take it longer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Board {
    /// Reports of `--leaks` will be given.
    pub fn expect_heaps(&self) {
        self.has_heap.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No thread leaves it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted by now; what was told last when the tracer does not come to it.
    fn counts(&self) -> Arc<Counts> {
        let state = self.wait(&self.counts_wanted, |state| state.given);
        state.counts.clone()
    }

    /// Live blocks of each process by now; `None` without `--leaks`.
    fn heaps(&self) -> Option<Vec<(Pid, Arc<Profile>)>> {
        if !self.has_heap.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.wait(&self.heap_wanted, |state| state.heaps_given);
        let heaps = state.heaps.iter();
        Some(heaps.map(|(pid, heap)| (*pid, heap.clone())).collect())
    }

    fn wait(&self, wanted: &AtomicBool, given: fn(&State) -> u64) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let before = given(&state);
        wanted.store(true, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        while given(&state) == before {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

impl Readers for Board {
    fn is_asked(&self) -> bool {
        self.counts_wanted.load(Ordering::Relaxed)
    }

    fn give(&self, counts: Counts) {
        self.counts_wanted.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.counts = Arc::new(counts);
        state.given += 1;
        self.changed.notify_all();
    }
}

impl HeapReaders for Board {
    fn take_request(&self) -> bool {
        self.heap_wanted.load(Ordering::Relaxed) && self.heap_wanted.swap(false, Ordering::Relaxed)
    }

    fn give(&self, pid: Pid, heap: Profile) {
        let mut state = self.state();
        state.heaps.insert(pid, Arc::new(heap));
        state.heaps_given += 1;
        self.changed.notify_all();
    }

    fn gone(&self, pid: Pid) {
        self.state().heaps.remove(&pid);
    }
}
