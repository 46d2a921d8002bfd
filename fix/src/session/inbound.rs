//! Hot path: a received message. No allocation; what is in sequence is handed on in place.

use super::head::{Head, flag, is_our_version, number};
use super::{Event, Gap, Handled, Session, SessionError, State};
use crate::codec::{Garble, Message};
use crate::dictionary::{self, Fault, MessageDef, RejectReason};
use crate::message::{BusinessMessageReject, BusinessRejectReason};
use crate::store::Store;
use crate::tag;
use crate::time::Now;

impl<S: Store> Session<S> {
    pub(super) fn on_garbled<'a>(&mut self, why: Garble) -> Result<Event<'a>, SessionError> {
        self.counters.garbled += 1;
        match self.state {
            State::Active | State::LoggingOut { .. } => Ok(Event::Handled(Handled::Garbled(why))),
            State::Closed => Err(SessionError::Closed),
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::AwaitAnswer { .. } => {
                Err(SessionError::NotLogon)
            }
        }
    }

    pub(super) fn on_message<'a>(
        &mut self,
        message: Message<'a>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        let Some(head) = Head::read(&message) else { return self.on_garbled(Garble::Field) };
        self.counters.received += 1;
        match self.state {
            State::Closed => Err(SessionError::Closed),
            State::AwaitLogon { deadline_ns } => self.on_logon_request(message, &head, deadline_ns, now),
            State::LogonPending { .. } => panic!("a logon is undecided"),
            State::AwaitAnswer { number, .. } => self.on_logon_answer(message, &head, number, now, out),
            State::Active | State::LoggingOut { .. } => self.on_logged_on(message, &head, now, out),
        }
    }

    fn on_logged_on<'a>(
        &mut self,
        message: Message<'a>,
        head: &Head<'a>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        if message.msg_type != b"5" && !is_our_version(&message) {
            return self.end_over(&message, head, None, "Incorrect BeginString", now, out);
        }
        let Some(received) = head.number else { return Err(SessionError::NoNumber) };
        if !head.is_between(&self.config.sender_comp_id, &self.config.target_comp_id) {
            let fault = Fault::new(RejectReason::CompIdProblem);
            return self.end_over(&message, head, Some(fault), "", now, out);
        }
        if !head.is_timely(now.utc(), self.config.sending_time_slack_ms) {
            let fault = Fault::new(RejectReason::SendingTimeAccuracy);
            return self.end_over(&message, head, Some(fault), "", now, out);
        }
        self.heard(now);
        match message.msg_type {
            b"5" => return self.on_logout(&message, received, now, out),
            b"A" => {
                self.on_logon_again(&message, head, now, out)?;
                return Ok(Event::Handled(Handled::Reset));
            }
            b"4" if !flag(&message, tag::GAP_FILL_FLAG) => {
                return self.on_reset(&message, received, now, out);
            }
            // Answered even beyond a gap, or two gaps would wait for each other.
            b"2" if received > self.store.next_target() => {
                self.on_resend_request(&message, received, now, out)?;
            }
            _ => {}
        }
        self.in_order(message, head, received, now, out)
    }

    /// Compares the number with the one expected.
    fn in_order<'a>(
        &mut self,
        message: Message<'a>,
        head: &Head<'a>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        let expected = self.store.next_target();
        if received > expected {
            self.counters.out_of_sequence += 1;
            self.on_gap(received, now, out)?;
            return Ok(Event::Handled(Handled::OutOfSequence));
        }
        if received < expected && !head.poss_dup {
            return Err(SessionError::TooLow { expected, received });
        }
        // A gap fill stands for messages of many times.
        if message.msg_type != b"4" {
            match head.check_repetition() {
                Ok(()) => {}
                Err(fault) if fault.reason == RejectReason::SendingTimeAccuracy => {
                    return self.end_over(&message, head, Some(fault), "", now, out);
                }
                Err(fault) => return self.refuse(&message, received, fault, now, out),
            }
        }
        if received < expected {
            self.counters.duplicates += 1;
            return Ok(Event::Handled(Handled::Duplicate));
        }
        self.next_in_order(message, head, received, now, out)
    }

    /// The message that is expected.
    fn next_in_order<'a>(
        &mut self,
        message: Message<'a>,
        head: &Head<'a>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        let Some(def) = dictionary::message(message.msg_type) else {
            if dictionary::is_fix44_type(message.msg_type) {
                return self.unsupported(&message, received, now, out);
            }
            let fault = Fault::new(RejectReason::InvalidMsgType);
            return self.refuse(&message, received, fault, now, out);
        };
        if !def.admin && !self.config.takes.takes(message.msg_type) {
            return self.unsupported(&message, received, now, out);
        }
        if let Err(fault) = dictionary::check(&message, def, self.config.limits.fields_max) {
            return self.refuse(&message, received, fault, now, out);
        }
        if def.admin {
            return self.on_admin(message, def, received, now, out);
        }
        self.advance(received + 1, now)?;
        let may_repeat = head.poss_dup || head.poss_resend;
        Ok(Event::Application { message, number: received, may_repeat })
    }

    fn on_admin<'a>(
        &mut self,
        message: Message<'a>,
        def: &MessageDef,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        match def.msg_type {
            "2" => {
                self.advance(received + 1, now)?;
                return Ok(Event::Handled(self.on_resend_request(&message, received, now, out)?));
            }
            "4" => return self.on_gap_fill(&message, received, now, out),
            "1" => {
                self.advance(received + 1, now)?;
                let id = message.field(tag::TEST_REQ_ID).unwrap_or_default();
                self.emit(b"0", now, out, |answer| {
                    answer.text(tag::TEST_REQ_ID, id);
                })?;
            }
            "3" => {
                self.advance(received + 1, now)?;
                return Ok(Event::Rejected(message));
            }
            _ => self.advance(received + 1, now)?,
        }
        Ok(Event::Handled(Handled::Admin))
    }

    /// The next number expected goes up; a gap may be filled by that.
    fn advance(&mut self, next: u64, now: Now) -> Result<(), SessionError> {
        self.store.set_next_target(next)?;
        if let Some(gap) = &mut self.gap {
            if next >= gap.until {
                self.gap = None;
            } else {
                (gap.asked_ns, gap.attempts) = (now.ns, 1);
            }
        }
        Ok(())
    }

    /// Answers with a Reject. The message is done with, if it was the one expected.
    fn refuse<'a>(
        &mut self,
        message: &Message<'_>,
        received: u64,
        fault: Fault,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        if received == self.store.next_target() {
            self.advance(received + 1, now)?;
        }
        self.reject(received, message.msg_type, fault, now, out)?;
        Ok(Event::Handled(Handled::Rejected(fault)))
    }

    /// A message that FIX knows and this session does not take.
    fn unsupported<'a>(
        &mut self,
        message: &Message<'_>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        self.advance(received + 1, now)?;
        self.counters.rejected += 1;
        let answer = BusinessMessageReject {
            ref_seq_num: received,
            ref_msg_type: message.msg_type,
            business_reject_ref_id: None,
            business_reject_reason: BusinessRejectReason::UnsupportedMessageType,
            text: Some(b"Unsupported Message Type"),
        };
        self.send(&answer, now, out)?;
        Ok(Event::Handled(Handled::Unsupported))
    }

    /// What a session does not go on after: a Reject if there is a fault, then an orderly logout.
    fn end_over<'a>(
        &mut self,
        message: &Message<'_>,
        head: &Head<'_>,
        fault: Option<Fault>,
        text: &str,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        let received = head.number.unwrap_or(0);
        if received == self.store.next_target() {
            self.advance(received + 1, now)?;
        }
        let fault = match fault {
            Some(fault) => {
                self.reject(received, message.msg_type, fault, now, out)?;
                fault
            }
            None => Fault::new(RejectReason::ValueIncorrect),
        };
        self.log_out(text, now, out)?;
        Ok(Event::Handled(Handled::Rejected(fault)))
    }

    fn on_logout<'a>(
        &mut self,
        message: &Message<'a>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        if received == self.store.next_target() {
            self.advance(received + 1, now)?;
        }
        if let State::Active = self.state {
            // Nothing waits behind this; the peer asks for what is missing after its next logon.
            self.resend = None;
            self.write_logout("", now, out)?;
        }
        self.state = State::Closed;
        Ok(Event::LoggedOut { text: message.field(tag::TEXT).unwrap_or_default() })
    }

    /// SequenceReset without GapFillFlag: its own number means nothing.
    fn on_reset<'a>(
        &mut self,
        message: &Message<'_>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        let Some(next) = number(message, tag::NEW_SEQ_NO) else {
            let fault = Fault::of(RejectReason::RequiredTagMissing, tag::NEW_SEQ_NO);
            self.reject(received, message.msg_type, fault, now, out)?;
            return Ok(Event::Handled(Handled::Rejected(fault)));
        };
        if next < self.store.next_target() {
            let fault = Fault::of(RejectReason::ValueIncorrect, tag::NEW_SEQ_NO);
            self.reject(received, message.msg_type, fault, now, out)?;
            return Ok(Event::Handled(Handled::Rejected(fault)));
        }
        self.advance(next, now)?;
        Ok(Event::Handled(Handled::Admin))
    }

    /// SequenceReset with GapFillFlag, the message that is expected.
    fn on_gap_fill<'a>(
        &mut self,
        message: &Message<'_>,
        received: u64,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        match number(message, tag::NEW_SEQ_NO) {
            Some(next) if next > received => {
                self.advance(next, now)?;
                Ok(Event::Handled(Handled::Admin))
            }
            Some(_) | None => {
                let fault = Fault::of(RejectReason::ValueIncorrect, tag::NEW_SEQ_NO);
                self.reject(received, message.msg_type, fault, now, out)?;
                Ok(Event::Handled(Handled::Rejected(fault)))
            }
        }
    }

    /// A number beyond the one expected: asks for what is missing, unless that was done.
    pub(super) fn on_gap(&mut self, received: u64, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let expected = self.store.next_target();
        if received - expected > self.config.gap_max {
            return Err(SessionError::GapTooWide { expected, received });
        }
        if self.gap.is_none() {
            self.gap = Some(Gap { until: received, asked_ns: now.ns, attempts: 1 });
            self.ask(now, out)?;
        }
        Ok(())
    }

    /// Asks again for what is still missing.
    pub(super) fn ask_again(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let Some(gap) = &mut self.gap else { return Ok(()) };
        if gap.attempts >= self.config.resend_attempts_max {
            return Err(SessionError::ResendUnanswered);
        }
        gap.attempts += 1;
        gap.asked_ns = now.ns;
        self.ask(now, out)
    }

    fn ask(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        self.counters.gaps += 1;
        let expected = self.store.next_target();
        self.emit(b"2", now, out, |message| {
            message.number(tag::BEGIN_SEQ_NO, expected).number(tag::END_SEQ_NO, 0);
        })?;
        Ok(())
    }
}
