//! UTCTimestamp: `YYYYMMDD-HH:MM:SS` with an optional fraction. Written with milliseconds, as FIX 4.4 has it.

use std::fmt;

const MS_PER_S: u64 = 1_000;
const MS_PER_DAY: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;

/// The moment of a call: nothing here reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of any monotonic clock, for deadlines.
    pub ns: u64,
    /// Nanoseconds since 1970 (UTC), for SendingTime.
    pub wall_ns: u64,
}

impl Now {
    /// The time of day, to the millisecond.
    #[must_use]
    pub const fn utc(self) -> UtcTimestamp {
        UtcTimestamp::from_unix_ms(self.wall_ns / 1_000_000)
    }
}

/// A point in time to the millisecond, from 1970 to 9999.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTimestamp(u64);

impl UtcTimestamp {
    /// Bytes as written.
    pub const LEN: usize = 21;

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Milliseconds from the other to this, either way round.
    #[must_use]
    pub const fn abs_diff_ms(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// Reads it; finer fractions of three, six or nine digits are cut to the millisecond, and second 60 (a leap second)
    /// counts as the next second. `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (clock, fraction) = text.split_at_checked(17)?;
        let ms = match fraction {
            [] => 0,
            [b'.', digits @ ..] if matches!(digits.len(), 3 | 6 | 9) => {
                number(digits)?;
                number(&digits[..3])?
            }
            _ => return None,
        };
        if clock[8] != b'-' || clock[11] != b':' || clock[14] != b':' {
            return None;
        }
        let (year, month, day) = (number(&clock[..4])?, number(&clock[4..6])?, number(&clock[6..8])?);
        let (hour, minute, second) =
            (number(&clock[9..11])?, number(&clock[12..14])?, number(&clock[15..17])?);
        if year < 1970 || !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_of_date(year, month, day);
        if date_of_days(days) != (year, month, day) {
            return None;
        }
        Some(Self(days * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MS_PER_S + ms))
    }

    /// As FIX writes it, with milliseconds.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = *b"00000000-00:00:00.000";
        let (year, month, day) = date_of_days(self.0 / MS_PER_DAY);
        let ms = self.0 % MS_PER_DAY;
        put(&mut out[0..4], year % 10_000);
        put(&mut out[4..6], month);
        put(&mut out[6..8], day);
        put(&mut out[9..11], ms / 3_600_000);
        put(&mut out[12..14], ms / 60_000 % 60);
        put(&mut out[15..17], ms / MS_PER_S % 60);
        put(&mut out[18..21], ms % MS_PER_S);
        out
    }
}

impl fmt::Display for UtcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Debug for UtcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    crate::codec::unsigned(digits)
}

fn put(out: &mut [u8], mut value: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d '2024-02-29 01:30:00' +%s` is 1709170200.
    const LEAP_DAY_MS: u64 = 1_709_170_200_123;

    #[test]
    fn writes_and_reads_known_instants() {
        for (unix_ms, text) in [
            (0, "19700101-00:00:00.000"),
            (LEAP_DAY_MS, "20240229-01:30:00.123"),
            (946_684_799_999, "19991231-23:59:59.999"),
        ] {
            let time = UtcTimestamp::from_unix_ms(unix_ms);
            assert_eq!(time.to_string(), text);
            assert_eq!(UtcTimestamp::parse(text.as_bytes()), Some(time));
        }
    }

    #[test]
    fn reads_other_fractions() {
        let second = Some(UtcTimestamp::from_unix_ms(LEAP_DAY_MS - 123));
        assert_eq!(UtcTimestamp::parse(b"20240229-01:30:00"), second);
        let cut = Some(UtcTimestamp::from_unix_ms(LEAP_DAY_MS));
        assert_eq!(UtcTimestamp::parse(b"20240229-01:30:00.123999"), cut);
        assert_eq!(UtcTimestamp::parse(b"20240229-01:30:00.123456789"), cut);
        let leap = UtcTimestamp::parse(b"20161231-23:59:60");
        assert_eq!(leap, UtcTimestamp::parse(b"20170101-00:00:00"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "20240229",
            "20230229-01:30:00",
            "20240229-24:00:00",
            "20240229-01:60:00",
            "20240229-01:30:61",
            "20240229-01:30:00.",
            "20240229-01:30:00.1",
            "20240229 01:30:00",
            "20240229-01-30-00",
            "20241301-01:30:00",
            "20240029-00:00:00",
            "19691231-23:59:59",
            "2024022x-01:30:00",
            "20240229-01:30:00.12x",
            "20240229-01:30:00.123456x",
        ] {
            assert_eq!(UtcTimestamp::parse(text.as_bytes()), None, "{text}");
        }
    }
}
