//! The FIX 4.4 port: an acceptor beside the binary one, on the same thread, with the same walk for its orders.
//!
//! In: a NewOrderSingle becomes a NewOrder frame in the line's bytes ([`request`], `orders.rs`), by
//! `Gateway::place`, as a client's frame does. Out: the port reads the gateway's log of reports, as any
//! subscriber would, keeps the state of each order from them ([`book`]), and writes each report once as the fields of a FIX
//! message into a log of its own ([`report`]). Sessions have a place in that log: live ones are given what came in the turn by
//! their account, others go on from where they stand (`deliver.rs`). A session's store keeps with each message of which report
//! it was made ([`fix::store::Store::set_mark`]), so its place outlives the gateway, and each report becomes one message. Where the
//! memory is in JetStream (`jetstream.rs`, `kept.rs`) it outlives the machine too, and the session goes on through another gateway.
//!
//! Where a session stands with its reports: while it is not logged on none is made for it; with the logon it goes on behind
//! the last one that was. A slow reader is not sent more than its connection takes; it stays behind in the log until the log
//! lets go of what it wants, and is then ended.

pub mod book;
pub mod config;
mod deliver;
mod jetstream;
mod kept;
mod orders;
mod port;
mod refuse;
pub mod report;
pub mod request;
mod session;
mod store;

pub use config::Config;
pub(crate) use port::{Counts, PORT, Port};
pub(crate) use session::STORE_FAILURES;
