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

/// Exchanges that are told apart, by SecurityIDSource; more share the last one's place.
const EXCHANGES_MAX: usize = 8;

#[derive(Debug, Default)]
struct Slot {
    exchange: u8,
    bid: AtomicI64,
    ask: AtomicI64,
    last: AtomicI64,
    /// When it came, nanoseconds since 1970; 0: never.
    at_ns: AtomicU64,
}

/// The market's prices. How old they are is asked of an exchange, not of a security: a snapshot is published when something
/// has changed, so that of a quiet security is old and true while its exchange is heard of.
#[derive(Debug)]
pub struct Quotes {
    slots: Box<[Slot]>,
    /// When an exchange was heard of last, nanoseconds since 1970.
    heard_ns: [AtomicU64; EXCHANGES_MAX],
}

impl Quotes {
    /// None is known yet; `exchanges` are the numbers of the securities' exchanges.
    pub fn new(exchanges: impl Iterator<Item = usize>) -> Self {
        let slot =
            |exchange: usize| Slot { exchange: exchange.min(EXCHANGES_MAX - 1) as u8, ..Slot::default() };
        Self { slots: exchanges.map(slot).collect(), heard_ns: Default::default() }
    }

    /// A snapshot came, at a time in nanoseconds since 1970. One thread calls this.
    pub fn set(&self, security: u32, quote: Quote, at_ns: u64) {
        let Some(slot) = self.slots.get(security as usize) else { return };
        slot.bid.store(quote.bid, Ordering::Relaxed);
        slot.ask.store(quote.ask, Ordering::Relaxed);
        slot.last.store(quote.last, Ordering::Relaxed);
        slot.at_ns.store(at_ns, Ordering::Release);
        self.heard_ns[usize::from(slot.exchange)].fetch_max(at_ns, Ordering::Release);
    }

    /// No price is known any more, until its next snapshot. The thread of [`Self::set`] calls this.
    #[cold]
    pub fn forget(&self) {
        self.slots.iter().for_each(|slot| slot.at_ns.store(0, Ordering::Release));
    }

    /// What is known, if the security's exchange was heard of at `since_ns` or later.
    #[inline]
    pub fn quote(&self, security: u32, since_ns: u64) -> Option<Quote> {
        let slot = self.slots.get(security as usize)?;
        let heard_ns = self.heard_ns[usize::from(slot.exchange)].load(Ordering::Acquire);
        let known = slot.at_ns.load(Ordering::Acquire) != 0;
        (known && heard_ns >= since_ns).then(|| Quote {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BID: Quote = Quote { bid: 9, ask: 0, last: 0 };

    #[test]
    fn a_quiet_security_is_known_while_its_exchange_is_heard_of() {
        let quotes = Quotes::new([0, 0, 1].into_iter());
        quotes.set(0, BID, 100);
        quotes.set(2, BID, 900);
        assert_eq!(quotes.quote(0, 101), None, "the other exchange says nothing of this one");
        quotes.set(1, BID, 800);
        assert_eq!(quotes.quote(0, 101), Some(BID));
        assert_eq!(quotes.quote(0, 801), None);
        assert_eq!(quotes.quote(3, 0), None);
        assert_eq!(quotes.at_ns(0), 100);
    }

    #[test]
    fn what_never_came_is_not_known() {
        let quotes = Quotes::new([0, EXCHANGES_MAX + 5].into_iter());
        quotes.set(1, BID, 5);
        assert_eq!(quotes.quote(0, 0), None);
        quotes.set(7, BID, 5);
        assert_eq!(quotes.quote(1, 5), Some(BID));
        quotes.forget();
        assert_eq!(quotes.quote(1, 0), None, "what is no longer known is not, either");
        quotes.set(1, BID, 6);
        assert_eq!(quotes.quote(1, 5), Some(BID));
    }
}
