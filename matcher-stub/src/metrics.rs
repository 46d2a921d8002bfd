//! Every counter of the matcher, with its meaning.

use crate::core::{CancelRefusal, Core, Counts, Refusal};
use crate::journal;
use crate::publisher;
use core_port::session::SessionCounts;
use service::prometheus::{IntCounter, IntCounterVec};

service::metrics! {
    /// What the matcher counts. The shard counts in its own integers and brings them here about once a second.
    pub struct Metrics {
        /// Orders accepted by the core.
        accepted: IntCounter = "matcher_orders_accepted_total",
        /// Orders refused by the core, by reason; each is a report.
        refused: IntCounterVec = "matcher_orders_refused_total" ["reason"],
        /// Trades: each is of two orders.
        trades: IntCounter = "matcher_trades_total",
        /// Orders whose rest was cancelled, on request or because it does not rest.
        cancelled: IntCounter = "matcher_orders_cancelled_total",
        /// Cancels refused by the core, by reason; each is a report.
        cancels_refused: IntCounterVec = "matcher_cancels_refused_total" ["reason"],
        /// Orders remembered today, refused ones among them.
        remembered: IntGauge = "matcher_orders_remembered",
        /// Records written to the journal: each holds the orders and cancels of a turn.
        journal_records: IntCounter = "matcher_journal_records_total",
        /// Bytes written to the journal.
        journal_bytes: IntCounter = "matcher_journal_bytes_total",
        /// Writes that the journal's disk did not take: their orders and cancels were refused.
        journal_errors: IntCounter = "matcher_journal_errors_total",
        /// Orders that came again while the journal could not be written, and were passed over: the first one's reports answer both.
        repeats: IntCounter = "matcher_orders_repeated_total",
        /// Sessions logged on now, by kind of port.
        sessions: IntGaugeVec = "matcher_sessions" ["kind"],
        /// Logons taken, by kind of port.
        logons: IntCounterVec = "matcher_logons_total" ["kind"],
        /// Logons refused and sessions that ended in an error, by kind of port and text of the logout.
        session_errors: IntCounterVec = "matcher_session_errors_total" ["kind", "reason"],
        /// Messages within a session answered with a BusinessReject, by kind of port and reason.
        rejects: IntCounterVec = "matcher_business_rejects_total" ["kind", "reason"],
        /// Resend requests.
        resends: IntCounter = "matcher_resend_requests_total",
        /// Resend requests answered with less than all that was asked for.
        resends_short: IntCounter = "matcher_resend_requests_short_total",
        /// Frames sent again.
        frames_resent: IntCounter = "matcher_frames_resent_total",
        /// Connections open now.
        connections: IntGauge = "matcher_connections",
        /// Connections closed at once because as many as are allowed were open.
        refused_full: IntCounter = "matcher_connections_refused_total",
        /// Errors of accepting connections.
        accept_errors: IntCounter = "matcher_accept_errors_total",
        /// Bytes read from all connections.
        bytes_in: IntCounter = "matcher_received_bytes_total",
        /// Bytes written to all connections.
        bytes_out: IntCounter = "matcher_sent_bytes_total",
        /// Connections closed because they fell so far behind that what they wanted was let go.
        overruns: IntCounter = "matcher_overruns_total",
    }
}

/// Brings a counter up to a total that was counted elsewhere.
fn bring(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn bring_of(counters: &IntCounterVec, labels: &[&str], total: u64) {
    bring(&counters.with_label_values(labels), total);
}

impl Metrics {
    /// Brings in what the core counted.
    pub(crate) fn core(&self, core: &Core) {
        let Counts { accepted, refused, trades, cancelled, cancels_refused } = core.counts();
        bring(&self.accepted, *accepted);
        bring(&self.trades, *trades);
        bring(&self.cancelled, *cancelled);
        for (refusal, total) in Refusal::ALL.iter().zip(refused) {
            bring_of(&self.refused, &[&refusal.to_string()], *total);
        }
        for (refusal, total) in CancelRefusal::ALL.iter().zip(cancels_refused) {
            bring_of(&self.cancels_refused, &[&refusal.to_string()], *total);
        }
        self.remembered.set(core.orders_len() as i64);
    }

    /// Brings in what the journal counted.
    pub(crate) fn journal(&self, counts: &journal::Counts) {
        bring(&self.journal_records, counts.records);
        bring(&self.journal_bytes, counts.bytes);
        bring(&self.journal_errors, counts.errors);
    }

    /// Brings in what a kind of ports counted.
    pub(crate) fn sessions(&self, kind: &str, counts: &SessionCounts) {
        self.sessions.with_label_values(&[kind]).set(counts.active as i64);
        bring_of(&self.logons, &[kind], counts.logons);
        for (reason, total) in &counts.errors {
            bring_of(&self.session_errors, &[kind, reason], *total);
        }
        for (reason, total) in &counts.rejects {
            bring_of(&self.rejects, &[kind, reason], *total);
        }
    }

    /// Brings in what the publisher counted.
    pub(crate) fn publisher(&self, counts: &publisher::Counts) {
        self.sessions("market_data", &counts.sessions);
        bring(&self.resends, counts.resends);
        bring(&self.resends_short, counts.resends_short);
        bring(&self.frames_resent, counts.frames_resent);
    }

    /// Brings in what the shard counted.
    pub(crate) fn shard(&self, stats: &shard::Stats) {
        self.connections.set(stats.connections as i64);
        bring(&self.refused_full, stats.refused_full);
        bring(&self.accept_errors, stats.accept_errors);
        bring(&self.bytes_in, stats.bytes_in);
        bring(&self.bytes_out, stats.bytes_out);
        bring(&self.overruns, stats.overruns);
    }
}
