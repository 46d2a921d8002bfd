//! The session of a connection, for both of its ends and for trading and market data alike: logon with a deadline,
//! heartbeats both ways, liveness, logout. No I/O and no clock: bytes and `now_ns` (nanoseconds of any monotonic
//! clock) come in, events come out, answers are appended to the caller's buffer.
//!
//! The acceptor begins with [`Session::acceptor`], hands what it reads to [`Session::receive`], and decides on
//! [`Event::LogonRequest`] with [`Session::accept`] or [`Session::refuse`]. The initiator begins with
//! [`Session::initiator`] and may speak after [`Event::LoggedOn`]. Both call [`Session::on_timeout`] no later than
//! [`Session::next_timeout_ns`]. After an error, a refusal or [`Event::LoggedOut`] the session is over: write what is
//! in the buffer, then close the connection.

mod error;
#[cfg(test)]
mod tests;

pub use error::{LogonRefusal, SessionError};

use super::code::SessionStatus;
use super::{Frame, Heartbeat, I32, Logon, Logout, Message, Password, Text, frame};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// Bounds of a session; each keeps a peer from holding what it does not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the opened connection to the logon, and from the logon to its answer.
    pub logon_timeout_ms: u32,
    /// From our logout to the peer's.
    pub logout_timeout_ms: u32,
    /// Added to two heartbeat intervals of silence before a peer counts as dead.
    pub silence_slack_ms: u32,
    /// The shortest HeartBtInt taken; at least 1.
    pub heart_bt_s_min: u16,
    /// The longest HeartBtInt taken: it bounds how long a dead peer is kept.
    pub heart_bt_s_max: u16,
    /// The largest body taken once logged on. Before that nothing larger than a logout is.
    pub body_len_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            logon_timeout_ms: 5_000,
            logout_timeout_ms: 2_000,
            silence_slack_ms: 1_000,
            heart_bt_s_min: 1,
            heart_bt_s_max: 60,
            body_len_max: frame::BODY_LEN_MAX as u32,
        }
    }
}

/// What a received frame means.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Acceptor: the peer wants in. Answer at once with [`Session::accept`] or [`Session::refuse`].
    LogonRequest(&'a Logon),
    /// Initiator: the session is open.
    LoggedOn(&'a Logon),
    /// Initiator: the logon was refused; close.
    LogonRefused(&'a Logout),
    /// The peer lives.
    Heartbeat,
    /// Anything that is not the session's own business.
    Message(Frame<'a>),
    /// The peer ended the session or answered our logout; close.
    LoggedOut(&'a Logout),
}

/// A frame taken off the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What it means.
    pub event: Event<'a>,
    /// Bytes to take off the receive buffer.
    pub consumed: usize,
}

/// One end of a session. About 100 bytes; thousands are held by one thread.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    state: State,
    received: u64,
    last_received_ns: u64,
    last_sent_ns: u64,
    interval_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Acceptor: nothing has come yet.
    AwaitLogon { deadline_ns: u64 },
    /// Acceptor: the caller is deciding.
    LogonPending { deadline_ns: u64, heart_bt_s: u16, sender: Text<20>, target: Text<20> },
    /// Initiator: our logon is on its way; `sender` is us.
    AwaitAnswer { deadline_ns: u64, sender: Text<20>, target: Text<20> },
    /// Logged on.
    Active,
    /// Our logout is on its way.
    LoggingOut { deadline_ns: u64 },
    /// Over.
    Closed,
}

impl Session {
    fn new(limits: Limits, state: State, now_ns: u64) -> Self {
        Self { limits, state, received: 0, last_received_ns: now_ns, last_sent_ns: now_ns, interval_ns: 0 }
    }

    /// The end that waits for a logon.
    #[must_use]
    pub fn acceptor(limits: Limits, now_ns: u64) -> Self {
        let deadline_ns = after_ms(now_ns, limits.logon_timeout_ms);
        Self::new(limits, State::AwaitLogon { deadline_ns }, now_ns)
    }

    /// The end that logs on: appends `logon`.
    #[must_use]
    pub fn initiator(limits: Limits, logon: &Logon, now_ns: u64, out: &mut Vec<u8>) -> Self {
        frame::encode(logon, out);
        let deadline_ns = after_ms(now_ns, limits.logon_timeout_ms);
        let (sender, target) = (logon.sender_comp_id, logon.target_comp_id);
        Self::new(limits, State::AwaitAnswer { deadline_ns, sender, target }, now_ns)
    }

    /// Takes the first frame off `buf`; `Ok(None)` while it is not whole. Call again with the rest until then.
    ///
    /// # Errors
    /// What the peer did wrong, see [`SessionError`]; the session is over, and a logout saying why is in `out`.
    #[inline]
    pub fn receive<'a>(
        &mut self,
        buf: &'a [u8],
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Received<'a>>, SessionError> {
        self.take_frame(buf, now_ns, out).map_err(|error| self.fail(error, out))
    }

    fn take_frame<'a>(
        &mut self,
        buf: &'a [u8],
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Received<'a>>, SessionError> {
        let Some(frame) = frame::decode(buf, self.body_len_max()?)? else { return Ok(None) };
        self.received += 1;
        self.last_received_ns = now_ns;
        let event = match frame.msg_type {
            Heartbeat::MSG_TYPE => self.on_heartbeat(frame)?,
            Logon::MSG_TYPE => self.on_logon(frame.view()?, now_ns)?,
            Logout::MSG_TYPE => self.on_logout(frame.view()?, out)?,
            _ => self.on_message(frame)?,
        };
        Ok(Some(Received { event, consumed: frame.bytes.len() }))
    }

    /// A peer that is not logged on is not worth a large buffer.
    fn body_len_max(&self) -> Result<usize, SessionError> {
        match self.state {
            State::Active | State::LoggingOut { .. } => Ok(self.limits.body_len_max as usize),
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::AwaitAnswer { .. } => {
                Ok(size_of::<Logout>())
            }
            State::Closed => Err(SessionError::Closed),
        }
    }

    fn on_heartbeat<'a>(&self, frame: Frame<'a>) -> Result<Event<'a>, SessionError> {
        frame.view::<Heartbeat>()?;
        self.expect_logged_on(frame.msg_type)?;
        Ok(Event::Heartbeat)
    }

    fn on_message<'a>(&self, frame: Frame<'a>) -> Result<Event<'a>, SessionError> {
        self.expect_logged_on(frame.msg_type)?;
        Ok(Event::Message(frame))
    }

    fn expect_logged_on(&self, msg_type: u32) -> Result<(), SessionError> {
        match self.state {
            State::Active | State::LoggingOut { .. } => Ok(()),
            State::AwaitLogon { .. }
            | State::LogonPending { .. }
            | State::AwaitAnswer { .. }
            | State::Closed => Err(SessionError::MessageBeforeLogon { msg_type }),
        }
    }

    fn on_logon<'a>(&mut self, logon: &'a Logon, now_ns: u64) -> Result<Event<'a>, SessionError> {
        match self.state {
            State::AwaitLogon { deadline_ns } => {
                let heart_bt_s = self.nearest_heart_bt_s(logon.heart_bt_int_s.get());
                let (sender, target) = (logon.sender_comp_id, logon.target_comp_id);
                self.state = State::LogonPending { deadline_ns, heart_bt_s, sender, target };
                Ok(Event::LogonRequest(logon))
            }
            State::AwaitAnswer { sender, target, .. } => {
                if logon.sender_comp_id != target || logon.target_comp_id != sender {
                    return Err(SessionError::CompId);
                }
                let stated_s = logon.heart_bt_int_s.get();
                let heart_bt_s = self.nearest_heart_bt_s(stated_s);
                if i32::from(heart_bt_s) != stated_s {
                    return Err(SessionError::HeartBtInt { stated_s });
                }
                self.activate(heart_bt_s, now_ns);
                Ok(Event::LoggedOn(logon))
            }
            State::LogonPending { .. } | State::Active | State::LoggingOut { .. } | State::Closed => {
                Err(SessionError::SecondLogon)
            }
        }
    }

    fn on_logout<'a>(&mut self, logout: &'a Logout, out: &mut Vec<u8>) -> Result<Event<'a>, SessionError> {
        let event = match self.state {
            State::Active => {
                write_logout(SessionStatus::LOGOUT_COMPLETE, "", out);
                Event::LoggedOut(logout)
            }
            State::LoggingOut { .. } => Event::LoggedOut(logout),
            State::AwaitAnswer { .. } => Event::LogonRefused(logout),
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::Closed => {
                return Err(SessionError::MessageBeforeLogon { msg_type: Logout::MSG_TYPE });
            }
        };
        self.state = State::Closed;
        Ok(event)
    }

    /// Acceptor: takes the pending logon and appends the answer, which states the HeartBtInt in force: the one asked
    /// for, or the nearest within the limits.
    ///
    /// # Panics
    /// No [`Event::LogonRequest`] is undecided.
    pub fn accept(&mut self, default_appl_ver_id: Text<32>, now_ns: u64, out: &mut Vec<u8>) {
        let State::LogonPending { heart_bt_s, sender, target, .. } = self.state else {
            panic!("accept without a pending logon");
        };
        let answer = Logon {
            sender_comp_id: target,
            target_comp_id: sender,
            heart_bt_int_s: I32::new(i32::from(heart_bt_s)),
            password: Password::default(),
            default_appl_ver_id,
        };
        frame::encode(&answer, out);
        self.activate(heart_bt_s, now_ns);
    }

    /// Acceptor: refuses the pending logon, appends a logout that says why, and is over.
    ///
    /// # Panics
    /// No [`Event::LogonRequest`] is undecided.
    pub fn refuse(&mut self, refusal: LogonRefusal, out: &mut Vec<u8>) {
        assert!(matches!(self.state, State::LogonPending { .. }), "refuse without a pending logon");
        self.end(refusal.session_status(), refusal.text(), out);
    }

    /// Begins an orderly end: appends a logout and waits for the peer's. Messages still come until then. Before the
    /// logon, and when a logout is on its way already, there is nothing to be orderly about: [`Session::end`].
    pub fn log_out(&mut self, status: SessionStatus, text: &str, now_ns: u64, out: &mut Vec<u8>) {
        match self.state {
            State::Active => {
                write_logout(status, text, out);
                self.state =
                    State::LoggingOut { deadline_ns: after_ms(now_ns, self.limits.logout_timeout_ms) };
            }
            State::LoggingOut { .. } | State::Closed => {}
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::AwaitAnswer { .. } => {
                self.end(status, text, out);
            }
        }
    }

    /// Ends the session at once: appends a logout, waits for nothing.
    pub fn end(&mut self, status: SessionStatus, text: &str, out: &mut Vec<u8>) {
        match self.state {
            State::Closed => return,
            State::LoggingOut { .. } => {}
            State::AwaitLogon { .. }
            | State::LogonPending { .. }
            | State::AwaitAnswer { .. }
            | State::Active => {
                write_logout(status, text, out);
            }
        }
        self.state = State::Closed;
    }

    /// The caller has written to the peer: the next heartbeat is due one interval from now.
    #[inline]
    pub fn sent(&mut self, now_ns: u64) {
        self.last_sent_ns = now_ns;
    }

    /// When [`Session::on_timeout`] has something to do; `u64::MAX` when never.
    #[must_use]
    pub fn next_timeout_ns(&self) -> u64 {
        match self.state {
            State::AwaitLogon { deadline_ns }
            | State::LogonPending { deadline_ns, .. }
            | State::AwaitAnswer { deadline_ns, .. }
            | State::LoggingOut { deadline_ns } => deadline_ns,
            State::Active => self.heartbeat_due_ns().min(self.silence_ns()),
            State::Closed => u64::MAX,
        }
    }

    /// Appends a heartbeat where one is due. Calling it too early does nothing.
    ///
    /// # Errors
    /// A deadline has passed; the session is over, and a logout saying why is in `out` where one was not sent before.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Result<(), SessionError> {
        if now_ns < self.next_timeout_ns() {
            return Ok(());
        }
        let error = match self.state {
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::AwaitAnswer { .. } => {
                SessionError::LogonTimeout
            }
            State::Active if now_ns >= self.silence_ns() => SessionError::PeerSilent,
            State::Active => {
                frame::encode(&Heartbeat, out);
                self.last_sent_ns = now_ns;
                return Ok(());
            }
            State::LoggingOut { .. } => SessionError::LogoutTimeout,
            State::Closed => SessionError::Closed,
        };
        Err(self.fail(error, out))
    }

    /// Logged on, and no logout sent.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active)
    }

    /// Over: nothing more is received or sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Frames received, the session's own among them: what RefSeqNum of a business reject counts.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    fn activate(&mut self, heart_bt_s: u16, now_ns: u64) {
        self.interval_ns = u64::from(heart_bt_s) * NS_PER_S;
        self.last_received_ns = now_ns;
        self.last_sent_ns = now_ns;
        self.state = State::Active;
    }

    fn nearest_heart_bt_s(&self, stated_s: i32) -> u16 {
        let min = self.limits.heart_bt_s_min.max(1);
        let stated = u16::try_from(stated_s.max(0)).unwrap_or(u16::MAX);
        stated.min(self.limits.heart_bt_s_max).max(min)
    }

    fn heartbeat_due_ns(&self) -> u64 {
        self.last_sent_ns.saturating_add(self.interval_ns)
    }

    fn silence_ns(&self) -> u64 {
        after_ms(self.last_received_ns.saturating_add(2 * self.interval_ns), self.limits.silence_slack_ms)
    }

    fn fail(&mut self, error: SessionError, out: &mut Vec<u8>) -> SessionError {
        self.end(error.session_status(), error.text(), out);
        error
    }
}

fn after_ms(now_ns: u64, ms: u32) -> u64 {
    now_ns.saturating_add(u64::from(ms) * NS_PER_MS)
}

fn write_logout(session_status: SessionStatus, text: &str, out: &mut Vec<u8>) {
    frame::encode(&Logout { session_status, text: Text::truncated(text) }, out);
}
