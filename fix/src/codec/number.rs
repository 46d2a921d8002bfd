//! Hot path: digits to integers and back. No float, no allocation.

/// An unsigned integer of decimal digits; `None` where it is none or does not fit.
#[must_use]
#[inline]
pub fn unsigned(text: &[u8]) -> Option<u64> {
    // 19 digits always fit: no check a digit.
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value = 0_u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// A FIX int: digits with an optional minus.
pub(crate) fn signed(text: &[u8]) -> Option<i64> {
    match text.split_first() {
        Some((b'-', digits)) => Some(-i64::try_from(unsigned(digits)?).ok()?),
        _ => i64::try_from(unsigned(text)?).ok(),
    }
}

/// The decimal digits of a value, right-aligned in a buffer; take `&buffer[start..]`.
pub(crate) fn decimal_digits(mut value: u64) -> ([u8; 20], usize) {
    let mut buffer = [b'0'; 20];
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return (buffer, start);
        }
    }
}
