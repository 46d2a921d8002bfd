//! The PROXY protocol: what a balancer says ahead of a connection's first byte, before TLS, of whom it connects for. Version
//! 2 is written, versions 2 and 1 are read (HAProxy, `doc/proxy-protocol.txt`); the crate `ppp` knows the layouts.
//!
//! Who sends it could name any address, so only listed peers are believed, and these must send it. It is for TCP: over QUIC
//! there is none, and a server sees the balancer's address.

mod door;
mod header;
#[cfg(test)]
mod tests;

use crate::tls::Network;
use arc_swap::ArcSwap;
pub(crate) use door::Door;
pub use header::{HeaderError, LOCAL, Said, decode, encode};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// `accept_proxy` of a configuration: balancers in front, which begin each connection with a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcceptProxy {
    /// Their addresses; empty: there are none. Connections of others have no header and come from where they come from.
    pub from: Vec<Network>,
    /// How long a header may take, milliseconds.
    pub timeout_ms: u32,
}

impl Default for AcceptProxy {
    fn default() -> Self {
        Self { from: Vec::new(), timeout_ms: 3_000 }
    }
}

/// What came of a connection of a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is for a client, whose address it has from here on.
    Client,
    /// It is the balancer's own, such as a health check.
    Local,
    /// It was closed without a byte.
    Left,
    /// It began with something else, or was cut.
    Malformed,
    /// Its header did not come in time.
    TimedOut,
    /// As many as may be were awaited already.
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Client, Self::Local, Self::Left, Self::Malformed, Self::TimedOut, Self::Refused];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Local => "local",
            Self::Left => "left",
            Self::Malformed => "malformed",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
        }
    }
}

type Count = Box<dyn Fn(Outcome) + Send + Sync>;

/// The headers of one listener's connections.
pub struct Headers {
    settings: ArcSwap<AcceptProxy>,
    count: Count,
}

impl Headers {
    /// `count` is called with what came of each connection of a balancer.
    pub fn new(settings: AcceptProxy, count: impl Fn(Outcome) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { settings: ArcSwap::from_pointee(settings), count: Box::new(count) })
    }

    /// Takes over other settings, for connections to come.
    pub fn set(&self, settings: AcceptProxy) {
        self.settings.store(Arc::new(settings));
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.settings.load().from.iter().any(|network| network.contains(peer))
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.settings.load().timeout_ms))
    }

    fn count(&self, outcome: Outcome) {
        (self.count)(outcome);
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers").field("settings", &self.settings).finish_non_exhaustive()
    }
}
