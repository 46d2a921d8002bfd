//! T = L∘S on one word of 8 blocks, in the state's representation: the part that depends on the instruction set.

use super::super::field::FROM_INVERSE;
use super::{NEXT_BYTES, NIBBLE, ROTATE, SAME_BYTE, UNSHIFT, gfni_matrix};
#[allow(clippy::wildcard_imports, reason = "instructions, named after what they do")]
use std::arch::x86_64::*;

/// Where L puts the two maps of a byte: `same` here, `next` in the next two, their sum in the third.
macro_rules! spread {
    ($same:expr, $next:expr, $first:expr, $shuffles:expr) => {{
        let third = _mm256_xor_si256($same, $next);
        let second = _mm256_xor_si256(
            _mm256_shuffle_epi8($next, $shuffles[1].load()),
            _mm256_shuffle_epi8($next, $shuffles[2].load()),
        );
        let ends = _mm256_xor_si256($first, _mm256_shuffle_epi8(third, $shuffles[3].load()));
        _mm256_xor_si256(second, ends)
    }};
}

macro_rules! after_aes {
    ($z:expr) => {{
        let z = $z;
        let low = _mm256_and_si256(z, NIBBLE.load());
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(z), NIBBLE.load());
        let same = _mm256_xor_si256(
            _mm256_shuffle_epi8(SAME_BYTE[0].load(), low),
            _mm256_shuffle_epi8(SAME_BYTE[1].load(), high),
        );
        let next = _mm256_xor_si256(
            _mm256_shuffle_epi8(NEXT_BYTES[0].load(), low),
            _mm256_shuffle_epi8(NEXT_BYTES[1].load(), high),
        );
        spread!(same, next, _mm256_shuffle_epi8(same, UNSHIFT[0].load()), UNSHIFT)
    }};
}

#[inline]
#[target_feature(enable = "avx2,aes")]
pub(super) fn aes(x: __m256i) -> __m256i {
    let zero = _mm_setzero_si128();
    let low = _mm_aesenclast_si128(_mm256_castsi256_si128(x), zero);
    let high = _mm_aesenclast_si128(_mm256_extracti128_si256::<1>(x), zero);
    after_aes!(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high))
}

#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
pub(super) fn vaes(x: __m256i) -> __m256i {
    after_aes!(_mm256_aesenclast_epi128(x, _mm256_setzero_si256()))
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
pub(super) fn gfni(x: __m256i) -> __m256i {
    const SAME: (u64, i32) = (gfni_matrix(&FROM_INVERSE[0].0), FROM_INVERSE[0].1 as i32);
    const NEXT: (u64, i32) = (gfni_matrix(&FROM_INVERSE[1].0), FROM_INVERSE[1].1 as i32);
    let same = _mm256_gf2p8affineinv_epi64_epi8::<{ SAME.1 }>(x, _mm256_set1_epi64x(SAME.0 as i64));
    let next = _mm256_gf2p8affineinv_epi64_epi8::<{ NEXT.1 }>(x, _mm256_set1_epi64x(NEXT.0 as i64));
    spread!(same, next, same, ROTATE)
}
