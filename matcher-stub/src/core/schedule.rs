//! Hot path: which phase of the day it is. A phase ends at its edge, never at the step that comes next, and time at the core
//! does not go back over an edge: so a replay of the inputs passes each edge between the same two of them, at the same time.

use super::Now;
use wire::szse::Text;

/// A call auction (集合竞价). An auction may be of several phases in a row: it ends with the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Before the day's first continuous trading.
    Opening,
    /// At the end of the day.
    Closing,
}

/// A phase of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Limit orders are collected, and trade at one price when the auction ends.
    Call {
        /// Which auction.
        call: Call,
        /// Whether cancels are taken.
        cancels: bool,
    },
    /// Orders trade as they come.
    Continuous,
    /// Between two phases: neither orders nor cancels are taken. From 9:25 to 9:30 the exchange takes both and looks at
    /// them when trading goes on (?); here they are refused.
    Break,
    /// Before or after all trading: neither orders nor cancels are taken.
    Closed,
}

impl Phase {
    /// TradingPhaseCode of a security that is not halted (?: the letters are from memory).
    pub(super) const fn code(self) -> Text<8> {
        match self {
            Self::Call { call: Call::Opening, .. } => Text::literal("O0"),
            Self::Call { call: Call::Closing, .. } => Text::literal("C0"),
            Self::Continuous => Text::literal("T0"),
            Self::Break => Text::literal("B0"),
            Self::Closed => Text::literal("E0"),
        }
    }

    /// The auction that it is a part of.
    pub(super) const fn call(self) -> Option<Call> {
        match self {
            Self::Call { call, .. } => Some(call),
            Self::Continuous | Self::Break | Self::Closed => None,
        }
    }
}

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_DAY: u64 = 86_400 * NS_PER_S;

/// A time of day to the second, in the exchange's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    seconds: u32,
}

impl TimeOfDay {
    const MIDNIGHT: Self = Self { seconds: 0 };

    const fn ns(self) -> u64 {
        self.seconds as u64 * NS_PER_S
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
        let two = |tens: u8, ones: u8, end: u32| {
            let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
            let number = digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'));
            number.filter(|number| *number < end).ok_or(TimeOfDayError)
        };
        Ok(Self { seconds: (two(h1, h2, 24)? * 60 + two(m1, m2, 60)?) * 60 + two(s1, s2, 60)? })
    }
}

/// Why a list of phases is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("each phase must begin later than the one before it")]
pub struct ScheduleError;

/// The phases of a day, each from its time on to the next one's; before the first it is closed. Without phases trading is
/// continuous around the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The first begins at midnight.
    phases: Vec<(TimeOfDay, Phase)>,
}

impl Schedule {
    /// # Errors
    /// [`ScheduleError`]
    pub fn new(mut phases: Vec<(TimeOfDay, Phase)>) -> Result<Self, ScheduleError> {
        if !phases.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(ScheduleError);
        }
        if phases.first().is_some_and(|(from, _)| *from > TimeOfDay::MIDNIGHT) {
            phases.insert(0, (TimeOfDay::MIDNIGHT, Phase::Closed));
        }
        Ok(Self { phases })
    }
}

/// The edge between two phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// When it was.
    pub(super) at: Now,
    /// The auction that ended there.
    pub(super) ended: Option<Call>,
}

/// How far a core has come in its schedule.
#[derive(Debug)]
pub(super) struct Course {
    schedule: Schedule,
    phase: Phase,
    /// When the phase began; 0 before the first step.
    since_ns: u64,
    /// When the next one begins.
    until_ns: u64,
}

impl Course {
    pub(super) fn new(schedule: Schedule) -> Self {
        let (phase, until_ns) =
            if schedule.phases.is_empty() { (Phase::Continuous, u64::MAX) } else { (Phase::Closed, 0) };
        Self { schedule, phase, since_ns: 0, until_ns }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The time of a step, which is never before the phase that was reached: a clock that was set back stands still at its
    /// beginning.
    pub(super) fn not_before(&self, now: Now) -> Now {
        if now.unix_ns < self.since_ns { Now::at(self.since_ns) } else { now }
    }

    /// Whether the next edge lies before a time.
    #[inline]
    pub(super) fn is_due(&self, now: Now) -> bool {
        now.unix_ns >= self.until_ns
    }

    /// Passes the next edge, if it is time.
    #[inline]
    pub(super) fn pass(&mut self, now: Now) -> Option<Edge> {
        self.is_due(now).then(|| self.pass_edge(now))
    }

    #[cold]
    fn pass_edge(&mut self, now: Now) -> Edge {
        let first = self.until_ns == 0;
        let at = if first { now } else { Now::at(self.until_ns) };
        let ended = self.phase.call();
        self.enter(at);
        Edge { at, ended: ended.filter(|call| self.phase.call() != Some(*call)) }
    }

    fn enter(&mut self, at: Now) {
        let phases = &self.schedule.phases;
        let clock_ns = u64::from(at.time.ms_of_day()) * NS_PER_MS;
        let midnight_ns = at.unix_ns / NS_PER_MS * NS_PER_MS - clock_ns;
        let next = phases.partition_point(|(from, _)| from.ns() <= clock_ns);
        let (from, phase) = phases[next - 1];
        self.phase = phase;
        self.since_ns = midnight_ns + from.ns();
        self.until_ns = midnight_ns + phases.get(next).map_or(NS_PER_DAY, |(from, _)| from.ns());
    }
}
