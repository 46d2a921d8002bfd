//! Plays exchange and central-trading core: takes orders from gateways, matches them price before time, reports by
//! partition, and publishes its market data on two ports, as a primary and a backup source.
//!
//! What it is not: an exchange. It has the rules that a scenario needs to be honest (identity, lots, ticks, limits,
//! short sales, what an account has and owes, hours, call auctions), and no memory of yesterday; of today it has, with a
//! journal.
//!
//! Start at [`core::Core::new_order`], the way of an order once it is in; `app.rs` is the way to there from the
//! socket. [`book`] is the matching itself. [`publisher`] stands by itself: a load generator publishes its own frames
//! with it. [`Server`] puts all of it on one thread.

mod app;
pub mod book;
pub mod config;
pub mod core;
mod intake;
pub mod journal;
mod logs;
mod metrics;
pub mod publisher;
mod recovery;
mod server;
mod traces;

pub use config::Config;
pub use core_port::session::{Admission, Client, PortState, SessionCounts, UnknownPortState};
pub use journal::{Durability, JournalError};
pub use metrics::Metrics;
pub use server::{BindError, Control, ControlError, Server};
