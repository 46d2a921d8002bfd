//! One upstream: dialled, logged on, kept alive, and dialled again when it is gone.

use crate::config;
use crate::door::Way;
use service::outage::Outage;
use shard::ConnId;
use std::sync::Arc;
use transport::Connector;
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::session::{Limits, Session};
use wire::szse::{I32, Logon};

/// Where an upstream's connection stands.
#[derive(Debug)]
pub(crate) enum Link {
    /// To be dialled at this time, nanoseconds.
    Waiting { dial_at_ns: u64 },
    /// Being dialled.
    Dialling,
    /// A source of the door, which is there.
    Inside { since_ns: u64 },
    /// Connected, and logging on or logged on.
    Open { id: ConnId, session: Session, since_ns: u64 },
}

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) config: config::Source,
    pub(crate) connector: Connector,
    pub(crate) link: Link,
    /// To a source of the door.
    pub(crate) way: Option<Arc<Way>>,
    /// It is logged on.
    pub(crate) up: bool,
    /// The operator wants it left.
    pub(crate) down: bool,
    /// It was left by the operator, and what comes of it until its connection has ended is not filed, even if it is wanted again.
    pub(crate) left: bool,
    backoff: Backoff,
    /// Why it is not connected.
    pub(crate) last_error: String,
    /// Tries since it was up last, and what it said as it turned us away.
    pub(crate) outage: Outage,
    /// Sessions that were opened so far.
    pub(crate) sessions: u64,
}

impl Upstream {
    pub(crate) fn new(config: config::Source, connector: Connector, seed: u64) -> Self {
        let backoff = Backoff::new(config.backoff_min_ms, config.backoff_max_ms, seed);
        let link = Link::Waiting { dial_at_ns: 0 };
        Self {
            config,
            connector,
            link,
            way: None,
            up: false,
            down: false,
            left: false,
            backoff,
            last_error: String::new(),
            outage: Outage::default(),
            sessions: 0,
        }
    }

    /// Whether this connection is its own.
    #[inline]
    pub(crate) fn owns(&self, id: ConnId) -> bool {
        matches!(&self.link, Link::Open { id: own, .. } if *own == id)
    }

    /// What it brings is used.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.up && !self.left
    }

    /// It is time to dial.
    pub(crate) fn dial_is_due(&self, now_ns: u64) -> bool {
        !self.down
            && self.config.is_dialled()
            && matches!(self.link, Link::Waiting { dial_at_ns } if dial_at_ns <= now_ns)
    }

    /// The dial came through: begins the session, with a logon in `out`.
    pub(crate) fn opened(&mut self, id: ConnId, now_ns: u64, limits: Limits, out: &mut Vec<u8>) {
        let session = Session::initiator(limits, &self.logon(), now_ns, out);
        self.link = Link::Open { id, session, since_ns: now_ns };
    }

    /// It is logged on.
    pub(crate) fn is_up(&mut self) {
        self.up = true;
        self.sessions += 1;
        self.last_error.clear();
        self.outage.over();
    }

    /// It is not there though it was tried: the log tells, where it has not told the same of late.
    pub(crate) fn tell_away(&mut self, now_ns: u64, reason: &str) {
        if let Some(tries) = self.outage.failed(now_ns, reason) {
            tracing::warn!(source = self.config.name, tries, reason, "source is not reached; trying again");
        }
    }

    /// The dial failed, or the connection ended: to be dialled again, later each time, unless it was good for long.
    pub(crate) fn gone(&mut self, now_ns: u64, why: String) {
        if let Link::Open { since_ns, .. } | Link::Inside { since_ns } = self.link {
            self.backoff.connection_lasted(now_ns - since_ns);
        }
        (self.up, self.left) = (false, false);
        self.last_error = why;
        self.link = Link::Waiting { dial_at_ns: now_ns + self.backoff.delay_ns() };
    }

    fn logon(&self) -> Logon {
        Logon {
            sender_comp_id: self.config.sender_comp_id,
            target_comp_id: self.config.target_comp_id,
            heart_bt_int_s: I32::new(i32::from(self.config.heartbeat_s)),
            password: self.config.password.on_the_wire(),
            default_appl_ver_id: VERSION_MARKET_DATA,
        }
    }
}

/// How long to wait before the next dial: twice as long each time, with half of it left to chance, so that many feeds
/// do not come back to one upstream at one moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    min_ms: u64,
    max_ms: u64,
    next_ms: u64,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(min_ms: u64, max_ms: u64, seed: u64) -> Self {
        Self { min_ms, max_ms, next_ms: min_ms, random: seed }
    }

    pub(crate) fn delay_ns(&mut self) -> u64 {
        let delay_ns = self.next_ms * 1_000_000;
        self.next_ms = (self.next_ms * 2).min(self.max_ms);
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        delay_ns / 2 + (self.random >> 33) * (delay_ns / 2) / (1 << 31)
    }

    /// A peer that takes connections only to end them must not be dialled without a pause.
    pub(crate) fn connection_lasted(&mut self, ns: u64) {
        if ns > self.max_ms * 1_000_000 {
            self.next_ms = self.min_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn waits_longer_each_time_up_to_a_limit_and_never_the_same() {
        let mut backoff = Backoff::new(100, 1_000, 7);
        let delays: Vec<u64> = (0..6).map(|_| backoff.delay_ns()).collect();
        for (delay_ns, most_ms) in delays.iter().zip([100, 200, 400, 800, 1_000, 1_000]) {
            assert!((most_ms * MS / 2..=most_ms * MS).contains(delay_ns), "{delay_ns} of {most_ms} ms");
        }
        assert_ne!(delays[4], delays[5]);
        assert_ne!(Backoff::new(100, 1_000, 8).delay_ns(), delays[0]);
    }

    #[test]
    fn begins_anew_only_after_a_connection_that_lasted() {
        let mut backoff = Backoff::new(100, 1_000, 7);
        backoff.delay_ns();
        backoff.connection_lasted(1_000 * MS);
        assert!(backoff.delay_ns() >= 100 * MS);
        backoff.connection_lasted(1_001 * MS);
        assert!(backoff.delay_ns() <= 100 * MS);
    }
}
