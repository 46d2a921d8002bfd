//! TLS 1.3 over TCP: ShangMi by RFC 8998, the international algorithms, or both.
//!
//! A server's handshakes are done on a thread of their own, at a lower priority than the threads that serve
//! established connections: however many peers knock, these do not wait for them. rustls does the handshake and keeps
//! the key schedule; the records are done here (`records.rs`).
//!
//! Start at [`Settings`], [`Server::load`] and [`Client::load`].

mod handshake;
mod handshakes;
mod local;
mod records;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

pub use gm::tls::record::{KeyUsedUp, Sealer, seal_for_all};
pub(crate) use handshakes::Handed;
pub use handshakes::{Counts, Server};
pub use local::local_settings;
pub use settings::{ClientAuth, LoadError, Settings, Suites};
pub use stream::TlsStream;

use arc_swap::ArcSwap;
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// The configurations that a server chooses from.
pub(crate) enum Choice {
    /// There is one.
    One(Arc<ServerConfig>),
    /// By what the client's hello offers.
    ByHello { shangmi: Arc<ServerConfig>, international: Arc<ServerConfig> },
}

impl Choice {
    /// The one that speaks ShangMi, where there are two.
    pub(crate) fn first(&self) -> &Arc<ServerConfig> {
        match self {
            Self::One(config) | Self::ByHello { shangmi: config, .. } => config,
        }
    }
}

/// A client's side: whom it trusts, who it is, and the sessions that it can resume.
pub struct Client {
    settings: Settings,
    config: ArcSwap<ClientConfig>,
}

impl Client {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(settings: &Settings) -> Result<Arc<Self>, LoadError> {
        settings.name_of(std::net::Ipv4Addr::LOCALHOST.into())?;
        let config = ArcSwap::new(settings.client()?);
        Ok(Arc::new(Self { settings: settings.clone(), config }))
    }

    /// Loads the files again, for connections to come.
    ///
    /// # Errors
    /// [`LoadError`]; what was loaded before stays.
    pub fn reload(&self) -> Result<(), LoadError> {
        self.config.store(self.settings.client()?);
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }

    /// The name that a server at this address must bear.
    pub(crate) fn name_of(&self, address: SocketAddr) -> io::Result<rustls::pki_types::ServerName<'static>> {
        self.settings.name_of(address.ip()).map_err(io::Error::other)
    }

    pub(crate) async fn connect(&self, tcp: TcpStream, address: SocketAddr) -> io::Result<TlsStream> {
        let name = self.name_of(address)?;
        handshake::connect(tcp, self.config(), name).await.map(TlsStream::new)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}
