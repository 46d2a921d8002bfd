//! SM4 (GB/T 32907-2016): a block cipher of 128-bit blocks and keys, 32 rounds.
//!
//! [`Key`] encrypts single blocks and short runs of them; the modes for messages are [`crate::gcm`] and
//! [`crate::ccm`]. Every path is constant time: no table is indexed by secret data.

#[cfg(target_arch = "aarch64")]
mod arm;
pub(crate) mod backend;
mod field;
mod portable;
mod schedule;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

#[cfg(test)]
mod tests;

pub use backend::{Backend, BackendUnavailable};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes in a key.
pub const KEY_BYTES: usize = 16;
/// Bytes in a block.
pub const BLOCK_BYTES: usize = 16;

/// An expanded SM4 key, bound to the instructions it will be used with.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    /// As `backend` wants them: plain for the portable path, mapped by `x86::round_key` for the others.
    round_keys: [u32; 32],
    /// Invariant: this CPU has it.
    #[zeroize(skip)]
    backend: Backend,
}

impl Key {
    /// Expands `key` for the fastest backend of this CPU.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self::expand(key, Backend::best())
    }

    /// Expands `key` for the given backend.
    ///
    /// # Errors
    /// When this CPU has not the instructions.
    pub fn with_backend(key: &[u8; KEY_BYTES], backend: Backend) -> Result<Self, BackendUnavailable> {
        if backend.is_available() { Ok(Self::expand(key, backend)) } else { Err(BackendUnavailable(backend)) }
    }

    fn expand(key: &[u8; KEY_BYTES], backend: Backend) -> Self {
        let mut round_keys = schedule::expand(key);
        if backend != Backend::Portable {
            backend.map_round_keys(&mut round_keys);
        }
        Self { round_keys, backend }
    }

    /// The backend this key was expanded for.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) fn round_keys(&self) -> &[u32; 32] {
        &self.round_keys
    }

    /// Encrypts one block in place.
    pub fn encrypt_block(&self, block: &mut [u8; BLOCK_BYTES]) {
        self.encrypt_blocks(std::slice::from_mut(block));
    }

    /// Encrypts blocks in place, each for itself (ECB: a building block, not a mode for messages).
    pub fn encrypt_blocks(&self, blocks: &mut [[u8; BLOCK_BYTES]]) {
        self.backend.crypt(&self.round_keys, blocks);
    }

    /// Decrypts one block in place.
    pub fn decrypt_block(&self, block: &mut [u8; BLOCK_BYTES]) {
        self.decrypt_blocks(std::slice::from_mut(block));
    }

    /// Decrypts blocks in place, each for itself.
    pub fn decrypt_blocks(&self, blocks: &mut [[u8; BLOCK_BYTES]]) {
        let mut reversed = self.round_keys;
        reversed.reverse();
        self.backend.crypt(&reversed, blocks);
        reversed.zeroize();
    }

    /// Adds the key stream of CTR mode to `data`: block counters from `counter`, big-endian in the last 4 bytes of
    /// the counter block, modulo 2^32 as GCM counts.
    pub fn apply_ctr(&self, nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
        self.backend.apply_ctr(&self.round_keys, nonce, counter, data);
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sm4::Key({})", self.backend)
    }
}
