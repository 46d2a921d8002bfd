//! A feed inside this process.

use std::net::SocketAddr;

use anyhow::Context;
use service::{Host, Running};

use super::free_port;

/// A feed that runs.
pub struct Feed {
    /// Where subscribers connect.
    pub address: SocketAddr,
    /// What it counts.
    pub metrics: feed::Metrics,
    running: Running,
}

/// Names of the sources, the primary first.
const SOURCES: [&str; 2] = ["primary", "backup"];

impl Feed {
    /// Starts a feed with these sources, the primary first.
    ///
    /// # Errors
    /// What the system or the feed says.
    pub fn start(sources: &[SocketAddr], target_comp_id: &str) -> anyhow::Result<Self> {
        let mut config = feed::Config::default();
        config.listen.address = free_port();
        config.sources = sources
            .iter()
            .zip(SOURCES)
            .map(|(address, name)| {
                let target_comp_id = wire::szse::Text::truncated(target_comp_id);
                feed::config::Source { target_comp_id, ..feed::config::Source::new(name, *address) }
            })
            .collect();
        let server = feed::Server::bind(config, &Host::default()).context("the feed")?;
        let (address, metrics) = (server.address(), server.metrics());
        Ok(Self { address, metrics, running: server.start().context("the feed")? })
    }

    /// Ends it.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.running.stop().context("the feed")
    }
}
