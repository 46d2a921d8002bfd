//! Hot path: a client's session: its logon, its requests on their way to a core, the place where its reports begin.
//!
//! Rules: no allocation for a request, one copy of its bytes (into the line's), answers into one buffer that is sent
//! once for all that was read. Logon and synchronisation, once a session, may allocate.

use crate::accounts::CompNo;
use crate::app::{Gateway, LOG};
use crate::audit::Health;
use crate::check::{Moment, Refusal, Rule, Sender};
use crate::flight::Identity;
use crate::route;
use crate::sync::{SyncError, Wanted};
use flow::Selection;
use shard::{ConnId, Cx, Reason};
use std::net::SocketAddr;
use wire::szse::code::{PlatformId, PlatformState, SessionStatus, VERSION_TRADING};
use wire::szse::session::{Event, LogonRefusal, Session};
use wire::szse::trading::{
    BusinessReject, NewOrder, OrderCancelRequest, PlatformInfo, PlatformStateInfo, ReportSynchronization,
    RequestBase,
};
use wire::szse::{
    DecodeError, Frame, GroupMessage, Heartbeat, I32, I64, Logon, Message, Text, Timestamp, frame,
};

/// The shortest interval between two heartbeats: HeartBtInt is of whole seconds.
const HEARTBEAT_NS_MIN: u64 = 1_000_000_000;

/// One client's connection.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) peer: SocketAddr,
    pub(crate) since_ns: u64,
    /// Who it is, once logged on.
    pub(crate) comp: Option<CompNo>,
    pub(crate) following: Following,
    /// Orders and cancels forwarded.
    pub(crate) requests: u64,
    /// Requests refused.
    pub(crate) refused: u64,
}

/// How far a client is on its way to its reports.
pub(crate) enum Following {
    /// It has not said from where it wants them.
    NotYet,
    /// It knows more than the gateway does, which is catching up.
    Waiting { wanted: Wanted, until_ns: u64 },
    /// They come out of the log.
    Reports,
}

impl Following {
    /// In a word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotYet => "not synchronised",
            Self::Waiting { .. } => "waiting",
            Self::Reports => "following",
        }
    }
}

/// What a frame leads to.
enum Outcome {
    /// It was dealt with.
    Done,
    /// It is answered with a BusinessReject.
    Refused(Refusal, Option<(RequestBase, Text<10>)>),
}

/// Why a client's connection has ended, in words that stay the same.
pub(crate) const fn end(reason: Reason) -> &'static str {
    match reason {
        Reason::PeerClosed => "peer closed",
        Reason::Io(_) => "connection failed",
        Reason::Tls(text) => text,
        Reason::OutboundFull => "answers not read",
        Reason::InboundFull => "frame too large",
        Reason::Overrun => "reports not read",
        Reason::App(text) => text,
        Reason::Stopped => "gateway stopped",
    }
}

impl Gateway {
    /// What a client has sent.
    pub(crate) fn client_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let taken = self.client_frames(cx, id, data);
        if !self.out.is_empty() {
            self.flush(cx, id);
            // Who does not read its answers is not asked for more, until `on_drained`.
            if cx.waiting_bytes(id) > self.settings.out_bytes_max / 2 {
                cx.pause_reading(id, true);
            }
        }
        taken
    }

    /// All answers are written.
    pub(crate) fn client_drained(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.lines.paused() {
            cx.pause_reading(id, false);
        }
    }

    #[inline]
    fn client_frames(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let mut consumed = 0;
        loop {
            let Some(client) = self.peers.client(id) else { return Ok(data.len()) };
            let received = client.session.receive(&data[consumed..], now_ns, &mut self.out);
            let Some(received) = received.map_err(|error| Reason::App(error.text()))? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => self.request(cx, id, frame)?,
                Event::Heartbeat => {}
                Event::LogonRequest(logon) => self.client_logon(cx, id, logon)?,
                Event::LoggedOut(_) => return Err(Reason::App("logged out")),
                Event::LoggedOn(_) | Event::LogonRefused(_) => unreachable!("a client's session accepts"),
            }
        }
    }

    #[inline]
    fn request(&mut self, cx: &mut Cx, id: ConnId, frame: Frame<'_>) -> Result<(), Reason> {
        let outcome = match frame.msg_type {
            NewOrder::MSG_TYPE => frame.view().map(|request| self.new_order(cx, id, frame, request)),
            OrderCancelRequest::MSG_TYPE => frame.view().map(|request| self.cancel(cx, id, frame, request)),
            ReportSynchronization::MSG_TYPE => match frame.group() {
                Ok(wanted) => Ok(self.synchronize(cx, id, &wanted)?),
                Err(error) => Err(error),
            },
            _ => Ok(Outcome::Refused(Refusal::UnsupportedMessage, None)),
        };
        match outcome {
            Ok(Outcome::Done) => Ok(()),
            Ok(Outcome::Refused(refusal, request)) => {
                self.refuse(cx, id, frame.msg_type, refusal, request.as_ref());
                match refusal {
                    Refusal::Rule(Rule::SessionThrottled) => self.end_flood(id),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(self.end_malformed(id, error)),
        }
    }

    #[inline]
    fn new_order(&mut self, cx: &mut Cx, id: ConnId, frame: Frame<'_>, request: &NewOrder) -> Outcome {
        let Some((_, comp_no)) = self.peers.logged_on(id) else { return Outcome::Done };
        let sender = Sender::staying(comp_no);
        let placed = self.place(cx, sender, request, |out| out.extend_from_slice(frame.bytes));
        self.outcome(id, placed, (request.base, request.cl_ord_id))
    }

    #[inline]
    fn cancel(&mut self, cx: &mut Cx, id: ConnId, frame: Frame<'_>, request: &OrderCancelRequest) -> Outcome {
        let Some((_, comp_no)) = self.peers.logged_on(id) else { return Outcome::Done };
        let withdrawn =
            self.withdraw(cx, comp_no, request, |named, out| match request.order_id == named.order_id {
                true => out.extend_from_slice(frame.bytes),
                false => frame::encode(named, out),
            });
        self.outcome(id, withdrawn, (request.base, request.cl_ord_id))
    }

    #[inline]
    fn outcome(
        &mut self,
        id: ConnId,
        forwarded: Result<(), Refusal>,
        request: (RequestBase, Text<10>),
    ) -> Outcome {
        match (forwarded, self.peers.client(id)) {
            (Ok(()), Some(client)) => {
                client.requests += 1;
                Outcome::Done
            }
            (Ok(()), None) => Outcome::Done,
            (Err(refusal), _) => Outcome::Refused(refusal, Some(request)),
        }
    }

    /// An order's walk from any port: checked, and with `write` into the bytes of its core's line.
    #[inline]
    pub(crate) fn place(
        &mut self,
        cx: &mut Cx,
        sender: Sender,
        request: &NewOrder,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let (at, comp_no) = (Moment::of(cx), sender.comp_no);
        let forwarded = self.desk.new_order(at, comp_no, request).and_then(|(account, core)| {
            let identity = Identity::order(account, request.cl_ord_id);
            self.lines.forward(cx, core, identity, write)?;
            self.counts.orders[core as usize] += 1;
            self.desk.sent(at, sender, (account, core), request);
            self.fix.sent(account, request);
            Ok(())
        });
        self.trace_placed(cx, comp_no, request, forwarded);
        self.throttle(cx);
        // Where there is no room left, what was refused is only counted.
        let room = forwarded.is_ok() || self.desk.audit != Health::Nothing;
        if let Some(audit) = self.audit.as_mut().filter(|_| room) {
            let core = route::order(request.ext.cash_margin).ok();
            let comp_id = self.desk.accounts[comp_no].comp_id;
            audit.request(at.wall_ns, comp_id, (core, forwarded), |out| frame::encode(request, out));
        }
        forwarded
    }

    /// A cancel's walk from any port; `write` is given the request with the OrderID of the order that it means.
    #[inline]
    pub(crate) fn withdraw(
        &mut self,
        cx: &mut Cx,
        comp_no: CompNo,
        request: &OrderCancelRequest,
        write: impl FnOnce(&OrderCancelRequest, &mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let at = Moment::of(cx);
        let (mut core, mut named) = (None, *request);
        let forwarded = self.desk.cancel(at, comp_no, request).and_then(|order| {
            core = Some(order.core);
            named.order_id = order.order_id;
            let identity = Identity::cancel(order.account, request.cl_ord_id, order.cl_ord_id);
            self.lines.forward(cx, order.core, identity, |out| write(&named, out))?;
            self.counts.cancels[order.core as usize] += 1;
            self.desk.cancel_sent(at, &order, request);
            Ok(())
        });
        self.throttle(cx);
        let room = forwarded.is_ok() || self.desk.audit != Health::Nothing;
        if let Some(audit) = self.audit.as_mut().filter(|_| room) {
            let comp_id = self.desk.accounts[comp_no].comp_id;
            audit.request(at.wall_ns, comp_id, (core, forwarded), |out| frame::encode(&named, out));
        }
        forwarded
    }

    /// Writes into the audit that a client came, or was not let in, or left.
    pub(crate) fn audit_session(
        &mut self,
        cx: &Cx,
        comp_id: Option<Text<20>>,
        peer: SocketAddr,
        what: (&str, &str),
    ) {
        if let Some(audit) = &mut self.audit {
            audit.session(cx.wall_ns(), comp_id, peer, what);
        }
    }

    fn refuse(
        &mut self,
        cx: &Cx,
        id: ConnId,
        msg_type: u32,
        refusal: Refusal,
        request: Option<&(RequestBase, Text<10>)>,
    ) {
        let Some(client) = self.peers.client(id) else { return };
        client.refused += 1;
        self.counts.refused[refusal.index()] += 1;
        let time = Timestamp::from_unix_ns(cx.wall_ns().max(0).cast_unsigned());
        let request = request.map(|(base, cl_ord_id)| (base, *cl_ord_id));
        let answer = refusal.answer((msg_type, client.session.received()), request, time);
        frame::encode(&answer, &mut self.out);
    }

    /// A session that goes on sending though it is refused for sending too much is ended, where that is configured.
    fn end_flood(&mut self, id: ConnId) -> Result<(), Reason> {
        const TEXT: &str = "too many orders";
        let flood = self.peers.logged_on(id).is_some_and(|(_, comp_no)| self.desk.checks.is_flood(comp_no));
        if flood {
            self.end_client(id, SessionStatus::OTHER, TEXT);
            return Err(Reason::App(TEXT));
        }
        Ok(())
    }

    /// A message whose body is not what its type says: what comes after it is not to be trusted.
    fn end_malformed(&mut self, id: ConnId, error: DecodeError) -> Reason {
        let error = wire::szse::session::SessionError::Frame(error);
        self.end_client(id, error.session_status(), error.text());
        Reason::App(error.text())
    }

    /// Ends the session of the client whose bytes are being taken; its connection is closed by who asked for this.
    fn end_client(&mut self, id: ConnId, status: SessionStatus, text: &str) {
        if let Some(client) = self.peers.client(id) {
            client.session.end(status, text, &mut self.out);
        }
    }

    fn client_logon(&mut self, cx: &mut Cx, id: ConnId, logon: &Logon) -> Result<(), Reason> {
        let comp_no = match self.authenticated(logon) {
            Ok(comp_no) => comp_no,
            Err(refusal) => {
                self.metrics.logons_refused.with_label_values(&[refusal.text()]).inc();
                if let Some(client) = self.peers.client(id) {
                    client.session.refuse(refusal, &mut self.out);
                    let (comp_id, peer) = (logon.sender_comp_id, client.peer);
                    tracing::warn!(%comp_id, %peer, reason = refusal.text(), "logon refused");
                    let what = ("logon refused", refusal.text());
                    self.audit_session(cx, Some(logon.sender_comp_id), peer, what);
                }
                return Err(Reason::App("logon refused"));
            }
        };
        if let Some(before) = self.by_comp[comp_no].replace(id) {
            self.supersede(cx, before);
        }
        self.left.came_back(comp_no);
        let now_ns = cx.now_ns();
        if let Some(client) = self.peers.client(id) {
            client.session.accept(VERSION_TRADING, now_ns, &mut self.out);
            client.comp = Some(comp_no);
            self.metrics.logons.inc();
            self.metrics.sessions.inc();
            tracing::info!(comp_id = %logon.sender_comp_id, peer = %client.peer, "logged on");
            let peer = client.peer;
            self.audit_session(cx, Some(logon.sender_comp_id), peer, ("logged on", ""));
        }
        self.welcome();
        Ok(())
    }

    fn authenticated(&self, logon: &Logon) -> Result<CompNo, LogonRefusal> {
        if self.desk.closing {
            return Err(LogonRefusal::NotNow);
        }
        let ours = self.settings.comp_id;
        if !ours.is_blank() && logon.target_comp_id != ours {
            return Err(LogonRefusal::Credentials);
        }
        let comp_no = self.desk.accounts.authenticate(logon.sender_comp_id, &logon.password);
        comp_no.ok_or(LogonRefusal::Credentials)
    }

    /// The same client has logged on again: what is left of its session before is ended. It is most often a
    /// connection that the client lost and the gateway has not missed yet.
    fn supersede(&mut self, cx: &mut Cx, before: ConnId) {
        const TEXT: &str = "logged on from elsewhere";
        if let Some(client) = self.peers.client(before) {
            cx.send(before, |out| client.session.end(SessionStatus::OTHER, TEXT, out));
            cx.close(before, Reason::App(TEXT));
        }
    }

    /// What a client is told after its logon: the partitions of all cores, as it sees them.
    fn welcome(&mut self) {
        let partitions: Vec<I32> = self.lines.lanes().map(|(lane, _)| I32::new(i32::from(lane))).collect();
        let info = PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &partitions };
        info.encode(&mut self.out).expect("invariant: configuration allows no more partitions");
        frame::encode(&self.platform_state(), &mut self.out);
    }

    /// Open while a core takes orders.
    pub(crate) fn platform_state(&self) -> PlatformStateInfo {
        let open = self.desk.up.contains(&true);
        let platform_state = if open { PlatformState::OPEN } else { PlatformState::HALT };
        PlatformStateInfo { platform_id: PlatformId::CASH_AUCTION, platform_state }
    }

    /// A client says from where it wants its reports: once a session.
    fn synchronize(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        message: &ReportSynchronization<'_>,
    ) -> Result<Outcome, Reason> {
        let until_ns = cx.now_ns() + self.settings.synchronization_timeout_ns;
        let lines = &self.lines;
        let wanted = Wanted::new(message, |lane| lines.lanes().any(|(other, _)| other == lane));
        match (wanted, self.peers.client(id)) {
            (Err(error), _) => Err(self.end_unsynchronised(id, error)),
            (Ok(wanted), Some(client)) if matches!(client.following, Following::NotYet) => {
                client.following = Following::Waiting { wanted, until_ns };
                match self.follow(cx, id) {
                    Ok(true) => Ok(Outcome::Done),
                    Ok(false) => {
                        self.waiting.push(id);
                        Ok(Outcome::Done)
                    }
                    Err(error) => Err(self.end_unsynchronised(id, error)),
                }
            }
            _ => Ok(Outcome::Refused(Refusal::SecondSynchronization, None)),
        }
    }

    /// Lets a waiting client have its reports; `false` while the gateway has not got as far as the client.
    fn follow(&mut self, cx: &mut Cx, id: ConnId) -> Result<bool, SyncError> {
        let Some((client, comp_no)) = self.peers.logged_on(id) else { return Ok(true) };
        let Following::Waiting { wanted, until_ns } = &client.following else { return Ok(true) };
        match wanted.reached(self.lines.lanes()) {
            Ok(()) => {}
            Err(_) if cx.now_ns() < *until_ns => return Ok(false),
            Err(error) => return Err(error),
        }
        let (cursor, floors) = wanted.place(cx.log(LOG), self.lines.lanes())?;
        let filter = self.desk.accounts[comp_no].filter();
        cx.attach(id, LOG, cursor, Selection::new(filter).from_numbers(floors));
        client.following = Following::Reports;
        Ok(true)
    }

    /// Looks again at the clients that were ahead of the gateway.
    pub(crate) fn follow_waiting(&mut self, cx: &mut Cx) {
        for index in (0..self.waiting.len()).rev() {
            let id = self.waiting[index];
            let done = self.follow(cx, id).unwrap_or_else(|error| {
                let reason = self.end_unsynchronised(id, error);
                self.flush(cx, id);
                cx.close(id, reason);
                true
            });
            if done {
                self.waiting.swap_remove(index);
            }
        }
    }

    #[cold]
    fn end_unsynchronised(&mut self, id: ConnId, error: SyncError) -> Reason {
        self.end_client(id, SessionStatus::OTHER, &error.to_string());
        Reason::App(error.label())
    }

    /// Heartbeats and deadlines of all clients.
    pub(crate) fn client_timeouts(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for index in 0..self.peers.len() {
            let Some((id, client)) = self.peers.client_at(index) else { continue };
            if client.session.next_timeout_ns() > now_ns {
                continue;
            }
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                client.session.sent(sent_ns);
            }
            let ended = client.session.on_timeout(now_ns, &mut self.out);
            self.flush(cx, id);
            if let Err(error) = ended {
                cx.close(id, Reason::App(error.text()));
            }
        }
    }

    /// Heartbeats alone: clients that must wait are not read from, so their silence says nothing, but ours would.
    pub(crate) fn client_heartbeats(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for index in 0..self.peers.len() {
            let Some((id, client)) = self.peers.client_at(index) else { continue };
            let Some((_, sent_ns)) = cx.last_active_ns(id) else { continue };
            client.session.sent(sent_ns);
            let due = now_ns >= client.session.next_timeout_ns() && now_ns >= sent_ns + HEARTBEAT_NS_MIN;
            if due && client.session.is_active() {
                client.session.sent(now_ns);
                cx.send(id, |out| frame::encode(&Heartbeat, out));
            }
        }
    }

    /// Tells those whom they concern, and the audit, of the requests that end without a report.
    pub(crate) fn tell_refused(&mut self, cx: &mut Cx) {
        let mut refused = std::mem::take(&mut self.refused);
        for refused in refused.drain(..) {
            self.cancel_not_taken(cx, &refused);
            let account = refused.account;
            // The number of the request on our line means nothing to a client, and its own is not known any more.
            let reject = BusinessReject { ref_seq_num: I64::new(0), ..refused.reject };
            // Written even while nothing else is: the request is in the audit, and this is its end.
            if let Some(audit) = &mut self.audit {
                let name = account.and_then(|account| self.desk.accounts.name(account));
                let of = (refused.by, refused.core, name.unwrap_or(Text::BLANK));
                audit.reject(cx.wall_ns(), of, |out| frame::encode(&reject, out));
            }
            let Some(account) = account else { continue };
            // Of the gateway's own cancels no client knows.
            if refused.is_own() {
                continue;
            }
            self.fix_core_refused(cx, &refused);
            for (comp_no, session) in self.by_comp.iter().enumerate() {
                let owns = self.desk.accounts[comp_no].owns(account);
                if let Some(id) = session.filter(|_| owns) {
                    cx.send(id, |out| frame::encode(&reject, out));
                }
            }
        }
        self.refused = refused;
    }

    /// A client's connection has ended.
    pub(crate) fn client_closed(&mut self, cx: &mut Cx, id: ConnId, client: &Client, reason: Reason) {
        let label = end(reason);
        self.metrics.session_ended.with_label_values(&[label]).inc();
        if let Some(comp_no) = client.comp {
            self.metrics.sessions.dec();
            let replaced = self.by_comp[comp_no] != Some(id);
            if !replaced {
                self.by_comp[comp_no] = None;
            }
            let comp_id = self.desk.accounts[comp_no].comp_id;
            tracing::info!(%comp_id, peer = %client.peer, reason = label, "session ended");
            self.audit_session(cx, Some(comp_id), client.peer, ("session ended", label));
            if !replaced {
                self.session_gone(cx, comp_no, client.peer, reason);
            }
        }
        self.waiting.retain(|other| *other != id);
    }

    /// Asks all clients to leave.
    pub(crate) fn log_out_clients(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for index in 0..self.peers.len() {
            let Some((id, client)) = self.peers.client_at(index) else { continue };
            client.session.log_out(
                SessionStatus::LOGOUT_COMPLETE,
                Refusal::Closing.text(),
                now_ns,
                &mut self.out,
            );
            let over = client.session.is_closed();
            self.flush(cx, id);
            if over {
                cx.close(id, Reason::App(Refusal::Closing.text()));
            }
        }
    }

    /// Tells all clients the state of the platform, when it has changed.
    pub(crate) fn tell_platform_state(&mut self, cx: &mut Cx) {
        let state = self.platform_state();
        let open = state.platform_state == PlatformState::OPEN;
        if self.desk.closing || std::mem::replace(&mut self.told_open, open) == open {
            return;
        }
        for index in 0..self.peers.len() {
            if let Some((id, client)) = self.peers.client_at(index)
                && client.session.is_active()
            {
                cx.send(id, |out| frame::encode(&state, out));
            }
        }
    }

    /// A client reads so slowly that its reports were let go: it comes back and asks from where it stopped.
    pub(crate) fn client_overrun(&mut self, cx: &mut Cx, id: ConnId) {
        if let Some(client) = self.peers.client(id) {
            cx.send(id, |out| {
                client.session.end(SessionStatus::OTHER, "reports not read and no longer held", out);
            });
        }
    }
}
