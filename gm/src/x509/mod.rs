//! Certificates with SM2 (RFC 5280 with the algorithms of GM/T 0015): an authority, requests, leaves, and reading.
//!
//! Enough to run ShangMi TLS without another tool, and no more: no revocation, no policies. Start at [`Authority`].

mod build;
mod inspect;
mod pem;
mod read;
mod request;
#[cfg(test)]
mod tests;

pub use build::{AltName, Authority, AuthorityError, Leaf, Subject, Usage, Validity};
pub use inspect::describe;
pub use pem::{decode_pem, encode_pem};
pub use read::{Certificate, Malformed, Period};
pub use request::{Request, RequestError};

use crate::der::{element, sequence};

/// The AlgorithmIdentifier of SM2 with SM3 (1.2.156.10197.1.501), without parameters.
const SM2_WITH_SM3: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x75];

/// A BIT STRING of whole bytes.
fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(3, &[&[0], bytes])
}
