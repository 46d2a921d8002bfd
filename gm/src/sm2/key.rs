//! Keys and key agreement.

use super::field::Element;
use super::multiply::{multiply, multiply_base};
use super::point::{Affine, B, G};
use super::scalar::{N, Scalar};
use super::{RandomUnavailable, limbs, random_scalar};
use crate::sm3::{Digest, Sm3};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The bytes are no secret key: a number from 1 to n - 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an SM2 secret key")]
pub struct InvalidSecretKey;

/// The bytes are no point of the curve in uncompressed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an uncompressed point of curveSM2")]
pub struct InvalidPublicKey;

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) point: Affine,
}

impl PublicKey {
    /// Bytes of the uncompressed form.
    pub const BYTES: usize = 65;

    /// From the uncompressed form of SEC 1: 0x04, x, y. Compressed points are refused, as RFC 8446 wants.
    ///
    /// # Errors
    /// When the bytes are of another form, or the point is not on the curve.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        let Ok([form, coordinates @ ..]) = <&[u8; Self::BYTES]>::try_from(bytes) else {
            return Err(InvalidPublicKey);
        };
        let (x, y) = coordinates.split_first_chunk::<32>().ok_or(InvalidPublicKey)?;
        let y = y.try_into().map_err(|_| InvalidPublicKey)?;
        if *form != 4 {
            return Err(InvalidPublicKey);
        }
        Affine::from_coordinates(x, y).map(|point| Self { point }).ok_or(InvalidPublicKey)
    }

    /// The uncompressed form.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; Self::BYTES] {
        let mut bytes = [4; Self::BYTES];
        bytes[1..33].copy_from_slice(&self.point.x.to_bytes());
        bytes[33..].copy_from_slice(&self.point.y.to_bytes());
        bytes
    }

    /// Z of GB/T 32918.2, section 5.5: the hash that binds identifier, curve and key to a signature.
    pub(super) fn identity_hash(&self, id: &[u8]) -> Digest {
        let mut hash = Sm3::new();
        let id_bits = u16::try_from(id.len() * 8).expect("invariant: identifiers have less than 8 KiB");
        hash.update(&id_bits.to_be_bytes());
        hash.update(id);
        let minus_3 = Element::ONE.double().add(&Element::ONE).negate();
        for element in [minus_3, B, G.x, G.y, self.point.x, self.point.y] {
            hash.update(&element.to_bytes());
        }
        hash.finish()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm2::PublicKey(")?;
        self.to_sec1().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A secret key with its public key.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SecretKey {
    pub(super) d: Scalar,
    /// (1 + d)^-1, which every signature needs.
    pub(super) inverse: Scalar,
    #[zeroize(skip)]
    public: PublicKey,
}

impl SecretKey {
    /// Bytes of a secret key.
    pub const BYTES: usize = 32;

    /// A new key for signing, from the operating system's generator.
    ///
    /// # Errors
    /// When that gives nothing.
    pub fn generate() -> Result<Self, RandomUnavailable> {
        loop {
            if let Ok(key) = Self::from_scalar(random_scalar()?) {
                return Ok(key);
            }
        }
    }

    /// From a big-endian number.
    ///
    /// # Errors
    /// When it is not in 1..=n-2.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, InvalidSecretKey> {
        Self::from_scalar(Scalar::from_bytes(bytes).ok_or(InvalidSecretKey)?)
    }

    fn from_scalar(d: Scalar) -> Result<Self, InvalidSecretKey> {
        let plus_one = d.add(Scalar::ONE);
        if plus_one.is_zero() {
            return Err(InvalidSecretKey);
        }
        let public = PublicKey { point: multiply_base(&d).to_affine() };
        Ok(Self { d, inverse: plus_one.invert(), public })
    }

    /// The number, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        Zeroizing::new(self.d.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The x coordinate of the common point with a peer's key (RFC 8446, section 7.4.2).
    #[must_use]
    pub fn diffie_hellman(&self, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
        agree(&self.d, peer)
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sm2::SecretKey(of {:?})", self.public)
    }
}

/// A key for one agreement: cheaper to make than a [`SecretKey`], as it cannot sign.
#[derive(ZeroizeOnDrop)]
pub struct EphemeralKey {
    d: Scalar,
    #[zeroize(skip)]
    public: PublicKey,
}

impl EphemeralKey {
    /// A new key from the operating system's generator.
    ///
    /// # Errors
    /// When that gives nothing.
    pub fn generate() -> Result<Self, RandomUnavailable> {
        let d = random_scalar()?;
        let public = PublicKey { point: multiply_base(&d).to_affine() };
        Ok(Self { d, public })
    }

    /// The public key to send.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// As [`SecretKey::diffie_hellman`].
    #[must_use]
    pub fn diffie_hellman(&self, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
        agree(&self.d, peer)
    }
}

impl std::fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sm2::EphemeralKey(of {:?})", self.public)
    }
}

fn agree(d: &Scalar, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
    // The order of the curve is prime and d is not a multiple of it: the product is never infinity.
    let mut common = multiply(&peer.point, d).to_affine();
    let x = Zeroizing::new(common.x.to_bytes());
    common.zeroize();
    x
}

/// What [`super::sign`] compares r with: a candidate for an x coordinate, r or r + n where that is below p.
pub(super) fn plus_order(number: &[u8; 32]) -> Option<[u8; 32]> {
    let (sum, carry) = limbs::add(&limbs::from_be_bytes(number), &N);
    (carry == 0).then(|| limbs::to_be_bytes(&sum))
}
