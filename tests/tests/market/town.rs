//! A market: matcher, two gateways, a balancer, a feed when it is asked for; and the certificates of all.

use crate::client::Client;
use gateway::config::{Client as Credentials, Core, CoreName};
use service::tls::{Settings, Tls, local_settings};
use service::{Host, Running, traces};
use slb::{BackendConfig, ListenerConfig, PoolConfig};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use transport::{Connector, SocketOptions, tls};
use wire::szse::{Password, SecurityId, Text};

pub(crate) const SECURITY: SecurityId = SecurityId::literal("000001");
/// A failing test ends here; a passing one never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const PASSWORD: &[u8] = b"secret";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Waits for another thread to say so.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !holds() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "never: {what}");
        // What is waited for may want this core.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One certificate for all, which everyone must show.
struct Certificates {
    folder: TempDir,
    settings: Settings,
}

impl Certificates {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = local_settings(folder.path(), true).unwrap();
        Self { folder, settings }
    }
}

/// A gateway that runs.
pub(crate) struct Gateway {
    name: String,
    pub(crate) address: SocketAddr,
    host: Host,
    tls: Tls,
    running: Running,
}

impl Gateway {
    /// How many handshakes ended like this.
    pub(crate) fn handshakes(&self, outcome: &str) -> u64 {
        let families = self.host.registry.gather();
        let family = families.iter().find(|family| family.name() == "tls_handshakes_total").unwrap();
        let mut counts = family.get_metric().iter();
        let count = counts.find(|count| count.get_label().iter().any(|label| label.value() == outcome));
        count.unwrap().get_counter().get_value() as u64
    }
}

pub(crate) struct Market {
    pub(crate) desks: [SocketAddr; 2],
    market_data: [SocketAddr; 2],
    matcher: Running,
    pub(crate) gateways: Vec<Gateway>,
    balancer: Running,
    pub(crate) control: slb::Control,
    address: SocketAddr,
    certificates: Option<Certificates>,
}

impl Market {
    /// Over plain TCP.
    pub(crate) fn start() -> Self {
        Self::start_over(None, &traces::Config::default())
    }

    /// Over TLS: everyone shows a certificate to everyone.
    pub(crate) fn start_with_certificates() -> Self {
        Self::start_over(Some(Certificates::new()), &traces::Config::default())
    }

    /// Over plain TCP, and all servers but the feed trace.
    pub(crate) fn start_traced(traces: &traces::Config) -> Self {
        Self::start_over(None, traces)
    }

    fn start_over(certificates: Option<Certificates>, traces: &traces::Config) -> Self {
        let settings = certificates.as_ref().map(|certificates| &certificates.settings);
        let (desks, market_data, matcher) = matcher(settings, traces);
        let gateways: Vec<_> = ["a", "b"].map(|name| gateway(name, desks, settings, traces)).into();
        let backends = gateways.iter().map(|gateway| BackendConfig::new(&gateway.name, gateway.address));
        let mut config = slb::Config {
            workers: 1,
            traces: traces.clone(),
            listeners: vec![ListenerConfig::new("orders", any_port(), "gateways")],
            ..slb::Config::default()
        };
        config.pools = vec![PoolConfig { backends: backends.collect(), ..config.pools[0].clone() }];
        let balancer = slb::Server::bind(config, &Host::default()).unwrap();
        let (address, control) = (balancer.address("orders").unwrap(), balancer.control().clone());
        let balancer = balancer.start().unwrap();
        Self { desks, market_data, matcher, gateways, balancer, control, address, certificates }
    }

    /// The one address of clients.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How one connects to it.
    pub(crate) fn connector(&self) -> Connector {
        match &self.certificates {
            Some(certificates) => over_tls(&certificates.settings),
            None => Connector::default(),
        }
    }

    /// How one connects to it who has no certificate.
    pub(crate) fn connector_of_nobody(&self) -> Connector {
        over_tls(&Settings { certificate: None, key: None, ..self.settings() })
    }

    fn settings(&self) -> Settings {
        self.certificates.as_ref().expect("it has certificates").settings.clone()
    }

    pub(crate) fn client(&self, number: usize) -> Client {
        Client::new(number, self.connector())
    }

    /// New certificates, by a new authority: for clients, and for the gateways, which go on meanwhile.
    pub(crate) fn renew_certificates(&self) {
        let certificates = self.certificates.as_ref().expect("it has certificates");
        local_settings(certificates.folder.path(), true).unwrap();
        self.gateways.iter().for_each(|gateway| gateway.tls.reload());
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
        let at = self.gateways.iter().position(|gateway| gateway.name == name).expect("it runs");
        self.gateways.remove(at).running.drain(DEADLINE).unwrap();
    }

    pub(crate) fn stop(self) {
        for gateway in self.gateways {
            gateway.running.stop().unwrap();
        }
        self.balancer.stop().unwrap();
        self.matcher.stop().unwrap();
    }
}

fn over_tls(settings: &Settings) -> Connector {
    Connector::tls(SocketOptions::default(), tls::Client::load(settings).unwrap())
}

/// A feed of a market's quotes, over TLS and QUIC.
pub(crate) struct Feed {
    pub(crate) address: SocketAddr,
    pub(crate) quic_address: SocketAddr,
    settings: Settings,
    running: Running,
}

impl Feed {
    pub(crate) fn start(market: &Market) -> Self {
        let settings = market.settings();
        let names = ["primary", "backup"].into_iter().zip(market.market_data);
        let mut config = feed::Config {
            sources: names.map(|(name, address)| feed::config::Source::new(name, address)).collect(),
            tls: Some(settings.clone()),
            ..feed::Config::default()
        };
        config.listen.address = any_port();
        config.listen.quic = Some(any_port());
        config.arbitration.from = feed::config::FromName::Open;
        let server = feed::Server::bind(config, &Host::default()).unwrap();
        let (address, quic_address) = (server.address(), server.quic_address().unwrap());
        let is_ready = server.readiness();
        let running = server.start().unwrap();
        eventually("a source is up", || is_ready().is_ok());
        Self { address, quic_address, settings, running }
    }

    pub(crate) fn quic_connector(&self) -> Connector {
        Connector::quic(tls::Client::load(&self.settings).unwrap())
    }

    pub(crate) fn stop(self) {
        self.running.stop().unwrap();
    }
}

fn matcher(tls: Option<&Settings>, traces: &traces::Config) -> ([SocketAddr; 2], [SocketAddr; 2], Running) {
    let mut config =
        matcher_stub::Config { tls: tls.cloned(), traces: traces.clone(), ..matcher_stub::Config::default() };
    config.core.orders_reserved = 1_000;
    config.trading.iter_mut().for_each(|port| port.listen = any_port());
    config.market_data.iter_mut().for_each(|port| port.listen = any_port());
    let server = matcher_stub::Server::bind(config, &Host::default()).unwrap();
    let address = |name| server.address(name).unwrap();
    let (desks, market_data) = (["cash", "margin"].map(address), ["primary", "backup"].map(address));
    (desks, market_data, server.start().unwrap())
}

fn gateway(name: &str, desks: [SocketAddr; 2], tls: Option<&Settings>, traces: &traces::Config) -> Gateway {
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
        tls: tls.cloned(),
        traces: traces::Config { instance: name.to_owned(), ..traces.clone() },
        ..gateway::Config::default()
    };
    config.listen.address = any_port();
    config.forwarding.orders_max = 1_000;
    let host = Host::default();
    let server = gateway::Server::bind(config, &host).unwrap();
    let (address, metrics, tls) = (server.address(), server.metrics(), server.tls());
    let running = server.start().unwrap();
    eventually("both lines are up", || {
        ["cash", "margin"].iter().all(|core| metrics.core_up.with_label_values(&[core]).get() == 1)
    });
    Gateway { name: name.to_owned(), address, host, tls, running }
}
