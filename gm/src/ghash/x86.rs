//! GHASH with PCLMULQDQ: blocks are multiplied by descending powers of the key and summed up unreduced.

use super::{Key, POWERS, Power};
#[allow(clippy::wildcard_imports, reason = "instructions, named after what they do")]
use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "sse2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn element(e: &super::Element) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    unsafe { _mm_loadu_si128(e.as_ptr().cast()) }
}

/// A block of the message as an element of the field.
#[inline]
#[target_feature(enable = "ssse3")]
pub(crate) fn block(bytes: &[u8; 16]) -> __m128i {
    reverse(load(bytes))
}

#[inline]
#[target_feature(enable = "ssse3")]
fn reverse(x: __m128i) -> __m128i {
    _mm_shuffle_epi8(x, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
}

/// An unreduced sum of products, the middle one by Karatsuba.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    low: __m128i,
    middle: __m128i,
    high: __m128i,
}

impl Product {
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(crate) fn zero() -> Self {
        let zero = _mm_setzero_si128();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds `x` times `power`.
    #[inline]
    #[target_feature(enable = "sse2,pclmulqdq")]
    pub(crate) fn add(&mut self, x: __m128i, power: &Power) {
        let h = element(&power.element);
        let halves = _mm_xor_si128(x, _mm_shuffle_epi32::<0x4e>(x));
        self.low = _mm_xor_si128(self.low, _mm_clmulepi64_si128::<0x00>(x, h));
        self.high = _mm_xor_si128(self.high, _mm_clmulepi64_si128::<0x11>(x, h));
        self.middle = _mm_xor_si128(self.middle, _mm_clmulepi64_si128::<0x00>(halves, element(&power.sum)));
    }

    #[inline]
    #[target_feature(enable = "sse2,pclmulqdq")]
    pub(crate) fn reduce(self) -> __m128i {
        let middle = _mm_xor_si128(self.middle, _mm_xor_si128(self.low, self.high));
        let low = _mm_xor_si128(self.low, _mm_slli_si128::<8>(middle));
        let high = _mm_xor_si128(self.high, _mm_srli_si128::<8>(middle));
        _mm_xor_si128(fold(fold(low)), high)
    }
}

/// Removes the lowest 64 bits of `low`; see `portable::dot` for the polynomial.
#[inline]
#[target_feature(enable = "sse2,pclmulqdq")]
fn fold(low: __m128i) -> __m128i {
    let polynomial = _mm_set_epi64x(0, 0xc200_0000_0000_0000_u64.cast_signed());
    _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(low), _mm_clmulepi64_si128::<0x00>(low, polynomial))
}

/// Goes on from `y` over all the pieces, each filled up with zeros to whole blocks, with as few reductions as can be.
#[inline]
#[target_feature(enable = "ssse3,pclmulqdq")]
pub(crate) fn absorb<const N: usize>(key: &Key, y: __m128i, pieces: [&[u8]; N]) -> __m128i {
    let blocks_left = pieces.iter().map(|piece| piece.len().div_ceil(16)).sum();
    let mut hasher = Hasher { key, y, product: Product::zero(), power: 0, blocks_left };
    for piece in pieces {
        hasher.absorb_padded(piece);
    }
    hasher.y
}

/// A hash over a number of blocks that is known from the start.
struct Hasher<'a> {
    key: &'a Key,
    y: __m128i,
    product: Product,
    /// Power for the next block; 0 between groups.
    power: usize,
    blocks_left: usize,
}

impl Hasher<'_> {
    #[inline]
    #[target_feature(enable = "ssse3,pclmulqdq")]
    fn absorb(&mut self, bytes: &[u8; 16]) {
        let mut x = block(bytes);
        if self.power == 0 {
            self.power = self.blocks_left.min(POWERS);
            x = _mm_xor_si128(x, self.y);
        }
        self.product.add(x, &self.key.powers[self.power - 1]);
        self.power -= 1;
        self.blocks_left -= 1;
        if self.power == 0 {
            self.y = self.product.reduce();
            self.product = Product::zero();
        }
    }

    #[inline]
    #[target_feature(enable = "ssse3,pclmulqdq")]
    fn absorb_padded(&mut self, data: &[u8]) {
        let (blocks, rest) = data.as_chunks::<16>();
        for block in blocks {
            self.absorb(block);
        }
        if !rest.is_empty() {
            let mut block = [0; 16];
            block[..rest.len()].copy_from_slice(rest);
            self.absorb(&block);
        }
    }
}

/// The element as the bytes of a GHASH result.
#[inline]
#[target_feature(enable = "ssse3")]
pub(crate) fn to_bytes(y: __m128i) -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: the array is the 16 bytes that are written; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), reverse(y)) };
    bytes
}

/// Powers from the highest that is kept down to H, for a group of [`POWERS`] blocks.
#[inline]
pub(crate) fn descending(key: &Key, at: usize) -> &Power {
    &key.powers[POWERS - 1 - at]
}
