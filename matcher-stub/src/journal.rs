//! Hot path: the day's inputs on disk. One write call appends those of a turn; nothing is done on their behalf before it
//! has returned.
//!
//! Rules: no allocation but for the buffer that is kept, no lock, no log but when writing begins to fail and when it
//! works again.
//!
//! A directory holds one day: the file `inputs`, locked by the process that writes it. A record is `length u32 | CRC-32
//! u32 | inputs of a turn`, big-endian; the CRC is of the length and the inputs. The first record says by which settings
//! the day was begun. What a crash left unfinished at the end is cut when the file is opened again: a record that is not
//! whole was never acted upon. Damage anywhere else is an error and nothing is cut: what follows it was acted upon.

use crate::core::InputError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What has happened to a turn's inputs when its reports are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The system has them: they outlive the process, not a loss of power.
    Write,
    /// The disk has them.
    Sync,
}

/// Why a journal cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system says so.
    #[error("journal {path}: {error}")]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("journal {0}: another process has it open")]
    InUse(PathBuf),
    /// It is a journal of something else.
    #[error("journal {0}: not a journal of this version of the matcher")]
    Foreign(PathBuf),
    /// With other settings the same inputs make another day.
    #[error(
        "journal {0}: its day was begun with other desks, securities, accounts, phases or settings of the core; \
         restore them, or begin a new day in another directory"
    )]
    Settings(PathBuf),
    /// A record in the middle is not what was written.
    #[error("journal {path}: damaged at byte {offset}, with good records behind it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage is.
        offset: u64,
    },
    /// A record is as it was written, and no input of this core.
    #[error("journal {path}: {error}")]
    Input {
        /// The file.
        path: PathBuf,
        /// What it is.
        error: InputError,
    },
}

/// What a journal held when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records of inputs.
    pub records: u64,
    /// Bytes that are good.
    pub bytes: u64,
    /// Bytes behind them that were cut.
    pub cut_bytes: u64,
    /// When the day was begun, ns since 1970.
    pub begun_unix_ns: u64,
}

/// What happened since, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records written.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that the system did not take.
    pub errors: u64,
}

/// The one writer of a day's journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    durability: Durability,
    /// Where the next record goes.
    end: u64,
    buffer: Vec<u8>,
    /// The last write failed: there may be something behind the end.
    failing: bool,
    counts: Counts,
}

const HEAD_LEN: usize = 8;
/// What the first record begins with; the digit is the version of the inputs.
const MAGIC: &[u8; 8] = b"TDMATCH1";
/// Longest record that is taken for one: twice the portions in which a turn is written.
const PAYLOAD_LEN_MAX: usize = 4 << 20;

impl Journal {
    /// Opens the journal of a directory, which is made if it is not there, and gives the inputs of each record to
    /// `each`. `fingerprint` is of the settings of the core.
    ///
    /// # Errors
    /// [`JournalError`]; nothing was changed then.
    pub fn open(
        directory: &Path,
        durability: Durability,
        (fingerprint, now_unix_ns): (u64, u64),
        each: impl FnMut(&[u8]) -> Result<(), InputError>,
    ) -> Result<(Self, Found), JournalError> {
        let path = directory.join("inputs");
        let failed = |error| JournalError::Io { path: path.clone(), error };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.clone()),
            TryLockError::Error(error) => failed(error),
        })?;
        let found = read(&file, &path, fingerprint, each)?;
        let mut journal = Self {
            file,
            durability,
            end: found.bytes,
            buffer: Vec::new(),
            failing: false,
            counts: Counts::default(),
        };
        if found.cut_bytes > 0 {
            tracing::warn!(path = %path.display(), bytes = found.cut_bytes, "cut what a crash left unfinished");
        }
        journal.file.set_len(found.bytes).map_err(failed)?;
        if found.bytes == 0 {
            let mut head = MAGIC.to_vec();
            head.extend_from_slice(&fingerprint.to_be_bytes());
            head.extend_from_slice(&now_unix_ns.to_be_bytes());
            journal.try_append(&head).map_err(failed)?;
            journal.file.sync_all().map_err(failed)?;
            // The file's name is to outlive a loss of power, too.
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
            return Ok((journal, Found { begun_unix_ns: now_unix_ns, ..found }));
        }
        Ok((journal, found))
    }

    /// Appends the inputs of a turn.
    ///
    /// # Errors
    /// What the system says; the journal is then as it was, and the next call tries again.
    #[inline]
    pub fn append(&mut self, inputs: &[u8]) -> io::Result<()> {
        match self.try_append(inputs) {
            Ok(()) => {
                self.counts.records += 1;
                self.counts.bytes += (HEAD_LEN + inputs.len()) as u64;
                if self.failing {
                    self.works_again();
                }
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// What happened since it was opened.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn try_append(&mut self, inputs: &[u8]) -> io::Result<()> {
        if self.failing {
            // What the failed write left must not be taken for a record, whole or not, behind the one that comes now.
            self.file.set_len(self.end)?;
        }
        encode(inputs, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.end)?;
        if self.durability == Durability::Sync {
            self.file.sync_data()?;
        }
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    #[cold]
    fn failed(&mut self, error: io::Error) -> io::Error {
        self.counts.errors += 1;
        if !self.failing {
            self.failing = true;
            tracing::error!(%error, "journal cannot be written: requests are refused until it can");
        }
        if let Err(error) = self.file.set_len(self.end) {
            tracing::debug!(%error, "the rest of a failed write is cut before the next one");
        }
        error
    }

    #[cold]
    fn works_again(&mut self) {
        self.failing = false;
        tracing::info!("journal is written again");
    }
}

fn encode(payload: &[u8], record: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).expect("invariant: a turn is written in portions").to_be_bytes();
    record.clear();
    record.extend_from_slice(&len);
    record.extend_from_slice(&checksum(len, payload).to_be_bytes());
    record.extend_from_slice(payload);
}

fn checksum(len: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(payload);
    hasher.finalize()
}

/// The payload of the record that some bytes begin with, if it is whole and good.
fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_LEN>()?;
    let [a, b, c, d, sum @ ..] = *head;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    let payload = rest.get(..len).filter(|_| (1..=PAYLOAD_LEN_MAX).contains(&len))?;
    (checksum([a, b, c, d], payload) == u32::from_be_bytes(sum)).then_some(payload)
}

fn read(
    file: &File,
    path: &Path,
    fingerprint: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), InputError>,
) -> Result<Found, JournalError> {
    let failed = |error| JournalError::Io { path: path.to_owned(), error };
    let len = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut found = Found::default();
    let mut record = Vec::new();
    loop {
        if !next(&mut reader, &mut record).map_err(failed)? {
            break;
        }
        let Some(payload) = decode(&record) else { break };
        if found.bytes == 0 {
            found.begun_unix_ns = begun(payload, path, fingerprint)?;
        } else {
            each(payload).map_err(|error| JournalError::Input { path: path.to_owned(), error })?;
            found.records += 1;
        }
        found.bytes += record.len() as u64;
    }
    found.cut_bytes = len - found.bytes;
    if found.bytes == 0 && len > (HEAD_LEN + MAGIC.len() + 16) as u64 {
        return Err(JournalError::Foreign(path.to_owned()));
    }
    if has_record_behind(file, found.bytes, len).map_err(failed)? {
        return Err(JournalError::Damaged { path: path.to_owned(), offset: found.bytes });
    }
    Ok(found)
}

/// Reads one record's bytes, or as many of them as there are; whether there were any.
fn next(reader: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    reader.by_ref().take(HEAD_LEN as u64).read_to_end(record)?;
    let Some((len, _)) = record.split_first_chunk::<4>() else { return Ok(!record.is_empty()) };
    let len = u32::from_be_bytes(*len) as usize;
    if len <= PAYLOAD_LEN_MAX {
        reader.by_ref().take(len as u64).read_to_end(record)?;
    }
    Ok(true)
}

/// When the day was begun.
fn begun(payload: &[u8], path: &Path, fingerprint: u64) -> Result<u64, JournalError> {
    let foreign = || JournalError::Foreign(path.to_owned());
    let rest = payload.strip_prefix(MAGIC).ok_or_else(foreign)?;
    let (print, rest) = rest.split_first_chunk::<8>().ok_or_else(foreign)?;
    let begun: [u8; 8] = rest.try_into().map_err(|_| foreign())?;
    if u64::from_be_bytes(*print) != fingerprint {
        return Err(JournalError::Settings(path.to_owned()));
    }
    Ok(u64::from_be_bytes(begun))
}

/// Whether a good record begins anywhere behind what could not be read: a crash tears the end only.
#[cold]
fn has_record_behind(file: &File, bad: u64, len: u64) -> io::Result<bool> {
    // A torn end is one record at the most. Where more follows, enough of it is looked at to hold another.
    let looked_at = (len - bad).min(2 * (PAYLOAD_LEN_MAX + HEAD_LEN) as u64) as usize;
    let mut bytes = vec![0; looked_at];
    file.read_exact_at(&mut bytes, bad)?;
    Ok((1..bytes.len()).any(|at| decode(&bytes[at..]).is_some()))
}

#[cfg(test)]
mod tests;
