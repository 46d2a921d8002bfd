//! Handshakes in memory by the provider: what RFC 8998 wants works, and what it forbids fails.

mod pipe;
mod pki;

mod handshake;
mod quic;
mod refusal;
mod sealer;
