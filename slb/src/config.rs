//! The configuration; `default.toml` says what each key means.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde::Deserialize;
use service::config::{Invalid, addresses_differ};
use transport::SocketOptions;

use crate::schedule::Scheduler;

/// Weights go up to this, as those of cloud load balancers do.
pub(crate) const WEIGHT_MAX: u32 = 100;
/// Backends of a pool at most: the order of turns has one entry for each unit of weight.
pub(crate) const BACKENDS_MAX: usize = 256;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worker threads; 0 for one a core.
    pub workers: usize,
    /// Whether another process may listen on the same ports.
    pub share_port: bool,
    /// How long open connections may go on after the order to drain.
    pub drain_timeout_ms: u64,
    /// Bytes of one read at most.
    pub read_bytes_max: usize,
    /// The admin port.
    pub admin: service::admin::Config,
    /// Options of all sockets.
    pub socket: SocketOptions,
    /// Addresses to listen on.
    pub listeners: Vec<ListenerConfig>,
    /// Groups of backends.
    pub pools: Vec<PoolConfig>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Its name in metrics and logs.
    pub name: String,
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The pool that gets its connections.
    pub pool: String,
    /// Connections at a time.
    #[serde(default = "ListenerConfig::connections_max_default")]
    pub connections_max: usize,
    /// How long a connection may be silent.
    #[serde(default = "ListenerConfig::idle_timeout_ms_default")]
    pub idle_timeout_ms: u64,
}

impl ListenerConfig {
    /// A listener with the default limits.
    pub fn new(name: &str, listen: SocketAddr, pool: &str) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            pool: pool.to_owned(),
            connections_max: Self::connections_max_default(),
            idle_timeout_ms: Self::idle_timeout_ms_default(),
        }
    }

    fn connections_max_default() -> usize {
        100_000
    }

    fn idle_timeout_ms_default() -> u64 {
        900_000
    }
}

/// A group of backends that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Its name.
    pub name: String,
    /// Who is next.
    #[serde(default)]
    pub scheduler: Scheduler,
    /// How backends are asked for their health.
    #[serde(default)]
    pub health: HealthConfig,
    /// How clients' connections are brought to backends.
    #[serde(default)]
    pub connect: ConnectConfig,
    /// The backends.
    pub backends: Vec<BackendConfig>,
}

/// Health checks of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// From one check to the next.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Good answers in a row that bring a backend back.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { interval_ms: 2_000, timeout_ms: 5_000, rise: 3, fall: 3 }
    }
}

/// How clients' connections are brought to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectConfig {
    /// How long one backend may take.
    pub timeout_ms: u64,
    /// Backends tried for one connection.
    pub attempts: u32,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self { timeout_ms: 3_000, attempts: 3 }
    }
}

/// A server that takes connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// Its name, unique in its pool.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its share, 0 to 100.
    #[serde(default = "BackendConfig::weight_default")]
    pub weight: u32,
}

impl BackendConfig {
    /// A backend of full weight.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.to_owned(), address, weight: Self::weight_default() }
    }

    fn weight_default() -> u32 {
        WEIGHT_MAX
    }
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            workers: 0,
            share_port: false,
            drain_timeout_ms: 30_000,
            read_bytes_max: 64 * 1024,
            admin: service::admin::Config { listen: local(7090), ..service::admin::Config::default() },
            socket: SocketOptions::default(),
            listeners: vec![ListenerConfig::new("orders", local(7000), "gateways")],
            pools: vec![PoolConfig {
                name: "gateways".to_owned(),
                scheduler: Scheduler::default(),
                health: HealthConfig::default(),
                connect: ConnectConfig::default(),
                backends: vec![BackendConfig::new("a", local(7001)), BackendConfig::new("b", local(7002))],
            }],
        }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn validate(&self) -> Result<(), Invalid> {
        within("read_bytes_max", self.read_bytes_max as u64, 512..=16 << 20)?;
        within("workers", self.workers as u64, 0..=1024)?;
        unique("pools", self.pools.iter().map(|pool| &pool.name))?;
        unique("listeners", self.listeners.iter().map(|listener| &listener.name))?;
        for (at, pool) in self.pools.iter().enumerate() {
            pool.validate(&format!("pools[{at}]"))?;
        }
        if self.listeners.is_empty() {
            return Err(Invalid::new("listeners", "expected at least one"));
        }
        for (at, listener) in self.listeners.iter().enumerate() {
            self.validate_listener(&format!("listeners[{at}]"), listener)?;
        }
        addresses_differ(self.listeners.iter().enumerate().map(|(at, listener)| {
            (format!("listeners[{at}].listen"), listener.name.as_str(), listener.listen)
        }))
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

impl Config {
    fn validate_listener(&self, key: &str, listener: &ListenerConfig) -> Result<(), Invalid> {
        within(&format!("{key}.idle_timeout_ms"), listener.idle_timeout_ms, 1..=u64::from(u32::MAX))?;
        if self.pools.iter().any(|pool| pool.name == listener.pool) {
            return Ok(());
        }
        let known: Vec<_> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        Err(Invalid::new(format!("{key}.pool"), format!("expected one of the pools: {}", known.join(", "))))
    }
}

impl PoolConfig {
    fn validate(&self, key: &str) -> Result<(), Invalid> {
        let day_ms = 86_400_000;
        within(&format!("{key}.health.interval_ms"), self.health.interval_ms, 1..=day_ms)?;
        within(&format!("{key}.health.timeout_ms"), self.health.timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.health.rise"), self.health.rise.into(), 1..=1000)?;
        within(&format!("{key}.health.fall"), self.health.fall.into(), 1..=1000)?;
        within(&format!("{key}.connect.timeout_ms"), self.connect.timeout_ms, 1..=day_ms)?;
        within(&format!("{key}.connect.attempts"), self.connect.attempts.into(), 1..=BACKENDS_MAX as u64)?;
        unique(&format!("{key}.backends"), self.backends.iter().map(|backend| &backend.name))?;
        if self.backends.is_empty() || self.backends.len() > BACKENDS_MAX {
            return Err(Invalid::new(format!("{key}.backends"), format!("expected 1 to {BACKENDS_MAX}")));
        }
        for (at, backend) in self.backends.iter().enumerate() {
            within(&format!("{key}.backends[{at}].weight"), backend.weight.into(), 0..=WEIGHT_MAX.into())?;
        }
        Ok(())
    }
}

fn within(key: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(key, format!("{value} is out of range, expected {} to {}", range.start(), range.end())))
}

fn unique<'a>(key: &str, mut names: impl Iterator<Item = &'a String>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Invalid::new(key, format!("the name \"{name}\" is there twice"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use service::config::{check_default, parse};

    use super::*;

    fn error(text: &str) -> String {
        parse::<Config>(text, "slb.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_default_text_is_the_default() {
        check_default::<Config>().unwrap();
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        let heavy = include_str!("default.toml").replacen("weight = 100", "weight = 101", 1);
        let error_text = error(&heavy);
        assert!(
            error_text.contains("weight = 101") && error_text.contains("expected 0 to 100"),
            "{error_text}"
        );
        let lost = include_str!("default.toml").replace("pool = \"gateways\"", "pool = \"gateway\"");
        assert!(error(&lost).contains("expected one of the pools: gateways"));
        let twice = include_str!("default.toml").replace("name = \"b\"", "name = \"a\"");
        assert!(error(&twice).contains("the name \"a\" is there twice"));
        let listener = "[[listeners]]\nname = \"quotes\"\nlisten = \"127.0.0.1:7000\"\npool = \"gateways\"\n";
        let taken = error(&format!("{}{listener}", include_str!("default.toml")));
        let expected =
            "`listeners[1].listen`: \"orders\" and \"quotes\" have the same address 127.0.0.1:7000";
        assert!(taken.contains(expected), "{taken}");
    }

    #[test]
    fn a_backend_needs_a_name_and_an_address_only() {
        let text = "[[listeners]]\nname='l'\nlisten='127.0.0.1:0'\npool='p'\n[[pools]]\nname='p'\n\
                    [[pools.backends]]\nname='a'\naddress='127.0.0.1:1'\n";
        let config: Config = parse(text, "x").unwrap();
        assert_eq!(config.pools[0].backends[0].weight, 100);
        assert_eq!(config.listeners[0].connections_max, 100_000);
        assert!(error("[[pools]]\nname = 'p'\nbackends = []\n").contains("expected 1 to 256"));
    }
}
