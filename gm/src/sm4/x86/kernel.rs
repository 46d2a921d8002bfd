//! Hot path: the rounds of SM4 and the one pass of GCM. No allocation, no branch on data.

use super::{ENTERING, LANES, LEAVING, NIBBLE, broadcast128, load256, store256, tee};
use crate::gcm::{Direction, Lanes};
use crate::ghash::x86::{self as ghash, Product};
use crate::ghash::{Key, POWERS, length_block};
#[allow(clippy::wildcard_imports, reason = "instructions, named after what they do")]
use std::arch::x86_64::*;

/// Register sets in the bulk loop, and the blocks they hold.
const SETS: usize = 4;
/// Bytes in one turn of the bulk loop.
pub(crate) const CHUNK: usize = 16 * LANES * SETS;

/// Register sets that the end of a message (less than a chunk) needs at most, with the mask of the tag.
const TAIL_SETS: usize = SETS + 1;
const TAIL: usize = 16 * LANES * TAIL_SETS;
/// GCM's first counter block masks the tag, the second is the first for data.
const FIRST_DATA_COUNTER: u32 = 2;

/// A register set: word w of 8 blocks in element w.
type Set = [__m256i; 4];

#[inline]
#[target_feature(enable = "avx2")]
fn map_bytes(tables: &[super::Both; 2], x: __m256i) -> __m256i {
    let low = _mm256_and_si256(x, NIBBLE.load());
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(x), NIBBLE.load());
    _mm256_xor_si256(_mm256_shuffle_epi8(tables[0].load(), low), _mm256_shuffle_epi8(tables[1].load(), high))
}

/// Four registers of words to four registers of blocks: in result i, block i and block i + 4. Its own inverse.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose([a, b, c, d]: Set) -> Set {
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// From the state after the last round to blocks: the words reversed, out of the representation.
#[inline]
#[target_feature(enable = "avx2")]
fn finish([a, b, c, d]: Set) -> Set {
    transpose([
        map_bytes(&LEAVING, d),
        map_bytes(&LEAVING, c),
        map_bytes(&LEAVING, b),
        map_bytes(&LEAVING, a),
    ])
}

/// Counter blocks of one nonce.
#[derive(Clone, Copy)]
struct Counter {
    words: [__m256i; 3],
}

impl Counter {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(nonce: &[u8; 12]) -> Self {
        let mut padded = [0; 16];
        padded[..12].copy_from_slice(nonce);
        let entered = map_bytes(&ENTERING, broadcast128(&padded));
        Self {
            words: [
                _mm256_shuffle_epi32::<0x00>(entered),
                _mm256_shuffle_epi32::<0x55>(entered),
                _mm256_shuffle_epi32::<0xaa>(entered),
            ],
        }
    }

    /// A set of blocks whose counters are the given 8 numbers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn set(&self, numbers: __m256i) -> Set {
        let swap = _mm256_setr_epi8(
            3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15,
            14, 13, 12,
        );
        let [a, b, c] = self.words;
        [a, b, c, map_bytes(&ENTERING, _mm256_shuffle_epi8(numbers, swap))]
    }

    /// Blocks `first`.. in the order in which `transpose` leaves consecutive ones: pairs (0,1), (2,3), …
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sets<const N: usize>(&self, first: u32) -> [Set; N] {
        let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
        let mut numbers = _mm256_add_epi32(_mm256_set1_epi32(first.cast_signed()), order);
        let mut sets = [[_mm256_setzero_si256(); 4]; N];
        for set in &mut sets {
            *set = self.set(numbers);
            numbers = _mm256_add_epi32(numbers, _mm256_set1_epi32(LANES as i32));
        }
        sets
    }
}

/// Up to 8 blocks as a set, in the representation.
#[inline]
#[target_feature(enable = "avx2")]
fn enter(blocks: &[[u8; 16]]) -> Set {
    let mut pairs = [[0u8; 32]; 4];
    for (i, block) in blocks.iter().enumerate() {
        pairs[i % 4][16 * (i / 4)..][..16].copy_from_slice(block);
    }
    let words = transpose([load256(&pairs[0]), load256(&pairs[1]), load256(&pairs[2]), load256(&pairs[3])]);
    [0, 1, 2, 3].map(|w: usize| map_bytes(&ENTERING, words[w]))
}

/// The reverse of [`enter`] after the last round.
#[inline]
#[target_feature(enable = "avx2")]
fn leave(set: Set, blocks: &mut [[u8; 16]]) {
    let mut pairs = [[0u8; 32]; 4];
    for (pair, out) in pairs.iter_mut().zip(finish(set)) {
        store256(pair, out);
    }
    for (i, block) in blocks.iter_mut().enumerate() {
        block.copy_from_slice(&pairs[i % 4][16 * (i / 4)..][..16]);
    }
}

/// Adds the key stream of a finished set to 8 blocks of data.
#[inline]
#[target_feature(enable = "avx2")]
fn add_set(set: Set, data: &mut [u8; 16 * LANES]) {
    for (pair, stream) in data.as_chunks_mut::<32>().0.iter_mut().zip(finish(set)) {
        let sum = _mm256_xor_si256(load256(pair), stream);
        store256(pair, sum);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_stream(x: [Set; SETS], chunk: &mut [u8; CHUNK]) {
    for (set, data) in x.into_iter().zip(chunk.as_chunks_mut().0) {
        add_set(set, data);
    }
}

/// Four rounds on every set, with the round keys that `$key` gives for 0 to 3. (A macro, and indices known to the
/// compiler: the state must stay in registers.)
macro_rules! four_rounds {
    ($x:expr, $tee:path, |$n:ident| $key:expr) => {
        round!($x, $tee, |$n| $key, 0, 1, 2, 3);
        round!($x, $tee, |$n| $key, 1, 2, 3, 0);
        round!($x, $tee, |$n| $key, 2, 3, 0, 1);
        round!($x, $tee, |$n| $key, 3, 0, 1, 2);
    };
}

/// The round that changes word `$i` of every set by the three others.
macro_rules! round {
    ($x:expr, $tee:path, |$n:ident| $key:expr, $i:literal, $j:literal, $k:literal, $l:literal) => {
        let $n = $i;
        let key = $key;
        for set in $x.iter_mut() {
            let sum = _mm256_xor_si256(_mm256_xor_si256(set[$j], set[$k]), _mm256_xor_si256(set[$l], key));
            set[$i] = _mm256_xor_si256(set[$i], $tee(sum));
        }
    };
}

/// One 16-byte piece of each lane to four registers: word w of all lanes in element w.
#[inline]
#[target_feature(enable = "avx2")]
fn gather(pieces: [[u8; 16]; LANES]) -> Set {
    let [a, b, c, d, e, f, g, h] = pieces;
    let pair = |low: [u8; 16], high: [u8; 16]| -> [u8; 32] {
        let mut pair = [0; 32];
        pair[..16].copy_from_slice(&low);
        pair[16..].copy_from_slice(&high);
        pair
    };
    transpose([load256(&pair(a, e)), load256(&pair(b, f)), load256(&pair(c, g)), load256(&pair(d, h))])
}

/// The round keys of 8 keys, lane by lane.
#[inline]
#[target_feature(enable = "avx2")]
fn gather_round_keys(keys: &[&[u32; 32]; LANES]) -> [Set; 8] {
    let mut sets = [[_mm256_setzero_si256(); 4]; 8];
    for (i, set) in sets.iter_mut().enumerate() {
        let mut pieces = [[0; 16]; LANES];
        for (piece, key) in pieces.iter_mut().zip(keys) {
            for (bytes, word) in piece.as_chunks_mut().0.iter_mut().zip(&key[4 * i..]) {
                *bytes = word.to_le_bytes();
            }
        }
        *set = gather(pieces);
    }
    sets
}

/// Gives every lane one block: the mask of its tag (block 0), or a block of ciphertext.
#[inline]
#[target_feature(enable = "avx2")]
fn scatter(set: Set, number: usize, plain: &[u8], lanes: &mut Lanes<'_>, masks: &mut [[u8; 16]; LANES]) {
    let mut block = [0; 16];
    let start = 16 * number.saturating_sub(1);
    let len = if number == 0 { 0 } else { (plain.len() - start).min(16) };
    block[..len].copy_from_slice(&plain[start..start + len]);
    let plain = broadcast128(&block);
    for (i, stream) in finish(set).into_iter().enumerate() {
        let mut pair = [0; 32];
        store256(&mut pair, _mm256_xor_si256(stream, plain));
        for (lane, half) in [i, i + 4].into_iter().zip(pair.as_chunks::<16>().0) {
            match &mut lanes[lane] {
                Some(lane) if len > 0 => lane.sealed[start..start + len].copy_from_slice(&half[..len]),
                _ => masks[lane] = *half,
            }
        }
    }
}

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $features:literal) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;

            #[inline]
            #[target_feature(enable = $features)]
            fn rounds<const N: usize>(x: &mut [Set; N], round_keys: &[u32; 32]) {
                for keys in round_keys.as_chunks::<4>().0 {
                    four_rounds!(x, tee::$name, |n| _mm256_set1_epi32(keys[n].cast_signed()));
                }
            }

            /// Encrypts blocks in place or, with the round keys reversed, decrypts them.
            #[target_feature(enable = $features)]
            pub(crate) fn crypt(round_keys: &[u32; 32], blocks: &mut [[u8; 16]]) {
                for blocks in blocks.chunks_mut(LANES) {
                    let mut x = [enter(blocks)];
                    rounds(&mut x, round_keys);
                    leave(x[0], blocks);
                }
            }

            /// CTR mode; see `sm4::Key::apply_ctr`.
            #[target_feature(enable = $features)]
            pub(crate) fn apply_ctr(round_keys: &[u32; 32], nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
                let counters = Counter::new(nonce);
                let mut number = counter;
                let (chunks, rest) = data.as_chunks_mut::<CHUNK>();
                for chunk in chunks {
                    let mut x = counters.sets::<SETS>(number);
                    rounds(&mut x, round_keys);
                    add_stream(x, chunk);
                    number = number.wrapping_add((CHUNK / 16) as u32);
                }
                for piece in rest.chunks_mut(16 * LANES) {
                    let mut last = [0; 16 * LANES];
                    let mut x = counters.sets::<1>(number);
                    rounds(&mut x, round_keys);
                    add_set(x[0], &mut last);
                    piece.iter_mut().zip(last).for_each(|(byte, key)| *byte ^= key);
                    number = number.wrapping_add(LANES as u32);
                }
            }

            /// The rounds of counters, and between them the hash of a chunk of ciphertext, going on from `y`.
            #[inline]
            #[target_feature(enable = $features)]
            fn rounds_hashing<const N: usize>(
                x: &mut [Set; N],
                round_keys: &[u32; 32],
                hash: &Key,
                mut y: __m128i,
                chunk: &[u8; CHUNK],
            ) -> __m128i {
                let halves = chunk.as_chunks::<16>().0.as_chunks::<POWERS>().0;
                for (keys, half) in round_keys.as_chunks::<16>().0.iter().zip(halves) {
                    let (mut product, mut start) = (Product::zero(), y);
                    let groups = half.as_chunks::<4>().0;
                    for (i, (keys, group)) in keys.as_chunks::<4>().0.iter().zip(groups).enumerate() {
                        four_rounds!(x, tee::$name, |n| _mm256_set1_epi32(keys[n].cast_signed()));
                        for (j, block) in group.iter().enumerate() {
                            let block = _mm_xor_si128(ghash::block(block), start);
                            product.add(block, ghash::descending(hash, 4 * i + j));
                            start = _mm_setzero_si128();
                        }
                    }
                    y = product.reduce();
                }
                y
            }

            /// Encrypts whole chunks from `counters` and hashes the ciphertext, one chunk behind: the last is left.
            #[inline]
            #[target_feature(enable = $features)]
            fn seal_chunks(
                round_keys: &[u32; 32],
                hash: &Key,
                counters: &Counter,
                mut y: __m128i,
                chunks: &mut [[u8; CHUNK]],
            ) -> __m128i {
                let mut number = FIRST_DATA_COUNTER;
                for i in 0..chunks.len() {
                    let mut x = counters.sets::<SETS>(number);
                    match i.checked_sub(1) {
                        None => rounds(&mut x, round_keys),
                        Some(before) => y = rounds_hashing(&mut x, round_keys, hash, y, &chunks[before]),
                    }
                    add_stream(x, &mut chunks[i]);
                    number = number.wrapping_add((CHUNK / 16) as u32);
                }
                y
            }

            /// Hashes whole chunks of ciphertext and decrypts them.
            #[inline]
            #[target_feature(enable = $features)]
            fn open_chunks(
                round_keys: &[u32; 32],
                hash: &Key,
                counters: &Counter,
                mut y: __m128i,
                chunks: &mut [[u8; CHUNK]],
            ) -> __m128i {
                let mut number = FIRST_DATA_COUNTER;
                for chunk in chunks {
                    let mut x = counters.sets::<SETS>(number);
                    y = rounds_hashing(&mut x, round_keys, hash, y, chunk);
                    add_stream(x, chunk);
                    number = number.wrapping_add((CHUNK / 16) as u32);
                }
                y
            }

            /// The mask of the tag (block 0) and the key stream of the data from counter `number` on; between the
            /// rounds, the hash of the chunk before, if there is one.
            #[inline]
            #[target_feature(enable = $features)]
            fn tail_stream<const N: usize>(
                round_keys: &[u32; 32],
                hash: &Key,
                counters: &Counter,
                (number, y, before): (u32, __m128i, Option<&[u8; CHUNK]>),
                stream: &mut [u8; TAIL],
            ) -> __m128i {
                let mut x = counters.sets::<N>(number.wrapping_sub(1));
                let mask_counter = counters.set(_mm256_set1_epi32(1))[3];
                x[0][3] = _mm256_blend_epi32::<1>(x[0][3], mask_counter);
                let y = match before {
                    None => {
                        rounds(&mut x, round_keys);
                        y
                    }
                    Some(chunk) => rounds_hashing(&mut x, round_keys, hash, y, chunk),
                };
                for (set, out) in x.into_iter().zip(stream.as_chunks_mut::<128>().0) {
                    add_set(set, out);
                }
                y
            }

            /// Encrypts or decrypts in place and gives the tag of the ciphertext.
            #[target_feature(enable = $features)]
            pub(crate) fn gcm(
                round_keys: &[u32; 32],
                hash: &Key,
                direction: Direction,
                nonce: &[u8; 12],
                aad: &[u8],
                data: &mut [u8],
            ) -> [u8; 16] {
                let counters = Counter::new(nonce);
                let lengths = length_block(aad.len(), data.len());
                let bulk = data.len() / CHUNK;
                let (chunks, tail) = data.split_at_mut(bulk * CHUNK);
                let chunks = chunks.as_chunks_mut::<CHUNK>().0;
                let mut y = ghash::absorb(hash, _mm_setzero_si128(), [aad, &[]]);
                if direction == Direction::Seal {
                    y = seal_chunks(round_keys, hash, &counters, y, chunks);
                } else {
                    y = open_chunks(round_keys, hash, &counters, y, chunks);
                    y = ghash::absorb(hash, y, [tail, &lengths]);
                }
                let before = if direction == Direction::Seal { chunks.last() } else { None };
                let number = FIRST_DATA_COUNTER.wrapping_add((bulk * CHUNK / 16) as u32);
                let from = (number, y, before);
                let mut stream = [0; TAIL];
                y = match tail.len().div_ceil(16) / LANES {
                    0 => tail_stream::<1>(round_keys, hash, &counters, from, &mut stream),
                    1 => tail_stream::<2>(round_keys, hash, &counters, from, &mut stream),
                    2 => tail_stream::<3>(round_keys, hash, &counters, from, &mut stream),
                    3 => tail_stream::<4>(round_keys, hash, &counters, from, &mut stream),
                    _ => tail_stream::<TAIL_SETS>(round_keys, hash, &counters, from, &mut stream),
                };
                let (mask, stream) = stream.split_first_chunk::<16>().expect("invariant: TAIL > 16");
                tail.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
                if direction == Direction::Seal {
                    y = ghash::absorb(hash, y, [tail, &lengths]);
                }
                let sum = ghash::to_bytes(y);
                std::array::from_fn(|i| sum[i] ^ mask[i])
            }

            /// Blocks `first`.. of every lane, `N` of them.
            #[inline]
            #[target_feature(enable = $features)]
            fn lane_stream<const N: usize>(keys: &[Set; 8], nonces: &Counter, first: usize) -> [Set; N] {
                let mut x = [[_mm256_setzero_si256(); 4]; N];
                for (n, set) in x.iter_mut().enumerate() {
                    *set = nonces.set(_mm256_set1_epi32((first + n + 1) as i32));
                }
                for keys in keys {
                    four_rounds!(x, tee::$name, |n| keys[n]);
                }
                x
            }

            /// See `gcm::seal_lanes`. `keys` and `nonces` of lanes that are not there may be anything.
            #[target_feature(enable = $features)]
            pub(crate) fn seal_lanes(
                keys: &[&[u32; 32]; LANES],
                nonces: [[u8; 16]; LANES],
                aad: &[u8],
                plain: &[u8],
                lanes: &mut Lanes<'_>,
            ) {
                let keys = gather_round_keys(keys);
                let [a, b, c, _] = gather(nonces);
                let words = [map_bytes(&ENTERING, a), map_bytes(&ENTERING, b), map_bytes(&ENTERING, c)];
                let nonces = Counter { words };
                let mut masks = [[0; 16]; LANES];
                let blocks = 1 + plain.len().div_ceil(16);
                let mut number = 0;
                while number < blocks {
                    macro_rules! turn {
                        ($n:literal) => {
                            for set in lane_stream::<$n>(&keys, &nonces, number) {
                                scatter(set, number, plain, lanes, &mut masks);
                                number += 1;
                            }
                        };
                    }
                    // As even turns as can be: a turn of few sets waits for the latency of the rounds.
                    match blocks - number {
                        1 => turn!(1),
                        2 => turn!(2),
                        3 | 5 | 6 => turn!(3),
                        _ => turn!(4),
                    }
                }
                let lengths = length_block(aad.len(), plain.len());
                for (lane, mask) in lanes.iter_mut().zip(masks) {
                    let Some(lane) = lane else { continue };
                    let (text, tag) = lane.sealed.split_at_mut(plain.len());
                    let sum = ghash::absorb(lane.key.hash(), _mm_setzero_si128(), [aad, text, &lengths]);
                    let sum = ghash::to_bytes(sum);
                    tag.iter_mut().zip(sum.iter().zip(mask)).for_each(|(tag, (sum, mask))| *tag = sum ^ mask);
                }
            }
        }
    };
}

kernel!(
    /// AES-NI and AVX2.
    aes,
    "avx2,aes,pclmulqdq"
);
kernel!(
    /// VAES: AESENCLAST on a whole 256-bit register.
    vaes,
    "avx2,aes,vaes,pclmulqdq"
);
kernel!(
    /// GFNI: the S-box's inversion and linear maps in one instruction each.
    gfni,
    "avx2,aes,gfni,pclmulqdq"
);
