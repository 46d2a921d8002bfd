//! The price of a call auction, by the exchange's public trading rules: the price that
//!
//! 1. trades the largest volume,
//! 2. fills wholly all buys above it and all sells below it,
//! 3. fills wholly, of the orders at it, at least those of one side;
//!
//! of several such prices the one at which buys at or above it and sells at or below it differ least; of several of those
//! the one nearest to a reference ([`reference`]). It may be a price that no order has.
//!
//! When an auction ends ([`Core::pass`]) what trades is taken from both sides, price before time; who trades with whom is nobody's business but the ticks'.
//! Those of a whole market take too long for one turn: [`Core::pass_some`] makes a part of them, and no input comes between two parts,
//! so that a replay, which makes all at once, has the same numbers.

use super::board::Day;
use super::listing::{Listing, SecurityNo};
use super::schedule::{Call, Edge};
use super::tape::Subject;
use super::{Core, Now, Outlet};
use crate::book::{Book, Reach, Side};

/// What an auction of a book would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// All trade at it.
    pub(super) price: i64,
    /// Quantity that trades, above 0.
    pub(super) volume: i64,
    /// Quantity that would trade at the price but finds nothing: of buys above 0, of sells below 0.
    pub(super) surplus: i64,
}

/// The nearest to this is taken where all else is equal: the previous close at the opening (other exchanges: the middle of
/// the prices), the last trade at the closing, or the previous close where there was none.
pub(super) fn reference(call: Call, listing: &Listing, day: &Day) -> i64 {
    let prev_close = listing.prev_close.raw();
    match call {
        Call::Opening => prev_close,
        Call::Closing => day.last().unwrap_or(prev_close),
    }
}

/// An edge that is being passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    edge: Edge,
    /// Those before this one are on the other side of it.
    security: SecurityNo,
    /// The price of its auction, and the quantity that is still to trade, once that is known.
    open: Option<(i64, i64)>,
}

/// A price that orders have, and what they want there.
#[derive(Clone, Copy, Debug)]
struct Level {
    price: i64,
    buys: i64,
    sells: i64,
}

/// Makes auctions' prices, one book at a time.
#[derive(Debug, Default)]
pub(super) struct Auction {
    /// Between the best prices of both sides, ascending.
    levels: Vec<Level>,
}

/// Neighbouring prices at which the same orders would trade.
#[derive(Clone, Copy, Debug)]
struct Prices {
    lowest: i64,
    highest: i64,
    /// Wanted above them, and at or above them.
    buys: (i64, i64),
    /// Wanted below them, and at or below them.
    sells: (i64, i64),
}

impl Prices {
    fn outcome(&self, reference: i64) -> Option<Outcome> {
        let volume = self.buys.1.min(self.sells.1);
        // One side trades all that it wants, which is the third rule.
        let fills_better = self.buys.0 <= volume && self.sells.0 <= volume;
        (fills_better && volume > 0).then(|| Outcome {
            price: reference.clamp(self.lowest, self.highest),
            volume,
            surplus: self.buys.1 - self.sells.1,
        })
    }
}

impl Auction {
    /// What an auction of the book would come to as it stands; `None` where nothing would trade.
    ///
    /// Prices of the book and the reference are multiples of `tick`.
    pub(super) fn outcome(&mut self, book: &Book, tick: i64, reference: i64) -> Option<Outcome> {
        let (best_buy, best_sell) = (book.best(Side::Buy)?, book.best(Side::Sell)?);
        if best_buy < best_sell {
            return None;
        }
        self.collect(book, best_buy, best_sell);
        let mut best: Option<Outcome> = None;
        let mut consider = |prices: Prices| {
            let Some(new) = prices.outcome(reference) else { return };
            // No two are equal in all three, since the reference is a price: see the tests.
            let rank = |of: &Outcome| (of.volume, -of.surplus.abs(), -(of.price - reference).abs());
            if best.as_ref().is_none_or(|best| rank(&new) > rank(best)) {
                best = Some(new);
            }
        };
        let mut buys: i64 = self.levels.iter().map(|level| level.buys).sum();
        let mut sells = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let (buys_above, sells_below) = (buys - level.buys, sells);
            sells += level.sells;
            consider(Prices {
                lowest: level.price,
                highest: level.price,
                buys: (buys_above, buys),
                sells: (sells_below, sells),
            });
            buys = buys_above;
            let Some(next) = self.levels.get(index + 1) else { break };
            let (lowest, highest) = (level.price + tick, next.price - tick);
            if lowest <= highest {
                consider(Prices { lowest, highest, buys: (buys, buys), sells: (sells, sells) });
            }
        }
        best
    }

    fn collect(&mut self, book: &Book, best_buy: i64, best_sell: i64) {
        self.levels.clear();
        for depth in book.depth(Side::Buy).take_while(|depth| depth.price >= best_sell) {
            self.levels.push(Level { price: depth.price, buys: depth.quantity, sells: 0 });
        }
        for depth in book.depth(Side::Sell).take_while(|depth| depth.price <= best_buy) {
            self.levels.push(Level { price: depth.price, buys: 0, sells: depth.quantity });
        }
        self.levels.sort_unstable_by_key(|level| level.price);
        self.levels.dedup_by(|level, first| {
            let same = level.price == first.price;
            if same {
                first.buys += level.buys;
                first.sells += level.sells;
            }
            same
        });
    }
}

impl Core {
    /// The time that a step has: `now`, but never before the phase that was reached. With a clock that was set back, an
    /// input has it in the journal, so that it is behind the same edge when it is read again.
    pub fn not_before(&self, now: Now) -> Now {
        self.course.not_before(now)
    }

    /// Comes to the phase of a time: auctions that have ended trade, dated with their end. All other steps do it first.
    #[inline]
    pub fn pass(&mut self, now: Now, out: &mut impl Outlet) {
        while !self.pass_some(now, u32::MAX, out) {}
    }

    /// Comes to the phase of a time as far as `steps` reach, each a trade or a security; whether it is there. Until it is, no input
    /// is to be given to it.
    #[inline]
    pub fn pass_some(&mut self, now: Now, mut steps: u32, out: &mut impl Outlet) -> bool {
        self.go_on(&mut steps, out)
            && loop {
                let Some(edge) = self.course.pass(now) else { break true };
                self.passing = Some(Passing { edge, security: 0, open: None });
                if !self.go_on(&mut steps, out) {
                    break false;
                }
            }
    }

    /// Goes on with the edge that is being passed as far as `steps` reach; whether none is any more.
    #[inline]
    pub fn go_on(&mut self, steps: &mut u32, out: &mut impl Outlet) -> bool {
        self.passing.take().is_none_or(|passing| self.pass_edge(passing, steps, out))
    }

    /// Whether an edge is being passed.
    #[inline]
    pub fn is_passing(&self) -> bool {
        self.passing.is_some()
    }

    /// Whether an edge lies before a time.
    #[inline]
    pub fn is_due(&self, now: Now) -> bool {
        self.course.is_due(now)
    }

    #[cold]
    fn pass_edge(&mut self, mut passing: Passing, steps: &mut u32, out: &mut impl Outlet) -> bool {
        let edge = passing.edge;
        while (passing.security as usize) < self.instruments.len() {
            if *steps == 0 {
                self.passing = Some(passing);
                return false;
            }
            let security = passing.security;
            if passing.open.is_none() {
                *steps -= 1;
                passing.open = edge.ended.and_then(|call| {
                    let outcome = self.outcome(call, security)?;
                    Some((outcome.price, outcome.volume))
                });
            }
            if let Some(open) = passing.open {
                passing.open = self.uncross(edge.at, security, open, steps, out);
                if passing.open.is_some() {
                    continue;
                }
            }
            self.board.touch(security, &mut self.instruments[security as usize]);
            passing.security += 1;
        }
        true
    }

    /// Ends the auction of a security: what can trade does, at one price, as far as `steps` reach; the rest goes on resting. Returns
    /// what is still to be traded.
    fn uncross(
        &mut self,
        at: Now,
        security: SecurityNo,
        (price, mut left): (i64, i64),
        steps: &mut u32,
        out: &mut impl Outlet,
    ) -> Option<(i64, i64)> {
        let subject = Subject { number: security, id: self.listings[security].id };
        while left > 0 {
            if *steps == 0 {
                return Some((price, left));
            }
            *steps -= 1;
            let book = &mut self.instruments[security as usize].book;
            let first =
                |side| book.best_queue(side).next().expect("invariant: the volume is there on both sides");
            let quantity = left.min(first(Side::Buy).1).min(first(Side::Sell).1);
            self.fills.clear();
            for taker in [Side::Sell, Side::Buy] {
                book.take(taker, Reach::ANY, quantity, &mut self.fills);
            }
            let &[buy, sell] = &self.fills[..] else { unreachable!("each takes from the first order alone") };
            self.trade(at, subject, (Side::Buy, buy.maker, sell.maker), (price, quantity), out);
            self.agree(buy);
            self.agree(sell);
            left -= quantity;
        }
        None
    }

    /// What the auction of a security would come to now.
    pub(super) fn outcome(&mut self, call: Call, security: SecurityNo) -> Option<Outcome> {
        let (listing, instrument) = (&self.listings[security], &self.instruments[security as usize]);
        let reference = reference(call, listing, &instrument.day);
        self.auction.outcome(&instrument.book, listing.tick.raw(), reference)
    }
}
