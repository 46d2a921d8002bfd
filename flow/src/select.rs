//! Which entries a subscriber wants.

use crate::Tag;

/// Which entries pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every entry: served as contiguous slices, the cheapest way.
    All,
    /// Entries of these lanes, ascending.
    Lanes(Box<[u16]>),
    /// Entries about one key.
    Key(u32),
    /// Entries about any of these keys.
    Keys(KeySet),
}

impl Filter {
    /// The entries of these lanes.
    pub fn lanes(lanes: impl IntoIterator<Item = u16>) -> Self {
        let mut lanes: Vec<u16> = lanes.into_iter().collect();
        lanes.sort_unstable();
        lanes.dedup();
        Self::Lanes(lanes.into_boxed_slice())
    }

    /// Whether an entry passes. An entry for [`Tag::EVERYONE`] passes every filter by key.
    #[inline]
    pub fn passes(&self, tag: Tag) -> bool {
        match self {
            Self::All => true,
            Self::Lanes(lanes) => lanes.binary_search(&tag.lane).is_ok(),
            Self::Key(key) => tag.key == *key || tag.key == Tag::EVERYONE,
            Self::Keys(keys) => keys.contains(tag.key) || tag.key == Tag::EVERYONE,
        }
    }
}

/// A set of keys, one bit each: keys are interned, so they are small and dense.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeySet(Box<[u64]>);

impl KeySet {
    /// Whether the key is in the set.
    #[inline]
    pub fn contains(&self, key: u32) -> bool {
        self.0.get(key as usize / 64).is_some_and(|word| word >> (key % 64) & 1 == 1)
    }
}

impl FromIterator<u32> for KeySet {
    fn from_iter<I: IntoIterator<Item = u32>>(keys: I) -> Self {
        let mut words = Vec::new();
        for key in keys {
            let word = key as usize / 64;
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (key % 64);
        }
        Self(words.into_boxed_slice())
    }
}

/// What a subscriber wants: a filter, and for lanes in which it resumes the lowest number that it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    filter: Filter,
    /// (lane, lowest number wanted), ascending by lane. Entries below it are passed over.
    floors: Box<[(u16, u64)]>,
}

impl Selection {
    /// All that passes the filter.
    pub fn new(filter: Filter) -> Self {
        Self { filter, floors: Box::default() }
    }

    /// Of each lane named here, only numbers from the one given; unnumbered entries pass.
    #[must_use]
    pub fn from_numbers(mut self, floors: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut floors: Vec<_> = floors.into_iter().collect();
        floors.sort_unstable();
        self.floors = floors.into_boxed_slice();
        self
    }

    /// Forgets the floors once all of them are behind: from there on the filter alone decides. `next` says the number
    /// that a lane takes next, at a place that the cursor has reached ([`crate::Reader::next_number`] at the end).
    pub fn forget_floors_passed(&mut self, mut next: impl FnMut(u16) -> u64) {
        if !self.floors.is_empty() && self.floors.iter().all(|(lane, floor)| *floor <= next(*lane)) {
            self.floors = Box::default();
        }
    }

    /// The lowest number wanted of a lane, if there is one.
    pub fn floor(&self, lane: u16) -> Option<u64> {
        let index = self.floors.binary_search_by_key(&lane, |floor| floor.0).ok()?;
        Some(self.floors[index].1)
    }

    /// The filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether every entry is wanted, so that slices need no look at their entries.
    #[inline]
    pub fn takes_all(&self) -> bool {
        self.floors.is_empty() && matches!(self.filter, Filter::All)
    }

    /// Whether an entry is wanted.
    #[inline]
    pub fn wants(&self, tag: Tag) -> bool {
        self.filter.passes(tag) && (self.floors.is_empty() || self.above_floor(tag))
    }

    fn above_floor(&self, tag: Tag) -> bool {
        tag.number == 0 || self.floor(tag.lane).is_none_or(|floor| tag.number >= floor)
    }
}
