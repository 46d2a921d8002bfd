use super::*;
use ::hmac::{KeyInit, Mac};

/// Wycheproof (C2SP/wycheproof, testvectors_v1/hmac_sm3_test.json), all groups; short tags are truncated ones.
#[test]
fn wycheproof() {
    let vectors = crate::vectors::mac(include_str!("../../vectors/hmac_sm3.txt"));
    assert_eq!(vectors.len(), 174);
    for v in &vectors {
        let key = Key::new(&v.key);
        let tag = key.tag(&[&v.message]);
        assert_eq!(tag[..v.tag.len()] == v.tag[..], v.valid, "test {}", v.id);
        if v.tag.len() == DIGEST_BYTES {
            assert_eq!(key.verify(&[&v.message], &v.tag), v.valid, "test {}", v.id);
        }
    }
}

#[test]
fn agrees_with_another_implementation_for_keys_around_a_block() {
    for len in [0, 1, 31, 32, 63, 64, 65, 127, 128, 200] {
        let key: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut other = ::hmac::Hmac::<::sm3::Sm3>::new_from_slice(&key).unwrap();
        other.update(b"first second");
        assert_eq!(Key::new(&key).tag(&[b"first ", b"second"])[..], other.finalize().into_bytes()[..]);
    }
}

#[test]
fn hkdf_agrees_with_another_implementation() {
    for len in [0, 1, 32, 33, 100, 255 * 32] {
        let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
        expand(&extract(b"salt", b"material"), b"info", &mut ours).unwrap();
        ::hkdf::Hkdf::<::sm3::Sm3>::new(Some(b"salt"), b"material").expand(b"info", &mut theirs).unwrap();
        assert_eq!(ours, theirs, "{len} bytes");
    }
    assert_eq!(expand(&extract(b"", b""), b"", &mut [0; 255 * 32 + 1]), Err(OutputTooLong));
}
