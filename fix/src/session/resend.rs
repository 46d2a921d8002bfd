//! Sending again what the peer asks for, a burst at a time.

use super::head::number;
use super::{Handled, Session, SessionError};
use crate::codec::{BEGIN_STRING, Decoded, Encoder, Limits, Message, decode};
use crate::dictionary::{self, Fault, RejectReason};
use crate::store::{Store, StoreError};
use crate::tag;
use crate::time::{Now, UtcTimestamp};

/// What is left to send from the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resend {
    /// The next number.
    pub(super) next: u64,
    /// Up to this number messages are repetitions.
    pub(super) again_until: u64,
    /// From this number on messages have not left yet: they waited behind the repetitions.
    pub(super) held_from: u64,
}

/// Our own messages, as they were written.
const OURS: Limits = Limits { message_bytes_max: usize::MAX, fields_max: usize::MAX };

impl<S: Store> Session<S> {
    /// Messages wait in the store to be sent: call [`Session::resume`] when `out` has been written.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.resend.is_some()
    }

    /// Appends the next burst of what waits to be sent.
    ///
    /// # Errors
    /// The store's; the connection is over.
    pub fn resume(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        self.pump(now, out).map_err(|error| self.fail(error.into(), now, out))
    }

    /// Begins to answer a ResendRequest.
    pub(super) fn on_resend_request(
        &mut self,
        message: &Message<'_>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Handled, SessionError> {
        let last = self.store.next_sender() - 1;
        let begin = number(message, tag::BEGIN_SEQ_NO).unwrap_or(0);
        let end = number(message, tag::END_SEQ_NO).unwrap_or(u64::MAX);
        let wrong = if begin == 0 || begin > last {
            Some(tag::BEGIN_SEQ_NO)
        } else if end != 0 && end < begin {
            Some(tag::END_SEQ_NO)
        } else {
            None
        };
        if let Some(tag) = wrong {
            let fault = Fault::of(RejectReason::ValueIncorrect, tag);
            self.reject(received, message.msg_type, fault, now, out)?;
            return Ok(Handled::Rejected(fault));
        }
        let end = if end == 0 { last } else { end.min(last) };
        // What an earlier request has not got yet is sent in the course of this one.
        let earlier = self.resend.unwrap_or(Resend { next: begin, again_until: end, held_from: last + 1 });
        // Of what waited some has left meanwhile.
        let held_from = earlier.held_from.max(earlier.next);
        self.resend = Some(Resend {
            next: earlier.next.min(begin),
            again_until: earlier.again_until.max(end.min(held_from - 1)),
            held_from,
        });
        // Many requests in one read are one answer, a burst at a time: the rest goes as the connection takes it.
        if out.len() < self.config.resend_burst_bytes {
            self.pump(now, out)?;
        }
        Ok(Handled::Admin)
    }

    /// Sends up to a burst of bytes.
    pub(super) fn pump(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let Some(mut resend) = self.resend else { return Ok(()) };
        let (start, last) = (out.len(), self.store.next_sender() - 1);
        // The first number of a run that a gap fill stands for.
        let mut run = None;
        while out.len() - start < self.config.resend_burst_bytes {
            if resend.next > resend.again_until && resend.next < resend.held_from {
                self.close_run(run.take(), resend.again_until + 1, now, out);
                resend.next = resend.held_from;
            }
            if resend.next > last {
                break;
            }
            let (current, first_time) = (resend.next, resend.next >= resend.held_from);
            if self.is_worth_sending(current, first_time)? {
                self.close_run(run.take(), current, now, out);
                send_from_store(&self.scratch, &self.parties, first_time, now.utc(), out);
                self.counters.resent += u64::from(!first_time);
            } else if run.is_none() {
                run = Some(current);
            }
            resend.next += 1;
        }
        self.close_run(run, resend.next, now, out);
        self.resend = (resend.next <= last).then_some(resend);
        if out.len() > start {
            self.last_sent_ns = now.ns;
        }
        Ok(())
    }

    /// Reads a message into the scratch buffer; whether it is to be sent, rather than filled over.
    fn is_worth_sending(&mut self, current: u64, first_time: bool) -> Result<bool, StoreError> {
        self.scratch.clear();
        if !self.store.read(current, &mut self.scratch)? {
            return Ok(false);
        }
        let Decoded::Message(message) = decode(&self.scratch, &OURS) else { return Ok(false) };
        let admin = dictionary::message(message.msg_type).is_some_and(|def| def.admin);
        Ok(first_time || message.msg_type == b"3" || (!admin && self.config.resend_applications))
    }

    /// A gap fill over the numbers from `run` to before `next`.
    fn close_run(&self, run: Option<u64>, next: u64, now: Now, out: &mut Vec<u8>) {
        let Some(first) = run else { return };
        let mut message = Encoder::begin(out, BEGIN_STRING, b"4");
        message.fields(&self.parties).number(tag::MSG_SEQ_NUM, first).flag(tag::POSS_DUP_FLAG, true);
        message.time(tag::SENDING_TIME, now.utc()).time(tag::ORIG_SENDING_TIME, now.utc());
        message.flag(tag::GAP_FILL_FLAG, true).number(tag::NEW_SEQ_NO, next);
        message.finish();
    }
}

/// Writes a message from the store: the same number and body, sent now. A repetition says so, and when it was first sent;
/// one that waited must not look old either, for the peer looks at SendingTime.
fn send_from_store(bytes: &[u8], parties: &[u8], first_time: bool, now: UtcTimestamp, out: &mut Vec<u8>) {
    let Decoded::Message(message) = decode(bytes, &OURS) else { return };
    let mut fields = message.fields();
    // The order in which Session::write has them.
    let mut next = || fields.next().and_then(Result::ok).map(|field| field.value).unwrap_or_default();
    let (_sender, _target, number, first_sent) = (next(), next(), next(), next());
    let mut again = Encoder::begin(out, BEGIN_STRING, message.msg_type);
    again.fields(parties).text(tag::MSG_SEQ_NUM, number);
    if !first_time {
        again.flag(tag::POSS_DUP_FLAG, true);
    }
    again.time(tag::SENDING_TIME, now);
    if !first_time {
        again.text(tag::ORIG_SENDING_TIME, first_sent);
    }
    again.fields(fields.rest());
    again.finish();
}
