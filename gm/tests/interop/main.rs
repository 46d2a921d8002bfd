//! ShangMi against OpenSSL 4: handshakes and records in both directions, what must fail, certificates and keys, and
//! every primitive over random lengths.
//!
//! `cargo test -p gm --features interop --test interop`. `build.rs` builds libcrypto and libssl 4.0.3 from the
//! sources in the crate `openssl-src`: two and a quarter minutes on two cores (135 s: 9 to configure, 12 to generate,
//! 114 to compile), once for a target folder. The tests themselves take 4 s. The functions are declared in
//! `openssl/ffi.rs`, because the crate `openssl` vendors OpenSSL 3, which has SM2 but not RFC 8998.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(unsafe_code, reason = "calls of C functions")]

#[path = "../tls/pki.rs"]
mod pki;

#[path = "../tls/wrong_identifier.rs"]
mod wrong_identifier;

mod openssl;
mod pair;

mod differential;
mod handshake;
mod records;
mod refusal;
mod resumption;
mod x509;

#[test]
fn the_peer_is_what_it_is_meant_to_be() {
    assert_eq!(openssl::major_version(), 4);
}
