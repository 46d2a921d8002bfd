//! ShangMi, the Chinese national cryptography: SM2, SM3 and SM4, and what TLS and QUIC need of them.
//!
//! What it is: the only crate of the workspace that names a cryptographic library, and the one that replaces the
//! slow parts of it. What it is not: a general toolbox; there is one way to do each thing the wire asks for.
//!
//! Start at [`tls::provider`] (ShangMi for rustls and quinn), [`tls::record`] (one message for many connections),
//! [`x509::Authority`] (certificates), and below them [`gcm`], [`sm2`] and [`sm3`]. [`sm4::Backend`] is how the
//! instructions are chosen. The program `gm` makes certificates, shows them, and measures.
//!
//! Everything here is constant time with regard to keys and plaintext. The crate `sm-crypto`, which several ShangMi
//! programs use, is only an oracle in the tests: its big integers are variable time, it has no GCM, it panics on bad
//! padding, and where the system's generator fails it falls back to one seeded by the clock.
#![allow(
    unsafe_code,
    reason = "SIMD: loads, stores and calls of functions compiled for detected instructions"
)]

pub mod ccm;
mod der;
pub mod gcm;
mod ghash;
pub mod hmac;
pub mod pbes2;
pub mod sm2;
pub mod sm3;
pub mod sm4;
pub mod tls;
#[cfg(test)]
mod vectors;
pub mod x509;
