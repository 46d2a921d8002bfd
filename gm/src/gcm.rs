//! SM4-GCM (RFC 8998, section 4; NIST SP 800-38D): 96-bit nonces, 128-bit tags, in place, the tag apart.

mod lanes;
#[cfg(test)]
mod tests;

pub use lanes::{LANES, Lane, Lanes, seal_lanes};

use crate::ghash::{self, Hasher, length_block};
use crate::sm4::{self, Backend, BackendUnavailable, backend::dispatch};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes in a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes in a tag.
pub const TAG_BYTES: usize = 16;
/// Longest message in bytes: 2^32 - 2 blocks, where the 32-bit block counter would meet the tag's own.
pub const MESSAGE_BYTES_MAX: u64 = ((1 << 32) - 2) * 16;

/// The tag does not belong to this ciphertext, nonce and additional data (or the message is over-long).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the authentication tag does not match")]
pub struct OpenError;

/// Which side of the cipher works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Open,
}

/// A key for SM4-GCM. Never seal two messages under one key and nonce.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Key {
    cipher: sm4::Key,
    hash: ghash::Key,
}

impl Key {
    /// Expands `key` for the fastest backend of this CPU.
    #[must_use]
    pub fn new(key: &[u8; sm4::KEY_BYTES]) -> Self {
        Self::from_cipher(sm4::Key::new(key))
    }

    /// Expands `key` for the given backend.
    ///
    /// # Errors
    /// When this CPU has not the instructions.
    pub fn with_backend(key: &[u8; sm4::KEY_BYTES], backend: Backend) -> Result<Self, BackendUnavailable> {
        sm4::Key::with_backend(key, backend).map(Self::from_cipher)
    }

    fn from_cipher(cipher: sm4::Key) -> Self {
        let mut h = [0; 16];
        cipher.encrypt_block(&mut h);
        let hash = ghash::Key::new(h);
        h.zeroize();
        Self { cipher, hash }
    }

    /// Encrypts `data` in place and gives the tag over it and `aad`.
    ///
    /// # Panics
    /// When `data` is longer than [`MESSAGE_BYTES_MAX`].
    #[must_use = "without the tag nobody can open the message"]
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &mut [u8]) -> [u8; TAG_BYTES] {
        assert!(data.len() as u64 <= MESSAGE_BYTES_MAX, "message over the limit of GCM");
        self.crypt(Direction::Seal, nonce, aad, data)
    }

    /// Decrypts `data` in place if `tag` is that of `data` and `aad`.
    ///
    /// # Errors
    /// [`OpenError`] if it is not; `data` then holds zeros.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), OpenError> {
        if data.len() as u64 > MESSAGE_BYTES_MAX {
            return Err(OpenError);
        }
        let computed = self.crypt(Direction::Open, nonce, aad, data);
        if bool::from(computed.ct_eq(tag)) {
            return Ok(());
        }
        data.zeroize();
        Err(OpenError)
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn hash(&self) -> &ghash::Key {
        &self.hash
    }

    fn crypt(&self, direction: Direction, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        dispatch!(
            self.cipher.backend(),
            gcm(self.cipher.round_keys(), &self.hash, direction, nonce, aad, data),
            self.crypt_portable(direction, nonce, aad, data)
        )
    }

    fn crypt_portable(
        &self,
        direction: Direction,
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; 16] {
        let lengths = length_block(aad.len(), data.len());
        let mut hasher = Hasher::new(&self.hash);
        hasher.absorb_padded(aad);
        if direction == Direction::Open {
            hasher.absorb_padded(data);
        }
        self.cipher.apply_ctr(nonce, 2, data);
        if direction == Direction::Seal {
            hasher.absorb_padded(data);
        }
        hasher.absorb(&lengths);
        let mut tag = hasher.finish();
        self.cipher.apply_ctr(nonce, 1, &mut tag);
        tag
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gcm::Key({})", self.cipher.backend())
    }
}
