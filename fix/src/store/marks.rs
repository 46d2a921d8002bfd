//! How far flows were turned into messages.

use super::OnReset;

/// The marks of a store, and the one that goes with the next message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Ascending by lane: there are as many as a flow has lanes, which are few.
    kept: Vec<(u16, u64)>,
    next: Option<(u16, u64)>,
}

impl Marks {
    /// The mark of a lane; 0 where there is none.
    #[must_use]
    pub fn of(&self, lane: u16) -> u64 {
        self.kept.binary_search_by_key(&lane, |mark| mark.0).map_or(0, |at| self.kept[at].1)
    }

    /// All marks, ascending by lane.
    #[must_use]
    pub fn all(&self) -> &[(u16, u64)] {
        &self.kept
    }

    /// Goes with the next message.
    pub fn set_next(&mut self, lane: u16, number: u64) {
        self.next = Some((lane, number));
    }

    /// What goes with the next message.
    pub fn next(&self) -> Option<(u16, u64)> {
        self.next
    }

    /// The mark that goes with the message that is appended now.
    pub fn take_next(&mut self) -> Option<(u16, u64)> {
        self.next.take()
    }

    /// What is left of them when the session begins anew.
    pub fn reset(&mut self, on_reset: OnReset) {
        if on_reset == OnReset::Replay {
            self.kept.clear();
        }
        self.next = None;
    }

    /// It is kept.
    pub fn keep(&mut self, lane: u16, number: u64) {
        match self.kept.binary_search_by_key(&lane, |mark| mark.0) {
            Ok(at) => self.kept[at].1 = self.kept[at].1.max(number),
            Err(at) => self.kept.insert(at, (lane, number)),
        }
    }
}
