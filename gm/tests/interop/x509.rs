//! Certificates, requests and keys that one side wrote are read by the other.

use crate::openssl::key::{Encryption, Key, Prf};
use crate::openssl::x509::{Certificate, Content, request, verify_request};
use gm::pbes2;
use gm::sm2::{PublicKey, SecretKey};
use gm::x509::{AltName, Authority, Leaf, Request, Subject, Usage, Validity, describe};

const VALIDITY: Validity = Validity { not_before_s: 1_700_000_000, not_after_s: 4_000_000_000 };
const VALID_S: (u64, u64) = (VALIDITY.not_before_s, VALIDITY.not_after_s);

fn subject(common_name: &str) -> Subject {
    Subject { country: "CN".into(), organization: "通道".into(), common_name: common_name.into() }
}

#[test]
fn keys_go_both_ways() {
    for _ in 0..20 {
        let theirs = Key::sm2();
        let ours = SecretKey::from_pkcs8_der(&theirs.to_pkcs8()).unwrap();
        assert_eq!(PublicKey::from_spki_der(&theirs.to_spki()).unwrap(), *ours.public_key());
        let back = Key::from_pkcs8(&ours.to_pkcs8_der()).unwrap();
        assert_eq!(back.to_spki(), theirs.to_spki());
        assert_eq!(Key::from_spki(&ours.public_key().to_spki_der()).unwrap().to_spki(), theirs.to_spki());
    }
    assert!(SecretKey::from_pkcs8_der(&Key::p256().to_pkcs8()).is_err());
}

#[test]
fn certificates_of_theirs_are_read_and_checked_by_us() {
    let (authority, key) = (Key::sm2(), Key::sm2());
    let root = Content { name: "根", alt_names: "", usage: "", valid_s: VALID_S };
    let root = Certificate::root(&root, &authority);
    let leaf = Content {
        name: "leaf",
        alt_names: "DNS:localhost,IP:127.0.0.1",
        usage: "serverAuth,clientAuth",
        valid_s: VALID_S,
    };
    let leaf = root.issue(&leaf, &key, &authority).to_der();
    let text = describe(&leaf).unwrap();
    for wanted in [
        "subject: CN=leaf",
        "issuer: CN=根",
        "not before: 20231114221320Z",
        "names: DNS:localhost, IP:127.0.0.1",
        "usage: TLS server, TLS client",
        "signature algorithm: SM2 with SM3",
        "signed by itself: no",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
    let root = root.to_der();
    let root = gm::x509::Certificate::from_der(&root).unwrap();
    let leaf = gm::x509::Certificate::from_der(&leaf).unwrap();
    assert!(leaf.is_signed_by(&root.public_key().unwrap()));
    assert!(!leaf.is_signed_by(&leaf.public_key().unwrap()));
}

#[test]
fn certificates_of_ours_are_read_and_checked_by_them() {
    let key = SecretKey::generate().unwrap();
    let authority = Authority::root(&subject("Root"), key.clone(), VALIDITY).unwrap();
    let leaf_key = SecretKey::generate().unwrap();
    let leaf = Leaf {
        subject: &subject("leaf"),
        alt_names: &[AltName::Dns("localhost".into()), AltName::Ip([127, 0, 0, 1].into())],
        usage: Usage::ServerAndClient,
        public_key: leaf_key.public_key(),
        validity: VALIDITY,
    };
    let leaf = authority.issue(&leaf).unwrap();
    let public = Key::from_spki(&key.public_key().to_spki_der()).unwrap();
    for der in [authority.certificate(), &leaf] {
        let certificate = Certificate::from_der(der).unwrap();
        assert_eq!(certificate.to_der(), der, "they write it as we do");
        certificate.verify(&public).unwrap();
        assert!(certificate.verify(&Key::sm2()).is_err());
    }
}

#[test]
fn requests_go_both_ways() {
    let key = Key::sm2();
    let theirs = Request::from_der(&request("leaf", &key)).unwrap();
    assert_eq!(theirs.public_key().to_spki_der(), key.to_spki());
    let authority = Authority::root(&subject("Root"), SecretKey::generate().unwrap(), VALIDITY).unwrap();
    let issued = authority.issue_request(&theirs, Usage::Server, VALIDITY).unwrap();
    assert!(describe(&issued).unwrap().contains("subject: CN=leaf"));
    Certificate::from_der(&issued).unwrap();
    let names = [AltName::Dns("gateway.example".into())];
    let mut ours = Request::make(&subject("gateway"), &names, &SecretKey::generate().unwrap()).unwrap();
    verify_request(&ours).unwrap();
    let last = ours.len() - 1;
    ours[last] ^= 1;
    assert!(verify_request(&ours).is_err());
}

#[test]
fn encrypted_keys_go_both_ways() {
    let theirs = Key::sm2();
    let ours = SecretKey::from_pkcs8_der(&theirs.to_pkcs8()).unwrap();
    let ciphers = [(c"SM4-CBC", pbes2::Cipher::Sm4Cbc), (c"AES-256-CBC", pbes2::Cipher::Aes256Cbc)];
    let prfs = [(Prf::HmacSm3, pbes2::Prf::HmacSm3), (Prf::HmacSha256, pbes2::Prf::HmacSha256)];
    for ((cipher, our_cipher), (prf, our_prf)) in ciphers.iter().flat_map(|c| prfs.map(|p| (*c, p))) {
        let encryption = Encryption { cipher, prf, iterations: 2048 };
        let sealed = theirs.to_encrypted("口令 password", encryption);
        let opened = SecretKey::from_encrypted_pkcs8_der(&sealed, "口令 password".as_bytes()).unwrap();
        assert_eq!(opened.public_key(), ours.public_key());
        assert!(SecretKey::from_encrypted_pkcs8_der(&sealed, b"password").is_err());
        let iterations = 1000.try_into().unwrap();
        let encryption = pbes2::Encryption { cipher: our_cipher, prf: our_prf, iterations };
        let sealed = ours.to_encrypted_pkcs8_der(b"secret", encryption).unwrap();
        assert_eq!(Key::from_encrypted(&sealed, "secret").unwrap().to_spki(), theirs.to_spki());
        assert!(Key::from_encrypted(&sealed, "Secret").is_err());
    }
}
