use super::*;
use crate::sm2::{KeyDecodeError, PublicKey, SecretKey};
use crate::x509::decode_pem;

const KINDS: [(Cipher, Prf); 4] = [
    (Cipher::Sm4Cbc, Prf::HmacSm3),
    (Cipher::Sm4Cbc, Prf::HmacSha256),
    (Cipher::Aes256Cbc, Prf::HmacSm3),
    (Cipher::Aes256Cbc, Prf::HmacSha256),
];

fn encryption((cipher, prf): (Cipher, Prf)) -> Encryption {
    Encryption { cipher, prf, iterations: NonZeroU32::new(3).unwrap() }
}

/// The public key first, then the encrypted ones.
#[test]
fn keys_that_others_wrote_open_with_their_password_alone() {
    let files = [
        (include_str!("../../vectors/encrypted_gmssl.pem"), 1),
        (include_str!("../../vectors/encrypted_openssl.pem"), 4),
    ];
    for (text, count) in files {
        let mut sections = decode_pem(text).into_iter();
        let public = PublicKey::from_spki_der(&sections.next().unwrap().1).unwrap();
        let keys: Vec<_> = sections.collect();
        assert_eq!(keys.len(), count);
        for (label, der) in keys {
            assert_eq!(label, "ENCRYPTED PRIVATE KEY");
            let key = SecretKey::from_encrypted_pkcs8_der(&der, b"password").unwrap();
            assert_eq!(*key.public_key(), public);
            let wrong = SecretKey::from_encrypted_pkcs8_der(&der, b"Password");
            assert_eq!(wrong.err(), Some(KeyDecodeError::Encrypted(DecryptError::Password)));
        }
    }
}

#[test]
fn what_is_encrypted_opens_in_every_combination() {
    for kind in KINDS {
        for len in [0, 1, 15, 16, 17, 200] {
            let info = vec![len as u8; len];
            let sealed = encrypt(&info, b"a password", encryption(kind)).unwrap();
            assert_eq!(decrypt(&sealed, b"a password").unwrap()[..], info[..], "{kind:?}");
            assert_ne!(decrypt(&sealed, b"another").as_deref(), Ok(&info), "{kind:?}");
        }
    }
}

#[test]
fn no_cut_or_altered_key_panics() {
    let key = SecretKey::generate().unwrap();
    for kind in KINDS {
        let sealed = key.to_encrypted_pkcs8_der(b"p", encryption(kind)).unwrap();
        for at in 0..sealed.len() {
            assert!(SecretKey::from_encrypted_pkcs8_der(&sealed[..at], b"p").is_err());
        }
        // Bits of the iterations are left alone: a million of them takes long, not wrong.
        let count = sealed.windows(3).position(|three| three == [2, 1, 3]).unwrap();
        for at in (0..sealed.len()).filter(|at| !(count..count + 3).contains(at)) {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            drop(SecretKey::from_encrypted_pkcs8_der(&bad, b"p"));
        }
    }
}

#[test]
fn a_file_cannot_ask_for_endless_work() {
    let iterations = NonZeroU32::new(ITERATIONS_MAX + 1).unwrap();
    let encryption = Encryption { iterations, ..Encryption::default() };
    let algorithm = encryption.to_der(&[1; 8], &[2; 16]);
    let sealed = sequence(&[&algorithm, &element(4, &[&[0; 32]])]);
    assert_eq!(decrypt(&sealed, b"p").err(), Some(DecryptError::OtherEncryption));
}

/// Two links of the chain by another HMAC-SM3.
#[test]
fn the_derived_key_is_that_of_the_definition() {
    use ::hmac::{Hmac, KeyInit, Mac};
    let tag = |data: &[&[u8]]| -> [u8; 32] {
        let mut mac = Hmac::<::sm3::Sm3>::new_from_slice(b"password").unwrap();
        data.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().into()
    };
    let (first, mut key) = (tag(&[b"salt", &[0, 0, 0, 1]]), [0; 32]);
    let second = tag(&[&first]);
    let wanted: [u8; 32] = std::array::from_fn(|i| first[i] ^ second[i]);
    hmac::derive(b"password", b"salt", NonZeroU32::new(2).unwrap(), &mut key);
    assert_eq!(key, wanted);
}
