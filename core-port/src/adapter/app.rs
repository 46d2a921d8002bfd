//! Hot path: the shard's application: gateways on one side, the counter on the other, the journal between.
//!
//! An order's way: [`App::on_data`] -> `Ports::on_data` -> [`Inputs::take`] -> [`App::on_turn_end`]: the journal, then the desk,
//! then the counter's connection. An event's way: [`App::on_data`] -> [`Counter::receive`] -> the journal -> the desk -> the
//! log of reports, which the shard writes to the gateways at the end of the same turn.

use super::counter::{Counter, CounterError, Event, Heard};
use super::desk::{Desk, Open, Taken};
use super::input::Input;
use super::inputs::{Inputs, Numbered};
use super::metrics::{Counts, Metrics};
use crate::ports::{Ports, Request, Unavailable};
use flow::Tag;
use service::outage::Outage;
use service::{Phase, Shutdown};
use shard::{ConnId, Cx, Handle, LogId, Opened, Origin, Reason};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use transport::Connector;
use wire::szse::Timestamp;
use wire::szse::code::{CxlRejReason, OrdRejReason};

pub(super) const REPORTS: LogId = LogId(0);
/// Ticks between two looks at the metrics.
const METRICS_TICKS: u32 = 50;

const NOT_REACHABLE: Unavailable = Unavailable("counter not reachable");
const NOT_WRITTEN: Unavailable = Unavailable("journal cannot be written");
const TOO_MANY_UNDER_WAY: Unavailable = Unavailable("too many requests under way");
const DAY_FULL: Unavailable = Unavailable("too many requests today");
const CLOSING: Unavailable = Unavailable("closing");

/// How a counter is dialled, and what it is granted; nanoseconds.
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    pub(super) connector: Connector,
    pub(super) connect_timeout: Duration,
    pub(super) open_timeout_ns: u64,
    pub(super) redial_ns: u64,
    pub(super) send_within_ns: u64,
}

/// The connection to the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// None; when it is dialled.
    Down { dial_ns: u64 },
    /// On its way.
    Dialling,
    /// There; the counter has to say what it has by then.
    Opening { id: ConnId, deadline_ns: u64 },
    /// Requests may be sent.
    Open(ConnId),
}

impl Link {
    fn id(self) -> Option<ConnId> {
        match self {
            Self::Opening { id, .. } | Self::Open(id) => Some(id),
            Self::Down { .. } | Self::Dialling => None,
        }
    }
}

pub(super) struct App<C> {
    pub(super) ports: Ports,
    pub(super) counter: C,
    pub(super) link: Peer,
    pub(super) desk: Desk,
    pub(super) inputs: Inputs,
    pub(super) bounds: Bounds,
    pub(super) counts: Counts,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    pub(super) handle: Handle<()>,
    pub(super) life: Life,
}

/// The counter's end.
pub(super) struct Peer {
    dial: Dial,
    link: Link,
    /// The next event that is not taken yet.
    wanted: u64,
    /// The highest request that the counter has told of.
    told: u64,
    /// Tries since it was open last.
    outage: Outage,
    out: Vec<u8>,
}

/// What is granted to gateways.
pub(super) struct Bounds {
    pub(super) inputs_max: u64,
    pub(super) in_flight_max: usize,
}

/// How far the adapter's own life is.
#[derive(Default)]
pub(super) struct Life {
    ticks: u32,
    draining: bool,
    /// What a turn took, kept for its room.
    done: Vec<Numbered>,
}

impl Peer {
    pub(super) fn new(dial: Dial, wanted: u64, told: u64) -> Self {
        let outage = Outage::default();
        Self { dial, link: Link::Down { dial_ns: 0 }, wanted, told, outage, out: Vec::new() }
    }

    fn flush(&mut self, cx: &mut Cx) {
        if let Some(id) = self.link.id().filter(|_| !self.out.is_empty()) {
            cx.send(id, |to| to.extend_from_slice(&self.out));
        }
        self.out.clear();
    }
}

impl<C: Counter> shard::App for App<C> {
    type Command = ();

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        match opened.origin {
            Origin::Accepted(port) => self.ports.on_open(cx, id, port as usize),
            Origin::Dialled(_) => {
                let deadline_ns = cx.now_ns() + self.link.dial.open_timeout_ns;
                self.link.link = Link::Opening { id, deadline_ns };
                self.counter.connected(cx.now_ns(), self.link.wanted, &mut self.link.out);
                self.link.flush(cx);
            }
        }
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, _tag: u32, error: io::Error) {
        self.lost(cx, ("dial failed", &error.to_string()));
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if self.ports.owns(id) {
            return self.hear_gateway(cx, id, data);
        }
        if self.link.link.id() != Some(id) {
            return Ok(data.len());
        }
        let heard = self.hear_counter(cx, data);
        self.link.flush(cx);
        heard.map_err(|error| {
            self.lost(cx, (error.0, error.0));
            Reason::App(error.0)
        })
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        if self.link.link.id() == Some(id) {
            let why = if let Reason::App(why) | Reason::Tls(why) = reason { why } else { "closed" };
            self.lost(cx, (why, why));
        }
        self.ports.on_close(id);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.ports.on_tick(cx);
        self.take_in(cx);
        self.tend_link(cx);
        self.follow_phase(cx);
        self.life.ticks += 1;
        if self.life.ticks.is_multiple_of(METRICS_TICKS) {
            self.bring_metrics(cx);
        }
    }

    fn on_turn_end(&mut self, cx: &mut Cx) {
        // What a failed write left waits for the tick.
        if !self.inputs.failing() {
            self.take_in(cx);
        }
    }

    fn on_command(&mut self, _cx: &mut Cx, (): ()) {}

    fn on_drain(&mut self, cx: &mut Cx) {
        self.ports.on_drain(cx);
    }
}

impl<C: Counter> App<C> {
    fn hear_gateway(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let Self { ports, link, inputs, desk, bounds, life, counts, .. } = self;
        ports.on_data(cx, id, data, |cx, _, request, _| {
            let input = match request {
                Request::Order(order) => Input::Order(*order),
                Request::Cancel(cancel) => Input::Cancel(*cancel),
            };
            let can = if life.draining {
                Err(CLOSING)
            } else if !matches!(link.link, Link::Open(_)) {
                Err(NOT_REACHABLE)
            } else if inputs.failing() {
                Err(NOT_WRITTEN)
            } else if inputs.next_number() > bounds.inputs_max {
                Err(DAY_FULL)
            } else if desk.open_len() + inputs.len() >= bounds.in_flight_max {
                Err(TOO_MANY_UNDER_WAY)
            } else {
                inputs.take(wall_ns(cx), input).map_err(|_| TOO_MANY_UNDER_WAY)
            };
            match can {
                Ok(()) => counts.requests += 1,
                // To refuse what a gateway sends again would deny the first, which lives: its answer is the answer to both.
                Err(_) if desk.knows(&input) || inputs.hold(&input) => counts.repeats += 1,
                Err(why) => return Err(why),
            }
            Ok(())
        })
    }

    /// Takes the counter's messages; returns the bytes consumed.
    fn hear_counter(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, CounterError> {
        let now_ns = cx.now_ns();
        let mut consumed = 0;
        while let Some((heard, len)) = self.counter.receive(now_ns, &data[consumed..], &mut self.link.out)? {
            consumed += len;
            match heard {
                Heard::Alive => {}
                Heard::Open { taken } => self.opened(cx, taken)?,
                Heard::Event(number, event) => self.hear_event(cx, number, Some(event))?,
                Heard::Foreign(number) => self.hear_event(cx, number, None)?,
            }
            if consumed == data.len() {
                break;
            }
        }
        Ok(consumed)
    }

    fn hear_event(&mut self, cx: &Cx, number: u64, event: Option<Event>) -> Result<(), CounterError> {
        let wanted = self.link.wanted;
        if number == 0 || number > wanted {
            return Err(CounterError("gap in the events"));
        }
        if number < wanted {
            self.counts.events_repeated += 1;
            return Ok(());
        }
        if let Some(event) = event {
            // It is not lost: it comes again in the next session.
            let taken = self.inputs.take(wall_ns(cx), Input::Event(number, event));
            taken.map_err(|_| CounterError("journal buffer full"))?;
            self.counts.events += 1;
        }
        self.link.wanted += 1;
        Ok(())
    }

    /// The counter has said which requests it has: those that it has not are sent, in order.
    #[cold]
    fn opened(&mut self, cx: &mut Cx, taken: u64) -> Result<(), CounterError> {
        let Link::Opening { id, .. } = self.link.link else {
            return Err(CounterError("opened twice"));
        };
        if taken >= self.inputs.next_number() {
            tracing::error!(
                taken,
                next = self.inputs.next_number(),
                "the counter has requests of another day"
            );
            return Err(CounterError("requests of another day"));
        }
        if taken < self.link.told {
            tracing::error!(
                taken,
                told = self.link.told,
                "the counter has forgotten requests that it told of"
            );
            return Err(CounterError("requests forgotten"));
        }
        self.link.link = Link::Open(id);
        self.link.outage.over();
        self.metrics.counter_up.set(1);
        let open: Vec<u64> = self.desk.open_after(taken).collect();
        self.counts.resent += open.len() as u64;
        tracing::info!(taken, wanted = self.link.wanted, sent = open.len(), "counter open");
        let wall_ns = wall_ns(cx);
        for number in open {
            self.send(wall_ns, number);
        }
        Ok(())
    }

    /// Sends a request to the counter, if its time has not passed; its bytes go out with [`Peer::flush`].
    #[inline]
    fn send(&mut self, wall_ns: u64, number: u64) {
        let Some((open, unix_ns)) = self.desk.open(number) else { return };
        let late = wall_ns.saturating_sub(unix_ns) > self.link.dial.send_within_ns;
        let out = &mut self.link.out;
        let own = match open {
            Open::Order(_) if late => Some(Event::Rejected { order: number, reason: OrdRejReason::OTHER }),
            Open::Order(order) => self
                .counter
                .new_order(number, order, out)
                .err()
                .map(|reason| Event::Rejected { order: number, reason }),
            Open::Cancel(cancel, order, true) => {
                self.counter.cancel(number, order, cancel, out);
                None
            }
            Open::Cancel(_, _, false) => {
                Some(Event::CancelRejected { cancel: number, reason: CxlRejReason::TOO_LATE })
            }
        };
        let Some(own) = own else { return };
        self.counts.expired += u64::from(late);
        // Written down first, as everything that gateways are told. What does not fit is looked at again when the counter
        // comes back.
        if self.inputs.take(wall_ns, Input::Event(0, own)).is_err() {
            tracing::error!(number, "journal buffer full: a request waits for the counter's next session");
        }
    }

    /// What came in goes to the journal, then to the desk, then to the counter.
    #[inline]
    fn take_in(&mut self, cx: &mut Cx) {
        let mut done = std::mem::take(&mut self.life.done);
        while self.inputs.len() > 0 {
            let was_failing = self.inputs.failing();
            if let Err(error) = self.inputs.write(&mut done) {
                self.not_written(cx, was_failing, &error);
                break;
            }
            if was_failing {
                tracing::info!("journal is written again");
            }
            for numbered in done.drain(..) {
                self.apply(cx, numbered);
            }
        }
        self.life.done = done;
        self.link.flush(cx);
    }

    #[cold]
    fn not_written(&mut self, cx: &mut Cx, was_failing: bool, error: &io::Error) {
        self.metrics.journal_errors.inc();
        if !was_failing {
            tracing::error!(%error, "journal cannot be written: requests are refused until it can");
        }
        // Its events would pile up: it keeps them until it is dialled again.
        if let Some(id) = self.link.link.id() {
            cx.close(id, Reason::App(NOT_WRITTEN.0));
            self.lost(cx, (NOT_WRITTEN.0, NOT_WRITTEN.0));
        }
    }

    #[inline]
    fn apply(&mut self, cx: &mut Cx, numbered: Numbered) {
        let Numbered { number, unix_ns, input } = numbered;
        let outcome = apply(&mut self.desk, numbered, &mut |tag, frame| {
            let appended = cx.writer(REPORTS).append(tag, frame);
            appended.expect(
                "invariant: the desk numbers each lane upwards, and a segment takes its longest frame",
            );
        });
        match outcome {
            Applied::Request(Taken::ForCounter) if matches!(self.link.link, Link::Open(_)) => {
                self.send(wall_ns(cx), number);
            }
            Applied::Request(Taken::ForCounter) => {}
            Applied::Event(request) => self.link.told = self.link.told.max(request),
            Applied::Request(Taken::Answered) => self.counts.answered += 1,
            Applied::Request(Taken::Repeats) => self.counts.repeats += 1,
            Applied::Senseless => {
                self.metrics.senseless.inc();
                tracing::error!(number, unix_ns, ?input, "an event that makes no sense is passed over");
            }
        }
    }

    /// The connection to the counter is gone, or was not made: why, as a label's value and as it is told.
    #[cold]
    fn lost(&mut self, cx: &mut Cx, (label, why): (&'static str, &str)) {
        if matches!(self.link.link, Link::Down { .. }) {
            return;
        }
        let now_ns = cx.now_ns();
        let was_open = matches!(self.link.link, Link::Open(_));
        self.link.link = Link::Down { dial_ns: now_ns + self.link.dial.redial_ns };
        self.link.out.clear();
        self.metrics.counter_up.set(0);
        self.metrics.counter_ended.with_label_values(&[label]).inc();
        let open = self.desk.open_len();
        if was_open {
            tracing::warn!(why, open, "counter lost");
        } else if let Some(tries) = self.link.outage.failed(now_ns, why) {
            tracing::warn!(why, tries, open, "counter is not reached; trying again");
        }
    }

    /// Dials the counter, and has its protocol see the time.
    fn tend_link(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        let ended = match self.link.link {
            Link::Down { dial_ns } if now_ns >= dial_ns && !self.inputs.failing() => {
                self.link.link = Link::Dialling;
                let Dial { address, connector, connect_timeout, .. } = &self.link.dial;
                cx.dial(*address, connector, *connect_timeout, 0);
                return;
            }
            Link::Down { .. } | Link::Dialling => return,
            Link::Opening { deadline_ns, .. } if now_ns >= deadline_ns => Err(CounterError("did not open")),
            Link::Opening { .. } | Link::Open(_) => self.counter.on_tick(now_ns, &mut self.link.out),
        };
        self.link.flush(cx);
        if let (Err(error), Some(id)) = (ended, self.link.link.id()) {
            cx.close(id, Reason::App(error.0));
            self.lost(cx, (error.0, error.0));
        }
    }

    /// Ends as the server is told to: drains once, stops when no gateway is left or when there is no more time.
    fn follow_phase(&mut self, cx: &mut Cx) {
        let phase = self.shutdown.phase();
        if phase >= Phase::Draining && !self.life.draining {
            self.life.draining = true;
            self.handle.drain();
        }
        let counter = u64::from(self.link.link.id().is_some());
        if phase == Phase::Stopping || self.life.draining && cx.stats().connections <= counter {
            self.bring_metrics(cx);
            cx.stop();
        }
    }

    fn bring_metrics(&self, cx: &Cx) {
        self.metrics.bring(&self.counts, self.ports.counts(), self.desk.open_len(), &cx.stats());
    }
}

/// What an input did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Request(Taken),
    /// The counter told of this request; 0 for the adapter's own word.
    Event(u64),
    Senseless,
}

/// Gives an input that is written down to the desk.
#[inline]
pub(super) fn apply(desk: &mut Desk, of: Numbered, out: &mut impl FnMut(Tag, &[u8])) -> Applied {
    let time = Timestamp::from_unix_ns(of.unix_ns);
    match of.input {
        Input::Order(order) => Applied::Request(desk.order(of.number, (of.unix_ns, time), &order, out)),
        Input::Cancel(cancel) => Applied::Request(desk.cancel(of.number, (of.unix_ns, time), &cancel, out)),
        Input::Event(number, event) => {
            let request = if number == 0 { 0 } else { event.request() };
            desk.event(time, event, out).map_or(Applied::Senseless, |()| Applied::Event(request))
        }
    }
}

fn wall_ns(cx: &Cx) -> u64 {
    cx.wall_ns().max(0).cast_unsigned()
}
