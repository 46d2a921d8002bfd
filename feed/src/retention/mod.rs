//! What the log no longer holds, on disk, for the day: a subscriber can begin at the open, and ask again for what is long
//! out of the window.
//!
//! It is a cache. A thread of its own follows the log ([`keeper`]) and writes each entry into a [`journal`]; another one reads it
//! for those who ask ([`recall`]). The disk has one piece of the log without a hole, which ends inside the window that
//! memory holds: so a reader that comes to a place which memory holds goes on there, and nothing is missing between. Where the disk
//! cannot give that any more, it gives nothing: retention stops, and the flow does not notice.
//!
//! After a restart the log begins anew, and what is on disk is from before it. A channel joins when the first number that a
//! source has of it is beyond the disk's last one: the numbers between are asked for like any others that are missing. If a
//! channel does not join, all of before the restart is given up.

mod keeper;
mod recall;
#[cfg(test)]
mod tests;

use crate::app::Command;
use crate::config;
use crate::metrics::Metrics;
use crate::securities::Directory;
use flow::{FindError, Reader, Seq};
use keeper::Keeper;
pub(crate) use recall::{Answer, Want};
use recall::{Recaller, Request};
use shard::{ConnId, Handle};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};

/// Length of a file, bytes: the step in which the oldest is given up.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// Records between two marks: so many are read in vain, at most, by one who asks for a number.
const MARK_RECORDS: u64 = 16_384;
/// Marks kept; with more, every other one is forgotten.
const MARKS_MAX: usize = 16_384;

/// How far the channels were before a record.
#[derive(Clone, Debug)]
struct Mark {
    record: u64,
    /// The number that each channel takes next, ascending by channel.
    lanes: Box<[(u16, u64)]>,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Index {
    /// It has stopped: nothing is given any more.
    stopped: bool,
    /// The oldest record that is given.
    first: u64,
    /// The record after the newest one that can be read.
    end: u64,
    /// The record of the log's first entry.
    base: u64,
    marks: VecDeque<Mark>,
    mark_records: u64,
    /// Of each channel on disk from before the restart, the number after the last.
    before: BTreeMap<u16, u64>,
    /// The same, of all that was written: of this run's channels the last number now.
    lanes: BTreeMap<u16, u64>,
}

impl Index {
    /// A record is written next: notes where the channels are, now and then.
    fn mark(&mut self, record: u64) {
        if self.marks.back().is_some_and(|last| record < last.record + self.mark_records) {
            return;
        }
        if self.marks.len() == MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.mark_records *= 2;
        }
        let lanes = self.lanes.iter().map(|(lane, next)| (*lane, *next)).collect();
        self.marks.push_back(Mark { record, lanes });
    }

    /// Records below this one are given no more.
    fn let_go(&mut self, first: u64) {
        self.first = self.first.max(first);
        // The mark that stands before the oldest record is that of its channels' beginnings.
        while self.marks.get(1).is_some_and(|second| second.record <= self.first) {
            self.marks.pop_front();
        }
    }

    /// The record from which on a lane's numbers from `number` on are here.
    fn find(&self, lane: u16, number: u64) -> Option<u64> {
        let next_at = |mark: &Mark| {
            mark.lanes.binary_search_by_key(&lane, |l| l.0).map_or(1, |index| mark.lanes[index].1)
        };
        let after = self.marks.partition_point(|mark| next_at(mark) <= number);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index))?;
        (!self.stopped && mark.record >= self.first).then_some(mark.record)
    }
}

/// What shards know of the disk. Locked by them for a subscriber's request, never for a message.
#[derive(Clone)]
pub(crate) struct Retention {
    index: Arc<Mutex<Index>>,
    asks: SyncSender<Request>,
    seats: Arc<AtomicUsize>,
}

/// The right to read from disk, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The threads, not yet started.
pub(crate) struct Threads {
    pub(crate) keeper: Keeper,
    pub(crate) recaller: Recaller,
}

/// Why retention cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    /// The journal of the folder cannot be opened.
    #[error(transparent)]
    Open(#[from] journal::OpenError),
    /// What is there cannot be read or taken away.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn locked(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().expect("no holder of this lock panics")
}

impl Retention {
    /// Opens the folder, reads what is there of today, and makes the two threads; `log` is a reader that has seen nothing.
    ///
    /// # Errors
    /// The folder cannot be used, or another process uses it.
    pub(crate) fn open(
        config: &config::Retention,
        log: Reader,
        directory: Arc<Directory>,
        metrics: &Metrics,
        unix_ns: u64,
    ) -> Result<(Self, Threads), RetentionError> {
        let mut index = Index { mark_records: MARK_RECORDS, ..Index::default() };
        let writer = keeper::open(config, &mut index, metrics, unix_ns)?;
        let index = Arc::new(Mutex::new(index));
        let (asks, from) = sync_channel(config.readers_max);
        let keeper = Keeper::new(log, index.clone(), writer, config.clone(), metrics.clone());
        let recaller = Recaller::new(config, index.clone(), from, directory);
        let seats = Arc::new(AtomicUsize::new(config.readers_max));
        Ok((Self { index, asks, seats }, Threads { keeper, recaller }))
    }

    /// Of each channel on disk from before the restart, the number after the last.
    pub(crate) fn before(&self) -> BTreeMap<u16, u64> {
        locked(&self.index).before.clone()
    }

    /// A channel does not go on where the disk ends.
    pub(crate) fn give_up_before(&self) {
        let mut index = locked(&self.index);
        if index.before.is_empty() {
            return;
        }
        tracing::warn!("a channel does not join what is on disk from before the restart: that is given up");
        let base = index.base;
        let before = std::mem::take(&mut index.before);
        index.lanes.retain(|lane, next| before.get(lane).is_none_or(|before| *next > *before));
        index.marks.retain(|mark| mark.record > base);
        index.marks.push_front(Mark { record: base, lanes: Box::default() });
        index.let_go(base);
    }

    /// The record to begin with for a lane's numbers from `number` on, if memory does not hold them and the disk does.
    pub(crate) fn find(&self, log: &Reader, lane: u16, number: u64) -> Option<u64> {
        let index = locked(&self.index);
        let older = index.before.get(&lane).is_some_and(|next| number < *next);
        let needed = older || matches!(log.find(lane, number), Err(FindError::NoLongerHeld { .. }));
        if needed { index.find(lane, number) } else { None }
    }

    /// The place in the log of a record, if memory has it in its newer half: one that goes on there must not be too slow a
    /// moment later.
    pub(crate) fn in_memory(&self, log: &Reader, record: u64) -> Option<Seq> {
        let place = record.checked_sub(locked(&self.index).base);
        place.filter(|seq| *seq >= log.start() + (log.end() - log.start()) / 2)
    }

    /// The right to read, unless as many as may do.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let taken = self.seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1));
        taken.is_ok().then(|| Seat(self.seats.clone()))
    }

    /// Asks for what is wanted from a record on; the answer is a command to the shard. Whether there was room to ask.
    pub(crate) fn ask(&self, to: &Handle<Command>, (id, seat): (ConnId, &Reading), want: Want) -> bool {
        let request = Request { to: to.clone(), id, ticket: seat.ticket, record: seat.record, want };
        match self.asks.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Where one reader of the disk is.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Which of a connection's readings it is: an answer to another is not for it.
    pub(crate) ticket: u64,
    /// The record that it reads next.
    pub(crate) record: u64,
    /// It has asked, and waits.
    pub(crate) asked: bool,
    _seat: Seat,
}

impl Reading {
    pub(crate) fn new(seat: Seat, record: u64, ticket: u64) -> Self {
        Self { ticket, record, asked: false, _seat: seat }
    }
}

/// The segments of a journal: the number of the first record of each, ascending. See [`journal::format`].
fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        firsts.extend(first.and_then(|digits| digits.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn segment(directory: &Path, first: u64) -> std::path::PathBuf {
    directory.join(format!("{first:020}.journal"))
}

/// An entry as it is in a record: lane, number, frame; little-endian.
const ENTRY_HEAD: usize = 10;

fn entry(payload: &[u8]) -> Option<(u16, u64, &[u8])> {
    let (head, frame) = payload.split_first_chunk::<ENTRY_HEAD>()?;
    let lane = u16::from_le_bytes([head[0], head[1]]);
    let number = u64::from_le_bytes(head[2..].try_into().ok()?);
    (!frame.is_empty()).then_some((lane, number, frame))
}
