//! A door: where the audit goes. [`FileStore`] keeps it in files of this machine; an integrator may put another one behind
//! it, a replicated one for instance.

use crate::audit::{Kept, Kind, Record};
use journal::{AppendError, Limits, Reader, Writer};
use std::path::Path;

/// Why a store does not take, or make safe, what it was given.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It has as much as it takes before a commit.
    #[error("the store's buffer is full")]
    BufferFull,
    /// Something outside says so: a disk, a network.
    #[error("{0}")]
    Outside(String),
}

/// Where the audit goes. All calls come from one thread, which is not the one of the orders: a store may block for as long
/// as it likes, at the price that orders are refused once it is too far behind.
pub trait Store: Send {
    /// Takes a record; it need not be safe before [`Self::commit`].
    ///
    /// # Errors
    /// [`StoreError::BufferFull`] asks for a commit first. The record was not taken.
    fn append(&mut self, kind: Kind, unix_ns: u64, parts: &[&[u8]]) -> Result<(), StoreError>;

    /// Makes all that was taken safe, as safe as the store promises.
    ///
    /// # Errors
    /// It is not. Nothing that was taken is lost: a later commit tries again.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Shows `see` the reports that the store has been given since this time (nanoseconds since 1970), in that order, of each
    /// partition the last at least: reports up to there are not given to it again, as long as the core has the same ones. ReportIndex
    /// begins anew every day; which day that is, TransactTime says.
    ///
    /// # Errors
    /// It cannot be read.
    fn reports(&mut self, since_unix_ns: u64, see: &mut dyn FnMut(Kept)) -> Result<(), StoreError>;
}

/// Files of this machine: a [`journal`] in a directory.
#[derive(Debug)]
pub struct FileStore {
    writer: Writer,
    directory: std::path::PathBuf,
    sync: bool,
}

impl FileStore {
    /// Opens the journal in this directory; with `sync` a commit waits until the disk has it, without until the system
    /// has it.
    ///
    /// # Errors
    /// See [`journal::OpenError`].
    pub fn open(directory: &Path, segment_bytes: u64, sync: bool) -> Result<Self, journal::OpenError> {
        let limits = Limits { segment_bytes, ..Limits::default() };
        let (writer, recovered) = Writer::open(directory, limits)?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(bytes = recovered.cut_bytes, "audit: the unfinished end of the journal was cut");
        }
        Ok(Self { writer, directory: directory.to_owned(), sync })
    }
}

impl Store for FileStore {
    fn append(&mut self, kind: Kind, unix_ns: u64, parts: &[&[u8]]) -> Result<(), StoreError> {
        match self.writer.append(kind as u16, unix_ns, parts) {
            Ok(_) => Ok(()),
            Err(AppendError::BufferFull) => Err(StoreError::BufferFull),
            Err(error @ AppendError::TooLong) => Err(StoreError::Outside(error.to_string())),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let written = self.writer.write();
        let safe = written.and_then(|()| if self.sync { self.writer.sync() } else { Ok(()) });
        safe.map_err(|error| StoreError::Outside(error.to_string()))
    }

    fn reports(&mut self, since_unix_ns: u64, see: &mut dyn FnMut(Kept)) -> Result<(), StoreError> {
        let outside = |error: journal::ReadError| StoreError::Outside(error.to_string());
        let mut reader = Reader::oldest(&self.directory).map_err(outside)?;
        while let Some(record) = reader.next().map_err(outside)? {
            if let Ok(Record::Report { partition_no, report_index, frame, .. }) =
                Record::parse(record.kind, record.payload)
                && record.unix_ns >= since_unix_ns
            {
                see(Kept::new(partition_no, report_index, record.unix_ns, frame));
            }
        }
        Ok(())
    }
}
