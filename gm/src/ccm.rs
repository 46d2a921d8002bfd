//! SM4-CCM as TLS uses it (RFC 8998, section 3.1; RFC 3610 with L = 3): 96-bit nonces, 128-bit tags, in place.

#[cfg(test)]
mod tests;

use crate::gcm::OpenError;
use crate::sm4::{self, Backend, BackendUnavailable};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes in a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes in a tag.
pub const TAG_BYTES: usize = 16;
/// Longest message in bytes: what 3 bytes can count.
pub const MESSAGE_BYTES_MAX: usize = (1 << 24) - 1;

/// A key for SM4-CCM. Never seal two messages under one key and nonce.
#[derive(Clone, Debug, ZeroizeOnDrop)]
pub struct Key {
    cipher: sm4::Key,
}

impl Key {
    /// Expands `key` for the fastest backend of this CPU.
    #[must_use]
    pub fn new(key: &[u8; sm4::KEY_BYTES]) -> Self {
        Self { cipher: sm4::Key::new(key) }
    }

    /// Expands `key` for the given backend.
    ///
    /// # Errors
    /// When this CPU has not the instructions.
    pub fn with_backend(key: &[u8; sm4::KEY_BYTES], backend: Backend) -> Result<Self, BackendUnavailable> {
        Ok(Self { cipher: sm4::Key::with_backend(key, backend)? })
    }

    /// Encrypts `data` in place and gives the tag over it and `aad`.
    ///
    /// # Panics
    /// When `data` is longer than [`MESSAGE_BYTES_MAX`].
    #[must_use = "without the tag nobody can open the message"]
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], data: &mut [u8]) -> [u8; TAG_BYTES] {
        assert!(data.len() <= MESSAGE_BYTES_MAX, "message over the limit of CCM");
        let tag = self.tag(nonce, aad, data);
        self.add_stream(nonce, 1, data);
        tag
    }

    /// Decrypts `data` in place if `tag` is that of its plaintext and `aad`.
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
        if data.len() > MESSAGE_BYTES_MAX {
            return Err(OpenError);
        }
        self.add_stream(nonce, 1, data);
        if bool::from(self.tag(nonce, aad, data).ct_eq(tag)) {
            return Ok(());
        }
        data.zeroize();
        Err(OpenError)
    }

    /// The key stream from counter `counter` on; 0 masks the tag.
    fn add_stream(&self, nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
        let mut prefix = [0; 12];
        prefix[0] = 2; // L - 1
        prefix[1..].copy_from_slice(&nonce[..11]);
        self.cipher.apply_ctr(&prefix, u32::from(nonce[11]) << 24 | counter, data);
    }

    /// The CBC-MAC of the plaintext, masked.
    fn tag(&self, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> [u8; 16] {
        let mut mac = [0; 16];
        // Flags: additional data or none; (16 - 2) / 2 for the tag; L - 1.
        mac[0] = u8::from(!aad.is_empty()) << 6 | 7 << 3 | 2;
        mac[1..13].copy_from_slice(nonce);
        mac[13..].copy_from_slice(&(plain.len() as u32).to_be_bytes()[1..]);
        self.cipher.encrypt_block(&mut mac);
        if !aad.is_empty() {
            self.absorb_aad(&mut mac, aad);
        }
        self.absorb(&mut mac, plain);
        self.add_stream(nonce, 0, &mut mac);
        mac
    }

    /// The additional data behind its length, which shares the first block with its start.
    fn absorb_aad(&self, mac: &mut [u8; 16], aad: &[u8]) {
        let (length, used) = match u16::try_from(aad.len()) {
            Ok(len) if len < 0xff00 => ([(len >> 8) as u8, len as u8, 0, 0, 0, 0], 2),
            _ => {
                let [a, b, c, d] = (aad.len() as u32).to_be_bytes();
                ([0xff, 0xfe, a, b, c, d], 6)
            }
        };
        let mut first = [0; 16];
        first[..used].copy_from_slice(&length[..used]);
        let (start, rest) = aad.split_at(aad.len().min(16 - used));
        first[used..used + start.len()].copy_from_slice(start);
        self.absorb(mac, &first);
        self.absorb(mac, rest);
    }

    fn absorb(&self, mac: &mut [u8; 16], data: &[u8]) {
        for piece in data.chunks(16) {
            mac.iter_mut().zip(piece).for_each(|(m, byte)| *m ^= byte);
            self.cipher.encrypt_block(mac);
        }
    }
}
