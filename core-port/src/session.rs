//! The sessions of some ports: who may log on, heartbeats, deadlines, and ports that fail on purpose.
//!
//! Trading ports ([`crate::Ports`]) and market-data ports are made of this; what is said within a session is theirs.

use shard::{ConnId, Cx, Reason};
use wire::szse::code::SessionStatus;
use wire::szse::session::{Event, Limits, LogonRefusal, Session, SessionError};
use wire::szse::{DecodeError, Frame, Logon, Password, Text};

/// How a port behaves: everything but [`PortState::Up`] is a fault made on purpose, for demonstrations and for tests
/// of what is connected to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortState {
    /// As it should.
    #[default]
    Up,
    /// It hears but says nothing: one direction of the line is dead.
    Mute,
    /// It neither hears nor says anything, and connections stay: a line that was cut without a word.
    Cut,
    /// Its connections are closed, and new ones are closed as soon as they are there: a process that was killed.
    Down,
}

impl std::str::FromStr for PortState {
    type Err = UnknownPortState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "up" => Ok(Self::Up),
            "mute" => Ok(Self::Mute),
            "cut" => Ok(Self::Cut),
            "down" => Ok(Self::Down),
            _ => Err(UnknownPortState),
        }
    }
}

/// Not one of `up`, `mute`, `cut`, `down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a port is up, mute, cut or down")]
pub struct UnknownPortState;

/// Someone who may log on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// SenderCompID.
    pub comp_id: Text<20>,
    /// Password of the logon.
    pub password: Password,
}

/// Who may log on, and how.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Our CompID: TargetCompID of those who log on.
    pub comp_id: Text<20>,
    /// Who may log on; empty lets anyone in who gives a name.
    pub clients: Vec<Client>,
    /// DefaultApplVerID of our answer.
    pub version: Text<32>,
    /// Deadlines and bounds.
    pub limits: Limits,
}

impl Admission {
    fn judge(&self, logon: &Logon) -> Result<(), LogonRefusal> {
        let named = logon.sender_comp_id.as_str().is_some_and(|name| !name.is_empty());
        // Compared in full for every client, so that the time taken tells nothing of who is known.
        let known = self.clients.iter().fold(self.clients.is_empty(), |known, client| {
            known | ((client.comp_id == logon.sender_comp_id) & (client.password == logon.password))
        });
        if named && known && logon.target_comp_id == self.comp_id {
            Ok(())
        } else {
            Err(LogonRefusal::Credentials)
        }
    }
}

/// What happened to sessions, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Sessions logged on now.
    pub active: u64,
    /// Logons taken.
    pub logons: u64,
    /// Sessions that ended in an error, and logons refused, by the text of the logout. The texts are constants, so
    /// there are few.
    pub errors: Vec<(&'static str, u64)>,
    /// Requests refused within a session, by the reason.
    pub rejects: Vec<(&'static str, u64)>,
}

/// Counts some more of a text.
pub fn count(counts: &mut Vec<(&'static str, u64)>, text: &'static str, more: u64) {
    match counts.iter_mut().find(|(of, _)| *of == text) {
        Some((_, count)) => *count += more,
        None if more > 0 => counts.push((text, more)),
        None => {}
    }
}

/// A connection and its session.
#[derive(Debug)]
pub struct Slot<S> {
    /// The connection.
    pub id: ConnId,
    /// Its port, counted from 0.
    pub port: usize,
    /// Who is logged on; blank before the logon.
    pub comp_id: Text<20>,
    session: Session,
    /// What the protocol spoken within the session keeps.
    pub state: S,
}

impl<S> Slot<S> {
    /// The number of the message that came last: RefSeqNum of a reject.
    pub fn ref_seq_num(&self) -> i64 {
        i64::try_from(self.session.received()).unwrap_or(i64::MAX)
    }
}

/// What is not the session's own business.
pub enum Heard<'a> {
    /// The session is open.
    LoggedOn,
    /// A message within it.
    Message(Frame<'a>),
}

/// A port and how it is now.
#[derive(Debug)]
struct NamedPort {
    name: String,
    state: PortState,
}

/// All sessions of some ports.
#[derive(Debug)]
pub struct Sessions<S> {
    /// By [`ConnId::index`].
    slots: Vec<Option<Slot<S>>>,
    ports: Vec<NamedPort>,
    admission: Admission,
    /// Sessions that a CompID may have on a port at a time.
    per_comp_id_max: usize,
    out: Vec<u8>,
    /// What happened so far.
    pub counts: SessionCounts,
}

/// Room kept for private bytes between calls.
const KEPT_CAPACITY: usize = 64 << 10;

impl<S: Default> Sessions<S> {
    /// Ports with these names, each of which a CompID may have so many sessions on.
    pub fn new(names: Vec<String>, admission: Admission, per_comp_id_max: usize) -> Self {
        let port = |name| NamedPort { name, state: PortState::Up };
        Self {
            slots: Vec::new(),
            ports: names.into_iter().map(port).collect(),
            admission,
            per_comp_id_max,
            out: Vec::new(),
            counts: SessionCounts::default(),
        }
    }

    /// Whether the connection is one of these.
    pub fn owns(&self, id: ConnId) -> bool {
        self.slots.get(id.index()).is_some_and(|slot| slot.as_ref().is_some_and(|slot| slot.id == id))
    }

    /// A connection to a port: it has the logon's deadline.
    pub fn open(&mut self, cx: &mut Cx, id: ConnId, port: usize) {
        let session = Session::acceptor(self.admission.limits, cx.now_ns());
        let slot = Slot { id, port, comp_id: Text::BLANK, session, state: S::default() };
        if self.slots.len() <= id.index() {
            self.slots.resize_with(id.index() + 1, || None);
        }
        self.slots[id.index()] = Some(slot);
        apply(cx, id, self.ports[port].state);
    }

    /// The connection is gone; what its session kept is given back.
    pub fn close(&mut self, id: ConnId) -> Option<Slot<S>> {
        if !self.owns(id) {
            return None;
        }
        let slot = self.slots[id.index()].take()?;
        self.counts.active -= u64::from(!slot.comp_id.is_blank());
        Some(slot)
    }

    /// Takes all whole frames; `hear` gets what is not the session's own business and may append private bytes. Its
    /// error ends the session. Returns the bytes consumed, as [`shard::App::on_data`] does.
    ///
    /// # Errors
    /// The reason to close the connection.
    pub fn receive(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        data: &[u8],
        hear: impl FnMut(&mut Cx, &mut Slot<S>, Heard<'_>, &mut Vec<u8>) -> Result<(), DecodeError>,
    ) -> Result<usize, Reason> {
        if !self.owns(id) {
            return Ok(data.len());
        }
        let Some(mut slot) = self.slots[id.index()].take() else { return Ok(data.len()) };
        let outcome = self.frames(cx, &mut slot, data, hear);
        self.slots[id.index()] = Some(slot);
        if !self.out.is_empty() {
            let out = &self.out;
            cx.send(id, |to| to.extend_from_slice(out));
            self.out.clear();
            self.out.shrink_to(KEPT_CAPACITY);
        }
        outcome
    }

    fn frames(
        &mut self,
        cx: &mut Cx,
        slot: &mut Slot<S>,
        data: &[u8],
        mut hear: impl FnMut(&mut Cx, &mut Slot<S>, Heard<'_>, &mut Vec<u8>) -> Result<(), DecodeError>,
    ) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let mut consumed = 0;
        loop {
            let received = match slot.session.receive(&data[consumed..], now_ns, &mut self.out) {
                Ok(None) => return Ok(consumed),
                Ok(Some(received)) => received,
                Err(error) => return Err(self.ended(error)),
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => {
                    if let Err(error) = hear(cx, slot, Heard::Message(frame), &mut self.out) {
                        return Err(self.broken(slot, error));
                    }
                }
                Event::LogonRequest(logon) => {
                    self.logon(slot, logon, now_ns)?;
                    if let Err(error) = hear(cx, slot, Heard::LoggedOn, &mut self.out) {
                        return Err(self.broken(slot, error));
                    }
                }
                Event::LoggedOut(_) => return Err(Reason::App("logged out")),
                Event::Heartbeat => {}
                Event::LoggedOn(_) | Event::LogonRefused(_) => unreachable!("an acceptor's session"),
            }
        }
    }

    fn logon(&mut self, slot: &mut Slot<S>, logon: &Logon, now_ns: u64) -> Result<(), Reason> {
        let same = |other: &&Slot<S>| other.port == slot.port && other.comp_id == logon.sender_comp_id;
        let judged = self.admission.judge(logon).and_then(|()| {
            let there = self.slots.iter().flatten().filter(same).count();
            if there < self.per_comp_id_max { Ok(()) } else { Err(LogonRefusal::AlreadyLoggedOn) }
        });
        if let Err(refusal) = judged {
            slot.session.refuse(refusal, &mut self.out);
            count(&mut self.counts.errors, refusal.text(), 1);
            let port = &self.ports[slot.port].name;
            tracing::warn!(comp_id = %logon.sender_comp_id, port, reason = refusal.text(), "logon refused");
            return Err(Reason::App(refusal.text()));
        }
        slot.comp_id = logon.sender_comp_id;
        slot.session.accept(self.admission.version, now_ns, &mut self.out);
        self.counts.logons += 1;
        self.counts.active += 1;
        tracing::info!(comp_id = %slot.comp_id, port = self.ports[slot.port].name, "logged on");
        Ok(())
    }

    /// A message's body is not what its type says: nothing that follows can be trusted.
    fn broken(&mut self, slot: &mut Slot<S>, error: DecodeError) -> Reason {
        let error = SessionError::Frame(error);
        slot.session.end(error.session_status(), error.text(), &mut self.out);
        self.ended(error)
    }

    fn ended(&mut self, error: SessionError) -> Reason {
        count(&mut self.counts.errors, error.text(), 1);
        Reason::App(error.text())
    }

    /// Heartbeats that are due, deadlines that have passed.
    pub fn tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for slot in self.slots.iter_mut().flatten() {
            // A port that says nothing on purpose has no deadlines either.
            if matches!(self.ports[slot.port].state, PortState::Mute | PortState::Cut) {
                continue;
            }
            if let Some((_, sent_ns)) = cx.last_active_ns(slot.id) {
                slot.session.sent(sent_ns);
            }
            let outcome = slot.session.on_timeout(now_ns, &mut self.out);
            if !self.out.is_empty() {
                let out = &self.out;
                cx.send(slot.id, |to| to.extend_from_slice(out));
                self.out.clear();
            }
            if let Err(error) = outcome {
                count(&mut self.counts.errors, error.text(), 1);
                cx.close(slot.id, Reason::App(error.text()));
            }
        }
    }

    /// Logs every session out; those who do not answer are cut off by the session's deadline.
    pub fn log_out_all(&mut self, cx: &mut Cx, text: &'static str) {
        let now_ns = cx.now_ns();
        for slot in self.slots.iter_mut().flatten() {
            slot.session.log_out(SessionStatus::LOGOUT_COMPLETE, text, now_ns, &mut self.out);
            let closed = slot.session.is_closed();
            let out = &self.out;
            cx.send(slot.id, |to| to.extend_from_slice(out));
            self.out.clear();
            if closed {
                cx.close(slot.id, Reason::App(text));
            }
        }
    }

    /// Lets a port fail, or mends it.
    pub fn set_port(&mut self, cx: &mut Cx, port: usize, state: PortState) {
        let Some(is) = self.ports.get_mut(port) else { return };
        is.state = state;
        tracing::info!(port = is.name, ?state, "port");
        for slot in self.slots.iter().flatten().filter(|slot| slot.port == port) {
            apply(cx, slot.id, state);
        }
    }

    /// Sessions, logged on or not.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<S>> {
        self.slots.iter_mut().flatten()
    }

    /// The session of a connection.
    pub fn slot_mut(&mut self, id: ConnId) -> Option<&mut Slot<S>> {
        self.slots.get_mut(id.index())?.as_mut().filter(|slot| slot.id == id)
    }
}

fn apply(cx: &mut Cx, id: ConnId, state: PortState) {
    cx.hold_writing(id, matches!(state, PortState::Mute | PortState::Cut));
    cx.pause_reading(id, state == PortState::Cut);
    if state == PortState::Down {
        cx.close(id, Reason::App("port down"));
    }
}
