//! Hot path: the client side of many sessions on one thread: dialled, logged on, kept alive.
//!
//! Quotes and orders are both made of this; what is said within a session is theirs. Rules: no allocation, no lock and
//! no log line for a message.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shard::{ConnId, Cx, Opened, Origin, Reason};
use transport::Connector;
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{Frame, Logon};

use crate::why::{LOGGED_OUT, LOGON_REFUSED, SPEAKS_TLS, Why, is_tls_alert, of_end, of_open, said};

/// Connects that are under way at a time, so that a listener's queue is not overrun.
const DIALS_MAX: usize = 64;
/// Dials of one session before it is given up.
const ATTEMPTS_MAX: u32 = 20;
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A session and what is kept for it.
pub(crate) struct Slot<S> {
    link: Link,
    attempts: u32,
    /// It ended before it was to, or never came to be.
    pub(crate) closed: bool,
    /// Why it ended, once it did.
    pub(crate) why: Option<String>,
    pub(crate) state: S,
}

enum Link {
    Waiting,
    Dialling,
    Open(ConnId, Session),
    Ended,
}

/// What is not the session's own business.
pub(crate) enum Heard<'a> {
    /// The session is open.
    LoggedOn,
    /// A message within it.
    Message(Frame<'a>),
}

/// All sessions of a thread.
pub(crate) struct Sessions<S> {
    address: SocketAddr,
    connector: Connector,
    pub(crate) slots: Vec<Slot<S>>,
    /// By [`ConnId::index`].
    places: Vec<usize>,
    dialling: usize,
    waiting: usize,
    out: Vec<u8>,
    /// Sessions that ended before they were to.
    pub(crate) closed: u64,
    why: Arc<Why>,
}

impl<S> Sessions<S> {
    /// None is dialled yet; `why` is told why one does not come to be.
    pub(crate) fn new(
        (address, connector): (SocketAddr, Connector),
        states: impl Iterator<Item = S>,
        why: Arc<Why>,
    ) -> Self {
        let slot = |state| Slot { link: Link::Waiting, attempts: 0, closed: false, why: None, state };
        let slots: Vec<Slot<S>> = states.map(slot).collect();
        let waiting = slots.len();
        Self {
            address,
            connector,
            slots,
            places: Vec::new(),
            dialling: 0,
            waiting,
            out: Vec::new(),
            closed: 0,
            why,
        }
    }

    /// Dials those that wait, as many as may be under way.
    pub(crate) fn dial(&mut self, cx: &Cx) {
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if self.waiting == 0 || self.dialling >= DIALS_MAX {
                return;
            }
            if matches!(slot.link, Link::Waiting) {
                slot.link = Link::Dialling;
                slot.attempts += 1;
                self.waiting -= 1;
                self.dialling += 1;
                cx.dial(self.address, &self.connector, DIAL_TIMEOUT, place as u32);
            }
        }
    }

    /// A dial came through: logs on.
    pub(crate) fn on_open(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        opened: Opened,
        logon: impl FnOnce(&S) -> Logon,
    ) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        let place = tag as usize;
        let slot = &mut self.slots[place];
        let logon = logon(&slot.state);
        slot.link = Link::Open(id, Session::initiator(Limits::default(), &logon, cx.now_ns(), &mut self.out));
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, usize::MAX);
        }
        self.places[id.index()] = place;
        self.dialling -= 1;
        self.flush(cx, id);
        self.dial(cx);
    }

    /// A dial came to nothing: another one follows at a tick, up to a bound.
    pub(crate) fn on_dial_failed(&mut self, tag: u32, error: &io::Error) {
        self.dialling -= 1;
        self.why.tell(error.to_string());
        let slot = &mut self.slots[tag as usize];
        if slot.attempts < ATTEMPTS_MAX {
            slot.link = Link::Waiting;
            self.waiting += 1;
        } else {
            tracing::warn!(%error, address = %self.address, "given up after {ATTEMPTS_MAX} dials");
            slot.link = Link::Ended;
            slot.closed = true;
            self.closed += 1;
        }
    }

    /// A connection ended; its session.
    pub(crate) fn on_close(&mut self, id: ConnId, reason: Reason) -> Option<&mut Slot<S>> {
        let slot = self.slots.get_mut(*self.places.get(id.index())?)?;
        if !matches!(slot.link, Link::Open(own, _) if own == id) {
            return None;
        }
        slot.link = Link::Ended;
        if reason != Reason::Stopped {
            if let Some(why) = of_end(reason) {
                self.why.tell(why);
            }
            tracing::warn!(?reason, address = %self.address, "a session ended");
            slot.why.get_or_insert_with(|| of_open(reason));
            slot.closed = true;
            self.closed += 1;
        }
        Some(slot)
    }

    /// What is kept for a connection, while it is open.
    #[inline]
    pub(crate) fn state(&mut self, id: ConnId) -> Option<&mut S> {
        let slot = self.slots.get_mut(*self.places.get(id.index())?)?;
        matches!(slot.link, Link::Open(own, _) if own == id).then_some(&mut slot.state)
    }

    /// The connection of a slot, while it is open.
    #[inline]
    pub(crate) fn id(&self, place: usize) -> Option<ConnId> {
        match self.slots[place].link {
            Link::Open(id, _) => Some(id),
            Link::Waiting | Link::Dialling | Link::Ended => None,
        }
    }

    /// Takes all whole frames of one read; `hear` gets what is not the session's own business, and may answer.
    ///
    /// # Errors
    /// The reason to close the connection.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        data: &[u8],
        hear: impl FnMut(&mut S, Heard<'_>, &mut Vec<u8>) -> Result<(), Reason>,
    ) -> Result<usize, Reason> {
        let outcome = self.frames(id, cx.now_ns(), data, hear);
        self.flush(cx, id);
        outcome
    }

    fn frames(
        &mut self,
        id: ConnId,
        now_ns: u64,
        data: &[u8],
        mut hear: impl FnMut(&mut S, Heard<'_>, &mut Vec<u8>) -> Result<(), Reason>,
    ) -> Result<usize, Reason> {
        let slot = self.places.get(id.index()).and_then(|place| self.slots.get_mut(*place));
        let Some(Slot { link: Link::Open(_, session), state, why, .. }) = slot else { return Ok(data.len()) };
        if is_tls_alert(data) {
            return Err(Reason::App(SPEAKS_TLS));
        }
        let mut consumed = 0;
        loop {
            let received = match session.receive(&data[consumed..], now_ns, &mut self.out) {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(consumed),
                Err(error) => return Err(Reason::App(error.text())),
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => hear(state, Heard::Message(frame), &mut self.out)?,
                Event::Heartbeat => {}
                Event::LoggedOn(_) => hear(state, Heard::LoggedOn, &mut self.out)?,
                Event::LogonRefused(logout) => {
                    self.why.quote(LOGON_REFUSED, logout.text);
                    *why = Some(said(logout.text));
                    return Err(Reason::App(LOGON_REFUSED));
                }
                Event::LoggedOut(logout) => {
                    self.why.quote(LOGGED_OUT, logout.text);
                    *why = Some(said(logout.text));
                    return Err(Reason::App(LOGGED_OUT));
                }
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        }
    }

    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    /// Heartbeats, deadlines, and dials that wait.
    pub(crate) fn on_tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for place in 0..self.slots.len() {
            let Link::Open(id, session) = &mut self.slots[place].link else { continue };
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
        self.dial(cx);
    }
}
