//! A FIX client's session: whose a connection is, its logon, its messages, its end.

use super::config::{self, Authentication, Config, MESSAGE_BYTES_MAX, Reset};
use super::deliver::NoLongerHeld;
use super::kept::{Holding, Remote, Whose};
use super::port::Conn;
use super::store::SessionStore;
use crate::accounts::CompNo;
use crate::app::Gateway;
use crate::check::{Refusal, Sender};
use crate::past::today;
use fix::Now;
use fix::codec::Limits;
use fix::session::{Event, Handled, LogonRequest, SessionError, Takes, identify};
use fix::store::{BatchStore, OnReset, StoreError};
use flow::Seq;
use shard::{ConnId, Cx, Opened, Reason};
use std::net::SocketAddr;
use wire::szse::{Password, Text};

const TAKEN: &str = "taken over by another gateway";
pub(super) const STORE_FAILED: &str = "session store failed";
/// Reasons for which a batch of a session's memory is not taken: the labels of `gateway_fix_store_failures_total`.
pub(crate) const STORE_FAILURES: [&str; 2] = [TAKEN, STORE_FAILED];
pub(super) const LIMITS: Limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, fields_max: 128 };

/// Where a session stands with its reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not logged on: no message is made for it.
    Away,
    /// It goes on from here as it can.
    Behind(Seq),
    /// It gets them as they come.
    Live,
}

/// Why a session's connection is ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is over already.
    Gone,
    /// The session machine says so; where the client is to know, its Logout is written.
    Session(SessionError),
    /// It reads so slowly that its reports were let go.
    NotRead,
}

/// One session, whether it is connected or not.
pub(super) struct Session {
    pub(super) comp_no: CompNo,
    pub(super) comp_id: Text<20>,
    authentication: Authentication,
    /// The account of a message without one; blank where each must have it.
    pub(super) default_account: Text<12>,
    pub(super) engine: fix::session::Session<SessionStore>,
    /// Of a memory that is kept elsewhere.
    pub(super) remote: Option<Remote>,
    pub(super) conn: Option<ConnId>,
    pub(super) place: Place,
    /// Of an earlier session of which nothing is known here: what stands before this place in the port's log, and what
    /// happened before this time (milliseconds since 1970), may have been sent by it.
    pub(super) earlier: Option<(Seq, u64)>,
    pub(super) touched: bool,
    /// The second in which messages are being counted, and how many came.
    second: u64,
    in_second: u32,
    garbled: u32,
    /// Of a memory that is kept elsewhere, how much of it is held.
    memory_bytes_max: usize,
    /// Requests forwarded, and refused.
    pub(super) requests: u64,
    pub(super) refused: u64,
}

impl Session {
    pub(super) fn new(
        config: &Config,
        settings: &config::Session,
        (comp_no, only_account): (CompNo, Option<Text<12>>),
        (store, remote): (SessionStore, Option<Remote>),
        out_bytes_max: usize,
    ) -> Self {
        let name = |text: Text<20>| text.to_string();
        let of_engine = fix::session::Config {
            heart_bt_s_min: config.heartbeat_s_min,
            heart_bt_s_max: config.heartbeat_s_max,
            accept_reset: config.reset != Reset::Refuse,
            on_reset: if config.reset == Reset::Replay { OnReset::Replay } else { OnReset::Continue },
            limits: LIMITS,
            logon_timeout_ms: config.logon_timeout_ms,
            logout_timeout_ms: config.logout_timeout_ms,
            sending_time_slack_ms: config.sending_time_slack_ms,
            resend_burst_bytes: out_bytes_max / 4,
            ..fix::session::Config::new(&name(config.comp_id), &name(settings.comp_id), Takes::Orders)
        };
        let stated = Some(settings.default_account).filter(|account| !account.is_blank());
        Self {
            comp_no,
            comp_id: settings.comp_id,
            authentication: settings.authentication,
            default_account: stated.or(only_account).unwrap_or(Text::BLANK),
            engine: fix::session::Session::new(of_engine, store),
            remote,
            memory_bytes_max: config.store.memory_bytes_max,
            conn: None,
            place: Place::Away,
            earlier: None,
            touched: false,
            second: 0,
            in_second: 0,
            garbled: 0,
            requests: 0,
            refused: 0,
        }
    }

    /// As whom it sends orders.
    #[inline]
    pub(super) fn sender(&self) -> Sender {
        Sender { comp_no: self.comp_no, roams: self.remote.is_some() }
    }

    /// Nothing may come of it, and nothing go to it: its memory is on its way.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.remote.as_ref().is_some_and(Remote::waits)
    }

    /// Its memory, which is kept elsewhere, is not known here: the next logon reads it. Returns how many refusals of cores are lost
    /// with what was not kept yet.
    #[must_use]
    pub(super) fn forget(&mut self, whose: Whose) -> u64 {
        let Some(remote) = &mut self.remote else { return 0 };
        *self.engine.store_mut() = SessionStore::Elsewhere(Box::new(BatchStore::new(self.memory_bytes_max)));
        remote.forget(whose)
    }

    /// Whose its memory is.
    pub(super) fn holding(&self) -> Holding {
        self.remote.as_ref().map_or(Holding::Ours, Remote::holding)
    }

    /// A core's refusal of a request was numbered in its memory.
    pub(super) fn refusal_numbered(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.refusal_numbered();
        }
    }

    /// Counts a message; whether there are too many of them in this second.
    #[inline]
    fn is_flood(&mut self, now_ns: u64, per_s_max: u32) -> bool {
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        self.in_second > per_s_max
    }
}

/// The time of this turn.
#[inline]
pub(super) fn now(cx: &Cx) -> Now {
    Now { ns: cx.now_ns(), wall_ns: cx.wall_ns().max(0).cast_unsigned() }
}

/// Why a session is over, in a few words that stay the same.
pub(super) const fn label(error: SessionError) -> &'static str {
    match error {
        SessionError::Closed => "logged out",
        SessionError::NotLogon => "first message is not a logon",
        SessionError::BadLogon(_) => "logon not valid",
        SessionError::WrongSession => "not for this session",
        SessionError::EncryptMethod => "EncryptMethod",
        SessionError::HeartBtInt { .. } => "HeartBtInt out of range",
        SessionError::Reset => "ResetSeqNumFlag not taken",
        SessionError::SecondLogon => "second logon",
        SessionError::NoNumber => "MsgSeqNum missing",
        SessionError::TooLow { .. } => "MsgSeqNum too low",
        SessionError::GapTooWide { .. } => "MsgSeqNum gap too wide",
        SessionError::ResendUnanswered => "ResendRequest not answered",
        SessionError::LogonTimeout => "logon timeout",
        SessionError::LogoutTimeout => "logout timeout",
        SessionError::PeerSilent => "heartbeat timeout",
        SessionError::Store(StoreError::Taken) => TAKEN,
        SessionError::Store(_) => STORE_FAILED,
    }
}

impl Gateway {
    pub(crate) fn fix_opened(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        self.fix.opened(id, opened, cx.now_ns());
        cx.pause_reading(id, self.lines.paused());
    }

    /// What a client of the FIX port has sent.
    #[inline]
    pub(crate) fn fix_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let known = match self.fix.conn(id) {
            Some(conn) => conn.session,
            None => return Ok(data.len()),
        };
        if known.is_some_and(|number| self.fix_waits(number)) {
            return Ok(0);
        }
        let number = match known {
            Some(number) => number,
            None => match self.fix_identify(cx, id, data)? {
                Some(number) => number,
                None => return Ok(0),
            },
        };
        let taken = self.fix_messages(cx, id, number, data).or_else(|reason| {
            // What it is told must be safe before it is.
            self.fix_close_later(number, reason).map_or(Ok(data.len()), Err)
        });
        self.fix.touch(number);
        if self.fix.sessions[number].engine.has_backlog()
            && !matches!(self.fix.sessions[number].place, Place::Behind(_))
        {
            self.fix.fall_behind(number, self.fix.given);
        }
        if !self.out.is_empty() {
            self.flush(cx, id);
            // Who does not read its answers is not asked for more, until all is written.
            if cx.waiting_bytes(id) > self.settings.out_bytes_max / 2 {
                cx.pause_reading(id, true);
            }
        }
        taken
    }

    /// Whose logon a connection begins with.
    fn fix_identify(&mut self, cx: &Cx, id: ConnId, data: &[u8]) -> Result<Option<usize>, Reason> {
        let identity = match identify(data, &LIMITS) {
            Ok(Some(identity)) => identity,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.fix_logon_failed(cx, id, None, label(error))),
        };
        let claims = Some(Text::truncated(&String::from_utf8_lossy(identity.peer)));
        let found = Text::new(identity.peer).ok().and_then(|name| self.desk.accounts.find(name));
        let found = found.and_then(|comp_no| self.fix.session_of(comp_no));
        let session = found.map(|number| &self.fix.sessions[number]);
        let wrong = match session {
            None => Some("unknown CompID"),
            Some(session) if identity.us != session.engine.config().sender_comp_id.as_bytes() => {
                Some("unknown TargetCompID")
            }
            Some(session) if session.conn.is_some() => Some("connected already"),
            Some(session) if session.waits() => Some("its store is at work for the connection before"),
            // Else who comes again and again would keep it from being asked.
            Some(session) if session.remote.is_some() && self.left.is_over(session.comp_no, cx.now_ns()) => {
                Some("its store is at work for the connection before")
            }
            Some(_) => None,
        };
        let number = match (found, wrong) {
            (Some(number), None) => number,
            (_, wrong) => {
                return Err(self.fix_logon_failed(cx, id, claims, wrong.unwrap_or("unknown CompID")));
            }
        };
        let session = &mut self.fix.sessions[number];
        session.engine.accept(now(cx));
        session.conn = Some(id);
        session.garbled = 0;
        if let Some(conn) = self.fix.conn(id) {
            conn.session = Some(number);
        }
        Ok(Some(number))
    }

    /// Counts and tells that a logon is refused: in the log and, where it says who it is of, in the audit, as binary ones are.
    #[cold]
    fn fix_logon_failed(
        &mut self,
        cx: &Cx,
        id: ConnId,
        comp_id: Option<Text<20>>,
        reason: &'static str,
    ) -> Reason {
        self.metrics.fix_logons_refused.with_label_values(&[reason]).inc();
        let Some(conn) = self.fix.conn(id) else { return Reason::App(reason) };
        conn.refused = true;
        let peer = conn.peer;
        self.fix_logon_refused(cx, comp_id, peer, reason);
        Reason::App(reason)
    }

    fn fix_logon_refused(&mut self, cx: &Cx, comp_id: Option<Text<20>>, peer: SocketAddr, reason: &str) {
        match comp_id {
            Some(comp_id) => {
                tracing::warn!(%comp_id, %peer, reason, "FIX logon refused");
                self.audit_session(cx, Some(comp_id), peer, ("FIX logon refused", reason));
            }
            None => tracing::warn!(%peer, reason, "FIX logon refused"),
        }
    }

    #[inline]
    fn fix_messages(&mut self, cx: &mut Cx, id: ConnId, number: usize, data: &[u8]) -> Result<usize, Reason> {
        let now = now(cx);
        let (per_s_max, garbled_max) = (self.fix.messages_per_s_max, self.fix.garbled_max);
        let mut consumed = 0;
        loop {
            let session = &mut self.fix.sessions[number];
            let received = match session.engine.receive(&data[consumed..], now, &mut self.out) {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(consumed),
                Err(error) => return Err(self.fix_failed(cx, number, error)),
            };
            let begin = consumed;
            consumed += received.consumed;
            self.fix.counts.messages_in += 1;
            // Its number is taken: what it asks is done, and the session ends behind it.
            let flood = session.is_flood(now.ns, per_s_max);
            match received.event {
                Event::Application { message, number: seq, may_repeat } => {
                    self.fix_application(cx, number, &message, (seq, may_repeat), now)?;
                }
                Event::LogonRequest(request) => {
                    self.fix_logon(cx, id, number, &request, now)?;
                    if self.fix_waits(number) {
                        return Ok(consumed);
                    }
                }
                Event::LoggedOut { .. } => return Err(Reason::App("logged out")),
                Event::Handled(Handled::Garbled(_)) => {
                    self.fix.counts.garbled += 1;
                    session.garbled += 1;
                    if session.garbled > garbled_max {
                        return Err(self.fix_expel(number, "garbled stream", now));
                    }
                }
                Event::Handled(Handled::Rejected(fault)) => {
                    self.fix.counts.rejects += 1;
                    self.fix_audit_rejected(cx, number, &data[begin..consumed], fault);
                }
                Event::Handled(Handled::Unsupported) => self.fix.counts.rejects += 1,
                // The numbers began anew within the session; so do the reports, where that is configured.
                Event::Handled(Handled::Reset) => {
                    self.fix_begin(cx, number, true, now).map_err(|_| Reason::App("reset"))?;
                }
                Event::Handled(Handled::Admin | Handled::OutOfSequence | Handled::Duplicate)
                | Event::Rejected(_) => {}
                Event::LoggedOn => unreachable!("a client's session accepts"),
            }
            if flood {
                return Err(self.fix_expel(number, "too many messages", now));
            }
        }
    }

    fn fix_logon(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        number: usize,
        request: &LogonRequest<'_>,
        now: Now,
    ) -> Result<(), Reason> {
        if let Err(text) = self.fix_admits(cx, id, number, request) {
            return Err(self.fix_refuse(cx, id, number, text));
        }
        if self.fix_claim(cx, id, number, request.reset) {
            return Ok(());
        }
        self.fix_admitted(cx, id, number, request.reset, now)
    }

    /// Its logon is refused: the client is told why. Where the session is kept elsewhere and is not this gateway's yet it is not: a
    /// Logout has a number, by which what the client expects goes up, and none can be given.
    pub(super) fn fix_refuse(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        number: usize,
        text: &'static str,
    ) -> Reason {
        let session = &mut self.fix.sessions[number];
        if session.remote.as_ref().is_some_and(|remote| !remote.is_ours()) {
            session.engine.disconnected();
            let comp_id = session.comp_id;
            return self.fix_logon_failed(cx, id, Some(comp_id), text);
        }
        let (told, comp_id) = (session.engine.refuse_logon(text, now(cx), &mut self.out), session.comp_id);
        self.fix_logon_failed(cx, id, Some(comp_id), text);
        match told {
            Ok(()) => Reason::App("logon refused"),
            Err(error) => self.fix_failed(cx, number, error.into()),
        }
    }

    /// A logon by whom it says, of a session that is this gateway's.
    pub(super) fn fix_admitted(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        number: usize,
        reset: bool,
        now: Now,
    ) -> Result<(), Reason> {
        if !reset && self.fix.place_of(number, self.lines.flows()).is_err() {
            let text = "reports no longer held: log on with ResetSeqNumFlag";
            return Err(self.fix_refuse(cx, id, number, text));
        }
        let session = &mut self.fix.sessions[number];
        if let Err(error) = session.engine.accept_logon(now, &mut self.out) {
            return Err(self.fix_failed(cx, number, error));
        }
        self.left.came_back(session.comp_no);
        self.metrics.logons.inc();
        self.metrics.fix_sessions.inc();
        let comp_id = self.fix.sessions[number].comp_id;
        tracing::info!(%comp_id, reset, "logged on by FIX");
        if let Some(peer) = self.fix.conn(id).map(|conn| conn.peer) {
            self.audit_session(cx, Some(comp_id), peer, ("logged on by FIX", ""));
        }
        self.fix_begin(cx, number, reset, now).map_err(|_| Reason::App("reports no longer held"))
    }

    /// From where a session that has logged on, or begun its numbers anew, gets its reports.
    fn fix_begin(&mut self, cx: &Cx, number: usize, reset: bool, now: Now) -> Result<(), NoLongerHeld> {
        let from = match self.fix.place_of(number, self.lines.flows()) {
            // Who begins anew gives up what it cannot have.
            Err(NoLongerHeld) if reset => self.fix.reader.start(),
            from => from?,
        };
        let fresh = !self.fix.has_marks(number, self.lines.flows(), today(cx.wall_ns()));
        self.fix.sessions[number].earlier = fresh.then_some((self.fix.reader.end(), now.wall_ns / 1_000_000));
        self.fix.fall_behind(number, from);
        Ok(())
    }

    fn fix_admits(
        &self,
        cx: &Cx,
        id: ConnId,
        number: usize,
        request: &LogonRequest<'_>,
    ) -> Result<(), &'static str> {
        let session = &self.fix.sessions[number];
        if self.desk.closing {
            return Err(Refusal::Closing.text());
        }
        let named = request.username.is_empty() || request.username == session.comp_id.trimmed();
        let password = Password::new(request.password).ok();
        let right = password.is_some_and(|password| {
            self.desk.accounts.authenticate(session.comp_id, &password) == Some(session.comp_no)
        });
        let shown = cx.peer_name(id).is_some_and(|name| name.as_bytes() == session.comp_id.trimmed());
        match session.authentication {
            Authentication::Password if named && right => Ok(()),
            Authentication::Certificate if named && shown => Ok(()),
            Authentication::Both if named && right && shown => Ok(()),
            Authentication::Password => Err("Username or Password is wrong"),
            Authentication::Certificate => Err("the certificate is not this CompID's"),
            Authentication::Both => Err("certificate, Username or Password is wrong"),
        }
    }

    /// The session machine has ended the connection.
    #[cold]
    pub(super) fn fix_failed(&mut self, cx: &mut Cx, number: usize, error: SessionError) -> Reason {
        if let SessionError::Store(error) = error {
            self.out.clear();
            self.fix_store_failed(cx, number, error);
        }
        Reason::App(label(error))
    }

    /// Ends a session for what the client does: it is told why.
    #[cold]
    pub(super) fn fix_expel(&mut self, number: usize, why: &'static str, now: Now) -> Reason {
        let session = &mut self.fix.sessions[number];
        match session.engine.log_out(why, now, &mut self.out) {
            Ok(()) => Reason::App(why),
            Err(_) => Reason::App(STORE_FAILED),
        }
    }

    /// Ends the session of a connection by an operator's word, which its Logout tells.
    #[cold]
    pub(crate) fn fix_dismiss(&mut self, cx: &mut Cx, id: ConnId, why: &'static str) {
        let number = self.fix.conn(id).and_then(|conn| conn.session);
        match number.filter(|number| self.fix.sessions[*number].engine.is_active()) {
            Some(number) => {
                let reason = self.fix_expel(number, why, now(cx));
                self.fix.touch(number);
                self.flush(cx, id);
                self.fix_close(cx, number, id, reason);
            }
            // It is not logged on: no Logout is owed to it.
            None => cx.close(id, Reason::App(why)),
        }
    }

    /// Ends a session from the side of its reports.
    pub(super) fn fix_end(&mut self, cx: &mut Cx, number: usize, ended: Ended) {
        let Some(conn) = self.fix.sessions[number].conn else { return };
        let reason = match ended {
            Ended::Gone => return,
            Ended::Session(error) => self.fix_failed(cx, number, error),
            Ended::NotRead => self.fix_expel(number, "reports not read and no longer held", now(cx)),
        };
        self.fix.touch(number);
        self.flush(cx, conn);
        self.fix_close(cx, number, conn, reason);
    }

    /// All that waited for a connection is written.
    pub(crate) fn fix_drained(&mut self, cx: &mut Cx, id: ConnId) {
        let session = self.fix.conn(id).and_then(|conn| conn.session);
        if !self.lines.paused() && !session.is_some_and(|number| self.fix_waits(number)) {
            cx.pause_reading(id, false);
        }
    }

    /// Clients of the FIX port are not read from, or are again.
    pub(crate) fn fix_pause(&mut self, cx: &mut Cx, paused: bool) {
        let waits = |conn: &Conn| conn.session.is_some_and(|number| self.fix_waits(number));
        for conn in self.fix.conns().filter(|conn| paused || !waits(conn)) {
            cx.pause_reading(conn.id, paused);
        }
    }

    /// Deadlines and heartbeats; `excused`: what clients sent may not have been read.
    pub(crate) fn fix_timeouts(&mut self, cx: &mut Cx, excused: bool) {
        let now = now(cx);
        let deadline_ns = now.ns.saturating_sub(self.fix.logon_timeout_ns);
        for conn in self.fix.conns().filter(|conn| conn.session.is_none() && !excused) {
            if conn.since_ns < deadline_ns {
                cx.close(conn.id, Reason::App(label(SessionError::LogonTimeout)));
            }
        }
        for number in 0..self.fix.sessions.len() {
            let session = &mut self.fix.sessions[number];
            let Some(conn) = session.conn.filter(|_| !session.waits()) else { continue };
            if excused {
                session.engine.excuse(now);
            }
            if session.engine.next_timeout_ns() > now.ns {
                continue;
            }
            let ended = session.engine.on_timeout(now, &mut self.out);
            self.fix.touch(number);
            match ended {
                Ok(()) => self.flush(cx, conn),
                Err(error) => {
                    let reason = self.fix_failed(cx, number, error);
                    self.flush(cx, conn);
                    self.fix_close(cx, number, conn, reason);
                }
            }
        }
    }

    /// Asks all clients to leave.
    pub(crate) fn fix_log_out(&mut self, cx: &mut Cx) {
        let now = now(cx);
        let idle: Vec<ConnId> =
            self.fix.conns().filter(|conn| conn.session.is_none()).map(|conn| conn.id).collect();
        idle.into_iter().for_each(|id| cx.close(id, Reason::App(Refusal::Closing.text())));
        for number in 0..self.fix.sessions.len() {
            let session = &mut self.fix.sessions[number];
            let Some(conn) = session.conn else { continue };
            let told = session.engine.log_out(Refusal::Closing.text(), now, &mut self.out);
            let over = told.is_err() || !session.engine.is_connected();
            self.fix.touch(number);
            self.flush(cx, conn);
            if over {
                self.fix_close(cx, number, conn, Reason::App(Refusal::Closing.text()));
            }
        }
    }

    /// A connection of the FIX port has ended.
    pub(crate) fn fix_closed(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        let Some(conn) = self.fix.closed(id) else { return };
        let label = crate::session::end(reason);
        self.metrics.session_ended.with_label_values(&[label]).inc();
        let Some(number) = conn.session else { return };
        let session = &mut self.fix.sessions[number];
        let was_on = !matches!(session.place, Place::Away) || session.engine.is_active();
        if was_on {
            tracing::info!(comp_id = %session.comp_id, peer = %conn.peer, reason = label, "FIX session ended");
            let comp_id = session.comp_id;
            self.audit_session(cx, Some(comp_id), conn.peer, ("FIX session ended", label));
        } else if !conn.refused && matches!(reason, Reason::App(_)) {
            // The session machine has refused it, for what stands in the logon.
            let comp_id = session.comp_id;
            self.metrics.fix_logons_refused.with_label_values(&[label]).inc();
            self.fix_logon_refused(cx, Some(comp_id), conn.peer, label);
        }
        let session = &mut self.fix.sessions[number];
        session.engine.disconnected();
        session.place = Place::Away;
        session.conn = None;
        let comp_no = session.comp_no;
        let (mut claiming, taken) = (false, reason == Reason::App(TAKEN));
        if let Some(remote) = &mut session.remote {
            claiming = remote.is_claimed_for(id);
            remote.left();
            self.session_left(comp_no);
            if taken {
                self.session_went_on(comp_no);
            }
        }
        self.metrics.fix_sessions.set(self.fix_logged_on());
        // A logout that the store has not got yet.
        self.fix.touch(number);
        if was_on {
            self.session_gone(cx, comp_no, conn.peer, reason);
        } else if claiming {
            // The claim comes to the stream behind its connection's end.
            self.session_not_admitted(cx, comp_no, conn.peer, 0);
        }
    }

    fn fix_logged_on(&self) -> i64 {
        self.fix.sessions.iter().filter(|session| session.engine.is_active()).count() as i64
    }
}
