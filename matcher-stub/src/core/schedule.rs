//! Hot path: which phase of the day it is. A phase follows from the time of a step alone, so a replay has the same.
//!
//! What it is not: call auctions. An auction's hours are to be scheduled as closed.

use wire::szse::Text;
use wire::szse::Timestamp;

/// A phase of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Orders trade as they come.
    Continuous,
    /// Between two phases: neither orders nor cancels are taken.
    Break,
    /// Before or after all trading: neither orders nor cancels are taken.
    Closed,
}

impl Phase {
    /// TradingPhaseCode of a security that is not halted.
    pub(super) const fn code(self) -> Text<8> {
        match self {
            Self::Continuous => Text::literal("T0"),
            Self::Break => Text::literal("B0"),
            Self::Closed => Text::literal("E0"),
        }
    }
}

/// A time of day to the second, in the exchange's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(i64);

/// Timestamps end in the digits HHMMSSsss.
const CLOCK: i64 = 1_000_000_000;

impl TimeOfDay {
    fn of(time: Timestamp) -> Self {
        Self(time.raw() % CLOCK)
    }
}

/// Why a text is no time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time from \"00:00:00\" to \"23:59:59\"")]
pub struct TimeOfDayError;

impl std::str::FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let &[h1, h2, b':', m1, m2, b':', s1, s2] = text.as_bytes() else { return Err(TimeOfDayError) };
        let two = |tens: u8, ones: u8, end: i64| {
            let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
            let number = digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'));
            number.filter(|number| *number < end).ok_or(TimeOfDayError)
        };
        let clock = (two(h1, h2, 24)? * 100 + two(m1, m2, 60)?) * 100 + two(s1, s2, 60)?;
        Ok(Self(clock * 1_000))
    }
}

/// Why a list of phases is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("each phase must begin later than the one before it")]
pub struct ScheduleError;

/// The phases of a day, each from its time on to the next one's; before the first it is closed. Without phases trading is
/// continuous around the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<(TimeOfDay, Phase)>);

impl Schedule {
    /// # Errors
    /// [`ScheduleError`]
    pub fn new(phases: Vec<(TimeOfDay, Phase)>) -> Result<Self, ScheduleError> {
        if phases.is_sorted_by(|one, next| one.0 < next.0) { Ok(Self(phases)) } else { Err(ScheduleError) }
    }

    /// The phase at a time.
    #[inline]
    pub(super) fn at(&self, time: Timestamp) -> Phase {
        if self.0.is_empty() {
            return Phase::Continuous;
        }
        let clock = TimeOfDay::of(time);
        self.0.iter().rev().find(|(from, _)| *from <= clock).map_or(Phase::Closed, |(_, phase)| *phase)
    }
}
