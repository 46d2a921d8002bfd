//! Hot path: the market's prices, by security: written by the thread that follows the feed, read by the one that checks.
//!
//! Rules: no lock. Each price is an atomic of its own: a reader may see the bid of one snapshot beside the ask of the
//! next, which no rule compares.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What is known of a security's market. Prices are raw units of [`wire::szse::Price`]; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: i64,
    /// Best ask.
    pub ask: i64,
    /// Last trade of the day.
    pub last: i64,
}

#[derive(Debug, Default)]
struct Slot {
    bid: AtomicI64,
    ask: AtomicI64,
    last: AtomicI64,
    /// When it came, nanoseconds since 1970; 0: never.
    at_ns: AtomicU64,
}

/// The market's prices.
#[derive(Debug)]
pub struct Quotes {
    slots: Box<[Slot]>,
}

impl Quotes {
    /// None is known yet.
    pub fn new(securities: usize) -> Self {
        Self { slots: std::iter::repeat_with(Slot::default).take(securities).collect() }
    }

    /// A snapshot came, at a time in nanoseconds since 1970.
    pub fn set(&self, security: u32, quote: Quote, at_ns: u64) {
        let Some(slot) = self.slots.get(security as usize) else { return };
        slot.bid.store(quote.bid, Ordering::Relaxed);
        slot.ask.store(quote.ask, Ordering::Relaxed);
        slot.last.store(quote.last, Ordering::Relaxed);
        slot.at_ns.store(at_ns, Ordering::Release);
    }

    /// What is known, if it came at `since_ns` or later.
    #[inline]
    pub fn quote(&self, security: u32, since_ns: u64) -> Option<Quote> {
        let slot = self.slots.get(security as usize)?;
        let at_ns = slot.at_ns.load(Ordering::Acquire);
        (at_ns != 0 && at_ns >= since_ns).then(|| Quote {
            bid: slot.bid.load(Ordering::Relaxed),
            ask: slot.ask.load(Ordering::Relaxed),
            last: slot.last.load(Ordering::Relaxed),
        })
    }

    /// When a security was heard of last.
    pub fn at_ns(&self, security: u32) -> u64 {
        self.slots.get(security as usize).map_or(0, |slot| slot.at_ns.load(Ordering::Acquire))
    }
}
