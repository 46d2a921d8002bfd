//! A journal: numbered records in append-only segment files of one directory.
//!
//! What it is: a [`Writer`], which one thread owns and which never waits for a disk but in [`Writer::write`] and
//! [`Writer::sync`]; a [`Reader`], which follows it from any number on, in the same process or another. Each record has a
//! number, a kind, a time and a checksum. It knows bytes; what a kind means is its user's business.
//! What it is not: it starts no thread, chooses no moment to sync, and deletes nothing.
//!
//! # How to use it
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let directory = folder.path();
//! let (mut writer, recovered) = journal::Writer::open(directory, journal::Limits::default())?;
//! assert_eq!(recovered.next_number, 1);
//! // Into a buffer: no system call, no allocation once the buffer has its size.
//! writer.append(7, 1_700_000_000_000_000_000, &[b"a record", b" of two parts"])?;
//! // One system call for all that was appended: it outlives the process.
//! writer.write()?;
//! // It outlives a loss of power.
//! writer.sync()?;
//!
//! let mut reader = journal::Reader::open(directory, 1)?;
//! let record = reader.next()?.expect("written");
//! assert_eq!((record.number, record.kind, record.payload), (1, 7, &b"a record of two parts"[..]));
//! assert!(reader.next()?.is_none(), "the end, for now");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//! - Numbers count up by one from 1, over all segments.
//! - A call that fails loses nothing: what was appended is kept, and the next [`Writer::write`] goes on with the byte
//!   where the last one stopped.
//! - [`Writer::open`] cuts what a crash left at the end of records that were never synced, and says how much; what is left it
//!   syncs. What was synced and is bad is an error, and nothing is changed. A directory without a segment is a new journal.
//!
//! # How what may be cut is told from what may not
//! A loss of power keeps any of the pages that were written and not synced, in no order: a torn record may have whole ones
//! behind it. They are cut with it, as no sync had told anybody that they were safe. Damage of what was synced looks the same, so
//! how far that was is written down, twice. Every record says how far the journal was synced when it was appended: a
//! whole record behind the damage that was appended after the damaged one's sync gives it away. That says nothing of the last
//! sync, behind which no record came: the file `synced` does, which is written after each sync. A sync does not wait
//! for that file, which would double its price, so after a loss of power it may be an older one. Only then, and only in
//! what the very last sync made safe, would a disk that damages what it had promised to keep go unnoticed.
//!
//! Start at [`mod@format`] for the files, then [`Writer`].

pub mod format;
mod mark;
mod reader;
mod segment;
mod writer;

pub use format::{PAYLOAD_MAX, Record};
pub use reader::{ReadError, Reader};
pub use writer::{AppendError, Limits, OpenError, Recovered, Writer};
