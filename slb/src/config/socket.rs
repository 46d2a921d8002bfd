//! Options of sockets.

use serde::{Deserialize, Serialize};
use transport::SocketOptions;

/// As [`SocketOptions`], with other defaults: a balancer carries what others say, and how long a reader may take is
/// between these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketConfig {
    /// Send small writes at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Send buffer, bytes (SO_SNDBUF).
    pub send_buffer_bytes: usize,
    /// Receive buffer, bytes (SO_RCVBUF).
    pub receive_buffer_bytes: usize,
    /// Idle time before the system asks whether the peer is still there, seconds (SO_KEEPALIVE).
    pub keepalive_s: u32,
    /// How long sent bytes may stay unacknowledged, milliseconds (TCP_USER_TIMEOUT). Linux counts the time for which a peer
    /// that lives has no room for more (its window is zero) too.
    pub user_timeout_ms: u32,
    /// Connections that wait to be accepted, at most (listen backlog).
    pub backlog: u32,
}

impl Default for SocketConfig {
    fn default() -> Self {
        let options = SocketOptions::default();
        Self {
            nodelay: options.nodelay,
            send_buffer_bytes: options.send_buffer_bytes,
            receive_buffer_bytes: options.receive_buffer_bytes,
            keepalive_s: options.keepalive_s,
            user_timeout_ms: 0,
            backlog: options.backlog,
        }
    }
}

impl From<SocketConfig> for SocketOptions {
    fn from(config: SocketConfig) -> Self {
        let SocketConfig {
            nodelay,
            send_buffer_bytes,
            receive_buffer_bytes,
            keepalive_s,
            user_timeout_ms,
            backlog,
        } = config;
        Self { nodelay, send_buffer_bytes, receive_buffer_bytes, keepalive_s, user_timeout_ms, backlog }
    }
}
