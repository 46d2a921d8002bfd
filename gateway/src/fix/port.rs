//! Hot path: what the FIX port holds, and the way of the reports from the gateway's log into the port's.
//!
//! Rules: no allocation for a report but what a session's file store keeps of a message (a few bytes of index), no lock.

use super::book::Book;
use super::config::{Config, MESSAGE_BYTES_MAX};
use super::jetstream::{self, Jobs, Keeper};
use super::kept::Remote;
use super::report::{self, Id, Made};
use super::session::{Place, Session};
use super::store::SessionStore;
use crate::accounts::{Accounts, CompNo};
use crate::app::{Gateway, LOG};
use crate::orders::AccountKey;
use crate::status::SessionStatus;
use fix::Now;
use flow::{Limits, Reader, Seq, Tag, Writer};
use service::config::Invalid;
use shard::{ConnId, Cx, Opened};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use wire::szse::frame;
use wire::szse::trading::NewOrder;

/// The tag of its listener.
pub(crate) const PORT: u32 = 1;
/// The step in which reports are let go, bytes.
const SEGMENT_BYTES: usize = 1 << 20;

/// A connection that has not said whose it is, or a session's.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) peer: SocketAddr,
    pub(super) since_ns: u64,
    /// Which session, by its number.
    pub(super) session: Option<usize>,
    /// Its logon was refused, and that was told.
    pub(super) refused: bool,
}

/// What the hot thread counts, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) orders: u64,
    pub(crate) cancels: u64,
    pub(crate) messages_in: u64,
    pub(crate) reports: u64,
    pub(crate) second_copies: u64,
    pub(crate) garbled: u64,
    pub(crate) rejects: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
}

/// The FIX port of a gateway.
pub(crate) struct Port {
    pub(super) sessions: Vec<Session>,
    /// Where memories are kept, if not here.
    pub(super) keeper: Option<Keeper>,
    jobs: Option<Jobs>,
    /// The sessions that get an account's reports, by its key.
    pub(super) by_account: Vec<Box<[usize]>>,
    /// Connections of the port, by their place in the shard.
    conns: Vec<Option<Conn>>,
    pub(super) book: Book,
    /// The port's log: FIX fields of each report.
    writer: Writer,
    pub(super) reader: Reader,
    /// The gateway's log, and how far it is read.
    source: Option<Reader>,
    source_at: Seq,
    /// Up to here live sessions have the port's log.
    pub(super) given: Seq,
    /// Sessions that are not live, or have messages to send again.
    pub(super) behind: Vec<usize>,
    /// Sessions whose batch was acknowledged in this turn.
    pub(super) letting_out: Vec<usize>,
    /// Sessions with something to make safe.
    pub(super) touched: Vec<usize>,
    entry: Vec<u8>,
    /// The entry that is being given to sessions.
    pub(super) bytes: Vec<u8>,
    /// Makes our own ExecIDs differ from those of other gateways and other lives of this one.
    seed: u16,
    execs: u64,
    pub(super) logon_timeout_ns: u64,
    pub(super) messages_per_s_max: u32,
    pub(super) garbled_max: u32,
    pub(super) out_bytes_max: usize,
    pub(crate) counts: Counts,
}

impl Port {
    /// The sessions with their memories; without an address there are none.
    ///
    /// # Errors
    /// A memory cannot be opened.
    pub(crate) fn open(config: &Config, accounts: &Accounts, out_bytes_max: usize) -> Result<Self, Invalid> {
        let mut sessions = Vec::new();
        let mut by_account = vec![Vec::new(); accounts.len() + 1];
        for settings in config.sessions.iter().filter(|_| config.is_on()) {
            let comp_no = accounts.find(settings.comp_id).expect("invariant: the configuration was checked");
            let store = SessionStore::open(config, settings.comp_id)?;
            let remote = config.jetstream().map(|jetstream| {
                Remote::new(jetstream::subject(&jetstream.stream, settings.comp_id, config.comp_id))
            });
            for account in &accounts[comp_no].accounts {
                by_account[*account as usize].push(sessions.len());
            }
            let only = match *accounts[comp_no].accounts {
                [account] => accounts.name(account),
                _ => None,
            };
            sessions.push(Session::new(config, settings, (comp_no, only), (store, remote), out_bytes_max));
        }
        let on = !sessions.is_empty();
        let (keeper, jobs) = config
            .jetstream()
            .map(|jetstream| {
                jetstream::keeper(jetstream.settings(), config.store.memory_bytes_max, sessions.len())
            })
            .unzip();
        let window_bytes = if on { config.window_bytes } else { 2 * SEGMENT_BYTES };
        let segment_bytes = if on { SEGMENT_BYTES } else { MESSAGE_BYTES_MAX };
        let writer = Writer::new(Limits { segment_bytes, window_bytes });
        Ok(Self {
            book: Book::new(if on { config.orders_max } else { 1 }, accounts.len()),
            sessions,
            keeper,
            jobs,
            by_account: by_account.into_iter().map(Vec::into_boxed_slice).collect(),
            conns: Vec::new(),
            reader: writer.reader(),
            writer,
            source: None,
            source_at: 0,
            given: 0,
            behind: Vec::new(),
            letting_out: Vec::new(),
            touched: Vec::new(),
            entry: Vec::with_capacity(1 << 10),
            bytes: Vec::with_capacity(1 << 10),
            seed: RandomState::new().hash_one(out_bytes_max) as u16,
            execs: 0,
            logon_timeout_ns: u64::from(config.logon_timeout_ms) * 1_000_000,
            messages_per_s_max: config.messages_per_s_max,
            garbled_max: config.garbled_max,
            out_bytes_max,
            counts: Counts::default(),
        })
    }

    /// What the thread that keeps memories elsewhere works on, once.
    pub(crate) fn take_jobs(&mut self) -> Option<Jobs> {
        self.jobs.take()
    }

    /// Whether anybody may log on.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// The session of a CompID.
    pub(super) fn session_of(&self, comp_no: CompNo) -> Option<usize> {
        self.sessions.iter().position(|session| session.comp_no == comp_no)
    }

    /// The connection of a CompID that is logged on.
    pub(crate) fn connection_of(&self, comp_no: CompNo) -> Option<ConnId> {
        let session = self.session_of(comp_no)?;
        self.conns().find(|conn| conn.session == Some(session)).map(|conn| conn.id)
    }

    /// Whether a CompID is logged on.
    pub(crate) fn is_logged_on(&self, comp_no: CompNo) -> bool {
        self.session_of(comp_no).is_some_and(|number| self.sessions[number].engine.is_active())
    }

    /// Where the session of a CompID comes from.
    pub(crate) fn peer_of(&self, comp_no: CompNo) -> Option<SocketAddr> {
        let id = self.sessions[self.session_of(comp_no)?].conn?;
        self.conns.get(id.index())?.as_ref().filter(|conn| conn.id == id).map(|conn| conn.peer)
    }

    /// A connection of the port.
    #[inline]
    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.index())?.as_mut().filter(|conn| conn.id == id)
    }

    pub(super) fn opened(&mut self, id: ConnId, opened: Opened, now_ns: u64) {
        if id.index() >= self.conns.len() {
            self.conns.resize_with(id.index() + 1, || None);
        }
        self.conns[id.index()] =
            Some(Conn { id, peer: opened.peer, since_ns: now_ns, session: None, refused: false });
    }

    pub(super) fn closed(&mut self, id: ConnId) -> Option<Conn> {
        let place = self.conns.get_mut(id.index())?;
        if place.as_ref().is_some_and(|conn| conn.id == id) { place.take() } else { None }
    }

    /// All connections of the port.
    pub(super) fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.conns.iter().flatten()
    }

    /// The connections, for the operator.
    pub(crate) fn statuses(&self, now_ns: u64) -> impl Iterator<Item = SessionStatus> {
        self.conns().map(move |conn| {
            let session = conn.session.map(|number| &self.sessions[number]);
            let place = session.map_or(Place::Away, |session| session.place);
            let (reports, behind) = match place {
                Place::Away => ("away", 0),
                Place::Behind(at) => ("behind", self.reader.end().saturating_sub(at)),
                Place::Live => ("following", 0),
            };
            SessionStatus {
                protocol: "fix",
                peer: conn.peer,
                comp_id: session.map(|session| session.comp_id.to_string()).unwrap_or_default(),
                reports,
                age_s: now_ns.saturating_sub(conn.since_ns) / 1_000_000_000,
                requests: session.map_or(0, |session| session.requests),
                refused: session.map_or(0, |session| session.refused),
                behind,
            }
        })
    }

    /// Orders that had to make room in the book.
    pub(crate) fn orders_forgotten(&self) -> u64 {
        self.book.forgotten()
    }

    /// A session has something to make safe before it is written.
    #[inline]
    pub(super) fn touch(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        if !session.touched {
            session.touched = true;
            self.touched.push(number);
        }
    }

    /// An order has gone to its core, by whichever port: what became of it can be asked for by FIX.
    #[inline]
    pub(crate) fn sent(&mut self, account: AccountKey, request: &NewOrder) {
        if self.by_account.get(account as usize).is_some_and(|sessions| !sessions.is_empty()) {
            self.book.sent(account, request);
        }
    }

    /// A session does not get reports as they come, but goes on from here as it can.
    pub(super) fn fall_behind(&mut self, number: usize, from: Seq) {
        let session = &mut self.sessions[number];
        let listed = matches!(session.place, Place::Behind(_));
        session.place = Place::Behind(from);
        if !listed {
            self.behind.push(number);
        }
    }

    /// An ExecID of our own, for what never reached a core.
    pub(super) fn exec_id(&mut self, now: Now) -> Id {
        self.execs += 1;
        let unix_s = now.wall_ns / 1_000_000_000;
        Id::new(format_args!("G{unix_s:x}{:04x}-{}", self.seed, self.execs))
    }

    /// Takes a report of the gateway's log into the book, and into the port's log if there is something to tell.
    #[inline]
    fn take(&mut self, accounts: &Accounts, tag: Tag, bytes: &[u8]) {
        let told = self.by_account.get(tag.key as usize).is_some_and(|sessions| !sessions.is_empty());
        if tag.key == Tag::EVERYONE || tag.number == 0 || !told {
            return;
        }
        let Ok(Some(frame)) = frame::decode(bytes, frame::BODY_LEN_MAX) else { return };
        match report::translate(&mut self.book, accounts, tag, frame, &mut self.entry) {
            Made::Message => match self.writer.append(tag, &self.entry) {
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, lane = tag.lane, number = tag.number, "report not kept");
                }
            },
            Made::Other => {}
        }
    }
}

impl Gateway {
    /// The turn's reading is over: its reports become messages, and what was numbered is made safe before it is written.
    #[inline]
    pub(crate) fn fix_turn_end(&mut self, cx: &mut Cx) {
        if !self.fix.is_on() {
            return;
        }
        self.fix_take_reports(cx);
        self.fix_deliver(cx);
        self.fix_commit(cx);
        self.fix_let_out(cx);
    }

    #[inline]
    fn fix_take_reports(&mut self, cx: &mut Cx) {
        let writer = cx.writer(LOG);
        let end = writer.end();
        if end == self.fix.source_at {
            return;
        }
        // The shard would only publish after this call; that it does so again then is of no account.
        writer.publish();
        let mut source = self.fix.source.take().unwrap_or_else(|| writer.reader());
        source.refresh();
        while self.fix.source_at < end {
            match source.entry(self.fix.source_at) {
                Ok(Some(entry)) => {
                    self.fix.source_at += 1;
                    self.fix.take(&self.desk.accounts, entry.tag, entry.frame);
                }
                Ok(None) => break,
                Err(gone) => {
                    // More than the whole window in one turn: the configuration has a window that small.
                    let lost = gone.oldest - self.fix.source_at;
                    tracing::error!(lost, "reports were let go before the FIX port saw them");
                    self.fix.counts.lost += lost;
                    self.fix.source_at = gone.oldest;
                }
            }
        }
        self.fix.source = Some(source);
        self.fix.writer.publish();
        self.fix.reader.refresh();
    }
}
