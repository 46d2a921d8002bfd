//! What an account may see, on its subscribers: at a request, and when it changes under a session that is open.

use super::Fanout;
use crate::entitlement::{Held, Market, Renewed, Right};
use crate::subscriber::Subscriber;
use crate::subscription::{RequestError, SlowReader};
use crate::view::View;
use flow::Bounds;
use shard::{ConnId, Cx, Reason};
use wire::szse::code::SessionStatus;
use wire::szse::ext::{EntitlementNotice, MarketDataRequest, SlowReaderPolicy};
use wire::szse::{Text, U16, frame};

/// Whether an account may ask for this. What it asks for without a name ("all", channels) is narrowed to its right;
/// what it names must lie within.
///
/// # Errors
/// [`RequestError::NotEntitled`], with the reason.
pub(super) fn allowed(account: Option<&Held>, request: &MarketDataRequest<'_>) -> Result<(), RequestError> {
    let Some(right) = account.map(Held::right) else { return Ok(()) };
    let named = |market| right.markets.contains(market);
    if !request.securities.iter().all(|security| named(Market::of(&security.security_id_source))) {
        return Err(RequestError::NotEntitled("market not in this account's right"));
    }
    let numbered = request.channels.iter().any(|start| start.next_appl_seq_num.get() != 0);
    if numbered && !right.sees_ticks() {
        return Err(RequestError::NotEntitled("level 1 has no numbers to begin at"));
    }
    let newest = [SlowReaderPolicy::CONFLATE, SlowReaderPolicy::DATAGRAMS].contains(&request.head.policy);
    if right.delay_min > 0 && newest {
        return Err(RequestError::NotEntitled("no conflation of what is delayed"));
    }
    Ok(())
}

impl Fanout {
    /// What a subscriber's account lets through; `None` for everything.
    pub(super) fn bounds(&self, subscriber: &Subscriber) -> Option<Bounds> {
        self.doorkeeper.as_ref()?.bounds(subscriber.account.as_ref()?.right())
    }

    /// Rights have changed: the session goes on within its account's new one, or ends with it.
    pub(super) fn renew(&mut self, cx: &mut Cx, view: &View, id: ConnId) {
        let Some(mut subscriber) = self.take(id) else { return };
        let renewed = match (&self.doorkeeper, &mut subscriber.account) {
            (Some(doorkeeper), Some(account)) => doorkeeper.renew(account),
            _ => Renewed::Same,
        };
        let outcome = match renewed {
            Renewed::Same => None,
            Renewed::Other => {
                self.apply(cx, &mut subscriber);
                Some("changed")
            }
            Renewed::Moved => {
                self.apply(cx, &mut subscriber);
                self.begin_again(cx, view, &mut subscriber);
                Some("changed")
            }
            Renewed::Gone => Some(self.lose(cx, &mut subscriber, "right withdrawn")),
            Renewed::Beyond => Some(self.lose(cx, &mut subscriber, "too many sessions")),
        };
        if let (Some(outcome), Some(account)) = (outcome, &subscriber.account) {
            self.metrics.rights_changed.with_label_values(&[outcome]).inc();
            tracing::info!(account = account.name(), peer = %subscriber.peer, outcome, "right changed");
        }
        self.put_back(subscriber);
    }

    fn lose(&mut self, cx: &mut Cx, subscriber: &mut Subscriber, why: &'static str) -> &'static str {
        subscriber.session.end(SessionStatus::LOGON_NOT_ALLOWED, why, &mut self.out);
        self.flush(cx, subscriber.id);
        cx.close(subscriber.id, Reason::App(why));
        why
    }

    /// What stands is bounded by the new right from where it is; what was asked for before stays asked for.
    fn apply(&mut self, cx: &mut Cx, subscriber: &mut Subscriber) {
        let Some(right) = subscriber.account.as_ref().map(|account| *account.right()) else { return };
        let bounds = self.bounds(subscriber);
        frame::encode(&notice(&right), &mut self.out);
        self.flush(cx, subscriber.id);
        if let Some(subscription) = &mut subscriber.subscription {
            let filter = subscription.filter.take();
            subscription.filter = filter.map(|filter| filter.within(bounds.clone()));
        }
        subscriber.replays.iter_mut().for_each(|replay| replay.set_bounds(bounds.clone()));
        self.ask_again(subscriber);
        let readers =
            std::iter::once(subscriber.id).chain(subscriber.streams.iter().map(|(_, stream)| *stream));
        for id in readers {
            let following = cx.following(id);
            if let Some((log, cursor, selection)) = following.map(|(log, at, of)| (log, at, of.clone())) {
                let filter = selection.filter().clone().within(bounds.clone());
                cx.attach(id, log, cursor, selection.with_filter(filter));
            }
        }
    }

    /// What stands begins anew with the last snapshots, in the log of another delay.
    fn begin_again(&mut self, cx: &mut Cx, view: &View, subscriber: &mut Subscriber) {
        let Some(mut subscription) = subscriber.subscription.take() else { return };
        subscription.starts.clear();
        subscription.want_snapshots = true;
        let newest = matches!(subscription.slow_reader, SlowReader::Conflate | SlowReader::Datagrams);
        if subscriber.delay_min() > 0 && newest {
            subscription.slow_reader = SlowReader::Skip;
        }
        self.subscribe(cx, view, subscriber, subscription);
    }
}

fn notice(right: &Right) -> EntitlementNotice {
    EntitlementNotice {
        markets: U16::new(u16::from(right.markets.bits())),
        level: if right.sees_ticks() { 2 } else { 1 },
        delay_min: U16::new(right.delay_min),
        text: Text::literal("right changed"),
    }
}
