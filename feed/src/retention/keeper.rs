//! The thread that follows the log and writes it to disk. It never holds the log up: when it falls behind what memory holds, or the
//! disk takes no more, it stops, and takes its files away.

use super::{ENTRY_HEAD, Index, RetentionError, SEGMENT_BYTES, entry, locked, segment, segments};
use crate::config;
use crate::metrics::Metrics;
use flow::{NoLongerHeld, Reader, Seq, Tag};
use journal::{Limits, OpenError, Writer};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How often it looks whether there is more.
const LOOK: Duration = Duration::from_millis(10);
/// Entries written at a time.
const BATCH: u64 = 512;
/// Kinds of records: an entry, and one that keeps the place of an entry that is not kept.
const ENTRY: u16 = 1;
const PLACE: u16 = 0;

/// The trading day of a time: of China, which has one time zone and no summer time.
fn day(unix_ns: u64) -> u64 {
    (unix_ns / 1_000_000_000 + 8 * 3_600) / 86_400
}

/// Opens the journal of the folder and reads it through, if it is of the day of `unix_ns`; else it is emptied.
pub(super) fn open(
    config: &config::Retention,
    index: &mut Index,
    metrics: &Metrics,
    unix_ns: u64,
) -> Result<Writer, RetentionError> {
    let directory = &config.directory;
    let limits = Limits { segment_bytes: SEGMENT_BYTES, ..Limits::default() };
    let opened = match Writer::open(directory, limits) {
        Ok((writer, recovered)) => match read(directory, index, recovered.next_number, unix_ns) {
            Ok(true) => Some(writer),
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(%error, "what was retained cannot be read");
                None
            }
        },
        Err(error @ (OpenError::Damaged { .. } | OpenError::NotASegment(_) | OpenError::Gone { .. })) => {
            tracing::warn!(%error, "what was retained is damaged");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let writer = match opened {
        Some(writer) => writer,
        None => {
            metrics.retention_discarded.inc();
            *index = Index { mark_records: index.mark_records, ..Index::default() };
            clear(directory)?;
            let (writer, recovered) = Writer::open(directory, limits)?;
            (index.first, index.end) = (recovered.next_number, recovered.next_number);
            writer
        }
    };
    (index.base, index.before) = (index.end, index.lanes.clone());
    index.marks.retain(|mark| mark.record < index.base);
    metrics.retention_on.set(1);
    Ok(writer)
}

/// Notes what is there, up to `end`; whether it is of this day, and nothing is missing.
fn read(directory: &Path, index: &mut Index, end: u64, unix_ns: u64) -> Result<bool, journal::ReadError> {
    let mut reader = journal::Reader::oldest(directory)?;
    index.first = reader.next_number();
    while let Some(record) = reader.next()? {
        if day(record.unix_ns) != day(unix_ns) {
            return Ok(false);
        }
        let (number, seen) = (record.number, entry(record.payload).map(|(lane, number, _)| (lane, number)));
        index.mark(number);
        if let Some((lane, number)) = seen.filter(|(_, number)| *number > 0) {
            index.lanes.insert(lane, number + 1);
        }
    }
    index.end = reader.next_number();
    Ok(index.end == end)
}

/// Takes away the files of a journal.
fn clear(directory: &Path) -> io::Result<()> {
    for first in segments(directory)? {
        std::fs::remove_file(segment(directory, first))?;
    }
    match std::fs::remove_file(directory.join("synced")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Why retention stopped.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("the disk takes no more: {0}")]
    Disk(#[from] io::Error),
    #[error("the journal takes no more: {0}")]
    Journal(#[from] journal::AppendError),
    #[error("behind: {0}")]
    Behind(#[from] NoLongerHeld),
}

/// Writes the log to disk.
pub(crate) struct Keeper {
    log: Reader,
    /// The next entry.
    at: Seq,
    index: Arc<Mutex<Index>>,
    writer: Option<Writer>,
    config: config::Retention,
    metrics: Metrics,
    /// Bytes written since it was looked whether the oldest is to go.
    unlooked_bytes: u64,
}

impl Keeper {
    pub(super) fn new(
        log: Reader,
        index: Arc<Mutex<Index>>,
        writer: Writer,
        config: config::Retention,
        metrics: Metrics,
    ) -> Self {
        Self { log, at: 0, index, writer: Some(writer), config, metrics, unlooked_bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, max_bytes: u64) {
        self.config.max_bytes = max_bytes;
    }

    /// Follows the log until nobody writes it any more: until what `alive` points at is gone.
    pub(crate) fn run(mut self, alive: &Weak<()>) {
        let clock = transport::Clock::start();
        loop {
            let ended = alive.strong_count() == 0;
            let unix_ns = u64::try_from(clock.wall_ns(clock.now_ns())).unwrap_or(0);
            self.follow(unix_ns);
            if ended {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Writes what is new.
    pub(super) fn follow(&mut self, unix_ns: u64) {
        while self.writer.is_some() {
            match self.batch(unix_ns) {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => self.stop(&why),
            }
        }
    }

    /// Some entries; whether there may be more.
    fn batch(&mut self, unix_ns: u64) -> Result<bool, Stop> {
        let Some(writer) = &mut self.writer else { return Ok(false) };
        self.log.refresh();
        let until = self.log.end().min(self.at + BATCH);
        if self.at == until {
            return Ok(false);
        }
        let begin = self.at;
        let mut index = locked(&self.index);
        while self.at < until {
            let Some(entry) = self.log.entry(self.at)? else { break };
            index.mark(writer.next_number());
            if keeps(&index, entry.tag) {
                let mut head = [0; ENTRY_HEAD];
                head[..2].copy_from_slice(&entry.tag.lane.to_le_bytes());
                head[2..].copy_from_slice(&entry.tag.number.to_le_bytes());
                writer.append(ENTRY, unix_ns, &[&head, entry.frame])?;
                self.unlooked_bytes += entry.frame.len() as u64;
                if entry.tag.number > 0 {
                    index.lanes.insert(entry.tag.lane, entry.tag.number + 1);
                }
            } else {
                writer.append(PLACE, unix_ns, &[])?;
            }
            self.at += 1;
        }
        drop(index);
        writer.write()?;
        let end = writer.next_number();
        locked(&self.index).end = end;
        self.metrics.retention_entries.inc_by(self.at - begin);
        self.let_go()?;
        Ok(true)
    }

    /// Gives up the oldest files, when there are too many.
    fn let_go(&mut self) -> io::Result<()> {
        if self.unlooked_bytes < SEGMENT_BYTES / 4 {
            return Ok(());
        }
        self.unlooked_bytes = 0;
        let directory = &self.config.directory;
        let firsts = segments(directory)?;
        // One more may be begun before the next look.
        let most = (self.config.max_bytes / SEGMENT_BYTES - 1) as usize;
        for pair in firsts.windows(2).take(firsts.len().saturating_sub(most)) {
            locked(&self.index).let_go(pair[1]);
            std::fs::remove_file(segment(directory, pair[0]))?;
        }
        self.metrics.retention_bytes.set((firsts.len().min(most) as u64 * SEGMENT_BYTES) as i64);
        Ok(())
    }

    #[cold]
    fn stop(&mut self, why: &Stop) {
        tracing::error!(%why, "retention has stopped: subscribers get what memory holds; the flow goes on");
        self.metrics.retention_stopped.inc();
        self.metrics.retention_on.set(0);
        self.metrics.retention_bytes.set(0);
        locked(&self.index).stopped = true;
        self.writer = None;
        if let Err(error) = clear(&self.config.directory) {
            tracing::warn!(%error, "the files of retention stay");
        }
    }
}

/// Whether an entry is kept: no heartbeats, which say how far a channel was once, and nothing twice: where a channel joins what is here
/// from before a restart, the log says that those numbers are not in memory.
fn keeps(index: &Index, tag: Tag) -> bool {
    match tag.number {
        0 => tag.key != Tag::EVERYONE,
        number => index.before.get(&tag.lane).is_none_or(|next| number >= *next),
    }
}
