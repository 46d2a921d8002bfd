//! A balancer inside this process.

use std::net::SocketAddr;

use anyhow::Context;
use service::{Host, Running};
use slb::{BackendConfig, BackendView, Config, Control, ListenerConfig, PoolConfig, Server};

use super::free_port;

/// The one pool and its listener.
const ORDERS: &str = "orders";

/// A balancer that runs.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    control: Control,
    running: Running,
}

impl Balancer {
    /// Starts one before these gateways, each by its name.
    ///
    /// # Errors
    /// What the system or the balancer says.
    pub fn start(gateways: &[(&str, SocketAddr)]) -> anyhow::Result<Self> {
        let backends = gateways.iter().map(|(name, address)| BackendConfig::new(name, *address)).collect();
        let mut pool = PoolConfig::new(ORDERS, backends);
        pool.health.interval_ms = 500;
        let config = Config {
            workers: 1,
            listeners: vec![ListenerConfig::new(ORDERS, free_port(), ORDERS)],
            pools: vec![pool],
            ..Config::default()
        };
        let server = Server::bind(config, &Host::default()).context("the balancer")?;
        let address = server.address(ORDERS).expect("invariant: the listener is in the configuration");
        let control = server.control().clone();
        Ok(Self { address, control, running: server.start().context("the balancer")? })
    }

    /// The gateways as it sees them.
    #[must_use]
    pub fn backends(&self) -> Vec<BackendView> {
        self.control.pools().into_iter().flat_map(|pool| pool.backends).collect()
    }

    /// Ends it.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.running.stop().context("the balancer")
    }
}
