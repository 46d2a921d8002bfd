//! A *flow*: a log of frames in sequence that one party writes and any number read, each from the number it wants.
//!
//! A market-data channel is a flow (ApplSeqNum), so is a report partition (ReportIndex). One [`Writer`] appends
//! frames of several such sequences, called *lanes*, in the order in which they came; a [`Reader`] (one a thread)
//! looks at the window that is held; a [`Cursor`] (one a subscriber, 8 bytes) is a place in it. A frame's bytes are
//! written once, and every subscriber is served from those same bytes.
//!
//! What it knows: bytes, lanes, numbers and keys. What it does not know: messages, sockets, time.
//!
//! Start at [`Writer::append`] and [`Reader::slice`]; the only `unsafe` is in `segment.rs`, with its proof, and
//! `tests/loom.rs` runs every interleaving of it.

mod cursor;
mod reader;
mod segment;
mod select;
mod sync;
mod writer;

pub use cursor::Cursor;
pub use reader::{Entry, FindError, Gathered, NoLongerHeld, Reader};
pub use select::{Bounds, CLASSES, Classes, Filter, KeySet, Selection};
pub use writer::{AppendError, Limits, Writer};

/// A place in a log: entries are counted from 0 in the order in which they were appended, over all lanes.
pub type Seq = u64;

/// What the log knows of a frame besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Sequence that the frame belongs to: a market-data channel or a report partition.
    pub lane: u16,
    /// Number within the lane (ApplSeqNum, ReportIndex), ascending; 0 for a frame without one, such as a snapshot.
    pub number: u64,
    /// What the frame is about, as interned by the owner of the log (a security, an account);
    /// [`Tag::EVERYONE`] for a frame that every reader of the lane must see.
    pub key: u32,
}

impl Tag {
    /// The key that every [`Filter::Keys`] lets through.
    pub const EVERYONE: u32 = 0;
}
