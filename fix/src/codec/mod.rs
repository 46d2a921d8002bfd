//! Tag=value framing: [`decode`] finds a message in a receive buffer, [`Message`] reads its fields in place,
//! [`Encoder`] writes one. Nothing here allocates but the buffer that the caller hands to the encoder.

mod checksum;
mod encode;
mod field;
mod frame;
mod number;
#[cfg(test)]
mod tests;

pub use checksum::checksum;
pub use encode::Encoder;
pub use field::{Field, FieldError, Fields};
pub use frame::{Decoded, Garble, Limits, Message, decode};
pub use number::unsigned;
pub(crate) use number::{decimal_digits, signed};

/// The delimiter after each field.
pub const SOH: u8 = 1;
/// BeginString of this crate's sessions.
pub const BEGIN_STRING: &[u8] = b"FIX.4.4";
