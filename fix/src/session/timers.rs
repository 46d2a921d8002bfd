//! What a session does when time has passed.

use super::{NS_PER_MS, Session, SessionError, State, after_ms};
use crate::store::Store;
use crate::tag;
use crate::time::Now;

impl<S: Store> Session<S> {
    /// When [`Session::on_timeout`] has something to do; `u64::MAX` when never.
    #[must_use]
    pub fn next_timeout_ns(&self) -> u64 {
        match self.state {
            State::Closed => u64::MAX,
            State::AwaitLogon { deadline_ns }
            | State::LogonPending { deadline_ns, .. }
            | State::AwaitAnswer { deadline_ns, .. } => deadline_ns,
            State::LoggingOut { deadline_ns } => deadline_ns.min(self.alive_ns()),
            State::Active => self.alive_ns().min(self.ask_again_ns()),
        }
    }

    /// Sends what is due: a heartbeat, a test request, a resend request again. Calling it too early does nothing.
    ///
    /// # Errors
    /// A deadline has passed; the session's connection is over.
    pub fn on_timeout(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        if now.ns < self.next_timeout_ns() {
            return Ok(());
        }
        self.due(now, out).map_err(|error| self.fail(error, now, out))
    }

    fn due(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), SessionError> {
        match self.state {
            State::Closed => return Ok(()),
            State::AwaitLogon { .. } | State::LogonPending { .. } | State::AwaitAnswer { .. } => {
                return Err(SessionError::LogonTimeout);
            }
            State::LoggingOut { deadline_ns } if now.ns >= deadline_ns => {
                return Err(SessionError::LogoutTimeout);
            }
            State::LoggingOut { .. } | State::Active => {}
        }
        if now.ns >= self.dead_ns() {
            return Err(SessionError::PeerSilent);
        }
        if now.ns >= self.ask_again_ns() {
            self.ask_again(now, out)?;
        }
        if now.ns >= self.test_ns() {
            self.test_requested = true;
            let id = now.wall_ns / NS_PER_MS;
            self.emit(b"1", now, out, |message| {
                message.number(tag::TEST_REQ_ID, id);
            })?;
        } else if now.ns >= self.heartbeat_ns() {
            self.emit(b"0", now, out, |_| {})?;
        }
        Ok(())
    }

    /// A message came: the peer lives.
    pub(super) fn heard(&mut self, now: Now) {
        self.last_received_ns = now.ns;
        self.test_requested = false;
    }

    fn alive_ns(&self) -> u64 {
        self.heartbeat_ns().min(self.test_ns()).min(self.dead_ns())
    }

    fn heartbeat_ns(&self) -> u64 {
        self.after_intervals(self.last_sent_ns, 10)
    }

    /// A fifth of an interval's grace for the way.
    fn test_ns(&self) -> u64 {
        if self.test_requested { u64::MAX } else { self.after_intervals(self.last_received_ns, 12) }
    }

    fn dead_ns(&self) -> u64 {
        self.after_intervals(self.last_received_ns, 24)
    }

    /// Never, in a session without heartbeats.
    fn after_intervals(&self, from_ns: u64, tenths: u64) -> u64 {
        if self.interval_ns == 0 { u64::MAX } else { from_ns.saturating_add(self.interval_ns / 10 * tenths) }
    }

    fn ask_again_ns(&self) -> u64 {
        self.gap.map_or(u64::MAX, |gap| after_ms(gap.asked_ns, self.config.resend_timeout_ms))
    }
}
