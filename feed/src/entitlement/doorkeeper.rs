//! What a thread of the feed asks at a logon, and again when rights have changed.

use super::seats::Seat;
use super::{Credentials, Entitlement, Grant, Markets, Right, Seats};
use crate::metrics::Metrics;
use flow::{Bounds, Classes};
use std::sync::Arc;
use wire::szse::Logon;
use wire::szse::session::LogonRefusal;

/// The account of a session that is logged on.
#[derive(Debug)]
pub(crate) struct Held {
    grant: Grant,
    epoch: u64,
    seat: Seat,
}

impl Held {
    /// What it may see.
    pub(crate) fn right(&self) -> &Right {
        &self.grant.right
    }

    /// Its account's name.
    pub(crate) fn name(&self) -> &str {
        &self.grant.account
    }
}

/// What became of a session's right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// It is what it was.
    Same,
    /// It is another one.
    Other,
    /// It is another one, with another delay.
    Moved,
    /// The account has no right any more.
    Gone,
    /// The account has more connections than it may have now.
    Beyond,
}

/// Asks the [`Entitlement`], and counts connections.
pub(crate) struct Doorkeeper {
    entitlement: Arc<dyn Entitlement>,
    seats: Arc<Seats>,
    markets: Arc<Classes>,
    /// The channel of snapshots made of ticks, which are not for who sees no ticks.
    book_channel: u16,
    delays_min: Arc<[u16]>,
    metrics: Metrics,
}

impl Doorkeeper {
    pub(crate) fn new(
        entitlement: Arc<dyn Entitlement>,
        seats: Arc<Seats>,
        (markets, book_channel): (Arc<Classes>, u16),
        delays_min: &[u16],
        metrics: Metrics,
    ) -> Self {
        Self { entitlement, seats, markets, book_channel, delays_min: delays_min.into(), metrics }
    }

    /// A feed keeps nobody a time behind for which it has no log.
    fn offers(&self, right: &Right) -> bool {
        right.delay_min == 0 || self.delays_min.contains(&right.delay_min)
    }

    /// The account of a logon, with one of its connections taken.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn admit(&self, logon: &Logon, certificate: Option<&str>) -> Result<Held, LogonRefusal> {
        let who = Credentials { comp_id: &logon.sender_comp_id, password: &logon.password, certificate };
        // Before the right: what changes meanwhile is seen as news.
        let epoch = self.entitlement.epoch();
        let refused = |reason, refusal| {
            self.metrics.rights_refused.with_label_values(&[reason]).inc();
            refusal
        };
        let grant = self.entitlement.admit(&who);
        let grant = grant.ok_or_else(|| refused("unknown", LogonRefusal::Credentials))?;
        if !self.offers(&grant.right) {
            tracing::error!(account = %grant.account, right = ?grant.right, "a delay that is not offered");
            return Err(refused("delay", LogonRefusal::NotNow));
        }
        let seat = self.seats.take(&grant.account, grant.right.connections_max);
        let seat = seat.ok_or_else(|| refused("connections", LogonRefusal::TooManySessions))?;
        Ok(Held { grant, epoch, seat })
    }

    /// Whether a logon is an account's; it takes none of its connections.
    pub(crate) fn knows(&self, logon: &Logon) -> bool {
        let who =
            Credentials { comp_id: &logon.sender_comp_id, password: &logon.password, certificate: None };
        self.entitlement.admit(&who).is_some()
    }

    /// Whether rights have changed since this one was looked at.
    pub(crate) fn has_news_for(&self, held: Option<&Held>) -> bool {
        held.is_some_and(|held| held.epoch != self.entitlement.epoch())
    }

    /// Looks at a right again.
    pub(crate) fn renew(&self, held: &mut Held) -> Renewed {
        held.epoch = self.entitlement.epoch();
        let right = self.entitlement.right(&held.grant.account).filter(|right| self.offers(right));
        let Some(right) = right else { return Renewed::Gone };
        if held.seat.give_back_beyond(right.connections_max) {
            return Renewed::Beyond;
        }
        let was = std::mem::replace(&mut held.grant.right, right);
        let seen = |right: Right| Right { connections_max: 0, ..right };
        match was.delay_min == right.delay_min {
            true if seen(was) == seen(right) => Renewed::Same,
            true => Renewed::Other,
            false => Renewed::Moved,
        }
    }

    /// What a right lets through; `None` for one that lets everything through.
    pub(crate) fn bounds(&self, right: &Right) -> Option<Bounds> {
        let everything = right.markets == Markets::ALL && right.sees_ticks();
        (!everything).then(|| {
            let bounds = Bounds::new(self.markets.clone(), right.markets.bits(), right.sees_ticks());
            if right.sees_ticks() { bounds } else { bounds.without_lane(self.book_channel) }
        })
    }
}
