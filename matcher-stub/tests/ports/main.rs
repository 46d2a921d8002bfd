//! The ports over real sockets: what peers get from them, and what rude ones get.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod accounts;
mod auction;
mod full_disk;
mod peer;
mod publisher;
mod server;
mod trading;
