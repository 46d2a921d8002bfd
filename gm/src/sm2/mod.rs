//! SM2 (GB/T 32918-2017): signatures, key agreement by ECDH as TLS uses it, and public-key encryption, on curveSM2.
//!
//! The arithmetic is our own (`field`: Montgomery form with a reduction of shifts; `multiply`: a table of the base
//! point). Everything that touches a secret is constant time; verifying is not, as it touches none.

mod encrypt;
mod field;
mod invert;
mod key;
mod limbs;
mod multiply;
mod pkcs8;
mod point;
mod scalar;
mod select;
mod sign;
#[cfg(test)]
mod tests;

pub use encrypt::{CiphertextFormat, DecryptError, EncryptError, MESSAGE_BYTES_MAX};
pub use key::{EphemeralKey, InvalidPublicKey, InvalidSecretKey, PublicKey, SecretKey};
pub(crate) use pkcs8::ALGORITHM as KEY_ALGORITHM;
pub use pkcs8::KeyDecodeError;
pub use sign::{InvalidSignature, Signature};

use thiserror::Error;

/// The identifier that certificates, and whoever agreed on no other, sign with (GM/T 0009-2012, section 10).
pub const DEFAULT_ID: &[u8] = b"1234567812345678";
/// The identifier of a CertificateVerify in TLS 1.3 (RFC 8998, section 3.2.1).
pub const TLS13_ID: &[u8] = b"TLSv1.3+GM+Cipher+Suite";

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomUnavailable;

/// A uniform secret scalar from the operating system's generator.
fn random_scalar() -> Result<scalar::Scalar, RandomUnavailable> {
    use zeroize::Zeroize;
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| RandomUnavailable)?;
        let scalar = scalar::Scalar::from_bytes(&bytes);
        bytes.zeroize();
        if let Some(scalar) = scalar {
            return Ok(scalar);
        }
    }
}
