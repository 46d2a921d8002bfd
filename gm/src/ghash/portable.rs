//! GHASH with ordinary integer multiplications, in constant time where the CPU multiplies in constant time.

use super::{Element, Key};

/// Low 64 bits of the carry-less product. The bits are spread over four masks with holes of three zeros, wide enough
/// for the carries of an integer product (at most 16 terms, four bits: the top one is masked away).
fn multiply_low(x: u64, y: u64) -> u64 {
    const MASK: u64 = 0x1111_1111_1111_1111;
    let part = |v: u64, i: u32| v & MASK << i;
    let mut product = 0;
    for i in 0..4 {
        let mut sum = 0;
        for j in 0..4 {
            sum ^= part(x, j).wrapping_mul(part(y, (i + 4 - j) & 3));
        }
        product |= sum & MASK << i;
    }
    product
}

/// The whole carry-less product, low half first. The high half is the low half of the reversed factors, reversed.
fn multiply(x: u64, y: u64) -> Element {
    let high = multiply_low(x.reverse_bits(), y.reverse_bits()).reverse_bits() >> 1;
    [multiply_low(x, y), high]
}

/// Product of the field, reduced.
pub(super) fn dot(a: Element, b: Element) -> Element {
    let low = multiply(a[0], b[0]);
    let high = multiply(a[1], b[1]);
    let middle = multiply(a[0] ^ a[1], b[0] ^ b[1]);
    reduce(low, middle, high)
}

/// The reduction of a product, or of a sum of products, of which the middle one is Karatsuba's.
pub(super) fn reduce(low: Element, middle: Element, high: Element) -> Element {
    let middle = [middle[0] ^ low[0] ^ high[0], middle[1] ^ low[1] ^ high[1]];
    let mut v = [low[0], low[1] ^ middle[0], high[0] ^ middle[1], high[1]];
    for i in 0..2 {
        // v[i] times (x^128 + x^127 + x^126 + x^121 + 1)·x^-128 removes the lowest word.
        let t = v[i];
        v[i + 1] ^= t << 63 ^ t << 62 ^ t << 57;
        v[i + 2] ^= t ^ t >> 1 ^ t >> 2 ^ t >> 7;
    }
    [v[2], v[3]]
}

/// A running hash.
pub(crate) struct Hasher<'a> {
    key: &'a Key,
    y: Element,
}

impl<'a> Hasher<'a> {
    pub(crate) fn new(key: &'a Key) -> Self {
        Self { key, y: [0; 2] }
    }

    pub(crate) fn absorb(&mut self, block: &[u8; 16]) {
        let x = u128::from_be_bytes(*block);
        let sum = [self.y[0] ^ x as u64, self.y[1] ^ (x >> 64) as u64];
        self.y = dot(sum, self.key.powers[0].element);
    }

    /// Absorbs `data`, the last block filled with zeros.
    pub(crate) fn absorb_padded(&mut self, data: &[u8]) {
        #[cfg(target_arch = "aarch64")]
        if super::arm::is_available() {
            // SAFETY: the CPU has the instruction.
            self.y = unsafe { super::arm::absorb(self.key, self.y, data) };
            return;
        }
        for piece in data.chunks(16) {
            let mut block = [0; 16];
            block[..piece.len()].copy_from_slice(piece);
            self.absorb(&block);
        }
    }

    pub(crate) fn finish(&self) -> [u8; 16] {
        (u128::from(self.y[1]) << 64 | u128::from(self.y[0])).to_be_bytes()
    }
}
