//! Hot path: appending.
//!
//! Rules: [`Writer::append`] makes no system call and, once the buffer has its size, no allocation; [`Writer::write`] makes
//! one for all that was appended, and some more where a segment is full.

use crate::format::{self, HEAD_BYTES, PAYLOAD_MAX, Place, RECORD_HEAD_BYTES, Synced};
use crate::mark::Mark;
use crate::segment;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bounds of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of a segment, reserved when it is begun, bytes.
    pub segment_bytes: u64,
    /// Bytes that may be appended and not written yet; what is more is refused.
    pub buffer_bytes_max: usize,
}

impl Default for Limits {
    /// Segments of 64 MiB, 8 MiB of buffer.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, buffer_bytes_max: 8 << 20 }
    }
}

/// What was found when a journal was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The number that the next record gets.
    pub next_number: u64,
    /// Bytes at the end that were cut: what a crash had left of records that were never synced.
    pub cut_bytes: u64,
}

/// Why a journal cannot be opened for writing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says so.
    #[error("{path}: {error}")]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another writer has it.
    #[error("{0}: another process writes this journal")]
    InUse(PathBuf),
    /// The newest file does not begin as a segment does.
    #[error("{0}: not a segment of a journal, or its head is damaged")]
    NotASegment(PathBuf),
    /// A record that was synced is bad or gone: not what a crash leaves.
    #[error(
        "{path}: damaged at byte {offset}, where record {number} should be, and all up to {synced} had been synced; \
         see `journal verify`"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the damage is.
        offset: u64,
        /// The record that should be there.
        number: u64,
        /// The last record that is known to have been synced.
        synced: u64,
    },
    /// No segment is there, and there were some.
    #[error(
        "{directory}: all records up to {synced} had been synced, and no segment is there; put them back, or, to begin a new \
         journal, take the file `synced` away too"
    )]
    Gone {
        /// The journal's.
        directory: PathBuf,
        /// The last record that is known to have been synced.
        synced: u64,
    },
    /// Bounds that make no sense together.
    #[error("a segment of {segment_bytes} bytes is too short for records of {PAYLOAD_MAX} bytes")]
    Limits {
        /// What was asked for.
        segment_bytes: u64,
    },
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More than [`PAYLOAD_MAX`].
    #[error("record too long")]
    TooLong,
    /// As much as may wait is waiting to be written.
    #[error("journal buffer full")]
    BufferFull,
}

/// The writing end of a journal; there is one at a time, on one thread.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    limits: Limits,
    /// Held as long as this writer is.
    _lock: File,
    /// The segment that is written, unless the next record begins one.
    file: Option<File>,
    /// Where the next byte of the buffer goes in it.
    offset: u64,
    /// Appended and not written yet.
    buffer: Vec<u8>,
    /// Segments that begin within the buffer: where, and with which number.
    begins: VecDeque<(usize, u64)>,
    /// What the segment that the last appended record is in has left.
    room: u64,
    next: u64,
    /// The last record that a loss of power leaves, as far as is known.
    synced: u64,
    mark: Mark,
    /// The last record of which all bytes are written.
    written: u64,
    /// Written and not synced.
    dirty: bool,
    /// A sync has failed: what the kernel could not write it may have dropped, so nothing is safe any more.
    broken: bool,
}

impl Writer {
    /// Opens the journal of this directory, which is made if it is not there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, limits: Limits) -> Result<(Self, Recovered), OpenError> {
        if limits.segment_bytes < (HEAD_BYTES + RECORD_HEAD_BYTES + PAYLOAD_MAX) as u64 {
            return Err(OpenError::Limits { segment_bytes: limits.segment_bytes });
        }
        let io = |error| OpenError::Io { path: directory.to_owned(), error };
        fs::create_dir_all(directory).map_err(io)?;
        let lock = lock(directory)?;
        let (mark, synced) = Mark::open(directory).map_err(io)?;
        let mut writer = Self {
            directory: directory.to_owned(),
            limits,
            _lock: lock,
            file: None,
            offset: 0,
            buffer: Vec::new(),
            begins: VecDeque::new(),
            room: 0,
            next: 1,
            synced: 0,
            mark,
            written: 0,
            dirty: false,
            broken: false,
        };
        let newest = segment::list(directory).map_err(io)?.last().copied();
        let cut_bytes = match newest {
            Some(first) => writer.go_on_with(first, synced)?,
            None if synced > 0 => return Err(OpenError::Gone { directory: directory.to_owned(), synced }),
            None => 0,
        };
        let next_number = writer.next;
        Ok((writer, Recovered { next_number, cut_bytes }))
    }

    /// Finds the end of the newest segment. The mark says that all up to `marked` was synced.
    fn go_on_with(&mut self, first: u64, marked: u64) -> Result<u64, OpenError> {
        let path = segment::path(&self.directory, first);
        let io = |error| OpenError::Io { path: path.clone(), error };
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io)?;
        let bytes = fs::read(&path).map_err(io)?;
        if format::first_of(&bytes) != Some(first) {
            return Err(OpenError::NotASegment(path));
        }
        let mut at = HEAD_BYTES;
        self.next = first;
        while let Place::Record(record, len) = format::decode(&bytes[at..]) {
            if record.number != self.next {
                break;
            }
            at += len;
            self.next += 1;
        }
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let cut_bytes = used.saturating_sub(at);
        let synced = marked.max(synced_behind(&bytes[at..used.max(at)], self.next));
        if synced >= self.next {
            return Err(OpenError::Damaged { path, offset: at as u64, number: self.next, synced });
        }
        // Each segment was synced before the next was begun. Of this one's records some may be the system's only.
        self.synced = synced.max(first - 1);
        self.written = self.next - 1;
        self.dirty = self.synced < self.written;
        if cut_bytes > 0 {
            let zeros = vec![0; cut_bytes];
            file.write_all_at(&zeros, at as u64).and_then(|()| file.sync_data()).map_err(io)?;
        }
        if self.dirty {
            // Who reads it takes it for kept from here on. It is written anew first: after a sync that failed the kernel may
            // hold it for clean, and sync nothing.
            let from = offset_of(&bytes, self.synced + 1 - first);
            file.write_all_at(&bytes[from..at], from as u64).and_then(|()| file.sync_data()).map_err(io)?;
            self.mark.set(self.written).map_err(io)?;
            self.synced = self.written;
            self.dirty = false;
        }
        self.offset = at as u64;
        self.room = (bytes.len() as u64).max(self.limits.segment_bytes).saturating_sub(self.offset);
        self.file = Some(file);
        Ok(cut_bytes as u64)
    }

    /// The number that the next record gets.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Bytes appended and not written yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a record, whose payload is `parts` in a row; returns its number. It is in the buffer until
    /// [`Self::write`].
    ///
    /// # Errors
    /// See [`AppendError`]; the record has no number then.
    #[inline]
    pub fn append(&mut self, kind: u16, unix_ns: u64, parts: &[&[u8]]) -> Result<u64, AppendError> {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        if payload > PAYLOAD_MAX {
            return Err(AppendError::TooLong);
        }
        let len = RECORD_HEAD_BYTES + payload;
        if self.buffer.len() + len > self.limits.buffer_bytes_max.max(len) {
            return Err(AppendError::BufferFull);
        }
        if self.room < len as u64 {
            self.begins.push_back((self.buffer.len(), self.next));
            self.room = self.limits.segment_bytes - HEAD_BYTES as u64;
        }
        self.room -= len as u64;
        format::encode((self.next, kind, unix_ns), self.synced, parts, &mut self.buffer);
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Gives the system all that was appended: it outlives this process from then on, not a loss of power.
    ///
    /// # Errors
    /// What the system says. Nothing is lost: what it did not take is kept for the next call.
    pub fn write(&mut self) -> io::Result<()> {
        self.whole()?;
        let mut done = 0;
        let outcome = self.write_from(&mut done);
        if outcome.is_ok() {
            self.written = self.next - 1;
        }
        self.buffer.drain(..done);
        self.begins.iter_mut().for_each(|(at, _)| *at -= done);
        outcome
    }

    fn write_from(&mut self, done: &mut usize) -> io::Result<()> {
        while *done < self.buffer.len() {
            if self.begins.front().is_some_and(|(at, _)| at == done) {
                self.begin_segment()?;
            }
            let until = self.begins.front().map_or(self.buffer.len(), |(at, _)| *at);
            let file = self.file.as_ref().expect("invariant: the first record begins a segment");
            match file.write_at(&self.buffer[*done..until], self.offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    *done += written;
                    self.offset += written as u64;
                    self.dirty = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The segment before is made safe first, so that damage can only be at the end of the newest.
    #[cold]
    fn begin_segment(&mut self) -> io::Result<()> {
        let &(_, first) = self.begins.front().expect("invariant: asked for");
        self.written = first - 1;
        self.sync()?;
        self.file = Some(segment::create(&self.directory, first, self.limits.segment_bytes)?);
        self.offset = HEAD_BYTES as u64;
        self.begins.pop_front();
        Ok(())
    }

    /// Makes all that was written outlive a loss of power.
    ///
    /// # Errors
    /// What the system says. After an error of fdatasync(2) the kernel may have dropped what it could not write: it must
    /// be taken for lost: every later call fails, too, until the journal is opened anew. Where only the note of how far it was
    /// synced was not taken, the next call tries again.
    pub fn sync(&mut self) -> io::Result<()> {
        self.whole()?;
        if let Some(file) = self.file.as_ref().filter(|_| self.dirty) {
            if let Err(error) = file.sync_data() {
                self.broken = true;
                return Err(error);
            }
            self.mark.set(self.written)?;
            self.synced = self.written;
            self.dirty = false;
        }
        Ok(())
    }

    fn whole(&self) -> io::Result<()> {
        if self.broken { Err(io::Error::other("an earlier sync has failed")) } else { Ok(()) }
    }
}

/// Where a segment's record begins that has `before` others before it, all of them whole.
fn offset_of(segment: &[u8], before: u64) -> usize {
    let mut at = HEAD_BYTES;
    for _ in 0..before {
        let Place::Record(_, len) = format::decode(&segment[at..]) else { break };
        at += len;
    }
    at
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let io = |error| OpenError::Io { path: path.clone(), error };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// The last record that was synced, as far as whole records tell that stand behind what is no record, which begins with the
/// first byte and should be the record `expected`; 0 where none does.
///
/// A loss of power may leave any of the pages that were not synced, so whole records may stand behind a torn one, and all
/// of them were appended when the torn one was not safe. One that was appended when it was proves damage.
fn synced_behind(bytes: &[u8], expected: u64) -> u64 {
    let numbers = expected + 1..expected + 1 + (bytes.len() / RECORD_HEAD_BYTES) as u64;
    let told = (1..bytes.len().saturating_sub(RECORD_HEAD_BYTES)).filter_map(|at| {
        // Looked at before the checksum, which is long.
        let number = u64::from_le_bytes(bytes[at + 12..at + 20].try_into().ok()?);
        let whole = numbers.contains(&number) && matches!(format::decode(&bytes[at..]), Place::Record(..));
        match whole.then(|| format::synced(&bytes[at..], number))? {
            Synced::UpTo(synced) => Some(synced),
            Synced::TooFar => None,
            Synced::Unsaid => Some(number),
        }
    });
    told.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
