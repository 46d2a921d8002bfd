//! The percentile plot: latency over how many were at most so long, with each further nine as wide as the last.

use super::plot::{Scale, decade, escaped, path};
use crate::curve::Curve;
use crate::figures::duration;

const WIDTH: f64 = super::timeline::WIDTH;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 130.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 40.0;
/// Nines that are drawn at most: a plot of a billion samples.
const NINES_MAX: usize = 9;
/// Below this a name at a line's end would be on the next one.
const NAME_HEIGHT: f64 = 15.0;

/// A line of it.
pub(super) struct Line<'a> {
    pub(super) name: String,
    /// Its colour, by number.
    pub(super) colour: usize,
    pub(super) curve: &'a Curve,
}

/// How many nines a share is: 0.9 is 1, 0.99 is 2.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-12).log10()
}

/// Draws it; `id` is its name in the page.
pub(super) fn draw(id: &str, title: &str, lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| &line.curve.points);
    let most = points().map(|(share, ..)| if *share < 1.0 { nines(*share) } else { 0.0 }).fold(2.0, f64::max);
    let most = most.ceil().min(NINES_MAX as f64);
    let low = points().map(|(_, ns, _)| *ns as f64).fold(f64::INFINITY, f64::min);
    let high = points().map(|(_, ns, _)| *ns as f64).fold(1e4, f64::max);
    let x = Scale::linear((0.0, most), (LEFT, RIGHT));
    let y = Scale::decades(if low.is_finite() { low } else { 1e3 }, high, (BOTTOM, TOP));
    let mut svg = format!(
        "<svg id=\"{id}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title\"><title id=\"{id}-title\">{}</title>",
        escaped(title)
    );
    for ns in y.ticks(0) {
        let at = y.at(ns);
        svg += &format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            decade(ns)
        );
    }
    for number in 0..=most as usize {
        let at = x.at(number as f64);
        svg += &format!(
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/><text class=\"second\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            BOTTOM + 17.0,
            percent(number)
        );
    }
    let half = x.at(nines(0.5));
    svg += &format!(
        "<line class=\"grid\" x1=\"{half:.1}\" x2=\"{half:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/><text class=\"second\" x=\"{half:.1}\" y=\"{:.1}\">50 %</text>",
        BOTTOM + 17.0
    );
    let mut taken: Vec<f64> = Vec::new();
    for line in lines.iter().filter(|line| !line.curve.points.is_empty()) {
        svg += &drawn(line, (&x, &y), most, &mut taken);
    }
    svg + &format!(
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\">so many were at most this long</text></svg>",
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 6.0
    )
}

/// The line and its name at its end, where no other name is.
fn drawn(line: &Line<'_>, (x, y): (&Scale, &Scale), most: f64, taken: &mut Vec<f64>) -> String {
    let point = |(share, ns, _): &(f64, u64, u64)| {
        let at = if *share < 1.0 { nines(*share) } else { most };
        Some((x.at(at), y.at(*ns as f64)))
    };
    let max = line.curve.max_ns();
    let mut name_at = y.at(max as f64) + 4.0;
    while taken.iter().any(|other| (other - name_at).abs() < NAME_HEIGHT) {
        name_at += NAME_HEIGHT;
    }
    taken.push(name_at);
    let mut svg = format!(
        "<g class=\"load c{}\"><path class=\"line\" d=\"{}\"/>",
        line.colour,
        path(line.curve.points.iter().map(point))
    );
    for (share, ns, _) in &line.curve.points {
        let at = if *share < 1.0 { nines(*share) } else { most };
        svg += &format!(
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"6\"><title>{}: {:.6} % at most {}</title></circle>",
            x.at(at),
            y.at(*ns as f64),
            escaped(&line.name),
            share * 100.0,
            duration(*ns)
        );
    }
    svg + &format!(
        "<text class=\"name\" x=\"{:.1}\" y=\"{name_at:.1}\">{}</text></g>",
        RIGHT + 8.0,
        escaped(&line.name)
    )
}

/// `90 %`, `99 %`, `99.9 %`.
fn percent(nines: usize) -> String {
    match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_is_as_wide_as_the_last() {
        for (share, wanted) in [(0.9, 1.0), (0.99, 2.0), (0.9999, 4.0)] {
            assert!((nines(share) - wanted).abs() < 1e-9, "{share}");
        }
        assert_eq!([0, 1, 2, 5].map(percent), ["0 %", "90 %", "99 %", "99.999 %"]);
    }

    #[test]
    fn an_empty_curve_is_no_line_and_no_error() {
        let curve = Curve::default();
        let svg = draw("x", "a <title>", &[Line { name: "none".to_owned(), colour: 0, curve: &curve }]);
        assert!(
            svg.contains("a &lt;title&gt;") && !svg.contains("class=\"line\"") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
