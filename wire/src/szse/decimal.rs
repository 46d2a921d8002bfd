//! Decimals: an i64 that counts units of 10^-d. No arithmetic and no implicit conversion here, so that a price is
//! never added to a quantity; take [`Price::raw`] where arithmetic is meant.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use zerocopy::big_endian::I64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why a string is not a decimal of the wanted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not of the form `-12.34`.
    #[error("not a decimal number")]
    Syntax,
    /// Digits after the point that the field cannot hold and that are not zero.
    #[error("more decimals than the field holds")]
    TooPrecise,
    /// More digits than the field holds.
    #[error("out of the field's range")]
    OutOfRange,
}

macro_rules! decimal {
    ($(#[$doc:meta])* $name:ident, digits $digits:literal, decimals $decimals:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(transparent)]
        pub struct $name(I64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(I64::ZERO);
            /// Digits after the point.
            pub const DECIMALS: u32 = $decimals;
            /// Raw units in one whole.
            pub const SCALE: i64 = 10_i64.pow($decimals);
            /// The largest raw value (and, negated, the smallest) the specification allows.
            pub const RAW_MAX: i64 = match 10_i64.checked_pow($digits) {
                Some(limit) => limit - 1,
                None => i64::MAX,
            };

            /// From raw units; the range is not checked, see [`Self::in_range`].
            #[must_use]
            pub const fn from_raw(raw: i64) -> Self {
                Self(I64::from_bytes(raw.to_be_bytes()))
            }

            /// The raw units.
            #[must_use]
            pub const fn raw(self) -> i64 {
                i64::from_be_bytes(self.0.to_bytes())
            }

            /// Whole units, for constants and tests.
            ///
            /// # Panics
            /// On overflow of the field; in a `const` that is a compile error.
            #[must_use]
            pub const fn whole(units: i64) -> Self {
                assert!(units.unsigned_abs() <= (Self::RAW_MAX / Self::SCALE) as u64, "whole units overflow the field");
                Self::from_raw(units * Self::SCALE)
            }

            /// Within the digits the specification gives the field.
            #[must_use]
            pub const fn in_range(self) -> bool {
                self.raw().unsigned_abs() <= Self::RAW_MAX as u64
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.raw().cmp(&other.raw())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, self.raw(), Self::DECIMALS)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, self.raw(), Self::DECIMALS)
            }
        }

        /// Exact: digits beyond the field's are refused unless zero.
        impl FromStr for $name {
            type Err = DecimalError;

            fn from_str(text: &str) -> Result<Self, DecimalError> {
                let value = Self::from_raw(parse_decimal(text.as_bytes(), Self::DECIMALS)?);
                if value.in_range() { Ok(value) } else { Err(DecimalError::OutOfRange) }
            }
        }
    };
}

decimal!(
    /// Price, N13(4): units of 0.0001.
    Price, digits 13, decimals 4
);
decimal!(
    /// Quantity, N15(2): units of 0.01 of a share.
    Qty, digits 15, decimals 2
);
decimal!(
    /// Amount of money, N18(4): units of 0.0001.
    Amount, digits 18, decimals 4
);
decimal!(
    /// MDEntryPx, N18(6): the price inside a snapshot entry has two decimals more than [`Price`].
    MdEntryPx, digits 18, decimals 6
);

impl MdEntryPx {
    /// Raw units of an `MdEntryPx` in one raw unit of a [`Price`].
    const PER_PRICE: i64 = Self::SCALE / Price::SCALE;

    /// The same price; `None` where it overflows.
    #[must_use]
    pub const fn from_price(price: Price) -> Option<Self> {
        match price.raw().checked_mul(Self::PER_PRICE) {
            Some(raw) => Some(Self::from_raw(raw)),
            None => None,
        }
    }

    /// The same price; `None` where it has more than four decimals.
    #[must_use]
    pub const fn to_price(self) -> Option<Price> {
        if self.raw() % Self::PER_PRICE == 0 {
            Some(Price::from_raw(self.raw() / Self::PER_PRICE))
        } else {
            None
        }
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, raw: i64, decimals: u32) -> fmt::Result {
    let scale = 10_u64.pow(decimals);
    let (sign, size) = (if raw < 0 { "-" } else { "" }, raw.unsigned_abs());
    write!(f, "{sign}{}.{:0width$}", size / scale, size % scale, width = decimals as usize)
}

fn parse_decimal(text: &[u8], decimals: u32) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(decimals as usize));
    if beyond.iter().any(|&digit| digit != b'0') {
        return Err(DecimalError::TooPrecise);
    }
    let zeros = std::iter::repeat_n(&b'0', decimals as usize - kept.len());
    let mut raw = 0_i64;
    for digit in whole.iter().chain(kept).chain(zeros) {
        let digit = i64::from(digit - b'0');
        raw = raw.checked_mul(10).and_then(|raw| raw.checked_add(digit)).ok_or(DecimalError::OutOfRange)?;
    }
    Ok(if negative { -raw } else { raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        for (raw, text) in [(0, "0.0000"), (123_400, "12.3400"), (-1, "-0.0001"), (18_010_100, "1801.0100")] {
            assert_eq!(Price::from_raw(raw).to_string(), text);
            assert_eq!(text.parse(), Ok(Price::from_raw(raw)));
        }
        assert_eq!("7".parse(), Ok(Qty::whole(7)));
        assert_eq!("7.".parse(), Ok(Qty::whole(7)));
        assert_eq!("10.010000".parse(), Ok(Qty::from_raw(1001)));
        assert_eq!(Price::from_raw(i64::MIN).to_string(), "-922337203685477.5808");
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        assert_eq!("0.00001".parse::<Price>(), Err(DecimalError::TooPrecise));
        assert_eq!("1000000000".parse::<Price>(), Err(DecimalError::OutOfRange));
        assert_eq!("99999999999999999999".parse::<Amount>(), Err(DecimalError::OutOfRange));
        for text in ["", "-", ".5", "1e3", "+1", "1.2.3", " 1", "--1"] {
            assert_eq!(text.parse::<Price>(), Err(DecimalError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn orders_by_value_not_by_bytes() {
        assert!(Price::from_raw(-1) < Price::ZERO);
        assert!(Price::from_raw(256) > Price::from_raw(255));
    }

    #[test]
    fn the_price_of_an_entry_has_two_decimals_more() {
        let price = Price::from_raw(123_456);
        assert_eq!(MdEntryPx::from_price(price), Some(MdEntryPx::from_raw(12_345_600)));
        assert_eq!(MdEntryPx::from_raw(12_345_600).to_price(), Some(price));
        assert_eq!(MdEntryPx::from_raw(12_345_601).to_price(), None);
        assert_eq!(MdEntryPx::from_price(Price::from_raw(i64::MAX)), None);
    }
}
