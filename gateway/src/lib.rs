//! The order gateway: clients log on, send orders and cancels, and get their reports; each request is checked and
//! goes to the core that it is for, each report to whom it belongs.
//!
//! Everything is on one thread: an order goes from the client's socket through [`desk`] into the line's bytes within
//! one call; a report goes from the line's socket through [`link`] into a log ([`flow`]), from where the shard writes
//! it to the sessions that want its account. There is no queue on the way and no state that the cores' report flows
//! could not give back.
//!
//! What it is not: it holds no positions, matches nothing, and of the day it remembers over a restart what
//! the cores' flows tell; FIX sessions and the audit have files of their own. Start at `app.rs`.
//!
//! # What clients see
//! - PartitionNo is the core's plus the `partition_offset` of its configuration, so that those of two cores do not
//!   meet; PlatformInfo lists them all. ReportIndex is the core's own. A client sees the reports of its accounts
//!   alone, so there are holes in its numbers; it resumes with the next number after the last that it saw.
//! - A session says once, with ReportSynchronization, from where it wants its reports; of a partition that it does
//!   not name it gets all. A number that is no longer held ends the session, with the oldest that is; one that the
//!   gateway has not reached is waited for a while.
//! - A second logon with the same CompID ends the session before it.
//! - Where it is configured, the open orders of a session that has ended are cancelled ([`config::CancelOnDisconnect`]).
//! - What is not forwarded is answered with a BusinessReject ([`check::Refusal`]) and exists nowhere else.
//! - While no line to a core works, requests for it are refused at once. What is under way when a line dies is sent again
//!   over the other one, unless it has grown too old (`takeover.rs`, docs/lines.md).

pub mod accounts;
mod app;
pub mod audit;
mod bandwidth;
pub mod check;
pub mod config;
mod control;
pub mod counts;
pub mod desk;
mod disconnect;
mod duty;
pub mod fix;
pub mod flight;
mod index;
pub mod line;
pub mod link;
pub mod metrics;
pub mod orders;
mod past;
mod quotes;
pub mod refused;
pub mod route;
mod server;
mod session;
mod status;
mod sync;
mod takeover;
pub mod traces;
mod upstream;

pub use config::Config;
pub use metrics::Metrics;
pub use server::{BindError, Server};
