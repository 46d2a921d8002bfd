//! Every primitive over random lengths against OpenSSL and, of the symmetric ones, on every backend of this CPU.
//! (`src/*/tests.rs` does the same against the crates `sm3`, `sm4`, `sm2` and `sm-crypto`.)

use crate::openssl::cipher::{Aead, Mode, hmac_sm3, sm3};
use crate::openssl::key::Key;
use gm::sm2::{CiphertextFormat, EphemeralKey, PublicKey, SecretKey, Signature};
use gm::sm4::Backend;
use gm::{ccm, gcm};
use proptest::prelude::*;

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// Short ones, where the ends are, more often than long ones.
fn message(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(any::<u8>(), 0..2000),
        proptest::collection::vec(any::<u8>(), 0..bytes_max),
    ]
}

#[test]
fn sm3_gives_the_same_digest() {
    proptest!(|(data in message(20_000))| prop_assert_eq!(gm::sm3::digest(&data), sm3(&data)));
}

#[test]
fn hmac_sm3_gives_the_same_tag() {
    let key = proptest::collection::vec(any::<u8>(), 0..200);
    proptest!(|(key in key, data in message(20_000), cut: usize)| {
        let (first, second) = data.split_at(cut % (data.len() + 1));
        prop_assert_eq!(gm::hmac::Key::new(&key).tag(&[first, second]), hmac_sm3(&key, &data));
    });
}

macro_rules! aead {
    ($name:ident, $mode:expr, $module:ident) => {
        #[test]
        fn $name() {
            let aad = proptest::collection::vec(any::<u8>(), 0..70);
            proptest!(ProptestConfig::with_cases(400), |(
                key: [u8; 16], nonce: [u8; 12], aad in aad, plain in message(40_000), flip: u32
            )| {
                let peer = Aead::new($mode, &key);
                let mut wanted = plain.clone();
                let wanted_tag = peer.seal(&nonce, &aad, &mut wanted);
                for backend in backends() {
                    let key = $module::Key::with_backend(&key, backend).unwrap();
                    let mut data = plain.clone();
                    prop_assert_eq!(key.seal(&nonce, &aad, &mut data), wanted_tag, "{}", backend);
                    prop_assert!(data == wanted, "{}", backend);
                    key.open(&nonce, &aad, &mut data, &wanted_tag).unwrap();
                    prop_assert!(data == plain, "{}", backend);
                }
                let mut data = wanted.clone();
                peer.open(&nonce, &aad, &mut data, &wanted_tag).unwrap();
                prop_assert!(data == plain);
                // Neither takes it with one bit altered.
                let mut tag = wanted_tag;
                let bit = flip as usize % (8 * (wanted.len() + tag.len()));
                match wanted.get_mut(bit / 8) {
                    Some(byte) => *byte ^= 1 << (bit % 8),
                    None => tag[bit / 8 - wanted.len()] ^= 1 << (bit % 8),
                }
                prop_assert!(peer.open(&nonce, &aad, &mut wanted.clone(), &tag).is_err());
                for backend in backends() {
                    let key = $module::Key::with_backend(&key, backend).unwrap();
                    prop_assert!(key.open(&nonce, &aad, &mut wanted.clone(), &tag).is_err());
                }
            });
        }
    };
}
aead!(sm4_gcm_gives_the_same_ciphertext_and_tag, Mode::Gcm, gcm);
aead!(sm4_ccm_gives_the_same_ciphertext_and_tag, Mode::Ccm, ccm);

/// One message for many connections, each opened by OpenSSL.
#[test]
fn lanes_give_what_openssl_opens() {
    let keys: Vec<[u8; 16]> = (0..gcm::LANES as u8).map(|i| [i.wrapping_mul(37) ^ 0x5a; 16]).collect();
    proptest!(ProptestConfig::with_cases(200), |(plain in message(900), aad: [u8; 5], present: u8)| {
        for backend in backends() {
            let ours = keys.iter().map(|key| gcm::Key::with_backend(key, backend).unwrap());
            let ours: Vec<gcm::Key> = ours.collect();
            let mut out = vec![vec![0; plain.len() + gcm::TAG_BYTES]; gcm::LANES];
            let mut lanes = gcm::Lanes::default();
            for (i, (sealed, key)) in out.iter_mut().zip(&ours).enumerate() {
                lanes[i] = (present >> i & 1 == 1).then_some(gcm::Lane { key, nonce: [i as u8; 12], sealed });
            }
            gcm::seal_lanes(&mut lanes, &aad, &plain);
            for (i, sealed) in out.iter_mut().enumerate().filter(|(i, _)| present >> i & 1 == 1) {
                let (data, tag) = sealed.split_at_mut(plain.len());
                let tag: [u8; 16] = (*tag).try_into().unwrap();
                Aead::new(Mode::Gcm, &keys[i]).open(&[i as u8; 12], &aad, data, &tag).unwrap();
                prop_assert!(*data == plain[..]);
            }
        }
    });
}

#[test]
fn sm2_signatures_go_both_ways() {
    let id = proptest::collection::vec(any::<u8>(), 1..40);
    proptest!(|(message in message(5000), id in id, flip: u8)| {
        let theirs = Key::sm2();
        let ours = SecretKey::from_pkcs8_der(&theirs.to_pkcs8()).unwrap();
        let signature = ours.sign(&id, &message).unwrap();
        theirs.verify(&id, &message, &signature.to_der()).unwrap();
        let public = PublicKey::from_spki_der(&theirs.to_spki()).unwrap();
        let theirs_signed = Signature::from_der(&theirs.sign(&id, &message)).unwrap();
        public.verify(&id, &message, &theirs_signed).unwrap();
        // Neither takes another number, nor another identifier.
        let mut bad = theirs_signed;
        bad.s[usize::from(flip) / 8] ^= 1 << (flip % 8);
        prop_assert!(public.verify(&id, &message, &bad).is_err());
        prop_assert!(theirs.verify(&id, &message, &bad.to_der()).is_err());
        prop_assert!(public.verify(b"", &message, &theirs_signed).is_err());
    });
}

#[test]
fn sm2_ciphertexts_go_both_ways() {
    proptest!(|(message in proptest::collection::vec(any::<u8>(), 1..600), flip: u16)| {
        let theirs = Key::sm2();
        let ours = SecretKey::from_pkcs8_der(&theirs.to_pkcs8()).unwrap();
        let sealed = ours.public_key().encrypt(&message, CiphertextFormat::Der).unwrap();
        prop_assert_eq!(&theirs.decrypt(&sealed).unwrap(), &message);
        let mut sealed = theirs.encrypt(&message).unwrap();
        prop_assert_eq!(&ours.decrypt(&sealed, CiphertextFormat::Der).unwrap()[..], &message[..]);
        let bit = usize::from(flip) % (8 * sealed.len());
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(ours.decrypt(&sealed, CiphertextFormat::Der).is_err());
    });
}

#[test]
fn sm2_agreement_gives_the_same_secret() {
    for _ in 0..50 {
        let (theirs, ours) = (Key::curve_sm2(), EphemeralKey::generate().unwrap());
        let peer = PublicKey::from_sec1(&theirs.share()).unwrap();
        assert_eq!(ours.diffie_hellman(&peer)[..], theirs.agree(&ours.public_key().to_sec1()).unwrap());
    }
    let mut off_curve = Key::curve_sm2().share();
    off_curve[64] ^= 1;
    assert!(PublicKey::from_sec1(&off_curve).is_err());
    assert!(Key::curve_sm2().agree(&off_curve).is_err());
}
