//! Hot path: the lines to the cores: requests out, reports in, the other line's turn when one dies, and clients made to wait
//! while a line is full.
//!
//! Rules: no allocation for a request or a report; what a client sent is copied once into the line's bytes, and once into
//! what is kept of it until the core has answered ([`Flight`]).

use crate::app::{Gateway, LOG};
use crate::bandwidth::{Bucket, Meter};
use crate::check::Refusal;
use crate::duty::{Duty, LINES_MAX};
use crate::flight::{Flight, Identity, Life, Over};
use crate::line::Line;
use crate::link::{Intake, Link, LinkError};
use crate::past::{Had, Watch};
use crate::route::Core;
use crate::traces::Answers;
use service::outage::Outage;
use shard::{ConnId, Cx, Reason};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use transport::Connector;
use wire::szse::frame;

/// The names of the lines, in the configuration, logs and metrics.
pub(crate) const LINE_NAMES: [&str; LINES_MAX] = ["a", "b"];

/// One leased line to a core.
pub(crate) struct Wire {
    pub(crate) line: Line,
    pub(crate) address: SocketAddr,
    pub(crate) connector: Connector,
    pub(crate) connect_timeout: Duration,
    pub(crate) conn: Option<ConnId>,
    /// The core has said on it which partitions it has.
    pub(crate) announced: bool,
    /// How often it has ended.
    pub(crate) ended: u32,
    /// Why it was not up last; empty while it is.
    pub(crate) last_error: String,
    /// Tries since it was up last, and what the core said as it turned us away.
    pub(crate) outage: Outage,
    /// The operator has taken it out of service.
    pub(crate) closed_by_operator: bool,
    /// The partitions whose reports it was asked for.
    pub(crate) carries: Vec<bool>,
    /// What it may be sent; without one as much as it takes.
    pub(crate) bucket: Option<Bucket>,
    /// Frames that were sent over its connection: the core's RefSeqNum counts them.
    frames: u64,
    /// Whole frames that wait for their bandwidth, or for room: no more than are under way to the core.
    held: Vec<u8>,
    /// Which requests they are.
    held_of: VecDeque<Identity>,
    /// Bytes waiting in the connection from which on more are held.
    full_bytes: usize,
    pub(crate) sent: Meter,
    pub(crate) received: Meter,
}

impl Wire {
    pub(crate) fn new(
        line: Line,
        (address, connector, connect_timeout): (SocketAddr, Connector, Duration),
        partitions: usize,
        (bandwidth_bytes_per_s, full_bytes): (u64, usize),
    ) -> Self {
        Self {
            line,
            address,
            connector,
            connect_timeout,
            conn: None,
            announced: false,
            ended: 0,
            last_error: String::new(),
            outage: Outage::default(),
            closed_by_operator: false,
            carries: vec![false; partitions],
            bucket: (bandwidth_bytes_per_s > 0).then(|| Bucket::new(bandwidth_bytes_per_s)),
            frames: 0,
            held: Vec::new(),
            held_of: VecDeque::new(),
            full_bytes,
            sent: Meter::default(),
            received: Meter::default(),
        }
    }

    /// Logged on: it can carry partitions.
    fn can(&self) -> bool {
        self.conn.is_some() && self.line.ready()
    }

    /// It takes requests.
    pub(crate) fn works(&self) -> bool {
        self.can() && self.carries.contains(&true)
    }

    /// Its connection, if it has not taken so much that clients are made to wait.
    pub(crate) fn stalled(&self, cx: &Cx) -> Option<ConnId> {
        self.conn.filter(|conn| cx.waiting_bytes(*conn) > self.full_bytes / 2)
    }

    /// Bytes that wait to go over it.
    pub(crate) fn waiting_bytes(&self, cx: &Cx) -> usize {
        self.held.len() + self.conn.map_or(0, |conn| cx.waiting_bytes(conn))
    }

    /// Appends a request's frame to what goes over it; `false` if there is no line. `note` is shown the frame, and its number, which
    /// is 0 where it has to wait. What comes in the turn in which
    /// the line ends is kept as if it had been sent before: the other line brings it.
    #[inline]
    pub(crate) fn put(
        &mut self,
        cx: &mut Cx,
        identity: Identity,
        write: impl FnOnce(&mut Vec<u8>),
        note: impl FnOnce(&[u8], u64),
    ) -> bool {
        let now_ns = cx.now_ns();
        let Some(conn) = self.conn else { return false };
        let free = self.held.is_empty() && self.may(now_ns) && cx.waiting_bytes(conn) <= self.full_bytes;
        let free = free && cx.is_open(conn);
        let (number, mut bytes) = (if free { self.frames + 1 } else { 0 }, 0);
        let append = |out: &mut Vec<u8>| {
            let begin = out.len();
            write(out);
            note(&out[begin..], number);
            bytes = out.len() - begin;
        };
        if free {
            cx.send(conn, append);
            self.count_sent(1, bytes);
        } else {
            append(&mut self.held);
            self.held_of.push_back(identity);
        }
        true
    }

    /// Whether its bandwidth has room.
    #[inline]
    fn may(&mut self, now_ns: u64) -> bool {
        self.bucket.as_mut().is_none_or(|bucket| bucket.may(now_ns))
    }

    #[inline]
    fn count_sent(&mut self, frames: u64, bytes: usize) {
        self.frames += frames;
        self.sent.add(bytes);
        if let Some(bucket) = &mut self.bucket {
            bucket.take(bytes);
        }
    }

    /// It does its work no more: what went over it and is not answered is sent again.
    pub(crate) fn end_life(&mut self) {
        self.announced = false;
        self.ended += 1;
        self.take_held();
        self.carries.fill(false);
    }

    /// What is held does not go over it any more: it is kept in [`Flight`].
    pub(crate) fn take_held(&mut self) -> VecDeque<Identity> {
        self.held.clear();
        std::mem::take(&mut self.held_of)
    }

    /// It is connected.
    pub(crate) fn connected(&mut self, conn: ConnId) {
        self.conn = Some(conn);
        self.frames = 0;
    }

    /// Its life, of which line `at` of its core it is, and the number of the frame that was sent last.
    pub(crate) fn over(&self, at: usize) -> Over {
        Over { life: Life { line: at as u8, ended: self.ended }, number: self.frames }
    }

    /// Whether frames wait to go over it.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets go what there is room for by now, in whole frames.
    pub(crate) fn release(&mut self, cx: &mut Cx, at: usize, flight: &mut Flight) {
        let (now_ns, Some(conn)) = (cx.now_ns(), self.conn) else { return };
        let (mut released, waiting) = (0, cx.waiting_bytes(conn));
        while released < self.held.len() && waiting + released <= self.full_bytes && self.may(now_ns) {
            let rest = &self.held[released..];
            let whole = frame::decode(rest, frame::BODY_LEN_MAX).ok().flatten();
            let len = whole.map_or(rest.len(), |frame| frame.bytes.len());
            released += len;
            self.count_sent(1, len);
            if let Some(identity) = self.held_of.pop_front() {
                flight.went_out(identity, self.over(at));
            }
        }
        if released > 0 {
            cx.send(conn, |out| out.extend_from_slice(&self.held[..released]));
            self.held.drain(..released);
        }
    }
}

/// A core and how it is reached.
pub(crate) struct Upstream {
    pub(crate) link: Link,
    pub(crate) wires: Vec<Wire>,
    pub(crate) duty: Duty,
    pub(crate) flight: Flight,
    /// Whether it has what was had of its reports before.
    pub(crate) watch: Watch,
    /// The busiest second of both lines together, bytes: sent, and received.
    pub(crate) peak: [u64; 2],
}

impl Upstream {
    pub(crate) fn can(&self) -> [bool; LINES_MAX] {
        std::array::from_fn(|at| self.wires.get(at).is_some_and(Wire::can))
    }

    pub(crate) fn works(&self) -> [bool; LINES_MAX] {
        std::array::from_fn(|at| self.wires.get(at).is_some_and(Wire::works))
    }

    /// Gives a request to the line that its account's go over.
    #[inline]
    fn forward(
        &mut self,
        cx: &mut Cx,
        identity: Identity,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<usize, Refusal> {
        let line_down = self.link.core().line_down();
        if self.flight.is_full() {
            return Err(Refusal::TooManyUnderWay);
        }
        if self.flight.holds(identity) {
            return Err(Refusal::Duplicate);
        }
        let under_way = self.flight.of_account(identity.account);
        let at = self.duty.line_for(identity.account, under_way, self.works()).ok_or(line_down)?;
        let (wire, now_ns) = (&mut self.wires[at], cx.now_ns());
        let (life, flight) = (wire.over(at).life, &mut self.flight);
        let taken = wire.put(cx, identity, write, |frame, number| {
            flight.sent(identity, Over { life, number }, now_ns, frame);
        });
        if taken { Ok(at) } else { Err(line_down) }
    }
}

/// The lines, by core.
pub(crate) struct Lines {
    pub(crate) by_core: [Option<Upstream>; 2],
    /// Bytes waiting for a line from which on clients wait.
    full_bytes: usize,
    /// A line is that full now.
    full: bool,
    /// Clients are not read from, since then.
    pub(crate) paused_since_ns: Option<u64>,
    resumed_ns: u64,
}

/// After a pause clients' own heartbeats are still on their way to being read.
const RESUME_GRACE_NS: u64 = 1_000_000_000;

impl Lines {
    pub(crate) fn new(by_core: [Option<Upstream>; 2], out_bytes_max: usize) -> Self {
        Self { by_core, full_bytes: out_bytes_max / 2, full: false, paused_since_ns: None, resumed_ns: 0 }
    }

    /// All lanes, and the next number of each.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.by_core.iter().flatten().flat_map(|upstream| upstream.link.lanes())
    }

    /// All lanes, and the flow that the reports of each are of.
    pub(crate) fn flows(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let links = self.by_core.iter().flatten().map(|upstream| &upstream.link);
        links.flat_map(|link| link.lanes().map(|(lane, _)| (lane, link.flow(lane))))
    }

    /// The flow that a lane's reports are of; 0 before the first one.
    #[inline]
    pub(crate) fn flow(&self, lane: u16) -> u64 {
        self.by_core
            .iter()
            .flatten()
            .map(|upstream| upstream.link.flow(lane))
            .find(|flow| *flow != 0)
            .unwrap_or(0)
    }

    /// Reports of today up to there were had, which was known when the gateway started or was learnt later.
    pub(crate) fn expect(&mut self, had: Had, at_start: bool) {
        self.by_core.iter_mut().flatten().for_each(|upstream| upstream.link.expect(had, at_start));
    }

    /// Gives a request to a line of its core; `write` appends its frame.
    ///
    /// # Errors
    /// No line takes it, as many as may be are under way, or this very one is.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        cx: &mut Cx,
        core: Core,
        identity: Identity,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let upstream = self.by_core[core as usize].as_mut().ok_or(core.line_down())?;
        let at = upstream.forward(cx, identity, write)?;
        self.full |= upstream.wires[at].waiting_bytes(cx) > self.full_bytes;
        Ok(())
    }

    pub(crate) fn paused(&self) -> bool {
        self.paused_since_ns.is_some()
    }

    /// Whether what clients sent may still be unread because they had to wait.
    pub(crate) fn clients_excused(&self, now_ns: u64) -> bool {
        self.paused() || now_ns < self.resumed_ns.saturating_add(RESUME_GRACE_NS) && self.resumed_ns > 0
    }

    pub(crate) fn upstream(&mut self, core: Core) -> Option<&mut Upstream> {
        self.by_core[core as usize].as_mut()
    }

    pub(crate) fn wire(&mut self, core: Core, at: usize) -> Option<&mut Wire> {
        self.upstream(core)?.wires.get_mut(at)
    }

    /// All lines that there are.
    pub(crate) fn each() -> impl Iterator<Item = (Core, usize)> {
        Core::ALL.into_iter().flat_map(|core| (0..LINES_MAX).map(move |at| (core, at)))
    }
}

impl Gateway {
    /// After a request: if a line is full, no client is read from until all of it is written.
    #[inline]
    pub(crate) fn throttle(&mut self, cx: &mut Cx) {
        if self.lines.full && !self.lines.paused() {
            self.lines.paused_since_ns = Some(cx.now_ns());
            self.metrics.pauses.inc();
            self.pause_clients(cx, true);
        }
    }

    fn pause_clients(&mut self, cx: &mut Cx, paused: bool) {
        for index in 0..self.peers.len() {
            if let Some((id, _)) = self.peers.client_at(index) {
                cx.pause_reading(id, paused);
            }
        }
        self.fix_pause(cx, paused);
    }

    /// A line that was full is empty, or gone.
    pub(crate) fn resume(&mut self, cx: &mut Cx) {
        let full = self.lines.full_bytes;
        let mut wires = self.lines.by_core.iter().flatten().flat_map(|upstream| &upstream.wires);
        if !self.lines.paused() || wires.any(|wire| wire.waiting_bytes(cx) > full) {
            return;
        }
        self.lines.full = false;
        self.lines.paused_since_ns = None;
        self.lines.resumed_ns = cx.now_ns();
        self.pause_clients(cx, false);
    }

    /// Sends what was gathered in `out` over a line.
    pub(crate) fn flush_line(&mut self, cx: &mut Cx, core: Core, at: usize) {
        let bytes = self.out.len();
        let Some(wire) = self.lines.wire(core, at) else { return };
        let mut rest = self.out.as_slice();
        while let Ok(Some(frame)) = frame::decode(rest, frame::BODY_LEN_MAX) {
            rest = &rest[frame.bytes.len()..];
            wire.frames += 1;
        }
        wire.count_sent(0, bytes);
        if let Some(conn) = wire.conn {
            self.flush(cx, conn);
        }
        self.out.clear();
    }

    /// What a core has sent over a line.
    pub(crate) fn line_data(
        &mut self,
        cx: &mut Cx,
        (core, at): (Core, usize),
        id: ConnId,
        data: &[u8],
    ) -> Result<usize, Reason> {
        let (now_ns, wall_ns) = (cx.now_ns(), cx.wall_ns());
        let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return Ok(data.len()) };
        let Some(wire) = upstream.wires.get_mut(at).filter(|wire| wire.conn == Some(id)) else {
            return Ok(data.len());
        };
        let answers = Answers::new(&self.tracer, (now_ns, cx.wall_ns()));
        let mut intake = Intake {
            writer: cx.writer(LOG),
            accounts: &self.desk.accounts,
            orders: &mut self.desk.orders,
            checks: &mut self.desk.checks,
            flight: &mut upstream.flight,
            over: wire.over(at),
            outage: &mut wire.outage,
            counts: &mut self.counts,
            refused: &mut self.refused,
            answers,
            settles_ns: now_ns + self.settings.patience.settle_ns,
            wall_ns,
        };
        let taken = upstream.link.receive(&mut wire.line, data, now_ns, &mut intake, &mut self.out);
        let news = wire.line.ready() && !wire.announced;
        match taken {
            Ok(consumed) => wire.received.add(consumed),
            Err(LinkError::NotSynchronized) => upstream.watch.refused(now_ns),
            Err(_) => {}
        }
        if self.desk.behind[core as usize] {
            self.look_back(cx, core);
        }
        self.flush_line(cx, core, at);
        self.tell_refused(cx);
        self.leave_what_turned_up();
        match taken {
            Ok(consumed) => {
                if news && !self.desk.closing {
                    self.line_announced(cx, core, at);
                }
                Ok(consumed)
            }
            Err(error) => {
                self.line_closed(cx, (core, at), id, error.text());
                Err(Reason::App(error.text()))
            }
        }
    }
}
