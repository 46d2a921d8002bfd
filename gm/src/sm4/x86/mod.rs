//! SM4 on x86-64: word-sliced, 8 blocks in four 256-bit registers, one register for each word of the state.
//!
//! The bytes of the state are kept in the representation that [`super::field::ENTER`] gives, where the S-box is one
//! instruction (AESENCLAST, or GF2P8AFFINEINVQB) followed by a linear map; that map, the rest of the S-box and L
//! become two pairs of nibble shuffles. L needs rotations by whole bytes only, so words stay in memory order and
//! nothing is byte-swapped. The shuffles that rotate also undo the ShiftRows of AESENCLAST.
//!
//! Start at `kernel.rs`: the rounds, once for every instruction set. `tee.rs` is what differs.

mod kernel;
mod tee;

use super::field::{ENTER, ENTER_CONSTANT, FROM_AES, LEAVE, Map, apply, nibble_tables};
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_storeu_si256,
};

pub(crate) use kernel::{aes, gfni, vaes};

/// Blocks in one register set.
pub(crate) const LANES: usize = 8;

/// A constant for both 128-bit halves, aligned so that it can be a memory operand.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Both([[u8; 16]; 2]);

impl Both {
    const fn new(half: [u8; 16]) -> Self {
        Self([half; 2])
    }

    const fn pair(tables: [[u8; 16]; 2]) -> [Self; 2] {
        [Self::new(tables[0]), Self::new(tables[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(&self) -> __m256i {
        load256(self.0.as_flattened().first_chunk().expect("invariant: 32 bytes"))
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load256(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store256(bytes: &mut [u8; 32], x: __m256i) {
    // SAFETY: the reference covers the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn broadcast128(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

static NIBBLE: Both = Both::new([0x0f; 16]);
static ENTERING: [Both; 2] = Both::pair(nibble_tables(&ENTER, 0));
static LEAVING: [Both; 2] = Both::pair(nibble_tables(&LEAVE, 0));
static SAME_BYTE: [Both; 2] = Both::pair(nibble_tables(&FROM_AES[0].0, FROM_AES[0].1));
static NEXT_BYTES: [Both; 2] = Both::pair(nibble_tables(&FROM_AES[1].0, FROM_AES[1].1));

/// Byte shuffles within the words: entry k brings the byte k places further (less significant by k) here.
static ROTATE: [Both; 4] = [rotation(0, false), rotation(1, false), rotation(2, false), rotation(3, false)];
/// The same on what AESENCLAST's ShiftRows has displaced.
static UNSHIFT: [Both; 4] = [rotation(0, true), rotation(1, true), rotation(2, true), rotation(3, true)];

const fn rotation(by: usize, shifted: bool) -> Both {
    let (mut shuffle, mut at) = ([0; 16], 0);
    while at < 16 {
        let (column, row) = (at / 4, (at % 4 + by) % 4);
        // ShiftRows moved row r of column c to column c - r.
        let column = if shifted { (column + 4 - row) % 4 } else { column };
        shuffle[at] = (4 * column + row) as u8;
        at += 1;
    }
    Both::new(shuffle)
}

/// A linear map as the operand of GF2P8AFFINE(INV)QB: byte 7-i is the row that gives bit i.
const fn gfni_matrix(map: &Map) -> u64 {
    let (mut matrix, mut i) = (0, 0);
    while i < 8 {
        let mut j = 0;
        while j < 8 {
            matrix |= ((map[j] >> i & 1) as u64) << (8 * (7 - i) + j);
            j += 1;
        }
        i += 1;
    }
    matrix
}

/// A round key as the SIMD paths add it: in the state's representation and byte order, with the S-box's constant.
pub(super) fn round_key(key: u32) -> u32 {
    u32::from_le_bytes(key.to_be_bytes().map(|byte| apply(&ENTER, byte) ^ ENTER_CONSTANT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sm4::field::FROM_INVERSE;

    /// What GF2P8AFFINEQB does to one byte, after Intel's description of the instruction.
    fn affine(matrix: u64, x: u8) -> u8 {
        (0..8).fold(0, |y, i| {
            let row = matrix.to_le_bytes()[7 - i];
            y | (((row & x).count_ones() & 1) as u8) << i
        })
    }

    #[test]
    fn gfni_matrices_compute_their_maps() {
        for (map, _) in FROM_INVERSE {
            for x in 0..=255 {
                assert_eq!(affine(gfni_matrix(&map), x), apply(&map, x));
            }
        }
    }
}
