//! Results as a page: one file, no script, nothing from elsewhere. Charts are SVG in the page.

mod compare;
mod nines;
mod plot;
mod timeline;

pub use compare::page as compared;

use self::nines::Line;
use self::plot::escaped;
use super::result::{InPhase, Load, Outcome, Run, Server};
use crate::figures::{count, duration, rate};
use crate::report::Percentiles;

const STYLE: &str = include_str!("style.css");
/// Colours that there are; more loads or runs begin again.
const COLOURS: usize = 8;

/// The page of a run.
#[must_use]
pub fn page(run: &Run) -> String {
    let mut body = format!("<header><h1>{}</h1>", escaped(&run.scenario));
    if !run.about.is_empty() {
        body += &format!("<p class=\"about\">{}</p>", escaped(&run.about));
    }
    body += &verdict(run);
    body += "</header>";
    body += "<section class=\"tiles\" aria-label=\"Each load\">";
    for (number, load) in run.loads.iter().enumerate() {
        body += &tile(load, number % COLOURS);
    }
    body += "</section><h2>What happened</h2><figure>";
    body += &timeline::draw(run);
    body += "</figure>";
    body += &events(run);
    body += "<h2>Latency by percentile</h2><figure>";
    let line = |(number, load): (usize, &'_ Load)| (number, load.name.clone(), load.curve.clone());
    let curves: Vec<_> = run.loads.iter().enumerate().map(line).collect();
    let lines: Vec<Line<'_>> = curves
        .iter()
        .map(|(number, name, curve)| Line { name: name.clone(), colour: number % COLOURS, curve })
        .collect();
    body +=
        &nines::draw("percentiles", "Latency over the share of messages that were at most so long", &lines);
    body += "</figure>";
    body += &phases(run);
    body += &servers(run);
    body += &origin(run);
    document(&run.scenario, &body)
}

fn document(title: &str, body: &str) -> String {
    // Nothing may be fetched: who reads the page elsewhere, years later, sees the same.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <link rel=\"icon\" href=\"data:,\"><title>{} - loadgen</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        escaped(title)
    )
}

/// The class of the colour that an outcome has, and its sign.
fn class(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Clean => ("clean", "✓"),
        Outcome::Late | Outcome::NotHeld | Outcome::NotPlayed => ("warn", "!"),
        Outcome::TooSlow | Outcome::Lossy => ("bad", "✗"),
    }
}

fn verdict(run: &Run) -> String {
    let (class, sign) = class(run.outcome);
    let said = run.outcome.said();
    let reasons: String = run.reasons.iter().map(|reason| format!("<li>{}</li>", escaped(reason))).collect();
    format!(
        "<div id=\"verdict\" class=\"verdict {class}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span><div><strong>{}{}</strong><ul>{reasons}</ul></div></div>",
        said[..1].to_uppercase(),
        &said[1..]
    )
}

/// Median, 99 %, 99.9 % and the longest, for people.
fn told(latency: &Percentiles) -> [String; 4] {
    let columns: [fn(&Percentiles) -> u64; 4] =
        [|latency| latency.p50, |latency| latency.p99, |latency| latency.p999, |latency| latency.max];
    columns.map(|column| latency.told(column))
}

fn tile(load: &Load, colour: usize) -> String {
    let figures: String = ["p50", "p99", "p99.9", "longest"]
        .iter()
        .zip(told(&load.latency_ns))
        .map(|(name, text)| format!("<dt>{name}</dt><dd>{text}</dd>"))
        .collect();
    format!(
        "<article class=\"tile c{colour}\"><h3>{} <span>{}, {}</span></h3><dl>{figures}</dl><p>{} sent{}; {} offered, {} achieved on the mean</p></article>",
        escaped(&load.name),
        escaped(&load.who),
        escaped(&load.what),
        count(load.sent),
        load.unfilled(),
        rate(load.offered_per_s),
        rate(load.achieved_per_s)
    )
}

fn events(run: &Run) -> String {
    if run.events.is_empty() {
        return String::new();
    }
    let item =
        |event: &crate::report::Event| format!("<li>at {:.1} s: {}</li>", event.at_s, escaped(&event.what));
    format!("<ol class=\"events\" id=\"events\">{}</ol>", run.events.iter().map(item).collect::<String>())
}

/// A cell of each of these.
fn cells(texts: &[String]) -> String {
    texts.iter().map(|text| format!("<td>{text}</td>")).collect()
}

fn phases(run: &Run) -> String {
    let mut rows = String::new();
    for (number, span) in run.phases.iter().enumerate() {
        for load in &run.loads {
            let Some(in_phase) = load.phases.get(number).filter(|in_phase| in_phase.has_something()) else {
                continue;
            };
            let InPhase { offered_per_s, achieved_per_s, latency_ns } = *in_phase;
            let [p50, p99, p999, max] = told(&latency_ns);
            rows += &format!(
                "<tr><td>{} <span class=\"note\">{:.0}-{:.0} s</span></td><td class=\"text\">{}</td>{}</tr>",
                escaped(&span.name),
                span.from_s,
                span.to_s,
                escaped(&load.name),
                cells(&[rate(offered_per_s), rate(achieved_per_s), p50, p99, p999, max])
            );
        }
    }
    format!(
        "<h2>By phase</h2><div class=\"wide\"><table id=\"phases\"><thead><tr><th>phase</th><th class=\"text\">load</th><th>offered</th><th>achieved</th><th>p50</th><th>p99</th><th>p99.9</th><th>longest</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

fn servers(run: &Run) -> String {
    let row = |server: &Server| {
        let mebibytes = format!("{:.0} MiB", server.memory_bytes_max / f64::from(1 << 20));
        format!(
            "<tr><td>{}</td>{}</tr>",
            escaped(&server.name),
            cells(&[format!("{:.2} s", server.cpu_s), mebibytes, growth(run, server)])
        )
    };
    let messages: u64 = run.loads.iter().map(|load| load.sent + load.received).sum();
    let generator = format!(
        "<tr><td>the generator itself: {} messages, {} of CPU time</td>{}</tr>",
        count(messages),
        rate(messages as f64 / run.cpu_s.max(1e-3)),
        cells(&[format!("{:.2} s", run.cpu_s), String::new(), String::new()])
    );
    let rows: String = run.components.iter().map(row).collect();
    let lag = |load: &Load| {
        format!(
            "<tr><td>{}</td>{}</tr>",
            escaped(&load.name),
            cells(&[
                count(load.planned),
                count(load.sent),
                format!("{} ({:.3} %)", count(load.schedule.late), load.schedule.late_share * 100.0),
                count(load.schedule.overrun),
                duration(load.schedule.max_ns)
            ])
        )
    };
    let lags: String = run.loads.iter().map(lag).collect();
    format!(
        "<h2>What it took</h2><div class=\"wide\"><table id=\"servers\"><thead><tr><th>process</th><th>CPU time</th><th>memory at most</th><th>growth in the second half</th></tr></thead><tbody>{rows}{generator}</tbody></table></div>\
         <h2>The generator's own schedule</h2><div class=\"wide\"><table id=\"schedule\"><thead><tr><th>load</th><th>planned</th><th>sent</th><th>sent late</th><th>after its phase</th><th>latest by</th></tr></thead><tbody>{lags}</tbody></table></div>"
    )
}

/// By how much a server's memory grew, and what it may.
fn growth(run: &Run, server: &Server) -> String {
    let most = server.memory_growth_percent_max.map(|most| format!(" of at most {most} %"));
    let grew = server.memory_growth_percent(run.seconds).map(|grew| format!("{grew:+.1} %"));
    grew.unwrap_or_default() + &most.unwrap_or_default()
}

fn origin(run: &Run) -> String {
    let machine = &run.machine;
    format!(
        "<h2>How it was made</h2><div class=\"wide\"><table id=\"origin\"><tbody>\
         <tr><td>command</td><td class=\"text\"><code>{}</code></td></tr>\
         <tr><td>machine</td><td class=\"text\">{}, {} cores, {:.0} GiB, Linux {}</td></tr>\
         <tr><td>loadgen</td><td class=\"text\">{}</td></tr>\
         <tr><td>began</td><td class=\"text\">{}</td></tr></tbody></table></div>\
         <details><summary>The scenario's file</summary><pre>{}</pre></details>\
         <p class=\"foot\">Open loop: each message is due at a time that follows from the rate alone, and its latency counts from then.</p>",
        escaped(&run.command),
        escaped(&machine.cpu),
        machine.cores,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        escaped(&machine.kernel),
        escaped(&run.version),
        beijing(run.started_unix_s),
        escaped(&run.file)
    )
}

/// Date and time of day.
fn beijing(unix_s: f64) -> String {
    let stamp = wire::szse::Timestamp::from_unix_ns((unix_s * 1e9) as u64).to_string();
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{} {}:{}:{} (Beijing)",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    )
}
