//! What rests in a security, order by order and level by level.
//!
//! An order costs one entry of a hash map and a level one of a tree.
//!
//! A level is not the sum of the orders that are known: after a hole in the ticks its quantity is what a snapshot said, and
//! orders from before the hole are a part of it that has no names.

use crate::securities::Seeded;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// A side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Buy, Self::Sell];

    /// A price as a number that is lower the better the price is on this side; also the way back.
    #[inline]
    pub(super) fn rank(self, price: i64) -> i64 {
        match self {
            Self::Buy => price.wrapping_neg(),
            Self::Sell => price,
        }
    }
}

/// What rests at a price, or is added to it: quantity in units of 0.01, and a number of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) quantity: i64,
    pub(super) orders: i64,
}

/// What a tick does to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) side: Side,
    /// Units of 0.0001.
    pub(super) price: i64,
    pub(super) by: Level,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) side: Side,
    /// Units of 0.0001; 0 while it is not known: it is then in no level.
    pub(super) price: i64,
    pub(super) quantity: i64,
}

/// Orders and levels.
#[derive(Debug)]
pub(super) struct Depth {
    orders: HashMap<i64, Order, Seeded>,
    /// Of buys and of sells, by rank: the best first.
    levels: [BTreeMap<i64, Level>; 2],
    /// Quantity in all levels of a side.
    totals: [i64; 2],
}

impl Depth {
    pub(super) fn new(seed: Seeded) -> Self {
        Self { orders: HashMap::with_hasher(seed), levels: Default::default(), totals: [0; 2] }
    }

    /// An order comes in. `None` if it has no price yet, or if its number is taken.
    pub(super) fn enter(&mut self, number: i64, order: Order) -> Option<Change> {
        match self.orders.entry(number) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                vacant.insert(order);
                self.placed(order)
            }
        }
    }

    /// An order whose price was not known has one now.
    pub(super) fn price(&mut self, number: i64, price: i64) -> Option<Change> {
        let order = self.orders.get_mut(&number).filter(|order| order.price == 0)?;
        order.price = price;
        let order = *order;
        self.placed(order)
    }

    /// An order whose price is not known, and which is in no level therefore, is none that is known any more.
    pub(super) fn forget(&mut self, number: i64) {
        if self.orders.get(&number).is_some_and(|order| order.price == 0) {
            self.orders.remove(&number);
        }
    }

    fn placed(&mut self, order: Order) -> Option<Change> {
        let by = Level { quantity: order.quantity, orders: 1 };
        (order.price > 0).then(|| self.shift(order.side, order.price, by))
    }

    /// So much of an order has traded or was cancelled. What it did to its level, if it is in one.
    pub(super) fn reduce(&mut self, number: i64, quantity: i64) -> Option<Change> {
        let Entry::Occupied(mut entry) = self.orders.entry(number) else { return None };
        let order = entry.get_mut();
        let taken = quantity.min(order.quantity);
        order.quantity -= taken;
        let (side, price, gone) = (order.side, order.price, order.quantity == 0);
        if gone {
            entry.remove();
        }
        let by = Level { quantity: -taken, orders: -i64::from(gone) };
        (price > 0).then(|| self.shift(side, price, by))
    }

    /// Adds to a level, which goes when nothing is left in it; after a hole it may hold less than is taken from it. Returned is what was
    /// asked for: a snapshot of before that is set right by it, not by what was there to be taken.
    pub(super) fn shift(&mut self, side: Side, price: i64, by: Level) -> Change {
        let total = &mut self.totals[side as usize];
        let (rank, levels) = (side.rank(price), &mut self.levels[side as usize]);
        let level = levels.entry(rank).or_default();
        let before = *level;
        level.quantity = level.quantity.saturating_add(by.quantity).max(0);
        level.orders = level.orders.saturating_add(by.orders).max(0);
        if level.quantity == 0 {
            level.orders = 0;
        }
        let after = *level;
        if after.quantity == 0 {
            levels.remove(&rank);
        }
        *total = total.saturating_add(after.quantity - before.quantity);
        Change { side, price, by }
    }

    /// An order, by its number.
    pub(super) fn order(&self, number: i64) -> Option<&Order> {
        self.orders.get(&number)
    }

    /// The levels of a side, the best first, by their price.
    pub(super) fn levels(&self, side: Side) -> impl Iterator<Item = (i64, Level)> + '_ {
        self.levels[side as usize].iter().map(move |(rank, level)| (side.rank(*rank), *level))
    }

    /// The best price of a side.
    pub(super) fn best(&self, side: Side) -> Option<i64> {
        self.levels[side as usize].first_key_value().map(|(rank, _)| side.rank(*rank))
    }

    /// Quantity in all levels of a side.
    pub(super) fn total(&self, side: Side) -> i64 {
        self.totals[side as usize]
    }

    /// Orders that are known.
    pub(super) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Levels of both sides.
    pub(super) fn level_count(&self) -> usize {
        self.levels.iter().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth() -> Depth {
        Depth::new(Seeded::random())
    }

    fn buy(price: i64, quantity: i64) -> Order {
        Order { side: Side::Buy, price, quantity }
    }

    fn levels(depth: &Depth, side: Side) -> Vec<(i64, i64, i64)> {
        depth.levels(side).map(|(price, level)| (price, level.quantity, level.orders)).collect()
    }

    #[test]
    fn orders_make_levels_the_best_first() {
        let mut depth = depth();
        for (number, price) in [(1, 100), (2, 102), (3, 100)] {
            depth.enter(number, buy(price, 5));
        }
        depth.enter(4, Order { side: Side::Sell, price: 105, quantity: 7 });
        depth.enter(5, Order { side: Side::Sell, price: 104, quantity: 1 });
        assert_eq!(levels(&depth, Side::Buy), [(102, 5, 1), (100, 10, 2)]);
        assert_eq!(levels(&depth, Side::Sell), [(104, 1, 1), (105, 7, 1)]);
        assert_eq!(Side::BOTH.map(|side| depth.total(side)), [15, 8]);
        assert_eq!(Side::BOTH.map(|side| depth.best(side)), [Some(102), Some(104)]);
    }

    #[test]
    fn what_trades_leaves_its_level_and_then_the_book() {
        let mut depth = depth();
        depth.enter(1, buy(100, 5));
        depth.enter(2, buy(100, 5));
        let by = Level { quantity: -3, orders: 0 };
        assert_eq!(depth.reduce(1, 3), Some(Change { side: Side::Buy, price: 100, by }));
        depth.reduce(1, 2);
        assert_eq!(levels(&depth, Side::Buy), [(100, 5, 1)]);
        assert_eq!(depth.reduce(1, 1), None, "it is gone");
        depth.reduce(2, 99);
        assert_eq!((depth.orders(), depth.level_count(), depth.total(Side::Buy)), (0, 0, 0));
    }

    #[test]
    fn a_number_is_an_orders_name_once() {
        let mut depth = depth();
        assert!(depth.enter(1, buy(100, 5)).is_some());
        assert_eq!(depth.enter(1, buy(101, 5)), None);
        assert_eq!(levels(&depth, Side::Buy), [(100, 5, 1)]);
    }

    #[test]
    fn an_order_without_a_price_is_in_no_level_until_it_has_one() {
        let mut depth = depth();
        assert_eq!(depth.enter(1, buy(0, 5)), None);
        assert_eq!(depth.reduce(1, 2), None);
        assert_eq!(depth.level_count(), 0);
        assert!(depth.price(1, 99).is_some());
        assert_eq!(levels(&depth, Side::Buy), [(99, 3, 1)]);
        assert_eq!(depth.price(1, 98), None, "it has one");
        depth.enter(2, buy(0, 5));
        depth.forget(2);
        assert_eq!((depth.reduce(2, 1), depth.orders(), depth.total(Side::Buy)), (None, 1, 3));
    }

    #[test]
    fn a_level_never_holds_less_than_nothing_and_says_what_was_asked_for() {
        let mut depth = depth();
        depth.enter(1, buy(100, 5));
        let by = Level { quantity: -8, orders: -3 };
        assert_eq!(depth.shift(Side::Buy, 100, by).by, by);
        assert_eq!((depth.level_count(), depth.total(Side::Buy)), (0, 0));
        let by = Level { quantity: -5, orders: -1 };
        assert_eq!(depth.reduce(1, 5).unwrap().by, by, "its level was empty already");
        assert_eq!((depth.level_count(), depth.total(Side::Buy)), (0, 0));
        depth.shift(Side::Sell, 7, Level { quantity: i64::MAX, orders: i64::MAX });
        depth.shift(Side::Sell, 7, Level { quantity: i64::MAX, orders: i64::MAX });
        assert_eq!(depth.total(Side::Sell), i64::MAX);
    }
}
