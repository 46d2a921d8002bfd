//! Encryption with a password (PBES2 of RFC 8018) for private keys in PKCS#8: PBKDF2 with HMAC-SM3 or HMAC-SHA-256,
//! then SM4-CBC or AES-256-CBC, in any combination.

use crate::der::{self, element, sequence};
use crate::hmac;
use crate::sm2::RandomUnavailable;
use crate::sm4;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use std::num::NonZeroU32;
use thiserror::Error;
use zeroize::Zeroizing;

/// Most iterations that a file may ask for: some seconds of work.
pub const ITERATIONS_MAX: u32 = 10_000_000;

const SALT_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;

/// OID 1.2.840.113549.1.5.13.
const PBES2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
/// OID 1.2.840.113549.1.5.12.
const PBKDF2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// OID 1.2.840.113549.2.9.
const HMAC_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9];
/// OID 1.2.156.10197.1.401.3.1, as OpenSSL and Tongsuo call HMAC-SM3.
const HMAC_SM3: [u8; 10] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x11, 3, 1];
/// OID 1.2.156.10197.1.401.2, as GB/T 33560 and GmSSL call it.
const HMAC_SM3_STANDARD: [u8; 9] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x11, 2];
/// OID 1.2.156.10197.1.104.2.
const SM4_CBC: [u8; 8] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x68, 2];
/// OID 2.16.840.1.101.3.4.1.42.
const AES_256_CBC: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
const NULL: [u8; 2] = [5, 0];

/// What encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// SM4 in CBC mode.
    Sm4Cbc,
    /// AES-256 in CBC mode.
    Aes256Cbc,
}

/// What PBKDF2 makes a key of the password with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prf {
    /// HMAC-SM3.
    HmacSm3,
    /// HMAC-SHA-256.
    HmacSha256,
}

/// How a key is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// What encrypts.
    pub cipher: Cipher,
    /// What makes a key of the password.
    pub prf: Prf,
    /// How often, up to [`ITERATIONS_MAX`]: what a guess costs.
    pub iterations: NonZeroU32,
}

impl Default for Encryption {
    /// SM4-CBC and HMAC-SM3, 200,000 times: about a tenth of a second.
    fn default() -> Self {
        let iterations = NonZeroU32::new(200_000).expect("invariant: not zero");
        Self { cipher: Cipher::Sm4Cbc, prf: Prf::HmacSm3, iterations }
    }
}

/// An encrypted key cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecryptError {
    /// Not an EncryptedPrivateKeyInfo.
    #[error("not an encrypted key in PKCS#8 form")]
    Malformed,
    /// Encrypted in another way.
    #[error(
        "encrypted otherwise than with PBES2, PBKDF2 (HMAC-SM3 or HMAC-SHA-256) and SM4-CBC or AES-256-CBC"
    )]
    OtherEncryption,
    /// The password does not open it.
    #[error("the password is wrong, or the key is damaged")]
    Password,
}

/// What the file says: how, and with which salt and initial block.
struct Parameters<'a> {
    encryption: Encryption,
    salt: &'a [u8],
    iv: [u8; BLOCK_BYTES],
}

/// Opens an EncryptedPrivateKeyInfo.
pub(crate) fn decrypt(mut der: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let mut whole = der::take(&mut der, 0x30).ok_or(DecryptError::Malformed)?;
    let algorithm = der::take(&mut whole, 0x30).ok_or(DecryptError::Malformed)?;
    let sealed = der::take(&mut whole, 4).ok_or(DecryptError::Malformed)?;
    let Parameters { encryption, salt, iv } = parameters(algorithm).ok_or(DecryptError::OtherEncryption)?;
    let key = encryption.key(password, salt);
    let mut data = Zeroizing::new(sealed.to_vec());
    let (blocks, []) = data.as_chunks_mut() else { return Err(DecryptError::Malformed) };
    decrypt_cbc(encryption.cipher, &key, iv, blocks);
    // The last byte says how many were filled up; each of those is that number.
    let filled = data.last().copied().ok_or(DecryptError::Malformed)?;
    let kept = data.len().checked_sub(usize::from(filled)).ok_or(DecryptError::Password)?;
    if filled == 0 || usize::from(filled) > BLOCK_BYTES || data[kept..].iter().any(|&byte| byte != filled) {
        return Err(DecryptError::Password);
    }
    data.truncate(kept);
    Ok(data)
}

/// Makes an EncryptedPrivateKeyInfo.
pub(crate) fn encrypt(
    info: &[u8],
    password: &[u8],
    encryption: Encryption,
) -> Result<Vec<u8>, RandomUnavailable> {
    let (mut salt, mut iv) = ([0; SALT_BYTES], [0; BLOCK_BYTES]);
    getrandom::fill(&mut salt).map_err(|_| RandomUnavailable)?;
    getrandom::fill(&mut iv).map_err(|_| RandomUnavailable)?;
    let filled = BLOCK_BYTES - info.len() % BLOCK_BYTES;
    let mut data = Zeroizing::new(Vec::with_capacity(info.len() + filled));
    data.extend(info);
    data.resize(info.len() + filled, filled as u8);
    encrypt_cbc(encryption.cipher, &encryption.key(password, &salt), iv, data.as_chunks_mut().0);
    Ok(sequence(&[&encryption.to_der(&salt, &iv), &element(4, &[&data])]))
}

impl Encryption {
    fn key(&self, password: &[u8], salt: &[u8]) -> Zeroizing<[u8; 32]> {
        // PBKDF2 gives the first 16 bytes alike whatever the length: both ciphers take of the same.
        let mut key = Zeroizing::new([0; 32]);
        match self.prf {
            Prf::HmacSm3 => hmac::derive(password, salt, self.iterations, &mut key),
            Prf::HmacSha256 => {
                let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
                ring::pbkdf2::derive(algorithm, self.iterations, salt, password, &mut key[..]);
            }
        }
        key
    }

    fn to_der(self, salt: &[u8], iv: &[u8]) -> Vec<u8> {
        let mut iterations = [0; 32];
        iterations[28..].copy_from_slice(&self.iterations.get().to_be_bytes());
        let mut count = Vec::new();
        der::put_number(&mut count, &iterations);
        let prf = match self.prf {
            Prf::HmacSm3 => element(6, &[&HMAC_SM3]),
            Prf::HmacSha256 => element(6, &[&HMAC_SHA256]),
        };
        let cipher = match self.cipher {
            Cipher::Sm4Cbc => element(6, &[&SM4_CBC]),
            Cipher::Aes256Cbc => element(6, &[&AES_256_CBC]),
        };
        let derivation = sequence(&[&element(4, &[salt]), &count, &sequence(&[&prf, &NULL])]);
        let derivation = sequence(&[&element(6, &[&PBKDF2]), &derivation]);
        let cipher = sequence(&[&cipher, &element(4, &[iv])]);
        sequence(&[&element(6, &[&PBES2]), &sequence(&[&derivation, &cipher])])
    }
}

/// Of the contents of an AlgorithmIdentifier; nothing if any part is of another kind.
fn parameters(mut algorithm: &[u8]) -> Option<Parameters<'_>> {
    if der::take(&mut algorithm, 6)? != PBES2 {
        return None;
    }
    let mut parts = der::take(&mut algorithm, 0x30)?;
    let mut derivation = der::take(&mut parts, 0x30)?;
    let mut cipher = der::take(&mut parts, 0x30)?;
    if der::take(&mut derivation, 6)? != PBKDF2 {
        return None;
    }
    let mut derivation = der::take(&mut derivation, 0x30)?;
    let salt = der::take(&mut derivation, 4)?;
    let iterations = NonZeroU32::new(small_number(&mut derivation)?).filter(|n| n.get() <= ITERATIONS_MAX)?;
    let key_bytes = match derivation.first() {
        Some(2) => Some(small_number(&mut derivation)?),
        _ => None,
    };
    // Without a PRF it would be HMAC-SHA-1, which nobody writes with SM2.
    let prf = match der::take(&mut der::take(&mut derivation, 0x30)?, 6)? {
        oid if oid == HMAC_SHA256 => Prf::HmacSha256,
        oid if oid == HMAC_SM3 || oid == HMAC_SM3_STANDARD => Prf::HmacSm3,
        _ => return None,
    };
    let (cipher_kind, cipher_key_bytes) = match der::take(&mut cipher, 6)? {
        oid if oid == SM4_CBC => (Cipher::Sm4Cbc, 16),
        oid if oid == AES_256_CBC => (Cipher::Aes256Cbc, 32),
        _ => return None,
    };
    let iv = der::take(&mut cipher, 4)?.try_into().ok()?;
    let encryption = Encryption { cipher: cipher_kind, prf, iterations };
    key_bytes.is_none_or(|bytes| bytes == cipher_key_bytes).then_some(Parameters { encryption, salt, iv })
}

fn small_number(input: &mut &[u8]) -> Option<u32> {
    let number = der::take_number(input)?;
    let (zeros, low) = number.split_last_chunk()?;
    zeros.iter().all(|&byte| byte == 0).then_some(u32::from_be_bytes(*low))
}

fn decrypt_cbc(cipher: Cipher, key: &[u8; 32], iv: [u8; 16], blocks: &mut [[u8; 16]]) {
    let sealed = blocks.to_vec();
    match cipher {
        Cipher::Sm4Cbc => sm4_key(key).decrypt_blocks(blocks),
        Cipher::Aes256Cbc => {
            let key = aes::Aes256::new(key.into());
            blocks.iter_mut().for_each(|block| key.decrypt_block(block.into()));
        }
    }
    for (block, before) in blocks.iter_mut().zip([iv].iter().chain(&sealed)) {
        block.iter_mut().zip(before).for_each(|(byte, b)| *byte ^= b);
    }
}

fn encrypt_cbc(cipher: Cipher, key: &[u8; 32], iv: [u8; 16], blocks: &mut [[u8; 16]]) {
    let mut before = iv;
    let sm4 = sm4_key(key);
    let aes = aes::Aes256::new(key.into());
    for block in blocks {
        block.iter_mut().zip(before).for_each(|(byte, b)| *byte ^= b);
        match cipher {
            Cipher::Sm4Cbc => sm4.encrypt_block(block),
            Cipher::Aes256Cbc => aes.encrypt_block((&mut *block).into()),
        }
        before = *block;
    }
}

fn sm4_key(key: &[u8; 32]) -> sm4::Key {
    sm4::Key::new(key.first_chunk().expect("invariant: 32 bytes"))
}

#[cfg(test)]
mod tests;
