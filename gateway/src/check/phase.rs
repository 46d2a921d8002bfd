//! Hot path: the trading day and its phases, by the exchange's clock.
//!
//! Rules: time is an argument; no allocation.

use crate::check::rule::Rule;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// A day of the exchange's calendar: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// Whether it is a Saturday or a Sunday.
    pub const fn is_weekend(self) -> bool {
        // 1970-01-01 was a Thursday: two days later it was Saturday.
        (self.0 + 5).rem_euclid(7) < 2
    }
}

/// How the exchange's clock stands to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Milliseconds east of UTC.
    pub offset_ms: i64,
}

impl Zone {
    /// The day there and the milliseconds since its midnight, at a time in nanoseconds since 1970 (UTC).
    #[inline]
    pub fn at(self, unix_ns: i64) -> (Day, u32) {
        let local_ms = unix_ns.div_euclid(1_000_000) + self.offset_ms;
        (Day(local_ms.div_euclid(DAY_MS)), local_ms.rem_euclid(DAY_MS) as u32)
    }
}

/// A part of the day in which the same things are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its first millisecond.
    pub from_ms: u32,
    /// The first millisecond that no longer belongs to it.
    pub to_ms: u32,
    /// Limit orders are taken.
    pub limit: bool,
    /// Market orders are taken: all that have no limit.
    pub market: bool,
    /// Cancels are taken.
    pub cancel: bool,
    /// The price cage holds.
    pub cage: bool,
}

/// The phases of an exchange's day, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Phase>);

impl Schedule {
    /// The phase at a time of the day.
    ///
    /// # Errors
    /// There is none: the market is closed.
    #[inline]
    pub fn at(&self, ms_of_day: u32) -> Result<&Phase, Rule> {
        let phase = self.0.iter().find(|phase| ms_of_day < phase.to_ms);
        phase.filter(|phase| ms_of_day >= phase.from_ms).ok_or(Rule::MarketClosed)
    }
}

impl Phase {
    /// Whether it takes an order: one with a limit, or one without.
    ///
    /// # Errors
    /// It does not.
    #[inline]
    pub fn order(&self, limit: bool) -> Result<(), Rule> {
        if if limit { self.limit } else { self.market } { Ok(()) } else { Err(Rule::OrdTypeNow) }
    }

    /// Whether it takes a cancel.
    ///
    /// # Errors
    /// It does not.
    #[inline]
    pub fn cancel(&self) -> Result<(), Rule> {
        if self.cancel { Ok(()) } else { Err(Rule::NoCancelNow) }
    }
}
