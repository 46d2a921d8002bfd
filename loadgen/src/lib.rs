//! The load generator of the scenario, as a library so that tests can drive the same parts.
//!
//! Open loop: [`schedule`] says when each message is due, whatever the answers do, and latency counts from then
//! ([`recorder`]). Every number is accounted for at every receiver ([`ledger`]), every order at its sender ([`trading`]).
//! [`ticks`] turns recorded days into frames and back. [`house`] starts servers inside this process.
//!
//! Start at the scenarios: [`quotes`], [`replay`] (both are a [`broadcast`]), [`orders`], [`failover`], [`chaos`],
//! [`demo`], and [`scenario`], which plays several of them by a file. The hot loops are in `source.rs`, `subscriber.rs` and `trading/trader.rs`, each an application of a shard;
//! `sessions.rs` is what the clients among them share.

mod admin;
pub mod audience;
pub mod broadcast;
pub mod ceiling;
pub mod chaos;
pub mod curve;
pub mod demo;
pub mod due;
pub mod failover;
pub mod feeder;
pub mod figures;
mod files;
pub mod flood;
pub mod gaps;
pub mod handshakes;
pub mod house;
pub mod ledger;
pub mod lines;
mod logon;
pub mod machine;
pub mod orders;
pub mod padded;
pub mod progress;
pub mod quotes;
pub mod recorder;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod schedule;
mod screen;
mod sessions;
pub mod source;
pub mod stalled;
mod streams;
pub mod subscriber;
pub mod telemetry;
pub mod ticks;
pub mod trading;
mod wait;
pub mod why;
pub mod wires;
