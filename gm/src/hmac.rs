//! HMAC (RFC 2104) and HKDF (RFC 5869) over SM3.

#[cfg(test)]
mod tests;

use crate::sm3::{BLOCK_BYTES, DIGEST_BYTES, Digest, Sm3, digest};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Both pads of a key, already hashed.
#[derive(Clone, Debug, ZeroizeOnDrop)]
pub struct Key {
    inner: Sm3,
    outer: Sm3,
}

impl Key {
    /// From a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        if key.len() > BLOCK_BYTES {
            block[..DIGEST_BYTES].copy_from_slice(&digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| {
            let mut pads = block.map(|byte| byte ^ pad);
            let mut hash = Sm3::new();
            hash.update(&pads);
            pads.zeroize();
            hash
        };
        let key = Self { inner: padded(0x36), outer: padded(0x5c) };
        block.zeroize();
        key
    }

    /// The code of the concatenation of `pieces`.
    #[must_use]
    pub fn tag(&self, pieces: &[&[u8]]) -> Digest {
        self.tag_chained(&[], pieces, &[])
    }

    /// The code of `first`, all of `middle` and `last`, one behind the other.
    pub(crate) fn tag_chained(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Digest {
        let mut inner = self.inner.clone();
        inner.update(first);
        middle.iter().for_each(|piece| inner.update(piece));
        inner.update(last);
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }

    /// Whether `tag` is the code of the concatenation of `pieces`, in constant time.
    #[must_use]
    pub fn verify(&self, pieces: &[&[u8]], tag: &[u8]) -> bool {
        self.tag(pieces).ct_eq(tag).into()
    }
}

/// More output was asked of HKDF than it can give: 255 digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("HKDF gives at most {} bytes", 255 * DIGEST_BYTES)]
pub struct OutputTooLong;

/// HKDF-Extract: a key for [`expand`] from input key material.
#[must_use]
pub fn extract(salt: &[u8], material: &[u8]) -> Key {
    let mut pseudo_random_key = Key::new(salt).tag(&[material]);
    let key = Key::new(&pseudo_random_key);
    pseudo_random_key.zeroize();
    key
}

/// HKDF-Expand: fills `output` from the key and `info`.
///
/// # Errors
/// [`OutputTooLong`]; `output` is then untouched.
pub fn expand(key: &Key, info: &[u8], output: &mut [u8]) -> Result<(), OutputTooLong> {
    if output.len() > 255 * DIGEST_BYTES {
        return Err(OutputTooLong);
    }
    let mut before: Digest = [0; DIGEST_BYTES];
    for (i, piece) in output.chunks_mut(DIGEST_BYTES).enumerate() {
        let chained: &[u8] = if i == 0 { &[] } else { &before };
        before = key.tag(&[chained, info, &[i as u8 + 1]]);
        piece.copy_from_slice(&before[..piece.len()]);
    }
    before.zeroize();
    Ok(())
}

/// One block of PBKDF2 (RFC 8018, section 5.2) with HMAC-SM3: as much key as the ciphers for files take.
pub(crate) fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32, output: &mut Digest) {
    let key = Key::new(password);
    let mut link = key.tag(&[salt, &1u32.to_be_bytes()]);
    *output = link;
    for _ in 1..iterations.get() {
        link = key.tag(&[&link]);
        output.iter_mut().zip(link).for_each(|(sum, byte)| *sum ^= byte);
    }
    link.zeroize();
}
