//! Live things that are handed out once, by their values. There may be millions of them: the table is one of many
//! parts, each of which grows by itself, so that no growth takes long or needs much memory at once.

use super::Live;
use crate::base::Tid;
use crate::leak::kinds::FamilyId;
use crate::leak::site::SiteId;
use rustc_hash::FxHashMap;

/// A table of things.
#[derive(Clone, Debug)]
pub struct Owned {
    parts: Box<[FxHashMap<u64, Packed>]>,
}

/// A hash table doubles when it is full. The parts get shares of the keys from the smallest to twice that, so that at
/// any time some are full and some are half full, and all together waste as much at any time.
const PARTS: usize = 128;
/// What the share of one is against that of the one before: the 128th root of 2.
const GROWTH: f64 = 1.005_429_900_5;
/// Hashes are told apart by so many upper bits.
const BITS: u32 = 12;
/// 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The part of each hash, by its upper bits.
static PART: [u8; 1 << BITS] = shares();

const fn shares() -> [u8; 1 << BITS] {
    let mut parts = [0; 1 << BITS];
    // The shares of all parts together are those of one octave: 2 - 1.
    let (mut part, mut end) = (0, GROWTH - 1.0);
    let mut at = 0;
    while at < parts.len() {
        if at as f64 / parts.len() as f64 >= end && part + 1 < PARTS {
            part += 1;
            end = (end + 1.0) * GROWTH - 1.0;
        }
        parts[at] = part as u8;
        at += 1;
    }
    parts
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

const _: () = assert!(size_of::<(u64, Packed)>() == 32);
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

impl Default for Owned {
    fn default() -> Owned {
        Owned {
            parts: (0..PARTS).map(|_| FxHashMap::default()).collect(),
        }
    }
}

impl Owned {
    /// Adds one. Gives what had this value before.
    pub fn insert(&mut self, key: u64, live: Live) -> Option<Live> {
        self.part_mut(key).insert(key, live.into()).map(Live::from)
    }

    /// Adds one, unless there is one of this value.
    pub fn insert_new(&mut self, key: u64, live: Live) {
        self.part_mut(key).entry(key).or_insert(live.into());
    }

    /// Takes one out.
    pub fn remove(&mut self, key: u64) -> Option<Live> {
        self.part_mut(key).remove(&key).map(Live::from)
    }

    /// The one of this value.
    pub fn get(&self, key: u64) -> Option<Live> {
        self.parts[part(key)].get(&key).copied().map(Live::from)
    }

    /// Notes that it is lost.
    pub fn mark_lost(&mut self, key: u64) {
        if let Some(packed) = self.part_mut(key).get_mut(&key) {
            packed.size |= 1;
        }
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Live)> + '_ {
        let all = self.parts.iter().flatten();
        all.map(|(key, packed)| (*key, Live::from(*packed)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(FxHashMap::len).sum()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Owned::default();
    }

    fn part_mut(&mut self, key: u64) -> &mut FxHashMap<u64, Packed> {
        &mut self.parts[part(key)]
    }
}

/// The number of the part that holds a key.
fn part(key: u64) -> usize {
    let hash = key.wrapping_mul(SPREAD);
    usize::from(PART[(hash >> (u64::BITS - BITS)) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// The bytes that the tables take: an entry and a byte for each place, a power of two of them, of which seven
    /// eighths are used.
    fn bytes(owned: &Owned) -> usize {
        let places = |part: &FxHashMap<u64, Packed>| match part.capacity() {
            0 => 0,
            capacity => (capacity * 8 / 7).next_power_of_two(),
        };
        owned.parts.iter().map(places).sum::<usize>() * 33
    }

    #[test]
    fn an_entry_takes_as_much_at_any_time() {
        let mut owned = Owned::default();
        let mut most: f64 = 0.0;
        for number in 0..1_500_000 {
            owned.insert(0x5000_0000 + 48 * number, live(number));
            if number >= 100_000 && number % 10_000 == 0 {
                most = most.max(bytes(&owned) as f64 / number as f64);
            }
        }
        assert!((40.0..60.0).contains(&most), "{most} bytes an entry");
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
