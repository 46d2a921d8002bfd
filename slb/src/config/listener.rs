//! The sections `[[listeners]]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use service::config::Invalid;
use service::proxy::{self, AcceptProxy};
use transport::tls::Network;

use super::{Protocol, QuicConfig, within};

/// Networks of a list at most: each new connection is held against each.
const LIST_MAX: u64 = 1_000;
/// What may come a second at most: a nanosecond each.
const PER_S_MAX: u64 = 1_000_000_000_000;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Its name in metrics and logs.
    pub name: String,
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What it carries.
    #[serde(default)]
    pub protocol: Protocol,
    /// The pool that gets its connections.
    pub pool: String,
    /// Connections at a time.
    #[serde(default = "ListenerConfig::connections_max_default")]
    pub connections_max: usize,
    /// How long a connection may be silent.
    #[serde(default = "ListenerConfig::idle_timeout_ms_default")]
    pub idle_timeout_ms: u64,
    /// Whether bulk goes from socket to socket within the kernel.
    #[serde(default = "ListenerConfig::splice_default")]
    pub splice: bool,
    /// Who may connect; nobody in it: everyone.
    #[serde(default)]
    pub allow: Vec<Network>,
    /// Who may not, whatever `allow` says.
    #[serde(default)]
    pub deny: Vec<Network>,
    /// New connections a second; 0: no limit.
    #[serde(default)]
    pub connections_per_s_max: u64,
    /// Bytes a second in each direction, of all its connections together; 0: no limit.
    #[serde(default)]
    pub bytes_per_s_max: u64,
    /// Of so many connections one is logged at its end; 0: none, 1: each.
    #[serde(default)]
    pub access_log_every: u32,
    /// Balancers in front that say for whom they connect.
    #[serde(default)]
    pub accept_proxy: AcceptProxy,
    /// Bounds of its sessions, where it carries QUIC.
    #[serde(default)]
    pub quic: QuicConfig,
}

impl ListenerConfig {
    /// A listener with the default limits.
    pub fn new(name: &str, listen: SocketAddr, pool: &str) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            protocol: Protocol::Tcp,
            pool: pool.to_owned(),
            connections_max: Self::connections_max_default(),
            idle_timeout_ms: Self::idle_timeout_ms_default(),
            splice: Self::splice_default(),
            allow: Vec::new(),
            deny: Vec::new(),
            connections_per_s_max: 0,
            bytes_per_s_max: 0,
            access_log_every: 0,
            accept_proxy: AcceptProxy::default(),
            quic: QuicConfig::default(),
        }
    }

    fn connections_max_default() -> usize {
        100_000
    }

    fn idle_timeout_ms_default() -> u64 {
        900_000
    }

    fn splice_default() -> bool {
        true
    }

    pub(super) fn validate(&self, key: &str) -> Result<(), Invalid> {
        within(&format!("{key}.allow"), self.allow.len() as u64, 0..=LIST_MAX)?;
        within(&format!("{key}.deny"), self.deny.len() as u64, 0..=LIST_MAX)?;
        within(&format!("{key}.connections_per_s_max"), self.connections_per_s_max, 0..=PER_S_MAX)?;
        within(&format!("{key}.bytes_per_s_max"), self.bytes_per_s_max, 0..=PER_S_MAX)?;
        self.quic.validate(&format!("{key}.quic"))?;
        if self.protocol == Protocol::Quic && self.bytes_per_s_max > 0 {
            let problem = "expected 0: datagrams of QUIC do not wait for a limit";
            return Err(Invalid::new(format!("{key}.bytes_per_s_max"), problem));
        }
        if self.protocol == Protocol::Quic && !self.accept_proxy.from.is_empty() {
            let problem = "expected nobody: over QUIC there is no PROXY header";
            return Err(Invalid::new(format!("{key}.accept_proxy.from"), problem));
        }
        proxy::validate(&self.accept_proxy, &format!("{key}.accept_proxy"))?;
        within(&format!("{key}.idle_timeout_ms"), self.idle_timeout_ms, 1..=u64::from(u32::MAX))
    }
}
