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
//! - [`Writer::open`] cuts what a crash left unfinished at the very end, and says how much. A bad record with good
//!   ones behind it is no torn end: it is an error, and nothing is changed.
//!
//! Start at [`mod@format`] for the files, then [`Writer`].

pub mod format;
mod reader;
mod segment;
mod writer;

pub use format::{PAYLOAD_MAX, Record};
pub use reader::{ReadError, Reader};
pub use writer::{AppendError, Limits, OpenError, Recovered, Writer};
