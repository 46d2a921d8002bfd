//! Reads a journal from any number on, and follows its writer.

use crate::format::{self, HEAD_BYTES, Place, RECORD_HEAD_BYTES, Record};
use crate::{mark, segment};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What one read of the file takes at least.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Why a journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says so.
    #[error("{path}: {error}")]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No segment is here.
    #[error("{path}: there is no journal in it: no file such as 00000000000000000001.journal")]
    NoJournal {
        /// The directory.
        path: PathBuf,
    },
    /// The number is before the oldest record that is here.
    #[error("record {number} is no longer here, the oldest is {oldest}")]
    NoLongerHeld {
        /// The number asked for.
        number: u64,
        /// The oldest record's.
        oldest: u64,
    },
    /// The file does not begin as a segment does.
    #[error("{path}: not a segment of a journal, or its head is damaged")]
    NotASegment {
        /// The file.
        path: PathBuf,
    },
    /// What stands there is no record, and no end either. At the very end of a journal that is being written, or whose
    /// writer died, it may be the record that was being written.
    #[error("{path}: damaged at byte {offset}, where record {number} should be")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The record that should be there.
        number: u64,
    },
}

/// [`Place`] without what it lends; a record is the one whose turn it is.
#[derive(Clone, Copy)]
enum Here {
    Record(usize),
    End,
    Partly(usize),
    Damaged,
}

/// The reading end of a journal.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    /// The segment that is read, once there is one, and the number of its first record.
    segment: Option<(File, u64)>,
    /// Where in the segment `buffer[at..]` begins.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    /// The record that stands at `buffer[at..]`.
    next: u64,
    /// Records before this one are passed over: its segment may begin with older ones.
    from: u64,
}

impl Reader {
    /// A reader whose first record is `number` (from 1); it need not be written yet.
    ///
    /// # Errors
    /// [`ReadError::NoLongerHeld`] if older segments were taken away; others as they come.
    pub fn open(directory: &Path, number: u64) -> Result<Self, ReadError> {
        let number = number.max(1);
        let mut reader = Self {
            directory: directory.to_owned(),
            segment: None,
            offset: 0,
            buffer: Vec::new(),
            at: 0,
            next: number,
            from: number,
        };
        reader.first_segment()?;
        Ok(reader)
    }

    /// A reader that begins with the oldest record that is here.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn oldest(directory: &Path) -> Result<Self, ReadError> {
        let firsts = segment::list(directory);
        let firsts = firsts.map_err(|error| ReadError::Io { path: directory.to_owned(), error })?;
        Self::open(directory, firsts.first().copied().unwrap_or(1))
    }

    /// A reader of a journal that is there, be it without a record yet, from `number` on or from the oldest record: for who looks into one, where [`Self::open`] is
    /// for who follows one that may only be about to begin.
    ///
    /// # Errors
    /// [`ReadError::NoJournal`]; see [`ReadError`] for the others.
    pub fn existing(directory: &Path, number: Option<u64>) -> Result<Self, ReadError> {
        let firsts = segment::list(directory);
        let firsts = firsts.map_err(|error| ReadError::Io { path: directory.to_owned(), error })?;
        match firsts.first() {
            Some(oldest) => Self::open(directory, number.unwrap_or(*oldest)),
            None if mark::is_begun(directory) => Self::open(directory, number.unwrap_or(1)),
            None => Err(ReadError::NoJournal { path: directory.to_owned() }),
        }
    }

    /// The number of the record that comes next.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next.max(self.from)
    }

    /// The next record; `None` at the end, where a later call may find more.
    ///
    /// # Errors
    /// See [`ReadError`]; a later call tries the same place again.
    #[expect(clippy::should_implement_trait, reason = "it lends")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        loop {
            if self.segment.is_none() && !self.first_segment()? {
                return Ok(None);
            }
            match self.here() {
                Here::Record(len) => {
                    let begin = self.at;
                    self.at += len;
                    self.offset += len as u64;
                    self.next += 1;
                    if self.next <= self.from {
                        continue;
                    }
                    return match format::decode(&self.buffer[begin..]) {
                        Place::Record(record, _) => Ok(Some(record)),
                        _ => unreachable!("decoded above"),
                    };
                }
                Here::Partly(needs) if self.fill(needs)? => {}
                // The writer may have been in the middle of it when it was read.
                Here::End | Here::Damaged if self.refresh()? => {}
                // What is here ends: the segment has no zeros behind its last record.
                Here::Partly(_) if self.at < self.buffer.len() => return Err(self.damaged()),
                Here::End | Here::Partly(_) => {
                    if !self.next_segment()? {
                        return Ok(None);
                    }
                }
                Here::Damaged => return Err(self.damaged()),
            }
        }
    }

    fn here(&self) -> Here {
        match format::decode(&self.buffer[self.at..]) {
            Place::Record(record, len) if record.number == self.next => Here::Record(len),
            Place::Record(..) | Place::Damaged => Here::Damaged,
            Place::End => Here::End,
            Place::Partly(needs) => Here::Partly(needs),
        }
    }

    fn damaged(&self) -> ReadError {
        let path = self.segment_path();
        ReadError::Damaged { path, offset: self.offset, number: self.next }
    }

    fn segment_path(&self) -> PathBuf {
        let first = self.segment.as_ref().map_or(self.next, |(_, first)| *first);
        segment::path(&self.directory, first)
    }

    fn io(&self, path: &Path, error: io::Error) -> ReadError {
        ReadError::Io { path: path.to_owned(), error }
    }

    /// Enters the segment that has the record `from`, or will have it; whether there is one.
    fn first_segment(&mut self) -> Result<bool, ReadError> {
        let firsts = segment::list(&self.directory).map_err(|error| self.io(&self.directory, error))?;
        let Some(&oldest) = firsts.first() else { return Ok(false) };
        if self.from < oldest {
            return Err(ReadError::NoLongerHeld { number: self.from, oldest });
        }
        self.next = firsts[firsts.partition_point(|first| *first <= self.from) - 1];
        self.enter(self.next).map(|()| true)
    }

    /// Goes on with the segment that begins with the next number, if there is one.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let is_other = self.segment.as_ref().is_none_or(|(_, first)| *first != self.next);
        if !is_other || !segment::path(&self.directory, self.next).exists() {
            return Ok(false);
        }
        self.enter(self.next).map(|()| true)
    }

    fn enter(&mut self, first: u64) -> Result<(), ReadError> {
        let path = segment::path(&self.directory, first);
        let file = File::open(&path).map_err(|error| self.io(&path, error))?;
        let mut head = [0; HEAD_BYTES];
        let read = file.read_exact_at(&mut head, 0);
        if read.is_err() || format::first_of(&head) != Some(first) {
            return Err(ReadError::NotASegment { path });
        }
        self.segment = Some((file, first));
        self.offset = HEAD_BYTES as u64;
        self.buffer.clear();
        self.at = 0;
        Ok(())
    }

    /// Reads on until `needs` bytes are there; whether it got any further.
    fn fill(&mut self, needs: usize) -> Result<bool, ReadError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        let wanted = needs.max(READ_BYTES);
        self.buffer.resize(wanted.max(held), 0);
        let Some((file, _)) = &self.segment else { return Ok(false) };
        let mut end = held;
        while end < needs {
            match file.read_at(&mut self.buffer[end..], self.offset + end as u64) {
                Ok(0) => break,
                Ok(read) => end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(end);
                    return Err(self.io(&self.segment_path(), error));
                }
            }
        }
        self.buffer.truncate(end);
        Ok(end > held)
    }

    /// Reads anew what is held from here on; whether it has changed, or more is held now: the first bytes of a record may be zeros, as
    /// those behind the last record are.
    fn refresh(&mut self) -> Result<bool, ReadError> {
        let before = self.buffer.split_off(self.at);
        self.buffer.clear();
        self.at = 0;
        self.fill(before.len().clamp(RECORD_HEAD_BYTES, READ_BYTES))?;
        let common = before.len().min(self.buffer.len());
        Ok(self.buffer.len() > before.len() || self.buffer[..common] != before[..common])
    }
}
