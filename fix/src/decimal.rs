//! Prices and quantities: an i64 that counts units of 10^-d, at the scales of the exchange's binary protocol. A FIX
//! float is read and written digit by digit; no floating point is involved.

use std::fmt;

use crate::codec::decimal_digits;

/// Why a value is not a decimal of the wanted field.
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
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// Digits after the point.
            pub const DECIMALS: u32 = $decimals;
            /// Raw units in one whole.
            pub const SCALE: i64 = 10_i64.pow($decimals);
            /// The largest raw value, and, negated, the smallest.
            pub const RAW_MAX: i64 = 10_i64.pow($digits) - 1;

            /// From raw units.
            #[must_use]
            pub const fn from_raw(raw: i64) -> Self {
                Self(raw)
            }

            /// The raw units.
            #[must_use]
            pub const fn raw(self) -> i64 {
                self.0
            }

            /// Reads a FIX float exactly: digits beyond the field's are refused unless zero.
            ///
            /// # Errors
            /// See [`DecimalError`].
            pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
                let raw = parse(text, Self::DECIMALS)?;
                if raw.unsigned_abs() <= Self::RAW_MAX as u64 { Ok(Self(raw)) } else { Err(DecimalError::OutOfRange) }
            }

            /// Appends it as a FIX float, without trailing zeros.
            pub fn write(self, out: &mut Vec<u8>) {
                write(self.0, Self::DECIMALS, out);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = Vec::new();
                self.write(&mut text);
                f.write_str(&String::from_utf8_lossy(&text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
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

/// The sign, the digits before the point, those after it; `None` where it is no FIX float.
pub(crate) fn split(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let some = !whole.is_empty() || !fraction.is_empty();
    (some && whole.iter().chain(fraction).all(u8::is_ascii_digit)).then_some((negative, whole, fraction))
}

fn parse(text: &[u8], decimals: u32) -> Result<i64, DecimalError> {
    let (negative, whole, fraction) = split(text).ok_or(DecimalError::Syntax)?;
    let (kept, beyond) = fraction.split_at(fraction.len().min(decimals as usize));
    if beyond.iter().any(|&digit| digit != b'0') {
        return Err(DecimalError::TooPrecise);
    }
    let mut raw = 0_i64;
    for digit in whole.iter().chain(kept) {
        let digit = i64::from(digit - b'0');
        raw = raw.checked_mul(10).and_then(|raw| raw.checked_add(digit)).ok_or(DecimalError::OutOfRange)?;
    }
    let missing = decimals - kept.len() as u32;
    let raw = raw.checked_mul(10_i64.pow(missing)).ok_or(DecimalError::OutOfRange)?;
    Ok(if negative { -raw } else { raw })
}

fn write(raw: i64, decimals: u32, out: &mut Vec<u8>) {
    if raw < 0 {
        out.push(b'-');
    }
    let scale = 10_u64.pow(decimals);
    let (whole, mut fraction) = (raw.unsigned_abs() / scale, raw.unsigned_abs() % scale);
    let (digits, start) = decimal_digits(whole);
    out.extend_from_slice(&digits[start..]);
    let mut unit = scale;
    if fraction > 0 {
        out.push(b'.');
    }
    while fraction > 0 {
        unit /= 10;
        out.push(b'0' + (fraction / unit) as u8);
        fraction %= unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_without_a_float() {
        for (raw, text) in
            [(0, "0"), (123_400, "12.34"), (-1, "-0.0001"), (18_010_100, "1801.01"), (10_000, "1")]
        {
            assert_eq!(Price::from_raw(raw).to_string(), text);
            assert_eq!(Price::parse(text.as_bytes()), Ok(Price::from_raw(raw)));
        }
        for (text, raw) in [("002000.00", 200_000), ("7.", 700), (".5", 50), ("-0", 0), ("10.010000", 1001)] {
            assert_eq!(Qty::parse(text.as_bytes()), Ok(Qty::from_raw(raw)), "{text}");
        }
        assert_eq!(Price::from_raw(i64::MIN).to_string(), "-922337203685477.5808");
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        assert_eq!(Price::parse(b"0.00001"), Err(DecimalError::TooPrecise));
        assert_eq!(Price::parse(b"1000000000"), Err(DecimalError::OutOfRange));
        assert_eq!(Qty::parse(b"99999999999999999999"), Err(DecimalError::OutOfRange));
        for text in ["", "-", ".", "1e3", "+1", "1.2.3", " 1", "--1"] {
            assert_eq!(Price::parse(text.as_bytes()), Err(DecimalError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn has_the_scales_of_the_binary_protocol() {
        assert_eq!((Price::SCALE, Price::RAW_MAX), (wire::szse::Price::SCALE, wire::szse::Price::RAW_MAX));
        assert_eq!((Qty::SCALE, Qty::RAW_MAX), (wire::szse::Qty::SCALE, wire::szse::Qty::RAW_MAX));
    }
}
