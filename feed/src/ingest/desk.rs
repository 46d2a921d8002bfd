//! Hot path: one message of a source, filed: through the arbiter into the log, or counted and left.

use super::log::LogWriter;
use super::own::{Message as OwnMessage, moved};
use super::pulse::Pulse;
use super::{Counters, NO_KEY};
use crate::arbiter::{Answer, Arbiter, Outcome, Source, Tick};
use crate::metrics::Metrics;
use crate::relay::{Refused, Relay};
use crate::securities::{Origin, Securities};
use crate::snapshots::Offer;
use flow::Tag;
use wire::szse::code::ResendStatus;
use wire::szse::ext::{ExtendedTickOrder, GapNotice, MarketDataRequestAck, RelayPath, RequestStatus};
use wire::szse::market::{ChannelHeartbeat, Resend, Snapshot, SnapshotHead, TickOrder, TickTrade};
use wire::szse::{DecodeError, Frame, GroupMessage, I64, Message, SecurityId, SecurityIdSource, U16};

/// Where ChannelNo stands in a snapshot's body; in an order's and a trade's it is the first field.
const SNAPSHOT_CHANNEL_AT: usize = std::mem::offset_of!(SnapshotHead, channel_no);

/// What it takes to file one source's messages.
pub(super) struct Desk<'a> {
    pub(super) source: Source,
    /// It numbers as the exchange does.
    pub(super) numbered: bool,
    pub(super) pulse: &'a mut Pulse,
    pub(super) arbiter: &'a mut Arbiter,
    pub(super) securities: &'a mut Securities,
    pub(super) counters: &'a mut Counters,
    pub(super) ended: &'a mut Vec<(u16, u64)>,
    /// The time of day, nanoseconds since 1970.
    pub(super) wall_ns: i64,
    /// The feeds upstream, and the source's name.
    pub(super) relay: (&'a Relay, &'a Metrics, &'a str),
    pub(super) log: LogWriter<'a>,
}

/// Why a source is left for a message of its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its body is not what its type says: the source is not to be trusted with where the next frame begins.
    Frame(DecodeError),
    /// The way of its quotes is one that is not taken.
    Relay(Refused),
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Frame(error)
    }
}

impl Desk<'_> {
    /// The source is there.
    #[cold]
    pub(super) fn up(&mut self) {
        let (_, metrics, name) = self.relay;
        tracing::info!(source = name, "source is up");
        metrics.source_sessions.with_label_values(&[name]).inc();
        metrics.source_up.with_label_values(&[name]).set(1);
        if self.numbered {
            self.arbiter.up(self.log.now_ns, self.source);
        }
    }

    /// Files one message.
    ///
    /// # Errors
    /// See [`Fault`].
    #[inline]
    pub(super) fn file(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        match frame.msg_type {
            TickOrder::MSG_TYPE => self.order(frame.view()?, frame.bytes),
            ExtendedTickOrder::MSG_TYPE => {
                self.order(frame.group::<ExtendedTickOrder<'_>>()?.order, frame.bytes);
            }
            TickTrade::MSG_TYPE => self.trade(frame.view()?, frame.bytes),
            Snapshot::MSG_TYPE if !self.numbered => self.own_snapshot(&frame.group()?, frame.bytes),
            Snapshot::MSG_TYPE => {
                let snapshot: Snapshot<'_> = frame.group()?;
                self.snapshot(&snapshot, snapshot.head.channel_no.get(), frame.bytes);
            }
            // Of a source that numbers in its own way nobody asks, so neither means anything.
            ChannelHeartbeat::MSG_TYPE | Resend::MSG_TYPE if !self.numbered => {}
            ChannelHeartbeat::MSG_TYPE => self.heartbeat(frame.view()?),
            Resend::MSG_TYPE => self.answer(frame.view()?),
            // An upstream feed says itself what it lost; the arbiter asks before it believes it.
            GapNotice::MSG_TYPE => {}
            MarketDataRequestAck::MSG_TYPE => self.acknowledged(frame.view()?),
            RelayPath::MSG_TYPE => self.path(&frame.group()?)?,
            _ => self.counters.unknown_type += 1,
        }
        Ok(())
    }

    #[inline]
    fn order(&mut self, order: &TickOrder, bytes: &[u8]) {
        let key = self.key(&order.security_id, &order.security_id_source);
        self.pulse.quote(self.log.now_ns, self.wall_ns, order.transact_time);
        if self.numbered {
            self.tick((order.channel_no, order.appl_seq_num), key, bytes);
        } else if let Some(number) = self.number(order.appl_seq_num) {
            let (channel, time) = (order.channel_no, order.transact_time);
            let message = OwnMessage { channel, number, time, key, bytes };
            self.log.offer_own(&message, |identity| identity.order(order));
        }
    }

    #[inline]
    fn trade(&mut self, trade: &TickTrade, bytes: &[u8]) {
        let key = self.key(&trade.security_id, &trade.security_id_source);
        self.pulse.quote(self.log.now_ns, self.wall_ns, trade.transact_time);
        if self.numbered {
            self.tick((trade.channel_no, trade.appl_seq_num), key, bytes);
        } else if let Some(number) = self.number(trade.appl_seq_num) {
            let (channel, time) = (trade.channel_no, trade.transact_time);
            let message = OwnMessage { channel, number, time, key, bytes };
            self.log.offer_own(&message, |identity| identity.trade(trade));
        }
    }

    #[inline]
    fn tick(&mut self, (channel, number): (U16, I64), key: u32, frame: &[u8]) {
        let Some(number) = self.number(number) else { return };
        let Self { source, arbiter, log, .. } = self;
        let tick = Tick { channel: channel.get(), number, key, frame };
        let outcome = arbiter.offer(log.now_ns, *source, tick, &mut |event| log.deliver(event));
        if outcome == Outcome::Regressed && number == 1 {
            let (channel, source) = (tick.channel, source.index());
            tracing::warn!(
                channel,
                source,
                "a source begins again at 1: ignored, restart the feed for a new day"
            );
        }
    }

    /// A snapshot has no number, and that of a source which stands by may differ in small things: it goes out while that source
    /// is used.
    #[cold]
    fn own_snapshot(&mut self, snapshot: &Snapshot<'_>, bytes: &[u8]) {
        let own = self.log.notes.own.as_ref().expect("invariant: there is such a source, and it speaks");
        match own.channel(snapshot.head.channel_no.get()) {
            Some(channel) if own.matcher.in_use() => {
                let bytes = moved(bytes, SNAPSHOT_CHANNEL_AT, channel, None);
                self.snapshot(snapshot, channel, &bytes);
            }
            _ => self.pulse.quote(self.log.now_ns, self.wall_ns, snapshot.head.orig_time),
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot<'_>, lane: u16, bytes: &[u8]) {
        let head = snapshot.head;
        self.pulse.quote(self.log.now_ns, self.wall_ns, head.orig_time);
        let key = self.key(&head.security_id, &head.security_id_source);
        let tag = Tag { lane, number: 0, key };
        let (view, time) = (&mut self.log.view, head.orig_time.raw());
        let end = view.end();
        let offered = match key {
            NO_KEY => Offer::NoPlace,
            _ => view.snapshots.offer(tag, &head.md_stream_id, time, end, bytes),
        };
        let counter = match offered {
            Offer::Newest => &mut self.counters.snapshots_newest,
            Offer::NotKept => &mut self.counters.snapshots_not_kept,
            Offer::Duplicate => &mut self.counters.snapshots_duplicate,
            Offer::NoPlace => &mut self.counters.snapshots_no_place,
        };
        *counter += 1;
        if matches!(offered, Offer::Newest | Offer::NotKept) {
            self.log.append(tag, bytes);
        }
    }

    fn heartbeat(&mut self, heartbeat: &ChannelHeartbeat) {
        let Some(last) = self.number(heartbeat.appl_last_seq_num) else { return };
        let channel = heartbeat.channel_no.get();
        let Self { source, arbiter, log, ended, .. } = self;
        arbiter.heartbeat(log.now_ns, *source, (channel, last), &mut |event| log.deliver(event));
        let known = ended.iter().any(|(other, _)| *other == channel) || log.view.lane(channel).is_none();
        if heartbeat.is_end_of_channel() && !known {
            ended.push((channel, last));
        }
    }

    #[cold]
    fn answer(&mut self, answer: &Resend) {
        let Some(begin) = self.number(answer.appl_beg_seq_num) else { return };
        let means = match answer.resend_status {
            ResendStatus::NONE | ResendStatus::COMPLETE | ResendStatus::PARTIAL => Answer::Served,
            _ => Answer::Cannot,
        };
        self.arbiter.answer(self.log.now_ns, self.source, (answer.channel_no.get(), begin), means);
    }

    #[cold]
    fn path(&self, told: &RelayPath<'_>) -> Result<(), Fault> {
        let (relay, metrics, name) = self.relay;
        let path = relay.heard(self.source.index(), told, self.wall_ns).map_err(Fault::Relay)?;
        metrics.relay_hops.with_label_values(&[name]).set(i64::from(path.hops));
        metrics.relay_hop_delay_us.with_label_values(&[name]).set(path.hop_delay_us);
        metrics.relay_delay_us.with_label_values(&[name]).set(path.delay_us);
        Ok(())
    }

    #[cold]
    fn acknowledged(&self, ack: &MarketDataRequestAck) {
        if ack.status != RequestStatus::ACCEPTED {
            let source = self.source.index();
            tracing::warn!(source, status = ?ack.status, text = %ack.text, "subscription refused");
        }
    }

    /// A number, if it is one.
    #[inline]
    fn number(&mut self, number: I64) -> Option<u64> {
        let number = u64::try_from(number.get()).ok();
        self.counters.bad_number += u64::from(number.is_none());
        number
    }

    #[inline]
    fn key(&mut self, id: &SecurityId, source: &SecurityIdSource) -> u32 {
        self.securities.key(id, source, Origin::Source).unwrap_or_else(|| {
            self.counters.no_key += 1;
            NO_KEY
        })
    }
}
