//! A subscriber's place in a log.

use crate::Seq;

/// A place in a log: the next entry to take, and how much of it was taken already when a write ended within it.
///
/// A cursor holds nothing: what it points at may be let go, and the reader says so then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cursor {
    pub(crate) next: Seq,
    pub(crate) taken: u32,
}

impl Cursor {
    /// A cursor whose next entry is `seq`.
    pub const fn at(seq: Seq) -> Self {
        Self { next: seq, taken: 0 }
    }

    /// The entry that is taken next, in part or whole.
    pub const fn seq(&self) -> Seq {
        self.next
    }

    /// Whether a write ended within a frame, so that only the rest of it may follow on the same stream.
    pub const fn within_frame(&self) -> bool {
        self.taken != 0
    }
}
