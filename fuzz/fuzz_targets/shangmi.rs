//! Everything of `gm` that reads what a stranger wrote: certificates, requests, keys, signatures, ciphertexts, PEM. None
//! may panic, and what is read as a key or a signature is written as it was.
#![no_main]

use gm::sm2::{CiphertextFormat, PublicKey, SecretKey, Signature};
use gm::x509::{Certificate, Request, decode_pem, describe};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[7; 32]).expect("a key"));

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = describe(data) {
        assert!(!text.is_empty());
    }
    if let Ok(certificate) = Certificate::from_der(data) {
        assert!(!certificate.is_signed_by(KEY.public_key()));
    }
    if let Ok(request) = Request::from_der(data) {
        assert!(!request.subject().is_empty());
    }
    if let Ok(key) = SecretKey::from_pkcs8_der(data).or_else(|_| SecretKey::from_sec1_der(data)) {
        let again = SecretKey::from_pkcs8_der(&key.to_pkcs8_der()).expect("what we write we read");
        assert_eq!(again.public_key(), key.public_key());
    }
    if let Ok(signature) = Signature::from_der(data) {
        assert_eq!(signature.to_der(), data);
    }
    if let Ok(key) = PublicKey::from_sec1(data) {
        assert_eq!(key.to_sec1(), data);
    }
    for format in [CiphertextFormat::Plain, CiphertextFormat::Der] {
        assert!(KEY.decrypt(data, format).is_err(), "nobody encrypted that");
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(decode_pem(text));
    }
});
