//! Hot path: SM4 on aarch64 with the crypto extension's SM4E, which does four rounds. Constant time: no table, no
//! branch on data.

use super::portable;
#[allow(clippy::wildcard_imports, reason = "instructions, named after what they do")]
use std::arch::aarch64::*;
use std::arch::asm;

/// Blocks in one pass: as many as the instruction's latency takes.
const BLOCKS: usize = 8;

/// Whether the CPU has the instructions.
pub(super) fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("sm4")
}

/// Four rounds with four round keys. (The intrinsic is not stable yet.)
#[inline]
#[target_feature(enable = "neon,sm4")]
fn four_rounds(mut state: uint32x4_t, keys: uint32x4_t) -> uint32x4_t {
    // SAFETY: reads and writes the two registers that it names; the CPU has the instruction.
    unsafe {
        asm!(
            "sm4e {state:v}.4s, {keys:v}.4s",
            state = inout(vreg) state, keys = in(vreg) keys,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    state
}

/// Encrypts blocks in place or, with the round keys reversed, decrypts them.
#[target_feature(enable = "neon,sm4")]
pub(super) fn crypt(round_keys: &[u32; 32], blocks: &mut [[u8; 16]]) {
    for blocks in blocks.chunks_mut(BLOCKS) {
        let mut x = [vdupq_n_u32(0); BLOCKS];
        for (state, block) in x.iter_mut().zip(blocks.iter()) {
            // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
            let bytes = unsafe { vld1q_u8(block.as_ptr()) };
            *state = vreinterpretq_u32_u8(vrev32q_u8(bytes));
        }
        for keys in round_keys.as_chunks::<4>().0 {
            // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
            let keys = unsafe { vld1q_u32(keys.as_ptr()) };
            x.iter_mut().for_each(|state| *state = four_rounds(*state, keys));
        }
        for (state, block) in x.into_iter().zip(blocks) {
            // The words in reverse order, each in the order of the wire: all bytes in reverse order.
            let halves = vrev64q_u8(vreinterpretq_u8_u32(state));
            // SAFETY: the reference covers the 16 bytes that are written; the store needs no alignment.
            unsafe { vst1q_u8(block.as_mut_ptr(), vextq_u8::<8>(halves, halves)) };
        }
    }
}

/// CTR mode; see [`super::Key::apply_ctr`].
#[target_feature(enable = "neon,sm4")]
pub(super) fn apply_ctr(round_keys: &[u32; 32], nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
    portable::add_stream::<BLOCKS>(nonce, counter, data, |blocks| crypt(round_keys, blocks));
}
