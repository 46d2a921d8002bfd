//! The market's prices: the gateway is a subscriber of a feed, for the rules that know the market of the moment.
//!
//! On a thread of its own. A feed sends all that happens at an exchange, more in a busy moment than all orders of the gateway
//! together, and who reads it where orders are read makes them wait for it. What the checks want of it is the newest
//! prices of a security and nothing else, so what is handed over is a table with a place for each
//! ([`crate::check::Quotes`]): as long as the list of securities, always the newest, and neither side ever waits.
//!
//! Two feeds may be configured: one is followed, and when its connection ends or cannot be made, when it does not answer the
//! subscription, or when it says nothing of the market for too long, the other is. Where the feed skips what this subscriber was too
//! slow for, no price that is known is to be relied on: all are stale, and the feed is asked for its snapshots again.

use crate::check::{Directory, Quote};
use crate::config;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::session::end;
use service::outage::Outage;
use service::{Phase, Shutdown};
use shard::{App, ConnId, Cx, Opened, Reason};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use transport::Connector;
use wire::szse::code::MdEntryType;
use wire::szse::ext::{
    ChannelStart, GapNotice, GapReason, MarketDataRequest, MarketDataRequestAck, RequestHead, RequestStatus,
    SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::Snapshot;
use wire::szse::session::Event;
use wire::szse::{Frame, GroupMessage, I64, Message, U16};

/// Pace of timeouts and dials, milliseconds.
const TICK_MS: u32 = 20;
const NS_PER_MS: u64 = 1_000_000;

/// A subscription is asked for anew at most this often, nanoseconds: a feed grants so many requests a minute.
const ASK_AGAIN_NS: u64 = 2_000_000_000;

/// Bounds of its thread.
pub(crate) fn limits() -> shard::Limits {
    shard::Limits { connections_max: 2, tick_ms: TICK_MS, commands_max: 8, ..shard::Limits::default() }
}

/// There is another list of securities.
pub(crate) struct Command {
    pub(crate) directory: Arc<Directory>,
    /// Whether the prices that are known are those of its day.
    pub(crate) keeps: bool,
    /// Told when its prices are written from now on.
    pub(crate) reply: SyncSender<()>,
}

/// What is asked of the feed that is followed.
#[derive(Default)]
struct Asked {
    /// RequestID of the last request.
    request_id: u32,
    /// When it was sent.
    at_ns: u64,
    /// It is not answered yet.
    unanswered: bool,
    /// It is to be sent anew.
    again: bool,
}

/// The follower of a feed.
pub(crate) struct Follower {
    addresses: Vec<SocketAddr>,
    /// Which of them is followed, or dialled next.
    at: usize,
    /// Of each, the tries since it was followed last.
    outages: Vec<Outage>,
    channels: Vec<ChannelStart>,
    connector: Connector,
    connect_timeout: Duration,
    line: Line,
    conn: Option<ConnId>,
    answer_timeout_ns: u64,
    silence_ns_max: u64,
    subscription: Asked,
    /// When the feed said something of the market last, or was asked to.
    heard_ns: u64,
    directory: Arc<Directory>,
    out: Vec<u8>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Follower {
    pub(crate) fn new(
        config: &config::Quotes,
        (connector, seed): (Connector, u64),
        directory: Arc<Directory>,
        (metrics, shutdown): (Metrics, Shutdown),
    ) -> Self {
        let live =
            |number: &u16| ChannelStart { channel_no: U16::new(*number), next_appl_seq_num: I64::new(0) };
        Self {
            addresses: config.addresses(),
            at: 0,
            outages: config.addresses().iter().map(|_| Outage::default()).collect(),
            channels: config.channels.iter().map(live).collect(),
            connector,
            connect_timeout: config.connect_timeout(),
            line: Line::new(config.line(), seed),
            conn: None,
            answer_timeout_ns: config.answer_timeout_ms * NS_PER_MS,
            silence_ns_max: config.silence_ms_max * NS_PER_MS,
            subscription: Asked::default(),
            heard_ns: 0,
            directory,
            out: Vec::new(),
            metrics,
            shutdown,
        }
    }

    fn address(&self) -> SocketAddr {
        self.addresses[self.at]
    }

    /// A connection has ended, or could not be made: the other feed is next. The reason as a label's value, and as it is told.
    fn lost(&mut self, now_ns: u64, (label, reason): (&'static str, &str)) {
        let (followed, reason) = (self.line.ready(), self.outages[self.at].why(reason));
        if followed {
            tracing::warn!(address = %self.address(), reason, "quotes are not followed any more");
        } else if let Some(tries) = self.outages[self.at].failed(now_ns, &reason) {
            tracing::warn!(address = %self.address(), tries, reason, "quotes are not followed; trying again");
        }
        self.metrics.quotes_ended.with_label_values(&[label]).inc();
        self.metrics.quotes_up.set(0);
        self.conn = None;
        self.subscription = Asked::default();
        self.line.lost(now_ns);
        self.at = (self.at + 1) % self.addresses.len();
    }

    fn flush(&mut self, cx: &mut Cx) {
        if let Some(id) = self.conn.filter(|_| !self.out.is_empty()) {
            cx.send(id, |out| out.extend_from_slice(&self.out));
        }
        self.out.clear();
    }

    fn request(&mut self, now_ns: u64) {
        let request_id = self.subscription.request_id.wrapping_add(1);
        self.subscription = Asked { request_id, at_ns: now_ns, unanswered: true, again: false };
        self.heard_ns = now_ns;
        let mode = if self.channels.is_empty() { SubscriptionMode::ALL } else { SubscriptionMode::CHANNELS };
        // Who is behind wants what is new, not what it missed.
        let policy = SlowReaderPolicy::SKIP_WITH_NOTICE;
        let head = RequestHead { request_id: request_id.into(), mode, policy, want_snapshots: 1 };
        let request = MarketDataRequest { head, channels: &self.channels, securities: &[] };
        request.encode(&mut self.out).expect("invariant: configuration allows no more channels");
    }

    fn frames(&mut self, (now_ns, unix_ns): (u64, u64), data: &[u8]) -> Result<usize, Reason> {
        let mut consumed = 0;
        loop {
            let Some(session) = self.line.session() else { return Ok(data.len()) };
            let received = session.receive(&data[consumed..], now_ns, &mut self.out);
            let Some(received) = received.map_err(|error| Reason::App(error.text()))? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            if matches!(received.event, Event::Message(_)) {
                self.heard_ns = now_ns;
            }
            match received.event {
                Event::Message(frame) if frame.msg_type == Snapshot::MSG_TYPE => {
                    self.snapshot(&frame, unix_ns)?;
                }
                Event::Message(frame) if frame.msg_type == MarketDataRequestAck::MSG_TYPE => {
                    self.answered(&frame)?;
                }
                Event::Message(frame) if frame.msg_type == GapNotice::MSG_TYPE => self.gap(&frame, now_ns)?,
                Event::Message(_) | Event::Heartbeat => {}
                Event::LoggedOn(_) => self.request(now_ns),
                Event::LogonRefused(logout) => {
                    self.outages[self.at].turned_away(logout.text);
                    return Err(Reason::App("logon refused"));
                }
                Event::LoggedOut(logout) => {
                    self.outages[self.at].turned_away(logout.text);
                    return Err(Reason::App("logged out"));
                }
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        }
    }

    fn answered(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        let ack = frame.view::<MarketDataRequestAck>().map_err(|error| Reason::App(malformed(error)))?;
        if ack.status != RequestStatus::ACCEPTED {
            self.outages[self.at].turned_away(format_args!("{:?} {}", ack.status, ack.text));
            return Err(Reason::App("subscription refused"));
        }
        if ack.request_id.get() != self.subscription.request_id {
            return Ok(());
        }
        self.subscription.unanswered = false;
        self.line.set_ready();
        self.outages[self.at].over();
        self.metrics.quotes_up.set(1);
        tracing::info!(address = %self.address(), "quotes are followed");
        Ok(())
    }

    /// The feed tells of numbers that will not come. Of those that no source had no snapshot is among them: snapshots have no
    /// number, and the newest is the newest still. What this subscriber was too slow for may have been any.
    #[cold]
    fn gap(&mut self, frame: &Frame<'_>, now_ns: u64) -> Result<(), Reason> {
        let notice = frame.view::<GapNotice>().map_err(|error| Reason::App(malformed(error)))?;
        let (reason, skipped) = match notice.reason {
            GapReason::LOST_UPSTREAM => ("lost upstream", false),
            GapReason::NO_LONGER_HELD => ("no longer held", false),
            GapReason::ELSEWHERE => ("elsewhere", false),
            GapReason::SLOW_READER => ("slow reader", true),
            _ => ("other", true),
        };
        self.metrics.quotes_gaps.with_label_values(&[reason]).inc();
        if skipped {
            if !self.subscription.again {
                tracing::warn!(address = %self.address(), "quotes were skipped: prices are stale until they come again");
            }
            self.directory.quotes.forget();
            self.subscription.again = true;
            self.ask_again(now_ns);
        }
        Ok(())
    }

    fn ask_again(&mut self, now_ns: u64) {
        let Asked { at_ns, unanswered, again, .. } = self.subscription;
        if again && !unanswered && now_ns.saturating_sub(at_ns) >= ASK_AGAIN_NS {
            self.request(now_ns);
        }
    }

    /// Why the feed is left, if it does not do what it is there for.
    fn fails(&self, now_ns: u64) -> Option<&'static str> {
        let Asked { at_ns, unanswered, request_id, .. } = self.subscription;
        if request_id == 0 {
            // Its logon has a deadline of its own.
            return None;
        }
        if unanswered && now_ns.saturating_sub(at_ns) >= self.answer_timeout_ns {
            return Some("no answer to the subscription");
        }
        (now_ns.saturating_sub(self.heard_ns) >= self.silence_ns_max).then_some("silent")
    }

    #[inline]
    fn snapshot(&mut self, frame: &Frame<'_>, unix_ns: u64) -> Result<(), Reason> {
        let snapshot = frame.group::<Snapshot<'_>>().map_err(|error| Reason::App(malformed(error)))?;
        self.metrics.quotes.inc();
        match self.directory.number(snapshot.head.security_id, snapshot.head.security_id_source) {
            Some(number) => self.directory.quotes.set(number, quote(&snapshot), unix_ns),
            None => self.metrics.quotes_unknown.inc(),
        }
        Ok(())
    }
}

/// A body that is not what its type says.
fn malformed(error: wire::szse::DecodeError) -> &'static str {
    wire::szse::session::SessionError::Frame(error).text()
}

/// What TradingPhaseCode begins with in a call auction: O and C at Shenzhen, C and U at Shanghai (?: from memory).
const AUCTIONS: [u8; 3] = *b"OCU";

/// The best prices and the last trade of a snapshot. Which level is the best is told by the prices: whether levels
/// count from 0 or 1 is not public. During a call auction both sides show the price that it would come to, which nobody bids or
/// asks: there is no best price then, and the rules that want one go on to the last trade.
#[inline]
fn quote(snapshot: &Snapshot<'_>) -> Quote {
    let mut quote = Quote::default();
    let auction = AUCTIONS.contains(&snapshot.head.trading_phase_code.as_bytes()[0]);
    for entry in snapshot.entries() {
        let price = entry.entry.md_entry_px.to_price().map_or(0, |price| price.raw());
        if price <= 0 {
            continue;
        }
        match entry.entry.md_entry_type {
            MdEntryType::BID if !auction => quote.bid = quote.bid.max(price),
            MdEntryType::ASK if !auction && (quote.ask == 0 || price < quote.ask) => quote.ask = price,
            MdEntryType::LAST => quote.last = price,
            _ => {}
        }
    }
    quote
}

impl App for Follower {
    type Command = Command;

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, _opened: Opened) {
        self.conn = Some(id);
        self.line.opened(cx.now_ns(), &mut self.out);
        self.flush(cx);
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, _tag: u32, error: io::Error) {
        self.lost(cx.now_ns(), ("dial failed", &error.to_string()));
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if self.conn != Some(id) {
            return Ok(data.len());
        }
        let times = (cx.now_ns(), cx.wall_ns().max(0).cast_unsigned());
        let taken = self.frames(times, data);
        self.flush(cx);
        taken
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        if self.conn == Some(id) && reason != Reason::Stopped {
            self.lost(cx.now_ns(), (end(reason), end(reason)));
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        // Nobody's order is checked any more.
        if self.shutdown.phase() != Phase::Running {
            return cx.stop();
        }
        if self.line.dial_due(now_ns) {
            cx.dial(self.address(), &self.connector, self.connect_timeout, 0);
        }
        let (Some(id), Some(session)) = (self.conn, self.line.session()) else { return };
        if let Some((_, sent_ns)) = cx.last_active_ns(id) {
            session.sent(sent_ns);
        }
        let alive = session.on_timeout(now_ns, &mut self.out);
        self.ask_again(now_ns);
        self.flush(cx);
        if let Some(why) = alive.err().map(|error| error.text()).or_else(|| self.fails(now_ns)) {
            cx.close(id, Reason::App(why));
        }
    }

    fn on_command(&mut self, _cx: &mut Cx, command: Command) {
        if command.keeps {
            command.directory.take_over(&self.directory);
        }
        self.directory = command.directory;
        if command.reply.try_send(()).is_err() {
            tracing::debug!("nobody waits for the list to be taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::market::{MdEntry, SnapshotHead};
    use wire::szse::{MdEntryPx, Price, frame};

    #[test]
    fn a_quote_is_the_best_of_each_side_and_the_last_trade() {
        let entry = |md_entry_type, price, level| MdEntry {
            md_entry_type,
            md_entry_px: MdEntryPx::from_price(Price::whole(price)).unwrap(),
            md_price_level: U16::new(level),
            ..MdEntry::default()
        };
        let in_phase = |phase: &str, entries: &[MdEntry]| {
            let mut out = Vec::new();
            let write = |writer: &mut wire::szse::market::MdEntryWriter<'_>| {
                entries.iter().try_for_each(|entry| writer.push(entry, &[]))
            };
            let trading_phase_code = phase.parse().unwrap();
            let head = SnapshotHead { trading_phase_code, ..SnapshotHead::default() };
            Snapshot::encode(&head, &mut out, write).unwrap();
            let frame = frame::decode(&out, frame::BODY_LEN_MAX).unwrap().unwrap();
            quote(&frame.group::<Snapshot<'_>>().unwrap())
        };
        let of = |entries: &[MdEntry]| in_phase("T0", entries);
        let raw = |price: i64| Price::whole(price).raw();
        let full = [
            entry(MdEntryType::ASK, 12, 2),
            entry(MdEntryType::ASK, 11, 1),
            entry(MdEntryType::BID, 10, 1),
            entry(MdEntryType::BID, 9, 2),
            entry(MdEntryType::HIGH, 20, 0),
            entry(MdEntryType::LAST, 11, 0),
        ];
        assert_eq!(of(&full), Quote { bid: raw(10), ask: raw(11), last: raw(11) });
        for phase in ["O0", "C0", "U111"] {
            let last = Quote { last: raw(11), ..Quote::default() };
            assert_eq!(in_phase(phase, &full), last, "a call auction has no best price");
        }
        assert_eq!(of(&[entry(MdEntryType::BID, 0, 1)]), Quote::default(), "no price is no quote");
        assert_eq!(of(&[]), Quote::default());
    }
}
