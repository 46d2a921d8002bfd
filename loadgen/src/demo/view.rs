//! What the demo shows while it runs: the scenario from top to bottom, every figure live.

use super::town::{Town, source_names};
use crate::figures::{count, rate};
use crate::house::{BACKUP, Kind, PRIMARY};
use crate::report::{Event, Percentiles};
use crate::screen::{Line, Style, bar, wrap};
use crate::trading::floor::State;

/// Widths of the columns: a picture fits 80 characters.
const NAME: usize = 13;
const WHO: usize = 16;
const HOW_MANY: usize = 18;
const PER_S: usize = 11;
/// Of the time before an event.
const WHEN: usize = 11;

/// The figures of a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) at_s: f64,
    pub(super) orders: State,
    /// Of acceptances, fills and quotes.
    pub(super) latencies: [Percentiles; 3],
    pub(super) received: u64,
    pub(super) missing: u64,
    /// For each gateway: its name, whether the balancer holds it for up, connections, sessions, lines, orders.
    pub(super) gateways: Vec<GatewayFigures>,
    /// For each core: orders and trades.
    pub(super) cores: Vec<(Kind, f64, f64)>,
    /// Primary and backup: whether it is up, and the frames it brought first.
    pub(super) sources: [(bool, f64); 2],
    pub(super) holes: f64,
    pub(super) numbers_lost: f64,
}

/// The figures of a gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayFigures {
    name: &'static str,
    up: bool,
    connections: u32,
    sessions: f64,
    lines: [bool; 2],
    orders: f64,
}

impl Figures {
    /// What the servers count.
    pub(super) fn of_servers(town: &Town) -> Self {
        let backends = town.balancer.backends();
        let gateway = |(name, gateway): &(&'static str, crate::house::Gateway)| {
            let backend = backends.iter().find(|backend| backend.name == *name);
            let line = |kind: Kind| gateway.meters.of_label("gateway_core_up", kind.name()) > 0.0;
            GatewayFigures {
                name,
                up: backend.is_some_and(|backend| backend.state == slb::State::Up),
                connections: backend.map_or(0, |backend| backend.connections),
                sessions: gateway.meters.sum("gateway_sessions"),
                lines: Kind::ALL.map(line),
                orders: gateway.meters.sum("gateway_orders_total"),
            }
        };
        let core = |core: &crate::house::Core| {
            let counted = |name| core.meters.sum(name);
            (core.kind, counted("matcher_orders_accepted_total"), counted("matcher_trades_total"))
        };
        let feed = &town.feed.meters;
        let source = |port| {
            let names = source_names(port);
            let sum = |metric| names.iter().map(|name| feed.of_label(metric, name)).sum::<f64>();
            (sum("feed_source_up") >= 2.0, sum("feed_frames_won_total"))
        };
        Self {
            gateways: town.gateways.iter().map(gateway).collect(),
            cores: town.cores.iter().map(core).collect(),
            sources: [source(PRIMARY), source(BACKUP)],
            holes: feed.sum("feed_gaps_total"),
            numbers_lost: feed.sum("feed_numbers_lost_total"),
            ..Self::default()
        }
    }
}

/// What does not change.
pub(super) struct Frame {
    pub(super) seconds: f64,
    pub(super) sessions: u64,
    pub(super) subscribers: u64,
    /// The quote board's URL.
    pub(super) board: String,
}

impl Frame {
    /// The picture of a moment in so many columns; rates are from the moment before.
    pub(super) fn lines(
        &self,
        now: &Figures,
        before: &Figures,
        events: &[Event],
        columns: usize,
    ) -> Vec<Line> {
        let elapsed_s = (now.at_s - before.at_s).max(1e-3);
        let per_s = |now: f64, before: f64| rate((now - before).max(0.0) / elapsed_s);
        let mut lines = vec![self.head(now), Line::new()];
        lines.extend(self.clients(now, before, &per_s));
        lines.push(balancer(now));
        for gateway in &now.gateways {
            let then = before.gateways.iter().find(|then| then.name == gateway.name);
            lines.push(gateway_line(gateway, per_s(gateway.orders, then.map_or(0.0, |then| then.orders))));
        }
        for (core, then) in
            now.cores.iter().zip(before.cores.iter().chain(std::iter::repeat(&(Kind::Cash, 0.0, 0.0))))
        {
            lines.push(core_line(core, &per_s(core.1, then.1), &per_s(core.2, then.2)));
        }
        lines.push(feed(now));
        lines.extend(self.subscribers(now, before, &per_s));
        lines.push(name("quote board").add(Style::Accent, self.board.clone()));
        lines.push(Line::new());
        for Event { at_s, what } in events {
            let mut when = format!("  {at_s:>5.1} s  ");
            for part in wrap(what, columns.saturating_sub(WHEN)) {
                lines.push(
                    Line::new().cell(Style::Dim, std::mem::take(&mut when), WHEN).add(Style::Accent, part),
                );
            }
        }
        lines
    }

    fn head(&self, now: &Figures) -> Line {
        Line::new()
            .add(Style::Bold, "  通道 Tongdao ")
            .add(Style::Accent, bar(now.at_s / self.seconds, 40))
            .add(Style::Plain, format!(" {:.1} of {:.0} s", now.at_s.min(self.seconds), self.seconds))
    }

    fn clients(&self, now: &Figures, before: &Figures, per_s: &impl Fn(f64, f64) -> String) -> [Line; 3] {
        let State { sent, accepted, rejected, filled, wrong, .. } = now.orders;
        let first = name("clients")
            .cell(Style::Plain, format!("{} sessions", count(self.sessions)), WHO)
            .cell(Style::Plain, format!("{} orders", count(sent)), HOW_MANY)
            .cell(Style::Bold, per_s(sent as f64, before.orders.sent as f64), PER_S)
            .add(zero(rejected + wrong), format!("refused {rejected}  twice {wrong}"));
        let accepted = latencies(&format!("accepted {}", count(accepted)), &now.latencies[0]);
        let filled = latencies(&format!("filled {}", count(filled)), &now.latencies[1]);
        [first, accepted, filled]
    }

    fn subscribers(&self, now: &Figures, before: &Figures, per_s: &impl Fn(f64, f64) -> String) -> [Line; 2] {
        let first = name("subscribers")
            .cell(Style::Plain, format!("{} connections", count(self.subscribers)), WHO)
            .cell(Style::Plain, format!("{} quotes", count(now.received)), HOW_MANY)
            .cell(Style::Bold, per_s(now.received as f64, before.received as f64), PER_S)
            .add(zero(now.missing), format!("missing {}", count(now.missing)));
        [first, latencies("quote (ms stamp)", &now.latencies[2])]
    }
}

fn name(name: &str) -> Line {
    Line::new().add(Style::Plain, "  ").cell(Style::Bold, name, NAME)
}

fn latencies(what: &str, latency: &Percentiles) -> Line {
    let part = |name: &str, of: fn(&Percentiles) -> u64| format!("{name} {:<9}", latency.told(of));
    Line::new().cell(Style::Plain, "", NAME + 2).cell(Style::Dim, what, 20).add(
        Style::Plain,
        part("p50", |all| all.p50) + &part("p99", |all| all.p99) + &part("max", |all| all.max),
    )
}

fn balancer(now: &Figures) -> Line {
    let gateway = |line: Line, gateway: &GatewayFigures| {
        let text = format!("{} {:>4} connections   ", gateway.name, gateway.connections);
        state(line, gateway.up).add(Style::Plain, text)
    };
    now.gateways.iter().fold(name("slb"), gateway)
}

fn gateway_line(gateway: &GatewayFigures, per_s: String) -> Line {
    let line = name(&format!("gateway {}", gateway.name))
        .cell(Style::Plain, format!("{:.0} sessions", gateway.sessions), WHO)
        .cell(Style::Plain, format!("{} orders", count(gateway.orders as u64)), HOW_MANY)
        .cell(Style::Bold, per_s, PER_S);
    let lines = Kind::ALL.into_iter().zip(gateway.lines);
    lines.fold(line, |line, (kind, up)| state(line, up).add(Style::Plain, format!("{}  ", kind.name())))
}

fn core_line((kind, orders, trades): &(Kind, f64, f64), orders_per_s: &str, trades_per_s: &str) -> Line {
    name(&format!("{} core", kind.name()))
        .cell(Style::Plain, "", WHO)
        .cell(Style::Plain, format!("{} orders", count(*orders as u64)), HOW_MANY)
        .cell(Style::Bold, orders_per_s, PER_S)
        .add(Style::Plain, format!("{} trades, {trades_per_s}", count(*trades as u64)))
}

fn feed(now: &Figures) -> Line {
    let source = |line: Line, (port, (up, won)): (&str, &(bool, f64))| {
        state(line, *up).add(Style::Plain, format!("{port} {} first   ", count(*won as u64)))
    };
    let line = [PRIMARY, BACKUP].into_iter().zip(&now.sources).fold(name("feed"), source);
    line.add(Style::Plain, format!("holes {:.0}  ", now.holes))
        .add(zero(now.numbers_lost as u64), format!("lost {:.0}", now.numbers_lost))
}

fn state(line: Line, up: bool) -> Line {
    if up { line.add(Style::Good, "● ") } else { line.add(Style::Bad, "○ ") }
}

fn zero(value: u64) -> Style {
    if value == 0 { Style::Good } else { Style::Bad }
}

/// The same in one plain line.
pub(super) fn plain(now: &Figures, before: &Figures) -> String {
    let elapsed_s = (now.at_s - before.at_s).max(1e-3);
    let per_s = |now: u64, before: u64| rate(now.saturating_sub(before) as f64 / elapsed_s);
    let up = |up: bool| if up { "up" } else { "down" };
    format!(
        "{:>5.1} s  orders {}, accepted p50 {} p99 {}, filled p99 {}; quotes {}, p99 {}, missing {}; primary {}, backup {}",
        now.at_s,
        per_s(now.orders.sent, before.orders.sent),
        now.latencies[0].told(|all| all.p50),
        now.latencies[0].told(|all| all.p99),
        now.latencies[1].told(|all| all.p99),
        per_s(now.received, before.received),
        now.latencies[2].told(|all| all.p99),
        count(now.missing),
        up(now.sources[0].0),
        up(now.sources[1].0),
    )
}
