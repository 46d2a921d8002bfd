//! A whole market on real sockets in one process: matcher, gateways, balancer, feed; plain and over ShangMi TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod client;
#[allow(dead_code, reason = "the tests of `service` need more of it")]
#[path = "../../../service/tests/traces/collector.rs"]
mod collector;
mod line;
mod orders;
mod probe;
mod quotes;
mod tls;
mod town;
mod traces;
