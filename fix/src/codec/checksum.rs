//! Hot path: CheckSum. No allocation; a loop that the compiler turns into vector additions.

/// The sum of all bytes, modulo 256.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}
