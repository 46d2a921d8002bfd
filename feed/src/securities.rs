//! Securities as small numbers: what the log's entries are filtered by.
//!
//! One [`Directory`] for the whole feed hands the keys out; each thread has [`Securities`], its own copy of what it
//! met, so that the lock is taken once for each security and thread, never for a message it knows.

use crate::entitlement::Market;
use flow::Classes;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, RwLock};
use wire::szse::{SecurityId, SecurityIdSource};

/// A security's name: SecurityID and SecurityIDSource, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    id: u64,
    source: u32,
}

impl Name {
    fn new(id: &SecurityId, source: &SecurityIdSource) -> Self {
        Self { id: u64::from_ne_bytes(*id.as_bytes()), source: u32::from_ne_bytes(*source.as_bytes()) }
    }
}

impl std::hash::Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.id);
        state.write_u32(self.source);
    }
}

/// Who brings a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A source: its securities exist.
    Source,
    /// A subscriber: it may ask for what has not been heard of yet, but may fill only half of the directory.
    Subscriber,
}

/// All securities heard of or asked for, bounded. Keys count from 1: 0 is the log's key for everyone.
#[derive(Debug)]
pub struct Directory {
    keys: RwLock<HashMap<Name, u32, Seeded>>,
    count_max: usize,
    seed: Seeded,
    markets: Arc<Classes>,
}

impl Directory {
    /// An empty directory for at most so many securities.
    pub fn new(count_max: usize) -> Arc<Self> {
        let seed = Seeded::random();
        let keys = RwLock::new(HashMap::with_hasher(seed));
        Arc::new(Self { keys, count_max, seed, markets: Arc::new(Classes::new(count_max)) })
    }

    /// The market of each key, as [`Market::class`].
    pub(crate) fn markets(&self) -> &Arc<Classes> {
        &self.markets
    }

    /// Securities known.
    pub fn len(&self) -> usize {
        self.keys.read().expect("no holder of this lock panics").len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of a name, a new one if it was not known; `None` when there is no room.
    fn key(&self, name: Name, origin: Origin) -> Option<u32> {
        if let Some(key) = self.keys.read().expect("no holder of this lock panics").get(&name) {
            return Some(*key);
        }
        let room = match origin {
            Origin::Source => self.count_max,
            Origin::Subscriber => self.count_max / 2,
        };
        let mut keys = self.keys.write().expect("no holder of this lock panics");
        let next = keys.len();
        match keys.entry(name) {
            std::collections::hash_map::Entry::Occupied(known) => Some(*known.get()),
            std::collections::hash_map::Entry::Vacant(_) if next >= room => None,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let key = next as u32 + 1;
                self.markets.set(key, Market::of_wire(name.source.to_ne_bytes()).class());
                Some(*vacant.insert(key))
            }
        }
    }
}

/// One thread's way to the directory.
#[derive(Debug)]
pub struct Securities {
    directory: Arc<Directory>,
    known: HashMap<Name, u32, Seeded>,
}

impl Securities {
    /// For one thread.
    pub fn new(directory: Arc<Directory>) -> Self {
        let known = HashMap::with_hasher(directory.seed);
        Self { directory, known }
    }

    /// A security's key; `None` when the directory is full.
    #[inline]
    pub fn key(&mut self, id: &SecurityId, source: &SecurityIdSource, origin: Origin) -> Option<u32> {
        let name = Name::new(id, source);
        match self.known.get(&name) {
            Some(key) => Some(*key),
            None => self.learn(name, origin),
        }
    }

    #[cold]
    fn learn(&mut self, name: Name, origin: Origin) -> Option<u32> {
        let key = self.directory.key(name, origin)?;
        self.known.insert(name, key);
        Some(key)
    }
}

/// Hashes a few machine words by one wide multiplication each. Seeded at random: subscribers choose names, and must
/// not be able to choose ones that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded {
    start: u64,
    factor: u64,
}

impl Seeded {
    pub(crate) fn random() -> Self {
        let random = RandomState::new();
        Self { start: random.hash_one(1), factor: random.hash_one(2) | 1 }
    }
}

impl BuildHasher for Seeded {
    type Hasher = Words;

    #[inline]
    fn build_hasher(&self) -> Words {
        Words { state: self.start, factor: self.factor }
    }
}

/// See [`Seeded`].
#[derive(Debug)]
pub(crate) struct Words {
    state: u64,
    factor: u64,
}

impl Hasher for Words {
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        let wide = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (wide as u64) ^ ((wide >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::code::{SOURCE_SHANGHAI, SOURCE_SHENZHEN};

    fn id(number: u32) -> SecurityId {
        format!("{number:06}").parse().unwrap()
    }

    #[test]
    fn a_name_has_one_key_on_every_thread_and_keys_are_dense() {
        let directory = Directory::new(10);
        let mut one = Securities::new(directory.clone());
        let mut other = Securities::new(directory);
        assert_eq!(one.key(&id(1), &SOURCE_SHENZHEN, Origin::Source), Some(1));
        assert_eq!(other.key(&id(2), &SOURCE_SHENZHEN, Origin::Subscriber), Some(2));
        assert_eq!(other.key(&id(1), &SOURCE_SHENZHEN, Origin::Source), Some(1));
        assert_eq!(other.key(&id(1), &SOURCE_SHANGHAI, Origin::Source), Some(3));
        assert_eq!(one.key(&id(2), &SOURCE_SHENZHEN, Origin::Source), Some(2));
    }

    #[test]
    fn subscribers_may_fill_half_of_it_and_sources_the_rest() {
        let directory = Directory::new(4);
        let mut securities = Securities::new(directory.clone());
        let mut key = |number, origin| securities.key(&id(number), &SOURCE_SHENZHEN, origin);
        assert_eq!(key(1, Origin::Subscriber), Some(1));
        assert_eq!(key(2, Origin::Subscriber), Some(2));
        assert_eq!(key(3, Origin::Subscriber), None);
        assert_eq!(key(4, Origin::Source), Some(3));
        assert_eq!(key(4, Origin::Subscriber), Some(3));
        assert_eq!(key(5, Origin::Source), Some(4));
        assert_eq!(key(6, Origin::Source), None);
        assert_eq!(directory.len(), 4);
    }

    #[test]
    fn similar_names_do_not_collide() {
        let seed = Seeded::random();
        let mut hashes: Vec<u64> =
            (0..50_000).map(|n| seed.hash_one(Name::new(&id(n), &SOURCE_SHENZHEN)) >> 44).collect();
        hashes.sort_unstable();
        hashes.dedup();
        // 50,000 balls into 2^20 boxes leave about 48,800 boxes with a ball in them.
        assert!(hashes.len() > 47_000, "{} of 50,000 differ in their top 20 bits", hashes.len());
    }
}
