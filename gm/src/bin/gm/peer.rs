//! `gm serve`, `gm connect`: one end of a ShangMi TLS connection, to try another program against.

use crate::files::{read_certificates, read_key};
use crate::output::{tell, tell_line};
use crate::password::Password;
use anyhow::{Context, bail};
use clap::Args;
use gm::tls::{self, CURVE_SM2_ML_KEM_768, Mode};
use gm::x509::{Certificate, describe};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, CommonState, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A peer that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Args)]
struct Identity {
    /// Our certificate, with the chain behind it.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    #[command(flatten)]
    password: Password,
}

type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Identity {
    fn load(&self) -> anyhow::Result<Option<Loaded>> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        let password = self.password.read()?;
        let secret = read_key(key, password.as_ref().map(|text| text.as_str()))?;
        let chain = read_certificates(cert)?;
        let own = chain.first().and_then(|der| Certificate::from_der(der).ok()?.public_key());
        if own.as_ref() != Some(secret.public_key()) {
            bail!("the key in {} is not that of the certificate in {}", key.display(), cert.display());
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Some((chain, PrivateKeyDer::Pkcs8(secret.to_pkcs8_der().to_vec().into()))))
    }
}

fn roots(path: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate.into())
            .with_context(|| format!("taking {} as an authority", path.display()))?;
    }
    Ok(Arc::new(roots))
}

/// Strict ShangMi; with `hybrid`, curveSM2MLKEM768 alone.
fn provider(hybrid: bool) -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = tls::provider(Mode::Strict);
    if hybrid {
        provider.kx_groups.retain(|group| group.name() == CURVE_SM2_ML_KEM_768);
    }
    Arc::new(provider)
}

/// Tells what was negotiated, and with whom.
fn introduce(connection: &CommonState) -> anyhow::Result<()> {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection.negotiated_key_exchange_group().map(|group| group.name());
    let gcm = suite == Some(tls::TLS_SM4_GCM_SM3);
    tell_line(&format!("suite: {}", if gcm { "TLS_SM4_GCM_SM3" } else { "TLS_SM4_CCM_SM3" }))?;
    let hybrid = group == Some(CURVE_SM2_ML_KEM_768);
    tell_line(&format!("group: {}", if hybrid { "curveSM2MLKEM768" } else { "curveSM2" }))?;
    if let Some(kind) = connection.handshake_kind() {
        tell_line(&format!("handshake: {kind:?}"))?;
    }
    let peer = connection.peer_certificates().and_then(|chain| describe(chain.first()?).ok());
    let subject = peer.as_deref().and_then(|text| text.lines().next());
    tell_line(&format!("peer: {}", subject.unwrap_or("without a certificate")))
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:4433")]
    listen: SocketAddr,
    #[command(flatten)]
    identity: Identity,
    /// Ask for a certificate of this authority.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Take curveSM2MLKEM768 only.
    #[arg(long)]
    hybrid: bool,
    /// End after so many connections.
    #[arg(long, value_name = "NUMBER", default_value_t = u64::MAX)]
    connections: u64,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (chain, key) = self.identity.load()?.context("a server needs --cert and --key")?;
        let provider = provider(self.hybrid);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13])?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots(path)?, provider).build()?,
            ),
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.ticketer = tls::ticketer()?;
        let config = Arc::new(config);
        let listener =
            TcpListener::bind(self.listen).with_context(|| format!("listening on {}", self.listen))?;
        tell_line(&format!("listening on {}", listener.local_addr()?))?;
        for _ in 0..self.connections {
            let (stream, from) = listener.accept()?;
            tell_line(&format!("connection from {from}"))?;
            if let Err(error) = echo(stream, &config) {
                tell_line(&format!("error: {error:#}"))?;
            }
        }
        Ok(())
    }
}

/// Sends back what comes, until the peer closes.
fn echo(stream: TcpStream, config: &Arc<ServerConfig>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    introduce(&stream.conn)?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            len => stream.write_all(&buffer[..len])?,
        }
        stream.flush()?;
    }
    stream.conn.send_close_notify();
    stream.flush().context("closing")
}

#[derive(Args)]
pub(crate) struct Connect {
    /// Address to connect to.
    address: SocketAddr,
    /// The authority that the server's certificate must come from.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The name that the certificate must be for.
    #[arg(long, default_value = "localhost")]
    name: String,
    #[command(flatten)]
    identity: Identity,
    /// Offer curveSM2MLKEM768 only.
    #[arg(long)]
    hybrid: bool,
}

impl Connect {
    /// Sends each line of the standard input and shows the line that comes back.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let builder = ClientConfig::builder_with_provider(provider(self.hybrid));
        let builder = builder.with_protocol_versions(&[&TLS13])?.with_root_certificates(roots(&self.ca)?);
        let config = match self.identity.load()? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        };
        let name = ServerName::try_from(self.name.clone()).context("the name of the server")?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        let stream =
            TcpStream::connect(self.address).with_context(|| format!("connecting to {}", self.address))?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        introduce(&stream.conn)?;
        let mut stream = BufReader::new(stream);
        for line in std::io::stdin().lock().lines() {
            let connection = stream.get_mut();
            connection.write_all(line?.as_bytes())?;
            connection.write_all(b"\n")?;
            connection.flush()?;
            let mut answer = String::new();
            if stream.read_line(&mut answer)? == 0 {
                bail!("the server closed");
            }
            tell(&answer)?;
        }
        let connection = stream.get_mut();
        connection.conn.send_close_notify();
        connection.flush().context("closing")
    }
}
