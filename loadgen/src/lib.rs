//! The load generator of the scenario, as a library so that tests can drive the same parts.
//!
//! Open loop: [`schedule`] says when each message is due, whatever the answers do, and latency counts from then
//! ([`recorder`]). Every number is accounted for at every receiver ([`ledger`]). [`ticks`] turns recorded days into
//! frames and back.

pub mod figures;
pub mod ledger;
pub mod machine;
pub mod progress;
pub mod recorder;
pub mod report;
pub mod schedule;
pub mod ticks;
