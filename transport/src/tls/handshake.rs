//! A handshake over a TCP connection, from the first byte to the keys of the records.

use super::records::{RECORD_BYTES_MAX, Records, Schedule, invalid};
use super::stream::Established;
use gm::tls::{CURVE_SM2, is_coherent};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{
    ClientConfig, CommonState, Error, HandshakeKind, ServerConfig,
    pki_types::{CertificateDer, ServerName},
};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes kept of a peer's flight: a client's certificate chain with room.
const FLIGHT_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;
/// Bytes read at once.
const READ_BYTES: usize = 4 << 10;

/// A side of the handshake, and what it becomes.
pub(super) trait Party: Sized {
    /// Takes `incoming` as far as it goes.
    fn advance(&mut self, incoming: &mut [u8], out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Progress;
    fn is_handshaking(&self) -> bool;
    fn resumed(&self) -> bool;
    fn certificate(&self) -> Option<&CertificateDer<'static>>;
    fn finish(self) -> Result<Records, Error>;
}

/// How far one look at the incoming bytes went.
pub(super) struct Progress {
    pub(super) consumed: usize,
    pub(super) next: Result<Next, Error>,
}

/// What a handshake wants next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another look at what is there.
    Look,
    /// Bytes of the peer.
    Read,
    /// Nothing: the connection is established.
    Established,
    /// Nothing: the peer has said that it will send nothing more.
    Ended,
}

fn progress<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Vec<u8>,
    plain: &mut Vec<u8>,
) -> Progress {
    let mut consumed = status.discard;
    let next = status.state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let start = out.len();
            let bytes = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(wanted)) => {
                    out.resize(start + wanted.required_size, 0);
                    data.encode(&mut out[start..]).map_err(|error| Error::General(error.to_string()))?
                }
                Ok(bytes) => bytes,
                Err(error) => return Err(Error::General(error.to_string())),
            };
            out.truncate(start + bytes);
            Ok(Next::Look)
        }
        // What is encoded is sent before the peer is waited for.
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Next::Look)
        }
        ConnectionState::BlockedHandshake => Ok(Next::Read),
        ConnectionState::ReadTraffic(mut data) => {
            while let Some(record) = data.next_record() {
                let record = record?;
                consumed += record.discard;
                plain.extend_from_slice(record.payload);
            }
            Ok(Next::Look)
        }
        ConnectionState::WriteTraffic(_) => Ok(Next::Established),
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Next::Ended),
        _ => Err(Error::General("a state of the handshake that is not known here".into())),
    });
    Progress { consumed, next }
}

impl Party for UnbufferedServerConnection {
    fn advance(&mut self, incoming: &mut [u8], out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Progress {
        let mut progress = progress(self.process_tls_records(incoming), out, plain);
        if matches!(progress.next, Ok(Next::Established)) && Party::is_handshaking(self) {
            progress.next = Ok(Next::Read);
        }
        progress
    }

    fn is_handshaking(&self) -> bool {
        CommonState::is_handshaking(self)
    }

    fn resumed(&self) -> bool {
        self.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.peer_certificates().and_then(<[_]>::first)
    }

    fn finish(self) -> Result<Records, Error> {
        coherent(self.negotiated_cipher_suite(), self.negotiated_key_exchange_group())?;
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Records::new(Schedule::Server(kernel), secrets)
    }
}

impl Party for UnbufferedClientConnection {
    fn advance(&mut self, incoming: &mut [u8], out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Progress {
        let mut progress = progress(self.process_tls_records(incoming), out, plain);
        if matches!(progress.next, Ok(Next::Established)) && Party::is_handshaking(self) {
            progress.next = Ok(Next::Read);
        }
        progress
    }

    fn is_handshaking(&self) -> bool {
        CommonState::is_handshaking(self)
    }

    fn resumed(&self) -> bool {
        self.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.peer_certificates().and_then(<[_]>::first)
    }

    fn finish(self) -> Result<Records, Error> {
        coherent(self.negotiated_cipher_suite(), self.negotiated_key_exchange_group())?;
        certificate_belongs(self.negotiated_cipher_suite(), self.peer_certificates())?;
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Records::new(Schedule::Client(kernel), secrets)
    }
}

/// A connection is ShangMi whole or not at all (RFC 8998, section 3).
pub(super) fn coherent(
    suite: Option<rustls::SupportedCipherSuite>,
    group: Option<&'static dyn rustls::crypto::SupportedKxGroup>,
) -> Result<(), Error> {
    match (suite, group) {
        (Some(suite), Some(group)) if !is_coherent(suite.suite(), group.name()) => {
            Err(Error::General(format!("{:?} and {:?} do not go together", suite.suite(), group.name())))
        }
        _ => Ok(()),
    }
}

/// A server that speaks an SM4 suite has shown an SM2 certificate (RFC 8998, section 3.3).
fn certificate_belongs(
    suite: Option<rustls::SupportedCipherSuite>,
    chain: Option<&[CertificateDer<'_>]>,
) -> Result<(), Error> {
    let shangmi = suite.is_some_and(|suite| is_coherent(suite.suite(), CURVE_SM2));
    let sm2 = chain.and_then(|chain| chain.first()).is_some_and(|certificate| {
        let read = gm::x509::Certificate::from_der(certificate);
        read.is_ok_and(|certificate| certificate.public_key().is_some())
    });
    if shangmi && !sm2 {
        return Err(Error::General("an SM4 suite without an SM2 certificate".into()));
    }
    Ok(())
}

/// Bytes of a handshake in both directions.
#[derive(Default)]
struct Flights {
    incoming: Vec<u8>,
    out: Vec<u8>,
    plain: Vec<u8>,
}

/// Does one side's part of a handshake.
async fn run(mut party: impl Party, mut tcp: TcpStream, mut flights: Flights) -> io::Result<Established> {
    let ended = loop {
        let progress = party.advance(&mut flights.incoming, &mut flights.out, &mut flights.plain);
        flights.incoming.drain(..progress.consumed);
        match progress.next {
            Ok(Next::Look) => continue,
            Ok(Next::Read) => {}
            Ok(Next::Established) => break false,
            Ok(Next::Ended) if !party.is_handshaking() => break true,
            Ok(Next::Ended) => {
                let text = "the peer closed the connection within the handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            Err(error) => {
                alert(&mut party, &mut tcp, &mut flights).await;
                return Err(invalid(error));
            }
        }
        send(&mut tcp, &mut flights.out).await?;
        read(&mut tcp, &mut flights.incoming).await?;
    };
    send(&mut tcp, &mut flights.out).await?;
    let resumed = party.resumed();
    let peer_name = party.certificate().and_then(|certificate| {
        let read = gm::x509::Certificate::from_der(certificate).ok()?;
        read.common_name().map(Box::from)
    });
    let mut records = party.finish().map_err(invalid)?;
    records.ended = ended;
    Ok(Established { tcp, records, plain: flights.plain, partial: flights.incoming, resumed, peer_name })
}

async fn send(tcp: &mut TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    tcp.write_all(out).await?;
    out.clear();
    Ok(())
}

async fn read(tcp: &mut TcpStream, incoming: &mut Vec<u8>) -> io::Result<()> {
    if incoming.len() >= FLIGHT_BYTES_MAX {
        return Err(invalid(Error::General("the peer's part of the handshake is too long".into())));
    }
    let start = incoming.len();
    incoming.resize(start + READ_BYTES, 0);
    let read = tcp.read(&mut incoming[start..]).await;
    incoming.truncate(start + read.as_ref().map_or(0, |bytes| *bytes));
    match read? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left within the TLS handshake")),
        _ => Ok(()),
    }
}

/// Tells the peer why: rustls has the alert ready after an error. The peer may have gone; the error is told anyway.
async fn alert(party: &mut impl Party, tcp: &mut TcpStream, flights: &mut Flights) {
    // Once, and with the same buffer: it gives out the alert; looked at again, the bytes would be an error again.
    let said = party.advance(&mut flights.incoming, &mut flights.out, &mut flights.plain);
    tracing::trace!(bytes = flights.out.len(), more = said.next.is_ok(), "an alert");
    if let Err(error) = send(tcp, &mut flights.out).await {
        tracing::trace!(%error, "the alert found no taker");
    }
}

/// The server's part.
pub(crate) async fn accept(mut tcp: TcpStream, choice: &super::Choice) -> io::Result<Established> {
    let mut flights = Flights::default();
    let config = match choice {
        super::Choice::One(config) => config.clone(),
        super::Choice::ByHello { shangmi, international } => {
            if hello_offers_shangmi(&mut tcp, &mut flights.incoming).await? {
                shangmi.clone()
            } else {
                international.clone()
            }
        }
    };
    run(server(config)?, tcp, flights).await
}

fn server(config: Arc<ServerConfig>) -> io::Result<UnbufferedServerConnection> {
    UnbufferedServerConnection::new(config).map_err(invalid)
}

/// Looks into the client's hello, which stays in `incoming`.
async fn hello_offers_shangmi(tcp: &mut TcpStream, incoming: &mut Vec<u8>) -> io::Result<bool> {
    let mut acceptor = rustls::server::Acceptor::default();
    loop {
        let start = incoming.len();
        read(tcp, incoming).await?;
        let mut new = &incoming[start..];
        while !new.is_empty() && acceptor.read_tls(&mut new)? > 0 {}
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Ok(gm::tls::offers_shangmi(&accepted.client_hello())),
            // The connection proper will find the same, and answer it.
            Err(_) => return Ok(false),
        }
    }
}

/// The client's part.
pub(crate) async fn connect(
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Established> {
    let client = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
    run(client, tcp, Flights::default()).await
}
