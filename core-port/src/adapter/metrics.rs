//! Every counter of an adapter, with its meaning.

use crate::session::SessionCounts;
use service::prometheus::{IntCounter, IntCounterVec};

/// What the hot thread counts in its own integers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) repeats: u64,
    pub(super) events: u64,
    pub(super) events_repeated: u64,
    pub(super) resent: u64,
    pub(super) expired: u64,
}

service::metrics! {
    /// What an adapter counts.
    pub struct Metrics {
        /// Whether the counter takes requests: 1 or 0.
        counter_up: IntGauge = "adapter_counter_up",
        /// Connections to the counter that ended, or could not be made, by reason.
        counter_ended: IntCounterVec = "adapter_counter_ended_total" ["reason"],
        /// Requests taken from gateways.
        requests: IntCounter = "adapter_requests_total",
        /// Of them, those answered without the counter: duplicates, cancels of unknown orders.
        answered: IntCounter = "adapter_requests_answered_total",
        /// Repetitions of a request that were passed over: the first one's answer is the answer to both.
        repeats: IntCounter = "adapter_requests_repeated_total",
        /// Requests sent when a counter came back, as it had not got them, or anew after a start.
        resent: IntCounter = "adapter_requests_resent_total",
        /// Orders rejected since the counter could not be reached in time.
        expired: IntCounter = "adapter_orders_expired_total",
        /// Requests that the counter has not answered.
        open: IntGauge = "adapter_requests_open",
        /// Events taken from the counter.
        events: IntCounter = "adapter_events_total",
        /// Events that came a second time.
        events_repeated: IntCounter = "adapter_events_repeated_total",
        /// Events that do not fit what is known of their request, and were passed over: look into the log.
        senseless: IntCounter = "adapter_events_senseless_total",
        /// Writes that the journal's disk did not take.
        journal_errors: IntCounter = "adapter_journal_errors_total",
        /// Gateways logged on now.
        sessions: IntGauge = "adapter_sessions",
        /// Logons refused and sessions that ended in an error, by text of the logout.
        session_errors: IntCounterVec = "adapter_session_errors_total" ["reason"],
        /// Requests answered with a BusinessReject, by reason.
        rejects: IntCounterVec = "adapter_business_rejects_total" ["reason"],
        /// Gateways closed because they fell so far behind that what they wanted was let go.
        overruns: IntCounter = "adapter_overruns_total",
    }
}

/// Brings a counter up to a total that was counted elsewhere.
fn bring(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn bring_all(counters: &IntCounterVec, totals: &[(&'static str, u64)]) {
    totals.iter().for_each(|(reason, total)| bring(&counters.with_label_values(&[*reason]), *total));
}

impl Metrics {
    pub(super) fn bring(&self, counts: &Counts, sessions: &SessionCounts, open: usize, stats: &shard::Stats) {
        bring(&self.requests, counts.requests);
        bring(&self.answered, counts.answered);
        bring(&self.repeats, counts.repeats);
        bring(&self.events, counts.events);
        bring(&self.events_repeated, counts.events_repeated);
        bring(&self.resent, counts.resent);
        bring(&self.expired, counts.expired);
        self.open.set(open as i64);
        self.sessions.set(sessions.active as i64);
        bring_all(&self.session_errors, &sessions.errors);
        bring_all(&self.rejects, &sessions.rejects);
        bring(&self.overruns, stats.overruns);
    }
}
