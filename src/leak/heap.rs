//! What of the tracked things is heap memory, and how much of it is live.

use crate::leak::amount::Amount;
use crate::leak::kinds::{Kind, KindId, Shape};
use crate::leak::site::{Site, SiteId};
use crate::leak::table::Live;
use crate::leak::tracker::{Holdings, Tracker};
use crate::plan::pairs::Width;

/// Its things are blocks of memory, or pointers to such.
pub fn has_addresses(kind: &Kind) -> bool {
    kind.width == Width::Word && kind.shape == Shape::Owned
}

/// Its things are blocks of a heap, with sizes.
pub fn is_heap(kind: &Kind) -> bool {
    has_addresses(kind) && kind.sized
}

/// Its things are blocks of a heap.
pub fn is_heap_kind(tracker: &Tracker, kind: KindId) -> bool {
    tracker.kinds().kind(kind).is_some_and(is_heap)
}

/// What is live of each kind that is a heap's.
pub fn heaps(tracker: &Tracker) -> impl Iterator<Item = &Holdings> {
    let heaps = tracker
        .holdings()
        .filter(|(kind, _)| is_heap_kind(tracker, *kind));
    heaps.map(|(_, holdings)| holdings)
}

/// The sites that ask a heap.
pub fn heap_sites(tracker: &Tracker) -> impl Iterator<Item = (SiteId, &Site)> {
    tracker
        .sites
        .iter()
        .filter(|(_, site)| is_heap_kind(tracker, site.kind))
}

/// How much of the heap is live.
pub fn live_heap(tracker: &Tracker) -> Amount {
    let mut live = Amount::default();
    heap_sites(tracker).for_each(|(_, site)| live += site.live());
    live
}

/// The heap's block that begins there.
pub fn block_at(tracker: &Tracker, start: u64) -> Option<Live> {
    let heaps = tracker
        .holdings()
        .filter(|(id, _)| tracker.kinds().kind(*id).is_some_and(has_addresses));
    heaps
        .filter_map(|(_, holdings)| holdings.table.get(start))
        .max_by_key(|live| live.size)
}
