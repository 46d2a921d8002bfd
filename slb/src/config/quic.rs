//! What a listener carries, and bounds of its sessions where that is QUIC.

use serde::{Deserialize, Serialize};
use service::config::Invalid;

use super::within;

/// What a listener carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections of TCP.
    #[default]
    Tcp,
    /// Datagrams of QUIC.
    Quic,
}

/// Bounds of a listener's QUIC sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicConfig {
    /// How long one of the two sides may be silent.
    pub idle_timeout_ms: u64,
    /// How long a client may take to show that it hears what it is sent.
    pub handshake_timeout_ms: u64,
    /// Sessions at a time whose clients have not shown that yet.
    pub handshakes_max: usize,
    /// Sessions of one address at a time.
    pub client_sessions_max: usize,
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 90_000,
            handshake_timeout_ms: 10_000,
            handshakes_max: 1_024,
            client_sessions_max: 10_000,
        }
    }
}

impl QuicConfig {
    pub(super) fn validate(&self, key: &str) -> Result<(), Invalid> {
        let day_ms = 86_400_000;
        within(&format!("{key}.idle_timeout_ms"), self.idle_timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.handshake_timeout_ms"), self.handshake_timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.handshakes_max"), self.handshakes_max as u64, 1..=1_000_000)?;
        within(&format!("{key}.client_sessions_max"), self.client_sessions_max as u64, 1..=1_000_000)
    }
}
