//! The field of curveSM2: integers modulo p = 2^256 - 2^224 - 2^96 + 2^64 - 1, in Montgomery form.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::invert::Modulus;
use super::limbs::{self, Limbs, from_be_bytes, multiply, power_of_two, reduce_once, square, to_be_bytes};
#[cfg(not(target_arch = "x86_64"))]
use super::limbs::{add_mod, sub_mod};
use subtle::{Choice, ConditionallySelectable};
#[cfg(target_arch = "x86_64")]
pub(super) use x86::Adx;
use zeroize::Zeroize;

pub(super) const P: Limbs =
    [0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_ffff, 0xffff_fffe_ffff_ffff];
const R: Limbs = power_of_two(256, &P);
const R_SQUARED: Limbs = power_of_two(512, &P);
const R_CUBED: Limbs = power_of_two(768, &P);
static MODULUS: Modulus = Modulus::new(P);

/// How products are made. Who holds a value of it has made sure that the CPU can; long computations ask once.
pub(super) trait Arithmetic: Copy {
    fn multiply(self, a: &Element, b: &Element) -> Element;
    fn square(self, a: &Element) -> Element;
}

/// By any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Arithmetic for Portable {
    #[inline]
    fn multiply(self, a: &Element, b: &Element) -> Element {
        Element(reduce(multiply(&a.0, &b.0)))
    }

    #[inline]
    fn square(self, a: &Element) -> Element {
        Element(reduce(square(&a.0)))
    }
}

#[cfg(target_arch = "x86_64")]
impl Arithmetic for Adx {
    #[inline(always)]
    fn multiply(self, a: &Element, b: &Element) -> Element {
        Element(x86::multiply(self, &a.0, &b.0))
    }

    #[inline(always)]
    fn square(self, a: &Element) -> Element {
        Element(x86::square(self, &a.0))
    }
}

/// Evaluates an expression with the fastest arithmetic that this CPU has.
macro_rules! with_fastest {
    ($by:ident => $value:expr) => {{
        #[cfg(target_arch = "x86_64")]
        match $crate::sm2::field::Adx::detect() {
            Some($by) => $value,
            None => {
                let $by = $crate::sm2::field::Portable;
                $value
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let $by = $crate::sm2::field::Portable;
            $value
        }
    }};
}
pub(super) use with_fastest;

/// An element of the field, always fully reduced. Its operations take references: a copy reads 16 bytes at a time what
/// was just written by 8, for which the CPU waits until the writes have left its store buffer.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize, Debug)]
pub(super) struct Element(Limbs);

impl Element {
    pub(super) const ZERO: Self = Self([0; 4]);
    pub(super) const ONE: Self = Self(R);

    /// From a number below p.
    pub(super) const fn new(number: &Limbs) -> Self {
        Self(reduce(multiply(number, &R_SQUARED)))
    }

    /// From 32 bytes; nothing if they are not below p.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let number = from_be_bytes(bytes);
        (limbs::sub(&number, &P).1 == 1).then(|| Self::new(&number))
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        to_be_bytes(&self.to_number())
    }

    pub(super) fn to_number(self) -> Limbs {
        let [a, b, c, d] = self.0;
        reduce([a, b, c, d, 0, 0, 0, 0])
    }

    #[inline(always)]
    pub(super) fn add(&self, other: &Self) -> Self {
        Self(add_reduced(&self.0, &other.0))
    }

    #[inline(always)]
    pub(super) fn double(&self) -> Self {
        self.add(self)
    }

    #[inline(always)]
    pub(super) fn sub(&self, other: &Self) -> Self {
        Self(sub_reduced(&self.0, &other.0))
    }

    #[inline(always)]
    pub(super) fn negate(&self) -> Self {
        Self::ZERO.sub(self)
    }

    /// Half of it: what doubled gives it.
    #[inline(always)]
    pub(super) fn half(&self) -> Self {
        Self(half_reduced(&self.0))
    }

    #[inline(never)]
    pub(super) fn multiply(&self, other: &Self) -> Self {
        with_fastest!(by => by.multiply(self, other))
    }

    #[inline(never)]
    pub(super) fn square(&self) -> Self {
        with_fastest!(by => by.square(self))
    }

    /// The inverse; of zero: zero.
    pub(super) fn invert(self) -> Self {
        // Of x·R comes (x·R)^-1; R^3 and the reduction's R^-1 make it x^-1·R.
        Self(MODULUS.invert(&self.0)).multiply(&Self(R_CUBED))
    }

    #[inline]
    pub(super) fn is_zero(&self) -> Choice {
        limbs::is_zero(&self.0)
    }

    pub(super) const fn raw(self) -> Limbs {
        self.0
    }

    pub(super) const fn from_raw(limbs: Limbs) -> Self {
        Self(limbs)
    }
}

impl ConditionallySelectable for Element {
    #[inline]
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self(x86::select(&a.0, &b.0, choice));
        #[cfg(not(target_arch = "x86_64"))]
        Self(limbs::select(&a.0, &b.0, choice))
    }
}

/// Montgomery reduction. As p is -1 modulo 2^64, the multiple of p that clears the lowest limb m is m·p, and
/// (m·p + m)·2^-64 = m·(2^192 - 2^160 - 2^32 + 1) takes shifts and no multiplication. Four steps on the low half
/// leave a number not above p, to which the high half is added.
#[inline(always)]
const fn reduce(t: [u64; 8]) -> Limbs {
    let (mut low, mut i) = ([t[0], t[1], t[2], t[3]], 0);
    while i < 4 {
        let m = low[0];
        let (high_half, low_half) = (m >> 32, m << 32);
        // Both carries beyond the fourth limb cancel: the exact result fits.
        let (sum, _) = limbs::add(&[low[1], low[2], low[3], 0], &[m, 0, 0, m]);
        (low, _) = limbs::sub(&sum, &[low_half, high_half, low_half, high_half]);
        i += 1;
    }
    let (sum, carry) = limbs::add(&low, &[t[4], t[5], t[6], t[7]]);
    reduce_once(&sum, carry, &P)
}

#[inline(always)]
fn add_reduced(a: &Limbs, b: &Limbs) -> Limbs {
    #[cfg(target_arch = "x86_64")]
    return x86::add(a, b);
    #[cfg(not(target_arch = "x86_64"))]
    add_mod(a, b, &P)
}

#[inline(always)]
fn sub_reduced(a: &Limbs, b: &Limbs) -> Limbs {
    #[cfg(target_arch = "x86_64")]
    return x86::sub(a, b);
    #[cfg(not(target_arch = "x86_64"))]
    sub_mod(a, b, &P)
}

#[inline(always)]
fn half_reduced(a: &Limbs) -> Limbs {
    #[cfg(target_arch = "x86_64")]
    return x86::half(a);
    #[cfg(not(target_arch = "x86_64"))]
    limbs::half_mod(a, &P)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sm2::limbs::{montgomery_factor, montgomery_reduce};
    use proptest::prelude::*;

    #[test]
    fn the_short_reduction_is_montgomerys() {
        let limb = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(u64::MAX << 32), Just(1)];
        let limbs = proptest::array::uniform4(limb);
        proptest!(ProptestConfig::with_cases(20_000), |(a in limbs.clone(), b in limbs)| {
            let (a, b) = (reduce_once(&a, 0, &P), reduce_once(&b, 0, &P));
            let wide = multiply(&a, &b);
            prop_assert_eq!(reduce(wide), montgomery_reduce(wide, &P, montgomery_factor(&P)));
            prop_assert_eq!(square(&a), multiply(&a, &a));
            prop_assert_eq!(add_reduced(&a, &b), limbs::add_mod(&a, &b, &P));
            prop_assert_eq!(sub_reduced(&a, &b), limbs::sub_mod(&a, &b, &P));
            for (choice, wanted) in [(Choice::from(0), a), (Choice::from(1), b)] {
                let taken = Element::conditional_select(&Element(a), &Element(b), choice);
                prop_assert_eq!(taken, Element(wanted));
                prop_assert_eq!(limbs::select(&a, &b, choice), wanted);
            }
            prop_assert_eq!(half_reduced(&a), limbs::half_mod(&a, &P));
            prop_assert_eq!(add_reduced(&half_reduced(&a), &half_reduced(&a)), a);
            let (a, b) = (Element(a), Element(b));
            prop_assert_eq!(Portable.multiply(&a, &b), Element(reduce(wide)));
            prop_assert_eq!(Portable.square(&a), Portable.multiply(&a, &a));
            #[cfg(target_arch = "x86_64")]
            if let Some(adx) = Adx::detect() {
                prop_assert_eq!(adx.multiply(&a, &b), Portable.multiply(&a, &b));
                prop_assert_eq!(adx.square(&a), Portable.square(&a));
            }
        });
    }

    #[test]
    fn edges_and_inverses() {
        let top = Element::new(&limbs::sub(&P, &[1, 0, 0, 0]).0);
        assert_eq!(top.add(&Element::ONE), Element::ZERO);
        assert_eq!(top.square(), Element::ONE);
        assert_eq!(Element::ZERO.invert(), Element::ZERO);
        for i in 0..256 {
            // Numbers with one bit, all lower bits, and the same below p.
            let mut limbs = [0; 4];
            limbs[i / 64] = 1 << (i % 64);
            for limbs in [limbs, limbs::sub(&limbs, &[1, 0, 0, 0]).0, limbs::sub(&P, &limbs).0] {
                let a = Element::from_raw(reduce_once(&limbs, 0, &P));
                let product = if a == Element::ZERO { Element::ZERO } else { Element::ONE };
                assert_eq!(a.multiply(&a.invert()), product);
            }
        }
        assert!(Element::from_bytes(&to_be_bytes(&P)).is_none());
        proptest!(|(a: [u64; 4])| {
            let a = Element::new(&reduce_once(&a, 0, &P));
            prop_assume!(a != Element::ZERO);
            prop_assert_eq!(a.multiply(&a.invert()), Element::ONE);
            prop_assert_eq!(a.invert().invert(), a);
            prop_assert_eq!(Element::from_bytes(&a.to_bytes()), Some(a));
        });
    }
}
