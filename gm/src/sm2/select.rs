//! Hot path: taking a row out of a table by a secret number, by looking at all rows.

/// Row `number - 1`; zeros for 0.
#[inline]
pub(super) fn select<const N: usize>(rows: &[[u64; N]], number: u64) -> [u64; N] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has the instructions that the function is compiled for.
        return unsafe { x86::select(rows, number) };
    }
    select_any(rows, number)
}

fn select_any<const N: usize>(rows: &[[u64; N]], number: u64) -> [u64; N] {
    use subtle::ConstantTimeEq;
    let mut sum = [0; N];
    for (row, at) in rows.iter().zip(1u64..) {
        let mask = 0u64.wrapping_sub(u64::from(at.ct_eq(&number).unwrap_u8()));
        sum.iter_mut().zip(row).for_each(|(sum, word)| *sum |= word & mask);
    }
    sum
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi64, _mm256_loadu_si256, _mm256_or_si256,
        _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_storeu_si256,
    };

    /// Registers that the longest row fills.
    const REGISTERS: usize = 3;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(words: &[u64; 4]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes that are read; the load needs no alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn select<const N: usize>(rows: &[[u64; N]], number: u64) -> [u64; N] {
        const { assert!(N.is_multiple_of(4) && N <= 4 * REGISTERS) }
        let wanted = _mm256_set1_epi64x(number.cast_signed());
        let (mut at, one) = (_mm256_setzero_si256(), _mm256_set1_epi64x(1));
        let mut sums = [_mm256_setzero_si256(); REGISTERS];
        for row in rows {
            at = _mm256_add_epi64(at, one);
            let mask = _mm256_cmpeq_epi64(at, wanted);
            for (sum, words) in sums.iter_mut().zip(row.as_chunks().0) {
                *sum = _mm256_or_si256(*sum, _mm256_and_si256(load(words), mask));
            }
        }
        let mut row = [0; N];
        for (words, sum) in row.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: the reference covers the 32 bytes that are written; the store needs no alignment.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), sum) };
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_way_takes_the_row_that_was_asked_for() {
        let rows: Vec<[u64; 12]> =
            (0..16).map(|i| std::array::from_fn(|j| (1 + i) << 32 | j as u64)).collect();
        for number in 0..=17 {
            let wanted = match number {
                1..=16 => rows[number as usize - 1],
                _ => [0; 12],
            };
            assert_eq!(select(&rows, number), wanted);
            assert_eq!(select_any(&rows, number), wanted);
        }
    }
}
