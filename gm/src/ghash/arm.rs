//! GHASH with PMULL: blocks are multiplied by descending powers of the key and summed up unreduced.

use super::portable::reduce;
use super::{Element, Key, POWERS};
use std::arch::aarch64::vmull_p64;

/// Whether the CPU has the instruction.
pub(super) fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("aes")
}

/// Goes on from `y` over the data, filled up with zeros to whole blocks.
#[target_feature(enable = "neon,aes")]
pub(super) fn absorb(key: &Key, mut y: Element, data: &[u8]) -> Element {
    for group in data.chunks(16 * POWERS) {
        let (mut low, mut middle, mut high) = (0, 0, 0);
        let powers = key.powers[..group.len().div_ceil(16)].iter().rev();
        for (piece, power) in group.chunks(16).zip(powers) {
            let mut block = [0; 16];
            block[..piece.len()].copy_from_slice(piece);
            let block = u128::from_be_bytes(block);
            let x = [block as u64 ^ y[0], (block >> 64) as u64 ^ y[1]];
            y = [0; 2];
            low ^= vmull_p64(x[0], power.element[0]);
            high ^= vmull_p64(x[1], power.element[1]);
            middle ^= vmull_p64(x[0] ^ x[1], power.sum[0]);
        }
        let halves = |x: u128| [x as u64, (x >> 64) as u64];
        y = reduce(halves(low), halves(middle), halves(high));
    }
    y
}
