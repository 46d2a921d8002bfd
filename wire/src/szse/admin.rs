//! The messages that trading and market data share: logon, logout, heartbeat.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::code::SessionStatus;
use super::message::message;
use super::{I32, Text, TextError};

/// Opens a session; the acceptor answers with one of its own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Logon {
    /// SenderCompID.
    pub sender_comp_id: Text<20>,
    /// TargetCompID.
    pub target_comp_id: Text<20>,
    /// HeartBtInt, seconds.
    pub heart_bt_int_s: I32,
    /// Password.
    pub password: Password,
    /// DefaultApplVerID: the version of the protocol, see [`super::code::VERSION_TRADING`].
    pub default_appl_ver_id: Text<32>,
}
message!(Logon, 1, 92);

/// Closes a session or refuses to open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Logout {
    /// SessionStatus: why.
    pub session_status: SessionStatus,
    /// Text: why, for people.
    pub text: Text<200>,
}
message!(Logout, 2, 204);

/// Says that the sender lives.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Heartbeat;
message!(Heartbeat, 3, 0);

/// A password on the wire: 16 bytes padded with spaces. It does not print, and compares in constant time.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct Password(Text<16>);

impl Password {
    /// Pads `password` with spaces.
    ///
    /// # Errors
    /// Longer than 16 bytes or not printable ASCII.
    pub fn new(password: &[u8]) -> Result<Self, TextError> {
        Text::new(password).map(Self)
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.as_bytes().iter().zip(other.0.as_bytes());
        std::hint::black_box(pairs.fold(0, |differ, (mine, theirs)| differ | (mine ^ theirs))) == 0
    }
}

impl Eq for Password {}

impl Default for Password {
    fn default() -> Self {
        Self(Text::BLANK)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_compares_whole_and_does_not_print() {
        let password = Password::new(b"secret").unwrap();
        assert_eq!(password, Password::new(b"secret").unwrap());
        assert_ne!(password, Password::new(b"secreT").unwrap());
        assert_ne!(password, Password::default());
        assert!(!format!("{:?}", Logon { password, ..Logon::default() }).contains("secret"));
    }
}
