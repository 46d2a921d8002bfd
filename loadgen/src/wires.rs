//! What a run's connections go over: ShangMi TLS unless told otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Deserialize;
use service::tls::{Settings, local_settings};
use tempfile::TempDir;
use transport::tls::{Client, Suites};
use transport::{Connector, SocketOptions};

/// What connections go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS 1.3 over TCP, with ShangMi (SM2, SM3, SM4-GCM).
    #[default]
    Tls,
    /// QUIC, with ShangMi; servers in this process talk to each other over TLS.
    Quic,
}

/// What connections go over.
#[derive(clap::Args, Clone, Debug)]
pub struct WireArgs {
    /// What connections go over; servers in this process get certificates made for the run
    #[arg(long, value_enum, default_value_t = Transport::Tls, value_name = "KIND")]
    pub transport: Transport,
    /// Prefer the hybrid key exchange curveSM2MLKEM768
    #[arg(long)]
    pub hybrid: bool,
    /// Authorities that the certificate of a server outside this process is checked by, PEM
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our certificate for such a server, PEM; sources that we play listen over TLS with it, over plain TCP else
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// The name that such a server's certificate bears; else its address
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    pub server_name: String,
}

/// What a run's connections go over.
pub struct Wires {
    transport: Transport,
    settings: Option<Settings>,
    client: Option<Arc<Client>>,
    /// The certificates that were made for this run.
    _folder: Option<TempDir>,
}

impl Wires {
    /// For a run whose servers are in this process: they get certificates that are good for a day.
    ///
    /// # Errors
    /// The certificates cannot be made or written.
    pub fn local(args: &WireArgs) -> anyhow::Result<Self> {
        if args.transport == Transport::Tcp {
            return Ok(Self::plain());
        }
        if args.ca.is_some() || args.certificate.is_some() {
            bail!("--ca and --certificate are for a server outside this process: give its address, too");
        }
        let folder = TempDir::new().context("a folder for the run's certificates")?;
        let made = local_settings(folder.path(), true).context("the run's certificates")?;
        let settings = Settings { hybrid: args.hybrid, ..made };
        Ok(Self { _folder: Some(folder), ..Self::with(args.transport, settings)? })
    }

    /// For a run with a server outside this process.
    ///
    /// # Errors
    /// Files that cannot be used, or no authority to check the server by.
    pub fn outside(args: &WireArgs) -> anyhow::Result<Self> {
        if args.transport == Transport::Tcp {
            return Ok(Self::plain());
        }
        if args.ca.is_none() {
            bail!(
                "give --ca FILE, by which the server's certificate is checked, or --transport tcp if it has none"
            );
        }
        let settings = Settings {
            suites: Suites::ShangMi,
            ca: args.ca.clone(),
            certificate: args.certificate.clone(),
            key: args.key.clone(),
            server_name: args.server_name.clone(),
            hybrid: args.hybrid,
            ..Settings::default()
        };
        Self::with(args.transport, settings)
    }

    /// Plain TCP.
    #[must_use]
    pub fn plain() -> Self {
        Self { transport: Transport::Tcp, settings: None, client: None, _folder: None }
    }

    fn with(transport: Transport, settings: Settings) -> anyhow::Result<Self> {
        let client = Client::load(&settings)?;
        Ok(Self { transport, settings: Some(settings), client: Some(client), _folder: None })
    }

    /// How clients connect.
    #[must_use]
    pub fn connector(&self) -> Connector {
        match (&self.client, self.transport) {
            (Some(client), Transport::Quic) => Connector::quic(client.clone()),
            _ => self.inner(),
        }
    }

    /// How servers connect to each other.
    #[must_use]
    pub fn inner(&self) -> Connector {
        match &self.client {
            Some(client) => Connector::tls(SocketOptions::default(), client.clone()),
            None => Connector::default(),
        }
    }

    /// The `[tls]` of servers in this process.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        self.settings.clone()
    }

    /// Where a server in this process listens over QUIC, if clients come that way.
    #[must_use]
    pub fn quic(&self, address: SocketAddr) -> Option<SocketAddr> {
        (self.transport == Transport::Quic).then_some(address)
    }
}
