//! SM3 (GB/T 32905-2016): a hash of 256 bits over blocks of 512.

mod compress;
#[cfg(test)]
mod tests;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes in a digest.
pub const DIGEST_BYTES: usize = 32;
/// Bytes in a block.
pub const BLOCK_BYTES: usize = 64;

/// A digest.
pub type Digest = [u8; DIGEST_BYTES];

/// The digest of `data`.
#[must_use]
pub fn digest(data: &[u8]) -> Digest {
    let mut hash = Sm3::new();
    hash.update(data);
    hash.finish()
}

/// A running hash.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Sm3 {
    state: [u32; 8],
    /// The start of a block that is not full yet: the first `length % 64` bytes count.
    partial: [u8; BLOCK_BYTES],
    length_bytes: u64,
}

impl Sm3 {
    /// The hash of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self { state: compress::INITIAL, partial: [0; BLOCK_BYTES], length_bytes: 0 }
    }

    /// Adds `data`.
    pub fn update(&mut self, mut data: &[u8]) {
        let held = self.held();
        self.length_bytes = self.length_bytes.wrapping_add(data.len() as u64);
        if held > 0 {
            let taken = data.len().min(BLOCK_BYTES - held);
            self.partial[held..held + taken].copy_from_slice(&data[..taken]);
            data = &data[taken..];
            if held + taken < BLOCK_BYTES {
                return;
            }
            compress::blocks(&mut self.state, std::slice::from_ref(&self.partial));
        }
        let (blocks, rest) = data.as_chunks();
        compress::blocks(&mut self.state, blocks);
        self.partial[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let held = self.held();
        let mut last = [[0; BLOCK_BYTES]; 2];
        last[0][..held].copy_from_slice(&self.partial[..held]);
        last[0][held] = 0x80;
        // The length needs 8 bytes behind the mark.
        let blocks = if held + 9 > BLOCK_BYTES { 2 } else { 1 };
        last[blocks - 1][56..].copy_from_slice(&self.length_bytes.wrapping_mul(8).to_be_bytes());
        compress::blocks(&mut self.state, &last[..blocks]);
        last.zeroize();
        self.words_to_bytes()
    }

    fn held(&self) -> usize {
        (self.length_bytes % BLOCK_BYTES as u64) as usize
    }

    fn words_to_bytes(&self) -> Digest {
        let mut digest = [0; DIGEST_BYTES];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

impl Default for Sm3 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Sm3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sm3")
    }
}
