//! Hot path: the shard's application: trading ports, core, publisher on one thread.
//!
//! An order's way: [`App::on_data`] -> `Ports::on_data` -> the turn's [`Intake`] -> [`App::on_turn_end`]: the journal,
//! then `Core::new_order` -> the logs of reports and market data, which the shard writes to whoever follows them at the
//! end of the same turn.

use crate::core::{Core, DeskNo, Input, Now, STEPS_PER_TURN};
use crate::intake::Intake;
use crate::journal::Journal;
use crate::logs::{Logs, ToLogs};
use crate::metrics::Metrics;
use crate::publisher::Publisher;
use crate::traces::Matching;
use core_port::session::PortState;
use core_port::{Ports, Request, Unavailable};
use service::traces::Tracer;
use service::{Phase, Shutdown};
use shard::{App, ConnId, Cx, Handle, Opened, Origin, Reason};
use std::io;

/// A port, counted among those of its kind; of trading ports each line is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortNo {
    Trading(usize),
    MarketData(usize),
}

/// What may be asked of the matcher's thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Lets a port fail, or mends it.
    Port(PortNo, PortState),
}

const NOT_JOURNALLED: Unavailable = Unavailable("journal cannot be written");

/// Ticks between two looks at the metrics, and at the phase of the server's life.
const METRICS_TICKS: u32 = 50;

pub(crate) struct Matcher {
    pub(crate) core: Core,
    pub(crate) journal: Option<Journal>,
    pub(crate) intake: Intake,
    pub(crate) trading: Ports,
    /// By trading port.
    pub(crate) desks: Vec<DeskNo>,
    pub(crate) publisher: Publisher,
    pub(crate) logs: Logs,
    /// By tag of the listener.
    pub(crate) ports: Vec<PortNo>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    pub(crate) shutdown: Shutdown,
    pub(crate) handle: Handle<Command>,
    pub(crate) ticks: u32,
    pub(crate) drained: bool,
}

impl App for Matcher {
    type Command = Command;

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        match self.ports[tag as usize] {
            PortNo::Trading(port) => self.trading.on_open(cx, id, port),
            PortNo::MarketData(port) => self.publisher.on_open(cx, id, port),
        }
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: io::Error) {
        unreachable!("a matcher dials nobody");
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if self.trading.owns(id) {
            self.meet_edge(cx);
            let (desks, intake) = (&self.desks, &mut self.intake);
            let now = self.core.not_before(Now::at(cx.wall_ns().unsigned_abs()));
            let outcome = self.trading.on_data(cx, id, data, |_, port, request, sender| {
                intake.push(now, Input::new(desks[port], request), sender);
                Ok(())
            });
            if self.intake.is_full() {
                self.take_in(cx);
            }
            outcome
        } else {
            self.publisher.on_data(cx, id, data)
        }
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, _reason: Reason) {
        self.trading.on_close(id);
        self.publisher.on_close(id);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        // What came before an edge of the schedule is on its earlier side.
        self.on_turn_end(cx);
        let now = Now::at(cx.wall_ns().unsigned_abs());
        self.core.tick(now, &mut ToLogs { cx, logs: self.logs });
        self.trading.on_tick(cx);
        self.publisher.on_tick(cx);
        self.follow_phase(cx);
        self.ticks += 1;
        if self.ticks.is_multiple_of(METRICS_TICKS) {
            self.bring_metrics(cx);
        }
    }

    fn on_turn_end(&mut self, cx: &mut Cx) {
        // Who comes behind an auction that has ended waits in the intake until all of it has traded.
        if self.core.is_passing() {
            let (mut steps, mut out) = (STEPS_PER_TURN, ToLogs { cx, logs: self.logs });
            if !self.core.go_on(&mut steps, &mut out) {
                return cx.wake_at(cx.now_ns());
            }
        }
        if !self.intake.bytes().is_empty() {
            self.take_in(cx);
        }
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        self.publisher.on_drained(cx, id);
    }

    fn on_drain(&mut self, cx: &mut Cx) {
        self.trading.on_drain(cx);
        self.publisher.on_drain(cx);
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Port(PortNo::Trading(port), state) => self.trading.set_port(cx, port, state),
            Command::Port(PortNo::MarketData(port), state) => self.publisher.set_port(cx, port, state),
        }
    }
}

impl Matcher {
    /// Where an edge of the schedule has been come to, what came before it goes to the core, and then the edge is begun to be passed.
    #[inline]
    fn meet_edge(&mut self, cx: &mut Cx) {
        let now = Now::at(cx.wall_ns().unsigned_abs());
        if !self.core.is_passing() && self.core.is_due(now) {
            if !self.intake.bytes().is_empty() {
                self.take_in(cx);
            }
            self.core.pass_some(now, 0, &mut ToLogs { cx, logs: self.logs });
        }
    }

    /// What came in goes to the journal, and then to the core.
    fn take_in(&mut self, cx: &mut Cx) {
        if self.journal.as_mut().is_some_and(|journal| journal.append(self.intake.bytes()).is_err()) {
            return self.refuse_all(cx);
        }
        let clock = *cx.clock();
        let journalled_ns =
            (self.tracer.is_on() && self.journal.is_some()).then(|| clock.wall_ns(clock.now_ns()));
        let mut out = ToLogs { cx, logs: self.logs };
        for (now, input, _) in self.intake.iter() {
            let traced = Matching::begin(&self.tracer, &self.core, (now, journalled_ns), input);
            self.core.apply(now, input, &mut out);
            if let Some(traced) = traced {
                traced.end(&self.core, &clock);
            }
        }
        self.intake.clear();
    }

    /// The journal took nothing of what came in: the core sees none of it.
    #[cold]
    fn refuse_all(&mut self, cx: &mut Cx) {
        for (_, input, sender) in self.intake.iter() {
            // To refuse what a gateway sends again would deny the first, which is in the core: its reports are the answer to both.
            if let Request::Order(order) = input.request()
                && self.core.knows(order)
            {
                self.metrics.repeats.inc();
                continue;
            }
            self.trading.refuse(cx, input.request(), sender, NOT_JOURNALLED);
        }
        self.intake.clear();
    }

    /// Ends as the server is told to: drains once, stops when nobody is left or when there is no more time.
    fn follow_phase(&mut self, cx: &mut Cx) {
        let phase = self.shutdown.phase();
        if phase >= Phase::Draining && !self.drained {
            self.drained = true;
            self.handle.drain();
        }
        let alone = self.drained && cx.stats().connections == 0;
        if alone || phase == Phase::Stopping {
            self.bring_metrics(cx);
            cx.stop();
        }
    }

    fn bring_metrics(&self, cx: &Cx) {
        self.metrics.core(&self.core);
        if let Some(journal) = &self.journal {
            self.metrics.journal(journal.counts());
        }
        self.metrics.sessions("trading", self.trading.counts());
        self.metrics.publisher(&self.publisher.counts());
        self.metrics.shard(&cx.stats());
    }
}
