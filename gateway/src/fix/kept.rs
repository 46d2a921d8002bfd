//! Sessions whose memory is kept elsewhere (`jetstream.rs`), as the hot thread has them.
//!
//! A session *waits* while a batch of its memory is under way: it is not read from, it gets no reports, and nothing of it is written. So
//! all that a turn has done to it is one batch, and what waits does not grow. It waits from its logon, too, until it is this
//! gateway's, and while it is asked whether it still is (`disconnect.rs`). Jobs end by their own deadlines, so no session waits for ever.

use super::deliver::had;
use super::jetstream::{BATCH_BYTES_MAX, Claimed, Job, Keeper, Still, Told};
use super::port::Port;
use super::session::{STORE_FAILED, label, now};
use super::store::SessionStore;
use crate::accounts::CompNo;
use crate::app::Gateway;
use crate::past::today;
use crate::refused::Refused;
use fix::session::SessionError;
use fix::store::{Store, StoreError};
use shard::{ConnId, Cx, Reason};
use std::sync::Arc;

/// Refusals of cores that wait for one session's claim, at most.
const REFUSALS_MAX: usize = 1_024;

/// Whose a session's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// This gateway's, as far as it knows: where another one has it meanwhile, nothing more is kept, and this one is told so.
    Ours,
    /// It is being asked for, or whether it is this gateway's still.
    Asking,
    /// Not this gateway's.
    Elsewhere,
}

/// Whose a session is in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Another gateway's, or nobody's.
    NotOurs,
    /// This gateway may have marked it last: it is not known what became of a claim or a batch. Its memory is not known here.
    MayBeOurs,
    /// This gateway's, as far as it knows. The sequence of the last message is this one.
    Ours(u64),
}

impl Whose {
    /// After a job that failed.
    fn after(error: StoreError) -> Self {
        if error == StoreError::Taken { Self::NotOurs } else { Self::MayBeOurs }
    }

    fn sequence(self) -> Option<u64> {
        match self {
            Self::Ours(sequence) => Some(sequence),
            Self::NotOurs | Self::MayBeOurs => None,
        }
    }
}

/// What a session waits for before anything else comes of it.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// To be this gateway's, for the logon of this connection, and whether that begins the numbers anew.
    Claim(ConnId, bool),
    /// Whether it is this gateway's still.
    Look,
}

/// What is known of a memory that is kept elsewhere.
pub(super) struct Remote {
    pub(super) subject: Arc<str>,
    whose: Whose,
    asked: Option<Asked>,
    /// The session was claimed for the connection that it has.
    ours: bool,
    /// A batch is under way.
    batch: bool,
    /// What a batch was made of is written in this turn, before anything else comes of the session.
    letting_out: bool,
    /// The connection is to be closed when what is to be told it is safe.
    closing: Option<Reason>,
    /// Refusals of cores that came while the session was being asked for.
    refusals: Vec<Refused>,
    /// Such ones as are numbered and not kept yet.
    unkept: u64,
}

impl Remote {
    pub(super) fn new(subject: Arc<str>) -> Self {
        Self {
            subject,
            whose: Whose::NotOurs,
            asked: None,
            ours: false,
            batch: false,
            letting_out: false,
            closing: None,
            refusals: Vec::new(),
            unkept: 0,
        }
    }

    /// Its memory is not known here. Returns how many refusals are lost with it.
    pub(super) fn forget(&mut self, whose: Whose) -> u64 {
        (self.whose, self.ours) = (whose, false);
        std::mem::take(&mut self.unkept)
    }

    pub(super) fn holding(&self) -> Holding {
        match (self.asked, self.whose) {
            (Some(_), _) => Holding::Asking,
            (None, Whose::Ours(_)) => Holding::Ours,
            (None, Whose::NotOurs | Whose::MayBeOurs) => Holding::Elsewhere,
        }
    }

    pub(super) fn refusal_numbered(&mut self) {
        self.unkept += 1;
    }

    /// Whether it was claimed for the connection that it has.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether it is being claimed for this connection.
    pub(super) fn is_claimed_for(&self, id: ConnId) -> bool {
        matches!(self.asked, Some(Asked::Claim(conn, _)) if conn == id)
    }

    /// The connection that it was claimed for is gone.
    pub(super) fn left(&mut self) {
        self.ours = false;
    }

    /// Nothing may come of the session, and nothing go to it.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.batch || self.letting_out || self.asked.is_some()
    }
}

impl Port {
    /// Whether the session of a CompID is one that others may have, and is this gateway's as far as it knows, or may be.
    pub(crate) fn may_be_ours(&self, comp_no: CompNo) -> bool {
        let session = self.session_of(comp_no).map(|number| &self.sessions[number]);
        let remote = session.and_then(|session| session.remote.as_ref());
        remote.is_some_and(|remote| remote.whose != Whose::NotOurs)
    }
}

impl Gateway {
    /// Whether the session with this number waits.
    #[inline]
    pub(super) fn fix_waits(&self, number: usize) -> bool {
        self.fix.sessions[number].waits()
    }

    /// Its logon was admitted: asks for the session, if it is one that others may have. Whether it now waits for that.
    pub(super) fn fix_claim(&mut self, cx: &mut Cx, id: ConnId, number: usize, reset: bool) -> bool {
        let Some(remote) = &mut self.fix.sessions[number].remote else { return false };
        remote.asked = Some(Asked::Claim(id, reset));
        cx.pause_reading(id, true);
        let job = Job::Claim { number, subject: remote.subject.clone(), known: remote.whose.sequence() };
        if !given(self.fix.keeper.as_ref(), job) {
            self.fix_told(cx, number, Told::Claimed(Err(StoreError::Unreachable)));
        }
        true
    }

    /// Whether the memory of a CompID's session is on its way: who has it shows when it is there.
    pub(crate) fn fix_is_keeping(&self, comp_no: CompNo) -> bool {
        let session = self.fix.session_of(comp_no).map(|number| &self.fix.sessions[number]);
        let session = session.filter(|session| session.remote.is_some());
        session.is_some_and(|session| session.waits() || session.touched || !session.engine.store().is_safe())
    }

    /// Asks whether the session of a CompID that is gone is this gateway's still: [`Gateway::session_looked_for`] is told.
    pub(crate) fn fix_look(&mut self, cx: &mut Cx, comp_no: CompNo) {
        let Some(number) = self.fix.session_of(comp_no) else { return };
        let Some(remote) = &mut self.fix.sessions[number].remote else { return };
        remote.asked = Some(Asked::Look);
        let job = Job::Look { number, subject: remote.subject.clone() };
        if !given(self.fix.keeper.as_ref(), job) {
            self.fix_told(cx, number, Told::Looked(Err(StoreError::Unreachable)));
        }
    }

    /// Gives what was committed to be kept; the session waits until it is.
    pub(super) fn fix_keep(&mut self, cx: &mut Cx, number: usize) {
        let session = &mut self.fix.sessions[number];
        let (Some(remote), SessionStore::Elsewhere(store)) =
            (&mut session.remote, session.engine.store_mut())
        else {
            return;
        };
        // What a claim brings goes before; what waits now is kept behind it.
        if store.is_safe() || remote.asked.is_some() {
            return;
        }
        let whose = remote.whose;
        let Some(after) = whose.sequence() else {
            // Of a session that is not known any more nothing is kept.
            let lost = session.forget(whose);
            return self.fix_refusals_lost(number, lost);
        };
        let batch = store.take_batch(BATCH_BYTES_MAX);
        let away = !session.engine.is_active();
        remote.batch = true;
        if let Some(conn) = session.conn {
            cx.hold_writing(conn, true);
            cx.pause_reading(conn, true);
        }
        let Some(batch) = batch else { return };
        self.metrics.fix_store_batches.inc();
        let job = Job::Keep { number, subject: remote.subject.clone(), after, batch, away };
        if !given(self.fix.keeper.as_ref(), job) {
            self.fix_told(cx, number, Told::Kept(Err(StoreError::Unreachable)));
        }
    }

    /// The answer to a job.
    pub(super) fn fix_told(&mut self, cx: &mut Cx, number: usize, told: Told) {
        match told {
            Told::Claimed(Ok(claimed)) => self.fix_claimed(cx, number, claimed),
            Told::Kept(Ok(sequence)) => self.fix_kept(cx, number, sequence),
            Told::Looked(looked) => self.fix_looked(cx, number, looked),
            Told::Claimed(Err(error)) => {
                self.fix_store_counted(error);
                let session = &mut self.fix.sessions[number];
                let mut lost = session.forget(Whose::after(error));
                let asked = session.remote.as_mut().and_then(|remote| {
                    lost += std::mem::take(&mut remote.refusals).len() as u64;
                    remote.asked.take()
                });
                let conn = session.conn;
                self.fix_refusals_lost(number, lost);
                let Some(Asked::Claim(id, _)) = asked else { return };
                if conn == Some(id) {
                    let reason = self.fix_refuse(cx, id, number, "session store not reachable");
                    // The claim may be in the stream all the same.
                    self.fix_not_admitted(cx, number, id, 0);
                    self.flush(cx, id);
                    cx.close(id, reason);
                }
            }
            Told::Kept(Err(error)) => {
                self.fix_store_counted(error);
                let session = &mut self.fix.sessions[number];
                let lost = session.forget(Whose::after(error));
                if let Some(remote) = &mut session.remote {
                    (remote.batch, remote.closing) = (false, None);
                }
                let (comp_no, is_gone) = (session.comp_no, session.conn.is_none());
                self.fix_refusals_lost(number, lost);
                if is_gone && error == StoreError::Taken {
                    return self.session_went_on(comp_no);
                }
                self.fix_store_failed(cx, number, error);
            }
        }
    }

    /// The answer to whether the session is this gateway's still.
    fn fix_looked(&mut self, cx: &mut Cx, number: usize, looked: Result<Still, StoreError>) {
        let session = &mut self.fix.sessions[number];
        let Some(remote) = &mut session.remote else { return };
        remote.asked = None;
        let (ours, lost) = match looked {
            Ok(Still { behind, sequence }) if remote.whose == Whose::Ours(behind) => {
                remote.whose = Whose::Ours(sequence);
                (Some(true), 0)
            }
            // There is more of this gateway's than is known here.
            Ok(_) => (Some(true), session.forget(Whose::MayBeOurs)),
            Err(StoreError::Taken) => (Some(false), session.forget(Whose::NotOurs)),
            // The mark may be there all the same.
            Err(_) => (None, session.forget(Whose::MayBeOurs)),
        };
        let comp_no = session.comp_no;
        if let Err(error) = looked
            && ours.is_none()
        {
            self.fix_store_counted(error);
        }
        self.fix_refusals_lost(number, lost);
        self.fix_tell_held(cx, number);
        self.session_looked_for(cx, comp_no, ours);
    }

    /// The session is this gateway's: its logon goes on, and then what cores have refused meanwhile.
    fn fix_claimed(&mut self, cx: &mut Cx, number: usize, claimed: Claimed) {
        self.fix_go_on_claimed(cx, number, claimed);
        self.fix_tell_held(cx, number);
    }

    /// Tells what cores have refused while the session was being asked for.
    fn fix_tell_held(&mut self, cx: &mut Cx, number: usize) {
        let remote = self.fix.sessions[number].remote.as_mut();
        for refused in remote.map(|remote| std::mem::take(&mut remote.refusals)).unwrap_or_default() {
            self.fix_tell_refused(cx, number, &refused);
        }
    }

    /// A core's refusal waits until it is known whether the session that it concerns is this gateway's.
    pub(super) fn fix_hold_refused(&mut self, number: usize, refused: Refused) {
        match &mut self.fix.sessions[number].remote {
            Some(remote) if remote.refusals.len() < REFUSALS_MAX => remote.refusals.push(refused),
            _ => self.fix_refusals_lost(number, 1),
        }
    }

    /// Refusals of cores do not reach a session: another gateway has it, or its store failed.
    #[cold]
    pub(super) fn fix_refusals_lost(&mut self, number: usize, lost: u64) {
        if lost > 0 {
            self.metrics.fix_refusals_lost.inc_by(lost);
            let comp_id = self.fix.sessions[number].comp_id;
            tracing::warn!(%comp_id, lost, "what a core refused without a report cannot be told: the session is not this gateway's");
        }
    }

    fn fix_go_on_claimed(&mut self, cx: &mut Cx, number: usize, claimed: Claimed) {
        let session = &mut self.fix.sessions[number];
        let Some(remote) = &mut session.remote else { return };
        (remote.whose, remote.ours) = (Whose::Ours(claimed.sequence), true);
        let (asked, away_ns) = (remote.asked.take(), claimed.away_ns);
        if let Some(store) = claimed.store {
            self.metrics.fix_takeovers.inc();
            had(&store, today(cx.wall_ns())).for_each(|had| self.lines.expect(had, false));
            *session.engine.store_mut() = SessionStore::Elsewhere(Box::new(store));
        }
        let (id, reset) = match asked {
            Some(Asked::Claim(id, reset)) if session.conn == Some(id) => (id, reset),
            // Its connection's end has said that it was not let in.
            Some(_) | None => return remote.left(),
        };
        if !session.engine.is_connected() {
            // It was logged out meanwhile: nobody may be told that it is on.
            self.fix_not_admitted(cx, number, id, away_ns);
            return self.fix_close(cx, number, id, Reason::App("closed while it was claimed"));
        }
        cx.pause_reading(id, self.lines.paused());
        let comp_no = session.comp_no;
        let admitted = self.fix_admitted(cx, id, number, reset, now(cx));
        if admitted.is_ok() {
            self.session_came(comp_no);
        }
        self.fix.touch(number);
        self.flush(cx, id);
        match admitted {
            // What came right behind the logon.
            Ok(()) => cx.offer_again(id),
            Err(reason) => {
                self.fix_not_admitted(cx, number, id, away_ns);
                self.fix_close(cx, number, id, reason);
            }
        }
    }

    /// The client of a session that was claimed for it is not let in. What the session has left open is this gateway's to cancel from
    /// the claim on: whoever had it before finds the mark, and cancels nothing. `away_ns`: see [`Claimed::away_ns`].
    fn fix_not_admitted(&mut self, cx: &Cx, number: usize, id: ConnId, away_ns: u64) {
        let comp_no = self.fix.sessions[number].comp_no;
        if let Some(peer) = self.fix.conn(id).map(|conn| conn.peer) {
            self.session_not_admitted(cx, comp_no, peer, away_ns);
        }
    }

    /// A batch is safe: what waited for it goes on, unless there is more.
    fn fix_kept(&mut self, cx: &mut Cx, number: usize, sequence: u64) {
        let session = &mut self.fix.sessions[number];
        let (Some(remote), SessionStore::Elsewhere(store)) =
            (&mut session.remote, session.engine.store_mut())
        else {
            return;
        };
        store.acknowledged();
        (remote.whose, remote.batch) = (Whose::Ours(sequence), false);
        if !store.is_safe() {
            return self.fix_keep(cx, number);
        }
        remote.unkept = 0;
        let closing = remote.closing.take();
        let Some(conn) = session.conn else { return };
        session.engine.excuse(now(cx));
        cx.hold_writing(conn, false);
        match closing {
            None => {
                remote.letting_out = true;
                self.fix.letting_out.push(number);
            }
            Some(reason) => cx.close(conn, reason),
        }
    }

    /// The turn is over in which these sessions' batches were acknowledged: what they hold is written now, and they go on with the
    /// next.
    pub(super) fn fix_let_out(&mut self, cx: &mut Cx) {
        while let Some(number) = self.fix.letting_out.pop() {
            let session = &mut self.fix.sessions[number];
            if let Some(remote) = &mut session.remote {
                remote.letting_out = false;
            }
            if let Some(conn) = session.conn.filter(|_| !session.waits()) {
                cx.pause_reading(conn, self.lines.paused());
            }
        }
    }

    /// Closes a session's connection once what it is told is safe: at once, where that needs no waiting.
    pub(super) fn fix_close(&mut self, cx: &mut Cx, number: usize, conn: ConnId, reason: Reason) {
        if let Some(reason) = self.fix_close_later(number, reason) {
            cx.close(conn, reason);
        }
    }

    /// Notes that the connection is to be closed when what it is told is safe; gives the reason back where that is so.
    pub(super) fn fix_close_later(&mut self, number: usize, reason: Reason) -> Option<Reason> {
        let session = &mut self.fix.sessions[number];
        let safe = session.engine.store().is_safe() || reason == Reason::App(STORE_FAILED);
        match &mut session.remote {
            Some(remote) if !safe && remote.whose.sequence().is_some() => {
                remote.closing = Some(reason);
                None
            }
            _ => Some(reason),
        }
    }

    fn fix_store_counted(&self, error: StoreError) {
        self.metrics.fix_store_failures.with_label_values(&[label(SessionError::Store(error))]).inc();
    }
}

/// Whether the job was taken: it is, unless the thread has ended.
fn given(keeper: Option<&Keeper>, job: Job) -> bool {
    keeper.is_some_and(|keeper| keeper.try_send(job).is_ok())
}
