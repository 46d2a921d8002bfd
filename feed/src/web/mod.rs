//! The port for browsers: a quote board, and the newest quotes over WebSocket.
//!
//! One more reader of the log, on a thread of its own: it looks for what is new a few times a second rather than being woken, so
//! that the shards do not know of it; it keeps the newest state of each security, and tells each browser what has changed of what it
//! asked for, at a pace that neither the market nor a slow browser sets. It promises the newest state, not every frame: who needs
//! each number takes the binary port.
//!
//! Start at `hub.rs`; docs/websocket.md has the protocol.

mod assets;
mod binary;
mod client;
mod code;
mod config;
mod entitlement;
mod event;
mod http;
mod hub;
mod line;
mod market;
mod metrics;
mod names;
mod origin;
mod request;
mod room;

use crate::config::Account;
use crate::entitlement::Doorkeeper;
use crate::server::BindError;
use crate::status::Shards;
pub use config::Web;
use flow::Reader;
use metrics::Metrics;
use names::Names;
use service::config::Invalid;
use service::{Host, Shutdown};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use transport::{Listener, SocketOptions, tls};

/// The port, bound but not yet served.
pub(crate) struct Port {
    config: Web,
    accounts: Arc<[Account]>,
    names: Names,
    metrics: Metrics,
    listener: Listener,
    address: SocketAddr,
    tls: Option<Arc<tls::Server>>,
}

impl Port {
    /// Binds it and registers its metrics, where it is configured.
    pub(crate) fn bind(config: &crate::Config, host: &Host) -> Result<Option<Self>, BindError> {
        let web = config.web.clone();
        let Some(address) = web.listen else { return Ok(None) };
        let names = web.names.as_deref().map(names::load).transpose()?;
        let tls = web.tls.as_ref().map(|tls| service::tls::load_server(tls, "web.tls")).transpose()?;
        let taken = |error| Invalid::listen("web.listen", &error);
        Listener::ensure_unused(address).map_err(taken)?;
        let options = SocketOptions { send_buffer_bytes: web.send_buffer_bytes, ..SocketOptions::default() };
        let listener = Listener::bind(address, options).map_err(taken)?.with_tls(tls.clone());
        let address = listener.local_addr()?;
        let metrics = Metrics::register(&host.registry)?;
        let accounts = config.subscribers.accounts.clone().into();
        Ok(Some(Self {
            config: web,
            accounts,
            names: names.unwrap_or_default(),
            metrics,
            listener,
            address,
            tls,
        }))
    }

    /// Where browsers connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificates, to be loaded again.
    pub(crate) fn tls(&self) -> Option<Arc<tls::Server>> {
        self.tls.clone()
    }

    /// Serves it on this thread until the feed drains.
    pub(crate) fn run(
        self,
        log: Reader,
        shards: Shards,
        doorkeeper: Option<Doorkeeper>,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, hub::run(self, log, shards, doorkeeper, shutdown))
    }
}
