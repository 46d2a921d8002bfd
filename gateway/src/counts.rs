//! Hot path: what the hot thread counts, in plain integers; once a turn they are added to the metrics.

use crate::check::Refusal;

/// Counts since they were last taken; pairs are by core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Orders forwarded.
    pub orders: [u64; 2],
    /// Cancels forwarded.
    pub cancels: [u64; 2],
    /// Cancels of orders that an ended session left open.
    pub disconnect_cancels: u64,
    /// Orders that an ended session left open and that the core did not let be cancelled.
    pub disconnect_given_up: u64,
    /// Requests refused, by [`Refusal::index`].
    pub refused: [u64; Refusal::COUNT],
    /// Reports taken into the log.
    pub reports: [u64; 2],
    /// Reports that were here already.
    pub duplicates: [u64; 2],
    /// Reports for accounts that nobody here may trade.
    pub unowned: [u64; 2],
    /// Rejects of the repetition of an order that the core had already, or of a cancel that it had answered.
    pub repeated: [u64; 2],
    /// Requests sent again because the line that they went over has died.
    pub resent: [u64; 2],
    /// Requests that were not sent again, and that the core had not taken.
    pub not_taken: [u64; 2],
    /// BusinessRejects from a core.
    pub core_rejects: [u64; 2],
    /// Messages of types that a core should not send.
    pub unknown_from_core: [u64; 2],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            orders: [0; 2],
            cancels: [0; 2],
            disconnect_cancels: 0,
            disconnect_given_up: 0,
            refused: [0; Refusal::COUNT],
            reports: [0; 2],
            duplicates: [0; 2],
            unowned: [0; 2],
            repeated: [0; 2],
            resent: [0; 2],
            not_taken: [0; 2],
            core_rejects: [0; 2],
            unknown_from_core: [0; 2],
        }
    }
}
