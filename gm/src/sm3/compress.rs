//! Hot path: SM3's compression function (GB/T 32905-2016, section 5.3). No allocation, no branch on data.
//!
//! The rounds are a chain that only scalar registers are quick enough for. The message expansion is not: where there is
//! SIMD it makes four words at a time beside them (`x86.rs`).

#[cfg(target_arch = "x86_64")]
mod x86;

/// The initial value.
pub(super) const INITIAL: [u32; 8] =
    [0x7380_166f, 0x4914_b2b9, 0x1724_42d7, 0xda8a_0600, 0xa96f_30bc, 0x1631_38aa, 0xe38d_ee4d, 0xb0fb_0e4e];

/// The constant of each round, already rotated.
const T: [u32; 64] = {
    let (mut t, mut j) = ([0u32; 64], 0);
    while j < 64 {
        let base: u32 = if j < 16 { 0x79cc_4519 } else { 0x7a87_9d8a };
        t[j] = base.rotate_left(j as u32 % 32);
        j += 1;
    }
    t
};

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Scalar code, any CPU.
    Portable,
    /// x86-64 with AVX2, BMI1 and BMI2.
    Avx2,
    /// The same with AVX-512F and VL, which have rotations and a sum of three in one instruction.
    Avx512,
}

impl Path {
    /// All of them, slowest first.
    pub(super) const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    fn best() -> Self {
        Self::ALL.into_iter().rev().find(|path| path.is_available()).unwrap_or(Self::Portable)
    }

    pub(super) fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Hashes whole blocks into the state.
    ///
    /// # Safety
    /// [`Path::is_available`] must hold.
    pub(super) unsafe fn compress(self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        match self {
            Self::Portable => portable(state, blocks),
            // SAFETY: the caller has made sure of the instructions that the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2::compress(state, blocks) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::avx512::compress(state, blocks) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("invariant: no such path is available"),
        }
    }
}

/// Hashes whole blocks into the state.
pub(super) fn blocks(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    // SAFETY: `best` is available.
    unsafe { Path::best().compress(state, blocks) };
}

/// One round with word j and its sum with word j + 4. The names move instead of the values: see `rounds!`.
macro_rules! round {
    ($t:expr, $word:expr, $mixed:expr, $last:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let a12 = $a.rotate_left(12);
        let ss1 = a12.wrapping_add($t).wrapping_add($e).rotate_left(7);
        // The terms of both sums that do not wait for ss1 come first; and the two halves of a majority, or of a
        // choice, have no bit in common, so that they can be added.
        let (ff, gg) = if $last {
            (
                ($a & $b).wrapping_add($c & ($a ^ $b)),
                ($e & $f).wrapping_add(!$e & $g),
            )
        } else {
            ($a ^ $b ^ $c, $e ^ $f ^ $g)
        };
        $d = $d.wrapping_add($mixed).wrapping_add(ff).wrapping_add(ss1 ^ a12);
        $h = $h.wrapping_add($word).wrapping_add(gg).wrapping_add(ss1);
        $h = $h ^ $h.rotate_left(9) ^ $h.rotate_left(17);
        $b = $b.rotate_left(9);
        $f = $f.rotate_left(19);
    };
}

/// Four rounds from `$j`, after which every name means again what it meant. `$words` gives word j and its sum with
/// word j + 4.
macro_rules! rounds {
    ($j:expr, $words:expr, $last:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let j: usize = $j;
        let (word, mixed) = $words(j);
        round!(T[j], word, mixed, $last, $a $b $c $d $e $f $g $h);
        let (word, mixed) = $words(j + 1);
        round!(T[j + 1], word, mixed, $last, $d $a $b $c $h $e $f $g);
        let (word, mixed) = $words(j + 2);
        round!(T[j + 2], word, mixed, $last, $c $d $a $b $g $h $e $f);
        let (word, mixed) = $words(j + 3);
        round!(T[j + 3], word, mixed, $last, $b $c $d $a $f $g $h $e);
    };
}

#[inline(always)]
fn p1(x: u32) -> u32 {
    x ^ x.rotate_left(15) ^ x.rotate_left(23)
}

/// Word j of the expanded message from the ring of the last 16, which it replaces.
#[inline(always)]
fn expand(w: &mut [u32; 16], j: usize) -> u32 {
    let word = p1(w[j % 16] ^ w[(j + 7) % 16] ^ w[(j + 13) % 16].rotate_left(15))
        ^ w[(j + 3) % 16].rotate_left(7)
        ^ w[(j + 10) % 16];
    w[j % 16] = word;
    word
}

fn portable(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    for block in blocks {
        let words = block.as_chunks::<4>().0;
        let mut w: [u32; 16] = std::array::from_fn(|i| u32::from_be_bytes(words[i]));
        let mut word = |j: usize| {
            let word = w[j % 16];
            let ahead = if j < 12 { w[j + 4] } else { expand(&mut w, j + 4) };
            (word, word ^ ahead)
        };
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        rounds!(0, word, false, a b c d e f g h);
        rounds!(4, word, false, a b c d e f g h);
        rounds!(8, word, false, a b c d e f g h);
        rounds!(12, word, false, a b c d e f g h);
        rounds!(16, word, true, a b c d e f g h);
        rounds!(20, word, true, a b c d e f g h);
        rounds!(24, word, true, a b c d e f g h);
        rounds!(28, word, true, a b c d e f g h);
        rounds!(32, word, true, a b c d e f g h);
        rounds!(36, word, true, a b c d e f g h);
        rounds!(40, word, true, a b c d e f g h);
        rounds!(44, word, true, a b c d e f g h);
        rounds!(48, word, true, a b c d e f g h);
        rounds!(52, word, true, a b c d e f g h);
        rounds!(56, word, true, a b c d e f g h);
        rounds!(60, word, true, a b c d e f g h);
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word ^= new;
        }
    }
}
