//! A whole market on real sockets in one process: matcher, gateways, balancer, feed; plain and over ShangMi TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod client;
mod line;
mod orders;
mod probe;
mod quotes;
mod tls;
mod town;
