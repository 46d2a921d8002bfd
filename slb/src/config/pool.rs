//! The sections `[[pools]]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use service::config::Invalid;
use transport::quic_route::ServerId;

use super::{BACKENDS_MAX, Check, WEIGHT_MAX, unique, within};
use crate::schedule::{Scheduler, Zones};

/// A group of backends that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Its name.
    pub name: String,
    /// Who is next.
    #[serde(default)]
    pub scheduler: Scheduler,
    /// How long a client's next connections come to the backend of its last one; 0: not at all.
    #[serde(default)]
    pub persistence_ms: u64,
    /// Which backends of other zones are taken.
    #[serde(default)]
    pub zones: Zones,
    /// How long the connections of a backend that drains or was removed may go on; 0: as long as they want.
    #[serde(default)]
    pub drain_timeout_ms: u64,
    /// How backends are asked for their health.
    #[serde(default)]
    pub health: HealthConfig,
    /// Who is left out for a while because connections fail.
    #[serde(default)]
    pub outlier: OutlierConfig,
    /// How clients' connections are brought to backends.
    #[serde(default)]
    pub connect: ConnectConfig,
    /// What a connection to a backend begins with.
    #[serde(default)]
    pub send_proxy: Option<SendProxy>,
    /// The backends.
    pub backends: Vec<BackendConfig>,
}

/// Versions of the PROXY protocol that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendProxy {
    /// The binary one.
    V2,
}

/// Health checks of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// From the beginning of one check to that of the next, which waits for the end of the one before.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Good answers in a row that bring a backend back.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
    /// The port of the backend that is asked; 0: the one that takes connections.
    pub port: u16,
    /// What is asked, and what is a good answer.
    pub check: Check,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { interval_ms: 2_000, timeout_ms: 5_000, rise: 3, fall: 3, port: 0, check: Check::default() }
    }
}

/// Which backends are left out for a while because clients' connections to them fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierConfig {
    /// Connects in a row that must fail; 0: nobody is left out.
    pub connect_failures: u32,
    /// Connections in a row that it must have accepted and reset without having sent a byte; 0: these do not count.
    pub unanswered_resets: u32,
    /// For how long it is left out.
    pub ejection_ms: u64,
    /// How much of the pool may be left out at a time, percent of its backends.
    pub ejected_percent_max: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self { connect_failures: 5, unanswered_resets: 5, ejection_ms: 30_000, ejected_percent_max: 50 }
    }
}

/// How clients' connections are brought to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectConfig {
    /// How long one backend may take.
    pub timeout_ms: u64,
    /// Backends tried for one connection: so many primaries, then as many of those that stand behind them.
    pub attempts: u32,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self { timeout_ms: 3_000, attempts: 3 }
    }
}

/// A server that takes connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// Its name, unique in its pool.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its share, 0 to 100.
    #[serde(default = "BackendConfig::weight_default")]
    pub weight: u32,
    /// Whether it takes connections only while none of the others does.
    #[serde(default)]
    pub backup: bool,
    /// The zone that it stands in; empty: in each.
    #[serde(default)]
    pub zone: String,
    /// The number in its QUIC connection IDs, hexadecimal digits; empty: there is none.
    #[serde(default)]
    pub server_id: String,
}

impl BackendConfig {
    /// A backend of full weight.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            address,
            weight: Self::weight_default(),
            backup: false,
            zone: String::new(),
            server_id: String::new(),
        }
    }

    fn weight_default() -> u32 {
        WEIGHT_MAX
    }
}

impl PoolConfig {
    /// A pool with the default settings.
    pub fn new(name: &str, backends: Vec<BackendConfig>) -> Self {
        Self {
            name: name.to_owned(),
            scheduler: Scheduler::default(),
            persistence_ms: 0,
            zones: Zones::default(),
            drain_timeout_ms: 0,
            health: HealthConfig::default(),
            outlier: OutlierConfig::default(),
            connect: ConnectConfig::default(),
            send_proxy: None,
            backends,
        }
    }

    pub(super) fn validate(&self, key: &str) -> Result<(), Invalid> {
        let day_ms = 86_400_000;
        within(&format!("{key}.persistence_ms"), self.persistence_ms, 0..=3_600_000)?;
        within(&format!("{key}.drain_timeout_ms"), self.drain_timeout_ms, 0..=900_000)?;
        within(&format!("{key}.health.interval_ms"), self.health.interval_ms, 1..=day_ms)?;
        within(&format!("{key}.health.timeout_ms"), self.health.timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.health.rise"), self.health.rise.into(), 1..=1000)?;
        within(&format!("{key}.health.fall"), self.health.fall.into(), 1..=1000)?;
        self.health.check.validate(&format!("{key}.health.check"))?;
        within(&format!("{key}.outlier.ejection_ms"), self.outlier.ejection_ms, 1..=day_ms)?;
        within(
            &format!("{key}.outlier.ejected_percent_max"),
            self.outlier.ejected_percent_max.into(),
            0..=100,
        )?;
        within(&format!("{key}.connect.timeout_ms"), self.connect.timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.connect.attempts"), self.connect.attempts.into(), 1..=BACKENDS_MAX as u64)?;
        unique(&format!("{key}.backends"), self.backends.iter().map(|backend| &backend.name))?;
        if self.backends.is_empty() || self.backends.len() > BACKENDS_MAX {
            return Err(Invalid::new(format!("{key}.backends"), format!("expected 1 to {BACKENDS_MAX}")));
        }
        for (at, backend) in self.backends.iter().enumerate() {
            within(&format!("{key}.backends[{at}].weight"), backend.weight.into(), 0..=WEIGHT_MAX.into())?;
        }
        self.validate_server_ids(key)
    }

    fn validate_server_ids(&self, key: &str) -> Result<(), Invalid> {
        let named = self.backends.iter().enumerate().filter(|(_, backend)| !backend.server_id.is_empty());
        let mut seen: Vec<ServerId> = Vec::new();
        for (at, backend) in named {
            let wrong = |problem| Invalid::new(format!("{key}.backends[{at}].server_id"), problem);
            let id: ServerId = backend.server_id.parse().map_err(wrong)?;
            if seen.first().is_some_and(|other| other.bytes().len() != id.bytes().len()) {
                return Err(wrong("expected as many digits as the others of the pool have".to_owned()));
            }
            if seen.contains(&id) {
                return Err(wrong("another backend of the pool has it".to_owned()));
            }
            seen.push(id);
        }
        Ok(())
    }
}
