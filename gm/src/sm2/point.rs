//! Points of curveSM2: y² = x³ - 3x + b (GB/T 32918.5-2017).

use super::field::{Arithmetic, Element};
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

const fn constant(bytes: [u128; 2]) -> Element {
    Element::new(&[bytes[1] as u64, (bytes[1] >> 64) as u64, bytes[0] as u64, (bytes[0] >> 64) as u64])
}

pub(super) const B: Element =
    constant([0x28e9_fa9e_9d9f_5e34_4d5a_9e4b_cf65_09a7, 0xf397_89f5_15ab_8f92_ddbc_bd41_4d94_0e93]);

/// The base point.
pub(super) const G: Affine = Affine {
    x: constant([0x32c4_ae2c_1f19_8119_5f99_0446_6a39_c994, 0x8fe3_0bbf_f266_0be1_715a_4589_334c_74c7]),
    y: constant([0xbc37_36a2_f4f6_779c_59bd_cee3_6b69_2153, 0xd0a9_877c_c62a_4740_02df_32e5_2139_f0a0]),
};

fn join<const N: usize, const WORDS: usize>(elements: [Element; N]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    words.as_chunks_mut().0.iter_mut().zip(elements).for_each(|(four, element)| *four = element.raw());
    words
}

fn split<const N: usize, const WORDS: usize>(words: &[u64; WORDS]) -> [Element; N] {
    std::array::from_fn(|i| Element::from_raw(words.as_chunks().0[i]))
}

/// A point other than infinity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Zeroize)]
pub(super) struct Affine {
    pub(super) x: Element,
    pub(super) y: Element,
}

impl Affine {
    /// From coordinates; nothing if they are not those of a point of the curve.
    pub(super) fn from_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let (x, y) = (Element::from_bytes(x)?, Element::from_bytes(y)?);
        let three_x = x.double().add(&x);
        let right = x.square().multiply(&x).sub(&three_x).add(&B);
        (y.square() == right).then_some(Self { x, y })
    }

    /// As a row of a table.
    pub(super) fn raw(&self) -> [u64; 8] {
        join([self.x, self.y])
    }

    pub(super) fn from_raw(raw: &[u64; 8]) -> Self {
        let [x, y] = split(raw);
        Self { x, y }
    }

    pub(super) fn negate_if(self, choice: Choice) -> Self {
        Self { x: self.x, y: Element::conditional_select(&self.y, &self.y.negate(), choice) }
    }
}

/// A point (X/Z², Y/Z³); infinity is Z = 0.
#[derive(Clone, Copy, Debug, Zeroize)]
pub(super) struct Jacobian {
    pub(super) x: Element,
    pub(super) y: Element,
    pub(super) z: Element,
}

impl From<Affine> for Jacobian {
    fn from(p: Affine) -> Self {
        Self { x: p.x, y: p.y, z: Element::ONE }
    }
}

impl ConditionallySelectable for Jacobian {
    #[inline]
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self {
            x: Element::conditional_select(&a.x, &b.x, choice),
            y: Element::conditional_select(&a.y, &b.y, choice),
            z: Element::conditional_select(&a.z, &b.z, choice),
        }
    }
}

impl Jacobian {
    pub(super) const INFINITY: Self = Self { x: Element::ONE, y: Element::ONE, z: Element::ZERO };

    /// As a row of a table.
    pub(super) fn raw(&self) -> [u64; 12] {
        join([self.x, self.y, self.z])
    }

    /// Zeros are infinity too.
    pub(super) fn from_raw(raw: &[u64; 12]) -> Self {
        let [x, y, z] = split(raw);
        Self { x, y, z }
    }

    pub(super) fn is_infinity(&self) -> Choice {
        self.z.is_zero()
    }

    pub(super) fn negate_if(self, choice: Choice) -> Self {
        Self { y: Element::conditional_select(&self.y, &self.y.negate(), choice), ..self }
    }

    /// The affine point; infinity gives (0, 0), which is no point.
    pub(super) fn to_affine(self) -> Affine {
        let inverse = self.z.invert();
        let squared = inverse.square();
        Affine { x: self.x.multiply(&squared), y: self.y.multiply(&squared.multiply(&inverse)) }
    }

    /// Twice the point in its place; right for infinity too. With L = 3/2·(X - Z²)(X + Z²) and T = X·Y² it is
    /// (L² - 2·T, L·(T - X3) - Y⁴, Y·Z): the formulas of everywhere, all of them halved, which saves the doublings.
    #[inline]
    pub(super) fn double<A: Arithmetic>(&mut self, by: A) {
        let delta = by.square(&self.z);
        let y_squared = by.square(&self.y);
        let product = by.multiply(&self.x.sub(&delta), &self.x.add(&delta));
        let t = by.multiply(&self.x, &y_squared);
        let l = product.half().add(&product);
        self.z = by.multiply(&self.y, &self.z);
        self.x = by.square(&l).sub(&t.double());
        self.y = by.multiply(&l, &t.sub(&self.x)).sub(&by.square(&y_squared));
    }

    /// The sum. Constant time but for two equal finite points, which secret scalars meet with negligible chance.
    #[inline]
    pub(super) fn add<A: Arithmetic>(&self, other: &Self, by: A) -> Self {
        let sum = self.add_finite(other, other.is_infinity(), by);
        let sum = Self::conditional_select(&sum, other, self.is_infinity());
        Self::conditional_select(&sum, self, other.is_infinity())
    }

    /// The sum with an affine point, or with infinity if `nothing`. Constant time as [`Jacobian::add`] is.
    #[inline]
    pub(super) fn add_affine<A: Arithmetic>(&self, other: &Affine, nothing: Choice, by: A) -> Self {
        let sum = self.add_finite_affine(other, nothing, by);
        let sum = Self::conditional_select(&sum, &Self::from(*other), self.is_infinity());
        Self::conditional_select(&sum, self, nothing)
    }

    /// The sum with a point other than infinity, in time that tells whether this one is infinity: for public points.
    pub(super) fn add_public<A: Arithmetic>(&self, other: &Self, by: A) -> Self {
        if bool::from(self.is_infinity()) { *other } else { self.add_finite(other, Choice::from(0), by) }
    }

    /// As [`Jacobian::add_public`], with an affine point.
    pub(super) fn add_affine_public<A: Arithmetic>(&self, other: &Affine, by: A) -> Self {
        if bool::from(self.is_infinity()) {
            Self::from(*other)
        } else {
            self.add_finite_affine(other, Choice::from(0), by)
        }
    }

    /// The sum if neither is infinity; `nothing` says that the other is.
    #[inline(always)]
    fn add_finite<A: Arithmetic>(&self, other: &Self, nothing: Choice, by: A) -> Self {
        let (z1, z2) = (by.square(&self.z), by.square(&other.z));
        let (u1, u2) = (by.multiply(&self.x, &z2), by.multiply(&other.x, &z1));
        let s1 = by.multiply(&self.y, &by.multiply(&z2, &other.z));
        let s2 = by.multiply(&other.y, &by.multiply(&z1, &self.z));
        let zz = by.multiply(&self.z, &other.z);
        self.add_parts(&u1, &s1, &u2.sub(&u1), &s2.sub(&s1), &zz, nothing, by)
    }

    /// As [`Jacobian::add_finite`], with an affine point.
    #[inline(always)]
    fn add_finite_affine<A: Arithmetic>(&self, other: &Affine, nothing: Choice, by: A) -> Self {
        let z1 = by.square(&self.z);
        let u2 = by.multiply(&other.x, &z1);
        let s2 = by.multiply(&other.y, &by.multiply(&z1, &self.z));
        self.add_parts(&self.x, &self.y, &u2.sub(&self.x), &s2.sub(&self.y), &self.z, nothing, by)
    }

    /// Common end of both additions, for finite points: X1 and Y1 over the common denominator, the differences of
    /// X and Y, and the product of the denominators. (Never inlined: `examples/constant_time.supp` names it.)
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the parts of a formula")]
    fn add_parts<A: Arithmetic>(
        &self,
        x1: &Element,
        y1: &Element,
        h: &Element,
        r: &Element,
        zz: &Element,
        nothing: Choice,
        by: A,
    ) -> Self {
        let same = h.is_zero() & r.is_zero() & !self.is_infinity() & !nothing;
        if bool::from(same) {
            let mut twice = *self;
            twice.double(by);
            return twice;
        }
        let h2 = by.square(h);
        let h3 = by.multiply(&h2, h);
        let v = by.multiply(x1, &h2);
        let x = by.square(r).sub(&h3).sub(&v.double());
        let y = by.multiply(r, &v.sub(&x)).sub(&by.multiply(y1, &h3));
        Self { x, y, z: by.multiply(zz, h) }
    }

    /// Whether X/Z² is the number `x`, without an inversion. Infinity is nothing.
    pub(super) fn has_x(&self, x: &[u8; 32]) -> bool {
        let Some(x) = Element::from_bytes(x) else { return false };
        !bool::from(self.is_infinity()) && x.multiply(&self.z.square()) == self.x
    }
}

/// All the points affine, with one inversion. None may be infinity.
pub(super) fn to_affine_all(points: &[Jacobian]) -> Vec<Affine> {
    let mut products = Vec::with_capacity(points.len());
    let mut product = Element::ONE;
    for point in points {
        products.push(product);
        product = product.multiply(&point.z);
    }
    let mut inverse = product.invert();
    let mut affine: Vec<Affine> = Vec::with_capacity(points.len());
    for (point, before) in points.iter().zip(&products).rev() {
        let z = inverse.multiply(before);
        inverse = inverse.multiply(&point.z);
        let squared = z.square();
        affine.push(Affine { x: point.x.multiply(&squared), y: point.y.multiply(&squared.multiply(&z)) });
    }
    affine.reverse();
    affine
}
