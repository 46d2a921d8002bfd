//! One message for many connections: the same plaintext sealed under up to 8 keys in one pass of the SIMD registers.
//!
//! A short record alone leaves most of a wide register empty and waits for the latency of 32 rounds; here every
//! lane of a register belongs to another connection, with its own round keys and nonce.

use super::{Key, NONCE_BYTES, TAG_BYTES};
use crate::sm4::{Backend, backend::dispatch};

/// Most connections in one pass.
pub const LANES: usize = 8;

/// From this many bytes of plaintext on, one message fills the registers by itself and is hashed between its own
/// rounds, which is faster (`cargo bench -p gm --bench gcm`, group "lanes").
const ALONE_BYTES_MIN: usize = 768;

/// One connection's part.
#[derive(Debug)]
pub struct Lane<'a> {
    /// Its key.
    pub key: &'a Key,
    /// Its nonce, never used before under this key.
    pub nonce: [u8; NONCE_BYTES],
    /// Where ciphertext and tag go: exactly the plaintext's length and [`TAG_BYTES`] more.
    pub sealed: &'a mut [u8],
}

/// The connections of one pass; empty places cost nothing but their share of the register.
pub type Lanes<'a> = [Option<Lane<'a>>; LANES];

/// Seals `plain` and `aad` for every lane, as [`Key::seal`] would one by one.
///
/// # Panics
/// When a `sealed` is not as long as it must be.
pub fn seal_lanes(lanes: &mut Lanes<'_>, aad: &[u8], plain: &[u8]) {
    for lane in lanes.iter().flatten() {
        assert_eq!(lane.sealed.len(), plain.len() + TAG_BYTES, "room for ciphertext and tag");
    }
    let mut present = lanes.iter().flatten().map(|lane| lane.key);
    let Some(first) = present.next() else { return };
    let backend = first.cipher.backend();
    let alike = present.clone().all(|key| key.cipher.backend() == backend);
    if present.next().is_none() || !alike || plain.len() >= ALONE_BYTES_MIN {
        return seal_in_turn(lanes, aad, plain);
    }
    seal_together(backend, first, lanes, aad, plain);
}

fn seal_in_turn(lanes: &mut Lanes<'_>, aad: &[u8], plain: &[u8]) {
    for lane in lanes.iter_mut().flatten() {
        let (text, tag) = lane.sealed.split_at_mut(plain.len());
        text.copy_from_slice(plain);
        tag.copy_from_slice(&lane.key.seal(&lane.nonce, aad, text));
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn seal_together(backend: Backend, first: &Key, lanes: &mut Lanes<'_>, aad: &[u8], plain: &[u8]) {
    let mut keys = [first.cipher.round_keys(); LANES];
    let mut nonces = [[0; 16]; LANES];
    for ((key, nonce), lane) in keys.iter_mut().zip(&mut nonces).zip(lanes.iter()) {
        if let Some(lane) = lane {
            *key = lane.key.cipher.round_keys();
            nonce[..NONCE_BYTES].copy_from_slice(&lane.nonce);
        }
    }
    dispatch!(backend, seal_lanes(&keys, nonces, aad, plain, lanes), seal_in_turn(lanes, aad, plain));
}
