//! Hot path: from the sources' sockets into the log. Each frame is decoded once, its checksum is verified once, and it
//! is copied once, into the log.
//!
//! Rules: no allocation, no lock and no log line for a frame that arrives in order.

use crate::arbiter::{Answer, Arbiter, Event, Outcome, Source, Tick};
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::securities::{self, Securities};
use crate::snapshots::Offer;
use crate::source::{Link, Upstream};
use crate::view::View;
use flow::{Tag, Writer};
use shard::{ConnId, Cx, LogId, Reason};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use transport::SocketOptions;
use wire::szse::code::{ResendStatus, ResendType};
use wire::szse::ext::{
    ChannelStart, ExtendedTickOrder, GapNotice, GapReason, MarketDataRequest, MarketDataRequestAck,
    RequestHead, RequestStatus, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::{ChannelHeartbeat, Resend, Snapshot, TickOrder, TickTrade};
use wire::szse::session::{self, SessionError};
use wire::szse::{
    DecodeError, Frame, GroupMessage, I64, Message, SecurityId, SecurityIdSource, Text, U16, frame,
};

/// The feed's one log.
pub(crate) const LOG: LogId = LogId(0);

/// The key of a security for which the directory has no room: in no list, and in every channel.
const NO_KEY: u32 = u32::MAX;

/// Numbers to be asked for again.
#[derive(Clone, Copy, Debug)]
struct Ask {
    source: Source,
    channel: u16,
    begin: u64,
    end: u64,
}

/// What came of the sources' messages besides what the arbiter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Entries appended to the log.
    pub(crate) appended: u64,
    /// Messages of a type that is not passed on.
    pub(crate) unknown_type: u64,
    /// Ticks and heartbeats with a number below 0.
    pub(crate) bad_number: u64,
    /// Frames of securities for which the directory has no room.
    pub(crate) no_key: u64,
    /// Snapshots by what became of them.
    pub(crate) snapshots_newest: u64,
    pub(crate) snapshots_not_kept: u64,
    pub(crate) snapshots_duplicate: u64,
    pub(crate) snapshots_no_place: u64,
}

/// The sources, and how one copy is made of them. Lives on the shard that writes the log.
pub(crate) struct Ingest {
    pub(crate) arbiter: Arbiter,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) counters: Counters,
    desk: Desk,
    asks: Vec<Ask>,
    /// What a session answers; empty between calls.
    out: Vec<u8>,
    session_limits: session::Limits,
    channel_heartbeat_ns: u64,
    /// Channels of which a source said that nothing follows, and their last number.
    ended: Vec<(u16, u64)>,
    metrics: Metrics,
    draining: bool,
}

/// What it takes to file one frame.
struct Desk {
    securities: Securities,
}

/// The log, and what is told of each entry.
struct Tape<'a> {
    writer: &'a mut Writer,
    view: &'a mut View,
    asks: &'a mut Vec<Ask>,
    counters: &'a mut Counters,
    now_ns: u64,
}

impl Tape<'_> {
    #[inline]
    fn append(&mut self, tag: Tag, frame: &[u8]) {
        let appended = self.writer.append(tag, frame);
        appended.expect("invariant: the arbiter's numbers ascend, and a segment takes the longest frame");
        self.view.saw(tag, self.now_ns);
        self.counters.appended += 1;
    }

    /// Does what the arbiter wants done.
    #[inline]
    fn deliver(&mut self, event: Event<'_>) {
        match event {
            Event::Frame(Tick { channel, number, key, frame }) => {
                self.append(Tag { lane: channel, number, key }, frame);
            }
            Event::Lost { channel, begin, end } => self.lost(channel, begin, end),
            Event::Ask { source, channel, begin, end } => {
                self.asks.push(Ask { source, channel, begin, end });
            }
        }
    }

    /// The notice stands where the numbers would: whoever reads on, or asks for them, finds it.
    #[cold]
    fn lost(&mut self, channel: u16, begin: u64, end: u64) {
        tracing::warn!(channel, begin, end, "numbers lost: no source could give them");
        let mut frame = Vec::new();
        frame::encode(&gap_notice(channel, begin, end, GapReason::LOST_UPSTREAM), &mut frame);
        self.append(Tag { lane: channel, number: end, key: Tag::EVERYONE }, &frame);
    }
}

/// Says that numbers will not come.
pub(crate) fn gap_notice(channel: u16, begin: u64, end: u64, reason: GapReason) -> GapNotice {
    GapNotice {
        channel_no: U16::new(channel),
        appl_beg_seq_num: I64::new(begin as i64),
        appl_end_seq_num: I64::new(end as i64),
        reason,
    }
}

impl Ingest {
    pub(crate) fn new(config: &Config, securities: Securities, metrics: Metrics) -> Self {
        let settings = config.arbitration.settings(&config.sources);
        let random = RandomState::new();
        let upstreams = config.sources.iter().enumerate();
        Self {
            arbiter: Arbiter::new(settings).expect("invariant: the configuration was validated"),
            upstreams: upstreams
                .map(|(index, source)| Upstream::new(source.clone(), random.hash_one(index)))
                .collect(),
            counters: Counters::default(),
            desk: Desk { securities },
            asks: Vec::new(),
            out: Vec::new(),
            session_limits: config.upstream_session(),
            channel_heartbeat_ns: config.log.channel_heartbeat_ms * 1_000_000,
            ended: Vec::new(),
            metrics,
            draining: false,
        }
    }

    /// Which source a connection belongs to.
    #[inline]
    pub(crate) fn source_of(&self, id: ConnId) -> Option<Source> {
        self.upstreams.iter().position(|upstream| upstream.owns(id)).map(Source::new)
    }

    /// Bytes of a source.
    pub(crate) fn on_data(
        &mut self,
        cx: &mut Cx,
        view: &mut View,
        (id, source): (ConnId, Source),
        data: &[u8],
    ) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let upstream = &mut self.upstreams[source.index()];
        let Link::Open { session, .. } = &mut upstream.link else { return Ok(data.len()) };
        self.arbiter.heard(now_ns, source);
        let (asks, counters) = (&mut self.asks, &mut self.counters);
        let mut tape = Tape { writer: cx.writer(LOG), view, asks, counters, now_ns };
        let mut consumed = 0;
        let ended = loop {
            let received = match session.receive(&data[consumed..], now_ns, &mut self.out) {
                Ok(None) => break None,
                Ok(Some(received)) => received,
                Err(error) => break Some(Reason::App(error.text())),
            };
            consumed += received.consumed;
            match received.event {
                session::Event::Message(frame) => {
                    let filed = self.desk.file(&mut self.arbiter, &mut tape, &mut self.ended, source, &frame);
                    if let Err(error) = filed.map_err(SessionError::Frame) {
                        session.end(error.session_status(), error.text(), &mut self.out);
                        break Some(Reason::App(error.text()));
                    }
                }
                session::Event::Heartbeat => {}
                session::Event::LoggedOn(_) => {
                    self.arbiter.up(now_ns, source);
                    upstream.sessions += 1;
                    upstream.last_error.clear();
                    logged_on(&upstream.config, tape.view, &mut self.out, &self.metrics);
                }
                session::Event::LogonRefused(logout) => {
                    tracing::warn!(source = upstream.config.name, text = %logout.text, "logon refused");
                    break Some(Reason::App("logon refused"));
                }
                session::Event::LoggedOut(_) => break Some(Reason::App("logged out")),
                session::Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        };
        self.flush(cx, id);
        ended.map_or(Ok(consumed), Err)
    }

    /// What the sessions and the arbiter have to say to the sources.
    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
        }
    }

    /// The turn's reading is over: looks at holes, and asks for what is missing. Returns when to be called again.
    pub(crate) fn on_turn_end(&mut self, cx: &mut Cx, view: &mut View) -> Option<u64> {
        let now_ns = cx.now_ns();
        let (asks, counters) = (&mut self.asks, &mut self.counters);
        let mut tape = Tape { writer: cx.writer(LOG), view, asks, counters, now_ns };
        self.arbiter.poll(now_ns, &mut |event| tape.deliver(event));
        self.send_asks(cx);
        self.arbiter.poll_at_ns()
    }

    fn send_asks(&mut self, cx: &mut Cx) {
        for Ask { source, channel, begin, end } in self.asks.drain(..) {
            let upstream = &self.upstreams[source.index()];
            let Link::Open { id, .. } = upstream.link else { continue };
            tracing::debug!(source = upstream.config.name, channel, begin, end, "asking for a resend");
            let request = Resend {
                resend_type: ResendType::TICKS,
                channel_no: U16::new(channel),
                appl_beg_seq_num: I64::new(begin as i64),
                appl_end_seq_num: I64::new(end as i64),
                news_id: Text::BLANK,
                resend_status: ResendStatus::NONE,
                reject_text: Text::BLANK,
            };
            cx.send(id, |out| frame::encode(&request, out));
        }
    }
}

impl Desk {
    /// Files one message of a source: into the log, or not.
    ///
    /// # Errors
    /// Its body is not what its type says: the source is not to be trusted with where the next frame begins.
    #[inline]
    fn file(
        &mut self,
        arbiter: &mut Arbiter,
        tape: &mut Tape<'_>,
        ended: &mut Vec<(u16, u64)>,
        source: Source,
        frame: &Frame<'_>,
    ) -> Result<(), DecodeError> {
        match frame.msg_type {
            TickOrder::MSG_TYPE => self.order(arbiter, tape, source, frame.view()?, frame.bytes),
            ExtendedTickOrder::MSG_TYPE => {
                self.order(arbiter, tape, source, frame.group::<ExtendedTickOrder<'_>>()?.order, frame.bytes);
            }
            TickTrade::MSG_TYPE => {
                let trade: &TickTrade = frame.view()?;
                let key = self.key(tape, &trade.security_id, &trade.security_id_source);
                offer(arbiter, tape, source, (trade.channel_no, trade.appl_seq_num), key, frame.bytes);
            }
            Snapshot::MSG_TYPE => self.snapshot(tape, &frame.group()?, frame.bytes),
            ChannelHeartbeat::MSG_TYPE => heartbeat(arbiter, tape, ended, source, frame.view()?),
            Resend::MSG_TYPE => answer(arbiter, tape, source, frame.view()?),
            // An upstream feed says itself what it lost; the arbiter asks before it believes it.
            GapNotice::MSG_TYPE => {}
            MarketDataRequestAck::MSG_TYPE => acknowledged(source, frame.view()?),
            _ => tape.counters.unknown_type += 1,
        }
        Ok(())
    }

    #[inline]
    fn order(
        &mut self,
        arbiter: &mut Arbiter,
        tape: &mut Tape<'_>,
        source: Source,
        order: &TickOrder,
        bytes: &[u8],
    ) {
        let key = self.key(tape, &order.security_id, &order.security_id_source);
        offer(arbiter, tape, source, (order.channel_no, order.appl_seq_num), key, bytes);
    }

    fn snapshot(&mut self, tape: &mut Tape<'_>, snapshot: &Snapshot<'_>, bytes: &[u8]) {
        let head = snapshot.head;
        let key = self.key(tape, &head.security_id, &head.security_id_source);
        if key == NO_KEY {
            tape.counters.snapshots_no_place += 1;
            return;
        }
        let tag = Tag { lane: head.channel_no.get(), number: 0, key };
        let end = tape.view.end();
        let offered = tape.view.snapshots.offer(tag, &head.md_stream_id, head.orig_time.raw(), end, bytes);
        match offered {
            Offer::Newest => tape.counters.snapshots_newest += 1,
            Offer::NotKept => tape.counters.snapshots_not_kept += 1,
            Offer::Duplicate => tape.counters.snapshots_duplicate += 1,
            Offer::NoPlace => tape.counters.snapshots_no_place += 1,
        }
        if matches!(offered, Offer::Newest | Offer::NotKept) {
            tape.append(tag, bytes);
        }
    }

    #[inline]
    fn key(&mut self, tape: &mut Tape<'_>, id: &SecurityId, source: &SecurityIdSource) -> u32 {
        let key = self.securities.key(id, source, securities::Origin::Source);
        key.unwrap_or_else(|| {
            tape.counters.no_key += 1;
            NO_KEY
        })
    }
}

#[inline]
fn offer(
    arbiter: &mut Arbiter,
    tape: &mut Tape<'_>,
    source: Source,
    (channel, number): (U16, I64),
    key: u32,
    frame: &[u8],
) {
    let Ok(number) = u64::try_from(number.get()) else {
        tape.counters.bad_number += 1;
        return;
    };
    let tick = Tick { channel: channel.get(), number, key, frame };
    let outcome = arbiter.offer(tape.now_ns, source, tick, &mut |event| tape.deliver(event));
    if outcome == Outcome::Regressed && number == 1 {
        let (channel, source) = (tick.channel, source.index());
        tracing::warn!(
            channel,
            source,
            "a source begins again at 1: ignored, restart the feed for a new day"
        );
    }
}

#[cold]
fn heartbeat(
    arbiter: &mut Arbiter,
    tape: &mut Tape<'_>,
    ended: &mut Vec<(u16, u64)>,
    source: Source,
    heartbeat: &ChannelHeartbeat,
) {
    let Ok(last) = u64::try_from(heartbeat.appl_last_seq_num.get()) else {
        tape.counters.bad_number += 1;
        return;
    };
    let channel = heartbeat.channel_no.get();
    arbiter.heartbeat(tape.now_ns, source, (channel, last), &mut |event| tape.deliver(event));
    let known = ended.iter().any(|(other, _)| *other == channel) || tape.view.lane(channel).is_none();
    if heartbeat.is_end_of_channel() && !known {
        ended.push((channel, last));
    }
}

#[cold]
fn answer(arbiter: &mut Arbiter, tape: &mut Tape<'_>, source: Source, answer: &Resend) {
    let Ok(begin) = u64::try_from(answer.appl_beg_seq_num.get()) else {
        tape.counters.bad_number += 1;
        return;
    };
    let means = match answer.resend_status {
        ResendStatus::NONE | ResendStatus::COMPLETE | ResendStatus::PARTIAL => Answer::Served,
        _ => Answer::Cannot,
    };
    arbiter.answer(tape.now_ns, source, (answer.channel_no.get(), begin), means);
}

#[cold]
fn acknowledged(source: Source, ack: &MarketDataRequestAck) {
    if ack.status != RequestStatus::ACCEPTED {
        tracing::warn!(source = source.index(), status = ?ack.status, text = %ack.text, "subscription refused");
    }
}

fn logged_on(config: &config::Source, view: &View, out: &mut Vec<u8>, metrics: &Metrics) {
    let config::Source { name, subscribe, address, .. } = config;
    tracing::info!(source = name, %address, "source is up");
    metrics.source_sessions.with_label_values(&[name]).inc();
    metrics.source_up.with_label_values(&[name]).set(1);
    if *subscribe {
        request_all(view, out);
    }
}

/// Asks a source that is a feed for everything, from where our log stands.
fn request_all(view: &View, out: &mut Vec<u8>) {
    let channels: Vec<ChannelStart> = view
        .lanes()
        .iter()
        .filter(|lane| lane.next > 1)
        .map(|lane| ChannelStart {
            channel_no: U16::new(lane.number),
            next_appl_seq_num: I64::new(lane.next as i64),
        })
        .collect();
    let head = RequestHead {
        request_id: 1.into(),
        mode: SubscriptionMode::ALL,
        policy: SlowReaderPolicy::SKIP_WITH_NOTICE,
        want_snapshots: 1,
    };
    let request = MarketDataRequest { head, channels: &channels, securities: &[] };
    if let Err(error) = request.encode(out) {
        tracing::warn!(%error, "more channels than one request can name: resuming from live");
        let live = MarketDataRequest { channels: &[], ..request };
        live.encode(out).expect("invariant: a request without lists is within every bound");
    }
}

/// The life of the sources' connections.
impl Ingest {
    /// Time has passed: dials what is due, keeps sessions alive, sends heartbeats of quiet channels.
    pub(crate) fn on_tick(&mut self, cx: &mut Cx, view: &mut View) {
        let now_ns = cx.now_ns();
        for index in 0..self.upstreams.len() {
            let upstream = &mut self.upstreams[index];
            if upstream.dial_is_due(now_ns) && !self.draining {
                upstream.link = Link::Dialling;
                let timeout = Duration::from_millis(upstream.config.connect_timeout_ms);
                cx.dial(upstream.config.address, SocketOptions::default(), timeout, index as u32);
            }
            let Link::Open { id, session, .. } = &mut upstream.link else { continue };
            let id = *id;
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                session.sent(sent_ns);
            }
            let alive = session.on_timeout(now_ns, &mut self.out);
            self.flush(cx, id);
            if let Err(error) = alive {
                cx.close(id, Reason::App(error.text()));
            }
        }
        self.channel_heartbeats(cx, view);
    }

    /// A dialled connection is there.
    pub(crate) fn on_open(&mut self, cx: &mut Cx, id: ConnId, index: usize) {
        let now_ns = cx.now_ns();
        self.upstreams[index].opened(id, now_ns, self.session_limits, &mut self.out);
        if self.draining {
            self.out.clear();
            return cx.close(id, Reason::App("closing down"));
        }
        self.flush(cx, id);
    }

    /// A dial came to nothing.
    pub(crate) fn on_dial_failed(&mut self, now_ns: u64, index: usize, error: &std::io::Error) {
        let upstream = &mut self.upstreams[index];
        tracing::debug!(source = upstream.config.name, %error, "dial failed");
        self.metrics.source_ended.with_label_values(&[upstream.config.name.as_str(), "dial failed"]).inc();
        upstream.gone(now_ns, error.to_string());
    }

    /// A source's connection has ended.
    pub(crate) fn on_close(&mut self, cx: &mut Cx, view: &mut View, source: Source, reason: &str) {
        let now_ns = cx.now_ns();
        let upstream = &mut self.upstreams[source.index()];
        let name = upstream.config.name.as_str();
        self.metrics.source_ended.with_label_values(&[name, reason]).inc();
        self.metrics.source_up.with_label_values(&[name]).set(0);
        tracing::warn!(source = name, reason, "source is gone");
        upstream.gone(now_ns, reason.to_owned());
        if self.arbiter.is_up(source) {
            let (asks, counters) = (&mut self.asks, &mut self.counters);
            let mut tape = Tape { writer: cx.writer(LOG), view, asks, counters, now_ns };
            self.arbiter.down(now_ns, source, &mut |event| tape.deliver(event));
        }
    }

    /// The feed ends: takes leave of the sources, and dials none again.
    pub(crate) fn on_drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        let now_ns = cx.now_ns();
        for index in 0..self.upstreams.len() {
            let Link::Open { id, session, .. } = &mut self.upstreams[index].link else { continue };
            let id = *id;
            let status = wire::szse::code::SessionStatus::LOGOUT_COMPLETE;
            session.log_out(status, "closing down", now_ns, &mut self.out);
            let over = session.is_closed();
            self.flush(cx, id);
            if over {
                cx.close(id, Reason::App("closing down"));
            }
        }
    }

    /// Says, in the log, how far the channels are of which nothing was said for a while.
    fn channel_heartbeats(&mut self, cx: &mut Cx, view: &mut View) {
        let now_ns = cx.now_ns();
        for channel in self.arbiter.channels() {
            // A channel of which nothing is in the log yet is new to the view, and so quiet since ever.
            let at_ns = view.lane(channel.channel).map_or(0, |lane| lane.at_ns);
            if channel.next == 0 || now_ns < at_ns + self.channel_heartbeat_ns {
                continue;
            }
            let last = channel.next - 1;
            let ended = self.ended.iter().any(|(number, end)| *number == channel.channel && *end <= last);
            let message = ChannelHeartbeat {
                channel_no: U16::new(channel.channel),
                appl_last_seq_num: I64::new(last as i64),
                end_of_channel: U16::new(ended.into()),
            };
            frame::encode(&message, &mut self.out);
            let (asks, counters) = (&mut self.asks, &mut self.counters);
            let mut tape = Tape { writer: cx.writer(LOG), view: &mut *view, asks, counters, now_ns };
            tape.append(Tag { lane: channel.channel, number: 0, key: Tag::EVERYONE }, &self.out);
            self.out.clear();
        }
    }
}
