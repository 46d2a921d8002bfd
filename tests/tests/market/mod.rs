//! A market on real sockets in one process: matcher, two gateways, a balancer; and their clients.
#![allow(clippy::unwrap_used)] // Clippy takes this module for no test.

mod client;

pub(crate) use client::{Auditor, Client};

use gateway::config::{Client as Credentials, Core, CoreName};
use service::{Host, Running};
use slb::{BackendConfig, ListenerConfig, PoolConfig};
use std::net::SocketAddr;
use std::time::Duration;
use wire::szse::{Password, SecurityId, Text};

pub(crate) const SECURITY: SecurityId = SecurityId::literal("000001");
/// A failing test ends here; a passing one never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const PASSWORD: &[u8] = b"secret";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Waits for another thread to say so.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !holds() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "never: {what}");
        std::thread::yield_now();
    }
}

pub(crate) struct Market {
    pub(crate) desks: [SocketAddr; 2],
    matcher: Running,
    gateways: Vec<(String, Running)>,
    balancer: Running,
    control: slb::Control,
    address: SocketAddr,
}

impl Market {
    pub(crate) fn start() -> Self {
        let (desks, matcher) = matcher();
        let (gateways, backends): (Vec<_>, Vec<_>) = ["a", "b"]
            .map(|name| {
                let (address, running) = gateway(name, desks);
                ((name.to_owned(), running), BackendConfig::new(name, address))
            })
            .into_iter()
            .unzip();
        let mut config = slb::Config {
            workers: 1,
            listeners: vec![ListenerConfig::new("orders", any_port(), "gateways")],
            ..slb::Config::default()
        };
        config.pools = vec![PoolConfig { backends, ..config.pools[0].clone() }];
        let balancer = slb::Server::bind(config, &Host::default()).unwrap();
        let (address, control) = (balancer.address("orders").unwrap(), balancer.control().clone());
        Self { desks, matcher, gateways, balancer: balancer.start().unwrap(), control, address }
    }

    /// The one address of clients.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The gateway that has a client, while there is one client.
    pub(crate) fn gateway_in_use(&self) -> String {
        let pools = self.control.pools();
        let mut in_use = pools[0].backends.iter().filter(|backend| backend.connections > 0);
        let name = in_use.next().expect("a client is connected").name.clone();
        assert!(in_use.next().is_none(), "of one client");
        name
    }

    pub(crate) fn stop_gateway(&mut self, name: &str) {
        let at = self.gateways.iter().position(|(other, _)| other == name).expect("it runs");
        let (_, running) = self.gateways.remove(at);
        running.drain(DEADLINE).unwrap();
    }

    pub(crate) fn stop(self) {
        for (_, gateway) in self.gateways {
            gateway.stop().unwrap();
        }
        self.balancer.stop().unwrap();
        self.matcher.stop().unwrap();
    }
}

fn matcher() -> ([SocketAddr; 2], Running) {
    let mut config = matcher_stub::Config::default();
    config.core.orders_reserved = 1_000;
    config.trading.iter_mut().for_each(|port| port.listen = any_port());
    config.market_data.iter_mut().for_each(|port| port.listen = any_port());
    let server = matcher_stub::Server::bind(config, &Host::default()).unwrap();
    let desks = ["cash", "margin"].map(|name| server.address(name).unwrap());
    (desks, server.start().unwrap())
}

fn gateway(name: &str, desks: [SocketAddr; 2]) -> (SocketAddr, Running) {
    let cores = [(CoreName::Cash, 1), (CoreName::Margin, 11)].into_iter().zip(desks);
    let mut config = gateway::Config {
        cores: cores
            .map(|((core, partition_first), address)| Core {
                sender_comp_id: Text::truncated(&format!("GATEWAY-{name}")),
                backoff_min_ms: 1,
                ..Core::new(core, address, partition_first, 2)
            })
            .collect(),
        clients: (1..=2)
            .map(|number| Credentials {
                comp_id: Text::truncated(&format!("c{number}")),
                password: Password::new(PASSWORD).unwrap().into(),
                accounts: vec![Text::truncated(&format!("a{number}"))],
            })
            .collect(),
        ..gateway::Config::default()
    };
    config.listen.address = any_port();
    config.forwarding.orders_max = 1_000;
    let server = gateway::Server::bind(config, &Host::default()).unwrap();
    let (address, metrics) = (server.address(), server.metrics());
    let running = server.start().unwrap();
    eventually("both lines are up", || {
        ["cash", "margin"].iter().all(|core| metrics.line_up.with_label_values(&[core]).get() == 1)
    });
    (address, running)
}
