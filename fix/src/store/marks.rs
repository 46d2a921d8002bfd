//! How far flows were turned into messages.

use super::OnReset;

/// A place in a lane of a flow: up to there it was turned into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The lane.
    pub lane: u16,
    /// Which flow, as who keeps marks tells flows apart. The numbers of a lane begin anew with each flow, on a new day for
    /// instance: what a mark says of one it does not say of another.
    pub flow: u64,
    /// The number.
    pub number: u64,
}

impl Mark {
    /// Bytes of a mark that is kept.
    pub(super) const BYTES: usize = 2 + 8 + 8;

    /// As it is kept: lane, flow and number, little-endian.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&self.lane.to_le_bytes());
        bytes[2..10].copy_from_slice(&self.flow.to_le_bytes());
        bytes[10..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// The mark that some bytes begin with, and what is behind it.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (lane, rest) = bytes.split_first_chunk()?;
        let (flow, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let [flow, number] = [flow, number].map(|bytes| u64::from_le_bytes(*bytes));
        Some((Self { lane: u16::from_le_bytes(*lane), flow, number }, rest))
    }
}

/// The marks of a store, and the one that goes with the next message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Ascending by lane: there are as many as a flow has lanes, which are few.
    kept: Vec<Mark>,
    next: Option<Mark>,
}

impl Marks {
    /// The mark of a lane of a flow; 0 where there is none.
    #[must_use]
    pub fn of(&self, lane: u16, flow: u64) -> u64 {
        let found = self.kept.binary_search_by_key(&lane, |mark| mark.lane).map(|at| self.kept[at]);
        found.map_or(0, |mark| if mark.flow == flow { mark.number } else { 0 })
    }

    /// All marks, ascending by lane; of each lane that of the flow which came last.
    #[must_use]
    pub fn all(&self) -> &[Mark] {
        &self.kept
    }

    /// Goes with the next message.
    pub fn set_next(&mut self, mark: Mark) {
        self.next = Some(mark);
    }

    /// What goes with the next message.
    pub fn next(&self) -> Option<Mark> {
        self.next
    }

    /// The mark that goes with the message that is appended now.
    pub fn take_next(&mut self) -> Option<Mark> {
        self.next.take()
    }

    /// What is left of them when the session begins anew.
    pub fn reset(&mut self, on_reset: OnReset) {
        if on_reset == OnReset::Replay {
            self.kept.clear();
        }
        self.next = None;
    }

    /// It is kept, in place of that of another flow.
    pub fn keep(&mut self, mark: Mark) {
        match self.kept.binary_search_by_key(&mark.lane, |kept| kept.lane) {
            Ok(at) if self.kept[at].flow == mark.flow && self.kept[at].number >= mark.number => {}
            Ok(at) => self.kept[at] = mark,
            Err(at) => self.kept.insert(at, mark),
        }
    }
}
