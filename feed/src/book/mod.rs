//! Books: the full depth of each security, rebuilt from the ticks of the log.
//!
//! One more reader of the log, on a thread of its own (`thread.rs`), as [`crate::web`] is: the shards do not know of it, but that
//! the one that writes the log appends what is published. [`Books`] has neither a thread nor a clock; a security's book
//! (`security.rs`) is made of its ticks alone, by the number that trades and cancels call an order by, and each of the exchange's
//! snapshots is held against it (`check.rs`). Where it differs, or where numbers are missing, it is set right by a snapshot.
//!
//! docs/book.md says what agrees with a real day, and what the limits are.

mod books;
mod check;
mod config;
mod depth;
mod metrics;
mod publish;
mod security;
mod shot;
mod status;
mod tally;
mod thread;
mod trail;

#[cfg(test)]
mod tests;

pub use books::{Books, Limits};
pub use config::BookConfig;
pub(crate) use metrics::Metrics;
pub(crate) use publish::Publication;
pub(crate) use status::{Ask, routes};
pub(crate) use thread::Follower;
