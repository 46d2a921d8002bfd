//! Numbers as people read them.

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of what is told by its singular: `1 fill`, `1,200 fills`.
#[must_use]
pub fn counted(value: u64, what: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(value))
}

/// A rate: `950 /s`, `12.3 k/s`, `1.24 M/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 999_500.0 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 9_999.5 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{} /s", count(rate.round() as u64)),
    }
}

/// A time given in nanoseconds, with three digits: `812 ns`, `81.2 us`, `8.12 ms`, `81.2 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    // The unit in which it stays below a thousand after rounding.
    let fits = |&&(_, scale): &&(&str, f64)| ns as f64 / scale < 999.5;
    let &(unit, scale) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
    let value = ns as f64 / scale;
    let decimals = match value {
        _ if scale == 1.0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        assert_eq!(
            [0, 999, 1_000, 81_870, 1_234_567].map(count),
            ["0", "999", "1,000", "81,870", "1,234,567"]
        );
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2_000].map(|value| counted(value, "fill")), ["0 fills", "1 fill", "2,000 fills"]);
    }

    #[test]
    fn scales_rates() {
        assert_eq!(
            [0.0, 949.6, 9_999.0, 12_345.0, 999_400.0, 999_600.0, 1.2e7].map(rate),
            ["0 /s", "950 /s", "9,999 /s", "12.3 k/s", "999.4 k/s", "1.00 M/s", "12.00 M/s"]
        );
    }

    #[test]
    fn scales_times_and_never_shows_a_thousand_of_a_unit() {
        assert_eq!(
            [0, 999, 1_000, 9_994, 81_234, 812_345, 999_400, 999_600, 1_500_000_000, 700_000_000_000]
                .map(duration),
            [
                "0 ns", "999 ns", "1.00 us", "9.99 us", "81.2 us", "812 us", "999 us", "1.00 ms", "1.50 s",
                "700 s"
            ]
        );
    }
}
