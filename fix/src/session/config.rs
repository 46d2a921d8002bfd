//! What a session is told.

use std::fmt;

use crate::codec::Limits;
use crate::store::OnReset;

/// Who logs on, as Username and Password. Does not show itself in a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Username.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, password hidden)", self.username)
    }
}

/// Which application messages the session hands on; others are answered with a business reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Those of a client: orders, cancels, status requests, mass cancels.
    Orders,
    /// Those of a broker: reports and cancel rejects.
    Reports,
    /// None: the peer only listens.
    Nothing,
}

impl Takes {
    /// BusinessMessageReject is always taken.
    pub(super) fn takes(self, msg_type: &[u8]) -> bool {
        match msg_type {
            b"j" => true,
            b"D" | b"F" | b"H" | b"q" => self == Self::Orders,
            b"8" | b"9" | b"r" => self == Self::Reports,
            _ => false,
        }
    }
}

/// A session's settings. [`Config::new`] gives everything but the names a value that suits most.
#[derive(Clone, Debug)]
pub struct Config {
    /// SenderCompID of what we send.
    pub sender_comp_id: String,
    /// TargetCompID of what we send: the peer.
    pub target_comp_id: String,
    /// Which application messages are handed on.
    pub takes: Takes,
    /// Initiator: HeartBtInt that is asked for.
    pub heart_bt_s: u16,
    /// The shortest HeartBtInt that is taken; 0 allows a session without heartbeats.
    pub heart_bt_s_min: u16,
    /// The longest HeartBtInt that is taken: it bounds how long a dead peer is kept.
    pub heart_bt_s_max: u16,
    /// Initiator: sent with the logon.
    pub credentials: Option<Credentials>,
    /// Initiator: begin both numbers at 1 with each logon.
    pub reset_on_logon: bool,
    /// Whether a peer may begin both numbers at 1, and so give up what it did not receive.
    pub accept_reset: bool,
    /// What a reset means for the marks in the store ([`crate::store::Store::set_mark`]).
    pub on_reset: OnReset,
    /// Whether application messages are sent again when asked for. A peer that trades may rather not repeat stale
    /// orders: then a gap fill stands in for them.
    pub resend_applications: bool,
    /// Bounds of a message.
    pub limits: Limits,
    /// From the connection to the logon, and from the logon to its answer.
    pub logon_timeout_ms: u32,
    /// From our logout to the peer's.
    pub logout_timeout_ms: u32,
    /// From a ResendRequest to the next message that fills the gap; then it is asked again.
    pub resend_timeout_ms: u32,
    /// How often a gap is asked for without getting anywhere.
    pub resend_attempts_max: u8,
    /// How far SendingTime may be from our time of day; 0: not looked at.
    pub sending_time_slack_ms: u32,
    /// The widest gap in the peer's numbers that is asked for; beyond it the session ends.
    pub gap_max: u64,
    /// How many bytes are sent again at once; [`super::Session::resume`] goes on.
    pub resend_burst_bytes: usize,
}

impl Config {
    /// Usual settings.
    #[must_use]
    pub fn new(sender_comp_id: &str, target_comp_id: &str, takes: Takes) -> Self {
        Self {
            sender_comp_id: sender_comp_id.to_owned(),
            target_comp_id: target_comp_id.to_owned(),
            takes,
            heart_bt_s: 30,
            heart_bt_s_min: 1,
            heart_bt_s_max: 120,
            credentials: None,
            reset_on_logon: false,
            accept_reset: true,
            on_reset: OnReset::Continue,
            resend_applications: true,
            limits: Limits::default(),
            logon_timeout_ms: 5_000,
            logout_timeout_ms: 2_000,
            resend_timeout_ms: 10_000,
            resend_attempts_max: 3,
            sending_time_slack_ms: 120_000,
            gap_max: 1_000_000,
            resend_burst_bytes: 64 * 1024,
        }
    }
}
