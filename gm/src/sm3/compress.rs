//! Hot path: SM3's compression function (GB/T 32905-2016, section 5.3). No allocation, no branch on data.

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

/// Hashes whole blocks into the state.
pub(super) fn blocks(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the CPU has the instructions that the function is compiled for.
        unsafe { blocks_bmi(state, blocks) };
        return;
    }
    blocks_any(state, blocks);
}

/// The same code with three-operand rotations and and-not.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn blocks_bmi(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    blocks_any(state, blocks);
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

/// One round. The names move instead of the values: see `rounds!`.
macro_rules! round {
    ($j:expr, $w:ident, $last:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let j: usize = $j;
        let word = $w[j % 16];
        let ahead = if j < 12 { $w[j + 4] } else { expand(&mut $w, j + 4) };
        let a12 = $a.rotate_left(12);
        let ss1 = a12.wrapping_add(T[j]).wrapping_add($e).rotate_left(7);
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
        $d = $d.wrapping_add(word ^ ahead).wrapping_add(ff).wrapping_add(ss1 ^ a12);
        $h = $h.wrapping_add(word).wrapping_add(gg).wrapping_add(ss1);
        $h = $h ^ $h.rotate_left(9) ^ $h.rotate_left(17);
        $b = $b.rotate_left(9);
        $f = $f.rotate_left(19);
    };
}

/// Four rounds from `$j`, after which every name means again what it meant.
macro_rules! rounds {
    ($j:expr, $w:ident, $last:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        round!($j, $w, $last, $a $b $c $d $e $f $g $h);
        round!($j + 1, $w, $last, $d $a $b $c $h $e $f $g);
        round!($j + 2, $w, $last, $c $d $a $b $g $h $e $f);
        round!($j + 3, $w, $last, $b $c $d $a $f $g $h $e);
    };
}

#[inline(always)]
fn blocks_any(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    for block in blocks {
        let words = block.as_chunks::<4>().0;
        let mut w: [u32; 16] = std::array::from_fn(|i| u32::from_be_bytes(words[i]));
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        rounds!(0, w, false, a b c d e f g h);
        rounds!(4, w, false, a b c d e f g h);
        rounds!(8, w, false, a b c d e f g h);
        rounds!(12, w, false, a b c d e f g h);
        rounds!(16, w, true, a b c d e f g h);
        rounds!(20, w, true, a b c d e f g h);
        rounds!(24, w, true, a b c d e f g h);
        rounds!(28, w, true, a b c d e f g h);
        rounds!(32, w, true, a b c d e f g h);
        rounds!(36, w, true, a b c d e f g h);
        rounds!(40, w, true, a b c d e f g h);
        rounds!(44, w, true, a b c d e f g h);
        rounds!(48, w, true, a b c d e f g h);
        rounds!(52, w, true, a b c d e f g h);
        rounds!(56, w, true, a b c d e f g h);
        rounds!(60, w, true, a b c d e f g h);
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word ^= new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_code_and_the_detected_code_agree() {
        let input: Vec<[u8; 64]> =
            (0..9u8).map(|n| std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ n)).collect();
        let (mut plain, mut detected) = (INITIAL, INITIAL);
        blocks_any(&mut plain, &input);
        blocks(&mut detected, &input);
        assert_eq!(plain, detected);
    }
}
