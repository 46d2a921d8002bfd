//! The load generator of the scenario, as a library so that tests can drive the same parts.
//!
//! Open loop: [`schedule`] says when each message is due, whatever the answers do, and latency counts from then
//! ([`recorder`]). Every number is accounted for at every receiver ([`ledger`]). [`ticks`] turns recorded days into
//! frames and back.

pub mod broadcast;
pub mod due;
pub mod feeder;
pub mod figures;
pub mod gaps;
pub mod house;
pub mod ledger;
mod logon;
pub mod machine;
pub mod padded;
pub mod progress;
pub mod quotes;
pub mod recorder;
pub mod replay;
pub mod report;
pub mod schedule;
mod sessions;
pub mod source;
pub mod subscriber;
pub mod telemetry;
pub mod ticks;
pub mod trading;
