//! The session of two parties, for both of its ends: logon, numbers and gaps, sending again, heartbeats, logout.
//! No I/O and no clock: bytes and [`Now`] come in, events come out, answers are appended to the caller's buffer.
//!
//! A session outlives its connections: its numbers and its messages are in its [`Store`]. The acceptor finds out with
//! [`identify`] whose logon a new connection begins with, takes that session, and calls [`Session::accept`]; the
//! initiator calls [`Session::connect`]. Both then hand what they read to [`Session::receive`], call
//! [`Session::on_timeout`] no later than [`Session::next_timeout_ns`], [`Session::commit`] before the buffer is written,
//! [`Session::resume`] when it has been, and [`Session::disconnected`] at the end. After an error or
//! [`Event::LoggedOut`]: write what is in the buffer, then close.
//!
//! Decisions, where the session rules leave room:
//! - A message beyond a gap is dropped, not queued, and the gap is asked for with EndSeqNo 0, so that it comes again in
//!   its place. That costs bandwidth after a loss, which TCP makes rare, and saves a queue that a peer could fill. A
//!   ResendRequest beyond a gap is answered all the same (else two gaps would wait for each other), a Logout ends the
//!   session.
//! - A gap is asked for once until what was missing when it was seen is there, then again after a time, then given up.
//! - While messages are sent again, new ones wait behind them in the store: the peer sees numbers ascend.
//! - What is sent while there is no connection is kept and numbered; the peer asks for it after its logon.
//! - Of the session messages a Reject is sent again; the others, and what the store no longer holds, are gap-filled.
//! - What was handed on and not committed before a crash is asked for and handed on once more, marked as a possible
//!   repetition: the application tells by its own identifier whether it is new.
//! - An unknown party gets no answer; a known one that is refused gets a Logout with the reason.

mod config;
mod event;
mod head;
mod inbound;
mod logon;
mod resend;
#[cfg(test)]
mod tests;
mod timers;

pub use config::{Config, Credentials, Takes};
pub use event::{Event, Handled, LogonRequest, Received, SessionError};
pub use logon::{Identity, identify};

use resend::Resend;

use crate::codec::{BEGIN_STRING, Decoded, Encoder, decode};
use crate::dictionary::Fault;
use crate::message::Body;
use crate::store::{Mark, Store, StoreError};
use crate::tag;
use crate::time::Now;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
enum State {
    /// No connection, or one that is over.
    Closed,
    /// Acceptor: nothing has come yet.
    AwaitLogon { deadline_ns: u64 },
    /// Acceptor: the caller is deciding.
    LogonPending { deadline_ns: u64, number: u64, heart_bt_s: u16, reset: bool },
    /// Initiator: our logon, of this number, is on its way.
    AwaitAnswer { deadline_ns: u64, number: u64 },
    /// Logged on.
    Active,
    /// Our logout is on its way.
    LoggingOut { deadline_ns: u64 },
}

/// Numbers of the peer's that are missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// The number that showed it: the gap is filled when this one is expected.
    until: u64,
    asked_ns: u64,
    attempts: u8,
}

/// What a session has seen, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole messages received.
    pub received: u64,
    /// Times that bytes were skipped because they are no message.
    pub garbled: u64,
    /// Messages dropped because a number before them was missing.
    pub out_of_sequence: u64,
    /// Repetitions dropped.
    pub duplicates: u64,
    /// ResendRequests sent.
    pub gaps: u64,
    /// Rejects and business rejects sent by the session itself.
    pub rejected: u64,
    /// Messages sent again.
    pub resent: u64,
}

/// One end of a session.
#[derive(Debug)]
pub struct Session<S> {
    config: Config,
    store: S,
    state: State,
    /// SenderCompID and TargetCompID, encoded.
    parties: Vec<u8>,
    /// Where a message is encoded that is not to leave yet.
    scratch: Vec<u8>,
    gap: Option<Gap>,
    resend: Option<Resend>,
    interval_ns: u64,
    last_received_ns: u64,
    last_sent_ns: u64,
    test_requested: bool,
    counters: Counters,
}

impl<S: Store> Session<S> {
    /// A session without a connection.
    #[must_use]
    pub fn new(config: Config, store: S) -> Self {
        let (us, peer) = (&config.sender_comp_id, &config.target_comp_id);
        let parties = format!("49={us}\x0156={peer}\x01").into_bytes();
        Self {
            config,
            store,
            state: State::Closed,
            parties,
            scratch: Vec::new(),
            gap: None,
            resend: None,
            interval_ns: 0,
            last_received_ns: 0,
            last_sent_ns: 0,
            test_requested: false,
            counters: Counters::default(),
        }
    }

    /// A connection of the peer's is there; its logon is expected.
    ///
    /// # Panics
    /// The session has a connection: look with [`Session::is_connected`], and close the second one.
    pub fn accept(&mut self, now: Now) {
        assert!(!self.is_connected(), "a second connection of a session");
        self.state = State::AwaitLogon { deadline_ns: after_ms(now.ns, self.config.logon_timeout_ms) };
    }

    /// Takes the first message off `buf`; `Ok(None)` while it is not whole. Call again with the rest until then.
    ///
    /// # Errors
    /// Why the session's connection is over.
    ///
    /// # Panics
    /// A [`Event::LogonRequest`] is undecided.
    #[inline]
    pub fn receive<'a>(
        &mut self,
        buf: &'a [u8],
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Option<Received<'a>>, SessionError> {
        let (result, consumed) = match decode(buf, &self.config.limits) {
            Decoded::NeedMore => return Ok(None),
            Decoded::Garbled { why, skip } => (self.on_garbled(why), skip),
            Decoded::Message(message) => (self.on_message(message, now, out), message.bytes.len()),
        };
        match result {
            Ok(event) => Ok(Some(Received { event, consumed })),
            Err(error) => Err(self.fail(error, now, out)),
        }
    }

    /// Numbers an application message and keeps it; it is appended to `out` unless it must wait: for a connection, or
    /// behind messages that are being sent again. Returns its number.
    ///
    /// # Errors
    /// The store cannot keep it: it is not sent.
    #[inline]
    pub fn send(&mut self, body: &impl Body, now: Now, out: &mut Vec<u8>) -> Result<u64, StoreError> {
        self.emit(body.msg_type(), now, out, |message| body.encode(message))
    }

    /// As [`Session::send`], for a message that was made of this place of a flow: the store keeps the mark
    /// with it ([`Store::marks`]).
    ///
    /// # Errors
    /// As of [`Session::send`].
    #[inline]
    pub fn send_marked(
        &mut self,
        body: &impl Body,
        mark: Mark,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        self.store.set_mark(mark);
        self.send(body, now, out)
    }

    /// The peer could not be heard, for it was not read from: its silence until now does not count.
    pub fn excuse(&mut self, now: Now) {
        self.last_received_ns = self.last_received_ns.max(now.ns);
    }

    /// Answers a message that was handed on with a Reject, for what only the application could find.
    ///
    /// # Errors
    /// As of [`Session::send`].
    pub fn reject(
        &mut self,
        number: u64,
        msg_type: &[u8],
        fault: Fault,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        self.counters.rejected += 1;
        self.emit(b"3", now, out, |message| {
            message.number(tag::REF_SEQ_NUM, number);
            if let Some(tag) = fault.tag {
                message.text_of(tag::REF_TAG_ID, format_args!("{tag}"));
            }
            message.text(tag::REF_MSG_TYPE, msg_type);
            message.number(tag::SESSION_REJECT_REASON, fault.reason.code());
            message.text(tag::TEXT, fault.reason.text().as_bytes());
        })
    }

    /// Begins an orderly end: says why (empty: no word) and waits for the peer's logout. Messages still come until then.
    /// Without a logon there is nothing to be orderly about: the session is closed.
    ///
    /// # Errors
    /// As of [`Session::send`]; the session is closed.
    pub fn log_out(&mut self, text: &str, now: Now, out: &mut Vec<u8>) -> Result<(), StoreError> {
        match self.state {
            State::Active => {
                self.state =
                    State::LoggingOut { deadline_ns: after_ms(now.ns, self.config.logout_timeout_ms) };
                self.write_logout(text, now, out).inspect_err(|_| self.state = State::Closed)
            }
            State::LoggingOut { .. } => Ok(()),
            State::Closed
            | State::AwaitLogon { .. }
            | State::LogonPending { .. }
            | State::AwaitAnswer { .. } => {
                self.state = State::Closed;
                Ok(())
            }
        }
    }

    /// The connection is gone. The session waits for another.
    pub fn disconnected(&mut self) {
        self.state = State::Closed;
        self.gap = None;
        self.resend = None;
    }

    /// Makes what was numbered and received safe, to the degree that the store promises. Call it before `out` is
    /// written: a number that the peer has seen must never be given out twice.
    ///
    /// # Errors
    /// The store's; then close the connection and do not write.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.store.commit()
    }

    /// Has a connection that is not over.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// Logged on, and no logout sent.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active)
    }

    /// The store: next numbers.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store itself, for who keeps what comes out of it: [`crate::store::BatchStore`]. While there is a connection it must
    /// not be made another one, but for a logon that is undecided: before that nothing of the store was looked at.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Writes a message of the next number and keeps it; it leaves unless it must wait.
    fn emit(
        &mut self,
        msg_type: &[u8],
        now: Now,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Encoder<'_>),
    ) -> Result<u64, StoreError> {
        let waits = self.resend.is_some() || !matches!(self.state, State::Active | State::LoggingOut { .. });
        self.write(msg_type, waits, now, out, body)
    }

    fn write(
        &mut self,
        msg_type: &[u8],
        waits: bool,
        now: Now,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Encoder<'_>),
    ) -> Result<u64, StoreError> {
        let number = self.store.next_sender();
        let into = if waits { &mut self.scratch } else { out };
        if waits {
            into.clear();
        }
        let start = into.len();
        let mut message = Encoder::begin(into, BEGIN_STRING, msg_type);
        message.fields(&self.parties).number(tag::MSG_SEQ_NUM, number).time(tag::SENDING_TIME, now.utc());
        body(&mut message);
        message.finish();
        if let Err(error) = self.store.append(&into[start..]) {
            into.truncate(start);
            return Err(error);
        }
        self.last_sent_ns = now.ns;
        Ok(number)
    }

    fn write_logout(&mut self, text: &str, now: Now, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.emit(b"5", now, out, |message| {
            message.text(tag::TEXT, text.as_bytes());
        })?;
        Ok(())
    }

    /// Ends the session's connection because of an error: says so if the peer is to know.
    fn fail(&mut self, error: SessionError, now: Now, out: &mut Vec<u8>) -> SessionError {
        if error.is_told() {
            // Nothing waits behind this.
            self.resend = None;
            let said = self.write(b"5", false, now, out, |message| {
                message.text_of(tag::TEXT, format_args!("{error}"));
            });
            if let Err(error) = said {
                self.state = State::Closed;
                return error.into();
            }
        }
        self.state = State::Closed;
        error
    }
}

fn after_ms(now_ns: u64, ms: u32) -> u64 {
    now_ns.saturating_add(u64::from(ms) * NS_PER_MS)
}
