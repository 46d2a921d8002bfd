//! A subscriber's place in a log.

use crate::Seq;

/// A place in a log: the next entry to take.
///
/// A cursor holds nothing: what it points at may be let go, and the reader says so then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cursor {
    pub(crate) next: Seq,
}

impl Cursor {
    /// A cursor whose next entry is `seq`.
    pub const fn at(seq: Seq) -> Self {
        Self { next: seq }
    }

    /// The entry that is taken next.
    pub const fn seq(&self) -> Seq {
        self.next
    }
}
