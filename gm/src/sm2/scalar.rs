//! Integers modulo the order n of curveSM2.

use super::invert::Modulus;
use super::limbs::{
    self, Limbs, add_mod, from_be_bytes, montgomery_factor, montgomery_reduce, multiply, power_of_two,
    reduce_once, sub_mod, to_be_bytes,
};
use zeroize::Zeroize;

pub(super) const N: Limbs =
    [0x53bb_f409_39d5_4123, 0x7203_df6b_21c6_052b, 0xffff_ffff_ffff_ffff, 0xffff_fffe_ffff_ffff];
const FACTOR: u64 = montgomery_factor(&N);
const R_SQUARED: Limbs = power_of_two(512, &N);
static MODULUS: Modulus = Modulus::new(N);

/// A number modulo n, always fully reduced, not in Montgomery form.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
pub(super) struct Scalar(Limbs);

impl Scalar {
    pub(super) const ONE: Self = Self([1, 0, 0, 0]);

    /// From 32 bytes; nothing if they are zero or not below n. Says only that much about them. (Never inlined, so that
    /// the check of `examples/constant_time.rs` can tell it from others.)
    #[inline(never)]
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let number = from_be_bytes(bytes);
        let below = limbs::sub(&number, &N).1 == 1;
        (below && !bool::from(limbs::is_zero(&number))).then_some(Self(number))
    }

    /// From 32 bytes modulo n (a number of 256 bits is below 2n).
    pub(super) fn reduce_bytes(bytes: &[u8; 32]) -> Self {
        Self(reduce_once(&from_be_bytes(bytes), 0, &N))
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        to_be_bytes(&self.0)
    }

    pub(super) fn limbs(&self) -> &Limbs {
        &self.0
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self(add_mod(&self.0, &other.0, &N))
    }

    pub(super) fn sub(self, other: Self) -> Self {
        Self(sub_mod(&self.0, &other.0, &N))
    }

    pub(super) fn multiply(self, other: Self) -> Self {
        let scaled = montgomery_reduce(multiply(&self.0, &R_SQUARED), &N, FACTOR);
        Self(montgomery_reduce(multiply(&scaled, &other.0), &N, FACTOR))
    }

    /// The inverse; of zero: zero.
    pub(super) fn invert(self) -> Self {
        Self(MODULUS.invert(&self.0))
    }

    pub(super) fn is_zero(self) -> bool {
        limbs::is_zero(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inverses_and_edges() {
        assert!(Scalar::from_bytes(&[0; 32]).is_none());
        assert!(Scalar::from_bytes(&to_be_bytes(&N)).is_none());
        assert!(Scalar::reduce_bytes(&to_be_bytes(&N)).is_zero());
        proptest!(|(bytes: [u8; 32])| {
            let a = Scalar::reduce_bytes(&bytes);
            prop_assume!(!a.is_zero());
            prop_assert!(a.multiply(a.invert()) == Scalar::ONE);
            prop_assert!(a.add(a).sub(a) == a);
        });
    }
}
