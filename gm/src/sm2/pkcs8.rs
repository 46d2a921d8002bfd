//! Keys in DER: PKCS#8 (RFC 5208), plain or encrypted, SEC 1 (RFC 5915) and SubjectPublicKeyInfo, all on curveSM2.

use super::{InvalidSecretKey, PublicKey, RandomUnavailable, SecretKey};
use crate::der;
use crate::pbes2::{self, DecryptError, Encryption};
use thiserror::Error;
use zeroize::Zeroizing;

/// OID 1.2.840.10045.2.1, a key of an elliptic curve.
const ID_EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// OID 1.2.156.10197.1.301, curveSM2.
const ID_CURVE_SM2: [u8; 8] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d];
/// The contents of the AlgorithmIdentifier of a key on curveSM2.
pub(crate) const ALGORITHM: [u8; 19] = {
    let mut contents = [0; 19];
    contents[0] = 6;
    contents[1] = 7;
    contents[9] = 6;
    contents[10] = 8;
    let mut i = 0;
    while i < 8 {
        if i < 7 {
            contents[2 + i] = ID_EC_PUBLIC_KEY[i];
        }
        contents[11 + i] = ID_CURVE_SM2[i];
        i += 1;
    }
    contents
};

/// Bytes are not a key this crate can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyDecodeError {
    /// Not the structure it should be.
    #[error("not a key in PKCS#8 or SEC 1 form")]
    Malformed,
    /// A key of another algorithm or curve.
    #[error("not a key on curveSM2")]
    OtherAlgorithm,
    /// The number in it is out of range.
    #[error(transparent)]
    OutOfRange(#[from] InvalidSecretKey),
    /// The public key in it belongs to another secret key.
    #[error("the public key does not belong to the secret key")]
    Mismatch,
    /// It is encrypted and does not open.
    #[error(transparent)]
    Encrypted(#[from] DecryptError),
}

impl SecretKey {
    /// From a PKCS#8 PrivateKeyInfo.
    ///
    /// # Errors
    /// When it is malformed or of another curve.
    pub fn from_pkcs8_der(mut bytes: &[u8]) -> Result<Self, KeyDecodeError> {
        let mut info = der::take(&mut bytes, 0x30).ok_or(KeyDecodeError::Malformed)?;
        der::take_number(&mut info).ok_or(KeyDecodeError::Malformed)?;
        let algorithm = der::take(&mut info, 0x30).ok_or(KeyDecodeError::Malformed)?;
        if algorithm != ALGORITHM {
            return Err(KeyDecodeError::OtherAlgorithm);
        }
        Self::from_sec1_der(der::take(&mut info, 4).ok_or(KeyDecodeError::Malformed)?)
    }

    /// From a PKCS#8 EncryptedPrivateKeyInfo, as OpenSSL, Tongsuo and GmSSL write it.
    ///
    /// # Errors
    /// When it does not open, or what was encrypted is no key on curveSM2.
    pub fn from_encrypted_pkcs8_der(bytes: &[u8], password: &[u8]) -> Result<Self, KeyDecodeError> {
        let info = pbes2::decrypt(bytes, password)?;
        // One wrong password in 256 leaves noise whose end looks right.
        Self::from_pkcs8_der(&info).map_err(|error| match error {
            KeyDecodeError::Malformed => DecryptError::Password.into(),
            other => other,
        })
    }

    /// As a PKCS#8 EncryptedPrivateKeyInfo.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn to_encrypted_pkcs8_der(
        &self,
        password: &[u8],
        encryption: Encryption,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        pbes2::encrypt(&self.to_pkcs8_der(), password, encryption)
    }

    /// From an ECPrivateKey; if it names a curve, that must be curveSM2.
    ///
    /// # Errors
    /// When it is malformed or of another curve.
    pub fn from_sec1_der(mut bytes: &[u8]) -> Result<Self, KeyDecodeError> {
        let mut key = der::take(&mut bytes, 0x30).ok_or(KeyDecodeError::Malformed)?;
        der::take_number(&mut key).ok_or(KeyDecodeError::Malformed)?;
        let digits = der::take(&mut key, 4).ok_or(KeyDecodeError::Malformed)?;
        let start = Self::BYTES.checked_sub(digits.len()).ok_or(KeyDecodeError::Malformed)?;
        let mut number = Zeroizing::new([0; Self::BYTES]);
        number[start..].copy_from_slice(digits);
        let mut public = None;
        while let Some(&tag) = key.first() {
            let mut contents = der::take(&mut key, tag).ok_or(KeyDecodeError::Malformed)?;
            match tag {
                0xa0 if der::take(&mut contents, 6) != Some(&ID_CURVE_SM2) => {
                    return Err(KeyDecodeError::OtherAlgorithm);
                }
                0xa1 => public = der::take(&mut contents, 3),
                _ => {}
            }
        }
        let secret = Self::from_bytes(&number)?;
        match public {
            Some([0, public @ ..]) if *public != secret.public_key().to_sec1() => {
                Err(KeyDecodeError::Mismatch)
            }
            _ => Ok(secret),
        }
    }

    /// As a PKCS#8 PrivateKeyInfo with the public key in it.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let mut public = Vec::new();
        der::put(&mut public, 3, &[&[0], &self.public_key().to_sec1()[..]].concat());
        let mut key = Zeroizing::new(vec![2, 1, 1]);
        der::put(&mut key, 4, &self.to_bytes()[..]);
        der::put(&mut key, 0xa1, &public);
        let mut sequence = Zeroizing::new(Vec::new());
        der::put(&mut sequence, 0x30, &key);
        let mut info = Zeroizing::new(vec![2, 1, 0]);
        der::put(&mut info, 0x30, &ALGORITHM);
        der::put(&mut info, 4, &sequence);
        let mut pkcs8 = Zeroizing::new(Vec::new());
        der::put(&mut pkcs8, 0x30, &info);
        pkcs8
    }
}

impl PublicKey {
    /// As a SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        let mut contents = Vec::new();
        der::put(&mut contents, 0x30, &ALGORITHM);
        der::put(&mut contents, 3, &[&[0], &self.to_sec1()[..]].concat());
        let mut spki = Vec::new();
        der::put(&mut spki, 0x30, &contents);
        spki
    }

    /// From a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When it is malformed or of another curve.
    pub fn from_spki_der(mut bytes: &[u8]) -> Result<Self, KeyDecodeError> {
        let mut spki = der::take(&mut bytes, 0x30).ok_or(KeyDecodeError::Malformed)?;
        if der::take(&mut spki, 0x30).ok_or(KeyDecodeError::Malformed)? != ALGORITHM {
            return Err(KeyDecodeError::OtherAlgorithm);
        }
        match der::take(&mut spki, 3) {
            Some([0, point @ ..]) => Self::from_sec1(point).map_err(|_| KeyDecodeError::Malformed),
            _ => Err(KeyDecodeError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};

    #[test]
    fn keys_go_both_ways_with_another_implementation() {
        let ours = SecretKey::generate().unwrap();
        let theirs = ::sm2::SecretKey::from_pkcs8_der(&ours.to_pkcs8_der()).unwrap();
        assert_eq!(theirs.to_bytes()[..], ours.to_bytes()[..]);
        let back = SecretKey::from_pkcs8_der(theirs.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        assert_eq!(back.to_bytes(), ours.to_bytes());
        let spki = theirs.public_key().to_public_key_der().unwrap();
        assert_eq!(spki.as_bytes(), ours.public_key().to_spki_der());
        assert_eq!(PublicKey::from_spki_der(spki.as_bytes()), Ok(*ours.public_key()));
    }

    #[test]
    fn no_cut_or_altered_key_panics() {
        let pkcs8 = SecretKey::generate().unwrap().to_pkcs8_der();
        for at in 0..pkcs8.len() {
            assert!(SecretKey::from_pkcs8_der(&pkcs8[..at]).is_err());
            let mut bad = pkcs8.to_vec();
            bad[at] ^= 0x41;
            drop(SecretKey::from_pkcs8_der(&bad));
        }
    }
}
