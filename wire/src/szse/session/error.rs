//! Why a session ends or does not begin. Each reason maps to one SessionStatus and one text of the logout.

use crate::szse::DecodeError;
use crate::szse::code::SessionStatus;

/// Why a session is over. Every one closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// What came is no frame, or not the message its type says.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// No logon, or no answer to ours, before the deadline.
    #[error("no logon before the deadline")]
    LogonTimeout,
    /// Something else came before the logon was through.
    #[error("message type {msg_type} before the logon")]
    MessageBeforeLogon {
        /// What came.
        msg_type: u32,
    },
    /// A logon within a session.
    #[error("logon within a session")]
    SecondLogon,
    /// The answer to our logon has other CompIDs than we asked for.
    #[error("logon answered with other CompIDs")]
    CompId,
    /// The answer to our logon states a HeartBtInt outside our limits.
    #[error("HeartBtInt of {stated_s} s")]
    HeartBtInt {
        /// What the answer states.
        stated_s: i32,
    },
    /// Nothing came for two heartbeat intervals and the slack.
    #[error("no heartbeat from the peer")]
    PeerSilent,
    /// Our logout was not answered before the deadline.
    #[error("no answer to the logout")]
    LogoutTimeout,
    /// The session was over before.
    #[error("the session is over")]
    Closed,
}

impl SessionError {
    /// SessionStatus of the logout that says so.
    #[must_use]
    pub const fn session_status(self) -> SessionStatus {
        match self {
            Self::Frame(_)
            | Self::MessageBeforeLogon { .. }
            | Self::SecondLogon
            | Self::HeartBtInt { .. } => SessionStatus::INVALID_MESSAGE,
            Self::CompId => SessionStatus::INVALID_CREDENTIALS,
            Self::LogonTimeout | Self::PeerSilent | Self::LogoutTimeout | Self::Closed => {
                SessionStatus::OTHER
            }
        }
    }

    /// Text of the logout that says so; also the value of a metric's label.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Frame(DecodeError::Oversize { .. }) => "frame too large",
            Self::Frame(DecodeError::Checksum { .. }) => "wrong checksum",
            Self::Frame(DecodeError::WrongType { .. }) => "unexpected message type",
            Self::Frame(DecodeError::BodyLength { .. }) => "wrong body length",
            Self::Frame(DecodeError::GroupCount { .. }) => "too many entries in a group",
            Self::LogonTimeout => "logon timeout",
            Self::MessageBeforeLogon { .. } => "message before logon",
            Self::SecondLogon => "second logon",
            Self::CompId => "unexpected CompID",
            Self::HeartBtInt { .. } => "HeartBtInt out of range",
            Self::PeerSilent => "heartbeat timeout",
            Self::LogoutTimeout => "logout timeout",
            Self::Closed => "session closed",
        }
    }
}

/// Why an acceptor refuses a logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logon refused: {}", self.text())]
pub enum LogonRefusal {
    /// CompID or password: which of them is not told.
    Credentials,
    /// The account or CompID is locked.
    Locked,
    /// This CompID has a session.
    AlreadyLoggedOn,
    /// Shutting down, or outside the hours.
    NotNow,
    /// DefaultApplVerID is not spoken here.
    Version,
    /// As many sessions as configured.
    TooManySessions,
}

impl LogonRefusal {
    /// SessionStatus of the logout that says so.
    #[must_use]
    pub const fn session_status(self) -> SessionStatus {
        match self {
            Self::Credentials => SessionStatus::INVALID_CREDENTIALS,
            Self::Locked => SessionStatus::ACCOUNT_LOCKED,
            Self::AlreadyLoggedOn | Self::NotNow | Self::TooManySessions => SessionStatus::LOGON_NOT_ALLOWED,
            Self::Version => SessionStatus::OTHER,
        }
    }

    /// Text of the logout that says so; also the value of a metric's label.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Credentials => "wrong CompID or password",
            Self::Locked => "account locked",
            Self::AlreadyLoggedOn => "already logged on",
            Self::NotNow => "logon not allowed now",
            Self::Version => "unsupported DefaultApplVerID",
            Self::TooManySessions => "too many sessions",
        }
    }
}
