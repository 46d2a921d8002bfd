//! A feed inside this process.

use std::net::SocketAddr;

use anyhow::Context;
use service::{Host, Running};
use wire::szse::Text;

use super::{Meters, free_port};
use crate::wires::Wires;

/// A feed that runs.
pub struct Feed {
    /// Where subscribers connect.
    pub address: SocketAddr,
    /// Where browsers connect, if they may.
    pub web: Option<SocketAddr>,
    /// What it counts.
    pub meters: Meters,
    running: Running,
}

impl Feed {
    /// Starts a feed with these sources, the primary first, each by its name and address.
    ///
    /// # Errors
    /// What the system or the feed says.
    pub fn start(
        sources: &[(&str, SocketAddr)],
        target_comp_id: Text<20>,
        wires: &Wires,
    ) -> anyhow::Result<Self> {
        Self::start_as(sources, target_comp_id, wires, |_| {})
    }

    /// Starts a feed whose configuration `set` has the last word on; see [`Self::start`].
    ///
    /// # Errors
    /// What the system or the feed says.
    pub fn start_as(
        sources: &[(&str, SocketAddr)],
        target_comp_id: Text<20>,
        wires: &Wires,
        set: impl FnOnce(&mut feed::Config),
    ) -> anyhow::Result<Self> {
        let source = |(name, address): &(&str, SocketAddr)| feed::config::Source {
            target_comp_id,
            ..feed::config::Source::new(name, *address)
        };
        let mut config = feed::Config {
            listen: feed::config::Listen {
                address: free_port(),
                quic: wires.quic(free_port()),
                ..feed::config::Listen::default()
            },
            tls: wires.settings(),
            sources: sources.iter().map(source).collect(),
            ..feed::Config::default()
        };
        set(&mut config);
        let host = Host::default();
        let server = feed::Server::bind(config, &host).context("the feed")?;
        let address = server.quic_address().unwrap_or(server.address());
        let (web, meters) = (server.web_address(), Meters::of(&host));
        Ok(Self { address, web, meters, running: server.start().context("the feed")? })
    }

    /// Ends it.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.running.stop().context("the feed")
    }
}
