//! Hot path: the port's log on its way to the sessions.
//!
//! Rules: a report is looked at by the sessions of its account alone while they are live; who is behind looks at a bounded
//! number of entries a turn. One write a session and turn, after its store is safe.

use super::port::Port;
use super::report::Entry;
use super::session::{Ended, Place, label, now};
use crate::accounts::Accounts;
use crate::app::Gateway;
use crate::past::{Had, day_of};
use fix::session::SessionError;
use fix::store::{Mark, Store, StoreError};
use flow::{FindError, Seq, Tag};
use shard::{Cx, Reason};

/// Entries that one session may look at in one turn.
const ENTRIES_PER_TURN: u64 = 1 << 16;

/// Why a session does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// Its connection takes no more for now, or sends again.
    Busy,
    /// Its connection is over.
    Gone,
    /// Its memory failed.
    Store(StoreError),
}

impl Port {
    /// Makes a message of an entry of this flow, for one session.
    #[inline]
    fn give(
        &mut self,
        cx: &mut Cx,
        number: usize,
        (seq, tag, flow): (Seq, Tag, u64),
        bytes: &[u8],
    ) -> Result<(), Halt> {
        let half = self.out_bytes_max / 2;
        let session = &mut self.sessions[number];
        if tag.number <= session.engine.store().marks().of(tag.lane, flow) {
            return Ok(());
        }
        let conn = session.conn.ok_or(Halt::Gone)?;
        if !session.engine.is_active() {
            return Err(Halt::Gone);
        }
        if session.waits() || session.engine.has_backlog() || cx.waiting_bytes(conn) > half {
            return Err(Halt::Busy);
        }
        let now = now(cx);
        let mut entry = Entry::read(bytes);
        entry.poss_resend =
            session.earlier.is_some_and(|(until, before_ms)| seq < until || entry.unix_ms < before_ms);
        let mut sent = Err(Halt::Gone);
        cx.send(conn, |out| {
            let mark = Mark { lane: tag.lane, flow, number: tag.number };
            let kept = session.engine.send_marked(&entry, mark, now, out);
            sent = kept.map_err(Halt::Store).map(drop);
        });
        sent?;
        self.counts.reports += 1;
        self.touch(number);
        Ok(())
    }

    /// The place in the port's log from which a session goes on; `flows` are the lanes and the flow of each.
    ///
    /// # Errors
    /// A report that it lacks is no longer held.
    pub(super) fn place_of(
        &self,
        number: usize,
        flows: impl Iterator<Item = (u16, u64)>,
    ) -> Result<Seq, NoLongerHeld> {
        let marks = self.sessions[number].engine.store().marks();
        let mut from = self.reader.end();
        for (lane, flow) in flows {
            match self.reader.find(lane, marks.of(lane, flow) + 1) {
                Ok(seq) => from = from.min(seq),
                // The gateway has just started, and is still reading the day's reports.
                Err(FindError::NotYet { .. }) => {}
                Err(FindError::NoLongerHeld { .. }) => return Err(NoLongerHeld),
            }
        }
        Ok(from)
    }

    /// Whether a message was made for the session of any report of the flows that the cores have today, or will have when their first
    /// report has come.
    pub(super) fn has_marks(
        &self,
        number: usize,
        mut flows: impl Iterator<Item = (u16, u64)>,
        today: u64,
    ) -> bool {
        let marks = self.sessions[number].engine.store().marks();
        flows.any(|(lane, flow)| match flow {
            0 => marks.all().iter().any(|mark| mark.lane == lane && day_of(mark.flow) == today),
            flow => marks.of(lane, flow) > 0,
        })
    }

    /// How far the sessions' stores say that reports of today were had.
    pub(crate) fn had(&self, today: u64) -> impl Iterator<Item = Had> {
        let stores = self.sessions.iter().map(|session| session.engine.store());
        stores.flat_map(move |store| had(store, today))
    }
}

/// How far a store says that reports of today were had.
pub(super) fn had(store: &impl Store, today: u64) -> impl Iterator<Item = Had> {
    let of_today = store.marks().all().iter().filter(move |mark| day_of(mark.flow) == today);
    of_today.map(move |mark| Had { lane: mark.lane, day: today, flow: mark.flow, number: mark.number })
}

/// A report that a session lacks is no longer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoLongerHeld;

impl Gateway {
    /// What came in the turn goes to the live sessions of its accounts; then those that are behind go on.
    #[inline]
    pub(super) fn fix_deliver(&mut self, cx: &mut Cx) {
        let Self { fix: port, lines, .. } = self;
        let (end, mut failed) = (port.reader.end(), Vec::new());
        let mut bytes = std::mem::take(&mut port.bytes);
        while port.given < end {
            let seq = port.given;
            port.given += 1;
            let Ok(Some(entry)) = port.reader.entry(seq) else { continue };
            let tag = entry.tag;
            let flow = lines.flow(tag.lane);
            bytes.clear();
            bytes.extend_from_slice(entry.frame);
            for at in 0..port.by_account[tag.key as usize].len() {
                let number = port.by_account[tag.key as usize][at];
                if !matches!(port.sessions[number].place, Place::Live) {
                    continue;
                }
                match port.give(cx, number, (seq, tag, flow), &bytes) {
                    Ok(()) => {}
                    Err(Halt::Busy) => port.fall_behind(number, seq),
                    Err(Halt::Gone) => port.sessions[number].place = Place::Away,
                    Err(Halt::Store(error)) => {
                        port.sessions[number].place = Place::Away;
                        failed.push((number, error));
                    }
                }
            }
        }
        port.bytes = bytes;
        for (number, error) in failed {
            self.fix_store_failed(cx, number, error);
        }
        if !self.fix.behind.is_empty() {
            self.fix_catch_up(cx);
        }
    }

    /// Sessions that are behind: first what was asked for again, then the log.
    fn fix_catch_up(&mut self, cx: &mut Cx) {
        for at in (0..self.fix.behind.len()).rev() {
            let number = self.fix.behind[at];
            let Place::Behind(from) = self.fix.sessions[number].place else {
                self.fix.behind.swap_remove(at);
                continue;
            };
            match self.fix_go_on(cx, number, from) {
                Ok(true) => {
                    self.fix.sessions[number].place = Place::Live;
                    self.fix.behind.swap_remove(at);
                }
                Ok(false) => {}
                Err(ended) => {
                    self.fix.sessions[number].place = Place::Away;
                    self.fix.behind.swap_remove(at);
                    self.fix_end(cx, number, ended);
                }
            }
        }
    }

    /// One session's share of this turn; whether it has caught up.
    fn fix_go_on(&mut self, cx: &mut Cx, number: usize, from: Seq) -> Result<bool, Ended> {
        let Self { fix: port, desk, lines, .. } = self;
        let quarter = port.out_bytes_max / 4;
        let session = &mut port.sessions[number];
        let Some(conn) = session.conn else { return Err(Ended::Gone) };
        if session.waits() {
            return Ok(false);
        }
        if session.engine.has_backlog() {
            if cx.waiting_bytes(conn) > quarter {
                return Ok(false);
            }
            let now = now(cx);
            let mut resumed = Ok(());
            cx.send(conn, |out| resumed = session.engine.resume(now, out));
            port.touch(number);
            resumed.map_err(Ended::Session)?;
            if port.sessions[number].engine.has_backlog() {
                return Ok(false);
            }
        }
        let owned = owned_by(&desk.accounts, port.sessions[number].comp_no);
        let mut bytes = std::mem::take(&mut port.bytes);
        let mut seq = from;
        let halted = loop {
            if seq == port.reader.end() || seq - from == ENTRIES_PER_TURN {
                break Ok(());
            }
            let tag = match port.reader.entry(seq) {
                Ok(Some(entry)) => {
                    bytes.clear();
                    bytes.extend_from_slice(entry.frame);
                    entry.tag
                }
                Ok(None) => break Ok(()),
                Err(_) => break Err(Ended::NotRead),
            };
            if owned(tag.key) {
                match port.give(cx, number, (seq, tag, lines.flow(tag.lane)), &bytes) {
                    Ok(()) => {}
                    Err(Halt::Busy) => break Ok(()),
                    Err(Halt::Gone) => break Err(Ended::Gone),
                    Err(Halt::Store(error)) => break Err(Ended::Session(error.into())),
                }
            }
            seq += 1;
        };
        port.bytes = bytes;
        halted?;
        port.sessions[number].place = Place::Behind(seq);
        Ok(seq == port.reader.end())
    }

    /// Makes safe what was numbered in this turn, before any of it is written.
    #[inline]
    pub(super) fn fix_commit(&mut self, cx: &mut Cx) {
        while let Some(number) = self.fix.touched.pop() {
            let session = &mut self.fix.sessions[number];
            session.touched = false;
            if let Err(error) = session.engine.commit() {
                self.fix_store_failed(cx, number, error);
            } else if session.remote.is_some() {
                self.fix_keep(cx, number);
            }
        }
    }

    /// What cannot be kept must not be seen by the client: nothing more is written, and the connection is closed.
    #[cold]
    pub(super) fn fix_store_failed(&mut self, cx: &mut Cx, number: usize, error: StoreError) {
        let session = &mut self.fix.sessions[number];
        tracing::error!(comp_id = %session.comp_id, %error, "the store of a FIX session failed");
        if let Some(conn) = session.conn {
            cx.hold_writing(conn, true);
            cx.close(conn, Reason::App(label(SessionError::Store(error))));
        }
    }
}

/// Whether an account is one of a CompID's.
fn owned_by(accounts: &Accounts, comp_no: usize) -> impl Fn(u32) -> bool + '_ {
    move |account| accounts[comp_no].owns(account)
}
