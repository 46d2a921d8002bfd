//! What a stranger sends in a handshake over ShangMi, and instead of what is sealed: key shares, signatures, tickets, QUIC packets.
//! None may panic, and nothing opens that nobody sealed.
#![no_main]

use gm::sm2::{PublicKey, SecretKey};
use gm::tls::{Mode, SM4_GCM_SM3, provider, ticketer};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[7; 32]).expect("a key"));

/// What ML-KEM-768 adds to a client's share and to a server's.
const HYBRID_BYTES: [usize; 2] = [1184, 1088];

/// A share: noise as it is, or behind a point, or of the length that a hybrid one has, so that what is behind the checks is reached.
fn share_of(kind: u8, noise: &[u8]) -> Vec<u8> {
    let mut share =
        if kind & 1 == 0 { noise.to_vec() } else { [&KEY.public_key().to_sec1()[..], noise].concat() };
    if kind & 2 != 0 {
        share.resize(PublicKey::BYTES + HYBRID_BYTES[usize::from((kind >> 2) & 1)], 0);
    }
    share
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, noise)) = data.split_first() else { return };
    let (provider, share) = (provider(Mode::Strict), share_of(kind, noise));
    for group in provider.kx_groups {
        // As a server does, then as a client.
        drop(group.start_and_complete(&share));
        let ours = group.start().expect("the system has random numbers");
        let by_half = kind & 8 != 0 && ours.hybrid_component().is_some();
        drop(if by_half { ours.complete_hybrid_component(&share) } else { ours.complete(&share) });
    }
    let point = KEY.public_key().to_sec1();
    for algorithm in provider.signature_verification_algorithms.all {
        assert!(algorithm.verify_signature(&point, b"nobody signed that", noise).is_err());
        assert!(algorithm.verify_signature(noise, b"nobody signed that", noise).is_err());
    }
    assert!(ticketer().expect("the system has random numbers").decrypt(noise).is_none());

    let quic = SM4_GCM_SM3.quic.expect("it is for QUIC too");
    let packet = quic.packet_key([7_u8; 32].into(), [7_u8; 12].into());
    assert!(packet.decrypt_in_place(1, &[kind], &mut noise.to_vec()).is_err());
    let header = quic.header_protection_key([7_u8; 32].into());
    let (mut first, mut number) = (kind, [0; 4]);
    if header.decrypt_in_place(noise, &mut first, &mut number).is_ok() {
        header.encrypt_in_place(noise, &mut first, &mut number).expect("it was one");
        assert_eq!((first, number), (kind, [0; 4]));
    }
});
