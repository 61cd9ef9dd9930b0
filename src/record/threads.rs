//! Which ring a thread writes to: a hash in shared memory, by thread pointer, which only the tracer writes. Threads
//! look themselves up in it at each call.

use super::code::{THREAD_PROBES, asm::GOLDEN};
use super::layout::{Layout, THREADS, THREADS_LOG2};
use super::shared::Shared;

/// Stands where a thread was that has gone: others may stand behind it.
const GONE: u64 = 1;

/// Gives a thread a ring. `false` when there is no place for it: the thread then records nothing.
#[must_use]
pub fn assign(layout: &Layout, shared: Shared<'_>, thread_pointer: u64, ring: u32) -> bool {
    let free = |key: u64| key == 0 || key == GONE;
    let head = layout.in_shared(layout.head(ring));
    let known = places(thread_pointer)
        .take_while(|place| shared.load(*place) != 0)
        .find(|place| shared.load(*place) == thread_pointer);
    let place = known.or_else(|| places(thread_pointer).find(|place| free(shared.load(*place))));
    let Some(place) = place else {
        return false;
    };
    shared.store(place + 8, head);
    shared.store(place, thread_pointer);
    true
}

/// The thread has gone.
pub fn forget(shared: Shared<'_>, thread_pointer: u64) {
    let mut used = places(thread_pointer).take_while(|place| shared.load(*place) != 0);
    if let Some(place) = used.find(|place| shared.load(*place) == thread_pointer) {
        shared.store(place, GONE);
    }
}

/// Where a thread may be, in the order in which it looks.
fn places(thread_pointer: u64) -> impl Iterator<Item = u64> {
    const MASK: u64 = (1 << THREADS_LOG2) - 1;
    let first = thread_pointer.wrapping_mul(GOLDEN) >> (64 - THREADS_LOG2);
    (0..u64::from(THREAD_PROBES)).map(move |n| THREADS + 16 * (first.wrapping_add(n) & MASK))
}
