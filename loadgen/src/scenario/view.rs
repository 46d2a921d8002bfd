//! What is shown of a scenario while it runs: rates and latencies of each load, the state of each server, what happened.

use super::components::{Condition, Looked};
use super::conductor::{Conductor, Track};
use crate::figures::{count, rate};
use crate::report::Percentiles;
use crate::screen::{Line, Style, bar, wrap};

const NAME: usize = 13;
const WHO: usize = 18;
const WHEN: usize = 11;
/// Of what happened, so many are shown.
const EVENTS_SHOWN: usize = 5;
const TAKE_S: f64 = 0.25;

/// The picture of a moment, in so many columns.
pub(super) fn lines(run: &Conductor<'_>, now_ns: u64, columns: usize) -> Vec<Line> {
    let (at_s, seconds) = (run.at_s(now_ns), run.scenario.seconds() as f64);
    let phase = run.phase(at_s);
    let mut lines = vec![
        Line::new()
            .add(Style::Bold, format!("  通道 {} ", run.scenario.name))
            .add(Style::Accent, bar(at_s / seconds, 30))
            .add(Style::Plain, format!(" {:.1} of {seconds:.0} s", at_s.min(seconds))),
        name("phase")
            .add(Style::Accent, run.spans[phase].name.clone())
            .add(Style::Dim, format!("  {} of {}", phase + 1, run.spans.len())),
        Line::new(),
    ];
    for track in &run.tracks {
        let offered = (track.rate_per_s)(&run.scenario.phases[phase]);
        lines.extend(load(track, if at_s < seconds { offered } else { 0 }));
    }
    lines.push(Line::new());
    lines.extend(run.components.all.iter().map(server));
    lines.push(Line::new());
    let first = run.events.len().saturating_sub(EVENTS_SHOWN);
    for event in &run.events[first..] {
        let mut when = format!("  {:>5.1} s  ", event.at_s);
        for part in wrap(&event.what, columns.saturating_sub(WHEN)) {
            lines
                .push(Line::new().cell(Style::Dim, std::mem::take(&mut when), WHEN).add(Style::Accent, part));
        }
    }
    lines
}

fn name(name: &str) -> Line {
    Line::new().add(Style::Plain, "  ").cell(Style::Bold, name, NAME)
}

fn load(track: &Track, offered_per_s: u64) -> [Line; 2] {
    let served = (track.state.served - track.before.served) / TAKE_S;
    let first = name(track.load.name())
        .cell(Style::Plain, track.load.who(), WHO)
        .cell(Style::Plain, format!("{} sent", count(track.state.sent)), WHO)
        .cell(Style::Bold, rate(served), 11)
        .cell(Style::Dim, format!("of {}", rate(offered_per_s as f64)), 14)
        .add(
            if track.state.wrong == 0 { Style::Good } else { Style::Bad },
            format!("wrong {}", count(track.state.wrong)),
        );
    let latency = &track.recent;
    let part = |name: &str, of: fn(&Percentiles) -> u64| format!("{name} {:<9}", latency.told(of));
    let second = Line::new().cell(Style::Plain, "", NAME + 2).cell(Style::Dim, "latency", WHO).add(
        Style::Plain,
        part("p50", |all| all.p50) + &part("p99", |all| all.p99) + &part("max", |all| all.max),
    );
    [first, second]
}

fn server(looked: &Looked) -> Line {
    let line = match looked.last.condition {
        Condition::Ready => Line::new().add(Style::Good, "● "),
        Condition::NotReady => Line::new().add(Style::Accent, "◐ "),
        Condition::Gone => Line::new().add(Style::Bad, "○ "),
        Condition::Unknown => Line::new().add(Style::Dim, "· "),
    };
    let mut line = line.cell(Style::Bold, &looked.name, NAME);
    for (label, grows, value) in &looked.last.figures {
        let before = looked.before.figures.iter().find(|(known, ..)| known == label);
        let text = match (grows, before) {
            (true, Some((.., before))) => {
                format!("{label} {} ({})", count(*value as u64), rate((value - before).max(0.0)))
            }
            _ => format!("{label} {}", count(*value as u64)),
        };
        line = line.cell(Style::Plain, text + "  ", WHO);
    }
    line
}

/// The same in one plain line.
pub(super) fn plain(run: &Conductor<'_>, now_ns: u64) -> String {
    let at_s = run.at_s(now_ns);
    let mut text = format!("{at_s:>5.1} s  {}", run.spans[run.phase(at_s)].name);
    for track in &run.tracks {
        let served = (track.state.served - track.before.served) / TAKE_S;
        let (p50, p99) = (track.recent.told(|all| all.p50), track.recent.told(|all| all.p99));
        text += &format!(
            "; {} {}, p50 {p50} p99 {p99}, wrong {}",
            track.load.name(),
            rate(served),
            count(track.state.wrong)
        );
    }
    let away = run.components.all.iter().filter(|looked| looked.last.condition == Condition::Gone);
    for looked in away {
        text += &format!("; {} does not answer", looked.name);
    }
    text
}
