//! Why sessions did not come to be, for who waits for them.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use shard::Reason;

/// The last word on why a session of a thread did not come to be, or ended. It is said seldom, and never for a message.
#[derive(Debug, Default)]
pub struct Why(Mutex<Option<String>>);

impl Why {
    /// A session did not come to be, or ended.
    pub(crate) fn tell(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// The same, with what the server says.
    pub(crate) fn quote(&self, what: &str, text: impl Display) {
        self.tell(format!("{what}: {text}"));
    }

    /// What was said last.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a connection ended, for people. `None`: the session has said it better, with the text of a logout.
pub(crate) fn of_end(reason: Reason) -> Option<String> {
    Some(match reason {
        Reason::App(LOGON_REFUSED | LOGGED_OUT) | Reason::Stopped => return None,
        Reason::App(text) | Reason::Tls(text) => text.to_owned(),
        Reason::PeerClosed => "the server closed the connection before the session was open".to_owned(),
        Reason::Io(kind) => format!("the connection failed: {kind}"),
        reason => format!("{reason:?}"),
    })
}

/// The reason of a connection whose logon was refused.
pub(crate) const LOGON_REFUSED: &str = "logon refused";
/// The reason of a connection whose session the server has ended.
pub(crate) const LOGGED_OUT: &str = "logged out";
