//! Timestamps: the local time of the exchange (UTC+8, no summer time) as the decimal digits YYYYMMDDHHMMSSsss.

use std::cmp::Ordering;
use std::fmt;

use zerocopy::big_endian::I64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A point in time to the millisecond; zero means absent.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct Timestamp(I64);

const MS_PER_DAY: u64 = 86_400_000;
const NS_PER_MS: u64 = 1_000_000;
/// UTC+8.
const OFFSET_MS: u64 = 8 * 3_600_000;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;

impl Timestamp {
    /// Absent.
    pub const ZERO: Self = Self(I64::ZERO);

    /// From the decimal digits; whether they name a date is not checked, see [`Self::to_unix_ns`].
    #[must_use]
    pub const fn from_raw(raw: i64) -> Self {
        Self(I64::from_bytes(raw.to_be_bytes()))
    }

    /// The decimal digits.
    #[must_use]
    pub const fn raw(self) -> i64 {
        i64::from_be_bytes(self.0.to_bytes())
    }

    /// From nanoseconds since 1970 (UTC), cut to the millisecond. Any argument lies before the year 2555.
    #[must_use]
    pub const fn from_unix_ns(unix_ns: u64) -> Self {
        let local_ms = unix_ns / NS_PER_MS + OFFSET_MS;
        let (year, month, day) = date_of_days(local_ms / MS_PER_DAY);
        let ms = local_ms % MS_PER_DAY;
        let clock = ms / 3_600_000 * 10_000_000 + ms / 60_000 % 60 * 100_000 + ms % 60_000;
        Self::from_raw((((year * 100 + month) * 100 + day) * 1_000_000_000 + clock) as i64)
    }

    /// Nanoseconds since 1970 (UTC); `None` where the digits name no time from 1970 to 2554.
    #[must_use]
    pub const fn to_unix_ns(self) -> Option<u64> {
        let raw = self.raw();
        if raw < 19_700_101_080_000_000 || raw > 25_541_231_235_959_999 {
            return None;
        }
        let digits = raw as u64;
        let (date, clock) = (digits / 1_000_000_000, digits % 1_000_000_000);
        let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
        let (hour, minute, second_ms) = (clock / 10_000_000, clock / 100_000 % 100, clock % 100_000);
        if month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second_ms > 59_999 {
            return None;
        }
        let days = days_of_date(year, month, day);
        if date_of_days(days).2 != day {
            return None;
        }
        let local_ms = days * MS_PER_DAY + hour * 3_600_000 + minute * 60_000 + second_ms;
        (local_ms - OFFSET_MS).checked_mul(NS_PER_MS)
    }

    /// Milliseconds since local midnight, by the digits alone; for phases of the trading day.
    #[must_use]
    pub const fn ms_of_day(self) -> u32 {
        let clock = self.raw().unsigned_abs() % 1_000_000_000;
        (clock / 10_000_000 * 3_600_000 + clock / 100_000 % 100 * 60_000 + clock % 100_000) as u32
    }
}

/// Year, month, day of a count of days since 1970-01-01, counting years from March within eras of 400 years.
const fn date_of_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + EPOCH_DAYS;
    let (era, day_of_era) = (shifted / DAYS_PER_ERA, shifted % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + if month <= 2 { 1 } else { 0 }, month, day)
}

/// The inverse of [`date_of_days`]; a day beyond the month's end runs into the next month.
const fn days_of_date(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.raw().cmp(&other.raw())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:017}", self.raw())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d '2024-02-29 01:30:00' +%s` is 1709170200.
    const LEAP_DAY_NS: u64 = 1_709_170_200_123_000_000;

    #[test]
    fn converts_at_known_instants() {
        for (unix_ns, raw) in [
            (0, 19_700_101_080_000_000),
            (LEAP_DAY_NS, 20_240_229_093_000_123),
            (946_655_999_999_000_000, 19_991_231_235_959_999),
            (946_656_000_000_000_000, 20_000_101_000_000_000),
        ] {
            assert_eq!(Timestamp::from_unix_ns(unix_ns), Timestamp::from_raw(raw));
            assert_eq!(Timestamp::from_raw(raw).to_unix_ns(), Some(unix_ns));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..DAYS_PER_ERA {
            let unix_ns = day * MS_PER_DAY * NS_PER_MS + 43_200_001 * NS_PER_MS;
            assert_eq!(Timestamp::from_unix_ns(unix_ns).to_unix_ns(), Some(unix_ns));
        }
    }

    #[test]
    fn cuts_to_the_millisecond() {
        assert_eq!(Timestamp::from_unix_ns(LEAP_DAY_NS + 999_999), Timestamp::from_unix_ns(LEAP_DAY_NS));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for raw in [
            0,
            -1,
            i64::MAX,
            i64::MIN,
            20_230_229_000_000_000,
            20_231_301_000_000_000,
            20_230_100_000_000_000,
            20_230_101_240_000_000,
            20_230_101_006_000_000,
            20_230_101_000_060_000,
        ] {
            assert_eq!(Timestamp::from_raw(raw).to_unix_ns(), None, "{raw}");
        }
        assert!(Timestamp::from_unix_ns(u64::MAX).raw() > 0);
    }

    #[test]
    fn knows_the_time_of_day() {
        assert_eq!(
            Timestamp::from_raw(20_240_229_093_000_123).ms_of_day(),
            9 * 3_600_000 + 30 * 60_000 + 123
        );
    }
}
