//! Full handshakes in memory, without tickets: what the server's side costs.

use super::cases::Case;
use super::timed;
use anyhow::Context;
use gm::sm2::SecretKey;
use gm::tls::{self, Mode};
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn case() -> anyhow::Result<Case> {
    let (client, server) = configurations()?;
    // Once with every error told: then the timed ones cannot fail another way.
    shake(&client, &server).context("the handshake to be measured fails")?;
    let run = move |n| (0..n).map(|_| shake(&client, &server).unwrap_or(Duration::MAX)).sum();
    Ok(Case { figure: "handshakes_s", size: None, ours: true, worth: 1.0, run: Box::new(run) })
}

fn configurations() -> anyhow::Result<(Arc<ClientConfig>, Arc<ServerConfig>)> {
    // Valid from 1970 to 2099: the clock of the machine does not matter.
    let validity = Validity { not_before_s: 0, not_after_s: 4_070_908_800 };
    let subject = Subject { common_name: "speed".into(), ..Subject::default() };
    let authority = Authority::root(&subject, SecretKey::generate()?, validity)?;
    let key = SecretKey::generate()?;
    let certificate = authority.issue(&Leaf {
        subject: &subject,
        alt_names: &[AltName::Dns("localhost".into())],
        usage: Usage::Server,
        public_key: key.public_key(),
        validity,
    })?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate().to_vec()))?;
    let provider = Arc::new(tls::provider(Mode::Strict));
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.into()],
            PrivateKeyDer::Pkcs8(key.to_pkcs8_der().to_vec().into()),
        )?;
    server.send_tls13_tickets = 0;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(client), Arc::new(server)))
}

/// One handshake: the time spent on the server's side.
fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> anyhow::Result<Duration> {
    let mut client: Connection =
        ClientConnection::new(Arc::clone(client), ServerName::try_from("localhost")?)?.into();
    let mut spent = Duration::ZERO;
    let mut accepted = None;
    spent += timed(1, || accepted = ServerConnection::new(Arc::clone(server)).ok());
    let mut server: Connection = accepted.context("no server")?.into();
    while client.is_handshaking() || server.is_handshaking() {
        let to_server = written(&mut client)?;
        let mut to_client = Ok(Vec::new());
        spent += timed(1, || to_client = read(&mut server, &to_server).and_then(|()| written(&mut server)));
        read(&mut client, &to_client?)?;
    }
    Ok(spent)
}

fn written(connection: &mut Connection) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn read(connection: &mut Connection, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes)?;
        connection.process_new_packets()?;
    }
    Ok(())
}
