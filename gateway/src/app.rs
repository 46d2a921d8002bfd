//! Hot path: the gateway on its shard: whom an event is for.
//!
//! An order's walk: `on_data` → [`Gateway::client_data`] → [`crate::desk::Desk::new_order`] →
//! [`crate::upstream::Lines::forward`]; a report's: `on_data` → [`Gateway::line_data`] → [`crate::link::Link::receive`]
//! → the log, from where the shard writes it to whom it belongs. One thread, no queue between the two sockets.
//!
//! Rules: no allocation, no lock and no log line for a request or a report.

use crate::accounts::CompNo;
use crate::audit::Audit;
use crate::counts::Counts;
use crate::desk::Desk;
use crate::disconnect::Left;
use crate::fix;
use crate::metrics::{Exporter, Metrics};
use crate::past::{self, Had};
use crate::refused::Refused;
use crate::route::Core;
use crate::session::{Client, Following};
use crate::status::{self, LineStatus, SessionStatus};
use crate::takeover::{Patience, line_of};
use crate::upstream::Lines;
use flow::{Selection, Seq};
use service::traces::Tracer;
use service::{Phase, Shutdown};
use shard::{App, ConnId, Cx, Handle, LogId, Opened, Origin, Overrun, Reason};
use std::io;
use std::net::SocketAddr;
use tokio::sync::oneshot;
use wire::szse::Text;
use wire::szse::session::{Limits, Session};

/// The log of reports.
pub(crate) const LOG: LogId = LogId(0);

/// What another thread has the hot one do.
type Errand = Box<dyn FnOnce(&mut Gateway, &mut Cx) + Send>;

/// What other threads may ask.
pub(crate) enum Command {
    /// Clients' sessions, at most so many.
    Sessions(usize, oneshot::Sender<Vec<SessionStatus>>),
    /// The lines to the cores.
    Lines(oneshot::Sender<Vec<LineStatus>>),
    /// Anything else that an operator asks, between two turns.
    Do(Errand),
}

/// Who is at the other end of a connection.
pub(crate) enum Peer {
    Client(Box<Client>),
    /// A client of the FIX port: what is known of it is there.
    Fix,
    Line(Core, usize),
}

/// All connections, by their place in the shard.
#[derive(Default)]
pub(crate) struct Peers(Vec<Option<(ConnId, Peer)>>);

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The client of this connection.
    #[inline]
    pub(crate) fn client(&mut self, id: ConnId) -> Option<&mut Client> {
        self.client_at(id.index()).filter(|(other, _)| *other == id).map(|(_, client)| client)
    }

    /// The client of this connection and who it is, once it is logged on.
    #[inline]
    pub(crate) fn logged_on(&mut self, id: ConnId) -> Option<(&mut Client, CompNo)> {
        let client = self.client(id)?;
        client.comp.map(|comp_no| (client, comp_no))
    }

    /// The client at a place.
    #[inline]
    pub(crate) fn client_at(&mut self, index: usize) -> Option<(ConnId, &mut Client)> {
        match self.0.get_mut(index) {
            Some(Some((id, Peer::Client(client)))) => Some((*id, client)),
            _ => None,
        }
    }

    /// Where the client of this connection comes from.
    pub(crate) fn address_of(&self, id: ConnId) -> Option<SocketAddr> {
        match self.0.get(id.index()) {
            Some(Some((other, Peer::Client(client)))) if *other == id => Some(client.peer),
            _ => None,
        }
    }

    /// The line that this connection is.
    #[inline]
    fn line(&self, id: ConnId) -> Option<(Core, usize)> {
        match self.0.get(id.index()) {
            Some(Some((other, Peer::Line(core, at)))) if *other == id => Some((*core, *at)),
            _ => None,
        }
    }

    /// Whether a client of the FIX port is at the other end.
    #[inline]
    fn is_fix(&self, id: ConnId) -> bool {
        matches!(self.0.get(id.index()), Some(Some((other, Peer::Fix))) if *other == id)
    }

    fn insert(&mut self, id: ConnId, peer: Peer) {
        if id.index() >= self.0.len() {
            self.0.resize_with(id.index() + 1, || None);
        }
        self.0[id.index()] = Some((id, peer));
    }

    fn remove(&mut self, id: ConnId) -> Option<Peer> {
        let place = self.0.get_mut(id.index())?;
        if place.as_ref().is_some_and(|(other, _)| *other == id) {
            place.take().map(|(_, peer)| peer)
        } else {
            None
        }
    }

    fn has_clients(&self) -> bool {
        self.0.iter().flatten().any(|(_, peer)| matches!(peer, Peer::Client(_) | Peer::Fix))
    }
}

/// What does not change while the gateway runs.
pub(crate) struct Settings {
    pub(crate) comp_id: Text<20>,
    pub(crate) session: Limits,
    pub(crate) synchronization_timeout_ns: u64,
    pub(crate) stall_timeout_ns: u64,
    /// With requests of a line that has died.
    pub(crate) patience: Patience,
    /// Bytes that may wait for a connection besides the log.
    pub(crate) out_bytes_max: usize,
}

/// A gateway on its thread.
pub(crate) struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) desk: Desk,
    pub(crate) lines: Lines,
    pub(crate) peers: Peers,
    pub(crate) fix: fix::Port,
    pub(crate) audit: Option<Audit>,
    /// What sessions that are gone have left open.
    pub(crate) left: Left,
    /// The session of each CompID.
    pub(crate) by_comp: Vec<Option<ConnId>>,
    /// Clients that are ahead of the gateway in their reports.
    pub(crate) waiting: Vec<ConnId>,
    /// What clients were told last: whether a core takes orders.
    pub(crate) told_open: bool,
    /// Answers to the connection whose bytes are being taken.
    pub(crate) out: Vec<u8>,
    /// What ends without a report; empty between calls.
    pub(crate) refused: Vec<Refused>,
    pub(crate) counts: Counts,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    pub(crate) exporter: Exporter,
    pub(crate) shutdown: Shutdown,
    pub(crate) handle: Handle<Command>,
}

impl Gateway {
    /// Sends what was gathered in `out`.
    #[inline]
    pub(crate) fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.extend_from_slice(&self.out));
            self.out.clear();
        }
    }

    /// What the audit lets happen until the next tick.
    fn follow_audit(&mut self, cx: &Cx) {
        let Some(audit) = &self.audit else { return };
        let reports_end = cx.log(LOG).end();
        self.metrics.audit_lag.set(audit.lag_records(reports_end) as i64);
        let health = audit.health(reports_end);
        if std::mem::replace(&mut self.desk.audit, health) != health {
            tracing::warn!(?health, "audit");
        }
    }

    /// What the stores of the audit and of FIX sessions say was had of today's reports.
    pub(crate) fn expect_at_start(&mut self, of_audit: Vec<Had>) {
        let clock = transport::Clock::start();
        let today = past::today(clock.wall_ns(clock.now_ns()));
        let of_sessions = self.fix.had(today);
        of_audit.into_iter().chain(of_sessions).for_each(|had| self.lines.expect(had, true));
        for core in Core::ALL {
            let behind = self.lines.upstream(core).and_then(|upstream| upstream.link.behind());
            self.desk.behind[core as usize] = behind.is_some();
        }
    }

    /// Follows the phase of the server's life.
    fn follow_phase(&mut self, cx: &mut Cx) {
        match self.shutdown.phase() {
            Phase::Running => {}
            Phase::Draining if !self.desk.closing => self.handle.drain(),
            Phase::Draining => {
                if !self.peers.has_clients() && self.left.is_done() && self.log_out_lines(cx) {
                    cx.stop();
                }
            }
            Phase::Stopping => {
                self.refuse_held(cx);
                cx.stop();
            }
        }
    }
}

impl App for Gateway {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        Core::ALL.into_iter().for_each(|core| self.show_load(core));
        self.line_timeouts(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        match opened.origin {
            Origin::Accepted(fix::PORT) => {
                self.peers.insert(id, Peer::Fix);
                self.fix_opened(cx, id, opened);
            }
            Origin::Accepted(_) => {
                let now_ns = cx.now_ns();
                let client = Client {
                    session: Session::acceptor(self.settings.session, now_ns),
                    peer: opened.peer,
                    since_ns: now_ns,
                    comp: None,
                    following: Following::NotYet,
                    requests: 0,
                    refused: 0,
                };
                self.peers.insert(id, Peer::Client(Box::new(client)));
                cx.pause_reading(id, self.lines.paused());
            }
            Origin::Dialled(tag) => {
                let (core, at) = line_of(tag);
                self.peers.insert(id, Peer::Line(core, at));
                self.line_opened(cx, (core, at), id);
            }
        }
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, tag: u32, error: io::Error) {
        self.line_not_made(cx, line_of(tag), &error);
    }

    #[inline]
    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        match self.peers.line(id) {
            None if self.peers.is_fix(id) => self.fix_data(cx, id, data),
            None => self.client_data(cx, id, data),
            Some(line) => self.line_data(cx, line, id, data),
        }
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        match self.peers.remove(id) {
            Some(Peer::Client(client)) => self.client_closed(cx, id, &client, reason),
            Some(Peer::Fix) => self.fix_closed(cx, id, reason),
            Some(Peer::Line(core, at)) => self.line_closed(cx, (core, at), id, status::reason(reason)),
            None => {}
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.follow_phase(cx);
        self.line_timeouts(cx);
        let excused = self.lines.clients_excused(cx.now_ns());
        self.fix_timeouts(cx, excused);
        if excused {
            self.client_heartbeats(cx);
        } else {
            self.client_timeouts(cx);
        }
        self.follow_waiting(cx);
        self.follow_grace(cx);
        self.follow_audit(cx);
        self.exporter.export(cx.stats(), &self.counts, &self.desk.orders);
        self.exporter.export_checks(&self.desk.checks, &self.desk.accounts);
        self.exporter.export_fix(&self.fix.counts, self.fix.orders_forgotten());
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Sessions(count_max, reply) => {
                status::answer(reply, self.session_statuses(cx, count_max));
            }
            Command::Do(what) => what(self, cx),
            Command::Lines(reply) => status::answer(reply, self.line_statuses(cx)),
        }
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        match self.peers.line(id) {
            None if self.peers.is_fix(id) => self.fix_drained(cx, id),
            None => self.client_drained(cx, id),
            Some(_) => self.release_held(cx),
        }
    }

    fn on_overrun(&mut self, cx: &mut Cx, id: ConnId, _log: LogId, _at: Seq, _was: Selection) -> Overrun {
        self.client_overrun(cx, id);
        Overrun::Disconnect
    }

    fn on_drain(&mut self, cx: &mut Cx) {
        self.desk.closing = true;
        self.log_out_clients(cx);
        self.fix_log_out(cx);
    }

    #[inline]
    fn on_turn_end(&mut self, cx: &mut Cx) {
        self.cancel_left_behind(cx);
        self.fix_turn_end(cx);
        if let Some(audit) = &self.audit {
            audit.publish();
        }
    }
}
