//! A gateway inside this process.

use std::net::SocketAddr;

use anyhow::Context;
use gateway::config::{Client, Core as CoreLine, CoreName, Listen, Secret};
use gateway::{Config, Server};
use service::{Host, Running};
use wire::szse::Text;

use super::core::{COMP_ID, Core, Kind, PARTITIONS};
use super::{Meters, free_port};
use crate::trading::plan::Plan;
use crate::wires::Wires;

/// A gateway that runs.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What it counts.
    pub meters: Meters,
    running: Running,
}

impl Gateway {
    /// Starts one for the sessions of `plan`, with a line to each of these cores.
    ///
    /// # Errors
    /// What the system or the gateway says.
    pub fn start(name: &str, plan: &Plan, cores: &[Core], wires: &Wires) -> anyhow::Result<Self> {
        let config = Config {
            listen: Listen {
                address: free_port(),
                quic: wires.quic(free_port()),
                ..Config::default().listen
            },
            tls: wires.settings(),
            clients: (0..plan.sessions).map(|session| client(plan, session)).collect(),
            cores: cores.iter().map(|core| line(name, core)).collect(),
            ..Config::default()
        };
        let host = Host::default();
        let server = Server::bind(config, &host).context("the gateway")?;
        let address = server.quic_address().unwrap_or(server.address());
        let meters = Meters::of(&host);
        Ok(Self { address, meters, running: server.start().context("the gateway")? })
    }

    /// How many of its lines take orders.
    #[must_use]
    pub fn lines_up(&self) -> u64 {
        self.meters.sum("gateway_core_up") as u64
    }

    /// Ends it.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.running.stop().context("the gateway")
    }
}

fn client(plan: &Plan, session: u64) -> Client {
    Client {
        comp_id: plan.comp_id(session),
        password: Secret::default(),
        accounts: vec![plan.account(session)],
    }
}

fn line(name: &str, core: &Core) -> CoreLine {
    let which = match core.kind {
        Kind::Cash => CoreName::Cash,
        Kind::Margin => CoreName::Margin,
    };
    CoreLine {
        sender_comp_id: Text::truncated(name),
        target_comp_id: Text::literal(COMP_ID),
        ..CoreLine::new(which, core.trading, core.kind.partition_first(), PARTITIONS)
    }
}
