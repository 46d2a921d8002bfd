//! The quote server: several sources in, one copy in order out to thousands of subscribers.
//!
//! The way of a quote: `Ingest::on_data` takes a frame off a source's bytes, [`arbiter`] says whether it is the first
//! copy and in order, and it is appended to the log; at the end of the turn the shard publishes the log and writes its
//! bytes to every subscriber that follows it. With one shard all of this is one thread, and crosses no queue.
//!
//! What is not on that way: [`securities`] and [`subscription`] turn what a subscriber asks for into a filter of the
//! log, [`snapshots`] give a late joiner the state to begin with, `Replay` answers resend requests from the log, and
//! `Fanout` keeps the subscribers' sessions. [`web`] is one more reader of the log, for browsers.
//!
//! [`book`] is another one, which rebuilds the depth of each security from its ticks.
//!
//! What it is not: it changes no quote, and what it keeps on disk (`retention`) is a cache. Subscribers get the sources' own bytes, and
//! where it is configured snapshots of the books between them, under a name of their own.
//!
//! Start at [`Server`]; the hot loop is `ingest.rs`.

pub mod arbiter;
pub mod book;
pub mod bus;
pub mod config;
pub mod door;
pub mod entitlement;
pub mod securities;
pub mod snapshots;
pub mod subscription;

mod app;
mod content;
mod control;
mod delay;
mod fanout;
mod ingest;
mod metrics;
mod place;
mod relay;
mod replay;
mod retention;
mod server;
mod source;
mod status;
mod subscriber;
mod view;
pub mod web;

pub use config::Config;
pub use metrics::Metrics;
pub use server::{BindError, Server};
