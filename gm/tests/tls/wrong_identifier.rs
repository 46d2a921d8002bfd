//! A side that signs CertificateVerify with the identifier of certificates instead of RFC 8998's.

use crate::pki::Identity;
use gm::sm2::{DEFAULT_ID, SecretKey};
use gm::tls::SM2SIG_SM3;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

#[derive(Debug)]
struct WrongIdentifier(Arc<SecretKey>);

impl SigningKey for WrongIdentifier {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Unknown(8)
    }
}

impl Signer for WrongIdentifier {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(DEFAULT_ID, message).unwrap().to_der())
    }

    fn scheme(&self) -> SignatureScheme {
        SM2SIG_SM3
    }
}

/// For `SingleCertAndKey`.
pub(crate) fn certified(identity: &Identity) -> CertifiedKey {
    let PrivateKeyDer::Pkcs8(key) = &identity.key else { panic!("not PKCS#8") };
    let key = Arc::new(SecretKey::from_pkcs8_der(key.secret_pkcs8_der()).unwrap());
    CertifiedKey::new(identity.chain.clone(), Arc::new(WrongIdentifier(key)))
}
