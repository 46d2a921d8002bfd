//! Sealing: SM4-GCM of this crate by backend, of the RustCrypto crates, of OpenSSL 4, and AES-128-GCM of ring as the
//! ceiling another cipher has; and one message for eight connections, together and one after the other.
//!
//! `cargo bench -p gm --bench gcm`, with `--features interop` for OpenSSL's part.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark that cannot go on panics"
)]

#[cfg(feature = "interop")]
#[path = "../tests/interop/openssl/mod.rs"]
#[allow(dead_code, unsafe_code, reason = "calls of C functions, of which this benchmark wants a few")]
mod openssl;

use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12, inout::InOutBuf};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gm::gcm::{Key, LANES, Lane, Lanes, TAG_BYTES, seal_lanes};
use gm::sm4::Backend;

const SIZES: [usize; 4] = [64, 256, 1024, 16_384];
/// The additional data of a TLS record.
const AAD: [u8; 5] = [23, 3, 3, 0, 0];

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    for bytes in SIZES {
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut data = vec![0; bytes];
        for backend in Backend::ALL {
            let Ok(key) = Key::with_backend(&[1; 16], backend) else { continue };
            group.bench_function(BenchmarkId::new(backend.to_string(), bytes), |b| {
                b.iter(|| key.seal(&[2; 12], &AAD, &mut data));
            });
        }
        let peer = aes_gcm::AesGcm::<::sm4::Sm4, U12>::new(&[1; 16].into());
        group.bench_function(BenchmarkId::new("rustcrypto", bytes), |b| {
            b.iter(|| peer.encrypt_inout_detached(&[2; 12].into(), &AAD, InOutBuf::from(&mut data[..])));
        });
        #[cfg(feature = "interop")]
        {
            let peer = openssl::cipher::Aead::new(openssl::cipher::Mode::Gcm, &[1; 16]);
            group.bench_function(BenchmarkId::new("openssl", bytes), |b| {
                b.iter(|| peer.seal(&[2; 12], &AAD, &mut data));
            });
        }
        let ring = ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &[1; 16]).unwrap();
        let ring = ring::aead::LessSafeKey::new(ring);
        group.bench_function(BenchmarkId::new("ring-aes-128", bytes), |b| {
            b.iter(|| {
                let nonce = ring::aead::Nonce::assume_unique_for_key([2; 12]);
                ring.seal_in_place_separate_tag(nonce, ring::aead::Aad::from(AAD), &mut data)
            });
        });
    }
}

fn lanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("lanes");
    let keys: Vec<Key> = (0..LANES as u8).map(|i| Key::new(&[i; 16])).collect();
    for bytes in [65, 129, 257, 513, 767] {
        group.throughput(Throughput::Bytes((bytes * LANES) as u64));
        let plain = vec![0; bytes];
        let mut out = vec![vec![0; bytes + TAG_BYTES]; LANES];
        group.bench_function(BenchmarkId::new("together", bytes), |b| {
            b.iter(|| {
                let mut lanes = Lanes::default();
                for ((lane, key), sealed) in lanes.iter_mut().zip(&keys).zip(&mut out) {
                    *lane = Some(Lane { key, nonce: [2; 12], sealed });
                }
                seal_lanes(&mut lanes, &AAD, &plain);
            });
        });
        group.bench_function(BenchmarkId::new("in turn", bytes), |b| {
            b.iter(|| {
                for (key, sealed) in keys.iter().zip(&mut out) {
                    let (text, tag) = sealed.split_at_mut(bytes);
                    text.copy_from_slice(&plain);
                    tag.copy_from_slice(&key.seal(&[2; 12], &AAD, text));
                }
            });
        });
    }
}

criterion_group!(benches, seal, lanes);
criterion_main!(benches);
