//! Full handshakes in memory, without tickets: what the server's side costs.

use anyhow::Context;
use gm::sm2::SecretKey;
use gm::tls::{self, Mode};
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both sides of the handshakes to be measured.
pub(crate) struct Sides {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// What one side presents, from one authority.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Valid from 1970 to 2099: the clock of the machine does not matter.
const VALIDITY: Validity = Validity { not_before_s: 0, not_after_s: 4_070_908_800 };

fn identity(authority: &Authority) -> anyhow::Result<Identity> {
    let key = SecretKey::generate()?;
    let certificate = authority.issue(&Leaf {
        subject: &Subject { common_name: "speed".into(), ..Subject::default() },
        alt_names: &[AltName::Dns("localhost".into())],
        usage: Usage::ServerAndClient,
        public_key: key.public_key(),
        validity: VALIDITY,
    })?;
    let key = PrivateKeyDer::Pkcs8(key.to_pkcs8_der().to_vec().into());
    Ok(Identity { chain: vec![certificate.into()], key })
}

impl Sides {
    /// A server with the algorithms of `of_server` and a client with gm's, with certificates of the client too if
    /// `mutual`.
    pub(crate) fn new(of_server: CryptoProvider, mutual: bool) -> anyhow::Result<Self> {
        let subject = Subject { common_name: "speed".into(), ..Subject::default() };
        let authority = Authority::root(&subject, SecretKey::generate()?, VALIDITY)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.certificate().to_vec()))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(of_server);
        let server =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13])?;
        let client = ClientConfig::builder_with_provider(Arc::new(tls::provider(Mode::Strict)))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&roots));
        let (for_server, for_client) = (identity(&authority)?, identity(&authority)?);
        let (server, client) = if mutual {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
            let client = client.with_client_auth_cert(for_client.chain, for_client.key)?;
            (server.with_client_cert_verifier(verifier), client)
        } else {
            (server.with_no_client_auth(), client.with_no_client_auth())
        };
        let mut server = server.with_single_cert(for_server.chain, for_server.key)?;
        server.send_tls13_tickets = 0;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// One handshake: the time spent on the server's side.
    pub(crate) fn shake(&self) -> anyhow::Result<Duration> {
        let name = ServerName::try_from("localhost")?;
        let mut client: Connection = ClientConnection::new(Arc::clone(&self.client), name)?.into();
        let start = now();
        let mut server: Connection = ServerConnection::new(Arc::clone(&self.server))?.into();
        let mut spent = start.elapsed();
        while client.is_handshaking() || server.is_handshaking() {
            let to_server = written(&mut client)?;
            let start = now();
            read(&mut server, &to_server)?;
            let to_client = written(&mut server)?;
            spent += start.elapsed();
            read(&mut client, &to_client).context("the client refuses")?;
        }
        let start = now();
        drop(server);
        Ok(spent + start.elapsed())
    }
}

#[allow(clippy::disallowed_methods, reason = "measuring is the purpose")]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn written(connection: &mut Connection) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

pub(crate) fn read(connection: &mut Connection, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes)?;
        connection.process_new_packets()?;
    }
    Ok(())
}
