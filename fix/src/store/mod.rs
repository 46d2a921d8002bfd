//! What a session must remember across connections and restarts: the next number of either side, and the messages sent,
//! to send again. A door: [`MemoryStore`] forgets with the process, [`FileStore`] does not, [`BatchStore`] leaves
//! the keeping to somebody else, who may do it on several machines.

mod batch;
mod file;
mod marks;
mod memory;
#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchStore};
pub use file::{Durability, FileLimits, FileStore};
pub use marks::{Mark, Marks};
pub use memory::MemoryStore;

use std::io;

/// Why a store did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The system said so.
    #[error("the store failed: {0}")]
    Io(io::ErrorKind),
    /// Its limit is reached: nothing more can be sent before a reset.
    #[error("the store is full")]
    Full,
    /// Another process has it.
    #[error("the store is in use")]
    InUse,
    /// Another party has the session now.
    #[error("another gateway has taken the session over")]
    Taken,
    /// Who keeps it does not answer: whether it was kept is not known.
    #[error("the store does not answer")]
    Unreachable,
    /// The file is not one of this store's.
    #[error("not a session store of this version")]
    Format,
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// What becomes of the marks ([`Store::set_mark`]) when a session begins its numbers anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReset {
    /// They stay: the flow goes on where it was, and what the peer did not receive of the messages before is given up.
    #[default]
    Continue,
    /// They are forgotten: all of the flow is turned into messages again.
    Replay,
}

/// The memory of one session. What was changed is safe, to the degree that the store promises, once
/// [`Store::commit`] has returned and [`Store::is_safe`] says so; call it before bytes leave for the peer.
pub trait Store {
    /// The number of the next message that is sent, from 1.
    fn next_sender(&self) -> u64;

    /// The number of the next message that is expected, from 1.
    fn next_target(&self) -> u64;

    /// Keeps the message that is sent as number [`Store::next_sender`], which goes up by one.
    ///
    /// # Errors
    /// It is not kept, and must not be sent.
    fn append(&mut self, message: &[u8]) -> Result<(), StoreError>;

    /// Sets the number of the next message that is expected.
    ///
    /// # Errors
    /// It is not kept.
    fn set_next_target(&mut self, number: u64) -> Result<(), StoreError>;

    /// How far flows were turned into messages: of each lane the highest number that was given to [`Store::set_mark`] and kept, of
    /// the flow that came last.
    fn marks(&self) -> &Marks;

    /// The message that is appended next was made of this place of a flow. Both are kept or neither, so
    /// that who goes on from [`Store::marks`] after a crash makes each message once. An append that fails forgets it.
    fn set_mark(&mut self, mark: Mark);

    /// Appends the sent message of this number to `out`; false if it is not held (any more).
    ///
    /// # Errors
    /// It is held and cannot be read.
    fn read(&mut self, number: u64, out: &mut Vec<u8>) -> Result<bool, StoreError>;

    /// Forgets all messages; both numbers are 1. Marks stay, unless `marks` says that they are forgotten too.
    ///
    /// # Errors
    /// The store is as it was.
    fn reset(&mut self, marks: OnReset) -> Result<(), StoreError>;

    /// Makes what was changed safe, or begins to: see [`Store::is_safe`].
    ///
    /// # Errors
    /// It is not; a later commit tries again.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Whether all that was changed is safe; where that takes longer than a commit, nothing of the session may leave until then.
    fn is_safe(&self) -> bool {
        true
    }
}
