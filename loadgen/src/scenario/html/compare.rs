//! Several runs beside each other; the first is what the others are held against.

use super::nines::{self, Line};
use super::plot::{Scale, decade, escaped, path};
use super::{COLOURS, class, document};
use crate::figures::{count, duration, rate};
use crate::report::Percentiles;
use crate::scenario::result::{Load, Run};

const WIDTH: f64 = super::timeline::WIDTH;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 14.0;
/// Ratios nearer to 1 than this are the machine's noise.
const NOISE: f64 = 0.1;

/// The page of several runs, each by its name.
#[must_use]
pub fn page(runs: &[(String, Run)]) -> String {
    let mut body =
        "<header><h1>Runs beside each other</h1><p class=\"about\">Ratios are to the first run.</p></header>"
            .to_owned();
    body += "<div class=\"wide\"><table id=\"runs\"><thead><tr><th>run</th><th class=\"text\">scenario</th><th class=\"text\">outcome</th><th class=\"text\">machine</th></tr></thead><tbody>";
    for (number, (name, run)) in runs.iter().enumerate() {
        body += &format!(
            "<tr><td><svg class=\"c{}\" width=\"12\" height=\"12\" style=\"display:inline;min-width:0;width:12px\" aria-hidden=\"true\"><rect width=\"12\" height=\"12\" rx=\"2\" fill=\"var(--c)\"/></svg> {}</td><td class=\"text\">{}</td><td class=\"text\">{} {}</td><td class=\"text\">{}, {} cores</td></tr>",
            number % COLOURS,
            escaped(name),
            escaped(&run.scenario),
            class(run.outcome).1,
            run.outcome.said(),
            escaped(&run.machine.cpu),
            run.machine.cores
        );
    }
    body += "</tbody></table></div>";
    for load in loads(runs) {
        body += &section(&load, runs);
    }
    document("runs beside each other", &body)
}

/// The loads that there are, each once.
fn loads(runs: &[(String, Run)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for load in runs.iter().flat_map(|(_, run)| &run.loads) {
        if !names.contains(&load.name) {
            names.push(load.name.clone());
        }
    }
    names
}

/// A run's load of a name: its colour, the run's name, how long a row is, and the load.
type Found<'a> = (usize, &'a str, f64, &'a Load);

fn section(load: &str, runs: &[(String, Run)]) -> String {
    let find = |(number, (name, run)): (usize, &'_ (String, Run))| {
        run.loads.iter().position(|one| one.name == load).map(|at| (number, name.clone(), run.interval_s, at))
    };
    let found: Vec<_> = runs.iter().enumerate().filter_map(find).collect();
    let found: Vec<Found<'_>> = found
        .iter()
        .map(|(number, name, interval_s, at)| {
            (number % COLOURS, name.as_str(), *interval_s, &runs[*number].1.loads[*at])
        })
        .collect();
    let lines: Vec<Line<'_>> = found
        .iter()
        .map(|(colour, name, _, load)| Line { name: (*name).to_owned(), colour: *colour, curve: &load.curve })
        .collect();
    format!(
        "<h2>{}</h2>{}<figure>{}</figure><h2>{}: p99 over time</h2><figure>{}</figure>",
        escaped(load),
        table(&found, runs.first().and_then(|(_, run)| run.loads.iter().find(|one| one.name == load))),
        nines::draw(
            &format!("percentiles-{load}"),
            &format!("Latency of {load} by percentile, a line for each run"),
            &lines
        ),
        escaped(load),
        over_time(&format!("p99-{load}"), &found)
    )
}

/// `first` is the load of the first run, whatever others have it: a later run's is no measure.
fn table(found: &[Found<'_>], first: Option<&Load>) -> String {
    let mut rows = String::new();
    for (_, name, _, load) in found {
        let Percentiles { p50, p99, p999, max, .. } = load.latency_ns;
        rows += &format!(
            "<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td>",
            escaped(name),
            escaped(&load.what),
            count(load.sent),
            rate(load.offered_per_s),
            rate(load.achieved_per_s)
        );
        // Latencies counted from another moment are no better and no worse.
        let first = first.filter(|first| first.what == load.what).map(|first| first.latency_ns);
        let first = first.unwrap_or_default();
        for (own, of_first) in [(p50, first.p50), (p99, first.p99), (p999, first.p999), (max, first.max)] {
            rows += &against(own, of_first);
        }
        rows += &format!("<td>{}</td></tr>", count(load.broken()));
    }
    format!(
        "<div class=\"wide\"><table><thead><tr><th>run</th><th class=\"text\">latency</th><th>sent</th><th>offered</th><th>achieved</th><th>p50</th><th>p99</th><th>p99.9</th><th>longest</th><th>wrong</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// A latency, and how many times the first run's it is, if that has one.
fn against(own: u64, first: u64) -> String {
    if first == 0 || own == first {
        return format!("<td>{}</td>", duration(own));
    }
    let ratio = own as f64 / first as f64;
    let class = match ratio {
        ratio if ratio > 1.0 + NOISE => " class=\"worse\"",
        ratio if ratio < 1.0 - NOISE => " class=\"better\"",
        _ => "",
    };
    format!("<td{class}>{} <small>× {ratio:.2}</small></td>", duration(own))
}

fn over_time(id: &str, found: &[Found<'_>]) -> String {
    let rows = || found.iter().flat_map(|(.., load)| &load.rows).filter(|row| row.max > 0);
    let low = rows().map(|row| row.p99 as f64).fold(f64::INFINITY, f64::min);
    let high = rows().map(|row| row.p99 as f64).fold(1e4, f64::max);
    let seconds = found.iter().map(|(_, _, step, load)| load.rows.len() as f64 * step).fold(1.0, f64::max);
    let x = Scale::linear((0.0, seconds), (LEFT, RIGHT));
    let y = Scale::decades(if low.is_finite() { low } else { 1e3 }, high, (HEIGHT - 26.0, 10.0));
    let mut svg = format!(
        "<svg id=\"{id}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"99th percentile of each second, a line for each run\">"
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
    for second in x.ticks(10) {
        svg += &format!(
            "<text class=\"second\" x=\"{:.1}\" y=\"{:.1}\">{second:.0} s</text>",
            x.at(second),
            HEIGHT - 8.0
        );
    }
    for (colour, name, step, load) in found {
        let point = |(at, row): (usize, &crate::scenario::result::Row)| {
            (row.max > 0).then(|| (x.at((at as f64 + 0.5) * step), y.at(row.p99 as f64)))
        };
        svg += &format!(
            "<g class=\"load c{colour}\"><title>{}</title><path class=\"line\" d=\"{}\"/></g>",
            escaped(name),
            path(load.rows.iter().enumerate().map(point))
        );
    }
    svg + "</svg>"
}
