//! What comes out of a session.

use super::Credentials;
use crate::codec::{Garble, Message};
use crate::dictionary::{Fault, RejectReason};
use crate::store::StoreError;

/// A peer that wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogonRequest<'a> {
    /// Username, empty where there is none.
    pub username: &'a [u8],
    /// Password, empty where there is none; [`LogonRequest::is_by`] compares it.
    pub password: &'a [u8],
    /// It wants both numbers to begin at 1.
    pub reset: bool,
}

impl LogonRequest<'_> {
    /// Whether Username and Password are these. How long that takes does not tell how much of them is right.
    #[must_use]
    pub fn is_by(&self, credentials: &Credentials) -> bool {
        let password = same(self.password, credentials.password.as_bytes());
        same(self.username, credentials.username.as_bytes()) & password
    }
}

/// Compares all of what was sent, whatever is found on the way.
fn same(sent: &[u8], kept: &[u8]) -> bool {
    let mut differ = usize::from(sent.len() != kept.len());
    for (at, byte) in sent.iter().enumerate() {
        let other = kept.get(at).copied().unwrap_or(!byte);
        differ |= usize::from(std::hint::black_box(byte ^ other));
    }
    std::hint::black_box(differ) == 0
}

/// What a received message means.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Acceptor: the peer wants in. Answer at once with [`super::Session::accept_logon`] or
    /// [`super::Session::refuse_logon`].
    LogonRequest(LogonRequest<'a>),
    /// Initiator: the session is open.
    LoggedOn,
    /// An application message that is next in sequence and as the dictionary wants it.
    Application {
        /// The message.
        message: Message<'a>,
        /// Its MsgSeqNum.
        number: u64,
        /// It may have been sent before: PossDupFlag or PossResend.
        may_repeat: bool,
    },
    /// The peer refuses one of our messages with a Reject.
    Rejected(Message<'a>),
    /// The session dealt with it.
    Handled(Handled),
    /// The peer ended the session, answered our logout, or refused our logon; close.
    LoggedOut {
        /// Text, empty where there is none.
        text: &'a [u8],
    },
}

/// What the session dealt with by itself: for counters and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// A session message.
    Admin,
    /// Bytes that are no message were skipped.
    Garbled(Garble),
    /// A number is missing before this message: it was dropped, and is asked for with what is missing.
    OutOfSequence,
    /// Had before, and said to be a repetition: dropped.
    Duplicate,
    /// Answered with a Reject.
    Rejected(Fault),
    /// Answered with a business reject: the message type is not taken here.
    Unsupported,
    /// Both numbers began at 1 again, as the peer wished.
    Reset,
}

/// A message taken off the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What it means.
    pub event: Event<'a>,
    /// Bytes to take off the receive buffer.
    pub consumed: usize,
}

/// Why a session is over. Where the peer is to know, a Logout with the reason is in `out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The connection is over, or was never begun.
    #[error("not connected")]
    Closed,
    /// The first message is not a logon.
    #[error("the first message is not a logon")]
    NotLogon,
    /// The logon is not as it must be.
    #[error("the logon is not valid")]
    BadLogon(RejectReason),
    /// The logon is of another version, or of other parties.
    #[error("the logon is not for this session")]
    WrongSession,
    /// EncryptMethod is not 0.
    #[error("EncryptMethod is not supported")]
    EncryptMethod,
    /// HeartBtInt is out of bounds.
    #[error("HeartBtInt {stated_s} is not from {min_s} to {max_s}")]
    HeartBtInt {
        /// What the peer states.
        stated_s: u64,
        /// The shortest taken.
        min_s: u16,
        /// The longest taken.
        max_s: u16,
    },
    /// ResetSeqNumFlag, and it is not allowed or MsgSeqNum is not 1.
    #[error("ResetSeqNumFlag is not taken")]
    Reset,
    /// A logon while logged on.
    #[error("logged on already")]
    SecondLogon,
    /// A message without a number.
    #[error("MsgSeqNum missing")]
    NoNumber,
    /// A number that was had before, and no word of a repetition.
    #[error("MsgSeqNum too low, expecting {expected} but received {received}")]
    TooLow {
        /// The next number expected.
        expected: u64,
        /// The number received.
        received: u64,
    },
    /// More numbers are missing than are asked for.
    #[error("MsgSeqNum too high, expecting {expected} but received {received}")]
    GapTooWide {
        /// The next number expected.
        expected: u64,
        /// The number received.
        received: u64,
    },
    /// The peer does not send again what it was asked for.
    #[error("ResendRequest was not answered")]
    ResendUnanswered,
    /// No logon, or no answer to ours, in time.
    #[error("no logon in time")]
    LogonTimeout,
    /// No answer to our logout in time.
    #[error("no answer to the logout in time")]
    LogoutTimeout,
    /// Nothing came for too long, a test request included.
    #[error("no heartbeat in time")]
    PeerSilent,
    /// What must be remembered cannot be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SessionError {
    /// Whether the peer is told, with a Logout: not if it is no known peer, is not there, or cannot be told safely.
    pub(super) const fn is_told(self) -> bool {
        match self {
            Self::Closed
            | Self::NotLogon
            | Self::BadLogon(_)
            | Self::WrongSession
            | Self::LogonTimeout
            | Self::LogoutTimeout
            | Self::Store(_) => false,
            Self::EncryptMethod
            | Self::HeartBtInt { .. }
            | Self::Reset
            | Self::SecondLogon
            | Self::NoNumber
            | Self::TooLow { .. }
            | Self::GapTooWide { .. }
            | Self::ResendUnanswered
            | Self::PeerSilent => true,
        }
    }
}
