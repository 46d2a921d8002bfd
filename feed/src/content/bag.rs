//! Hot path (where a source numbers in its own way): contents that came lately, each as often as it came.
//!
//! Rules: constant time each; bounded by count and bytes; what is taken out of the middle is passed over at its end.

use super::identity::Content;
use std::collections::{HashMap, VecDeque};

/// How much of one content is in a bag.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Still to be taken.
    there: u32,
    /// Taken, and not passed over yet.
    taken: u32,
}

/// Contents in the order in which they came, with something of each.
#[derive(Debug)]
pub(super) struct Bag<T> {
    queue: VecDeque<(u64, Content, T)>,
    counts: HashMap<Content, Count>,
    count_max: usize,
}

impl<T> Bag<T> {
    pub(super) fn new(count_max: usize) -> Self {
        Self { queue: VecDeque::new(), counts: HashMap::new(), count_max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.count_max
    }

    /// Puts one in; of a full bag the oldest is the caller's to take first.
    pub(super) fn put(&mut self, at_ns: u64, content: Content, what: T) {
        self.queue.push_back((at_ns, content, what));
        self.counts.entry(content).or_default().there += 1;
    }

    /// Takes out one of this content, the oldest; `false` when there is none.
    pub(super) fn take(&mut self, content: Content) -> bool {
        let Some(count) = self.counts.get_mut(&content).filter(|count| count.there > 0) else { return false };
        count.there -= 1;
        count.taken += 1;
        true
    }

    /// When the oldest came.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        self.queue.front().map(|(at_ns, ..)| *at_ns)
    }

    /// What came with the oldest.
    pub(super) fn oldest(&self) -> Option<&T> {
        self.queue.front().map(|(.., what)| what)
    }

    /// Takes the oldest out of the queue: `Some(None)` when it had been taken already, `None` when there is none.
    pub(super) fn pop(&mut self) -> Option<Option<(Content, T)>> {
        let (_, content, what) = self.queue.pop_front()?;
        let count = self.counts.get_mut(&content).expect("invariant: what is in the queue is counted");
        let taken = count.taken > 0;
        if taken {
            count.taken -= 1;
        } else {
            count.there -= 1;
        }
        if (count.there, count.taken) == (0, 0) {
            self.counts.remove(&content);
        }
        Some((!taken).then_some((content, what)))
    }
}
