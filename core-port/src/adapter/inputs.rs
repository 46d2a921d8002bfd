//! Hot path: the inputs of a turn, between where they came from and the desk: nothing is done on their behalf, and nobody is
//! told, before the journal has them. What a write did not take waits here and is written later; nothing is taken meanwhile.

use super::config::Durability;
use super::input::Input;
use journal::{AppendError, Writer};
use std::io;

/// An input with its number in the journal, and when it came (nanoseconds since 1970).
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) unix_ns: u64,
    pub(super) input: Input,
}

pub(super) struct Inputs {
    journal: Writer,
    durability: Durability,
    waiting: Vec<Numbered>,
    failing: bool,
}

impl Inputs {
    pub(super) fn new(journal: Writer, durability: Durability) -> Self {
        Self { journal, durability, waiting: Vec::new(), failing: false }
    }

    /// The number that the next one gets: all before it were taken some time.
    pub(super) fn next_number(&self) -> u64 {
        self.journal.next_number()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this is what one that waits says.
    #[cold]
    pub(super) fn hold(&self, input: &Input) -> bool {
        self.waiting.iter().any(|waiting| waiting.input == *input)
    }

    /// The last write failed.
    pub(super) fn failing(&self) -> bool {
        self.failing
    }

    /// Takes one.
    ///
    /// # Errors
    /// As much as may wait is waiting.
    #[inline]
    pub(super) fn take(&mut self, unix_ns: u64, input: Input) -> Result<(), AppendError> {
        let number = input.encode(|kind, payload| self.journal.append(kind, unix_ns, &[payload]))?;
        self.waiting.push(Numbered { number, unix_ns, input });
        Ok(())
    }

    /// Writes all that waits down, as safe as it is to be, and moves it to `done`.
    ///
    /// # Errors
    /// What the system says; it still waits.
    #[inline]
    pub(super) fn write(&mut self, done: &mut Vec<Numbered>) -> io::Result<()> {
        let written = self.journal.write();
        let safe = written.and_then(|()| match self.durability {
            Durability::Write => Ok(()),
            Durability::Sync => self.journal.sync(),
        });
        self.failing = safe.is_err();
        safe?;
        done.append(&mut self.waiting);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Limits;
    use wire::szse::trading::{NewOrder, OrderCancelRequest};

    #[test]
    fn what_the_disk_does_not_take_waits_and_is_done_later_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, away) = (folder.path().join("day"), folder.path().join("away"));
        let limits = Limits { segment_bytes: 2 << 20, ..Limits::default() };
        let (writer, _) = Writer::open(&directory, limits).unwrap();
        let mut inputs = Inputs::new(writer, Durability::Write);
        let mut done = Vec::new();
        let take = |inputs: &mut Inputs| inputs.take(5, Input::Order(NewOrder::default())).unwrap();
        for _ in 0..12_000 {
            take(&mut inputs);
        }
        inputs.write(&mut done).unwrap();
        // The next file of the journal has no place to be made in.
        std::fs::rename(&directory, &away).unwrap();
        for _ in 0..6_000 {
            take(&mut inputs);
        }
        inputs.write(&mut done).unwrap_err();
        assert!(inputs.failing());
        assert_eq!((done.len(), inputs.len()), (12_000, 6_000), "nothing of it is done");
        assert!(inputs.hold(&Input::Order(NewOrder::default())), "what is sent again is known");
        assert!(!inputs.hold(&Input::Cancel(OrderCancelRequest::default())));
        std::fs::rename(&away, &directory).unwrap();
        inputs.write(&mut done).unwrap();
        assert!(!inputs.failing() && inputs.len() == 0);
        assert!((1..).zip(&done).all(|(number, numbered)| numbered.number == number));
        assert_eq!(done.len(), 18_000);
    }
}
