//! Hot path: what the hot thread counts, in plain integers; once a turn they are added to the metrics.

use crate::check::Refusal;

/// Counts since they were last taken; pairs are by core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders forwarded.
    pub orders: [u64; 2],
    /// Cancels forwarded.
    pub cancels: [u64; 2],
    /// Requests refused, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Reports taken into the log.
    pub reports: [u64; 2],
    /// Reports that were here already.
    pub duplicates: [u64; 2],
    /// Reports for accounts that nobody here may trade.
    pub unowned: [u64; 2],
    /// BusinessRejects from a core.
    pub core_rejects: [u64; 2],
    /// Messages of types that a core should not send.
    pub unknown_from_core: [u64; 2],
}
