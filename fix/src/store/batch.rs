//! A store without I/O of its own: what changes comes out in batches, which somebody else keeps and acknowledges.
//!
//! A batch is made of records: kind (u8), length of what follows (u32, little-endian), and that. Kind 1 is a sent message;
//! kind 2 the next number that is expected (u64); kind 5 a sent message that was made of a flow, behind the mark (lane u16, flow
//! u64, number u64); kind 6 a reset, with the marks that outlive it. All batches in their order
//! make the store again. Kinds 3 and 4 are those of earlier versions, whose marks did not say of which flow they are: they are
//! taken for none.

use super::{Mark, Marks, MemoryStore, OnReset, Store, StoreError};

const HEAD: usize = 5;
const KIND_MESSAGE: u8 = 1;
const KIND_TARGET: u8 = 2;
const KIND_MARKED_BEFORE: u8 = 3;
const KIND_RESET_BEFORE: u8 = 4;
const KIND_MARKED: u8 = 5;
const KIND_RESET: u8 = 6;
/// Lane and number of a mark of [`KIND_MARKED_BEFORE`].
const MARK_BEFORE: usize = 2 + 8;

/// Whole records that are to be kept together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records.
    pub records: Vec<u8>,
    /// Among them is a reset: batches before this one are not needed any more.
    pub reset: bool,
}

/// Remembers in memory what it hands out in batches. Who keeps them takes one ([`BatchStore::take_batch`]) when
/// [`Store::commit`] was called, says when it is safe ([`BatchStore::acknowledged`]), and lets nothing of the session leave
/// before [`Store::is_safe`].
#[derive(Debug)]
pub struct BatchStore {
    memory: MemoryStore,
    bytes_max: usize,
    /// What is in no batch yet.
    records: Vec<u8>,
    target_changed: bool,
    in_flight: bool,
}

impl BatchStore {
    /// An empty one, which holds at most `bytes_max` bytes of messages: then [`StoreError::Full`] until a reset.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            memory: MemoryStore::new(bytes_max),
            bytes_max,
            records: Vec::new(),
            target_changed: false,
            in_flight: false,
        }
    }

    /// Takes in a batch that was kept, of those the next. The oldest messages are let go where there are too many.
    ///
    /// # Errors
    /// [`StoreError::Format`]: it is not a batch of a store like this.
    pub fn restore(&mut self, mut batch: &[u8]) -> Result<(), StoreError> {
        while !batch.is_empty() {
            let (kind, payload, rest) = split(batch).ok_or(StoreError::Format)?;
            self.take_in(kind, payload).ok_or(StoreError::Format)?;
            batch = rest;
        }
        Ok(())
    }

    fn take_in(&mut self, kind: u8, payload: &[u8]) -> Option<()> {
        match kind {
            KIND_MESSAGE => self.memory.append(payload).ok(),
            KIND_TARGET => self.memory.set_next_target(u64::from_le_bytes(payload.try_into().ok()?)).ok(),
            KIND_MARKED => {
                let (mark, message) = Mark::split(payload)?;
                self.memory.set_mark(mark);
                self.memory.append(message).ok()
            }
            KIND_MARKED_BEFORE => {
                let (_, message) = payload.split_at_checked(MARK_BEFORE)?;
                self.memory.append(message).ok()
            }
            KIND_RESET_BEFORE => self.memory.reset(OnReset::Replay).ok(),
            KIND_RESET => {
                self.memory.reset(OnReset::Replay).ok()?;
                let mut marks = payload;
                while !marks.is_empty() {
                    let (mark, rest) = Mark::split(marks)?;
                    self.memory.keep_mark(mark);
                    marks = rest;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// What was committed and is in no batch yet, as far as whole records fit into `bytes_max`, and one of them at least. Nothing
    /// while a batch is under way.
    pub fn take_batch(&mut self, bytes_max: usize) -> Option<Batch> {
        if self.in_flight || self.records.is_empty() {
            return None;
        }
        let (mut len, mut reset) = (0, false);
        while let Some((kind, payload, _)) = split(&self.records[len..]) {
            let with = len + HEAD + payload.len();
            if len > 0 && with > bytes_max {
                break;
            }
            reset |= kind == KIND_RESET;
            len = with;
        }
        let rest = self.records.split_off(len);
        self.in_flight = true;
        Some(Batch { records: std::mem::replace(&mut self.records, rest), reset })
    }

    /// The batch under way is kept.
    pub fn acknowledged(&mut self) {
        self.in_flight = false;
    }

    fn push(&mut self, kind: u8, parts: [&[u8]; 3]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.records.push(kind);
        self.records.extend_from_slice(&(len as u32).to_le_bytes());
        parts.iter().for_each(|part| self.records.extend_from_slice(part));
    }

    /// Before whatever follows it.
    fn push_target(&mut self) {
        if std::mem::take(&mut self.target_changed) {
            self.push(KIND_TARGET, [&self.memory.next_target().to_le_bytes(), &[], &[]]);
        }
    }
}

/// Kind and payload of the first record, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, l0, l1, l2, l3], rest) = bytes.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes([l0, l1, l2, l3]) as usize)?;
    Some((kind, payload, rest))
}

impl Store for BatchStore {
    fn next_sender(&self) -> u64 {
        self.memory.next_sender()
    }

    fn next_target(&self) -> u64 {
        self.memory.next_target()
    }

    fn append(&mut self, message: &[u8]) -> Result<(), StoreError> {
        let mark = self.memory.next_mark();
        if self.memory.held_bytes() + message.len() > self.bytes_max {
            self.memory.forget_next_mark();
            return Err(StoreError::Full);
        }
        self.push_target();
        self.memory.append(message)?;
        match mark {
            None => self.push(KIND_MESSAGE, [message, &[], &[]]),
            Some(mark) => self.push(KIND_MARKED, [&mark.to_bytes(), message, &[]]),
        }
        Ok(())
    }

    fn set_next_target(&mut self, number: u64) -> Result<(), StoreError> {
        self.target_changed |= self.memory.next_target() != number;
        self.memory.set_next_target(number)
    }

    fn marks(&self) -> &Marks {
        self.memory.marks()
    }

    fn set_mark(&mut self, mark: Mark) {
        self.memory.set_mark(mark);
    }

    fn read(&mut self, number: u64, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        self.memory.read(number, out)
    }

    fn reset(&mut self, marks: OnReset) -> Result<(), StoreError> {
        self.memory.reset(marks)?;
        self.target_changed = false;
        let kept: Vec<u8> = self.memory.marks().all().iter().flat_map(|mark| mark.to_bytes()).collect();
        self.push(KIND_RESET, [&kept, &[], &[]]);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.push_target();
        Ok(())
    }

    fn is_safe(&self) -> bool {
        !self.in_flight && self.records.is_empty() && !self.target_changed
    }
}
