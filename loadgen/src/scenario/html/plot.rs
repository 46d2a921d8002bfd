//! What charts are drawn with: scales, ticks, lines. All of it is text of an SVG.

use crate::figures::duration;

/// From values to places in the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
    log: bool,
}

impl Scale {
    /// Even.
    pub(super) fn linear(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to, log: false }
    }

    /// By powers of ten, over whole ones that hold all of `low` to `high`.
    pub(super) fn decades(low: f64, high: f64, to: (f64, f64)) -> Self {
        let low = low.max(1.0).log10().floor();
        let high = high.max(1.0).log10().ceil().max(low + 1.0);
        Self { from: (low, high), to, log: true }
    }

    /// Where a value is; what is beyond the scale is at its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        let part = ((value - self.from.0) / (self.from.1 - self.from.0)).clamp(0.0, 1.0);
        self.to.0 + part * (self.to.1 - self.to.0)
    }

    /// Values with a line of their own: about `wanted` round ones, or the powers of ten.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.from.0 as i32, self.from.1 as i32);
            return (low..=high).map(|power| 10_f64.powi(power)).collect();
        }
        let step = round_step((self.from.1 - self.from.0) / wanted.max(1) as f64);
        let first = (self.from.0 / step).ceil() as i64;
        let last = (self.from.1 / step).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| power * times >= step * 0.999);
    power * times.unwrap_or(10.0)
}

/// A power of ten of nanoseconds, as short as can be: `100 us`, `1 ms`, `10 s`.
pub(super) fn decade(ns: f64) -> String {
    let text = duration(ns as u64);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

/// A path through points, broken where there is none.
pub(super) fn path(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let (mut text, mut on) = (String::new(), false);
    for point in points {
        if let Some((x, y)) = point {
            text += &format!("{}{x:.1} {y:.1}", if on { 'L' } else { 'M' });
        }
        on = point.is_some();
    }
    text
}

/// The area between two lines over the same places, in pieces where one of them is broken.
pub(super) fn band(points: &[Option<(f64, f64, f64)>]) -> String {
    let mut text = String::new();
    for piece in points.split(Option::is_none).filter(|piece| piece.len() > 1) {
        let piece: Vec<_> = piece.iter().flatten().collect();
        text += &path(piece.iter().map(|(x, low, _)| Some((*x, *low))));
        for (x, _, high) in piece.iter().rev() {
            text += &format!("L{x:.1} {high:.1}");
        }
        text.push('Z');
    }
    text
}

/// Text that is safe in a page, and between its quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::linear((0.0, 30.0), (0.0, 1.0)).ticks(6), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(Scale::linear((0.0, 0.7), (0.0, 1.0)).ticks(4).len(), 4);
        assert_eq!(Scale::decades(300.0, 20_000.0, (0.0, 1.0)).ticks(0), [100.0, 1e3, 1e4, 1e5]);
    }

    #[test]
    fn a_scale_ends_where_the_picture_does() {
        let scale = Scale::linear((0.0, 10.0), (100.0, 0.0));
        assert_eq!([-5.0, 0.0, 2.5, 99.0].map(|value| scale.at(value)), [100.0, 100.0, 75.0, 0.0]);
        let scale = Scale::decades(10.0, 1_000.0, (0.0, 20.0));
        assert_eq!([0.0, 10.0, 100.0, 1e9].map(|value| scale.at(value)), [0.0, 0.0, 10.0, 20.0]);
    }

    #[test]
    fn lines_are_broken_where_nothing_is() {
        let points = [Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 4.0))];
        assert_eq!(path(points), "M0.0 1.0L1.0 2.0M3.0 4.0");
        let points = [Some((0.0, 1.0, 2.0)), Some((1.0, 1.0, 2.0)), None, Some((3.0, 4.0, 5.0))];
        assert_eq!(band(&points), "M0.0 1.0L1.0 1.0L1.0 2.0L0.0 2.0Z");
    }

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(escaped("<b a=\"1\">&'"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
        assert_eq!([1e3, 1e5, 1e6, 1e9, 1e10].map(decade), ["1 us", "100 us", "1 ms", "1 s", "10 s"]);
    }
}
