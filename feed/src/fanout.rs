//! The subscribers of one shard: logon, subscription, snapshots, resends, heartbeats, and the end of each.
//!
//! What flows is not here: a subscriber that follows the log is served by its shard from the log's own bytes.

mod conflate;
mod datagrams;
mod recalled;
mod rights;
mod streams;

use crate::app::Command;
use crate::config;
use crate::delay::Taps;
use crate::entitlement::{Doorkeeper, Held};
use crate::ingest::{LOG, gap_notice};
use crate::metrics::Metrics;
use crate::place::Place;
use crate::relay::{Relay, TELL_NS};
use crate::replay::{Part, Replay, answer};
use crate::retention::Retention;
use crate::securities::Securities;
use crate::snapshots::Progress;
use crate::subscriber::{Allowance, Stage, Subscriber};
use crate::subscription::{SlowReader, Subscription};
use crate::view::View;
pub(crate) use conflate::Conflated;
pub(crate) use datagrams::Datagrams;
use flow::{Cursor, FindError, Selection, Seq, Tag};
use shard::{ConnId, Cx, Handle, LogId, Overrun, Reason};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
pub(crate) use streams::Stream;
use wire::szse::code::{BusinessRejectReason, ResendStatus, SessionStatus, VERSION_MARKET_DATA};
use wire::szse::ext::{GapReason, MarketDataRequest, MarketDataRequestAck, RelayHello, RequestStatus};
use wire::szse::market::{BusinessReject, Resend};
use wire::szse::session::{Event, LogonRefusal, Session, SessionError};
use wire::szse::{Frame, GroupMessage, I64, Logon, Message, Text, U32, frame};

/// Bytes of snapshots in one part, about.
const SNAPSHOT_BYTES_PER_PART: usize = 64 << 10;

/// How long a turn may be busy with what single subscribers asked for (snapshots, resends), about.
const BUSY_NS_PER_TURN: u64 = 1_000_000;

/// Ticks in which every subscriber has been looked at once.
const SWEEP_TICKS: usize = 8;
/// Subscribers looked at in one tick, at least.
const SWEEP_MIN: usize = 64;

/// The subscribers of one shard.
pub(crate) struct Fanout {
    config: config::Subscribers,
    /// By the connection's index.
    subscribers: Vec<Option<Box<Subscriber>>>,
    /// Those that have something to be done each turn.
    busy: VecDeque<ConnId>,
    /// Those that get datagrams.
    by_datagram: Vec<ConnId>,
    /// Streams that carry one channel each, and whose they are.
    streams: HashMap<ConnId, ConnId>,
    /// The datagram that is being made.
    datagram: Vec<u8>,
    /// The subscriber that was looked at last, see [`Fanout::on_tick`].
    swept: usize,
    securities: Securities,
    /// What a session answers; empty between calls.
    out: Vec<u8>,
    metrics: Metrics,
    retention: Option<(Retention, Handle<Command>)>,
    /// Readings of the disk so far.
    readings: u64,
    draining: bool,
    doorkeeper: Option<Doorkeeper>,
    taps: Taps,
    relay: Arc<Relay>,
}

impl Fanout {
    pub(crate) fn new(
        config: config::Subscribers,
        securities: Securities,
        metrics: Metrics,
        (doorkeeper, taps): (Option<Doorkeeper>, Taps),
        relay: Arc<Relay>,
        retention: Option<(Retention, Handle<Command>)>,
    ) -> Self {
        Self {
            config,
            relay,
            doorkeeper,
            taps,
            subscribers: Vec::new(),
            busy: VecDeque::new(),
            by_datagram: Vec::new(),
            streams: HashMap::new(),
            datagram: Vec::new(),
            swept: 0,
            securities,
            out: Vec::new(),
            metrics,
            retention,
            readings: 0,
            draining: false,
        }
    }

    /// A connection was accepted.
    pub(crate) fn on_open(&mut self, cx: &mut Cx, id: ConnId, peer: SocketAddr) {
        let now_ns = cx.now_ns();
        if id.index() >= self.subscribers.len() {
            self.subscribers.resize_with(id.index() + 1, || None);
        }
        let session = Session::acceptor(self.config.session(), now_ns);
        let requests = Allowance::new(self.config.requests_per_minute_max, now_ns);
        self.subscribers[id.index()] = Some(Box::new(Subscriber::new(id, peer, session, requests, now_ns)));
    }

    /// Bytes of a subscriber.
    pub(crate) fn on_data(
        &mut self,
        cx: &mut Cx,
        view: &View,
        id: ConnId,
        data: &[u8],
    ) -> Result<usize, Reason> {
        let Some(mut subscriber) = self.take(id) else { return Ok(data.len()) };
        let done = self.receive(cx, view, &mut subscriber, data);
        self.flush(cx, id);
        self.put_back(subscriber);
        done
    }

    fn receive(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        data: &[u8],
    ) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let mut consumed = 0;
        loop {
            let received = subscriber.session.receive(&data[consumed..], now_ns, &mut self.out);
            let Some(received) = received.map_err(|error| Reason::App(error.text()))? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::LogonRequest(logon) => self.log_on(cx, view, subscriber, logon)?,
                Event::Message(frame) => self.message(cx, view, subscriber, &frame)?,
                Event::Heartbeat => {}
                Event::LoggedOut(_) => return Err(Reason::App("logged out")),
                Event::LoggedOn(_) | Event::LogonRefused(_) => unreachable!("only an initiator is answered"),
            }
        }
    }

    fn log_on(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        logon: &Logon,
    ) -> Result<(), Reason> {
        match self.admit(cx, subscriber.id, logon) {
            Ok(account) => subscriber.account = account,
            Err(refusal) => {
                subscriber.session.refuse(refusal, &mut self.out);
                return Err(Reason::App(refusal.text()));
            }
        }
        subscriber.name = logon.sender_comp_id;
        subscriber.logged_on = true;
        subscriber.session.accept(VERSION_MARKET_DATA, cx.now_ns(), &mut self.out);
        self.metrics.subscribers.inc();
        if self.config.without_request == config::WithoutRequest::All {
            self.subscribe(cx, view, subscriber, Subscription::everything());
        }
        Ok(())
    }

    fn admit(&self, cx: &Cx, id: ConnId, logon: &Logon) -> Result<Option<Held>, LogonRefusal> {
        if self.draining {
            return Err(LogonRefusal::NotNow);
        }
        let ours = self.config.comp_id.is_blank() || logon.target_comp_id == self.config.comp_id;
        if let (true, Some(doorkeeper)) = (ours, &self.doorkeeper) {
            return doorkeeper.admit(logon, cx.peer_name(id)).map(Some);
        }
        let accounts = &self.config.accounts;
        let account = accounts.iter().find(|account| account.comp_id == logon.sender_comp_id);
        let known =
            accounts.is_empty() || account.is_some_and(|account| account.password.is(&logon.password));
        if ours && known { Ok(None) } else { Err(LogonRefusal::Credentials) }
    }

    fn message(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        frame: &Frame<'_>,
    ) -> Result<(), Reason> {
        match frame.msg_type {
            MarketDataRequest::MSG_TYPE => match frame.group() {
                Ok(request) => self.request(cx, view, subscriber, &request),
                Err(error) => Err(self.end(subscriber, SessionError::Frame(error))),
            },
            RelayHello::MSG_TYPE => match frame.view::<RelayHello>() {
                Ok(hello) => {
                    tracing::info!(peer = %subscriber.peer, feed = %hello.feed, "a feed is fed by this one");
                    self.relay.tell(cx.wall_ns(), &mut self.out);
                    subscriber.told_ns = Some(cx.now_ns());
                    Ok(())
                }
                Err(error) => Err(self.end(subscriber, SessionError::Frame(error))),
            },
            Resend::MSG_TYPE => match frame.view() {
                Ok(request) => {
                    self.resend(subscriber, request);
                    Ok(())
                }
                Err(error) => Err(self.end(subscriber, SessionError::Frame(error))),
            },
            msg_type => {
                self.metrics.subscriber_unknown.inc();
                let reject = BusinessReject {
                    ref_seq_num: I64::new(subscriber.session.received() as i64),
                    ref_msg_type: U32::new(msg_type),
                    business_reject_reason: BusinessRejectReason::UNSUPPORTED_MESSAGE,
                    ..BusinessReject::default()
                };
                frame::encode(&reject, &mut self.out);
                Ok(())
            }
        }
    }

    /// Ends a session whose peer is not to be trusted with where the next frame begins.
    fn end(&mut self, subscriber: &mut Subscriber, error: SessionError) -> Reason {
        subscriber.session.end(error.session_status(), error.text(), &mut self.out);
        Reason::App(error.text())
    }

    fn request(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        request: &MarketDataRequest<'_>,
    ) -> Result<(), Reason> {
        if !subscriber.requests.take(cx.now_ns()) {
            let why = "too many requests";
            subscriber.session.end(SessionStatus::OTHER, why, &mut self.out);
            return Err(Reason::App(why));
        }
        let parsed = rights::allowed(subscriber.account.as_ref(), request)
            .and_then(|()| Subscription::parse(request, &self.config.subscription(), &mut self.securities))
            .and_then(|subscription| datagrams::possible(cx, subscriber.id, subscription))
            .and_then(|subscription| {
                let streams = self.open_streams(cx, subscriber.id, &subscription)?;
                Ok((subscription, streams))
            });
        let (status, text) = match &parsed {
            Err(error) => (error.status(), error.to_string()),
            Ok((subscription, _)) if !self.may_begin(cx, view, subscriber, subscription) => {
                (RequestStatus::NO_LONGER_HELD, "no longer held".to_owned())
            }
            Ok(_) => (RequestStatus::ACCEPTED, String::new()),
        };
        self.metrics.requests.with_label_values(&[status.name().unwrap_or("?")]).inc();
        let ack = MarketDataRequestAck {
            request_id: request.head.request_id,
            status,
            text: Text::truncated(&text),
        };
        frame::encode(&ack, &mut self.out);
        if let (Ok((subscription, streams)), RequestStatus::ACCEPTED) = (parsed, status) {
            let before = std::mem::replace(&mut subscriber.streams, streams);
            self.close_streams(cx, before);
            self.subscribe(cx, view, subscriber, subscription);
        }
        Ok(())
    }

    fn resend(&mut self, subscriber: &mut Subscriber, request: &Resend) {
        let room = subscriber.replays.len() < self.config.resends_max;
        let level_1 = subscriber.account.as_ref().is_some_and(|account| !account.right().sees_ticks());
        let refused = match Replay::new(request, self.config.resend_count_max) {
            Ok(_) if level_1 => answer(request, ResendStatus::UNAVAILABLE, "not entitled"),
            Ok(replay) if room => {
                subscriber.replays.push_back(replay.within(self.bounds(subscriber)));
                return;
            }
            // Neither yes nor no: it may ask again.
            Ok(_) => answer(request, ResendStatus::NONE, "too many at once"),
            Err(refused) => refused,
        };
        self.metrics.resends.with_label_values(&[refused.resend_status.name().unwrap_or("?")]).inc();
        frame::encode(&refused, &mut self.out);
    }

    /// A subscription stands from now on, in place of the one before.
    fn subscribe(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        mut subscription: Subscription,
    ) {
        let id = subscriber.id;
        let bounds = self.bounds(subscriber);
        subscription.filter = subscription.filter.map(|filter| filter.within(bounds));
        self.flush(cx, id);
        if matches!(subscriber.stage, Stage::Following) {
            cx.detach(id);
            subscriber.streams.iter().for_each(|(_, stream)| cx.detach(*stream));
        }
        let ends = subscription.filter.is_none();
        let snapshots = subscription.want_snapshots && !ends;
        let policy = subscription.slow_reader;
        subscriber.subscription = Some(subscription);
        subscriber.stage = Stage::Idle;
        if policy == SlowReader::Datagrams && !ends {
            subscriber.stage = Stage::Datagrams(Datagrams::new(view, snapshots));
            if !self.by_datagram.contains(&id) {
                self.by_datagram.push(id);
            }
        } else if snapshots && policy == SlowReader::Conflate {
            subscriber.stage = Stage::Conflated(Conflated::late(view));
            cx.tell_when_drained(id);
        } else if snapshots {
            let deadline_ns = cx.now_ns() + self.config.snapshots_timeout_ms * 1_000_000;
            let (_, view) = self.taps.of(subscriber.delay_min(), view);
            subscriber.stage = Stage::Snapshots { progress: Progress::start(view.end()), deadline_ns };
        } else if !ends {
            self.follow(cx, view, subscriber);
        }
    }

    /// Lets a subscriber follow the log from where it wants to, as soon as that is here.
    fn follow(&mut self, cx: &mut Cx, view: &View, subscriber: &mut Subscriber) {
        let Some(subscription) = &subscriber.subscription else { return };
        let retained = self.retained(subscriber);
        let (log, view) = self.taps.of(subscriber.delay_min(), view);
        let place = Place::of(cx, view, &subscription.starts, retained);
        if !place.missed.is_empty() && subscription.slow_reader == SlowReader::Disconnect {
            cx.close(subscriber.id, Reason::Overrun);
        } else if place.ahead {
            let deadline_ns = cx.now_ns() + self.config.ahead_timeout_ms * 1_000_000;
            subscriber.stage = Stage::Ahead { place: Box::new(place), deadline_ns };
        } else {
            self.begin(cx, subscriber, log, place);
        }
    }

    /// What is to be done for the subscribers each turn, by turns: many who come late at once must not hold up what
    /// flows to the others. Returns when to be called again at the latest.
    pub(crate) fn on_turn_end(&mut self, cx: &mut Cx, view: &View) -> Option<u64> {
        self.taps.follow(cx);
        if self.busy.is_empty() {
            return None;
        }
        let (now_ns, until_ns) = (cx.now_ns(), cx.clock().now_ns() + BUSY_NS_PER_TURN);
        let mut more = false;
        for _ in 0..self.busy.len() {
            let Some(id) = self.busy.pop_front() else { break };
            let Some(mut subscriber) = self.take(id) else { continue };
            more |= self.work(cx, view, &mut subscriber);
            subscriber.busy = false;
            self.put_back(subscriber);
            if cx.clock().now_ns() >= until_ns {
                return Some(if more { now_ns } else { now_ns + BUSY_NS_PER_TURN });
            }
        }
        more.then_some(now_ns)
    }

    /// One subscriber's part of a turn.
    fn work(&mut self, cx: &mut Cx, view: &View, subscriber: &mut Subscriber) -> bool {
        let id = subscriber.id;
        // Beyond half of what may wait it is for the reader to make room: see `on_drained`.
        let room = cx.waiting_bytes(id) <= self.config.out_bytes_max / 2;
        let mut more = false;
        self.recall_resend(cx, subscriber, room);
        let in_memory = subscriber.replays.front_mut().filter(|replay| replay.reading.is_none());
        if let (true, Some(replay)) = (room, in_memory) {
            if let Part::Done(status, frames) = replay.part(cx.log(LOG), &mut self.out) {
                subscriber.replays.pop_front();
                self.metrics.resends.with_label_values(&[status.name().unwrap_or("?")]).inc();
                self.metrics.resent_frames.inc_by(frames);
            }
            more |= !subscriber.replays.is_empty();
        }
        let now_ns = cx.now_ns();
        match std::mem::replace(&mut subscriber.stage, Stage::Idle) {
            Stage::Snapshots { deadline_ns, .. } if now_ns >= deadline_ns => {
                cx.close(id, Reason::App("snapshots not taken in time"));
            }
            Stage::Snapshots { progress, deadline_ns } if room => {
                more |= self.snapshots(cx, view, subscriber, progress, deadline_ns);
            }
            Stage::Conflated(conflated) => self.give_newest(cx, view, subscriber, conflated),
            Stage::Ahead { mut place, deadline_ns } if now_ns >= deadline_ns || place.is_here(view) => {
                place.give_up(view);
                self.begin(cx, subscriber, LOG, *place);
            }
            Stage::Recalled { place, reading } => self.recall(cx, subscriber, place, reading, room),
            stage => subscriber.stage = stage,
        }
        self.flush(cx, id);
        more
    }

    fn snapshots(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        progress: Progress,
        deadline_ns: u64,
    ) -> bool {
        let subscription = subscriber.subscription.as_ref();
        let Some(filter) = subscription.and_then(|subscription| subscription.filter.as_ref()) else {
            return false;
        };
        let (_, from) = self.taps.of(subscriber.delay_min(), view);
        let out = &mut self.out;
        let send = |frame: &[u8]| out.extend_from_slice(frame);
        match from.snapshots.after(progress, filter, from.end(), SNAPSHOT_BYTES_PER_PART, send) {
            Some(progress) => {
                subscriber.stage = Stage::Snapshots { progress, deadline_ns };
                true
            }
            None => {
                self.flush(cx, subscriber.id);
                subscriber.stage = Stage::Idle;
                self.follow(cx, view, subscriber);
                false
            }
        }
    }

    /// Sends what the session, or the answers, have left.
    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    fn take(&mut self, id: ConnId) -> Option<Box<Subscriber>> {
        let slot = self.subscribers.get_mut(id.index())?;
        slot.take_if(|subscriber| subscriber.id == id)
    }

    fn put_back(&mut self, mut subscriber: Box<Subscriber>) {
        if subscriber.has_work() && !subscriber.busy {
            subscriber.busy = true;
            self.busy.push_back(subscriber.id);
        }
        let index = subscriber.id.index();
        self.subscribers[index] = Some(subscriber);
    }
}

/// The life of the subscribers' connections.
impl Fanout {
    /// Time has passed: heartbeats and deadlines, of a part of the subscribers, so that no turn is long.
    pub(crate) fn on_tick(&mut self, cx: &mut Cx, view: &View) {
        let now_ns = cx.now_ns();
        let part = (self.subscribers.len() / SWEEP_TICKS).max(SWEEP_MIN).min(self.subscribers.len());
        for _ in 0..part {
            self.swept = (self.swept + 1) % self.subscribers.len();
            let Some(subscriber) = &mut self.subscribers[self.swept] else { continue };
            let id = subscriber.id;
            if let Some(doorkeeper) = &self.doorkeeper
                && doorkeeper.has_news_for(subscriber.account.as_ref())
            {
                self.renew(cx, view, id);
                continue;
            }
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                subscriber.session.sent(sent_ns);
            }
            let alive = subscriber.session.on_timeout(now_ns, &mut self.out);
            if alive.is_ok() && subscriber.told_ns.is_some_and(|at_ns| now_ns >= at_ns + TELL_NS) {
                subscriber.told_ns = Some(now_ns);
                self.relay.tell(cx.wall_ns(), &mut self.out);
            }
            self.flush(cx, id);
            match alive {
                Ok(()) => self.conflate_who_is_behind(cx, view, id),
                Err(error) => cx.close(id, Reason::App(error.text())),
            }
        }
    }

    /// Who was told to wait has taken all.
    pub(crate) fn on_drained(&mut self, id: ConnId) -> bool {
        let Some(Some(subscriber)) = self.subscribers.get_mut(id.index()) else { return false };
        if subscriber.id != id {
            return false;
        }
        if matches!(subscriber.stage, Stage::Conflated(_)) && !subscriber.busy {
            subscriber.busy = true;
            self.busy.push_back(id);
        }
        subscriber.busy
    }

    /// A reader's place was let go, be it that of a session or of one of its streams.
    pub(crate) fn on_overrun(
        &mut self,
        cx: &mut Cx,
        view: &View,
        id: ConnId,
        (log, at): (LogId, Seq),
        was: &Selection,
    ) -> Overrun {
        let owner = self.streams.get(&id).copied().unwrap_or(id);
        let Some(subscriber) = self.subscribers.get(owner.index()).and_then(Option::as_ref) else {
            return Overrun::Disconnect;
        };
        match subscriber.subscription.as_ref().map(|subscription| subscription.slow_reader) {
            // One notice at a time: who stands still would else be told at each tick, until it is closed for what waits.
            Some(SlowReader::Skip | SlowReader::Streams) if cx.waiting_bytes(id) > 0 => return Overrun::Wait,
            Some(SlowReader::Skip | SlowReader::Streams) => {}
            Some(SlowReader::Conflate) => {
                self.conflate(cx, view, id, at, was);
                return Overrun::Detach;
            }
            Some(SlowReader::Disconnect | SlowReader::Datagrams) | None => return Overrun::Disconnect,
        }
        self.metrics.skipped.inc();
        if log != LOG {
            // Snapshots alone: the next one says all that those before it said.
            return Overrun::Continue(Cursor::at(cx.log(log).start()), was.clone());
        }
        for lane in view.lanes() {
            // What it resumes may begin above its place.
            let begin = view.next_at(lane.number, at).max(was.floor(lane.number).unwrap_or(1));
            let probe = Tag { lane: lane.number, number: lane.next, key: Tag::EVERYONE };
            if !was.filter().passes(probe) {
                continue;
            }
            if let Err(FindError::NoLongerHeld { oldest_number }) = cx.log(LOG).find(lane.number, begin) {
                let notice = gap_notice(lane.number, begin, oldest_number - 1, GapReason::SLOW_READER);
                cx.send(id, |out| frame::encode(&notice, out));
            }
        }
        Overrun::Continue(Cursor::at(cx.log(LOG).start()), was.clone())
    }

    /// A subscriber's connection has ended, or one of its streams.
    pub(crate) fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: &str) {
        if let Some(owner) = self.forget_stream(id) {
            return cx.close(owner, Reason::App("a channel's stream ended"));
        }
        let Some(mut subscriber) = self.take(id) else { return };
        self.close_streams(cx, std::mem::take(&mut subscriber.streams));
        if subscriber.logged_on {
            self.metrics.subscribers.dec();
        }
        self.metrics.subscriber_ended.with_label_values(&[reason]).inc();
        tracing::debug!(peer = %subscriber.peer, name = %subscriber.name, reason, "subscriber is gone");
    }

    /// The feed ends: asks everyone to log out.
    pub(crate) fn on_drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        let now_ns = cx.now_ns();
        for index in 0..self.subscribers.len() {
            let Some(subscriber) = &mut self.subscribers[index] else { continue };
            let id = subscriber.id;
            subscriber.session.log_out(
                SessionStatus::LOGON_NOT_ALLOWED,
                "closing down",
                now_ns,
                &mut self.out,
            );
            let over = subscriber.session.is_closed();
            self.flush(cx, id);
            if over {
                cx.close(id, Reason::App("closing down"));
            }
        }
    }

    /// All subscribers that are there.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter().flatten().map(Box::as_ref)
    }
}

/// Lets a subscriber follow the log from a place on, and tells it what it misses before.
fn attach(
    cx: &mut Cx,
    subscriber: &mut Subscriber,
    place: &Place,
    (log, seq): (LogId, Seq),
    floors: Vec<(u16, u64)>,
) {
    if !subscriber.streams.is_empty() {
        return streams::attach(cx, subscriber, place, (log, seq), &floors);
    }
    let filter = subscriber.subscription.as_ref().and_then(|subscription| subscription.filter.clone());
    let Some(filter) = filter else { return };
    for &(channel, begin, end) in &place.missed {
        let notice = gap_notice(channel, begin, end, GapReason::NO_LONGER_HELD);
        cx.send(subscriber.id, |out| frame::encode(&notice, out));
    }
    let selection = Selection::new(filter).from_numbers(floors);
    cx.attach(subscriber.id, log, Cursor::at(seq), selection);
    subscriber.stage = Stage::Following;
}
