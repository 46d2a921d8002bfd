//! Frames that wait for their turn.

use std::collections::BTreeMap;

/// A frame that waits, and since when.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) source: super::Source,
    pub(crate) key: u32,
    pub(crate) at_ns: u64,
    pub(crate) frame: Box<[u8]>,
}

/// What became of a frame that was to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    Held,
    Duplicate,
    NoRoom,
}

/// The frames of one channel that wait, by number.
#[derive(Debug, Default)]
pub(crate) struct Window {
    frames: BTreeMap<u64, Held>,
}

impl Window {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The lowest number that waits.
    pub(crate) fn first(&self) -> Option<(u64, &Held)> {
        self.frames.first_key_value().map(|(number, held)| (*number, held))
    }

    /// The highest number that waits.
    pub(crate) fn last(&self) -> Option<u64> {
        self.frames.last_key_value().map(|(number, _)| *number)
    }

    /// Takes a frame in. When there is no room, a higher number makes way for a lower one: the lower is needed first.
    /// `bytes` counts what all windows hold.
    pub(crate) fn insert(
        &mut self,
        number: u64,
        held: impl FnOnce() -> Held,
        len: usize,
        (count_max, bytes_max): (usize, usize),
        bytes: &mut usize,
    ) -> Insert {
        if self.frames.contains_key(&number) {
            return Insert::Duplicate;
        }
        while self.len() >= count_max || *bytes + len > bytes_max {
            match self.frames.last_entry() {
                Some(highest) if *highest.key() > number => *bytes -= highest.remove().frame.len(),
                _ => return Insert::NoRoom,
            }
        }
        *bytes += len;
        self.frames.insert(number, held());
        Insert::Held
    }

    /// Takes out the frame of this number.
    pub(crate) fn remove(&mut self, number: u64, bytes: &mut usize) -> Option<Held> {
        let held = self.frames.remove(&number)?;
        *bytes -= held.frame.len();
        Some(held)
    }
}
