//! Hot path: SM3's compression with a message expansion by SIMD, four words a step. No allocation, no branch on data.
//!
//! Word j needs word j - 3, so the last of four new words needs the first. As the sums are by exclusive or, and both
//! the rotations and P1 are linear over it, what the first adds to the last comes behind: P1 of its rotation by 15.
//!
//! Words go to the rounds through memory, 16 rounds ahead of them: a store and a load cost less than taking single
//! words out of a SIMD register.

use super::T;

/// One round: the sequence that leaves least behind the newest word, the chain through all rounds. Of the sums, what is
/// there first is added first; the two halves of a choice, or of a majority, have no bit in common, so that they can
/// be added one by one.
macro_rules! round {
    ($memory:ident, $j:expr, $last:tt, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        // SAFETY: reads two words within `$memory`, whose pointer it is given, and writes nothing but registers, all
        // of them declared. ANDN and RORX are BMI1 and BMI2, which the function around it is compiled for.
        unsafe {
            asm!(
                "rorx {ss2:e}, {a:e}, 20",
                "lea {ss1:e}, [{ss2} + {t}]",
                "add {ss1:e}, {e:e}",
                "rorx {ss1:e}, {ss1:e}, 25",
                "xor {ss2:e}, {ss1:e}",
                "add {h:e}, [{memory} + {word}]",
                gg!($last),
                "add {d:e}, [{memory} + {mixed}]",
                ff!($last),
                "add {d:e}, {ss2:e}",
                "rorx {ss1:e}, {h:e}, 23",
                "rorx {x:e}, {h:e}, 15",
                "xor {h:e}, {ss1:e}",
                "xor {h:e}, {x:e}",
                "rorx {b:e}, {b:e}, 23",
                "rorx {f:e}, {f:e}, 13",
                t = const T[$j].cast_signed(),
                word = const 4 * $j,
                mixed = const size_of::<[[u32; 4]; QUADS]>() + 4 * $j,
                memory = in(reg) std::ptr::from_ref($memory),
                a = in(reg) $a, b = inout(reg) $b, c = in(reg) $c, d = inout(reg) $d,
                e = in(reg) $e, f = inout(reg) $f, g = in(reg) $g, h = inout(reg) $h,
                ss1 = out(reg) _, ss2 = out(reg) _, x = out(reg) _, y = out(reg) _,
                options(pure, readonly, nostack),
            );
        }
    };
}

/// h and GG and ss1; of the rounds from 16 on a choice by e.
macro_rules! gg {
    (false) => {
        "mov {y:e}, {f:e}\n xor {y:e}, {g:e}\n xor {y:e}, {e:e}\n add {h:e}, {y:e}\n add {h:e}, {ss1:e}"
    };
    (true) => {
        "andn {x:e}, {e:e}, {g:e}\n mov {y:e}, {f:e}\n and {y:e}, {e:e}\n add {h:e}, {y:e}\n \
         add {x:e}, {ss1:e}\n add {h:e}, {x:e}"
    };
}

/// d and FF; of the rounds from 16 on a majority.
macro_rules! ff {
    (false) => {
        "mov {x:e}, {b:e}\n xor {x:e}, {c:e}\n xor {x:e}, {a:e}\n add {d:e}, {x:e}"
    };
    (true) => {
        "mov {x:e}, {b:e}\n and {x:e}, {c:e}\n mov {y:e}, {b:e}\n xor {y:e}, {c:e}\n and {y:e}, {a:e}\n \
         add {d:e}, {x:e}\n add {d:e}, {y:e}"
    };
}

/// Four rounds from `$j`, after which every name means again what it meant.
macro_rules! rounds {
    ($memory:ident, $j:expr, $last:tt, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        round!($memory, $j, $last, $a $b $c $d $e $f $g $h);
        round!($memory, $j + 1, $last, $d $a $b $c $h $e $f $g);
        round!($memory, $j + 2, $last, $c $d $a $b $g $h $e $f);
        round!($memory, $j + 3, $last, $b $c $d $a $f $g $h $e);
    };
}

/// Fours of words: those of the rounds, and what the last ones are mixed with.
const QUADS: usize = 17;

/// What the rounds read: the words, and their sums with those four further on.
#[repr(C)]
struct Words {
    words: [[u32; 4]; QUADS],
    mixed: [[u32; 4]; QUADS - 1],
}

/// The compression once for every instruction set. The module has to have `rotate` and `xor3`.
macro_rules! kernel {
    ($features:literal) => {
        /// W(j)..W(j + 3) from the 16 words before them.
        #[inline]
        #[target_feature(enable = $features)]
        fn expand(x: [__m128i; 4]) -> __m128i {
            let minus_9 = _mm_alignr_epi8::<12>(x[2], x[1]);
            let minus_13 = _mm_alignr_epi8::<12>(x[1], x[0]);
            let minus_6 = _mm_alignr_epi8::<8>(x[3], x[2]);
            // The three that there are of W(j - 3)..W(j).
            let minus_3 = _mm_srli_si128::<4>(x[3]);
            let mixed = p1(xor3(x[0], minus_9, rotate::<15, 17>(minus_3)));
            let words = xor3(mixed, rotate::<7, 25>(minus_13), minus_6);
            let first = _mm_slli_si128::<12>(words);
            _mm_xor_si128(words, p1(rotate::<15, 17>(first)))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn p1(x: __m128i) -> __m128i {
            xor3(x, rotate::<15, 17>(x), rotate::<23, 9>(x))
        }

        /// Hashes whole blocks into the state.
        #[target_feature(enable = $features)]
        pub(in super::super) fn compress(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
            let big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
            for block in blocks {
                let block = block.as_chunks::<16>().0;
                let load = |i: usize| _mm_shuffle_epi8(load(&block[i]), big_endian);
                let mut x = [load(0), load(1), load(2), load(3)];
                let mut words = Words { words: [[0; 4]; QUADS], mixed: [[0; 4]; QUADS - 1] };
                for i in 0..4 {
                    store(&mut words.words[i], x[i]);
                }
                for i in 0..3 {
                    store(&mut words.mixed[i], _mm_xor_si128(x[i], x[i + 1]));
                }
                let mut step = |words: &mut Words, i: usize| {
                    let next = expand(x);
                    store(&mut words.words[i], next);
                    store(&mut words.mixed[i - 1], _mm_xor_si128(x[3], next));
                    x = [x[1], x[2], x[3], next];
                };
                step(&mut words, 4);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
                macro_rules! four {
                                                            ($j:literal, $last:tt) => {
                                                                if $j < 48 {
                                                                    step(&mut words, $j / 4 + 5);
                                                                }
                                                                let memory = &words;
                                                                rounds!(memory, $j, $last, a b c d e f g h);
                                                            };
                                                        }
                four!(0, false);
                four!(4, false);
                four!(8, false);
                four!(12, false);
                four!(16, true);
                four!(20, true);
                four!(24, true);
                four!(28, true);
                four!(32, true);
                four!(36, true);
                four!(40, true);
                four!(44, true);
                four!(48, true);
                four!(52, true);
                four!(56, true);
                four!(60, true);
                for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *word ^= new;
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn load(bytes: &[u8; 16]) -> __m128i {
            // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
            unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store(words: &mut [u32; 4], x: __m128i) {
            // SAFETY: the reference covers the 16 bytes that are written; the store needs no alignment.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), x) }
        }
    };
}

pub(super) mod avx2 {
    use super::{QUADS, T, Words};
    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, _mm_alignr_epi8, _mm_loadu_si128, _mm_or_si128, _mm_set_epi8, _mm_shuffle_epi8,
        _mm_slli_epi32, _mm_slli_si128, _mm_srli_epi32, _mm_srli_si128, _mm_storeu_si128, _mm_xor_si128,
    };

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn rotate<const LEFT: i32, const RIGHT: i32>(x: __m128i) -> __m128i {
        const { assert!(LEFT + RIGHT == 32) }
        _mm_or_si128(_mm_slli_epi32::<LEFT>(x), _mm_srli_epi32::<RIGHT>(x))
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn xor3(a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        _mm_xor_si128(_mm_xor_si128(a, b), c)
    }

    kernel!("avx2,bmi1,bmi2");
}

pub(super) mod avx512 {
    use super::{QUADS, T, Words};
    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, _mm_alignr_epi8, _mm_loadu_si128, _mm_rol_epi32, _mm_set_epi8, _mm_shuffle_epi8,
        _mm_slli_si128, _mm_srli_si128, _mm_storeu_si128, _mm_ternarylogic_epi32, _mm_xor_si128,
    };

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512vl")]
    fn rotate<const LEFT: i32, const RIGHT: i32>(x: __m128i) -> __m128i {
        const { assert!(LEFT + RIGHT == 32) }
        _mm_rol_epi32::<LEFT>(x)
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512vl")]
    fn xor3(a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        // The truth table of an exclusive or of three.
        _mm_ternarylogic_epi32::<0x96>(a, b, c)
    }

    kernel!("avx2,bmi1,bmi2,avx512f,avx512vl");
}
