use super::record::{Sealer, seal_for_all};
use super::*;
use rustls::crypto::cipher::{AeadKey, Iv};

fn key(byte: u8) -> AeadKey {
    let mut bytes = [byte; 32];
    bytes[16..].fill(0);
    AeadKey::from(bytes)
}

/// What the sealer writes is what rustls' own record layer reads, and the other way round.
#[test]
fn records_of_the_sealer_open_in_the_record_layer() {
    use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
    for len in [0, 1, 64, 700, 766, 767, 768, 16384] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut sealers: Vec<Sealer> =
            (0..11).map(|i| Sealer::new(&[i; 16], [i; 12], u64::from(i))).collect();
        let mut outputs = vec![vec![0xaa; 3]; sealers.len()];
        let mut due: Vec<_> = sealers.iter_mut().zip(&mut outputs).collect();
        seal_for_all(&mut due, &payload).unwrap();
        for (i, out) in (0u8..).zip(&outputs) {
            let mut alone = Vec::new();
            Sealer::new(&[i; 16], [i; 12], u64::from(i)).seal(&payload, &mut alone).unwrap();
            assert_eq!(out[3..], alone);
            let mut encrypter = SM4_GCM_SM3.aead_alg.encrypter(key(i), Iv::from([i; 12]));
            let message = OutboundPlainMessage {
                typ: rustls::ContentType::ApplicationData,
                version: rustls::ProtocolVersion::TLSv1_3,
                payload: OutboundChunks::Single(&payload),
            };
            assert_eq!(alone, encrypter.encrypt(message, u64::from(i)).unwrap().encode());
        }
    }
}

#[test]
fn a_key_that_is_used_up_seals_nothing() {
    let mut fresh = Sealer::new(&[1; 16], [1; 12], 0);
    let mut spent = Sealer::new(&[2; 16], [2; 12], 1 << 24);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let result = seal_for_all(&mut [(&mut fresh, &mut a), (&mut spent, &mut b)], b"x");
    assert_eq!(result, Err(record::KeyUsedUp));
    assert!(a.is_empty() && b.is_empty());
    assert_eq!(spent.seal(b"x", &mut b), Err(record::KeyUsedUp));
}

#[test]
fn quic_headers_are_unmasked_to_what_they_were() {
    let header_key = SM4_GCM_SM3.quic.unwrap().header_protection_key(key(7));
    let sample = [0x5a; 16];
    for first in 0..=255u8 {
        let (mut masked, mut number) = (first, [1, 2, 3, 4]);
        header_key.encrypt_in_place(&sample, &mut masked, &mut number).unwrap();
        header_key.decrypt_in_place(&sample, &mut masked, &mut number).unwrap();
        assert_eq!((masked, number), (first, [1, 2, 3, 4]));
    }
    let (mut first, mut number) = (3, [0; 2]);
    assert!(header_key.encrypt_in_place(&sample, &mut first, &mut number).is_err());
    assert!(header_key.encrypt_in_place(&sample[..15], &mut first, &mut [0; 4]).is_err());
}

#[test]
fn suite_and_group_are_coherent_or_not() {
    assert!(is_coherent(TLS_SM4_GCM_SM3, CURVE_SM2));
    assert!(is_coherent(CipherSuite::TLS13_AES_128_GCM_SHA256, NamedGroup::X25519));
    assert!(!is_coherent(TLS_SM4_GCM_SM3, NamedGroup::X25519));
    assert!(!is_coherent(CipherSuite::TLS13_AES_128_GCM_SHA256, CURVE_SM2_ML_KEM_768));
}
