//! What every message of fixed length is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A message of fixed length: its memory is its body on the wire.
pub trait Message: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned {
    /// MsgType of the header.
    const MSG_TYPE: u32;
    /// The name in the specification, for logs and metrics.
    const NAME: &'static str;
}

/// Implements [`Message`] and holds the struct to the body length of the specification at compile time.
macro_rules! message {
    ($name:ident, $msg_type:literal, $body_len:literal) => {
        impl $crate::szse::Message for $name {
            const MSG_TYPE: u32 = $msg_type;
            const NAME: &'static str = stringify!($name);
        }
        const _: () = assert!(size_of::<$name>() == $body_len && align_of::<$name>() == 1);
    };
}
pub(crate) use message;
