//! Numbers of 256 bits as four 64-bit limbs, lowest first, and arithmetic modulo a number. All of it constant time.

#[cfg(any(test, not(target_arch = "x86_64")))]
use subtle::ConditionallySelectable;
use subtle::{Choice, ConstantTimeEq};

pub(super) type Limbs = [u64; 4];

const fn carrying_add(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry);
    (sum, (first | second) as u64)
}

const fn borrowing_sub(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let (difference, first) = a.overflowing_sub(b);
    let (difference, second) = difference.overflowing_sub(borrow);
    (difference, (first | second) as u64)
}

/// `sum + carry·x + product` cannot overflow 128 bits.
const fn multiply_add(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = sum as u128 + a as u128 * b as u128 + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}

/// The sum and its carry.
#[inline]
pub(super) const fn add(a: &Limbs, b: &Limbs) -> (Limbs, u64) {
    let (r0, c) = carrying_add(a[0], b[0], 0);
    let (r1, c) = carrying_add(a[1], b[1], c);
    let (r2, c) = carrying_add(a[2], b[2], c);
    let (r3, c) = carrying_add(a[3], b[3], c);
    ([r0, r1, r2, r3], c)
}

/// The difference and its borrow.
#[inline]
pub(super) const fn sub(a: &Limbs, b: &Limbs) -> (Limbs, u64) {
    let (r0, c) = borrowing_sub(a[0], b[0], 0);
    let (r1, c) = borrowing_sub(a[1], b[1], c);
    let (r2, c) = borrowing_sub(a[2], b[2], c);
    let (r3, c) = borrowing_sub(a[3], b[3], c);
    ([r0, r1, r2, r3], c)
}

/// A mask that the compiler knows nothing of: what it knows to be all ones or none it may make a branch of, and has.
#[inline(always)]
const fn barrier(mask: u64) -> u64 {
    std::hint::black_box(mask)
}

const fn mask(a: &Limbs, mask: u64) -> Limbs {
    [a[0] & mask, a[1] & mask, a[2] & mask, a[3] & mask]
}

/// `a + carry·2^256` less the modulus once, if it is not below it.
#[inline]
pub(super) const fn reduce_once(a: &Limbs, carry: u64, modulus: &Limbs) -> Limbs {
    let (reduced, borrow) = sub(a, modulus);
    let keep = barrier(0u64.wrapping_sub(borrow & (carry ^ 1)));
    let mut r = [0; 4];
    let mut i = 0;
    while i < 4 {
        r[i] = reduced[i] ^ (keep & (a[i] ^ reduced[i]));
        i += 1;
    }
    r
}

#[inline]
pub(super) const fn add_mod(a: &Limbs, b: &Limbs, modulus: &Limbs) -> Limbs {
    let (sum, carry) = add(a, b);
    reduce_once(&sum, carry, modulus)
}

#[inline]
pub(super) const fn sub_mod(a: &Limbs, b: &Limbs, modulus: &Limbs) -> Limbs {
    let (difference, borrow) = sub(a, b);
    add(&difference, &mask(modulus, barrier(0u64.wrapping_sub(borrow)))).0
}

/// The number of which it is twice, modulo an odd number.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) const fn half_mod(a: &Limbs, modulus: &Limbs) -> Limbs {
    // Even already, or made so.
    let (even, carry) = add(a, &mask(modulus, barrier(0u64.wrapping_sub(a[0] & 1))));
    [
        even[0] >> 1 | even[1] << 63,
        even[1] >> 1 | even[2] << 63,
        even[2] >> 1 | even[3] << 63,
        even[3] >> 1 | carry << 63,
    ]
}

/// 2^`bits` modulo the modulus; for constants.
pub(super) const fn power_of_two(bits: u32, modulus: &Limbs) -> Limbs {
    let (mut power, mut i) = ([1, 0, 0, 0], 0);
    while i < bits {
        power = add_mod(&power, &power, modulus);
        i += 1;
    }
    power
}

#[inline(always)]
pub(super) const fn multiply(a: &Limbs, b: &Limbs) -> [u64; 8] {
    let mut t = [0; 8];
    let mut i = 0;
    while i < 4 {
        let (r0, c) = multiply_add(t[i], a[i], b[0], 0);
        let (r1, c) = multiply_add(t[i + 1], a[i], b[1], c);
        let (r2, c) = multiply_add(t[i + 2], a[i], b[2], c);
        let (r3, c) = multiply_add(t[i + 3], a[i], b[3], c);
        t[i] = r0;
        t[i + 1] = r1;
        t[i + 2] = r2;
        t[i + 3] = r3;
        t[i + 4] = c;
        i += 1;
    }
    t
}

#[inline(always)]
pub(super) const fn square(a: &Limbs) -> [u64; 8] {
    // Every product of two different limbs once, then doubled, then the squares.
    let (r1, c) = multiply_add(0, a[0], a[1], 0);
    let (r2, c) = multiply_add(0, a[0], a[2], c);
    let (r3, r4) = multiply_add(0, a[0], a[3], c);
    let (r3, c) = multiply_add(r3, a[1], a[2], 0);
    let (r4, r5) = multiply_add(r4, a[1], a[3], c);
    let (r5, r6) = multiply_add(r5, a[2], a[3], 0);
    let doubled = [
        0,
        r1 << 1,
        r2 << 1 | r1 >> 63,
        r3 << 1 | r2 >> 63,
        r4 << 1 | r3 >> 63,
        r5 << 1 | r4 >> 63,
        r6 << 1 | r5 >> 63,
        r6 >> 63,
    ];
    let mut t = [0; 8];
    let (mut i, mut carry) = (0, 0);
    while i < 4 {
        let square = a[i] as u128 * a[i] as u128;
        let (low, c) = carrying_add(doubled[2 * i], square as u64, carry);
        let (high, c) = carrying_add(doubled[2 * i + 1], (square >> 64) as u64, c);
        t[2 * i] = low;
        t[2 * i + 1] = high;
        carry = c;
        i += 1;
    }
    t
}

/// Montgomery reduction: `t·2^-256` modulo the modulus, with `factor = -modulus^-1` modulo 2^64.
#[inline]
pub(super) const fn montgomery_reduce(mut t: [u64; 8], modulus: &Limbs, factor: u64) -> Limbs {
    let (mut i, mut carry) = (0, 0);
    while i < 4 {
        let m = t[i].wrapping_mul(factor);
        let (_, c) = multiply_add(t[i], m, modulus[0], 0);
        let (r1, c) = multiply_add(t[i + 1], m, modulus[1], c);
        let (r2, c) = multiply_add(t[i + 2], m, modulus[2], c);
        let (r3, c) = multiply_add(t[i + 3], m, modulus[3], c);
        let (r4, c) = carrying_add(t[i + 4], c, carry);
        t[i + 1] = r1;
        t[i + 2] = r2;
        t[i + 3] = r3;
        t[i + 4] = r4;
        carry = c;
        i += 1;
    }
    reduce_once(&[t[4], t[5], t[6], t[7]], carry, modulus)
}

/// `-modulus^-1` modulo 2^64, by Newton's iteration; for constants.
pub(super) const fn montgomery_factor(modulus: &Limbs) -> u64 {
    let (mut inverse, mut i) = (1u64, 0);
    while i < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(modulus[0].wrapping_mul(inverse)));
        i += 1;
    }
    inverse.wrapping_neg()
}

pub(super) const fn from_be_bytes(bytes: &[u8; 32]) -> Limbs {
    let (mut limbs, mut i) = ([0u64; 4], 0);
    while i < 32 {
        limbs[3 - i / 8] = limbs[3 - i / 8] << 8 | bytes[i] as u64;
        i += 1;
    }
    limbs
}

pub(super) fn to_be_bytes(limbs: &Limbs) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, limb) in bytes.as_chunks_mut().0.iter_mut().zip(limbs.iter().rev()) {
        *bytes = limb.to_be_bytes();
    }
    bytes
}

#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) fn select(a: &Limbs, b: &Limbs, choice: Choice) -> Limbs {
    std::array::from_fn(|i| u64::conditional_select(&a[i], &b[i], choice))
}

#[inline]
pub(super) fn is_zero(a: &Limbs) -> Choice {
    (a[0] | a[1] | a[2] | a[3]).ct_eq(&0)
}
