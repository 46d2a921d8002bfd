//! Which entries a subscriber wants.

use crate::Tag;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
    /// Of what another filter passes, what these bounds let through.
    Within(Box<Filter>, Bounds),
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
            Self::Within(filter, bounds) => bounds.pass(tag) && filter.passes(tag),
        }
    }

    /// The lanes that it names; none where it is not by lane.
    pub fn named_lanes(&self) -> &[u16] {
        match self {
            Self::Lanes(lanes) => lanes,
            Self::Within(filter, _) => filter.named_lanes(),
            Self::All | Self::Key(_) | Self::Keys(_) => &[],
        }
    }

    /// The same for one lane: of what passes, what is of it.
    #[must_use]
    pub fn of_lane(&self, lane: u16) -> Self {
        match self {
            Self::Within(_, bounds) => Self::lanes([lane]).within(Some(bounds.clone())),
            _ => Self::lanes([lane]),
        }
    }

    /// The same wish within other bounds, or within none.
    #[must_use]
    pub fn within(self, bounds: Option<Bounds>) -> Self {
        let wish = match self {
            Self::Within(filter, _) => *filter,
            filter => filter,
        };
        match bounds {
            Some(bounds) => Self::Within(Box::new(wish), bounds),
            None => wish,
        }
    }
}

/// Classes that a key can be of.
pub const CLASSES: u8 = 8;

/// The class of each key, such as a security's market; 0 where nothing was said. Set before the key's first entry is
/// appended, read by filters on any thread.
#[derive(Debug)]
pub struct Classes(Box<[AtomicU8]>);

impl Classes {
    /// For keys up to `key_max`, all of class 0.
    pub fn new(key_max: usize) -> Self {
        Self((0..=key_max).map(|_| AtomicU8::new(0)).collect())
    }

    /// Says of what class a key is.
    ///
    /// # Panics
    /// For a class from [`CLASSES`] on, or a key beyond the last.
    pub fn set(&self, key: u32, class: u8) {
        assert!(class < CLASSES, "invariant: there are {CLASSES} classes");
        // Relaxed: an entry about the key is published after this, with a release.
        self.0[key as usize].store(class, Ordering::Relaxed);
    }

    /// The class of a key; 0 for one beyond the last.
    #[inline]
    pub fn of(&self, key: u32) -> u8 {
        self.0.get(key as usize).map_or(0, |class| class.load(Ordering::Relaxed))
    }
}

/// What a reader may see, whatever it asks for.
#[derive(Clone, Debug)]
pub struct Bounds {
    classes: Arc<Classes>,
    /// One bit for each class.
    allowed: u8,
    numbered: bool,
    /// Nothing of this lane.
    hidden: Option<u16>,
}

impl Bounds {
    /// Entries about keys of the classes whose bits are set in `allowed`; those with a number only if `numbered`.
    pub fn new(classes: Arc<Classes>, allowed: u8, numbered: bool) -> Self {
        Self { classes, allowed, numbered, hidden: None }
    }

    /// The same without the entries of a lane that are about a key.
    #[must_use]
    pub fn without_lane(self, lane: u16) -> Self {
        Self { hidden: Some(lane), ..self }
    }

    /// Whether an entry lies within. One for [`Tag::EVERYONE`] always does.
    #[inline]
    pub fn pass(&self, tag: Tag) -> bool {
        let class = self.classes.of(tag.key);
        let seen = (self.numbered || tag.number == 0) && self.hidden != Some(tag.lane);
        tag.key == Tag::EVERYONE || (seen && self.allowed >> class & 1 == 1)
    }
}

impl PartialEq for Bounds {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.classes, &other.classes)
            && (self.allowed, self.numbered, self.hidden) == (other.allowed, other.numbered, other.hidden)
    }
}

impl Eq for Bounds {}

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

    /// The same floors with another filter.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_narrow_a_filter_and_can_be_changed() {
        let classes = Arc::new(Classes::new(3));
        classes.set(1, 1);
        classes.set(2, 2);
        let tag = |number, key| Tag { lane: 7, number, key };
        let bounds = |allowed, numbered| Some(Bounds::new(classes.clone(), allowed, numbered));
        let one = Filter::All.within(bounds(1 << 1, false));
        assert!(one.passes(tag(0, 1)), "a snapshot of class 1");
        assert!(!one.passes(tag(5, 1)), "numbered");
        assert!(!one.passes(tag(0, 2)) && !one.passes(tag(0, 3)), "of another class");
        assert!(!one.passes(tag(0, u32::MAX)), "a key beyond the last is of class 0");
        assert!(one.passes(tag(5, Tag::EVERYONE)), "what everyone must see");
        let hiding = |lane| Some(Bounds::new(classes.clone(), 1 << 1, false).without_lane(lane));
        assert!(Filter::All.within(hiding(8)).passes(tag(0, 1)), "another lane is hidden");
        let hidden = Filter::All.within(hiding(7));
        assert!(!hidden.passes(tag(0, 1)) && hidden.passes(tag(5, Tag::EVERYONE)));
        let key = Filter::Key(2).within(bounds(1 << 1, true)).within(bounds(1 << 2, true));
        assert!(key.passes(tag(5, 2)) && !key.passes(tag(5, 1)));
        assert_eq!(key.within(None), Filter::Key(2));
        assert!(Selection::new(one.within(None)).takes_all(), "and whole slices again");
    }
}
