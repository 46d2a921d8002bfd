//! A store in one append-only file.
//!
//! After eight bytes of magic come records: length of the payload (u32, little-endian), kind (u8), CRC-32 of kind and
//! payload (u32, little-endian), payload. Each payload begins with a number (u64). Kind 1 is a sent message behind its own
//! number; kind 2 the next number that is expected; kind 5 a mark behind its number: lane (u16), flow (u64) and the number again
//! (u64); kind 6 a sent message that was made of a flow: its own number, the mark, the message. Kinds 3 and 4 are those of earlier
//! versions, whose marks did not say of which flow they are: they are taken for none. What a crash left
//! unfinished at the end fails its CRC or its length and is cut off on opening. A reset begins a new file beside the old one
//! and puts it in its place, so that the marks are in one or the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Mark, Marks, OnReset, Store, StoreError};

const MAGIC: &[u8; 8] = b"TDFIX01\n";
const HEAD: usize = 9;
const KIND_MESSAGE: u8 = 1;
const KIND_TARGET: u8 = 2;
const KIND_MARK_BEFORE: u8 = 3;
const KIND_MARKED_BEFORE: u8 = 4;
const KIND_MARK: u8 = 5;
const KIND_MARKED: u8 = 6;
/// What stands before the message in a record of kind 6: its number, and the mark.
const MARKED_HEAD: usize = 8 + Mark::BYTES;
/// The same of kind 4: its number, the lane, the number of the mark.
const MARKED_BEFORE_HEAD: usize = 8 + 2 + 8;
/// What is waiting is written without being asked for beyond this.
const PENDING_MAX: usize = 256 * 1024;

/// What a committed change survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however it came: the system has the bytes.
    #[default]
    Process,
    /// A loss of power too: each commit waits for the disk (fdatasync), 0.2 to 1 ms.
    Power,
}

/// Bounds of a file store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// The largest file; then [`StoreError::Full`] until a reset.
    pub file_bytes_max: u64,
    /// The longest message.
    pub message_bytes_max: u32,
    /// What a commit promises.
    pub durability: Durability,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { file_bytes_max: 4 << 30, message_bytes_max: 64 * 1024, durability: Durability::Process }
    }
}

/// Remembers across restarts. It holds the file alone (a lock), and in memory twelve bytes a message.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
    limits: FileLimits,
    /// Where each message's bytes are, by number from 1.
    index: Vec<(u64, u32)>,
    next_target: u64,
    marks: Marks,
    /// Bytes in the file.
    written: u64,
    /// Records that are not in the file yet.
    pending: Vec<u8>,
    target_changed: bool,
    unsynced: bool,
    /// A sync failed: what it was to keep may be gone, whatever a later one says.
    broken: bool,
    cut: u64,
}

impl FileStore {
    /// Opens or creates the file, reads it once through, and cuts off an unfinished end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(path: &Path, limits: FileLimits) -> Result<Self, StoreError> {
        let mut store = Self {
            path: path.to_owned(),
            file: open_alone(path)?,
            limits,
            index: Vec::new(),
            next_target: 1,
            marks: Marks::default(),
            written: 0,
            pending: Vec::new(),
            target_changed: false,
            unsynced: false,
            broken: false,
            cut: 0,
        };
        store.recover()?;
        Ok(store)
    }

    /// Bytes that were cut off on opening because a crash had left them unfinished.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        let len = self.file.metadata()?.len();
        let mut reader = BufReader::new(self.file.try_clone()?);
        let mut magic = [0; MAGIC.len()];
        if len < MAGIC.len() as u64 {
            self.cut = len;
            return self.clear();
        }
        reader.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(StoreError::Format);
        }
        self.written = MAGIC.len() as u64;
        let mut payload = Vec::new();
        while let Some(kind) = self.next_record(&mut reader, len, &mut payload)? {
            if !self.take(kind, &payload) {
                break;
            }
            self.written += (HEAD + payload.len()) as u64;
        }
        self.cut = len - self.written;
        if self.cut > 0 {
            self.file.set_len(self.written)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The next record's kind, its payload in `payload`; `None` at the end, or where it is not whole.
    fn next_record(
        &self,
        reader: &mut impl Read,
        len: u64,
        payload: &mut Vec<u8>,
    ) -> Result<Option<u8>, StoreError> {
        let left = len - self.written;
        if left < HEAD as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        reader.read_exact(&mut head)?;
        let [l0, l1, l2, l3, kind, c0, c1, c2, c3] = head;
        let payload_len = u32::from_le_bytes([l0, l1, l2, l3]);
        if payload_len > self.limits.message_bytes_max.saturating_add(MARKED_HEAD as u32)
            || u64::from(payload_len) > left - HEAD as u64
        {
            return Ok(None);
        }
        payload.resize(payload_len as usize, 0);
        reader.read_exact(payload)?;
        Ok((crc(kind, payload) == u32::from_le_bytes([c0, c1, c2, c3])).then_some(kind))
    }

    /// Takes a record in; false where it cannot follow those before it.
    fn take(&mut self, kind: u8, payload: &[u8]) -> bool {
        let Some((number, message)) = payload.split_first_chunk() else { return false };
        let number = u64::from_le_bytes(*number);
        match kind {
            KIND_MESSAGE if number == self.next_sender() => {
                self.index.push((self.written + HEAD as u64 + 8, message.len() as u32));
                true
            }
            KIND_TARGET if message.is_empty() => {
                self.next_target = number;
                true
            }
            KIND_MARK => match Mark::split(message) {
                Some((mark, [])) => {
                    self.marks.keep(mark);
                    true
                }
                _ => false,
            },
            KIND_MARK_BEFORE => message.len() == 2,
            KIND_MARKED if number == self.next_sender() => {
                let Some((mark, message)) = Mark::split(message) else { return false };
                self.marks.keep(mark);
                self.index.push((self.written + (HEAD + MARKED_HEAD) as u64, message.len() as u32));
                true
            }
            KIND_MARKED_BEFORE if number == self.next_sender() && payload.len() >= MARKED_BEFORE_HEAD => {
                let len = payload.len() - MARKED_BEFORE_HEAD;
                self.index.push((self.written + (HEAD + MARKED_BEFORE_HEAD) as u64, len as u32));
                true
            }
            _ => false,
        }
    }

    /// Makes the file's name outlive a loss of power, as its content does.
    fn sync_directory(&self) -> Result<(), StoreError> {
        if self.limits.durability == Durability::Power {
            let directory = self.path.parent().filter(|path| !path.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// An empty file.
    fn clear(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0)?;
        self.file.write_all_at(MAGIC, 0)?;
        self.file.sync_data()?;
        self.written = MAGIC.len() as u64;
        self.sync_directory()
    }

    fn push(&mut self, kind: u8, number: u64, parts: [&[u8]; 3]) {
        let start = self.pending.len();
        self.pending.extend_from_slice(&[0; HEAD]);
        self.pending.extend_from_slice(&number.to_le_bytes());
        parts.iter().for_each(|part| self.pending.extend_from_slice(part));
        let payload_len = self.pending.len() - start - HEAD;
        let sum = crc(kind, &self.pending[start + HEAD..]);
        let head = &mut self.pending[start..start + HEAD];
        head[..4].copy_from_slice(&(payload_len as u32).to_le_bytes());
        head[4] = kind;
        head[5..].copy_from_slice(&sum.to_le_bytes());
    }

    /// Writes what waits, without syncing. Writing the same bytes to the same place again is harmless, so a failure
    /// may be tried again.
    fn write_pending(&mut self) -> Result<(), StoreError> {
        self.file.write_all_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.unsynced = true;
        Ok(())
    }
}

fn open_alone(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn crc(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.finalize()
}

impl Store for FileStore {
    fn next_sender(&self) -> u64 {
        self.index.len() as u64 + 1
    }

    fn next_target(&self) -> u64 {
        self.next_target
    }

    fn append(&mut self, message: &[u8]) -> Result<(), StoreError> {
        let mark = self.marks.take_next();
        let head = HEAD + if mark.is_some() { MARKED_HEAD } else { 8 };
        let end = self.written + (self.pending.len() + head + message.len()) as u64;
        if end > self.limits.file_bytes_max || message.len() > self.limits.message_bytes_max as usize {
            return Err(StoreError::Full);
        }
        if self.pending.len() >= PENDING_MAX {
            self.write_pending()?;
        }
        let at = self.written + (self.pending.len() + head) as u64;
        let number = self.next_sender();
        match mark {
            None => self.push(KIND_MESSAGE, number, [message, &[], &[]]),
            Some(mark) => {
                self.push(KIND_MARKED, number, [&mark.to_bytes(), message, &[]]);
                self.marks.keep(mark);
            }
        }
        self.index.push((at, message.len() as u32));
        Ok(())
    }

    fn set_next_target(&mut self, number: u64) -> Result<(), StoreError> {
        self.target_changed |= self.next_target != number;
        self.next_target = number;
        Ok(())
    }

    fn marks(&self) -> &Marks {
        &self.marks
    }

    fn set_mark(&mut self, mark: Mark) {
        self.marks.set_next(mark);
    }

    fn read(&mut self, number: u64, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        let Some(&(at, len)) = number.checked_sub(1).and_then(|at| self.index.get(at as usize)) else {
            return Ok(false);
        };
        let start = out.len();
        if let Some(waiting) = at.checked_sub(self.written) {
            out.extend_from_slice(&self.pending[waiting as usize..][..len as usize]);
            return Ok(true);
        }
        out.resize(start + len as usize, 0);
        if let Err(error) = self.file.read_exact_at(&mut out[start..], at) {
            out.truncate(start);
            return Err(error.into());
        }
        Ok(true)
    }

    fn reset(&mut self, marks: OnReset) -> Result<(), StoreError> {
        let mut kept = self.marks.clone();
        kept.reset(marks);
        let beside = self.path.with_extension("reset");
        let file = open_alone(&beside)?;
        file.set_len(0)?;
        let waiting = std::mem::take(&mut self.pending);
        self.pending.extend_from_slice(MAGIC);
        for mark in kept.all() {
            self.push(KIND_MARK, mark.number, [&mark.to_bytes(), &[], &[]]);
        }
        let fresh = std::mem::replace(&mut self.pending, waiting);
        file.write_all_at(&fresh, 0)?;
        file.sync_data()?;
        std::fs::rename(&beside, &self.path)?;
        self.sync_directory()?;
        (self.file, self.written, self.marks) = (file, fresh.len() as u64, kept);
        self.index.clear();
        self.pending.clear();
        self.next_target = 1;
        self.target_changed = false;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.target_changed {
            self.push(KIND_TARGET, self.next_target, [&[], &[], &[]]);
            self.target_changed = false;
        }
        if !self.pending.is_empty() {
            self.write_pending()?;
        }
        if self.unsynced && self.limits.durability == Durability::Power {
            if self.broken {
                return Err(std::io::Error::other("a sync failed before").into());
            }
            // Until the store is opened anew: the kernel may hold for clean what it could not write (fsync(2), EIO).
            self.file.sync_data().inspect_err(|_| self.broken = true)?;
        }
        self.unsynced = false;
        Ok(())
    }
}
