//! The prices of one side, the best at the end.
//!
//! A sorted vector, not a tree: trading happens at the end, new prices come near it, so that an insertion moves few
//! 16-byte rungs, and the ten best levels of a snapshot are neighbours in memory. The worst case is bounded by the
//! price limits of the day: at 10 % and a tick of 0.01 a security of 100.00 has 2,001 prices, 32 KiB to move.

use super::Side;

/// A price and the level that queues its orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rung {
    pub(super) price: i64,
    pub(super) level: u32,
}

#[derive(Debug)]
pub(super) struct Ladder {
    side: Side,
    rungs: Vec<Rung>,
}

impl Ladder {
    pub(super) const fn new(side: Side) -> Self {
        Self { side, rungs: Vec::new() }
    }

    pub(super) fn best(&self) -> Option<Rung> {
        self.rungs.last().copied()
    }

    pub(super) fn pop_best(&mut self) {
        self.rungs.pop();
    }

    pub(super) fn best_first(&self) -> impl Iterator<Item = Rung> + '_ {
        self.rungs.iter().rev().copied()
    }

    /// The level of a price; `open` makes one where there is none.
    pub(super) fn level_at(&mut self, price: i64, open: impl FnOnce() -> u32) -> u32 {
        match self.find(price) {
            Ok(index) => self.rungs[index].level,
            Err(index) => {
                let level = open();
                self.rungs.insert(index, Rung { price, level });
                level
            }
        }
    }

    pub(super) fn remove(&mut self, price: i64) {
        let index = self.find(price).expect("invariant: a level that had an order has a rung");
        self.rungs.remove(index);
    }

    fn find(&self, price: i64) -> Result<usize, usize> {
        match self.side {
            Side::Buy => self.rungs.binary_search_by(|rung| rung.price.cmp(&price)),
            Side::Sell => self.rungs.binary_search_by(|rung| price.cmp(&rung.price)),
        }
    }
}
