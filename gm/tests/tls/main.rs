//! Handshakes in memory by the provider: what RFC 8998 wants works, and what it forbids fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod pipe;
mod pki;
mod wrong_identifier;

mod handshake;
mod quic;
mod refusal;
mod sealer;
