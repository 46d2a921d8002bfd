//! The picture of a run: above each other, with the same seconds, the rates and latencies of each load and the state of each
//! server, with phases behind and events across.

use super::plot::{Scale, band, decade, escaped, path};
use crate::figures::{duration, rate};
use crate::scenario::components::Condition;
use crate::scenario::result::{Load, Row, Run};

pub(super) const WIDTH: f64 = 1_080.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 14.0;
const HEAD: f64 = 52.0;
const TITLE: f64 = 24.0;
const RATES: f64 = 84.0;
const BETWEEN: f64 = 22.0;
const LATENCIES: f64 = 128.0;
const GAP: f64 = 16.0;
const STRIP: f64 = 17.0;
const FOOT: f64 = 24.0;
/// Names of phases are cut to what has room, at about so much a letter.
const LETTER: f64 = 7.0;

/// Draws it.
pub(super) fn draw(run: &Run) -> String {
    let each = TITLE + RATES + BETWEEN + LATENCIES + GAP;
    let strips =
        if run.components.is_empty() { 0.0 } else { TITLE + STRIP * run.components.len() as f64 + 6.0 };
    let height = HEAD + each * run.loads.len() as f64 + strips + FOOT;
    let x = Scale::linear((0.0, lasted_s(run)), (LEFT, RIGHT));
    let bottom = height - FOOT;
    let mut svg = format!(
        "<svg id=\"timeline\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"timeline-title\">\
         <title id=\"timeline-title\">Rates and latencies of each load and the state of each server, over {:.0} seconds</title>",
        run.seconds
    );
    svg += &phases(run, &x, bottom);
    let mut top = HEAD;
    for (number, load) in run.loads.iter().enumerate() {
        svg += &loaded(run, load, number, &x, top);
        top += each;
    }
    svg += &servers(run, &x, top);
    svg += &seconds(&x, bottom);
    svg += &events(run, &x, bottom);
    svg + "</svg>"
}

/// How long it lasted, with what came after the last phase, seconds.
fn lasted_s(run: &Run) -> f64 {
    let rows = run.loads.iter().map(|load| load.rows.len()).max().unwrap_or(0) as f64;
    run.seconds.max(rows * run.interval_s)
}

fn phases(run: &Run, x: &Scale, bottom: f64) -> String {
    let mut svg = String::new();
    for (number, span) in run.phases.iter().enumerate() {
        let (from, to) = (x.at(span.from_s), x.at(span.to_s));
        let shade = if number % 2 == 0 { "even" } else { "odd" };
        svg += &format!(
            "<rect class=\"phase {shade}\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{bottom:.1}\"/>",
            to - from
        );
        let room = ((to - from - 8.0) / LETTER).max(0.0) as usize;
        let cut = if span.name.chars().count() > room {
            span.name.chars().take(room.saturating_sub(1)).chain(std::iter::once('…')).collect()
        } else {
            span.name.clone()
        };
        if room > 2 {
            svg += &format!(
                "<text class=\"phase-name\" x=\"{:.1}\" y=\"18\">{}</text>",
                from + 6.0,
                escaped(&cut)
            );
        }
    }
    svg
}

fn loaded(run: &Run, load: &Load, number: usize, x: &Scale, top: f64) -> String {
    let mut svg = format!(
        "<g class=\"load c{number}\"><text class=\"load-name\" x=\"{LEFT}\" y=\"{:.1}\">",
        top + 16.0
    );
    svg += &format!(
        "{} <tspan class=\"note\">{}; offered (line) and achieved (area); then latency, {}: median, to p99 (band), longest (dots)</tspan></text>",
        escaped(&load.name),
        escaped(&load.who),
        escaped(&load.what)
    );
    let rates = top + TITLE;
    let latencies = rates + RATES + BETWEEN;
    svg += &rated(run, load, x, rates);
    svg += &delayed(run, load, x, latencies);
    let step = run.interval_s;
    for (at, row) in load.rows.iter().enumerate() {
        let (from, to) = (at as f64 * step, (at + 1) as f64 * step);
        svg += &format!(
            "<rect class=\"hover\" x=\"{:.1}\" y=\"{rates:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            x.at(from),
            x.at(to) - x.at(from),
            RATES + BETWEEN + LATENCIES,
            tip(from, to, row)
        );
    }
    svg + "</g>"
}

fn tip(from_s: f64, to_s: f64, row: &Row) -> String {
    format!(
        "{from_s:.0} to {to_s:.0} s: offered {}, achieved {}; p50 {}, p99 {}, longest {}; wrong so far {}",
        rate(row.offered_per_s),
        rate(row.achieved_per_s),
        duration(row.p50),
        duration(row.p99),
        duration(row.max),
        row.wrong
    )
}

fn grid(y: &Scale, ticks: usize, label: impl Fn(f64) -> String) -> String {
    let line = |value: f64| {
        let at = y.at(value);
        format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            label(value)
        )
    };
    y.ticks(ticks).into_iter().map(line).collect()
}

fn rated(run: &Run, load: &Load, x: &Scale, top: f64) -> String {
    let most = load.rows.iter().map(|row| row.offered_per_s.max(row.achieved_per_s)).fold(1.0, f64::max);
    let y = Scale::linear((0.0, most * 1.08), (top + RATES, top));
    let mut svg = grid(&y, 3, |per_s| rate(per_s).replace(".0 ", " ").replace(".00 ", " "));
    // Each row stands for its whole interval: steps.
    let steps = |of: fn(&Row) -> f64| -> Vec<(f64, f64)> {
        let step = |(at, row): (usize, &Row)| {
            let (from, to) = (at as f64 * run.interval_s, (at + 1) as f64 * run.interval_s);
            [(x.at(from), y.at(of(row))), (x.at(to), y.at(of(row)))]
        };
        load.rows.iter().enumerate().flat_map(step).collect()
    };
    let floor = y.at(0.0);
    let area: Vec<_> =
        steps(|row| row.achieved_per_s).into_iter().map(|(x, y)| Some((x, floor, y))).collect();
    svg += &format!("<path class=\"area\" d=\"{}\"/>", band(&area));
    svg += &format!(
        "<path class=\"offered\" d=\"{}\"/>",
        path(steps(|row| row.offered_per_s).into_iter().map(Some))
    );
    svg
}

fn delayed(run: &Run, load: &Load, x: &Scale, top: f64) -> String {
    let there = || load.rows.iter().filter(|row| row.max > 0);
    // The limit is in the picture, however far it is from what was seen.
    let limit_ns = load.p99_ms_max.map(|ms| ms * 1e6);
    let low = there().map(|row| row.p50 as f64).chain(limit_ns).fold(f64::INFINITY, f64::min);
    let high = there().map(|row| row.max as f64).chain(limit_ns).fold(1.0, f64::max);
    let y = Scale::decades(if low.is_finite() { low } else { 1e3 }, high.max(1e4), (top + LATENCIES, top));
    let mut svg = grid(&y, 0, decade);
    let middle = |at: usize| x.at((at as f64 + 0.5) * run.interval_s);
    let rows = || load.rows.iter().enumerate().map(|(at, row)| (row.max > 0).then_some((middle(at), row)));
    let between: Vec<_> =
        rows().map(|row| row.map(|(x, row)| (x, y.at(row.p50 as f64), y.at(row.p99 as f64)))).collect();
    svg += &format!("<path class=\"band\" d=\"{}\"/>", band(&between));
    let line = |of: fn(&Row) -> u64| path(rows().map(|row| row.map(|(x, row)| (x, y.at(of(row) as f64)))));
    svg += &format!("<path class=\"p99\" d=\"{}\"/>", line(|row| row.p99));
    svg += &format!("<path class=\"p50\" d=\"{}\"/>", line(|row| row.p50));
    for (x, row) in rows().flatten() {
        svg += &format!("<circle class=\"max\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2\"/>", y.at(row.max as f64));
    }
    if let Some(ms) = load.p99_ms_max {
        let at = y.at(ms * 1e6);
        svg += &format!("<line class=\"limit\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        svg += &format!(
            "<text class=\"limit-name\" x=\"{:.1}\" y=\"{:.1}\">p99 of the whole run: at most {ms} ms</text>",
            RIGHT - 4.0,
            at - 4.0
        );
    }
    svg
}

fn servers(run: &Run, x: &Scale, top: f64) -> String {
    if run.components.is_empty() {
        return String::new();
    }
    let mut svg = format!(
        "<text class=\"load-name\" x=\"{LEFT}\" y=\"{:.1}\">servers <tspan class=\"note\">ready, not ready, no answer</tspan></text>",
        top + 16.0
    );
    // They are asked until the last of it has come.
    let end_s = lasted_s(run);
    for (number, server) in run.components.iter().enumerate() {
        let y = top + TITLE + number as f64 * STRIP;
        svg += &format!(
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 12.0,
            escaped(&server.name)
        );
        let untils =
            server.conditions.iter().skip(1).map(|(from_s, _)| *from_s).chain(std::iter::once(end_s));
        for ((from_s, condition), until_s) in server.conditions.iter().zip(untils) {
            let (class, said) = match condition {
                Condition::Ready => ("ready", "ready"),
                Condition::NotReady => ("not-ready", "not ready"),
                Condition::Gone => ("gone", "no answer"),
                Condition::Unknown => ("unknown", "not asked"),
            };
            let (from, until) = (x.at(*from_s), x.at(until_s.max(*from_s)));
            svg += &format!(
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"><title>{}: {said} from {from_s:.1} s</title></rect>",
                y + 2.0,
                (until - from).max(1.0),
                STRIP - 5.0,
                escaped(&server.name)
            );
        }
    }
    svg
}

fn seconds(x: &Scale, bottom: f64) -> String {
    let tick = |value: f64| {
        format!(
            "<text class=\"second\" x=\"{:.1}\" y=\"{:.1}\">{value:.0} s</text>",
            x.at(value),
            bottom + 16.0
        )
    };
    x.ticks(10).into_iter().map(tick).collect()
}

/// A line across everything and a number for each; what the number means is in the list below.
fn events(run: &Run, x: &Scale, bottom: f64) -> String {
    let mut svg = String::new();
    let mut last = [f64::NEG_INFINITY; 2];
    for (number, event) in (1..).zip(&run.events) {
        let at = x.at(event.at_s);
        // Two rows of numbers, so that events close to each other do not cover each other.
        let row = usize::from(at - last[0] < 18.0);
        last[row] = at;
        let y = 32.0 + 14.0 * row as f64;
        svg += &format!(
            "<g class=\"event\"><line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/><circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"7.5\"/><text x=\"{at:.1}\" y=\"{:.1}\">{number}</text><title>{:.1} s: {}</title></g>",
            y + 7.5,
            y + 3.5,
            event.at_s,
            escaped(&event.what)
        );
    }
    svg
}
