//! Logons, of either end.

use super::head::{Head, flag, is_our_version, number};
use super::{Event, LogonRequest, NS_PER_S, Resend, Session, SessionError, State, after_ms};
use crate::codec::{Decoded, Encoder, Limits, Message, decode};
use crate::dictionary::{self, RejectReason};
use crate::store::{Store, StoreError};
use crate::tag;
use crate::time::Now;

/// Whose logon a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// SenderCompID: the peer's name, our TargetCompID.
    pub peer: &'a [u8],
    /// TargetCompID: the name by which it calls us.
    pub us: &'a [u8],
}

/// Looks whose logon `buf` begins with, and consumes nothing: hand the same bytes to that session. `Ok(None)` while it
/// is not whole.
///
/// # Errors
/// It does not begin with a FIX 4.4 logon that names both parties: close.
pub fn identify<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Identity<'a>>, SessionError> {
    match decode(buf, limits) {
        Decoded::NeedMore => Ok(None),
        Decoded::Garbled { .. } => Err(SessionError::NotLogon),
        Decoded::Message(message) if message.msg_type != b"A" => Err(SessionError::NotLogon),
        Decoded::Message(message) if !is_our_version(&message) => Err(SessionError::WrongSession),
        Decoded::Message(message) => match Head::read(&message) {
            Some(Head { sender: Some(peer), target: Some(us), .. }) => Ok(Some(Identity { peer, us })),
            Some(_) | None => Err(SessionError::WrongSession),
        },
    }
}

impl<S: Store> Session<S> {
    /// Initiator: a connection is there; appends our logon.
    ///
    /// # Errors
    /// The store's; the session has no connection.
    ///
    /// # Panics
    /// The session has a connection.
    pub fn connect(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), StoreError> {
        assert!(!self.is_connected(), "a second connection of a session");
        let reset = self.config.reset_on_logon;
        if reset {
            self.store.reset(self.config.on_reset)?;
        }
        // What is kept has no password in it: a logon is never sent again.
        let number = self.write_logon(self.config.heart_bt_s, reset, now, out)?;
        let deadline_ns = after_ms(now.ns, self.config.logon_timeout_ms);
        self.state = State::AwaitAnswer { deadline_ns, number };
        Ok(())
    }

    /// Acceptor: takes the pending logon and appends the answer.
    ///
    /// # Errors
    /// The logon's number cannot be, or the store failed: the connection is over.
    ///
    /// # Panics
    /// No [`Event::LogonRequest`] is undecided.
    pub fn accept_logon(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let State::LogonPending { number, heart_bt_s, reset, .. } = self.state else {
            panic!("accept_logon without a pending logon");
        };
        self.admit(number, heart_bt_s, reset, now, out).map_err(|error| self.fail(error, now, out))
    }

    fn admit(
        &mut self,
        number: u64,
        heart_bt_s: u16,
        reset: bool,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if reset {
            self.store.reset(self.config.on_reset)?;
        }
        self.check_logon_number(number)?;
        self.write_logon(heart_bt_s, reset, now, out)?;
        self.activate(heart_bt_s, now);
        self.take_logon_number(number, now, out)
    }

    /// Acceptor: refuses the pending logon: appends a Logout that says why; close.
    ///
    /// # Errors
    /// As of [`Session::send`].
    ///
    /// # Panics
    /// No [`Event::LogonRequest`] is undecided.
    pub fn refuse_logon(&mut self, text: &str, now: Now, out: &mut Vec<u8>) -> Result<(), StoreError> {
        assert!(matches!(self.state, State::LogonPending { .. }), "refuse_logon without a pending logon");
        self.state = State::Closed;
        self.write(b"5", false, now, out, |message| {
            message.text(tag::TEXT, text.as_bytes());
        })?;
        Ok(())
    }

    /// Acceptor: the first message.
    pub(super) fn on_logon_request<'a>(
        &mut self,
        message: Message<'a>,
        head: &Head<'a>,
        deadline_ns: u64,
        now: Now,
    ) -> Result<Event<'a>, SessionError> {
        if message.msg_type != b"A" {
            return Err(SessionError::NotLogon);
        }
        let (number, heart_bt_s, reset) = self.read_logon(&message, head, now)?;
        self.state = State::LogonPending { deadline_ns, number, heart_bt_s, reset };
        let text = |tag| message.field(tag).unwrap_or_default();
        let (username, password) = (text(tag::USERNAME), text(tag::PASSWORD));
        Ok(Event::LogonRequest(LogonRequest { username, password, reset }))
    }

    /// Initiator: the answer to our logon, of number `sent`.
    pub(super) fn on_logon_answer<'a>(
        &mut self,
        message: Message<'a>,
        head: &Head<'a>,
        sent: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        if message.msg_type == b"5"
            && head.is_between(&self.config.sender_comp_id, &self.config.target_comp_id)
        {
            if head.number == Some(self.store.next_target()) {
                self.store.set_next_target(self.store.next_target() + 1)?;
            }
            self.state = State::Closed;
            return Ok(Event::LoggedOut { text: message.field(tag::TEXT).unwrap_or_default() });
        }
        if message.msg_type != b"A" {
            return Err(SessionError::NotLogon);
        }
        let (number, heart_bt_s, reset) = self.read_logon(&message, head, now)?;
        // The peer begins anew only if we did.
        if reset && !self.config.reset_on_logon {
            return Err(SessionError::Reset);
        }
        self.check_logon_number(number)?;
        self.activate(heart_bt_s, now);
        // What was given to be sent since our logon waits in the store.
        if self.store.next_sender() > sent + 1 {
            self.resend = Some(Resend { next: sent + 1, again_until: sent, held_from: sent + 1 });
            self.pump(now, out)?;
        }
        self.take_logon_number(number, now, out)?;
        Ok(Event::LoggedOn)
    }

    /// A logon while logged on is the peer's way to begin both numbers at 1 within the day.
    pub(super) fn on_logon_again<'a>(
        &mut self,
        message: &Message<'a>,
        head: &Head<'a>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if !flag(message, tag::RESET_SEQ_NUM_FLAG) {
            return Err(SessionError::SecondLogon);
        }
        let (number, heart_bt_s, reset) = self.read_logon(message, head, now)?;
        (self.gap, self.resend) = (None, None);
        self.admit(number, heart_bt_s, reset, now, out)
    }

    /// Holds a logon against the session's settings: its number, HeartBtInt, and whether it wants a reset.
    fn read_logon(
        &self,
        message: &Message<'_>,
        head: &Head<'_>,
        now: Now,
    ) -> Result<(u64, u16, bool), SessionError> {
        let config = &self.config;
        if !is_our_version(message) || !head.is_between(&config.sender_comp_id, &config.target_comp_id) {
            return Err(SessionError::WrongSession);
        }
        let def = dictionary::message(b"A").ok_or(SessionError::NotLogon)?;
        dictionary::check(message, def, config.limits.fields_max)
            .map_err(|fault| SessionError::BadLogon(fault.reason))?;
        if !head.is_timely(now.utc(), config.sending_time_slack_ms) {
            return Err(SessionError::BadLogon(RejectReason::SendingTimeAccuracy));
        }
        let logon_number = head.number.ok_or(SessionError::NoNumber)?;
        if message.field(tag::ENCRYPT_METHOD) != Some(b"0") {
            return Err(SessionError::EncryptMethod);
        }
        let (min_s, max_s) = (config.heart_bt_s_min, config.heart_bt_s_max);
        let stated_s = number(message, tag::HEART_BT_INT).unwrap_or(u64::MAX);
        let heart_bt_s = u16::try_from(stated_s).ok().filter(|stated| (min_s..=max_s).contains(stated));
        let heart_bt_s = heart_bt_s.ok_or(SessionError::HeartBtInt { stated_s, min_s, max_s })?;
        let reset = flag(message, tag::RESET_SEQ_NUM_FLAG);
        if reset && (!(config.accept_reset || config.reset_on_logon) || logon_number != 1) {
            return Err(SessionError::Reset);
        }
        Ok((logon_number, heart_bt_s, reset))
    }

    fn check_logon_number(&self, received: u64) -> Result<(), SessionError> {
        let expected = self.store.next_target();
        if received < expected {
            return Err(SessionError::TooLow { expected, received });
        }
        if received - expected > self.config.gap_max {
            return Err(SessionError::GapTooWide { expected, received });
        }
        Ok(())
    }

    fn take_logon_number(&mut self, number: u64, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        if number == self.store.next_target() {
            self.store.set_next_target(number + 1)?;
            return Ok(());
        }
        self.on_gap(number, now, out)
    }

    fn activate(&mut self, heart_bt_s: u16, now: Now) {
        self.interval_ns = u64::from(heart_bt_s) * NS_PER_S;
        (self.last_received_ns, self.last_sent_ns) = (now.ns, now.ns);
        self.test_requested = false;
        self.state = State::Active;
    }

    /// Appends a logon to `out` and keeps it without the credentials.
    fn write_logon(
        &mut self,
        heart_bt_s: u16,
        reset: bool,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        let encode = |message: &mut Encoder<'_>| {
            message.char(tag::ENCRYPT_METHOD, b'0').number(tag::HEART_BT_INT, u64::from(heart_bt_s));
            if reset {
                message.flag(tag::RESET_SEQ_NUM_FLAG, true);
            }
        };
        let Some(credentials) = self.config.credentials.clone() else {
            return self.write(b"A", false, now, out, encode);
        };
        let number = self.write(b"A", true, now, out, encode)?;
        let mut message = Encoder::begin(out, crate::codec::BEGIN_STRING, b"A");
        message.fields(&self.parties).number(tag::MSG_SEQ_NUM, number).time(tag::SENDING_TIME, now.utc());
        encode(&mut message);
        message.text(tag::USERNAME, credentials.username.as_bytes());
        message.text(tag::PASSWORD, credentials.password.as_bytes());
        message.finish();
        Ok(number)
    }
}
