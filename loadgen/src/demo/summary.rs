//! What the demo says at the end, and whether it went as it should.

use crate::audience::Receipts;
use crate::figures::{count, duration, rate};
use crate::report::Report;
use crate::screen::{Line, Style};
use crate::trading::floor::Account;

/// What is said at the end.
pub(super) struct Summary {
    /// Numbers that the cores published.
    pub(super) published: u64,
    /// The longest silence of a subscriber soon after the kill, and in the seconds before.
    pub(super) silences_ns: [u64; 2],
    /// When the primary was killed.
    pub(super) killed_s: f64,
    /// Numbers that the feed declared lost.
    pub(super) lost_by_feed: u64,
    pub(super) orders: Account,
    pub(super) quotes: Receipts,
}

impl Summary {
    /// Orders and quotes in one account: the stable keys of the report.
    pub(super) fn account(&self, report: &mut Report) {
        let quotes = self.quotes.tally;
        report.account(self.orders.tally.merged(quotes));
        let closed = self.quotes.connections.iter().filter(|one| one.closed).count();
        report.figures.extend([
            ("quotes_published", self.published as f64),
            ("quotes_expected", quotes.expected as f64),
            ("quotes_received", quotes.received as f64),
            ("quotes_lost", quotes.lost as f64),
            ("orders_lost", self.orders.tally.lost as f64),
            ("numbers_lost_by_feed", self.lost_by_feed as f64),
            ("subscribers_closed", closed as f64),
            ("silence_after_kill_ms", self.silences_ns[0] as f64 / 1e6),
            ("silence_before_kill_ms", self.silences_ns[1] as f64 / 1e6),
        ]);
    }

    pub(super) fn lines(&self, report: &Report) -> Vec<Line> {
        let mut lines = vec![Line::new(), self.orders_line(report), self.quotes_line(), self.kill_line()];
        if self.orders.unsent > 0 {
            let text = format!("{} orders: their sessions were closed", count(self.orders.unsent));
            lines.push(row("not sent", text));
        }
        let refusals = self.orders.refusals.iter();
        lines.extend(refusals.map(|(why, times)| row("refused", format!("{}: {why}", count(*times)))));
        lines.push(Line::new());
        let table = report.latencies().to_string();
        lines.extend(table.lines().map(|text| Line::new().add(Style::Plain, text)));
        let notes = [
            "  orders: from when each was due; fills: from when the later of the two was",
            "  quotes: from the core's time stamp, cut to the millisecond: up to 1 ms too long",
        ];
        lines.extend(notes.map(|note| Line::new().add(Style::Dim, note)));
        lines.push(Line::new());
        lines.push(verdict(report, &self.orders));
        lines
    }

    fn orders_line(&self, report: &Report) -> Line {
        let orders = &self.orders;
        let text = format!(
            "{} sent at {}, {} accepted, {} refused, {} filled",
            count(orders.sent),
            rate(report.offered_per_s),
            count(orders.accepted),
            count(orders.rejected),
            count(orders.filled)
        );
        row("orders", text)
    }

    fn quotes_line(&self) -> Line {
        let text = format!(
            "{} published x {} = {} expected, {} received",
            count(self.published),
            count(self.quotes.connections.len() as u64),
            count(self.quotes.tally.expected),
            count(self.quotes.tally.received)
        );
        row("quotes", text)
    }

    fn kill_line(&self) -> Line {
        let [after_ns, before_ns] = self.silences_ns;
        let text = format!(
            "{:.1} s: {} numbers lost, longest silence {} (before it {})",
            self.killed_s,
            count(self.quotes.tally.lost),
            duration(after_ns),
            duration(before_ns)
        );
        row("primary kill", text)
    }
}

fn row(name: &str, text: String) -> Line {
    Line::new().cell(Style::Bold, format!("  {name}"), 16).add(Style::Plain, text)
}

fn verdict(report: &Report, orders: &Account) -> Line {
    if succeeded(report) {
        return Line::new().add(Style::Good, "  Nothing was lost, doubled or out of order.");
    }
    Line::new().add(
        Style::Bad,
        format!(
            "  LOST {}, DOUBLED {}, OUT OF ORDER {}, refused {}, not sent {}",
            count(report.lost),
            count(report.duplicated),
            count(report.out_of_order),
            count(report.rejected),
            count(orders.unsent)
        ),
    )
}

/// Whether the demo showed what it is to show.
#[must_use]
pub fn succeeded(report: &Report) -> bool {
    report.is_clean() && report.received > 0
}
