//! Live things that are handed out once, by their values. Most are addresses of blocks. There may be millions of them,
//! and most are handed out in ascending order: those of one page are kept together, in that order.

use super::Live;
use crate::base::Tid;
use crate::leak::kinds::FamilyId;
use crate::leak::site::SiteId;
use rustc_hash::FxHashMap;
use std::iter::successors;

/// A table of things.
#[derive(Clone, Debug, Default)]
pub struct Owned {
    pages: FxHashMap<u64, Page>,
    /// How many of the pages have nothing.
    empty: usize,
    /// Things that share their place in a page with others: values that are no multiple of a place's size.
    odd: FxHashMap<u64, Packed>,
    len: usize,
}

/// The things of so many values.
const PAGE: u64 = PLACE * PLACES as u64;
/// How far apart two things of a page are at least.
const PLACE: u64 = 8;
const PLACES: usize = 256;
const WORD: usize = u64::BITS as usize;
/// So many empty pages are kept in any case: what is handed out next often comes from one.
const MOST_EMPTY: usize = 64;
/// Room for so many things is no waste.
const FEW: usize = 8;

/// Things whose values lie near each other.
#[derive(Clone, Debug, Default)]
struct Page {
    /// A bit for each place that has a thing.
    places: [u64; PLACES / WORD],
    /// The things, in the order of their places.
    things: Vec<Packed>,
}

/// A thing in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// Its lowest bit: it is lost.
    size: u64,
    /// Above the family's 16 bits, in which there is room for eight years.
    born: u64,
    site: u32,
    thread: i32,
}

const _: () = assert!(size_of::<Packed>() == 24);
const FAMILY_BITS: u32 = u16::BITS;

impl From<Live> for Packed {
    fn from(live: Live) -> Packed {
        Packed {
            size: live.size << 1 | u64::from(live.lost),
            born: live.born << FAMILY_BITS | u64::from(live.family.0),
            site: live.site.0,
            thread: live.thread.0,
        }
    }
}

impl From<Packed> for Live {
    fn from(packed: Packed) -> Live {
        Live {
            size: packed.size >> 1,
            born: packed.born >> FAMILY_BITS,
            site: SiteId(packed.site),
            thread: Tid(packed.thread),
            family: FamilyId(packed.born as u16),
            lost: packed.size & 1 == 1,
        }
    }
}

impl Owned {
    /// Adds one. Gives what had this value before.
    pub fn insert(&mut self, key: u64, live: Live) -> Option<Live> {
        let old = match is_odd(key) {
            true => self.odd.insert(key, live.into()),
            false => self.page(key).insert(Place::of(key), live.into()),
        };
        self.len += usize::from(old.is_none());
        old.map(Live::from)
    }

    /// Adds one, unless there is one of this value.
    pub fn insert_new(&mut self, key: u64, live: Live) {
        if self.get(key).is_none() {
            self.insert(key, live);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, key: u64) -> Option<Live> {
        let packed = match is_odd(key) {
            true => self.odd.remove(&key)?,
            false => {
                let page = self.pages.get_mut(&(key / PAGE))?;
                let packed = page.remove(Place::of(key))?;
                if page.things.is_empty() {
                    self.emptied();
                }
                packed
            }
        };
        self.len -= 1;
        Some(packed.into())
    }

    /// The one of this value.
    pub fn get(&self, key: u64) -> Option<Live> {
        let packed = match is_odd(key) {
            true => self.odd.get(&key)?,
            false => {
                let page = self.pages.get(&(key / PAGE))?;
                page.things.get(page.find(Place::of(key)).ok()?)?
            }
        };
        Some(Live::from(*packed))
    }

    /// Notes that it is lost.
    pub fn mark_lost(&mut self, key: u64) {
        let packed = match is_odd(key) {
            true => self.odd.get_mut(&key),
            false => self.pages.get_mut(&(key / PAGE)).and_then(|page| {
                let at = page.find(Place::of(key)).ok()?;
                page.things.get_mut(at)
            }),
        };
        if let Some(packed) = packed {
            packed.size |= 1;
        }
    }

    /// All, in ascending order but for those of odd values.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Live)> + '_ {
        let mut pages: Vec<(u64, &Page)> =
            self.pages.iter().map(|(at, page)| (*at, page)).collect();
        pages.sort_unstable_by_key(|(at, _)| *at);
        let of_pages = pages
            .into_iter()
            .flat_map(|(at, page)| page.iter(at * PAGE));
        let odd = self.odd.iter().map(|(key, packed)| (*key, packed));
        of_pages
            .chain(odd)
            .map(|(key, packed)| (key, Live::from(*packed)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Owned::default();
    }

    /// The page of a value, to which a thing is about to be added.
    fn page(&mut self, key: u64) -> &mut Page {
        let page = self.pages.entry(key / PAGE).or_default();
        if page.things.is_empty() {
            self.empty = self
                .empty
                .saturating_sub(usize::from(page.things.capacity() > 0));
        }
        page
    }

    /// A page has nothing any more. Where too many have not, they are given back.
    fn emptied(&mut self) {
        self.empty += 1;
        if self.empty > MOST_EMPTY + self.pages.len() / 2 {
            self.pages.retain(|_, page| !page.things.is_empty());
            self.pages.shrink_to(2 * self.pages.len());
            self.empty = 0;
        }
    }
}

impl Page {
    /// Where the thing of a place is, or would be put.
    fn find(&self, place: Place) -> Result<usize, usize> {
        let (before, word) = (self.places.iter().take(place.word), self.places[place.word]);
        let before: u32 = before.map(|word| word.count_ones()).sum();
        let at = (before + (word & (place.bit - 1)).count_ones()) as usize;
        match word & place.bit {
            0 => Err(at),
            _ => Ok(at),
        }
    }

    fn insert(&mut self, place: Place, packed: Packed) -> Option<Packed> {
        match self.find(place) {
            Ok(at) => self
                .things
                .get_mut(at)
                .map(|old| std::mem::replace(old, packed)),
            Err(at) => {
                if self.things.len() == self.things.capacity() {
                    self.grow();
                }
                self.things.insert(at, packed);
                self.places[place.word] |= place.bit;
                None
            }
        }
    }

    fn remove(&mut self, place: Place) -> Option<Packed> {
        let at = self.find(place).ok()?;
        self.places[place.word] &= !place.bit;
        let packed = self.things.remove(at);
        let (len, capacity) = (self.things.len(), self.things.capacity());
        if capacity > FEW && len < capacity / 4 {
            self.things.shrink_to(capacity / 2);
        }
        Some(packed)
    }

    /// Makes room for more: for one in an empty page, for a quarter more in others.
    fn grow(&mut self) {
        let more = match self.things.len() {
            0 => 1,
            len => FEW / 2 + len / 4,
        };
        self.things.reserve_exact(more);
    }

    /// The things of the page that begins there, and their values.
    fn iter(&self, start: u64) -> impl Iterator<Item = (u64, &Packed)> {
        let set = |word: u64| {
            let rest = successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|word| *word != 0).map(u64::trailing_zeros)
        };
        let words = (0u64..).step_by(WORD).zip(self.places);
        let places =
            words.flat_map(move |(first, word)| set(word).map(move |bit| first + u64::from(bit)));
        places
            .map(move |place| start + place * PLACE)
            .zip(&self.things)
    }
}

/// A place in a page.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    bit: u64,
}

impl Place {
    fn of(key: u64) -> Place {
        let number = (key / PLACE) as usize % PLACES;
        Place {
            word: number / WORD,
            bit: 1 << (number % WORD),
        }
    }
}

fn is_odd(key: u64) -> bool {
    !key.is_multiple_of(PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn live(number: u64) -> Live {
        Live {
            size: number,
            born: number,
            site: SiteId(7),
            thread: Tid(-1),
            family: FamilyId(u16::MAX),
            lost: false,
        }
    }

    /// The bytes that the tables take: those of the things, with a word of the allocator's each, and those of the
    /// pages, with a byte for each place, a power of two of them, of which seven eighths are used.
    fn bytes(owned: &Owned) -> usize {
        let places = (owned.pages.capacity() * 8 / 7).next_power_of_two();
        let things = owned
            .pages
            .values()
            .map(|page| 8 + 24 * page.things.capacity());
        places * (size_of::<(u64, Page)>() + 1) + things.sum::<usize>()
    }

    #[test]
    fn a_thing_takes_little_at_any_time() {
        let mut owned = Owned::default();
        let mut most: f64 = 0.0;
        for number in 0..1_500_000 {
            owned.insert(0x5000_0000 + 48 * number, live(number));
            if number >= 100_000 && number % 10_000 == 0 {
                most = most.max(bytes(&owned) as f64 / number as f64);
            }
        }
        assert!((24.0..40.0).contains(&most), "{most} bytes a thing");
        for number in 0..1_500_000 {
            owned.remove(0x5000_0000 + 48 * number);
        }
        assert_eq!(owned.len(), 0);
        let left = bytes(&owned);
        assert!(left < 100_000, "{left} bytes for nothing");
    }

    proptest! {
        #[test]
        fn as_an_ordered_map(steps in proptest::collection::vec((0u8..4, 0u64..1200), 0..600)) {
            let mut owned = Owned::default();
            let mut map = BTreeMap::new();
            for (step, number) in steps {
                // Values of all alignments, near each other, far apart and at the end.
                let key = match number % 3 {
                    0 => number,
                    1 => number << 20,
                    _ => u64::MAX - number,
                };
                let one = live(number);
                match step {
                    0 => prop_assert_eq!(owned.remove(key), map.remove(&key)),
                    1 => {
                        owned.insert_new(key, one);
                        map.entry(key).or_insert(one);
                    }
                    _ => prop_assert_eq!(owned.insert(key, one), map.insert(key, one)),
                }
                prop_assert_eq!(owned.get(key), map.get(&key).copied());
                prop_assert_eq!(owned.len(), map.len());
            }
            let all: Vec<(u64, Live)> = owned.iter().collect();
            let even = all.iter().filter(|(key, _)| !is_odd(*key));
            prop_assert!(even.is_sorted_by_key(|(key, _)| *key));
            let all: BTreeMap<u64, Live> = all.into_iter().collect();
            prop_assert_eq!(all, map);
        }
    }

    #[test]
    fn things_are_what_they_were() {
        let mut owned = Owned::default();
        let one = Live {
            size: u64::MAX >> 1,
            born: u64::MAX >> FAMILY_BITS,
            ..live(0)
        };
        assert_eq!(owned.insert(0, one), None);
        owned.insert(u64::MAX, live(2));
        assert_eq!(owned.get(0), Some(one));
        owned.insert_new(0, live(3));
        owned.mark_lost(0);
        assert_eq!(owned.get(0), Some(Live { lost: true, ..one }));
        assert_eq!(owned.len(), 2);
        assert_eq!(owned.remove(0), Some(Live { lost: true, ..one }));
        assert_eq!(owned.remove(0), None);
        let all: Vec<(u64, Live)> = owned.iter().collect();
        assert_eq!(all, [(u64::MAX, live(2))]);
    }
}
