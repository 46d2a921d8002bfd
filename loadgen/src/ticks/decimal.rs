//! Decimals as exports write them: `1801.00999999999999`, `6.24467892461E9`, `1845`.
//!
//! The text is a decimal that went through a double. It is read digit by digit, never through a float of ours, and
//! rounded to the field's resolution. What a double can have added is noise and is dropped; a difference beyond that is
//! a value the field cannot hold, and is refused rather than changed.

/// Why a text is no value of the wanted resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a number.
    #[error("not a decimal number")]
    Syntax,
    /// Finer than the field, and not by a double's noise.
    #[error("finer than the field's {decimals} decimals")]
    TooFine {
        /// Digits after the point that the field has.
        decimals: u32,
    },
    /// Larger than the field.
    #[error("out of the field's range")]
    OutOfRange,
}

/// Digits that are looked at: more than a double's 17, and what an i128 holds.
const DIGITS_MAX: usize = 36;
/// A double is off by at most 2^-53 of the value (1.1e-16); twice read and written, less than this part of it.
const NOISE_PART: i128 = 1_000_000_000_000_000;
/// And a difference below this part of the resolution is noise whatever the value.
const RESOLUTION_PART: i128 = 1_000;

/// `text` in units of `10^-decimals`.
///
/// # Errors
/// See [`DecimalError`].
pub fn parse(text: &[u8], decimals: u32) -> Result<i64, DecimalError> {
    let (digits, exponent) = scan(text)?;
    let shift = exponent + i64::from(decimals);
    let raw = if shift >= 0 { grow(digits, shift)? } else { round(digits, -shift, decimals)? };
    i64::try_from(raw).map_err(|_| DecimalError::OutOfRange)
}

/// `value` without zeros at the end of its decimals.
#[must_use]
pub fn trimmed(value: impl std::fmt::Display) -> String {
    let mut text = value.to_string();
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

/// The digits as one number, and the power of ten they are to be multiplied by.
fn scan(text: &[u8]) -> Result<(i128, i64), DecimalError> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], scan_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    if whole.len() + fraction.len() > DIGITS_MAX {
        return Err(DecimalError::OutOfRange);
    }
    let digits = whole.iter().chain(fraction).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    Ok((if negative { -digits } else { digits }, exponent - fraction.len() as i64))
}

/// The number after an E: few digits, so that nothing overflows later.
fn scan_exponent(text: &[u8]) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let exponent = digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Ok(if negative { -exponent } else { exponent })
}

fn grow(digits: i128, shift: i64) -> Result<i128, DecimalError> {
    if digits == 0 {
        return Ok(0);
    }
    let power = power_of_ten(shift).ok_or(DecimalError::OutOfRange)?;
    digits.checked_mul(power).ok_or(DecimalError::OutOfRange)
}

/// Divides by `10^cut`, to the nearest, halves away from zero.
fn round(digits: i128, cut: i64, decimals: u32) -> Result<i128, DecimalError> {
    let too_fine = DecimalError::TooFine { decimals };
    // What is cut has more digits than the number: it is nearer to nothing than to one unit, and only zero is nothing.
    let Some(unit) = power_of_ten(cut) else { return if digits == 0 { Ok(0) } else { Err(too_fine) } };
    let nearest = (digits.abs() + unit / 2) / unit * digits.signum();
    let off = (digits - nearest * unit).abs();
    let noise = (digits.abs() / NOISE_PART).max(unit / RESOLUTION_PART);
    if off <= noise { Ok(nearest) } else { Err(too_fine) }
}

fn power_of_ten(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn drops_the_noise_of_doubles() {
        for (text, decimals, raw) in [
            ("1801.00999999999999", 4, 18_010_100),
            ("1878.569999999999936", 4, 18_785_700),
            ("1888.880000000000109", 4, 18_888_800),
            ("1808.739000000000032", 6, 1_808_739_000),
            ("382688264.790000021457672", 4, 3_826_882_647_900),
            ("6.24467892461E9", 4, 62_446_789_246_100),
            ("1.34451354968e+9", 4, 13_445_135_496_800),
            ("25E-2", 2, 25),
            ("1845", 4, 18_450_000),
            ("-0.5", 4, -5_000),
            ("-999999999.9999", 4, -9_999_999_999_999),
            ("0", 4, 0),
            ("0E-999", 4, 0),
        ] {
            assert_eq!(parse(text.as_bytes(), decimals), Ok(raw), "{text}");
        }
    }

    #[test]
    fn a_real_difference_is_not_rounded_away() {
        for (text, decimals) in
            [("10.00005", 4), ("1801.01019", 4), ("0.5", 0), ("100.001", 2), ("1E-999", 4)]
        {
            assert_eq!(parse(text.as_bytes(), decimals), Err(DecimalError::TooFine { decimals }), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in [
            "", "-", ".", ".5", "1..2", "1.2.3", "+1", "1e", "1e+", "1e1000", "NaN", "inf", "0x1", " 1",
            "1 ", "１",
        ] {
            assert_eq!(parse(text.as_bytes(), 4), Err(DecimalError::Syntax), "{text:?}");
        }
        for text in ["1e15", "1e999", "9999999999999999999", "1111111111111111111111111111111111111"] {
            assert_eq!(parse(text.as_bytes(), 4), Err(DecimalError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn trims_decimals_alone() {
        assert_eq!(["1801.0100", "1845.0000", "100", "0.0000"].map(trimmed), ["1801.01", "1845", "100", "0"]);
    }

    proptest! {
        /// Whatever a double prints of a price comes back as that price.
        #[test]
        fn comes_back_from_a_double(raw in -9_999_999_999_999_i64..=9_999_999_999_999) {
            let double = raw as f64 / 10_000.0;
            prop_assert_eq!(parse(format!("{double}").as_bytes(), 4), Ok(raw));
            prop_assert_eq!(parse(format!("{double:.15}").as_bytes(), 4), Ok(raw));
            prop_assert_eq!(parse(format!("{double:e}").as_bytes(), 4), Ok(raw));
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..48), decimals in 0_u32..=6) {
            let refused = parse(&text, decimals).is_err();
            prop_assert!(refused || text.iter().all(|byte| b"0123456789.eE+-".contains(byte)));
        }
    }
}
