//! What the last ticks did to a book, so that a snapshot that comes after them can be held against the tick that it was
//! taken at.

use super::depth::Change;
use super::shot::Traded;
use std::collections::VecDeque;

/// Steps held: of the busiest security what comes in a few seconds, and its trades at the end of an auction.
const STEPS_MAX: usize = 1_024;

/// What one tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// TransactTime, milliseconds of its day.
    pub(super) time_ms: u32,
    pub(super) traded: Traded,
    /// A trade in an auction takes from both sides; nothing else changes two levels.
    changes: [Option<Change>; 2],
    /// It did something to a level, and does not say to which.
    pub(super) unknown: bool,
}

impl Step {
    /// `changes` is `None` where the tick does not say what it did.
    pub(super) fn new(time_ms: u32, traded: Traded, changes: Option<[Option<Change>; 2]>) -> Self {
        Self { time_ms, traded, changes: changes.unwrap_or_default(), unknown: changes.is_none() }
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.changes.iter().copied().flatten()
    }
}

/// The last steps, the newest last.
#[derive(Debug, Default)]
pub(super) struct Trail {
    steps: VecDeque<Step>,
    /// Some were let go that no snapshot has passed.
    cut: bool,
}

impl Trail {
    #[inline]
    pub(super) fn push(&mut self, step: Step) {
        if self.steps.len() == STEPS_MAX {
            self.steps.pop_front();
            self.cut = true;
        }
        self.steps.push_back(step);
    }

    /// From the newest on.
    pub(super) fn back(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it goes back to a time of the day, or to the last snapshot that agreed.
    pub(super) fn reaches(&self, time_ms: u32) -> bool {
        !self.cut || self.steps.front().is_some_and(|oldest| oldest.time_ms <= time_ms)
    }

    /// Keeps the newest `count` alone: snapshots come in order, and no later one was taken before this one.
    pub(super) fn keep(&mut self, count: usize) {
        let gone = self.steps.len().saturating_sub(count);
        self.steps.drain(..gone);
        self.cut = false;
    }
}
