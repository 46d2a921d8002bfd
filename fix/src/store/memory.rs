//! A store in memory.

use std::collections::VecDeque;

use super::{Mark, Marks, OnReset, Store, StoreError};

/// Remembers as long as the process lives, and of the messages no more than a number of bytes: the oldest are let go
/// first, and a peer that asks for them gets a gap fill.
#[derive(Debug)]
pub struct MemoryStore {
    bytes: VecDeque<u8>,
    /// Where each message ends, counted from the first byte ever kept.
    ends: VecDeque<u64>,
    /// How many bytes were let go.
    gone: u64,
    bytes_max: usize,
    next_sender: u64,
    next_target: u64,
    marks: Marks,
}

impl MemoryStore {
    /// One that holds at most `bytes_max` bytes of messages.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            ends: VecDeque::new(),
            gone: 0,
            bytes_max,
            next_sender: 1,
            next_target: 1,
            marks: Marks::default(),
        }
    }

    /// Bytes of the messages that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The mark that goes with the next message.
    pub(super) fn next_mark(&self) -> Option<Mark> {
        self.marks.next()
    }

    pub(super) fn forget_next_mark(&mut self) {
        self.marks.take_next();
    }

    pub(super) fn keep_mark(&mut self, mark: Mark) {
        self.marks.keep(mark);
    }

    /// The oldest message that is held.
    fn first(&self) -> u64 {
        self.next_sender - self.ends.len() as u64
    }
}

impl Store for MemoryStore {
    fn next_sender(&self) -> u64 {
        self.next_sender
    }

    fn next_target(&self) -> u64 {
        self.next_target
    }

    fn append(&mut self, message: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend(message);
        self.ends.push_back(self.gone + self.bytes.len() as u64);
        self.next_sender += 1;
        if let Some(mark) = self.marks.take_next() {
            self.marks.keep(mark);
        }
        while self.bytes.len() > self.bytes_max {
            let Some(end) = self.ends.pop_front() else { break };
            self.bytes.drain(..(end - self.gone) as usize);
            self.gone = end;
        }
        Ok(())
    }

    fn set_next_target(&mut self, number: u64) -> Result<(), StoreError> {
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
        if number < self.first() || number >= self.next_sender {
            return Ok(false);
        }
        let at = (number - self.first()) as usize;
        let start = if at == 0 { self.gone } else { self.ends[at - 1] };
        let range = (start - self.gone) as usize..(self.ends[at] - self.gone) as usize;
        out.extend(self.bytes.range(range));
        Ok(true)
    }

    fn reset(&mut self, marks: OnReset) -> Result<(), StoreError> {
        self.marks.reset(marks);
        self.bytes.clear();
        self.ends.clear();
        self.gone = 0;
        (self.next_sender, self.next_target) = (1, 1);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
