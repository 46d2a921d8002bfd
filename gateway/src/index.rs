//! Hot path: a hash index from a key's hash to a place in a list that someone else keeps.
//!
//! Rules: no allocation after it is made, at most half full, and no tombstones: what is removed closes the gap behind
//! it, so it is as fast in the evening as in the morning.

use std::hash::{BuildHasher, RandomState};

/// Empty slots are 0; others are `hash << 32 | place + 1`.
pub(crate) struct Index {
    slots: Box<[u64]>,
    mask: u32,
}

/// Slots in a page of memory.
const PAGE_SLOTS: usize = 4096 / size_of::<u64>();

/// Secret of this process: peers choose the keys, and must not be able to choose their places.
#[derive(Clone, Copy)]
pub(crate) struct Seed([u64; 2]);

impl Seed {
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self([state.hash_one(1_u8) | 1, state.hash_one(2_u8) | 1])
    }

    /// The hash of a key of 16 bytes.
    #[inline]
    pub(crate) fn hash(self, key: [u8; 16]) -> u32 {
        let key = u128::from_le_bytes(key);
        let (low, high) = (key as u64 ^ self.0[0], (key >> 64) as u64 ^ self.0[1]);
        let folded = fold(low, high);
        fold(folded, 0x9e37_79b9_7f4a_7c15) as u32
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Index {
    /// Room for `places_max` entries.
    pub(crate) fn new(places_max: u32) -> Self {
        let len = (places_max as usize * 2).next_power_of_two().max(2);
        let mut slots = vec![0; len].into_boxed_slice();
        // Zeroed memory is only promised by the system until it is written to. Each page's first write costs as much
        // as several orders: they are made now.
        for at in (0..len).step_by(PAGE_SLOTS) {
            std::hint::black_box(&mut slots)[at] = 0;
        }
        Self { slots, mask: (len - 1) as u32 }
    }

    /// The place with this hash that `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash & self.mask;
        loop {
            let slot = self.slots[at as usize];
            if slot == 0 {
                return None;
            }
            let place = slot as u32 - 1;
            if (slot >> 32) as u32 == hash && is_it(place) {
                return Some(place);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds a place. The caller keeps to the count that it gave [`Index::new`].
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, place: u32) {
        let mut at = hash & self.mask;
        while self.slots[at as usize] != 0 {
            at = (at + 1) & self.mask;
        }
        self.slots[at as usize] = u64::from(hash) << 32 | u64::from(place + 1);
    }

    /// Takes out a place that was added with this hash.
    pub(crate) fn remove(&mut self, hash: u32, place: u32) {
        let wanted = u64::from(hash) << 32 | u64::from(place + 1);
        let mut hole = hash & self.mask;
        while self.slots[hole as usize] != wanted {
            assert!(self.slots[hole as usize] != 0, "only what was added is removed");
            hole = (hole + 1) & self.mask;
        }
        // What stands behind the hole, up to the next one, moves into it unless it would come before its own place.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let slot = self.slots[at as usize];
            if slot == 0 {
                break;
            }
            let home = (slot >> 32) as u32 & self.mask;
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.slots[hole as usize] = slot;
                hole = at;
            }
        }
        self.slots[hole as usize] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Few hashes, so that runs are long and wrap around the end.
        #[test]
        fn does_what_a_set_does(steps in prop::collection::vec((0_u32..16, any::<bool>()), 0..400)) {
            let hash = |place: u32| (place % 5).wrapping_mul(7) | (place % 3) << 29;
            let mut index = Index::new(16);
            let mut set = HashSet::new();
            for (place, add) in steps {
                if add && set.insert(place) {
                    index.insert(hash(place), place);
                } else if !add && set.remove(&place) {
                    index.remove(hash(place), place);
                }
                for place in 0..16 {
                    let found = index.find(hash(place), |found| found == place);
                    prop_assert_eq!(found, set.contains(&place).then_some(place));
                }
            }
            set.iter().for_each(|place| index.remove(hash(*place), *place));
            prop_assert!(index.slots.iter().all(|slot| *slot == 0));
        }
    }

    #[test]
    fn counting_keys_spread() {
        let seed = Seed::random();
        let mut buckets = [0_u32; 256];
        for count in 0..25_600_u32 {
            let mut key = [b' '; 16];
            key[..10].copy_from_slice(format!("{count:010}").as_bytes());
            buckets[(seed.hash(key) & 255) as usize] += 1;
        }
        // A mean of 100; a bucket outside this range by chance: less than once in a billion runs.
        assert!(buckets.iter().all(|count| (20..220).contains(count)), "{buckets:?}");
    }
}
