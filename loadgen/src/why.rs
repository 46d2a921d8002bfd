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

/// Ends of sessions that are told one by one.
pub const ENDS_MAX: usize = 8;

/// The end of a session within a run.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// CompID of the session.
    pub who: String,
    /// Seconds after the start.
    pub at_s: f64,
    /// Why.
    pub why: String,
}

/// How the first sessions of a thread ended, for who tells of it.
#[derive(Debug, Default)]
pub struct Ends(Mutex<(usize, Vec<End>)>);

impl Ends {
    /// A session ended; only the first [`ENDS_MAX`] are kept.
    pub(crate) fn note(&self, end: End) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.0 < ENDS_MAX {
            ends.0 += 1;
            ends.1.push(end);
        }
    }

    /// Those that were noted since the last time.
    pub(crate) fn take(&self) -> Vec<End> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// Why an open session ended, where the server did not say it.
pub(crate) fn of_open(reason: Reason) -> String {
    match reason {
        Reason::PeerClosed => "connection closed by the peer".to_owned(),
        reason => of_end(reason).unwrap_or_else(|| LOGGED_OUT.to_owned()),
    }
}

/// Why the server ended a session: what it says, or only that it did.
pub(crate) fn said(text: impl Display) -> String {
    let text = text.to_string();
    if text.trim().is_empty() { LOGGED_OUT.to_owned() } else { text }
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
/// The reason of a plain connection that came to a TLS port.
pub(crate) const SPEAKS_TLS: &str =
    "the server speaks TLS: --transport tls (in a scenario transport = \"tls\")";

/// Whether what a server says is an alert of TLS, in its record: no message of ours begins so.
#[inline]
pub(crate) fn is_tls_alert(data: &[u8]) -> bool {
    data.starts_with(&[0x15, 0x03])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ends_are_kept_and_each_is_told_once() {
        let ends = Ends::default();
        let end = |number: usize| End {
            who: format!("client{number}"),
            at_s: 1.0,
            why: of_open(Reason::PeerClosed),
        };
        (0..ENDS_MAX - 1).for_each(|number| ends.note(end(number)));
        assert_eq!(ends.take().len(), ENDS_MAX - 1);
        (0..5).for_each(|number| ends.note(end(number)));
        assert_eq!(ends.take(), [end(0)]);
        assert_eq!(end(0).why, "connection closed by the peer");
    }

    #[test]
    fn a_server_that_gives_no_reason_is_told_as_that() {
        assert_eq!(
            [said("by the operator"), said(""), said("  ")],
            ["by the operator", LOGGED_OUT, LOGGED_OUT]
        );
        assert_eq!(of_open(Reason::App(LOGGED_OUT)), LOGGED_OUT);
    }
}
