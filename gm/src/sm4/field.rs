//! The algebra of the S-box, evaluated by the compiler: every table the other files use is derived here.
//!
//! SM4's S-box is `S(x) = A·inv(A·x + c) + c` with the inversion in GF(2^8) modulo x^8+x^7+x^6+x^5+x^4+x^2+1.
//! An inversion looks the same in every representation of the field, so an isomorphism carries it to the field of
//! AES (where the CPU has an instruction for it) or to a tower of small fields (where it is a short boolean circuit).
//! A linear map of bytes is written as its 8 columns: column j is the image of `1 << j`.

/// A linear map on bytes, as columns.
pub(super) type Map = [u8; 8];

/// Polynomial of SM4's field.
const SM4_POLY: u16 = 0x1f5;
/// Polynomial of AES's field (also that of the GFNI instructions).
const AES_POLY: u16 = 0x11b;
/// The affine constant `c` of SM4's S-box.
pub(super) const SM4_CONSTANT: u8 = 0xd3;
/// The affine constant of AES's S-box.
const AES_CONSTANT: u8 = 0x63;

/// Product in GF(2)[x] modulo `poly` (of degree 8).
const fn multiply(a: u8, b: u8, poly: u16) -> u8 {
    let (mut a, mut b, mut product) = (a as u16, b, 0u16);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= poly;
        }
        b >>= 1;
    }
    product as u8
}

pub(super) const fn apply(map: &Map, x: u8) -> u8 {
    let (mut y, mut j) = (0, 0);
    while j < 8 {
        if x >> j & 1 == 1 {
            y ^= map[j];
        }
        j += 1;
    }
    y
}

/// `a` after `b`.
const fn compose(a: &Map, b: &Map) -> Map {
    let (mut c, mut j) = ([0; 8], 0);
    while j < 8 {
        c[j] = apply(a, b[j]);
        j += 1;
    }
    c
}

const fn invert(map: &Map) -> Map {
    let (mut inverse, mut x) = ([0; 8], 0u16);
    while x < 256 {
        let y = apply(map, x as u8);
        if y.is_power_of_two() {
            inverse[y.trailing_zeros() as usize] = x as u8;
        }
        x += 1;
    }
    inverse
}

/// The map whose output bit i is the parity of `x & first_row.rotate_left(i)`.
const fn circulant(first_row: u8) -> Map {
    let (mut map, mut j) = ([0; 8], 0);
    while j < 8 {
        let mut i = 0;
        while i < 8 {
            map[j] |= (first_row.rotate_left(i as u32) >> j & 1) << i;
            i += 1;
        }
        j += 1;
    }
    map
}

/// Columns 1, g, g², … of the isomorphism that sends SM4's generator to the root `g` of its polynomial.
macro_rules! isomorphism {
    ($multiply:expr) => {{
        let (mut g, mut found) = (2u16, [0; 8]);
        while g < 256 {
            let (mut powers, mut j) = ([1u8; 8], 1);
            while j < 8 {
                powers[j] = $multiply(powers[j - 1], g as u8);
                j += 1;
            }
            if $multiply(powers[7], g as u8) == apply(&powers, SM4_POLY as u8) {
                found = powers;
                break;
            }
            g += 1;
        }
        found
    }};
}

const fn multiply_aes(a: u8, b: u8) -> u8 {
    multiply(a, b, AES_POLY)
}

const A: Map = circulant(0xa7);
const TO_AES: Map = isomorphism!(multiply_aes);
const AES_AFFINE: Map = circulant(0xf1);

/// L(B) of SM4 on one byte b of B: what lands in the same byte, and in the next two more significant ones.
/// What lands in the third is the sum of both maps, which saves a third table.
const SAME_BYTE: Map = shift_map(true);
const NEXT_BYTES: Map = shift_map(false);

const fn shift_map(same: bool) -> Map {
    let (mut map, mut j) = ([0; 8], 0);
    while j < 8 {
        let b = 1u8 << j;
        map[j] = if same { b ^ (b << 2) } else { b.rotate_left(2) };
        j += 1;
    }
    map
}

/// Into the representation in which the SIMD paths keep the cipher's state: `inv` needs no map before it there.
pub(super) const ENTER: Map = compose(&TO_AES, &A);
/// What [`ENTER`] leaves out of the affine map; the round keys carry it.
pub(super) const ENTER_CONSTANT: u8 = apply(&TO_AES, SM4_CONSTANT);
/// Back from that representation.
pub(super) const LEAVE: Map = invert(&ENTER);

/// From an inversion in AES's field to the two outputs of L, in the state's representation, with their constants.
pub(super) const FROM_INVERSE: [(Map, u8); 2] = [from_inverse(&SAME_BYTE), from_inverse(&NEXT_BYTES)];
/// The same from the output of AES's S-box.
pub(super) const FROM_AES: [(Map, u8); 2] = [from_aes(FROM_INVERSE[0]), from_aes(FROM_INVERSE[1])];

const fn from_inverse(spread: &Map) -> (Map, u8) {
    let out = compose(&ENTER, spread);
    (compose(&out, &compose(&A, &invert(&TO_AES))), apply(&out, SM4_CONSTANT))
}

const fn from_aes((map, constant): (Map, u8)) -> (Map, u8) {
    let map = compose(&map, &invert(&AES_AFFINE));
    (map, constant ^ apply(&map, AES_CONSTANT))
}

/// GF(4) = {0, 1, w, w+1}, w² = w + 1.
const fn multiply_4(a: u8, b: u8) -> u8 {
    let (high, low) = ((a >> 1) & (b >> 1), a & b & 1);
    let middle = ((a >> 1) ^ (a & 1)) & ((b >> 1) ^ (b & 1));
    (middle ^ low) << 1 | (low ^ high)
}

/// GF(16) over GF(4): v² = v + w.
const fn multiply_16(a: u8, b: u8) -> u8 {
    let (high, low) = (multiply_4(a >> 2, b >> 2), multiply_4(a & 3, b & 3));
    let middle = multiply_4((a >> 2) ^ (a & 3), (b >> 2) ^ (b & 3));
    (middle ^ low) << 2 | (low ^ multiply_4(high, 2))
}

/// GF(256) over GF(16): u² = u + [`NU`].
const fn multiply_tower(a: u8, b: u8) -> u8 {
    let (high, low) = (multiply_16(a >> 4, b >> 4), multiply_16(a & 15, b & 15));
    let middle = multiply_16((a >> 4) ^ (a & 15), (b >> 4) ^ (b & 15));
    (middle ^ low) << 4 | (low ^ multiply_16(high, NU))
}

/// The smallest ν for which u² + u + ν has no root in GF(16).
pub(super) const NU: u8 = {
    let mut nu = 1;
    loop {
        let (mut t, mut has_root) = (0, false);
        while t < 16 {
            has_root |= multiply_16(t, t) ^ t == nu;
            t += 1;
        }
        if !has_root {
            break nu;
        }
        nu += 1;
    }
};

const TO_TOWER: Map = isomorphism!(multiply_tower);
/// SM4's first affine map into the tower, without its constant.
pub(super) const ENTER_TOWER: Map = compose(&TO_TOWER, &A);
/// Its constant.
pub(super) const ENTER_TOWER_CONSTANT: u8 = apply(&TO_TOWER, SM4_CONSTANT);
/// SM4's second affine map out of the tower, without its constant.
pub(super) const LEAVE_TOWER: Map = compose(&A, &invert(&TO_TOWER));

/// A linear map as two tables of 16, by low and by high nibble, `constant` in the first.
#[cfg(target_arch = "x86_64")]
pub(super) const fn nibble_tables(map: &Map, constant: u8) -> [[u8; 16]; 2] {
    let (mut tables, mut i) = ([[0; 16]; 2], 0);
    while i < 16 {
        tables[0][i] = apply(map, i as u8) ^ constant;
        tables[1][i] = apply(map, (i as u8) << 4);
        i += 1;
    }
    tables
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn inverse(x: u8, poly: u16) -> u8 {
        (0..=255).find(|&y| multiply(x, y, poly) == 1).unwrap_or(0)
    }

    /// The S-box straight from its definition.
    pub(crate) fn sbox(x: u8) -> u8 {
        apply(&A, inverse(apply(&A, x) ^ SM4_CONSTANT, SM4_POLY)) ^ SM4_CONSTANT
    }

    #[test]
    fn the_definition_gives_the_published_corners() {
        assert_eq!([0x00, 0x01, 0x0f, 0xef, 0xff].map(sbox), [0xd6, 0x90, 0x05, 0x84, 0x48]);
    }

    #[test]
    fn both_routes_through_the_field_of_aes_give_l_of_s() {
        for x in 0..=255u8 {
            let input = apply(&ENTER, x) ^ ENTER_CONSTANT;
            let inverted = inverse(input, AES_POLY);
            let aes = apply(&AES_AFFINE, inverted) ^ AES_CONSTANT;
            let s = sbox(x);
            for (i, wanted) in [s ^ (s << 2), s.rotate_left(2)].into_iter().enumerate() {
                let (map, constant) = FROM_INVERSE[i];
                assert_eq!(apply(&LEAVE, apply(&map, inverted) ^ constant), wanted);
                let (map, constant) = FROM_AES[i];
                assert_eq!(apply(&LEAVE, apply(&map, aes) ^ constant), wanted);
            }
        }
    }

    #[test]
    fn the_tower_is_the_same_field() {
        for x in 0..=255u8 {
            let entered = apply(&ENTER_TOWER, x) ^ ENTER_TOWER_CONSTANT;
            let inverted = (0..=255).find(|&y| multiply_tower(entered, y) == 1).unwrap_or(0);
            assert_eq!(apply(&LEAVE_TOWER, inverted) ^ SM4_CONSTANT, sbox(x));
        }
    }
}
