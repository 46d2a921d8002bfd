//! SM2 and SM3 of this crate and of the RustCrypto crates.
//!
//! `cargo bench -p gm --bench sm2`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark that cannot go on panics"
)]

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

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("sm3");
    let data = vec![0u8; 16_384];
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("digest", |b| b.iter(|| gm::sm3::digest(&data)));
    group.bench_function("digest, rustcrypto", |b| b.iter(|| sm3::Sm3::digest(&data)));
}

criterion_group!(benches, signatures, agreement, hash);
criterion_main!(benches);
