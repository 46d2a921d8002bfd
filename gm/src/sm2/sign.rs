//! Signatures (GB/T 32918.2-2016).

use super::key::plus_order;
use super::multiply::{multiply_base, multiply_sum_public};
use super::scalar::Scalar;
use super::{PublicKey, RandomUnavailable, SecretKey, random_scalar};
use crate::der;
use crate::sm3::{Digest, Sm3};
use thiserror::Error;
use zeroize::Zeroize;

/// The signature is malformed, or not that of this message, identifier and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the SM2 signature does not hold")]
pub struct InvalidSignature;

/// A signature (r, s), big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// r.
    pub r: [u8; 32],
    /// s.
    pub s: [u8; 32],
}

impl Signature {
    /// From `SEQUENCE { INTEGER, INTEGER }`, strictly DER.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_der(mut bytes: &[u8]) -> Result<Self, InvalidSignature> {
        let mut contents = der::take(&mut bytes, 0x30).ok_or(InvalidSignature)?;
        let r = der::take_number(&mut contents).ok_or(InvalidSignature)?;
        let s = der::take_number(&mut contents).ok_or(InvalidSignature)?;
        if bytes.is_empty() && contents.is_empty() { Ok(Self { r, s }) } else { Err(InvalidSignature) }
    }

    /// As `SEQUENCE { INTEGER, INTEGER }` in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(70);
        der::put_number(&mut contents, &self.r);
        der::put_number(&mut contents, &self.s);
        let mut sequence = Vec::with_capacity(72);
        der::put(&mut sequence, 0x30, &contents);
        sequence
    }
}

/// e: the hash of the identity and the message, as a number.
fn message_hash(key: &PublicKey, id: &[u8], message: &[u8]) -> Scalar {
    let identity: Digest = key.identity_hash(id);
    let mut hash = Sm3::new();
    hash.update(&identity);
    hash.update(message);
    Scalar::reduce_bytes(&hash.finish())
}

impl SecretKey {
    /// Signs `message` under the identifier `id`.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn sign(&self, id: &[u8], message: &[u8]) -> Result<Signature, RandomUnavailable> {
        let e = message_hash(self.public_key(), id, message);
        loop {
            let mut k = random_scalar()?;
            let signature = self.sign_hash(&e, &k);
            k.zeroize();
            if let Some(signature) = signature {
                return Ok(signature);
            }
        }
    }

    /// Nothing for the few k that the standard rejects.
    pub(super) fn sign_hash(&self, e: &Scalar, k: &Scalar) -> Option<Signature> {
        let x = multiply_base(k).to_affine().x;
        let r = e.add(Scalar::reduce_bytes(&x.to_bytes()));
        let s = self.inverse.multiply(k.sub(r.multiply(self.d)));
        let rejected = r.is_zero() || r.add(*k).is_zero() || s.is_zero();
        (!rejected).then(|| Signature { r: r.to_bytes(), s: s.to_bytes() })
    }
}

impl PublicKey {
    /// Checks that `signature` is that of `message` under the identifier `id`.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, id: &[u8], message: &[u8], signature: &Signature) -> Result<(), InvalidSignature> {
        let r = Scalar::from_bytes(&signature.r).ok_or(InvalidSignature)?;
        let s = Scalar::from_bytes(&signature.s).ok_or(InvalidSignature)?;
        let t = r.add(s);
        if t.is_zero() {
            return Err(InvalidSignature);
        }
        let point = multiply_sum_public(&s, &self.point, &t);
        // r = e + x modulo n, so x is r - e or that and n.
        let x = r.sub(message_hash(self, id, message)).to_bytes();
        let holds = point.has_x(&x) || plus_order(&x).is_some_and(|x| point.has_x(&x));
        if holds { Ok(()) } else { Err(InvalidSignature) }
    }

    #[cfg(test)]
    pub(super) fn message_hash(&self, id: &[u8], message: &[u8]) -> Scalar {
        message_hash(self, id, message)
    }
}
