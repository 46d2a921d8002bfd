//! Everything the balancer counts.

use service::prometheus::core::{MetricVec, MetricVecBuilder};
use service::prometheus::{Histogram, IntCounter, IntGauge};

service::metrics! {
    /// Everything the balancer counts.
    pub struct Metrics {
        /// Connections accepted from clients.
        accepted: IntCounterVec = "slb_connections_accepted_total" ["listener"],
        /// Clients' connections that are open.
        open: IntGaugeVec = "slb_connections_open" ["listener"],
        /// Clients' connections closed without reaching a backend. limit: the listener had its most; rate: too many a second; list: the client may not; no_backend: none is up with a weight; connect: none of those tried accepted.
        refused: IntCounterVec = "slb_connections_refused_total" ["listener", "reason"],
        /// Connections that ended after reaching a backend. done: both sides closed; reset: one side broke off; idle: silent for too long; closed: by the balancer, for its backend had drained for too long, or it stopped.
        ended: IntCounterVec = "slb_connections_ended_total" ["listener", "reason"],
        /// Connections of balancers in front, which begin with a PROXY header. client: for a client, whose address it has; local: the balancer's own, or for nobody that is named; left: closed without a byte; malformed: something else came; timed_out: no header in time; refused: too many headers were awaited.
        proxy_headers: IntCounterVec = "slb_proxy_headers_total" ["listener", "outcome"],
        /// Datagrams of QUIC that were dropped. malformed: no QUIC, or too short to begin a connection, or its connection ID is; unknown: of no connection that is known; handshakes: too many clients have not shown yet that they hear; client: the address had its most connections; full: there was no room to send; failed: the system did not send them, for nobody listens at the backend, say.
        quic_dropped: IntCounterVec = "slb_quic_datagrams_dropped_total" ["listener", "reason"],
        /// Accepts that failed, for want of files most likely.
        accept_errors: IntCounterVec = "slb_accept_errors_total" ["listener"],
        /// Tasks that panicked: each is a bug, and cost one connection.
        panics: IntCounter = "slb_panics_total",
        /// Bytes read from one side that the other has not taken yet.
        held_bytes: IntGauge = "slb_held_bytes",
        /// Bytes that went from socket to socket within the kernel, uncopied.
        spliced_bytes: IntCounter = "slb_spliced_bytes_total",
        /// Directions of connections whose bulk was copied because no pipe was to be had: for want of files, or of what a user may have in pipes, or because a worker had its most.
        no_pipe: IntCounter = "slb_pipes_refused_total",
        /// Times that the backend was left out because connects to it failed, or connections were reset by it without a byte.
        ejections: IntCounterVec = "slb_backend_ejections_total" ["pool", "backend"],
        /// Whether the backend answers its health checks: 1 or 0.
        up: IntGaugeVec = "slb_backend_up" ["pool", "backend"],
        /// The backend's weight.
        weight: IntGaugeVec = "slb_backend_weight" ["pool", "backend"],
        /// Open connections to the backend.
        backend_open: IntGaugeVec = "slb_backend_connections_open" ["pool", "backend"],
        /// Connections that reached the backend.
        connected: IntCounterVec = "slb_backend_connections_total" ["pool", "backend"],
        /// Connects to the backend that failed. refused: nobody listens; timeout: no answer in time; other: see the log.
        connect_failures: IntCounterVec = "slb_backend_connect_failures_total" ["pool", "backend", "reason"],
        /// Health checks of the backend. good or failed.
        checks: IntCounterVec = "slb_backend_checks_total" ["pool", "backend", "result"],
        /// Bytes between clients and the backend. in: to the backend; out: from it.
        bytes: IntCounterVec = "slb_backend_bytes_total" ["pool", "backend", "direction"],
        /// Configurations that were to be taken over while running. applied, or refused: then all stayed as it was.
        reloads: IntCounterVec = "slb_reloads_total" ["result"],
        /// How long connects to backends took, in seconds.
        connect_seconds: Histogram = "slb_connect_seconds" [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
    }
}

impl Metrics {
    /// Ends the series of a backend that is no more.
    pub(crate) fn forget_backend(&self, pool: &str, backend: &str) {
        let both = [pool, backend];
        for gauge in [&self.up, &self.weight, &self.backend_open] {
            forget(gauge, &both);
        }
        forget(&self.connected, &both);
        forget(&self.ejections, &both);
        let labelled = [
            (&self.connect_failures, &["refused", "timeout", "other"][..]),
            (&self.checks, &["good", "failed"]),
            (&self.bytes, &["in", "out"]),
        ];
        for (counter, values) in labelled {
            values.iter().for_each(|value| forget(counter, &[pool, backend, value]));
        }
    }

    /// Ends the series of a listener that is no more.
    pub(crate) fn forget_listener(&self, listener: &str) {
        forget(&self.open, &[listener]);
        for counter in [&self.accepted, &self.accept_errors] {
            forget(counter, &[listener]);
        }
        REFUSED.iter().for_each(|reason| forget(&self.refused, &[listener, reason]));
        ENDED.iter().for_each(|reason| forget(&self.ended, &[listener, reason]));
        QUIC_DROPPED.iter().for_each(|reason| forget(&self.quic_dropped, &[listener, reason]));
        for outcome in transport::proxy_protocol::Outcome::ALL {
            forget(&self.proxy_headers, &[listener, outcome.name()]);
        }
    }
}

const REFUSED: &[&str] = &["limit", "rate", "list", "no_backend", "connect"];
const QUIC_DROPPED: &[&str] = &["malformed", "unknown", "handshakes", "client", "full", "failed"];
const ENDED: &[&str] = &["done", "reset", "idle", "closed"];

/// One that was never looked up is not there, which is as good.
fn forget<T: MetricVecBuilder>(metric: &MetricVec<T>, labels: &[&str]) {
    if let Err(error) = metric.remove_label_values(labels) {
        tracing::debug!(%error, "a series that was not there");
    }
}

/// What one listener counts.
#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    pub(crate) accepted: IntCounter,
    pub(crate) open: IntGauge,
    pub(crate) refused_limit: IntCounter,
    pub(crate) refused_rate: IntCounter,
    pub(crate) refused_list: IntCounter,
    pub(crate) refused_no_backend: IntCounter,
    pub(crate) refused_connect: IntCounter,
    pub(crate) ended_done: IntCounter,
    pub(crate) ended_reset: IntCounter,
    pub(crate) ended_idle: IntCounter,
    pub(crate) ended_closed: IntCounter,
    pub(crate) quic_malformed: IntCounter,
    pub(crate) quic_unknown: IntCounter,
    pub(crate) quic_handshakes: IntCounter,
    pub(crate) quic_client: IntCounter,
    pub(crate) quic_full: IntCounter,
    pub(crate) quic_failed: IntCounter,
    pub(crate) accept_errors: IntCounter,
    pub(crate) panics: IntCounter,
    pub(crate) held_bytes: IntGauge,
    pub(crate) spliced_bytes: IntCounter,
    pub(crate) no_pipe: IntCounter,
    pub(crate) connect_seconds: Histogram,
}

impl ListenerMetrics {
    pub(crate) fn new(metrics: &Metrics, listener: &str) -> Self {
        let refused = |reason| metrics.refused.with_label_values(&[listener, reason]);
        let ended = |reason| metrics.ended.with_label_values(&[listener, reason]);
        let dropped = |reason| metrics.quic_dropped.with_label_values(&[listener, reason]);
        Self {
            accepted: metrics.accepted.with_label_values(&[listener]),
            open: metrics.open.with_label_values(&[listener]),
            refused_limit: refused("limit"),
            refused_rate: refused("rate"),
            refused_list: refused("list"),
            refused_no_backend: refused("no_backend"),
            refused_connect: refused("connect"),
            ended_done: ended("done"),
            ended_reset: ended("reset"),
            ended_idle: ended("idle"),
            ended_closed: ended("closed"),
            quic_malformed: dropped("malformed"),
            quic_unknown: dropped("unknown"),
            quic_handshakes: dropped("handshakes"),
            quic_client: dropped("client"),
            quic_full: dropped("full"),
            quic_failed: dropped("failed"),
            accept_errors: metrics.accept_errors.with_label_values(&[listener]),
            panics: metrics.panics.clone(),
            held_bytes: metrics.held_bytes.clone(),
            spliced_bytes: metrics.spliced_bytes.clone(),
            no_pipe: metrics.no_pipe.clone(),
            connect_seconds: metrics.connect_seconds.clone(),
        }
    }
}

/// What one backend counts.
#[derive(Debug)]
pub(crate) struct BackendMetrics {
    pub(crate) up: IntGauge,
    pub(crate) weight: IntGauge,
    pub(crate) open: IntGauge,
    pub(crate) connected: IntCounter,
    pub(crate) ejections: IntCounter,
    pub(crate) connect_refused: IntCounter,
    pub(crate) connect_timeout: IntCounter,
    pub(crate) connect_other: IntCounter,
    pub(crate) checks_good: IntCounter,
    pub(crate) checks_failed: IntCounter,
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
}

impl BackendMetrics {
    pub(crate) fn new(metrics: &Metrics, pool: &str, backend: &str) -> Self {
        let both = [pool, backend];
        let failures = |reason| metrics.connect_failures.with_label_values(&[pool, backend, reason]);
        let checks = |result| metrics.checks.with_label_values(&[pool, backend, result]);
        let bytes = |direction| metrics.bytes.with_label_values(&[pool, backend, direction]);
        Self {
            up: metrics.up.with_label_values(&both),
            weight: metrics.weight.with_label_values(&both),
            open: metrics.backend_open.with_label_values(&both),
            ejections: metrics.ejections.with_label_values(&both),
            connected: metrics.connected.with_label_values(&both),
            connect_refused: failures("refused"),
            connect_timeout: failures("timeout"),
            connect_other: failures("other"),
            checks_good: checks("good"),
            checks_failed: checks("failed"),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
        }
    }
}
