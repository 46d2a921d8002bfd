//! Public-key encryption (GB/T 32918.4-2016), in the order C1 C3 C2.

use super::multiply::{multiply, multiply_base};
use super::scalar::Scalar;
use super::{PublicKey, RandomUnavailable, SecretKey, random_scalar};
use crate::der;
use crate::sm3::{DIGEST_BYTES, Digest, Sm3};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Longest message in bytes; the standard's own limit is far off, but what is longer deserves a symmetric key.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How a ciphertext is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiphertextFormat {
    /// 0x04, x, y, C3, C2 (GB/T 32918.4).
    Plain,
    /// `SEQUENCE { INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2 }` (GB/T 35276).
    Der,
}

/// A message cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncryptError {
    /// It is empty or longer than [`MESSAGE_BYTES_MAX`].
    #[error("SM2 encrypts 1 to {MESSAGE_BYTES_MAX} bytes")]
    Length,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

/// The ciphertext is malformed or not made for this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the SM2 ciphertext does not open")]
pub struct DecryptError;

/// The common point's coordinates, from which stream and check are derived.
struct Common {
    x: [u8; 32],
    y: [u8; 32],
}

impl Drop for Common {
    fn drop(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
    }
}

impl Common {
    fn new(key: &PublicKey, scalar: &Scalar) -> Self {
        let mut point = multiply(&key.point, scalar).to_affine();
        let common = Self { x: point.x.to_bytes(), y: point.y.to_bytes() };
        point.zeroize();
        common
    }

    /// Adds the KDF's stream (section 5.4.3) and tells whether it had a bit set.
    fn add_stream(&self, data: &mut [u8]) -> bool {
        let mut any = 0;
        for (piece, counter) in data.chunks_mut(DIGEST_BYTES).zip(1u32..) {
            let mut hash = Sm3::new();
            hash.update(&self.x);
            hash.update(&self.y);
            hash.update(&counter.to_be_bytes());
            let stream = Zeroizing::new(hash.finish());
            for (byte, key) in piece.iter_mut().zip(stream.iter()) {
                any |= key;
                *byte ^= key;
            }
        }
        any != 0
    }

    /// C3.
    fn check(&self, message: &[u8]) -> Digest {
        let mut hash = Sm3::new();
        hash.update(&self.x);
        hash.update(message);
        hash.update(&self.y);
        hash.finish()
    }
}

impl PublicKey {
    /// Encrypts a message for the holder of the secret key.
    ///
    /// # Errors
    /// When the message is empty or too long, or there are no random bytes.
    pub fn encrypt(&self, message: &[u8], format: CiphertextFormat) -> Result<Vec<u8>, EncryptError> {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return Err(EncryptError::Length);
        }
        loop {
            let mut k = random_scalar()?;
            let ciphertext = self.encrypt_with(message, format, &k);
            k.zeroize();
            if let Some(ciphertext) = ciphertext {
                return Ok(ciphertext);
            }
        }
    }

    /// Nothing if the stream were all zeros, which the standard rejects.
    pub(super) fn encrypt_with(
        &self,
        message: &[u8],
        format: CiphertextFormat,
        k: &Scalar,
    ) -> Option<Vec<u8>> {
        let c1 = Self { point: multiply_base(k).to_affine() };
        let common = Common::new(self, k);
        let c3 = common.check(message);
        let mut c2 = message.to_vec();
        if !common.add_stream(&mut c2) {
            c2.zeroize();
            return None;
        }
        Some(match format {
            CiphertextFormat::Plain => [&c1.to_sec1()[..], &c3, &c2].concat(),
            CiphertextFormat::Der => {
                let mut contents = Vec::with_capacity(c2.len() + 128);
                der::put_number(&mut contents, &c1.point.x.to_bytes());
                der::put_number(&mut contents, &c1.point.y.to_bytes());
                der::put(&mut contents, 4, &c3);
                der::put(&mut contents, 4, &c2);
                let mut sequence = Vec::with_capacity(contents.len() + 8);
                der::put(&mut sequence, 0x30, &contents);
                sequence
            }
        })
    }
}

impl SecretKey {
    /// Decrypts what [`PublicKey::encrypt`] made.
    ///
    /// # Errors
    /// When the ciphertext is malformed or not made for this key.
    pub fn decrypt(
        &self,
        ciphertext: &[u8],
        format: CiphertextFormat,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (c1, c3, c2) = match format {
            CiphertextFormat::Plain => parse_plain(ciphertext),
            CiphertextFormat::Der => parse_der(ciphertext),
        }
        .ok_or(DecryptError)?;
        if c2.is_empty() || c2.len() > MESSAGE_BYTES_MAX {
            return Err(DecryptError);
        }
        let common = Common::new(&c1, &self.d);
        let mut message = Zeroizing::new(c2.to_vec());
        let streamed = common.add_stream(&mut message);
        let checked = bool::from(common.check(&message).ct_eq(c3));
        if streamed && checked { Ok(message) } else { Err(DecryptError) }
    }
}

type Parts<'a> = (PublicKey, &'a [u8], &'a [u8]);

fn parse_plain(bytes: &[u8]) -> Option<Parts<'_>> {
    let (c1, rest) = bytes.split_at_checked(PublicKey::BYTES)?;
    let (c3, c2) = rest.split_at_checked(DIGEST_BYTES)?;
    Some((PublicKey::from_sec1(c1).ok()?, c3, c2))
}

fn parse_der(mut bytes: &[u8]) -> Option<Parts<'_>> {
    let mut contents = der::take(&mut bytes, 0x30)?;
    let mut c1 = [4; PublicKey::BYTES];
    c1[1..33].copy_from_slice(&der::take_number(&mut contents)?);
    c1[33..].copy_from_slice(&der::take_number(&mut contents)?);
    let c3 = der::take(&mut contents, 4)?;
    let c2 = der::take(&mut contents, 4)?;
    let whole = bytes.is_empty() && contents.is_empty() && c3.len() == DIGEST_BYTES;
    whole.then_some((PublicKey::from_sec1(&c1).ok()?, c3, c2))
}
