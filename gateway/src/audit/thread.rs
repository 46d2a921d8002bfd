//! The audit's own thread: follows the log of requests and the log of reports, and commits what is new, some times a second or
//! as fast as the store takes it.

use super::record::{Head, report_head};
use super::{Kept, Kind, Progress, Store, StoreError};
use crate::metrics::Metrics;
use crate::past::{Had, today};
use flow::{Reader, Seq, Tag};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wire::szse::{Text, Timestamp};

/// Records taken before a commit, at most.
const BATCH_MAX: usize = 16_384;
/// For so long at most a core may still have the flow of a day: over the longest holidays, and some days.
const FLOW_NS: u64 = 16 * 86_400_000_000_000;

/// What it follows and where that goes.
pub(crate) struct Keeper {
    store: Box<dyn Store>,
    progress: Arc<Progress>,
    own: (Reader, Seq),
    reports: (Reader, Seq),
    /// The names of accounts, by key less 1.
    accounts: Vec<Text<12>>,
    /// What the store has of each partition, by PartitionNo.
    kept: HashMap<u16, Span>,
    /// What the store has said to a record that it did not take in this round.
    refused: Option<StoreError>,
    metrics: Metrics,
    interval: Duration,
}

impl Keeper {
    /// One that begins with the beginning of both logs.
    ///
    /// # Errors
    /// The store cannot tell what it holds.
    pub(crate) fn new(
        mut store: Box<dyn Store>,
        progress: Arc<Progress>,
        (own, reports): (Reader, Reader),
        accounts: Vec<Text<12>>,
        metrics: Metrics,
        interval: Duration,
    ) -> Result<Self, StoreError> {
        let mut kept = HashMap::new();
        store.reports(unix_ns().saturating_sub(FLOW_NS), &mut |of: Kept| {
            kept.entry(of.partition_no).or_insert(Span::new(of, false)).see(of);
        })?;
        let (own, reports) = ((own, 0), (reports, 0));
        Ok(Self { store, progress, own, reports, accounts, kept, refused: None, metrics, interval })
    }

    /// How far the store has reports of today, of each partition.
    pub(crate) fn had(&self) -> impl Iterator<Item = Had> {
        let today = today(unix_ns().cast_signed());
        let of_today = self.kept.iter().filter(move |(_, span)| span.day() == today);
        of_today.map(|(lane, span)| Had {
            lane: *lane,
            day: span.day(),
            flow: 0,
            number: span.last.report_index,
        })
    }

    /// Runs until the hot thread has ended and all of it is safe, or cannot be made so.
    pub(crate) fn run(mut self) {
        loop {
            let ended = self.progress.ended.load(Ordering::Acquire);
            let taken = self.take();
            let committed = self.commit();
            if ended && (!committed || taken == 0) {
                return;
            }
            if taken < BATCH_MAX || !committed {
                std::thread::park_timeout(self.interval);
            }
        }
    }

    /// Gives the store what is new; how many records it took.
    fn take(&mut self) -> usize {
        self.own.0.refresh();
        self.reports.0.refresh();
        self.take_own() + self.take_reports()
    }

    fn take_own(&mut self) -> usize {
        let (reader, next) = &mut self.own;
        let mut taken = 0;
        while taken < BATCH_MAX {
            let entry = match reader.entry(*next) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                // Orders and cancels are refused long before.
                Err(_) => {
                    lost(&self.progress, &self.metrics, "requests");
                    *next = reader.start();
                    continue;
                }
            };
            let (head, payload) = Head::split(entry.frame).expect("invariant: written by the audit");
            if let Err(error) = append(&mut *self.store, &self.metrics, head, &[payload]) {
                self.refused = Some(error);
                break;
            }
            *next += 1;
            taken += 1;
        }
        taken
    }

    fn take_reports(&mut self) -> usize {
        let (reader, next) = &mut self.reports;
        let unix_ns = unix_ns();
        let mut taken = 0;
        while taken < BATCH_MAX {
            let (tag, frame) = match reader.entry(*next) {
                Ok(Some(entry)) => (entry.tag, entry.frame),
                Ok(None) => break,
                Err(_) => {
                    lost(&self.progress, &self.metrics, "reports");
                    *next = reader.start();
                    continue;
                }
            };
            if tag.key == Tag::EVERYONE {
                *next += 1;
                continue;
            }
            let here = Kept::new(tag.lane, tag.number, unix_ns, frame);
            if let Some(span) = self.kept.get_mut(&tag.lane) {
                if !span.shown && here.day() > span.day() {
                    self.kept.remove(&tag.lane);
                } else if span.is_other(here) {
                    begun_anew(&self.progress, &self.metrics, here);
                    self.kept.remove(&tag.lane);
                } else {
                    span.shown = true;
                }
            }
            if self.kept.get(&tag.lane).is_none_or(|span| tag.number > span.last.report_index) {
                let account = (tag.key as usize).checked_sub(1).and_then(|at| self.accounts.get(at));
                let before = report_head(tag.lane, tag.number, account.copied().unwrap_or(Text::BLANK));
                let head = Head { kind: Kind::Report, unix_ns };
                if let Err(error) = append(&mut *self.store, &self.metrics, head, &[&before, frame]) {
                    self.refused = Some(error);
                    break;
                }
                self.kept.entry(tag.lane).or_insert(Span::new(here, true)).last = here;
                taken += 1;
            }
            *next += 1;
        }
        taken
    }

    /// Makes what was taken safe; says so to the hot thread. Whether the store has taken and kept all that it was given.
    fn commit(&mut self) -> bool {
        let committed = self.store.commit();
        if committed.is_ok() {
            self.progress.own.store(self.own.1, Ordering::Release);
            self.progress.reports.store(self.reports.1, Ordering::Release);
        }
        match committed.and(self.refused.take().map_or(Ok(()), Err)) {
            Ok(()) => {
                if self.metrics.audit_failing.get() == 1 && self.metrics.audit_incomplete.get() == 0 {
                    self.metrics.audit_failing.set(0);
                    self.progress.failing.store(false, Ordering::Release);
                    tracing::info!("audit: writing again, nothing is missing");
                }
                true
            }
            Err(error) => {
                self.metrics.audit_errors.inc();
                if self.metrics.audit_failing.get() == 0 {
                    self.metrics.audit_failing.set(1);
                    self.progress.failing.store(true, Ordering::Release);
                    tracing::error!(%error, "audit: cannot be written; orders are refused until it can");
                }
                false
            }
        }
    }
}

/// What the store has of the last flow of a partition's reports.
#[derive(Clone, Copy)]
struct Span {
    /// Of those that it has shown the first one, where it has shown more than the last.
    first: Kept,
    last: Kept,
    /// The core has shown that this is the flow that it has. The first report of ours that it sends says so, for all behind it: it
    /// begins with the flow's beginning when a gateway starts, and goes on with the same one as long as that runs.
    shown: bool,
}

impl Span {
    fn new(first: Kept, shown: bool) -> Self {
        Self { first, last: first, shown }
    }

    /// The exchange's day of the flow: of its first report, as later ones may come behind midnight.
    fn day(&self) -> u64 {
        self.first.day()
    }

    /// The store has this one, too, and was given it later.
    fn see(&mut self, of: Kept) {
        if of.report_index <= self.last.report_index && of.day() > self.day() {
            *self = Self::new(of, self.shown);
        }
        if of.report_index <= self.first.report_index {
            self.first = of;
        }
        if of.report_index >= self.last.report_index {
            self.last = of;
        }
    }

    /// Whether this has the number of one that is kept, and is another report.
    fn is_other(&self, here: Kept) -> bool {
        let differs = |kept: Kept| {
            let known = kept.transact_time != Timestamp::ZERO && here.transact_time != Timestamp::ZERO;
            kept.report_index == here.report_index && known && kept.transact_time != here.transact_time
        };
        differs(self.first) || differs(self.last)
    }
}

fn unix_ns() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64
}

fn append(store: &mut dyn Store, metrics: &Metrics, head: Head, parts: &[&[u8]]) -> Result<(), StoreError> {
    let appended = match store.append(head.kind, head.unix_ns, parts) {
        Err(StoreError::BufferFull) => {
            store.commit().and_then(|()| store.append(head.kind, head.unix_ns, parts))
        }
        other => other,
    };
    if appended.is_ok() {
        metrics.audit_records.with_label_values(&[head.kind.name()]).inc();
    }
    appended
}

/// The core has another report of this number today than the store: its day is lost, and this is the beginning of another one. It is
/// written, as everything behind it; what the store has been told of the first day is its own.
#[cold]
fn begun_anew(progress: &Progress, metrics: &Metrics, here: Kept) {
    progress.failing.store(true, Ordering::Release);
    metrics.audit_failing.set(1);
    metrics.audit_incomplete.set(1);
    let Kept { partition_no, report_index, .. } = here;
    tracing::error!(
        partition = partition_no,
        report_index,
        "audit: the core's reports of today are not those that are kept: it has lost its day. Orders are refused: bring the core's day back \
         from its journal, or begin the day anew with an empty store (docs/operations.md, \"A core that has lost its day\")"
    );
}

#[cold]
fn lost(progress: &Progress, metrics: &Metrics, what: &'static str) {
    progress.failing.store(true, Ordering::Release);
    metrics.audit_failing.set(1);
    metrics.audit_incomplete.set(1);
    tracing::error!(what, "audit: let go before they could be written; reports come again after a restart");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(report_index: u64, time: i64) -> Kept {
        Kept { partition_no: 1, report_index, unix_ns: 0, transact_time: Timestamp::from_raw(time) }
    }

    #[test]
    fn a_flow_begins_where_numbers_begin_anew_on_a_later_day() {
        const MONDAY: i64 = 20_260_706_000_000_000;
        const TUESDAY: i64 = 20_260_707_000_000_000;
        const MORNING: i64 = 93_000_000;
        const EVENING: i64 = 210_000_000;
        let mut span = Span::new(at(1, MONDAY + EVENING), false);
        let mut see = |of: Kept| {
            span.see(of);
            (span.day(), span.first.report_index, span.last.report_index)
        };
        assert_eq!(see(at(2, MONDAY + EVENING)), (20_260_706, 1, 2));
        assert_eq!(see(at(3, TUESDAY + MORNING)), (20_260_706, 1, 3), "it goes on behind midnight");
        assert_eq!(see(at(2, TUESDAY + EVENING)), (20_260_707, 2, 2), "the next one");
        assert_eq!(see(at(3, TUESDAY + EVENING)), (20_260_707, 2, 3));
        assert_eq!(see(at(1, TUESDAY + EVENING + 1)), (20_260_707, 1, 3), "a day that was lost is not over");
    }
}
