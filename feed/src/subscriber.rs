//! One subscriber: its session, what it asked for, and how far it was served.

use crate::entitlement::Held;
use crate::fanout::{Conflated, Datagrams, Stream};
use crate::place::Place;
use crate::replay::Replay;
use crate::retention::Reading;
use crate::snapshots::Progress;
use crate::subscription::Subscription;
use shard::ConnId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use wire::szse::Text;
use wire::szse::session::Session;

/// What a subscription is waiting for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// There is no subscription.
    Idle,
    /// The last snapshots are on their way to it.
    Snapshots { progress: Progress, deadline_ns: u64 },
    /// It is ahead of this feed: it has numbers already that are not here yet (it comes from another feed).
    Ahead { place: Box<Place>, deadline_ns: u64 },
    /// It gets what is on disk, and then follows the log.
    Recalled { place: Box<Place>, reading: Reading },
    /// It follows the log.
    Following,
    /// It follows the log no more, and is given the newest snapshots as it takes them.
    Conflated(Conflated),
    /// It is given the newest snapshots as datagrams, and follows no log.
    Datagrams(Datagrams),
}

impl Stage {
    /// A word for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Snapshots { .. } => "snapshots",
            Self::Ahead { .. } => "ahead",
            Self::Recalled { .. } => "from disk",
            Self::Following => "following",
            Self::Conflated(_) => "conflated",
            Self::Datagrams(_) => "datagrams",
        }
    }
}

/// One subscriber's connection.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) session: Session,
    /// SenderCompID of its logon; blank before.
    pub(crate) name: Text<20>,
    pub(crate) logged_on: bool,
    /// When it was told the way of the quotes last; `None` if it is no feed.
    pub(crate) told_ns: Option<u64>,
    /// Its account, where rights are by account.
    pub(crate) account: Option<Held>,
    pub(crate) subscription: Option<Subscription>,
    pub(crate) stage: Stage,
    /// Where its channels come, if each has a stream of its own.
    pub(crate) streams: Vec<Stream>,
    /// Resend requests being answered, one after the other.
    pub(crate) replays: VecDeque<Replay>,
    pub(crate) requests: Allowance,
    /// It is in the list of those that have something to be done each turn.
    pub(crate) busy: bool,
    pub(crate) since_ns: u64,
}

impl Subscriber {
    pub(crate) fn new(
        id: ConnId,
        peer: SocketAddr,
        session: Session,
        requests: Allowance,
        now_ns: u64,
    ) -> Self {
        Self {
            id,
            peer,
            session,
            name: Text::BLANK,
            logged_on: false,
            told_ns: None,
            account: None,
            subscription: None,
            stage: Stage::Idle,
            streams: Vec::new(),
            replays: VecDeque::new(),
            requests,
            busy: false,
            since_ns: now_ns,
        }
    }

    /// How far behind the market it is kept, minutes.
    pub(crate) fn delay_min(&self) -> u16 {
        self.account.as_ref().map_or(0, |account| account.right().delay_min)
    }

    /// Whether something is to be done for it each turn.
    pub(crate) fn has_work(&self) -> bool {
        let waits =
            matches!(self.stage, Stage::Snapshots { .. } | Stage::Ahead { .. } | Stage::Recalled { .. });
        waits || !self.replays.is_empty()
    }
}

/// So many in a minute, all of them at once if need be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    per_minute: u32,
    left: u32,
    /// Up to when the time was turned into `left`.
    counted_ns: u64,
}

impl Allowance {
    pub(crate) fn new(per_minute: u32, now_ns: u64) -> Self {
        Self { per_minute, left: per_minute, counted_ns: now_ns }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now_ns: u64) -> bool {
        let each_ns = 60_000_000_000 / u64::from(self.per_minute);
        let earned = (now_ns - self.counted_ns) / each_ns;
        self.counted_ns += earned * each_ns;
        self.left = u32::try_from(u64::from(self.left) + earned).unwrap_or(u32::MAX).min(self.per_minute);
        let granted = self.left > 0;
        self.left -= u32::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let mut allowance = Allowance::new(60, 5);
        assert!((0..60).all(|_| allowance.take(5)));
        assert!(!allowance.take(1_000_000_004));
        assert!(allowance.take(1_000_000_005));
        assert!(!allowance.take(1_999_999_999));
        assert!((0..60).all(|_| allowance.take(3_600_000_000_000)));
        assert!(!allowance.take(3_600_000_000_000));
    }
}
