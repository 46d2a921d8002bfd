//! Hot path: the audit: what was asked, what was answered, who came and went, as the regulator wants it kept.
//!
//! The hot thread appends to a log of its own, as it appends reports to theirs; a thread of its own follows both
//! logs and writes them to the [`Store`] in group commits (`thread.rs`). There is no other queue, and an order never waits for
//! a disk. What [`Store`] cannot take stays in the logs; when too much waits there, new orders are refused
//! ([`Health`]) while reports go on, and when it can again it goes on where it stopped. Reports that a gateway which
//! died had not written come again with the cores' flows, and are written then: each once, by its day, PartitionNo and ReportIndex.
//!
//! Rules: no allocation, no lock, no system call; one copy of a request's bytes.

mod jetstream;
mod record;
mod store;
mod thread;

pub use jetstream::{JetStreamSettings, JetStreamStore};
pub use record::{Kept, Kind, Outcome, Record, RecordError};
pub use store::{FileStore, Store, StoreError};
pub(crate) use thread::Keeper;

use crate::check::Refusal;
use crate::refused::By;
use crate::route::Core;
use flow::{Limits, Reader, Seq, Tag, Writer};
use record::Head;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wire::szse::Text;

/// What the audit lets happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Everything.
    #[default]
    Good,
    /// It is behind, or cannot write: no new orders. Cancels go on, as they only take risk away.
    NoOrders,
    /// So far behind that there is no room for cancels either.
    Nothing,
}

/// What the two threads tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The next entry of the audit's log that is not safe yet.
    own: AtomicU64,
    /// The next entry of the log of reports that is not safe yet.
    reports: AtomicU64,
    /// The store does not take what it is given, or reports were let go unwritten.
    failing: AtomicBool,
    /// The hot thread has ended: what is in the logs is all there will be.
    ended: AtomicBool,
}

/// Tells the writing thread that the hot one has ended, however it did.
pub(crate) struct Ended(pub(crate) Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// The hot thread's side.
pub(crate) struct Audit {
    log: Writer,
    entry: Vec<u8>,
    progress: Arc<Progress>,
    lag_records_max: u64,
}

/// How sessions ended is told after the last turn.
impl Drop for Audit {
    fn drop(&mut self) {
        self.log.publish();
    }
}

/// The longest entry: what the log has room for is counted in these, bytes.
const ENTRY_BYTES: usize = 256;
const SEGMENT_BYTES: usize = 1 << 20;

impl Audit {
    /// An audit whose store may be so many records behind before orders are refused.
    pub(crate) fn new(lag_records_max: u64) -> Self {
        let window_bytes = (2 * lag_records_max as usize * ENTRY_BYTES).max(4 * SEGMENT_BYTES);
        Self {
            log: Writer::new(Limits { segment_bytes: SEGMENT_BYTES, window_bytes }),
            entry: Vec::with_capacity(2 * ENTRY_BYTES),
            progress: Arc::default(),
            lag_records_max,
        }
    }

    /// What the writing thread follows.
    pub(crate) fn reader(&self) -> Reader {
        self.log.reader()
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// A request and what became of it; `frame` appends it as the core gets it.
    #[inline]
    pub(crate) fn request(
        &mut self,
        unix_ns: i64,
        comp_id: Text<20>,
        (core, outcome): (Option<Core>, Result<(), Refusal>),
        frame: impl FnOnce(&mut Vec<u8>),
    ) {
        self.begin(Kind::Request, unix_ns);
        record::put_request(&mut self.entry, comp_id, core, outcome);
        frame(&mut self.entry);
        self.append();
    }

    /// A request that was forwarded, or held to be, ends without a report: who says so, for which core it was, and whose;
    /// `frame` appends what is said.
    #[cold]
    pub(crate) fn reject(
        &mut self,
        unix_ns: i64,
        of: (By, Core, Text<12>),
        frame: impl FnOnce(&mut Vec<u8>),
    ) {
        self.begin(Kind::Reject, unix_ns);
        self.entry.extend_from_slice(&record::reject_head(of));
        frame(&mut self.entry);
        self.append();
    }

    /// A client came, was refused, or left: `what` says it in a few words.
    pub(crate) fn session(
        &mut self,
        unix_ns: i64,
        comp_id: Option<Text<20>>,
        peer: SocketAddr,
        what: (&str, &str),
    ) {
        self.begin(Kind::Session, unix_ns);
        record::put_session(&mut self.entry, comp_id.unwrap_or(Text::BLANK), peer, what);
        self.append();
    }

    /// A FIX request that cannot be said in the binary protocol: `why` in words, and its ClOrdID.
    #[cold]
    pub(crate) fn request_unfit(
        &mut self,
        unix_ns: i64,
        comp_id: Text<20>,
        peer: SocketAddr,
        of: (&str, &str),
    ) {
        self.begin(Kind::Session, unix_ns);
        record::put_request_unfit(&mut self.entry, comp_id, peer, of);
        self.append();
    }

    /// What an operator did.
    pub(crate) fn operator(&mut self, unix_ns: i64, what: &str) {
        self.begin(Kind::Operator, unix_ns);
        self.entry.extend_from_slice(what.as_bytes());
        self.append();
    }

    fn begin(&mut self, kind: Kind, unix_ns: i64) {
        self.entry.clear();
        Head { kind, unix_ns: unix_ns.max(0).cast_unsigned() }.put(&mut self.entry);
    }

    #[inline]
    fn append(&mut self) {
        let tag = Tag { lane: 0, number: 0, key: Tag::EVERYONE };
        self.log.append(tag, &self.entry).expect("invariant: an entry fits a segment");
    }

    /// Makes what was appended visible to the writing thread: once a turn, before its writing.
    #[inline]
    pub(crate) fn publish(&self) {
        self.log.publish();
    }

    /// How many records are not safe yet; `reports_end` is the end of the log of reports.
    pub(crate) fn lag_records(&self, reports_end: Seq) -> u64 {
        let own = self.log.end().saturating_sub(self.progress.own.load(Ordering::Acquire));
        let reports = reports_end.saturating_sub(self.progress.reports.load(Ordering::Acquire));
        own.max(reports)
    }

    /// What may happen; looked at once a tick.
    pub(crate) fn health(&self, reports_end: Seq) -> Health {
        let own = self.log.end().saturating_sub(self.progress.own.load(Ordering::Acquire));
        if own > self.lag_records_max + self.lag_records_max / 2 {
            Health::Nothing
        } else if self.progress.failing.load(Ordering::Acquire)
            || self.lag_records(reports_end) > self.lag_records_max
        {
            Health::NoOrders
        } else {
            Health::Good
        }
    }
}
