//! A gateway inside this process.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use gateway::config::{Client, Core as CoreLine, CoreName, Listen, Secret};
use gateway::{Config, Server};
use service::{Host, Running};
use tempfile::TempDir;
use wire::szse::Text;

use super::core::{COMP_ID, Core, Kind, PARTITIONS};
use super::{Meters, free_port};
use crate::trading::plan::Plan;
use crate::wires::Wires;

/// A gateway that runs.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where clients connect over QUIC, where they do.
    pub quic_address: Option<SocketAddr>,
    /// Where clients connect by FIX, if they do.
    pub fix_address: Option<SocketAddr>,
    /// What it counts.
    pub meters: Meters,
    running: Running,
    /// The memories of its FIX sessions.
    _folder: TempDir,
}

impl Gateway {
    /// Starts one for the sessions of `plan`, with a line to each of these cores, and with a FIX port if it is to have one.
    ///
    /// # Errors
    /// What the system or the gateway says.
    pub fn start(
        name: &str,
        (plan, by_fix): (&Plan, bool),
        cores: &[Core],
        wires: &Wires,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("a folder for FIX sessions")?;
        let config = Config {
            listen: Listen {
                address: free_port(),
                quic: wires.quic(free_port()),
                ..Config::default().listen
            },
            tls: wires.settings(),
            clients: (0..plan.sessions).map(|session| client(plan, session)).collect(),
            cores: cores.iter().map(|core| line(name, core)).collect(),
            fix: if by_fix { fix(plan, folder.path()) } else { gateway::fix::Config::default() },
            ..Config::default()
        };
        let host = Host::default();
        let server = Server::bind(config, &host).context("the gateway")?;
        let (address, quic_address) = (server.address(), server.quic_address());
        let fix_address = server.fix_address();
        let meters = Meters::of(&host);
        Ok(Self {
            address,
            quic_address,
            fix_address,
            meters,
            running: server.start().context("the gateway")?,
            _folder: folder,
        })
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

/// Each session may come by FIX. What the sessions remember is for the run alone, and is kept in files as in earnest.
fn fix(plan: &Plan, directory: &Path) -> gateway::fix::Config {
    let session = |number| gateway::fix::config::Session {
        comp_id: plan.comp_id(number),
        authentication: gateway::fix::config::Authentication::Password,
        default_account: Text::BLANK,
    };
    let defaults = gateway::fix::Config::default();
    gateway::fix::Config {
        address: Some(free_port()),
        sessions: (0..plan.sessions).map(session).collect(),
        store: gateway::fix::config::Store { directory: directory.to_owned(), ..defaults.store },
        ..defaults
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
