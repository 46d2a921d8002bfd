//! TLS 1.3 over TCP: ShangMi by RFC 8998, the international algorithms, or both.
//!
//! Handshakes, a server's and those of dials, are done on threads of their own, at a lower priority than the threads that
//! serve established connections: however many peers knock, these do not wait for them. rustls does the handshake and keeps
//! the key schedule; the records are done here (`records.rs`).
//!
//! Start at [`Settings`], [`Server::load`] and [`Client::load`].

mod alert;
mod handshake;
mod handshakes;
mod local;
mod peers;
mod records;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod told;

pub use alert::refused_by_peer;
pub(crate) use alert::told_by_alert;
pub use gm::tls::record::{KeyUsedUp, Sealer, seal_for_all};
pub(crate) use handshakes::Handed;
pub use handshakes::{Counts, Server};
pub use local::local_settings;
pub use peers::{Network, NotANetwork};
pub use settings::{ClientAuth, LoadError, LoadProblem, OwnCertificate, Settings, Suites};
pub use stream::TlsStream;

use crate::background::{Background, HANDSHAKES_NICENESS};
use crate::options::SocketOptions;
use arc_swap::ArcSwap;
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

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
    dials: Background,
    pub(crate) quic: Background,
}

impl Client {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(settings: &Settings) -> Result<Arc<Self>, LoadError> {
        settings.name_of(std::net::Ipv4Addr::LOCALHOST.into())?;
        let config = ArcSwap::new(settings.client()?);
        let dials = Background::new("dials", HANDSHAKES_NICENESS);
        let quic = Background::new("quic-dials", 0);
        Ok(Arc::new(Self { settings: settings.clone(), config, dials, quic }))
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

    /// Connects, with the handshake on the thread of dials: neither a signature nor a peer that is slow or hostile holds up
    /// the calling one.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        address: SocketAddr,
        options: SocketOptions,
    ) -> io::Result<TlsStream> {
        let client = self.clone();
        let dialled = self.dials.run(async move {
            let name = client.name_of(address)?;
            let tcp = options.connect(address).await?;
            handshake::connect(tcp, client.config(), name).await?.detach()
        });
        let stream = TlsStream::new(dialled.await?.attach()?);
        // Else the first write would find a socket that this thread's runtime does not know yet.
        stream.writable().await?;
        Ok(stream)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}
