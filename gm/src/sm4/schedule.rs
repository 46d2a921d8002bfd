//! The key schedule (GB/T 32907-2016, section 7.3), always in constant time.

use super::portable::substitute_word;

/// The family key.
const FK: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];

/// The fixed parameter of a round: byte j is (4·round + j)·7 modulo 256.
const fn ck(round: u32) -> u32 {
    let (mut word, mut j) = (0, 0);
    while j < 4 {
        word = word << 8 | ((4 * round + j) * 7) & 0xff;
        j += 1;
    }
    word
}

/// The 32 round keys in order of encryption.
pub(super) fn expand(key: &[u8; 16]) -> [u32; 32] {
    let mut k: [u32; 4] = std::array::from_fn(|i| u32::from_be_bytes(key.as_chunks::<4>().0[i]) ^ FK[i]);
    std::array::from_fn(|i| {
        let b = substitute_word(k[(i + 1) & 3] ^ k[(i + 2) & 3] ^ k[(i + 3) & 3] ^ ck(i as u32));
        k[i & 3] ^= b ^ b.rotate_left(13) ^ b.rotate_left(23);
        k[i & 3]
    })
}
