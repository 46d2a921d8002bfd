//! Everything that a gateway counts, with its meaning.

use crate::accounts::Accounts;
use crate::check::rate::{Marked, Rates};
use crate::check::{Checks, Refusal};
use crate::counts::Counts;
use crate::fix;
use crate::orders::{AccountKey, Orders};
use crate::route::Core;
use service::prometheus::{IntCounter, IntCounterVec, IntGauge};

service::metrics! {
    /// Everything that a gateway counts.
    pub struct Metrics {
        /// Clients logged on now.
        sessions: IntGauge = "gateway_sessions",
        /// Connections of clients accepted.
        accepted: IntCounter = "gateway_connections_accepted_total",
        /// Connections closed at once because as many as are allowed were open.
        refused_full: IntCounter = "gateway_connections_refused_total",
        /// Connections of balancers, which begin with a PROXY header, by listener and outcome. client: for a client, whose address it has; local: the balancer's own, or for nobody that is named; left: closed without a byte; malformed: something else came; timed_out: no header in time; refused: too many headers were awaited.
        proxy_headers: IntCounterVec = "gateway_proxy_headers_total" ["listener", "outcome"],
        /// Errors of accepting, such as file limits.
        accept_errors: IntCounter = "gateway_accept_errors_total",
        /// Logons accepted.
        logons: IntCounter = "gateway_logons_total",
        /// Logons refused, by reason.
        logons_refused: IntCounterVec = "gateway_logons_refused_total" ["reason"],
        /// Connections of clients that ended, by reason: what the peer did wrong stands here.
        session_ended: IntCounterVec = "gateway_session_ended_total" ["reason"],

        /// Orders forwarded, by core.
        orders: IntCounterVec = "gateway_orders_total" ["core"],
        /// Cancels forwarded, by core.
        cancels: IntCounterVec = "gateway_cancels_total" ["core"],
        /// Cancels of orders that an ended session left open: cancel on disconnect.
        disconnect_cancels: IntCounter = "gateway_disconnect_cancels_total",
        /// Orders of ended sessions that stay open: the core refused each cancel of them, or said nothing of it.
        disconnect_given_up: IntCounter = "gateway_disconnect_orders_given_up_total",
        /// Whether orders of ended sessions wait for their cancel: their line is down, or the phase takes none.
        disconnect_cancels_waiting: IntGauge = "gateway_disconnect_cancels_waiting",
        /// Requests answered with a BusinessReject, by reason.
        refused: IntCounterVec = "gateway_requests_refused_total" ["reason"],
        /// Orders that cancels and reports can be matched to.
        orders_known: IntGauge = "gateway_orders_known",
        /// Orders that had to make room: a cancel for one of them is refused.
        orders_forgotten: IntCounter = "gateway_orders_forgotten_total",

        /// Reports taken into the log, by core.
        reports: IntCounterVec = "gateway_reports_total" ["core"],
        /// Reports whose number was here already, by core.
        reports_duplicate: IntCounterVec = "gateway_reports_duplicate_total" ["core"],
        /// Reports for accounts of no client here, by core.
        reports_unowned: IntCounterVec = "gateway_reports_unowned_total" ["core"],
        /// BusinessRejects from a core: something was forwarded that it does not take.
        core_rejects: IntCounterVec = "gateway_core_rejects_total" ["core"],
        /// Messages from a core of a type that means nothing here.
        core_unknown: IntCounterVec = "gateway_core_messages_unknown_total" ["core"],

        /// What a core said of the repetition of an order that it had already, or of a cancel that it had answered, which is not
        /// shown, by core.
        reports_repeated: IntCounterVec = "gateway_reports_repeated_total" ["core"],

        /// Whether a core takes requests, over whichever line.
        core_up: IntGaugeVec = "gateway_core_up" ["core"],
        /// Whether a core gets no orders because its reports of today have not come as far yet as this gateway had them before.
        core_behind: IntGaugeVec = "gateway_core_behind" ["core"],
        /// Alarm: a core's reports end before those that this gateway has had of it today, or are others: it has lost its day, and gets no orders.
        core_reports_missing: IntGaugeVec = "gateway_core_reports_missing" ["core"],
        /// Whether a line is logged on.
        line_up: IntGaugeVec = "gateway_line_up" ["core", "line"],
        /// Whether a line carries requests and reports.
        line_active: IntGaugeVec = "gateway_line_active" ["core", "line"],
        /// Times that a line came up.
        line_ups: IntCounterVec = "gateway_line_ups_total" ["core", "line"],
        /// Times that a line ended or could not be dialled, by reason.
        line_ended: IntCounterVec = "gateway_line_ended_total" ["core", "line", "reason"],
        /// Times that a line ended whose work then was another's, or nobody's, by core.
        line_switches: IntCounterVec = "gateway_line_switches_total" ["core"],
        /// Bytes sent over a line in the last second.
        line_sent_bytes_per_s: IntGaugeVec = "gateway_line_sent_bytes_per_second" ["core", "line"],
        /// Bytes received over a line in the last second.
        line_received_bytes_per_s: IntGaugeVec = "gateway_line_received_bytes_per_second" ["core", "line"],
        /// The busiest second since the start, bytes in the busier direction over both lines of a core together.
        line_peak_bytes_per_s: IntGaugeVec = "gateway_line_peak_bytes_per_second" ["core"],
        /// Alarm: the busiest second is more than this line's configured bandwidth: alone it would not carry the peak.
        line_too_small: IntGaugeVec = "gateway_line_too_small" ["core", "line"],
        /// Requests that went to a core and are not answered yet.
        in_flight: IntGaugeVec = "gateway_requests_in_flight" ["core"],
        /// How long ago the oldest of them was sent first, milliseconds: one that stays says that the core keeps an answer back.
        in_flight_oldest_ms: IntGaugeVec = "gateway_requests_in_flight_oldest_milliseconds" ["core"],
        /// Requests sent again because their line had died.
        resent: IntCounterVec = "gateway_requests_resent_total" ["core"],
        /// Requests that were not sent again, being too old, and that the core had not taken: their clients were told.
        not_taken: IntCounterVec = "gateway_requests_not_taken_total" ["core"],
        /// Times that clients were not read from because a line had too much waiting.
        pauses: IntCounter = "gateway_pauses_total",

        /// Clients logged on by FIX now.
        fix_sessions: IntGauge = "gateway_fix_sessions",
        /// FIX connections and logons refused, by reason.
        fix_logons_refused: IntCounterVec = "gateway_fix_logons_refused_total" ["reason"],
        /// Messages received by FIX.
        fix_messages: IntCounter = "gateway_fix_messages_total",
        /// Times that bytes were skipped in a FIX stream because they are no message.
        fix_garbled: IntCounter = "gateway_fix_garbled_total",
        /// FIX messages answered with a Reject, or with a BusinessMessageReject for their type.
        fix_rejects: IntCounter = "gateway_fix_rejects_total",
        /// Requests by FIX that were refused and reached no core.
        fix_refused: IntCounter = "gateway_fix_requests_refused_total",
        /// Orders that came by FIX and were forwarded.
        fix_orders: IntCounter = "gateway_fix_orders_total",
        /// Cancels that came by FIX and were forwarded.
        fix_cancels: IntCounter = "gateway_fix_cancels_total",
        /// FIX messages made of reports.
        fix_reports: IntCounter = "gateway_fix_reports_total",
        /// Reports that were let go before the FIX port saw them.
        fix_lost: IntCounter = "gateway_fix_reports_lost_total",
        /// Orders of FIX accounts that had to make room: reports of their trades have no average price.
        fix_orders_forgotten: IntCounter = "gateway_fix_orders_forgotten_total",
        /// Batches of FIX sessions' memories given to JetStream.
        fix_store_batches: IntCounter = "gateway_fix_store_batches_total",
        /// Claims and batches that JetStream did not take, each of which ended a session, and questions after sessions that are gone which it
        /// did not answer, by reason. What was taken over by another gateway is no failure of JetStream's: a client went there.
        fix_store_failures: IntCounterVec = "gateway_fix_store_failures_total" ["reason"],
        /// FIX sessions that were here and are another gateway's now: what they have left open is not cancelled here.
        fix_went_on: IntCounter = "gateway_fix_sessions_went_on_total",
        /// What a core refused without a report and could not be told to a FIX session of the account: another gateway had the session, or its store failed. The client learns of it by asking for the order's state.
        fix_refusals_lost: IntCounter = "gateway_fix_refusals_lost_total",
        /// Logons whose session's memory was read from JetStream: another gateway had it, or this one before it was started.
        fix_takeovers: IntCounter = "gateway_fix_takeovers_total",

        /// Records given to the audit's store, by kind.
        audit_records: IntCounterVec = "gateway_audit_records_total" ["kind"],
        /// Records that are not safe in the audit's store yet: the journal's lag.
        audit_lag: IntGauge = "gateway_audit_lag_records",
        /// So many records behind, and new orders are refused (`audit.lag_records_max`); 0 without an audit.
        audit_lag_max: IntGauge = "gateway_audit_lag_records_max",
        /// Commits of the audit's store that failed.
        audit_errors: IntCounter = "gateway_audit_errors_total",
        /// Whether the audit cannot be written: orders are refused meanwhile.
        audit_failing: IntGauge = "gateway_audit_failing",
        /// Alarm: records were let go before they could be written. Reports among them are written after a restart.
        audit_incomplete: IntGauge = "gateway_audit_incomplete",

        /// Times that an account became a high-frequency one, by mark: second, day.
        marks: IntCounterVec = "gateway_high_frequency_marks_total" ["mark"],
        /// Orders and cancels in the busiest second of today of an account with a mark; of the first 1,000 of them.
        marked_per_second: IntGaugeVec = "gateway_high_frequency_requests_per_second" ["account"],
        /// Orders and cancels that the cores answered today, of an account with a mark; of the first 1,000 of them.
        marked_per_day: IntGaugeVec = "gateway_high_frequency_requests_today" ["account"],
        /// Orders and cancels in the busiest second of today of any account.
        busiest_per_second: IntGauge = "gateway_account_requests_per_second_peak",
        /// The most orders and cancels of any account that the cores answered today.
        busiest_per_day: IntGauge = "gateway_account_requests_today_peak",

        /// Whether a feed is followed whose subscription stands.
        quotes_up: IntGauge = "gateway_quotes_up",
        /// Connections to a feed that ended or could not be made, by reason.
        quotes_ended: IntCounterVec = "gateway_quotes_ended_total" ["reason"],
        /// Snapshots taken from a feed.
        quotes: IntCounter = "gateway_quotes_total",
        /// Snapshots of securities that the reference data does not have.
        quotes_unknown: IntCounter = "gateway_quotes_unknown_total",
        /// GapNotices of a feed, by reason; behind a "slow reader" all prices are stale until they come again.
        quotes_gaps: IntCounterVec = "gateway_quotes_gaps_total" ["reason"],
        /// Orders that passed the cage or the short-sale rule because quotes were stale.
        quotes_stale: IntCounter = "gateway_orders_on_stale_quotes_total",

        /// Commands on the operator's port, and requests there that were denied, by outcome.
        commands: IntCounterVec = "gateway_operator_commands_total" ["outcome"],
        /// Times that rules and reference data were read again, by outcome.
        check_loads: IntCounterVec = "gateway_check_loads_total" ["outcome"],

        /// Bytes read from clients and cores.
        bytes_in: IntCounter = "gateway_bytes_in_total",
        /// Bytes written to clients and cores.
        bytes_out: IntCounter = "gateway_bytes_out_total",
        /// Writes that a socket did not take whole.
        writes_blocked: IntCounter = "gateway_writes_blocked_total",
    }
}

/// Carries what the hot thread counts in plain integers over to the metrics, once a tick.
pub(crate) struct Exporter {
    metrics: Metrics,
    refused: Vec<IntCounter>,
    by_core: [ByCore; 2],
    stats: shard::Stats,
    counts: Counts,
    forgotten: u64,
    stale: u64,
    marked: Marked,
    /// What is shown of the accounts with a mark, in the order of their marks.
    shown: Vec<Shown>,
    fix: fix::Counts,
    fix_forgotten: u64,
}

/// An account with a mark.
struct Shown {
    account: AccountKey,
    per_second: IntGauge,
    today: IntGauge,
}

struct ByCore {
    orders: IntCounter,
    cancels: IntCounter,
    reports: IntCounter,
    duplicates: IntCounter,
    unowned: IntCounter,
    repeated: IntCounter,
    resent: IntCounter,
    not_taken: IntCounter,
    rejects: IntCounter,
    unknown: IntCounter,
}

impl ByCore {
    fn new(metrics: &Metrics, core: Core) -> Self {
        let of = |vec: &IntCounterVec| vec.with_label_values(&[core.name()]);
        Self {
            orders: of(&metrics.orders),
            cancels: of(&metrics.cancels),
            reports: of(&metrics.reports),
            duplicates: of(&metrics.reports_duplicate),
            unowned: of(&metrics.reports_unowned),
            repeated: of(&metrics.reports_repeated),
            resent: of(&metrics.resent),
            not_taken: of(&metrics.not_taken),
            rejects: of(&metrics.core_rejects),
            unknown: of(&metrics.core_unknown),
        }
    }
}

impl Exporter {
    /// `own` are the names of the integrator's checks.
    pub(crate) fn new(metrics: Metrics, own: &[&'static str]) -> Self {
        // Growth is seen of a series that is there: one that began with its first failure would hide it from the alert.
        for reason in fix::STORE_FAILURES {
            metrics.fix_store_failures.with_label_values(&[reason]);
        }
        let labels = Refusal::labels().chain(own.iter().copied());
        Self {
            refused: labels.map(|label| metrics.refused.with_label_values(&[label])).collect(),
            by_core: Core::ALL.map(|core| ByCore::new(&metrics, core)),
            stats: shard::Stats::default(),
            counts: Counts::default(),
            forgotten: 0,
            stale: 0,
            marked: Marked::default(),
            shown: Vec::new(),
            fix: fix::Counts::default(),
            fix_forgotten: 0,
            metrics,
        }
    }

    pub(crate) fn export(&mut self, stats: shard::Stats, now: &Counts, orders: &Orders) {
        self.export_stats(stats);
        let before = std::mem::replace(&mut self.counts, *now);
        self.metrics.disconnect_cancels.inc_by(now.disconnect_cancels - before.disconnect_cancels);
        let given_up = now.disconnect_given_up - before.disconnect_given_up;
        self.metrics.disconnect_given_up.inc_by(given_up);
        for (index, counter) in self.refused.iter().enumerate() {
            counter.inc_by(now.refused[index] - before.refused[index]);
        }
        for (core, counters) in self.by_core.iter().enumerate() {
            counters.orders.inc_by(now.orders[core] - before.orders[core]);
            counters.cancels.inc_by(now.cancels[core] - before.cancels[core]);
            counters.reports.inc_by(now.reports[core] - before.reports[core]);
            counters.duplicates.inc_by(now.duplicates[core] - before.duplicates[core]);
            counters.unowned.inc_by(now.unowned[core] - before.unowned[core]);
            counters.repeated.inc_by(now.repeated[core] - before.repeated[core]);
            counters.resent.inc_by(now.resent[core] - before.resent[core]);
            counters.not_taken.inc_by(now.not_taken[core] - before.not_taken[core]);
            counters.rejects.inc_by(now.core_rejects[core] - before.core_rejects[core]);
            counters.unknown.inc_by(now.unknown_from_core[core] - before.unknown_from_core[core]);
        }
        self.metrics.orders_known.set(orders.len() as i64);
        let forgotten = orders.forgotten();
        self.metrics.orders_forgotten.inc_by(forgotten - std::mem::replace(&mut self.forgotten, forgotten));
    }

    pub(crate) fn export_checks(&mut self, checks: &Checks, accounts: &Accounts) {
        let stale = checks.stale();
        self.metrics.quotes_stale.inc_by(stale - std::mem::replace(&mut self.stale, stale));
        let (marked, busiest) = (checks.rates.marked(), checks.rates.busiest());
        let before = std::mem::replace(&mut self.marked, marked);
        self.metrics.marks.with_label_values(&["second"]).inc_by(marked.second - before.second);
        self.metrics.marks.with_label_values(&["day"]).inc_by(marked.day - before.day);
        self.metrics.busiest_per_second.set(i64::from(busiest.per_second));
        self.metrics.busiest_per_day.set(i64::from(busiest.today));
        self.export_marked(&checks.rates, accounts);
    }

    fn export_marked(&mut self, rates: &Rates, accounts: &Accounts) {
        let marked = rates.marked_accounts();
        // A new day has begun: what was shown is over.
        if !self.shown.iter().map(|shown| shown.account).eq(marked.iter().take(self.shown.len()).copied()) {
            self.shown.clear();
            self.metrics.marked_per_second.reset();
            self.metrics.marked_per_day.reset();
        }
        for account in marked.iter().skip(self.shown.len()) {
            let name = accounts.name(*account).map(|name| name.to_string()).unwrap_or_default();
            self.shown.push(Shown {
                account: *account,
                per_second: self.metrics.marked_per_second.with_label_values(&[name.as_str()]),
                today: self.metrics.marked_per_day.with_label_values(&[name.as_str()]),
            });
        }
        for shown in &self.shown {
            if let Some(account) = rates.account(shown.account) {
                shown.per_second.set(i64::from(account.peak));
                shown.today.set(i64::from(account.today));
            }
        }
    }

    pub(crate) fn export_fix(&mut self, now: &fix::Counts, forgotten: u64) {
        let (metrics, before) = (&self.metrics, std::mem::replace(&mut self.fix, *now));
        metrics.fix_messages.inc_by(now.messages_in - before.messages_in);
        metrics.fix_garbled.inc_by(now.garbled - before.garbled);
        metrics.fix_rejects.inc_by(now.rejects - before.rejects);
        metrics.fix_refused.inc_by(now.refused - before.refused);
        metrics.fix_orders.inc_by(now.orders - before.orders);
        metrics.fix_cancels.inc_by(now.cancels - before.cancels);
        metrics.fix_reports.inc_by(now.reports - before.reports);
        metrics.fix_lost.inc_by(now.lost - before.lost);
        metrics
            .fix_orders_forgotten
            .inc_by(forgotten - std::mem::replace(&mut self.fix_forgotten, forgotten));
    }

    fn export_stats(&mut self, stats: shard::Stats) {
        let (metrics, before) = (&self.metrics, std::mem::replace(&mut self.stats, stats));
        metrics.accepted.inc_by(stats.accepted - before.accepted);
        metrics.refused_full.inc_by(stats.refused_full - before.refused_full);
        metrics.accept_errors.inc_by(stats.accept_errors - before.accept_errors);
        metrics.bytes_in.inc_by(stats.bytes_in - before.bytes_in);
        metrics.bytes_out.inc_by(stats.bytes_out - before.bytes_out);
        metrics.writes_blocked.inc_by(stats.writes_blocked - before.writes_blocked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_alert_watches_grow_is_there_from_the_start() {
        let registry = service::prometheus::Registry::new();
        let _exporter = Exporter::new(Metrics::register(&registry).unwrap(), &[]);
        let text = service::metrics::text(&registry);
        for reason in ["session store failed", "taken over by another gateway"] {
            let series = format!("gateway_fix_store_failures_total{{reason=\"{reason}\"}} 0");
            assert!(text.contains(&series), "{text}");
        }
    }
}
