//! Hot path: from the sources' sockets into the log. Each frame is decoded once, its checksum is verified once, and it
//! is copied once, into the log.
//!
//! Rules: no allocation, no lock and no log line for a frame that arrives in order.

mod desk;
mod inside;
mod links;
mod log;
mod numbering;
mod own;
mod pulse;

use crate::arbiter::{Arbiter, Source};
use crate::book::Publication;
use crate::config::{self, Config};
use crate::door::Wanted;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::retention::Retention;
use crate::securities::Securities;
use crate::snapshots::Offer;
use crate::source::{Link, Upstream};
use crate::view::View;
use desk::{Desk, Fault};
use log::Ask;
pub(crate) use log::Notes;
pub(crate) use log::gap_notice;
pub(crate) use own::{Counters as OwnCounters, Own};
use pulse::Pulse;
use service::tls::Tls;
use shard::{ConnId, Cx, LogId, Reason};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use transport::SocketOptions;
use wire::szse::code::{ResendStatus, ResendType, SessionStatus};
use wire::szse::ext::STREAM_BOOK;
use wire::szse::market::Resend;
use wire::szse::session::{self, SessionError};
use wire::szse::{I64, Text, U16, frame};

/// The feed's one log.
pub(crate) const LOG: LogId = LogId(0);

/// The key of a security for which the directory has no room: in no list, and in every channel.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// What came of the sources' messages besides what the arbiter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
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
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) filing: Filing,
    /// What a session answers; empty between calls.
    out: Vec<u8>,
    session_limits: session::Limits,
    channel_heartbeat_ns: u64,
    draining: bool,
}

/// What all messages are filed with, whichever source brings them.
pub(crate) struct Filing {
    pub(crate) arbiter: Arbiter,
    /// Of each source.
    pub(crate) pulses: Vec<Pulse>,
    pub(crate) counters: Counters,
    pub(crate) notes: Notes,
    securities: Securities,
    /// Channels of which a source said that nothing follows, and their last number.
    ended: Vec<(u16, u64)>,
    pub(crate) relay: Arc<Relay>,
    metrics: Metrics,
}

impl Filing {
    /// A source has said something, and it is filed.
    fn desk<'a>(
        &'a mut self,
        cx: &'a mut Cx,
        view: &'a mut View,
        source: Source,
        config: &'a config::Source,
    ) -> Desk<'a> {
        let (now_ns, wall_ns, numbered) = (cx.now_ns(), cx.wall_ns(), config.is_numbered());
        if numbered {
            self.arbiter.heard(now_ns, source);
        }
        let pulse = &mut self.pulses[source.index()];
        pulse.heard(now_ns);
        Desk {
            source,
            numbered,
            pulse,
            arbiter: &mut self.arbiter,
            securities: &mut self.securities,
            counters: &mut self.counters,
            ended: &mut self.ended,
            wall_ns,
            relay: (&self.relay, &self.metrics, &config.name),
            log: self.notes.log(cx.writer(LOG), view, now_ns),
        }
    }
}

impl Ingest {
    pub(crate) fn new(
        config: &Config,
        tls: &Tls,
        (securities, relay): (Securities, Arc<Relay>),
        metrics: Metrics,
        retention: Option<Retention>,
    ) -> Self {
        let settings = config.arbitration.settings(&config.sources);
        let mut arbiter = Arbiter::new(settings).expect("invariant: the configuration was validated");
        let before = retention.iter().flat_map(Retention::before);
        before.for_each(|(channel, next)| arbiter.resume(channel, next));
        let random = RandomState::new();
        let upstreams = config.sources.iter().enumerate();
        Self {
            upstreams: upstreams
                .map(|(index, source)| {
                    let connector = tls.connector(SocketOptions::default(), source.transport);
                    Upstream::new(source.clone(), connector, random.hash_one(index))
                })
                .collect(),
            filing: Filing {
                arbiter,
                pulses: vec![Pulse::default(); config.sources.len()],
                counters: Counters::default(),
                notes: Notes {
                    asks: Vec::new(),
                    appended: 0,
                    retention,
                    own: config.arbitration.own(&config.sources).map(Box::new),
                },
                securities,
                ended: Vec::new(),
                relay,
                metrics,
            },
            out: Vec::new(),
            session_limits: config.upstream_session(),
            channel_heartbeat_ns: config.log.channel_heartbeat_ms * 1_000_000,
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
        let mut desk = self.filing.desk(cx, view, source, &upstream.config);
        let (mut consumed, mut logged_on) = (0, false);
        let ended = loop {
            let received = match session.receive(&data[consumed..], now_ns, &mut self.out) {
                Ok(None) => break None,
                Ok(Some(received)) => received,
                Err(error) => break Some(Reason::App(error.text())),
            };
            consumed += received.consumed;
            match received.event {
                session::Event::Message(_) if upstream.left => {}
                session::Event::Message(frame) => {
                    let (status, text) = match desk.file(&frame) {
                        Ok(()) => continue,
                        Err(Fault::Frame(error)) => {
                            let error = SessionError::Frame(error);
                            (error.session_status(), error.text())
                        }
                        Err(Fault::Relay(refused)) => (SessionStatus::OTHER, refused.text()),
                    };
                    session.end(status, text, &mut self.out);
                    break Some(Reason::App(text));
                }
                session::Event::Heartbeat => {}
                session::Event::LoggedOn(_) => {
                    desk.up();
                    logged_on = true;
                    if upstream.config.subscribe {
                        links::subscribe(&desk, &mut self.out);
                    }
                }
                session::Event::LogonRefused(logout) => {
                    upstream.outage.turned_away(logout.text);
                    break Some(Reason::App("logon refused"));
                }
                session::Event::LoggedOut(logout) => {
                    upstream.outage.turned_away(logout.text);
                    break Some(Reason::App("logged out"));
                }
                session::Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        };
        if logged_on {
            upstream.is_up();
        }
        self.flush(cx, id);
        ended.map_or(Ok(consumed), Err)
    }

    /// Snapshots made of the books go the way of the sources' snapshots.
    pub(crate) fn publish(&mut self, cx: &mut Cx, view: &mut View, publication: &Publication) {
        let now_ns = cx.now_ns();
        let mut log = self.filing.notes.log(cx.writer(LOG), view, now_ns);
        for (tag, time, frame) in publication.each() {
            let end = log.view.end();
            let offered = log.view.snapshots.offer(tag, &STREAM_BOOK, time.raw(), end, frame);
            if matches!(offered, Offer::Newest | Offer::NotKept) {
                log.append(tag, frame);
            }
        }
    }

    /// What the sessions and the arbiter have to say to the sources.
    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    /// The turn's reading is over: looks at holes, and asks for what is missing. Returns when to be called again.
    pub(crate) fn on_turn_end(&mut self, cx: &mut Cx, view: &mut View) -> Option<u64> {
        let now_ns = cx.now_ns();
        let Filing { arbiter, notes, .. } = &mut self.filing;
        let mut log = notes.log(cx.writer(LOG), view, now_ns);
        arbiter.poll(now_ns, &mut |event| log.deliver(event));
        self.send_asks(cx);
        self.filing.arbiter.poll_at_ns()
    }

    fn send_asks(&mut self, cx: &mut Cx) {
        for Ask { source, channel, begin, end } in self.filing.notes.asks.drain(..) {
            let upstream = &self.upstreams[source.index()];
            if let Some(way) = &upstream.way {
                way.ask(Wanted { channel, begin, end });
            }
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
