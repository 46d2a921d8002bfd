//! Hot path: the limit order book of one security, price before time.
//!
//! Rules: no allocation in steady state (slabs and ladders keep their room), no lock, no log; a step touches the
//! levels that it trades with and no others. Prices and quantities are raw integers of whatever scale the caller
//! uses; an order is known by the number its owner gave it.
//!
//! What it is not: it knows no messages, no accounts, no rules of a market. It keeps what rests in order and says
//! what trades with what; [`crate::core`] decides what may come in and what is said about it.

mod ladder;
mod queue;

use ladder::Ladder;
use queue::Queues;

/// An order's number, given by the owner of the book: its place in the owner's list of orders.
pub type OrderNo = u32;

/// Which side of the market an order is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Buys: the highest price is best.
    Buy,
    /// Sells: the lowest price is best.
    Sell,
}

impl Side {
    /// The side that this one trades with.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Whether an order of this side with a limit of `limit` may trade at `price`.
    pub const fn accepts(self, limit: i64, price: i64) -> bool {
        match self {
            Self::Buy => price <= limit,
            Self::Sell => price >= limit,
        }
    }
}

/// How far an incoming order may go into the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Worst price that it takes; `None` takes any.
    pub limit: Option<i64>,
    /// Most price levels that it takes from.
    pub levels_max: usize,
}

impl Reach {
    /// Any price, any number of levels.
    pub const ANY: Self = Self { limit: None, levels_max: usize::MAX };

    /// Up to a limit price.
    pub const fn to(limit: i64) -> Self {
        Self { limit: Some(limit), levels_max: usize::MAX }
    }

    fn covers(self, taker: Side, price: i64) -> bool {
        self.limit.is_none_or(|limit| taker.accepts(limit, price))
    }
}

/// One trade of an incoming order with a resting one, at the resting one's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The resting order.
    pub maker: OrderNo,
    /// Price of the trade.
    pub price: i64,
    /// Quantity traded, above 0.
    pub quantity: i64,
    /// What is left of the resting order; at 0 it is no longer in the book.
    pub maker_leaves: i64,
}

/// Where a resting order is; good until it is filled or cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// A price level as the market sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The level's price.
    pub price: i64,
    /// Sum of what its orders still want.
    pub quantity: i64,
    /// Count of its orders.
    pub orders: u32,
}

/// The book of one security.
#[derive(Debug)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    queues: Queues,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Self { bids: Ladder::new(Side::Buy), asks: Ladder::new(Side::Sell), queues: Queues::default() }
    }

    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// Best price of a side.
    pub fn best(&self, side: Side) -> Option<i64> {
        self.ladder(side).best().map(|rung| rung.price)
    }

    /// Trades an incoming order of `quantity` with the other side, best price first and within a price the oldest
    /// first; appends the trades to `fills` and returns what is left of the quantity.
    pub fn take(&mut self, taker: Side, reach: Reach, quantity: i64, fills: &mut Vec<Fill>) -> i64 {
        let (ladder, queues) = match taker {
            Side::Buy => (&mut self.asks, &mut self.queues),
            Side::Sell => (&mut self.bids, &mut self.queues),
        };
        let mut left = quantity;
        for _ in 0..reach.levels_max {
            let Some(rung) = ladder.best() else { break };
            if left == 0 || !reach.covers(taker, rung.price) {
                break;
            }
            left = queues.trade(rung.level, rung.price, left, fills);
            if queues.is_empty(rung.level) {
                queues.close(rung.level);
                ladder.pop_best();
            }
        }
        left
    }

    /// Lets an order rest, behind all others of its price.
    ///
    /// The caller has traded it with [`Book::take`] before, so that the book is not crossed by it, or collects orders for an
    /// auction.
    pub fn rest(&mut self, side: Side, price: i64, quantity: i64, order: OrderNo) -> Place {
        assert!(quantity > 0, "an order rests with something left");
        let queues = &mut self.queues;
        let ladder = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let level = ladder.level_at(price, || queues.open(price));
        Place(queues.join(level, quantity, order))
    }

    /// Takes a resting order out and returns what was left of it.
    ///
    /// # Panics
    /// If `place` is not that of `order`: the owner forgets a place when the order is filled or cancelled.
    pub fn cancel(&mut self, side: Side, place: Place, order: OrderNo) -> i64 {
        let (level, leaves) = self.queues.leave(place.0, order);
        if self.queues.is_empty(level) {
            let price = self.queues.price(level);
            self.queues.close(level);
            self.ladder_mut(side).remove(price);
        }
        leaves
    }

    /// How much an incoming order could take, counted up to `wanted`.
    pub fn available(&self, taker: Side, reach: Reach, wanted: i64) -> i64 {
        let mut sum = 0;
        for depth in self.depth(taker.opposite()).take(reach.levels_max) {
            if sum >= wanted || !reach.covers(taker, depth.price) {
                break;
            }
            sum += depth.quantity;
        }
        sum.min(wanted)
    }

    /// Levels of a side, best first.
    pub fn depth(&self, side: Side) -> impl Iterator<Item = Depth> + '_ {
        self.ladder(side).best_first().map(|rung| self.queues.depth(rung.level))
    }

    /// What the orders at the best price of a side still want, oldest first.
    pub fn best_queue(&self, side: Side) -> impl Iterator<Item = (OrderNo, i64)> + '_ {
        self.ladder(side).best().into_iter().flat_map(|rung| self.queues.orders(rung.level))
    }

    /// Count of resting orders.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether nothing rests.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
