//! Scalar multiplication: of the base point by a table, of any point in constant time, and the sum that verifying
//! needs in variable time.
//!
//! A scalar is cut into windows of w bits with signed digits -2^(w-1)..=2^(w-1) (Booth), so that a table holds only
//! the positive half.

use super::field::Element;
use super::limbs::Limbs;
use super::point::{Affine, G, Jacobian, to_affine_all};
use super::scalar::Scalar;
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

/// (j + 1)·2^(6i)·G in element j of row i.
static BASE: LazyLock<Vec<[Affine; BASE_POINTS]>> = LazyLock::new(|| {
    let mut start = Jacobian::from(G);
    let mut points = Vec::with_capacity(BASE_WINDOWS * BASE_POINTS);
    for _ in 0..BASE_WINDOWS {
        let mut multiple = start;
        for _ in 0..BASE_POINTS {
            points.push(multiple);
            multiple = multiple.add(&start);
        }
        (0..BASE_WINDOW).for_each(|_| start = start.double());
    }
    to_affine_all(&points).as_chunks().0.to_vec()
});

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

/// The point of the row for a digit, by looking at all of them; anything for 0.
fn select_affine(row: &[Affine; BASE_POINTS], absolute: u64) -> Affine {
    let (mut x, mut y) = ([0; 4], [0; 4]);
    for (point, number) in row.iter().zip(1u64..) {
        let mask = 0u64.wrapping_sub(u64::from(number.ct_eq(&absolute).unwrap_u8()));
        for k in 0..4 {
            x[k] |= point.x.raw()[k] & mask;
            y[k] |= point.y.raw()[k] & mask;
        }
    }
    Affine { x: Element::from_raw(x), y: Element::from_raw(y) }
}

/// `scalar`·G, in constant time.
pub(super) fn multiply_base(scalar: &Scalar) -> Jacobian {
    let mut sum = Jacobian::INFINITY;
    for (i, row) in BASE.iter().enumerate() {
        let (absolute, negative) = digit::<BASE_WINDOW>(scalar.limbs(), i);
        let point = select_affine(row, absolute).negate_if(negative);
        sum = sum.add_affine(&point, absolute.ct_eq(&0));
    }
    sum
}

/// 1 to 16 times the point.
fn multiples(point: &Affine) -> [Jacobian; POINTS] {
    let mut table = [Jacobian::from(*point); POINTS];
    for i in 1..POINTS {
        table[i] =
            if i % 2 == 1 { table[i / 2].double() } else { table[i - 1].add_affine(point, Choice::from(0)) };
    }
    table
}

/// `scalar` times the point, in constant time.
pub(super) fn multiply(point: &Affine, scalar: &Scalar) -> Jacobian {
    let table = multiples(point);
    let mut sum = Jacobian::INFINITY;
    for i in (0..WINDOWS).rev() {
        if i != WINDOWS - 1 {
            (0..WINDOW).for_each(|_| sum = sum.double());
        }
        let (absolute, negative) = digit::<WINDOW>(scalar.limbs(), i);
        let mut term = Jacobian::INFINITY;
        for (multiple, number) in table.iter().zip(1u64..) {
            term.conditional_assign(multiple, number.ct_eq(&absolute));
        }
        sum = sum.add(&term.negate_if(negative));
    }
    sum
}

/// `a`·G + `b` times the point, in time that tells a and b: for public numbers.
pub(super) fn multiply_sum_public(a: &Scalar, point: &Affine, b: &Scalar) -> Jacobian {
    let table = multiples(point);
    let mut sum = Jacobian::INFINITY;
    for i in (0..WINDOWS).rev() {
        if i != WINDOWS - 1 {
            (0..WINDOW).for_each(|_| sum = sum.double());
        }
        let (absolute, negative) = digit::<WINDOW>(b.limbs(), i);
        if absolute != 0 {
            sum = sum.add(&table[absolute as usize - 1].negate_if(negative));
        }
    }
    for (i, row) in BASE.iter().enumerate() {
        let (absolute, negative) = digit::<BASE_WINDOW>(a.limbs(), i);
        if absolute != 0 {
            sum = sum.add_affine(&row[absolute as usize - 1].negate_if(negative), Choice::from(0));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sm2::limbs::sub;
    use crate::sm2::scalar::N;
    use proptest::prelude::*;

    /// Double and add, the definition.
    fn slowly(point: &Affine, scalar: &Limbs) -> Jacobian {
        (0..256).rev().fold(Jacobian::INFINITY, |sum, bit| {
            let twice = sum.double();
            if scalar[bit / 64] >> (bit % 64) & 1 == 1 {
                twice.add_affine(point, Choice::from(0))
            } else {
                twice
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
            assert_eq!(multiply_base(&k).to_affine(), slowly(&G, k.limbs()).to_affine(), "{limbs:x?}");
            assert_eq!(multiply(&point, &k).to_affine(), slowly(&point, k.limbs()).to_affine(), "{limbs:x?}");
        }
    }

    #[test]
    fn random_scalars_and_sums() {
        let point = slowly(&G, &[5, 4, 3, 2]).to_affine();
        proptest!(ProptestConfig::with_cases(64), |(a: [u64; 4], b: [u64; 4])| {
            let (a, b) = (scalar(a), scalar(b));
            let base = slowly(&G, a.limbs());
            let other = slowly(&point, b.limbs());
            prop_assert_eq!(multiply_base(&a).to_affine(), base.to_affine());
            prop_assert_eq!(multiply(&point, &b).to_affine(), other.to_affine());
            let sum = multiply_sum_public(&a, &point, &b);
            prop_assert_eq!(sum.to_affine(), base.add(&other).to_affine());
        });
    }

    #[test]
    fn the_order_gives_infinity() {
        assert!(bool::from(slowly(&G, &N).is_infinity()));
    }
}
