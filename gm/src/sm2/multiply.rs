//! Scalar multiplication: of the base point by a table, of any point in constant time, and the sum that verifying
//! needs in variable time.
//!
//! Where the scalar is secret it is cut into windows of w bits with signed digits -2^(w-1)..=2^(w-1) (Booth), so that
//! a table holds only the positive half. Where it is public its digits are odd or zero, with w - 1 zeros behind each
//! that is not (w-NAF).

use super::field::{Arithmetic, with_fastest};
use super::limbs::Limbs;
use super::point::{Affine, G, Jacobian, to_affine_all};
use super::scalar::Scalar;
use super::select::select;
use std::sync::LazyLock;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Window of the base point's table: 43 windows of 32 points, 86 KiB.
const BASE_WINDOW: usize = 6;
const BASE_WINDOWS: usize = 256usize.div_ceil(BASE_WINDOW);
const BASE_POINTS: usize = 1 << (BASE_WINDOW - 1);
/// Window for any other point: 52 windows, a table of 16 points made anew each time.
const WINDOW: usize = 5;
const WINDOWS: usize = 256usize.div_ceil(WINDOW);
const POINTS: usize = 1 << (WINDOW - 1);
/// Width for a public multiple of the base point: 256 odd multiples, 16 KiB.
const BASE_WIDTH: usize = 10;
/// Width for a public multiple of any other point: 8 odd multiples.
const WIDTH: usize = 5;
/// Digits of a public scalar: the last may begin at bit 255, and carry.
const DIGITS: usize = 256 + BASE_WIDTH;

/// (j + 1)·2^(6i)·G in element j of row i.
static BASE: LazyLock<Vec<[[u64; 8]; BASE_POINTS]>> = LazyLock::new(|| with_fastest!(by => base(by)));

fn base<A: Arithmetic>(by: A) -> Vec<[[u64; 8]; BASE_POINTS]> {
    let mut start = Jacobian::from(G);
    let mut points = Vec::with_capacity(BASE_WINDOWS * BASE_POINTS);
    for _ in 0..BASE_WINDOWS {
        let mut multiple = start;
        for _ in 0..BASE_POINTS {
            points.push(multiple);
            multiple = multiple.add(&start, by);
        }
        (0..BASE_WINDOW).for_each(|_| start.double(by));
    }
    let rows: Vec<[u64; 8]> = to_affine_all(&points).iter().map(Affine::raw).collect();
    rows.as_chunks().0.to_vec()
}

/// G, 3·G, 5·G, …
static BASE_ODD: LazyLock<Vec<Affine>> = LazyLock::new(
    || with_fastest!(by => to_affine_all(&odd_multiples::<{ 1 << (BASE_WIDTH - 2) }, _>(&G, by))),
);

/// The digit of window `i`: its absolute value and whether it is negative.
fn digit<const W: usize>(scalar: &Limbs, i: usize) -> (u64, Choice) {
    // The window and the bit below it.
    let bit = |at: usize| if at < 256 { scalar[at / 64] >> (at % 64) & 1 } else { 0 };
    let start = i * W;
    let mut bits = if start == 0 { 0 } else { bit(start - 1) };
    if start + W <= 256 && start / 64 == (start + W - 1) / 64 {
        bits |= (scalar[start / 64] >> (start % 64) & ((1 << W) - 1)) << 1;
    } else {
        bits |= (0..W).fold(0, |sum, k| sum | bit(start + k) << (k + 1));
    }
    let negative = bits >> W & 1;
    // (bits + 1) / 2, less 2^W if the top bit is set.
    let value = (bits + 1) >> 1;
    let absolute = u64::conditional_select(&value, &((1 << W) - value), choice(negative));
    (absolute, choice(negative))
}

fn choice(bit: u64) -> Choice {
    Choice::from(bit as u8)
}

/// `scalar`·G, in constant time.
pub(super) fn multiply_base(scalar: &Scalar) -> Jacobian {
    with_fastest!(by => multiply_base_by(by, scalar))
}

fn multiply_base_by<A: Arithmetic>(by: A, scalar: &Scalar) -> Jacobian {
    let mut sum = Jacobian::INFINITY;
    for (i, row) in BASE.iter().enumerate() {
        let (absolute, negative) = digit::<BASE_WINDOW>(scalar.limbs(), i);
        let point = Affine::from_raw(&select(row, absolute)).negate_if(negative);
        sum = sum.add_affine(&point, absolute.ct_eq(&0), by);
    }
    sum
}

/// 1 to 16 times the point.
fn multiples<A: Arithmetic>(by: A, point: &Affine) -> [[u64; 12]; POINTS] {
    let mut table = [Jacobian::from(*point); POINTS];
    for i in 1..POINTS {
        if i % 2 == 1 {
            table[i] = table[i / 2];
            table[i].double(by);
        } else {
            table[i] = table[i - 1].add_affine(point, Choice::from(0), by);
        }
    }
    table.map(|multiple| multiple.raw())
}

/// `scalar` times the point, in constant time.
pub(super) fn multiply(point: &Affine, scalar: &Scalar) -> Jacobian {
    with_fastest!(by => multiply_by(by, point, scalar))
}

fn multiply_by<A: Arithmetic>(by: A, point: &Affine, scalar: &Scalar) -> Jacobian {
    let table = multiples(by, point);
    let mut sum = Jacobian::INFINITY;
    for i in (0..WINDOWS).rev() {
        if i != WINDOWS - 1 {
            (0..WINDOW).for_each(|_| sum.double(by));
        }
        let (absolute, negative) = digit::<WINDOW>(scalar.limbs(), i);
        let term = Jacobian::from_raw(&select(&table, absolute));
        sum = sum.add(&term.negate_if(negative), by);
    }
    sum
}

/// The point, 3 times it, 5 times it, …
fn odd_multiples<const N: usize, A: Arithmetic>(point: &Affine, by: A) -> [Jacobian; N] {
    let mut twice = Jacobian::from(*point);
    twice.double(by);
    let mut table = [Jacobian::from(*point); N];
    for i in 1..N {
        table[i] = table[i - 1].add(&twice, by);
    }
    table
}

/// The digits of a public scalar: zero, or odd and less than 2^(W-1) by absolute value.
fn sparse_digits<const W: usize>(scalar: &Limbs) -> [i16; DIGITS] {
    let bit = |at: usize| if at < 256 { (scalar[at / 64] >> (at % 64) & 1) as i16 } else { 0 };
    let (mut digits, mut at, mut carry) = ([0; DIGITS], 0, 0);
    while at <= 256 {
        if bit(at) == carry {
            at += 1;
            continue;
        }
        let word = carry + (0..W).map(|i| bit(at + i) << i).sum::<i16>();
        carry = word >> (W - 1) & 1;
        digits[at] = word - (carry << W);
        at += W;
    }
    digits
}

/// `a`·G + `b` times the point, in time that tells a and b: for public numbers.
pub(super) fn multiply_sum_public(a: &Scalar, point: &Affine, b: &Scalar) -> Jacobian {
    with_fastest!(by => multiply_sum_public_by(by, a, point, b))
}

fn multiply_sum_public_by<A: Arithmetic>(by: A, a: &Scalar, point: &Affine, b: &Scalar) -> Jacobian {
    let table = odd_multiples::<{ 1 << (WIDTH - 2) }, _>(point, by);
    let (a, b) = (sparse_digits::<BASE_WIDTH>(a.limbs()), sparse_digits::<WIDTH>(b.limbs()));
    let sign = |digit: i16| Choice::from(u8::from(digit < 0));
    let first = (0..DIGITS).rev().find(|&i| a[i] != 0 || b[i] != 0).unwrap_or(0);
    let mut sum = Jacobian::INFINITY;
    for i in (0..=first).rev() {
        sum.double(by);
        if b[i] != 0 {
            sum = sum.add_public(&table[usize::from(b[i].unsigned_abs()) / 2].negate_if(sign(b[i])), by);
        }
        if a[i] != 0 {
            let term = BASE_ODD[usize::from(a[i].unsigned_abs()) / 2].negate_if(sign(a[i]));
            sum = sum.add_affine_public(&term, by);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::sm2::field::Adx;
    use crate::sm2::field::Portable;
    use crate::sm2::limbs::sub;
    use crate::sm2::scalar::N;
    use proptest::prelude::*;

    /// Checks with every arithmetic that this CPU has.
    macro_rules! with_each {
        ($by:ident => $check:expr) => {
            let $by = Portable;
            $check;
            #[cfg(target_arch = "x86_64")]
            if let Some($by) = Adx::detect() {
                $check;
            }
        };
    }

    /// Double and add, the definition.
    fn slowly(point: &Affine, scalar: &Limbs) -> Jacobian {
        (0..256).rev().fold(Jacobian::INFINITY, |mut sum, bit| {
            sum.double(Portable);
            if scalar[bit / 64] >> (bit % 64) & 1 == 1 {
                sum.add_affine(point, Choice::from(0), Portable)
            } else {
                sum
            }
        })
    }

    fn scalar(limbs: Limbs) -> Scalar {
        Scalar::reduce_bytes(&super::super::limbs::to_be_bytes(&limbs))
    }

    #[test]
    fn every_way_agrees_with_double_and_add() {
        let point = slowly(&G, &[77, 1, 2, 3]).to_affine();
        let edges = (0..40).map(|i| [i, 0, 0, 0]).chain((1..40).map(|i| sub(&N, &[i, 0, 0, 0]).0));
        let powers = (0..256).map(|i| {
            let mut limbs = [0; 4];
            limbs[i / 64] = 1 << (i % 64);
            limbs
        });
        for limbs in edges.chain(powers) {
            let k = scalar(limbs);
            let of_base = slowly(&G, k.limbs()).to_affine();
            let of_point = slowly(&point, k.limbs()).to_affine();
            with_each!(by => {
                assert_eq!(multiply_base_by(by, &k).to_affine(), of_base, "{limbs:x?}");
                assert_eq!(multiply_by(by, &point, &k).to_affine(), of_point, "{limbs:x?}");
            });
        }
    }

    #[test]
    fn random_scalars_and_sums() {
        let point = slowly(&G, &[5, 4, 3, 2]).to_affine();
        proptest!(ProptestConfig::with_cases(64), |(a: [u64; 4], b: [u64; 4])| {
            let (a, b) = (scalar(a), scalar(b));
            let base = slowly(&G, a.limbs());
            let other = slowly(&point, b.limbs());
            let sum = base.add(&other, Portable).to_affine();
            with_each!(by => {
                prop_assert_eq!(multiply_base_by(by, &a).to_affine(), base.to_affine());
                prop_assert_eq!(multiply_by(by, &point, &b).to_affine(), other.to_affine());
                prop_assert_eq!(multiply_sum_public_by(by, &a, &point, &b).to_affine(), sum);
            });
        });
    }

    /// Where the general formula fails: a point and itself, its negative, and infinity.
    #[test]
    fn sums_of_what_a_formula_excludes() {
        let point = slowly(&G, &[5, 4, 3, 2]);
        let (affine, nowhere) = (point.to_affine(), Jacobian::INFINITY);
        let negative = affine.negate_if(Choice::from(1));
        with_each!(by => {
            let mut twice = point;
            twice.double(by);
            let sums = [
                point.add(&point, by),
                point.add_affine(&affine, Choice::from(0), by),
                point.add_public(&point, by),
                point.add_affine_public(&affine, by),
            ];
            assert!(sums.iter().all(|sum| sum.to_affine() == twice.to_affine()));
            let sums = [
                point.add(&negative.into(), by),
                point.add_affine(&negative, Choice::from(0), by),
                point.add_public(&negative.into(), by),
                point.add_affine_public(&negative, by),
                nowhere.add(&nowhere, by),
                nowhere.add_affine(&affine, Choice::from(1), by),
            ];
            assert!(sums.iter().all(|sum| bool::from(sum.is_infinity())));
            let sums = [
                point.add(&nowhere, by),
                nowhere.add(&point, by),
                point.add_affine(&affine, Choice::from(1), by),
                nowhere.add_affine(&affine, Choice::from(0), by),
                nowhere.add_public(&point, by),
                nowhere.add_affine_public(&affine, by),
            ];
            assert!(sums.iter().all(|sum| sum.to_affine() == affine));
            let mut still = nowhere;
            still.double(by);
            assert!(bool::from(still.is_infinity()));
        });
    }

    #[test]
    fn the_order_gives_infinity() {
        assert!(bool::from(slowly(&G, &N).is_infinity()));
    }
}
