//! Loading private keys, and signing CertificateVerify.

use super::SM2SIG_SM3;
use crate::sm2::{KeyDecodeError, SecretKey, TLS13_ID};
use rustls::crypto::{KeyProvider, ring};
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

/// SM2 in the registry of TLS signature algorithms (the low byte of sm2sig_sm3).
const SIGNATURE_SM2: u8 = 8;

/// Takes SM2 keys and, if `international`, what ring takes.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) international: bool,
}

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let loaded = match &key {
            PrivateKeyDer::Pkcs8(der) => SecretKey::from_pkcs8_der(der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => SecretKey::from_sec1_der(der.secret_sec1_der()),
            _ => Err(KeyDecodeError::OtherAlgorithm),
        };
        match loaded {
            Ok(key) => {
                let spki = key.public_key().to_spki_der();
                Ok(Arc::new(Key { key: Arc::new(key), spki }))
            }
            Err(KeyDecodeError::OtherAlgorithm) if self.international => {
                ring::default_provider().key_provider.load_private_key(key)
            }
            Err(error) => Err(Error::General(error.to_string())),
        }
    }
}

#[derive(Debug)]
struct Key {
    key: Arc<SecretKey>,
    spki: Vec<u8>,
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let offered = offered.contains(&SM2SIG_SM3);
        offered.then(|| Box::new(Sm2Signer(Arc::clone(&self.key))) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Unknown(SIGNATURE_SM2)
    }
}

#[derive(Debug)]
struct Sm2Signer(Arc<SecretKey>);

impl Signer for Sm2Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(TLS13_ID, message).map_err(|_| Error::FailedToGetRandomBytes)?;
        Ok(signature.to_der())
    }

    fn scheme(&self) -> SignatureScheme {
        SM2SIG_SM3
    }
}
