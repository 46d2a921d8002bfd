//! Inversion modulo a prime in constant time by division steps (Bernstein and Yang, "Fast constant-time gcd
//! computation and modular inversion", 2019, with the start of 1/2 that needs 590 steps for 256 bits).
//!
//! f and g begin as modulus and number. A step looks at the lowest bits only, so that 59 of them are done on one word
//! and give a matrix, which is then applied to f and g whole, and modulo the modulus to d and e, of which d ends as
//! the inverse.

use super::limbs::{Limbs, sub};
use std::hint::black_box;

/// Steps on one word, and how often: 590 in all.
const STEPS: usize = 59;
const ROUNDS: usize = 10;
/// Bits in a digit of [`Signed`].
const BITS: u32 = 62;
const MASK: u64 = (1 << BITS) - 1;

/// A number of 5 signed digits of 62 bits; the lower four are not negative.
type Signed = [i64; 5];

/// What 59 steps do to (f, g), times 2^62.
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// A modulus as this file wants it.
pub(super) struct Modulus {
    limbs: Limbs,
    digits: Signed,
    /// Its inverse modulo 2^62.
    inverse: u64,
}

impl Modulus {
    pub(super) const fn new(limbs: Limbs) -> Self {
        // Newton's iteration doubles the bits that are right: 3 (an odd number is its own inverse modulo 8), 6, 12, …
        let (mut inverse, mut i) = (limbs[0], 0);
        while i < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(limbs[0].wrapping_mul(inverse)));
            i += 1;
        }
        Self { limbs, digits: to_digits(&limbs), inverse: inverse & MASK }
    }

    /// The inverse of a number below the modulus; of zero: zero.
    pub(super) fn invert(&self, number: &Limbs) -> Limbs {
        let (mut d, mut e): (Signed, Signed) = ([0; 5], [1, 0, 0, 0, 0]);
        let (mut f, mut g) = (self.digits, to_digits(number));
        // -(delta + 1/2), where delta begins at 1/2.
        let mut zeta = -1;
        for _ in 0..ROUNDS {
            let matrix;
            (zeta, matrix) = steps(zeta, f[0].cast_unsigned(), g[0].cast_unsigned());
            (d, e) = self.apply_modulo(&matrix, &d, &e);
            (f, g) = apply(&matrix, &f, &g);
        }
        self.normalize(d, f[4])
    }

    /// The matrix on d and e, and as many times the modulus as makes both divisible by 2^62.
    #[inline]
    fn apply_modulo(&self, m: &Matrix, d: &Signed, e: &Signed) -> (Signed, Signed) {
        // Negative ones are made positive first: their sign, once the modulus.
        let (sign_d, sign_e) = (d[4] >> 63, e[4] >> 63);
        let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
        let row = |a: i64, b: i64| {
            let mut sum = product(a, d[0]) + product(b, e[0]);
            let mut times = (a & sign_d) + (b & sign_e);
            let low = self.inverse.wrapping_mul(sum as u64).wrapping_add(times.cast_unsigned());
            times -= (low & MASK).cast_signed();
            sum = (sum + product(self.digits[0], times)) >> BITS;
            let mut out = [0; 5];
            for i in 1..5 {
                sum += product(a, d[i]) + product(b, e[i]) + product(self.digits[i], times);
                out[i - 1] = (sum as u64 & MASK).cast_signed();
                sum >>= BITS;
            }
            out[4] = sum as i64;
            out
        };
        (row(m.u, m.v), row(m.q, m.r))
    }

    /// From -2m..m to 0..m, negated if `sign` is negative.
    fn normalize(&self, mut number: Signed, sign: i64) -> Limbs {
        // Opaque, or the compiler makes a branch of it (`examples/constant_time.rs` tells).
        let mask = |number: i64| black_box(number >> 63);
        let negate = mask(sign);
        let lift = |number: &mut Signed| {
            let add = mask(number[4]);
            number.iter_mut().zip(self.digits).for_each(|(digit, m)| *digit += m & add);
        };
        lift(&mut number);
        number.iter_mut().for_each(|digit| *digit = (*digit ^ negate) - negate);
        carry(&mut number);
        lift(&mut number);
        carry(&mut number);
        let limbs = from_digits(&number);
        // Not the modulus itself: 0 is the inverse of 0.
        let (reduced, borrow) = sub(&limbs, &self.limbs);
        let keep = black_box(0u64.wrapping_sub(borrow));
        std::array::from_fn(|i| limbs[i] & keep | reduced[i] & !keep)
    }
}

/// 59 division steps on the lowest words.
#[inline]
fn steps(mut zeta: i64, mut f: u64, mut g: u64) -> (i64, Matrix) {
    // The matrix times 8: 59 steps and 3 make the 62 bits of a digit.
    let (mut u, mut v, mut q, mut r) = (8u64, 0u64, 0u64, 8u64);
    for _ in 0..STEPS {
        // Whether delta is positive, and whether g is odd.
        let swap = (zeta >> 63).cast_unsigned();
        let odd = 0u64.wrapping_sub(g & 1);
        let negated = |x: u64| (x ^ swap).wrapping_sub(swap);
        g = g.wrapping_add(negated(f) & odd);
        q = q.wrapping_add(negated(u) & odd);
        r = r.wrapping_add(negated(v) & odd);
        let swap = swap & odd;
        zeta = (zeta ^ swap.cast_signed()) - 1;
        f = f.wrapping_add(g & swap);
        u = u.wrapping_add(q & swap) << 1;
        v = v.wrapping_add(r & swap) << 1;
        g >>= 1;
    }
    let [u, v, q, r] = [u, v, q, r].map(u64::cast_signed);
    (zeta, Matrix { u, v, q, r })
}

/// The matrix on f and g, which it leaves divisible by 2^62.
#[inline]
fn apply(m: &Matrix, f: &Signed, g: &Signed) -> (Signed, Signed) {
    let row = |a: i64, b: i64| {
        let product = |i: usize| i128::from(a) * i128::from(f[i]) + i128::from(b) * i128::from(g[i]);
        let mut sum = product(0) >> BITS;
        let mut out = [0; 5];
        for i in 1..5 {
            sum += product(i);
            out[i - 1] = (sum as u64 & MASK).cast_signed();
            sum >>= BITS;
        }
        out[4] = sum as i64;
        out
    };
    (row(m.u, m.v), row(m.q, m.r))
}

fn carry(number: &mut Signed) {
    for i in 0..4 {
        number[i + 1] += number[i] >> BITS;
        number[i] &= MASK.cast_signed();
    }
}

const fn to_digits(x: &Limbs) -> Signed {
    [
        (x[0] & MASK).cast_signed(),
        ((x[0] >> 62 | x[1] << 2) & MASK).cast_signed(),
        ((x[1] >> 60 | x[2] << 4) & MASK).cast_signed(),
        ((x[2] >> 58 | x[3] << 6) & MASK).cast_signed(),
        (x[3] >> 56).cast_signed(),
    ]
}

fn from_digits(digits: &Signed) -> Limbs {
    let [a, b, c, d, e] = digits.map(i64::cast_unsigned);
    [a | b << 62, b >> 2 | c << 60, c >> 4 | d << 58, d >> 6 | e << 56]
}
