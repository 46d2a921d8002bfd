//! SM2 and SM3 of this crate, of the RustCrypto crates and of OpenSSL 4.
//!
//! `cargo bench -p gm --bench sm2`, with `--features interop` for OpenSSL's part.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark that cannot go on panics"
)]

#[cfg(feature = "interop")]
#[path = "../tests/interop/openssl/mod.rs"]
#[allow(dead_code, unsafe_code, reason = "calls of C functions, of which this benchmark wants a few")]
mod openssl;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gm::sm2::{EphemeralKey, SecretKey};
use sm2::dsa::signature::{Signer, Verifier};
use sm3::Digest;

fn signatures(c: &mut Criterion) {
    let mut group = c.benchmark_group("sm2");
    let key = SecretKey::generate().unwrap();
    let signature = key.sign(b"id", b"message").unwrap();
    group.bench_function("sign", |b| b.iter(|| key.sign(b"id", b"message")));
    group.bench_function("verify", |b| b.iter(|| key.public_key().verify(b"id", b"message", &signature)));
    let peer = sm2::dsa::SigningKey::from_slice("id", &key.to_bytes()[..]).unwrap();
    let signature: sm2::dsa::Signature = peer.sign(b"message");
    group.bench_function("sign, rustcrypto", |b| {
        b.iter(|| Signer::<sm2::dsa::Signature>::sign(&peer, b"message"));
    });
    group.bench_function("verify, rustcrypto", |b| {
        b.iter(|| peer.verifying_key().verify(b"message", &signature));
    });
}

fn agreement(c: &mut Criterion) {
    let mut group = c.benchmark_group("sm2");
    let (key, peer) = (SecretKey::generate().unwrap(), EphemeralKey::generate().unwrap());
    group.bench_function("agree", |b| b.iter(|| key.diffie_hellman(peer.public_key())));
    group.bench_function("generate", |b| b.iter(EphemeralKey::generate));
    let secret = sm2::SecretKey::from_slice(&key.to_bytes()[..]).unwrap();
    let public = sm2::PublicKey::from_sec1_bytes(&peer.public_key().to_sec1()).unwrap();
    group.bench_function("agree, rustcrypto", |b| {
        b.iter(|| elliptic_curve::ecdh::diffie_hellman(secret.to_nonzero_scalar(), public.as_affine()));
    });
}

#[cfg(feature = "interop")]
fn of_openssl(c: &mut Criterion) {
    use openssl::key::Key;
    let mut group = c.benchmark_group("sm2");
    let key = Key::sm2();
    let signature = key.sign(b"id", b"message");
    group.bench_function("sign, openssl", |b| b.iter(|| key.sign(b"id", b"message")));
    group.bench_function("verify, openssl", |b| b.iter(|| key.verify(b"id", b"message", &signature)));
    let (key, share) = (Key::curve_sm2(), Key::curve_sm2().share());
    group.bench_function("agree, openssl", |b| b.iter(|| key.agree(&share)));
    group.bench_function("generate, openssl", |b| b.iter(Key::curve_sm2));
}

#[cfg(not(feature = "interop"))]
fn of_openssl(_: &mut Criterion) {}

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("sm3");
    let data = vec![0u8; 16_384];
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("digest", |b| b.iter(|| gm::sm3::digest(&data)));
    group.bench_function("digest, rustcrypto", |b| b.iter(|| sm3::Sm3::digest(&data)));
    #[cfg(feature = "interop")]
    group.bench_function("digest, openssl", |b| b.iter(|| openssl::cipher::sm3(&data)));
}

criterion_group!(benches, signatures, agreement, of_openssl, hash);
criterion_main!(benches);
