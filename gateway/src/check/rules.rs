//! The dated rules as their file has them: sets, each in force from a day on. What is not in the file is no rule; what is
//! there twice, or makes no sense, is refused with its place.

use crate::check::phase::{Day, Phase, Schedule, Zone};
use crate::check::rate::Marks;
use serde::{Deserialize, Deserializer, de};
use service::config::Invalid;
use std::collections::{BTreeMap, HashSet};
use wire::szse::{Price, Timestamp};

/// The rules that come with the program.
pub const A_SHARE: &str = include_str!("../../rules/a-share.toml");

/// A file of rules.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Minutes east of UTC of the exchange's clock.
    pub utc_offset_minutes: i32,
    /// Days without trading besides weekends.
    pub closed_days: Vec<Date>,
    /// Sets, each from a day on.
    pub sets: Vec<Set>,
}

/// The phases of an exchange's day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSchedule {
    /// What the reference data calls it.
    pub name: String,
    /// Its phases, ascending.
    pub phases: Vec<PhaseText>,
}

/// A phase as the file has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseText {
    name: String,
    from: TimeOfDay,
    to: TimeOfDay,
    limit: bool,
    market: bool,
    cancel: bool,
    cage: bool,
}

/// What is in force from a day on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The first day.
    pub from: Date,
    /// What counts as high-frequency trading.
    pub high_frequency: MarksText,
    /// The cage looks at the best price of an order's own side where the other has none.
    pub cage_own_side: bool,
    /// A short sale may be a market order.
    pub short_market_orders: bool,
    /// The day's phases, by name.
    pub schedules: Vec<NamedSchedule>,
    /// By board.
    pub boards: BTreeMap<String, Board>,
}

/// See [`Marks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarksText {
    per_second: u32,
    per_day: u32,
}

/// The rules of a board.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Steps of a price.
    #[serde(deserialize_with = "price")]
    pub tick: Price,
    /// Fewest shares of a buy.
    pub buy_min: u32,
    /// What is beyond [`Self::buy_min`] comes in these, shares.
    pub buy_step: u32,
    /// Most shares of a limit order.
    pub limit_order_max: u32,
    /// Most shares of a market order.
    pub market_order_max: u32,
    /// Price limit, percent of the previous close.
    pub limit_percent: u32,
    /// The same of ST shares.
    pub st_limit_percent: u32,
    /// First days of a listing that have no limit.
    pub ipo_days_without_limit: u32,
    /// Price cage, percent of what it is held against.
    pub cage_percent: u32,
    /// Ticks that the cage has at least.
    pub cage_ticks: u32,
}

/// A date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub Day);

impl Date {
    /// A day of the calendar; `None` where there is none.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let digits = (i64::from(year) * 100 + i64::from(month)) * 100 + i64::from(day);
        // Timestamps are UTC+8: noon there is the same date here.
        let unix_ns = Timestamp::from_raw(digits * 1_000_000_000 + 120_000_000).to_unix_ns()?;
        Some(Self(Day((unix_ns / 86_400_000_000_000).cast_signed())))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = toml::value::Datetime::deserialize(deserializer)?;
        match (text.date, text.time) {
            (Some(date), None) => Self::new(date.year, date.month, date.day),
            _ => None,
        }
        .ok_or_else(|| de::Error::custom("expected a date such as 2026-07-06"))
    }
}

/// Milliseconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TimeOfDay(u32);

impl TimeOfDay {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':').map(|part| match part.len() {
            2 if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse::<u32>().ok(),
            _ => None,
        });
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        let good = parts.next().is_none() && minute < 60 && second < 60 && hour <= 24;
        let ms = ((hour * 60 + minute) * 60 + second) * 1_000;
        (good && i64::from(ms) <= super::phase::DAY_MS).then_some(Self(ms))
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("expected a time such as \"09:30:00\""))
    }
}

fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Price, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

impl Rules {
    /// The exchange's clock.
    pub fn zone(&self) -> Zone {
        Zone { offset_ms: i64::from(self.utc_offset_minutes) * 60_000 }
    }

    /// The set in force on a day.
    pub fn set(&self, day: Day) -> Option<&Set> {
        self.sets.iter().rev().find(|set| set.from.0 <= day)
    }

    /// Whether there is trading on a day.
    pub fn is_trading_day(&self, day: Day) -> bool {
        !day.is_weekend() && !self.closed_days.contains(&Date(day))
    }
}

impl Set {
    fn validate_schedules(&self) -> Result<(), (String, &'static str)> {
        let mut names = HashSet::new();
        for (index, NamedSchedule { name, phases }) in self.schedules.iter().enumerate() {
            if name.is_empty() || !names.insert(name) {
                return Err((format!("schedules[{index}].name"), "expected a name that no other has"));
            }
            let ascending = phases.iter().all(|phase| phase.from < phase.to)
                && phases.windows(2).all(|pair| pair[0].to <= pair[1].from);
            if !ascending || phases.is_empty() {
                let problem = "expected phases that ascend and do not overlap";
                return Err((format!("schedules[{index}].phases"), problem));
            }
        }
        Ok(())
    }

    /// What counts as high-frequency trading.
    pub fn marks(&self) -> Marks {
        Marks { per_second: self.high_frequency.per_second, per_day: self.high_frequency.per_day }
    }
}

impl NamedSchedule {
    /// As it is looked at.
    pub fn schedule(&self) -> Schedule {
        let phase = |text: &PhaseText| Phase {
            name: text.name.clone(),
            from_ms: text.from.0,
            to_ms: text.to.0,
            limit: text.limit,
            market: text.market,
            cancel: text.cancel,
            cage: text.cage,
        };
        Schedule(self.phases.iter().map(phase).collect())
    }
}

impl service::config::Config for Rules {
    const DEFAULT_TOML: &'static str = A_SHARE;

    fn validate(&self) -> Result<(), Invalid> {
        if self.utc_offset_minutes.abs() > 14 * 60 {
            return Err(Invalid::new("utc_offset_minutes", "expected -840 to 840"));
        }
        if self.sets.is_empty() || self.sets.windows(2).any(|pair| pair[0].from >= pair[1].from) {
            return Err(Invalid::new("sets", "expected at least one, with ascending `from`"));
        }
        for (index, set) in self.sets.iter().enumerate() {
            let at = |key: String, problem| Invalid::new(format!("sets[{index}].{key}"), problem);
            set.validate_schedules().map_err(|(key, problem)| at(key, problem))?;
            for (name, board) in &set.boards {
                board.validate().map_err(|(key, problem)| at(format!("boards.{name}.{key}"), problem))?;
            }
        }
        Ok(())
    }
}

impl Board {
    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.tick.raw() <= 0 {
            return Err(("tick", "expected more than 0"));
        }
        if self.buy_min == 0 {
            return Err(("buy_min", "expected more than 0"));
        }
        if self.buy_step == 0 {
            return Err(("buy_step", "expected more than 0"));
        }
        if self.limit_order_max < self.buy_min {
            return Err(("limit_order_max", "expected at least buy_min"));
        }
        if self.market_order_max < self.buy_min {
            return Err(("market_order_max", "expected at least buy_min"));
        }
        if !(1..100).contains(&self.limit_percent) {
            return Err(("limit_percent", "expected 1 to 99"));
        }
        if !(1..100).contains(&self.st_limit_percent) {
            return Err(("st_limit_percent", "expected 1 to 99"));
        }
        if !(1..100).contains(&self.cage_percent) {
            return Err(("cage_percent", "expected 1 to 99"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::parse;

    fn shipped() -> Rules {
        parse(A_SHARE, "a-share.toml").unwrap()
    }

    fn day(year: u16, month: u8, day: u8) -> Day {
        Date::new(year, month, day).unwrap().0
    }

    #[test]
    fn the_set_in_force_is_the_latest_that_has_begun() {
        let rules = shipped();
        let st_percent = |day| rules.set(day).map(|set| set.boards["main"].st_limit_percent);
        assert_eq!(st_percent(day(2025, 7, 6)), None);
        assert_eq!(st_percent(day(2025, 7, 7)), Some(5));
        assert_eq!(st_percent(day(2026, 7, 5)), Some(5));
        assert_eq!(st_percent(day(2026, 7, 6)), Some(10));
        assert_eq!(st_percent(day(2030, 1, 1)), Some(10));
    }

    #[test]
    fn weekends_and_closed_days_have_no_trading() {
        let closed_days = vec![Date::new(2026, 10, 1).unwrap()];
        let rules = Rules { closed_days, ..shipped() };
        // 2026-07-06 is a Monday.
        let trading: Vec<bool> = (6..=13).map(|date| rules.is_trading_day(day(2026, 7, date))).collect();
        assert_eq!(trading, [true, true, true, true, true, false, false, true]);
        assert!(!rules.is_trading_day(day(2026, 10, 1)));
        assert!(rules.is_trading_day(day(2026, 10, 2)));
        assert_eq!(Date::new(2026, 2, 29), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        let error = |from: &str, to: &str| {
            let text = A_SHARE.replacen(from, to, 1);
            assert_ne!(text, A_SHARE, "{from}");
            parse::<Rules>(&text, "rules.toml").unwrap_err().to_string()
        };
        assert!(error("buy_step = 100", "buy_step = 0").contains("`sets[0].boards.main.buy_step`"));
        assert!(error("limit_percent = 10", "limit_percent = 100").contains("expected 1 to 99"));
        assert!(error("from = 2025-07-07", "from = 2027-01-01").contains("ascending `from`"));
        assert!(error("from = 2025-07-07", "from = 2025-02-30").contains("rules.toml:"));
        assert!(
            error("from = \"09:20:00\"", "from = \"09:19:59\"").contains("`sets[0].schedules[0].phases`")
        );
        assert!(error("09:15:00", "9:15").contains("expected a time such as"));
        assert!(error("cage_ticks = 10\n", "cage_tick = 10\n").contains("unknown field `cage_tick`"));
        assert!(error("cage_own_side = true\n", "").contains("missing field `cage_own_side`"));
        assert!(error("tick = \"0.01\"", "tick = \"0.00001\"").contains("more decimals"));
    }
}
