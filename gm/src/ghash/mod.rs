//! GHASH, the authenticator of GCM (NIST SP 800-38D, section 6.4), in constant time.
//!
//! Computed as POLYVAL of the byte-reversed blocks (RFC 8452, appendix A), whose product needs no bit reversal:
//! `dot(a, b) = a·b·x^-128` modulo x^128 + x^127 + x^126 + x^121 + 1, and the key is multiplied by x once.

#[cfg(target_arch = "aarch64")]
mod arm;
mod portable;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub(crate) use portable::Hasher;

/// Powers of the key that are kept: as many blocks are summed up before one reduction.
pub(crate) const POWERS: usize = 16;

/// An element of the field as two little-endian halves, low half first.
pub(crate) type Element = [u64; 2];

/// One power of the hash key.
#[derive(Clone, Copy, Zeroize)]
#[repr(C, align(16))]
pub(crate) struct Power {
    element: Element,
    /// The sum of both halves, in both places: Karatsuba's middle factor.
    sum: Element,
}

/// The hash key and its powers, H first.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key {
    powers: [Power; POWERS],
}

impl Key {
    /// From `H`, the encryption of the zero block.
    pub(crate) fn new(h: [u8; 16]) -> Self {
        let first = times_x(u128::from_be_bytes(h));
        let first = [first as u64, (first >> 64) as u64];
        let mut element = first;
        let powers = std::array::from_fn(|i| {
            if i > 0 {
                element = portable::dot(element, first);
            }
            let sum = element[0] ^ element[1];
            Power { element, sum: [sum, sum] }
        });
        Self { powers }
    }
}

/// Times x in the field, without a branch on the key.
fn times_x(a: u128) -> u128 {
    let carry = 0u128.wrapping_sub(a >> 127);
    a << 1 ^ (carry & (0xc200_0000_0000_0000_0000_0000_0000_0001))
}

/// The last block of GHASH: the lengths in bits.
pub(crate) fn length_block(aad_bytes: usize, message_bytes: usize) -> [u8; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&(aad_bytes as u64 * 8).to_be_bytes());
    block[8..].copy_from_slice(&(message_bytes as u64 * 8).to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST's GCM specification, test case 2 (AES with the zero key gives this H).
    #[test]
    fn the_published_example() {
        let h = 0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e_u128.to_be_bytes();
        let c = 0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78_u128.to_be_bytes();
        let key = Key::new(h);
        let mut hasher = Hasher::new(&key);
        hasher.absorb(&c);
        hasher.absorb(&length_block(0, 16));
        assert_eq!(hasher.finish(), 0xf38c_bb1a_d692_23dc_c345_7ae5_b6b0_f885_u128.to_be_bytes());
    }
}
