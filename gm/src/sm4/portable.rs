//! SM4 on any CPU, in constant time: 16 blocks at once, bit by bit, with no table and no branch on data.
//!
//! A word of the state is 8 planes; plane j holds bit j of all its bytes. In a plane, bits 16i..16i+16 belong to
//! the word's byte i (0 the least significant) and there to the 16 blocks, so rotating a word by 8 bits is rotating
//! each plane by 16, and rotating it by 2 renames planes.

use super::field::{ENTER_TOWER, ENTER_TOWER_CONSTANT, LEAVE_TOWER, Map, NU, SM4_CONSTANT};

/// Blocks in one pass.
const BLOCKS: usize = 16;

type Planes = [u64; 8];

/// Encrypts blocks in place or, with the round keys reversed, decrypts them.
pub(super) fn crypt(round_keys: &[u32; 32], blocks: &mut [[u8; 16]]) {
    for blocks in blocks.chunks_mut(BLOCKS) {
        pass(round_keys, blocks);
    }
}

/// CTR mode; see [`super::Key::apply_ctr`].
pub(super) fn apply_ctr(round_keys: &[u32; 32], nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
    add_stream::<BLOCKS>(nonce, counter, data, |blocks| pass(round_keys, blocks));
}

/// CTR mode with `N` blocks at a time, which `encrypt` encrypts.
pub(super) fn add_stream<const N: usize>(
    nonce: &[u8; 12],
    counter: u32,
    data: &mut [u8],
    mut encrypt: impl FnMut(&mut [[u8; 16]]),
) {
    for (n, piece) in data.chunks_mut(16 * N).enumerate() {
        let first = counter.wrapping_add((n * N) as u32);
        let mut stream: [[u8; 16]; N] = std::array::from_fn(|i| {
            let mut block = [0; 16];
            block[..12].copy_from_slice(nonce);
            block[12..].copy_from_slice(&first.wrapping_add(i as u32).to_be_bytes());
            block
        });
        encrypt(&mut stream[..piece.len().div_ceil(16)]);
        for (byte, key) in piece.iter_mut().zip(stream.as_flattened()) {
            *byte ^= key;
        }
    }
}

/// Up to [`BLOCKS`] blocks.
fn pass(round_keys: &[u32; 32], blocks: &mut [[u8; 16]]) {
    let mut x = [[0; 8]; 4];
    for (w, planes) in x.iter_mut().enumerate() {
        *planes = pack(blocks, w);
    }
    for keys in round_keys.as_chunks::<4>().0 {
        for (i, &key) in keys.iter().enumerate() {
            let sum = sum3(&x[(i + 1) & 3], &x[(i + 2) & 3], &x[(i + 3) & 3], key);
            let mixed = diffuse(&substitute(&sum));
            for (plane, m) in x[i].iter_mut().zip(mixed) {
                *plane ^= m;
            }
        }
    }
    for (w, planes) in x.iter().rev().enumerate() {
        unpack(planes, blocks, w);
    }
}

/// SM4's τ on one word, for the key schedule.
pub(super) fn substitute_word(word: u32) -> u32 {
    let planes = substitute(&std::array::from_fn(|j| spread(word) >> j & LOWEST));
    let mut out = 0;
    for (j, plane) in planes.iter().enumerate() {
        for byte in 0..4 {
            out |= ((plane >> (16 * byte) & 1) as u32) << (8 * byte + j);
        }
    }
    out
}

/// Bit 0 of each of the four byte groups of a plane.
const LOWEST: u64 = 0x0001_0001_0001_0001;

/// Byte i of the word at bits 16i..16i+8.
fn spread(word: u32) -> u64 {
    let x = u64::from(word);
    let x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    (x | x << 8) & 0x00ff_00ff_00ff_00ff
}

fn sum3(a: &Planes, b: &Planes, c: &Planes, key: u32) -> Planes {
    let key = spread(key);
    std::array::from_fn(|j| a[j] ^ b[j] ^ c[j] ^ (key >> j & LOWEST).wrapping_mul(0xffff))
}

/// L: B ^ B<<<2 ^ B<<<10 ^ B<<<18 ^ B<<<24.
fn diffuse(b: &Planes) -> Planes {
    // Plane j of B<<<2 comes from bit j-2: of the same byte, or of the next less significant one for j < 2.
    let rotated: Planes = std::array::from_fn(|j| if j < 2 { b[j + 6].rotate_left(16) } else { b[j - 2] });
    std::array::from_fn(|j| {
        let r = rotated[j];
        b[j] ^ b[j].rotate_left(48) ^ r ^ r.rotate_left(16) ^ r.rotate_left(32)
    })
}

fn substitute(x: &Planes) -> Planes {
    let y = linear(&ENTER_TOWER, ENTER_TOWER_CONSTANT, x);
    linear(&LEAVE_TOWER, SM4_CONSTANT, &invert_256(&y))
}

/// An affine map with constant coefficients; the compiler unrolls it into plain exclusive-ors.
#[inline(always)]
fn linear(map: &Map, constant: u8, x: &Planes) -> Planes {
    std::array::from_fn(|i| {
        let start = if constant >> i & 1 == 1 { u64::MAX } else { 0 };
        (0..8).fold(start, |sum, j| if map[j] >> i & 1 == 1 { sum ^ x[j] } else { sum })
    })
}

type Gf4 = [u64; 2];
type Gf16 = [Gf4; 2];

fn add4(a: Gf4, b: Gf4) -> Gf4 {
    [a[0] ^ b[0], a[1] ^ b[1]]
}

fn multiply4(a: Gf4, b: Gf4) -> Gf4 {
    let (low, high) = (a[0] & b[0], a[1] & b[1]);
    [low ^ high, (a[0] ^ a[1]) & (b[0] ^ b[1]) ^ low]
}

fn square4(a: Gf4) -> Gf4 {
    [a[0] ^ a[1], a[1]]
}

/// Times w.
fn scale4(a: Gf4) -> Gf4 {
    [a[1], a[0] ^ a[1]]
}

fn add16(a: Gf16, b: Gf16) -> Gf16 {
    [add4(a[0], b[0]), add4(a[1], b[1])]
}

fn multiply16(a: Gf16, b: Gf16) -> Gf16 {
    let (low, high) = (multiply4(a[0], b[0]), multiply4(a[1], b[1]));
    let middle = multiply4(add4(a[0], a[1]), add4(b[0], b[1]));
    [add4(low, scale4(high)), add4(middle, low)]
}

fn invert16(a: Gf16) -> Gf16 {
    let norm = add4(scale4(square4(a[1])), add4(multiply4(a[1], a[0]), square4(a[0])));
    // In GF(4) the inverse is the square.
    let inverse = square4(norm);
    [multiply4(add4(a[0], a[1]), inverse), multiply4(a[1], inverse)]
}

/// `a²` and `ν·a²` are linear in a; squaring in GF(16): (h v + l)² = h² v + (l² + w h²).
fn square16(a: Gf16) -> Gf16 {
    let high = square4(a[1]);
    [add4(square4(a[0]), scale4(high)), high]
}

fn scale_nu(a: Gf16) -> Gf16 {
    let bit = |i: u32| if NU >> i & 1 == 1 { u64::MAX } else { 0 };
    multiply16(a, [[bit(0), bit(1)], [bit(2), bit(3)]])
}

fn invert_256(x: &Planes) -> Planes {
    let low = [[x[0], x[1]], [x[2], x[3]]];
    let high = [[x[4], x[5]], [x[6], x[7]]];
    let norm = add16(scale_nu(square16(high)), add16(multiply16(high, low), square16(low)));
    let inverse = invert16(norm);
    let [[a, b], [c, d]] = multiply16(add16(low, high), inverse);
    let [[e, f], [g, h]] = multiply16(high, inverse);
    [a, b, c, d, e, f, g, h]
}

/// Transposes an 8x8 matrix of bits: bit 8i+j moves to 8j+i.
fn transpose8(x: u64) -> u64 {
    let swap = |x: u64, mask: u64, shift: u32| {
        let t = (x ^ x >> shift) & mask;
        x ^ t ^ t << shift
    };
    let x = swap(x, 0x00aa_00aa_00aa_00aa, 7);
    let x = swap(x, 0x0000_cccc_0000_cccc, 14);
    swap(x, 0x0000_0000_f0f0_f0f0, 28)
}

/// The planes of big-endian word `w` of every block.
fn pack(blocks: &[[u8; 16]], w: usize) -> Planes {
    let mut planes = [0; 8];
    for byte in 0..4 {
        for (half, group) in blocks.chunks(8).enumerate() {
            let rows = std::array::from_fn(|n| group.get(n).map_or(0, |block| block[4 * w + 3 - byte]));
            let columns = transpose8(u64::from_le_bytes(rows)).to_le_bytes();
            for (plane, bits) in planes.iter_mut().zip(columns) {
                *plane |= u64::from(bits) << (16 * byte + 8 * half);
            }
        }
    }
    planes
}

fn unpack(planes: &Planes, blocks: &mut [[u8; 16]], w: usize) {
    for byte in 0..4 {
        for (half, group) in blocks.chunks_mut(8).enumerate() {
            let columns = std::array::from_fn(|j| (planes[j] >> (16 * byte + 8 * half)) as u8);
            let rows = transpose8(u64::from_le_bytes(columns)).to_le_bytes();
            for (block, row) in group.iter_mut().zip(rows) {
                block[4 * w + 3 - byte] = row;
            }
        }
    }
}
