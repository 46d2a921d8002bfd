//! An order desk on a simulated network: a core, two leased lines to it, a gateway, and a client that sends orders at a fixed pace.

mod client;

pub(crate) use client::Told;

use super::{lookup, network, step_for};
use gateway::config::{Client, Core, CoreName};
use service::Host;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use transport::{Connector, Listener, SocketOptions};
use wire::szse::{Password, Text};

const CLIENTS: u16 = 9_000;
const LINES: [(&str, u16); 2] = [("line-a", 9_001), ("line-b", 9_002)];
const MARKET_DATA: u16 = 9_003;

/// An order desk that lives in simulated time.
pub(crate) struct OrderDesk {
    sim: turmoil::Sim<'static>,
    told: Rc<RefCell<Told>>,
    core: Host,
    gateway: Host,
}

impl OrderDesk {
    /// Everybody is connected to everybody; nothing has happened yet.
    pub(crate) fn new(seed: u64) -> Self {
        let mut sim = network(seed);
        let (told, core, gateway) = (Rc::<RefCell<Told>>::default(), Host::default(), Host::default());
        let host = core.clone();
        sim.host("core", move || run_core(host.clone()));
        for (name, port) in LINES {
            sim.host(name, move || carry(port));
        }
        let host = gateway.clone();
        sim.host("gateway", move || run_gateway(host.clone()));
        let of_client = told.clone();
        sim.host("client", move || client::trade(lookup("gateway", CLIENTS), of_client.clone()));
        Self { sim, told, core, gateway }
    }

    /// Lets simulated time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        step_for(&mut self.sim, time);
    }

    /// What one sends does not reach the other any more.
    pub(crate) fn cut(&mut self, from: &str, to: &str) {
        self.sim.partition_oneway(from, to);
    }

    /// It does again.
    pub(crate) fn heal(&mut self, from: &str, to: &str) {
        self.sim.repair_oneway(from, to);
    }

    /// The client sends no more orders.
    pub(crate) fn close(&mut self) {
        self.told.borrow_mut().closed = true;
    }

    /// What the client has been told so far.
    pub(crate) fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// The line that carries requests and reports, as the gateway's metrics say, and the other one.
    pub(crate) fn lines(&self) -> [&'static str; 2] {
        let families = self.gateway.registry.gather();
        let active = families
            .iter()
            .find(|family| family.name() == "gateway_line_active")
            .expect("the metric is there");
        let mut active = active.get_metric().iter().filter(|metric| metric.get_gauge().get_value() == 1.0);
        let of_it = active.next().expect("one carries");
        let is_a = of_it.get_label().iter().any(|label| label.value() == "a");
        let [a, b] = LINES.map(|(name, _)| name);
        if is_a { [a, b] } else { [b, a] }
    }

    /// How many orders the core has taken.
    pub(crate) fn orders_of_core(&self) -> u64 {
        sum(&self.core, "matcher_orders_accepted_total")
    }

    /// How many requests the gateway has sent a second time.
    pub(crate) fn resent(&self) -> u64 {
        sum(&self.gateway, "gateway_requests_resent_total")
    }
}

fn sum(host: &Host, name: &str) -> u64 {
    let families = host.registry.gather();
    let family = families.iter().find(|family| family.name() == name).expect("the metric is there");
    family.get_metric().iter().map(|metric| metric.get_counter().get_value() as u64).sum()
}

fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

async fn run_core(host: Host) -> turmoil::Result {
    let mut config = matcher_stub::Config::default();
    config.core.orders_reserved = 10_000;
    config.trading.truncate(1);
    config.trading[0].listen = anywhere(LINES[0].1);
    config.trading[0].listen_b = Some(anywhere(LINES[1].1));
    config.market_data.truncate(1);
    config.market_data[0].listen = anywhere(MARKET_DATA);
    matcher_stub::Server::bind(config, &host)?.run().await?;
    Ok(())
}

/// A leased line: bytes, both ways, for as long as both ends stand.
async fn carry(port: u16) -> turmoil::Result {
    let listener = Listener::bind(anywhere(port), SocketOptions::default())?.accepting().await?;
    loop {
        let (mut near, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            let Ok(mut far) = Connector::default().dial(lookup("core", port), Duration::from_secs(1)).await
            else {
                return;
            };
            // It ends with an error where an end fails: the other end then learns it, which is all that a line does.
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        });
    }
}

async fn run_gateway(host: Host) -> turmoil::Result {
    let mut core = Core::new(CoreName::Cash, lookup(LINES[0].0, LINES[0].1), 1, 2);
    core.address_b = Some(lookup(LINES[1].0, LINES[1].1));
    core.heartbeat_s = 1;
    let mut config = gateway::Config {
        cores: vec![core],
        clients: vec![Client {
            comp_id: Text::literal("client"),
            password: Password::default().into(),
            accounts: vec![Text::literal("account")],
        }],
        ..gateway::Config::default()
    };
    config.listen.address = anywhere(CLIENTS);
    config.forwarding.orders_max = 10_000;
    gateway::Server::bind(config, &host)?.run().await?;
    Ok(())
}
