//! The queues of the levels: orders in two slabs, linked through each other, so that joining at the back, trading at
//! the front and leaving from the middle each touch the neighbours only.

use super::{Depth, Fill, OrderNo};
use slab::Slab;

/// No neighbour.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Resting {
    leaves: i64,
    order: OrderNo,
    level: u32,
    ahead: u32,
    behind: u32,
}

#[derive(Debug)]
struct Level {
    price: i64,
    quantity: i64,
    orders: u32,
    front: u32,
    back: u32,
}

/// All levels of a book and the orders in them.
#[derive(Debug, Default)]
pub(super) struct Queues {
    resting: Slab<Resting>,
    levels: Slab<Level>,
}

impl Queues {
    pub(super) fn open(&mut self, price: i64) -> u32 {
        key(self.levels.insert(Level { price, quantity: 0, orders: 0, front: NONE, back: NONE }))
    }

    pub(super) fn close(&mut self, level: u32) {
        self.levels.remove(level as usize);
    }

    pub(super) fn is_empty(&self, level: u32) -> bool {
        self.levels[level as usize].orders == 0
    }

    pub(super) fn price(&self, level: u32) -> i64 {
        self.levels[level as usize].price
    }

    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }

    /// Puts an order at the back of a level.
    pub(super) fn join(&mut self, level: u32, leaves: i64, order: OrderNo) -> u32 {
        let queue = &mut self.levels[level as usize];
        let ahead = queue.back;
        let place = key(self.resting.insert(Resting { leaves, order, level, ahead, behind: NONE }));
        queue.quantity += leaves;
        queue.orders += 1;
        queue.back = place;
        if ahead == NONE {
            queue.front = place;
        } else {
            self.resting[ahead as usize].behind = place;
        }
        place
    }

    /// Takes an order out, wherever in its level it stands; returns the level and what was left of the order.
    pub(super) fn leave(&mut self, place: u32, order: OrderNo) -> (u32, i64) {
        let left = self.resting.remove(place as usize);
        assert!(left.order == order, "place {place} is of order {}, not {order}", left.order);
        let queue = &mut self.levels[left.level as usize];
        queue.quantity -= left.leaves;
        queue.orders -= 1;
        match left.ahead {
            NONE => queue.front = left.behind,
            ahead => self.resting[ahead as usize].behind = left.behind,
        }
        match left.behind {
            NONE => queue.back = left.ahead,
            behind => self.resting[behind as usize].ahead = left.ahead,
        }
        (left.level, left.leaves)
    }

    /// Trades up to `wanted` with a level, the oldest order first; returns what is still wanted.
    pub(super) fn trade(&mut self, level: u32, price: i64, wanted: i64, fills: &mut Vec<Fill>) -> i64 {
        let queue = &mut self.levels[level as usize];
        let mut left = wanted;
        while left > 0 && queue.front != NONE {
            let place = queue.front as usize;
            let resting = &mut self.resting[place];
            let quantity = left.min(resting.leaves);
            resting.leaves -= quantity;
            queue.quantity -= quantity;
            left -= quantity;
            let (maker, maker_leaves, behind) = (resting.order, resting.leaves, resting.behind);
            fills.push(Fill { maker, price, quantity, maker_leaves });
            if maker_leaves == 0 {
                self.resting.remove(place);
                queue.orders -= 1;
                queue.front = behind;
                match behind {
                    NONE => queue.back = NONE,
                    next => self.resting[next as usize].ahead = NONE,
                }
            }
        }
        left
    }

    pub(super) fn depth(&self, level: u32) -> Depth {
        let Level { price, quantity, orders, .. } = self.levels[level as usize];
        Depth { price, quantity, orders }
    }

    /// Orders of a level and what they still want, oldest first.
    pub(super) fn orders(&self, level: u32) -> impl Iterator<Item = (OrderNo, i64)> + '_ {
        let mut place = self.levels[level as usize].front;
        std::iter::from_fn(move || {
            let resting = self.resting.get(place as usize)?;
            place = resting.behind;
            Some((resting.order, resting.leaves))
        })
    }
}

/// A slab's key in 32 bits: orders of a day are counted in 32 bits, so there are never more places.
fn key(key: usize) -> u32 {
    u32::try_from(key).expect("invariant: fewer orders than 2^32")
}
