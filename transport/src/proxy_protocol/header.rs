//! One header: its bytes from addresses, addresses from its bytes, and the reading of it from a socket.

use ppp::v1;
use ppp::v2::{self, Addresses, Builder, Command, Protocol, Version};
use std::io;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What is in a header of version 2 before it says its length (specification, section 2.2).
const FIXED_BYTES: usize = 16;
/// The longest header taken, of version 2: both addresses and whatever a balancer adds of TLS. The specification asks a
/// receiver for 536 bytes at least.
const HEADER_BYTES_MAX: usize = 4096;
/// The longest header of version 1, with its end of line (section 2.1).
const LINE_BYTES_MAX: usize = 107;

/// What a balancer says of a connection when it is its own, such as a health check (section 2.2, LOCAL).
pub const LOCAL: [u8; FIXED_BYTES] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// For whom a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// For the client with this address.
    Client(SocketAddr),
    /// For the balancer itself, or for somebody whose address cannot be said.
    Nobody,
}

/// Why a connection has no good header.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// It was closed without a byte, as health checks do.
    #[error("closed without a byte")]
    Left,
    /// It begins with something else.
    #[error("no PROXY header")]
    Missing,
    /// It is longer than what is taken.
    #[error("a header of {0} bytes")]
    TooLong(usize),
    /// It makes no sense.
    #[error("a header that makes no sense")]
    Malformed,
    /// The connection ended before the header did.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The header, version 2, of a connection from `client` to our address `own`.
///
/// # Panics
/// Never: the length of addresses is known.
#[must_use]
pub fn encode(client: SocketAddr, own: SocketAddr) -> Vec<u8> {
    let (client, own) = of_one_family(client, own);
    let addresses = Addresses::from((client, own));
    let header = Builder::with_addresses(Version::Two | Command::Proxy, Protocol::Stream, addresses).build();
    header.expect("invariant: addresses are shorter than what a length can say")
}

/// A header names two addresses of one family: where only one is of IPv4, as within IPv6.
fn of_one_family(client: SocketAddr, own: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (client, own) = (canonical(client), canonical(own));
    let mapped = |at: SocketAddr| match at.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), at.port()),
        IpAddr::V6(_) => at,
    };
    if client.is_ipv4() == own.is_ipv4() { (client, own) } else { (mapped(client), mapped(own)) }
}

/// What the header says that these bytes are, whole and without anything behind it; of version 2 or 1.
///
/// # Errors
/// [`HeaderError`] for anything else.
pub fn decode(bytes: &[u8]) -> Result<Said, HeaderError> {
    let client = if bytes.starts_with(v2::PROTOCOL_PREFIX) {
        let header = v2::Header::try_from(bytes).map_err(|_| HeaderError::Malformed)?;
        if header.len() != bytes.len() {
            return Err(HeaderError::Malformed);
        }
        match (header.command, header.protocol, header.addresses) {
            (Command::Proxy, Protocol::Stream, Addresses::IPv4(at)) => {
                Some((IpAddr::V4(at.source_address), at.source_port))
            }
            (Command::Proxy, Protocol::Stream, Addresses::IPv6(at)) => {
                Some((IpAddr::V6(at.source_address), at.source_port))
            }
            _ => None,
        }
    } else if bytes.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        let header = v1::Header::try_from(bytes).map_err(|_| HeaderError::Malformed)?;
        if header.header.len() != bytes.len() {
            return Err(HeaderError::Malformed);
        }
        match header.addresses {
            v1::Addresses::Tcp4(at) => Some((IpAddr::V4(at.source_address), at.source_port)),
            v1::Addresses::Tcp6(at) => Some((IpAddr::V6(at.source_address), at.source_port)),
            v1::Addresses::Unknown => None,
        }
    } else {
        return Err(HeaderError::Missing);
    };
    Ok(client.map_or(Said::Nobody, |(ip, port)| Said::Client(SocketAddr::new(ip.to_canonical(), port))))
}

/// Takes the header off a connection, and not one byte of what is behind it.
pub(super) async fn read(tcp: &mut TcpStream) -> Result<Said, HeaderError> {
    if tcp.peek(&mut [0]).await? == 0 {
        return Err(HeaderError::Left);
    }
    let mut bytes = Vec::new();
    let prefix = v2::PROTOCOL_PREFIX.len();
    take(tcp, &mut bytes, prefix).await?;
    if bytes == v2::PROTOCOL_PREFIX {
        take(tcp, &mut bytes, FIXED_BYTES - prefix).await?;
        let rest = usize::from(u16::from_be_bytes([bytes[FIXED_BYTES - 2], bytes[FIXED_BYTES - 1]]));
        if FIXED_BYTES + rest > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong(FIXED_BYTES + rest));
        }
        take(tcp, &mut bytes, rest).await?;
    } else if bytes.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        take_line(tcp, &mut bytes).await?;
    }
    decode(&bytes)
}

/// Takes so many bytes more.
async fn take(tcp: &mut TcpStream, bytes: &mut Vec<u8>, more: usize) -> Result<(), HeaderError> {
    let had = bytes.len();
    bytes.resize(had + more, 0);
    tcp.read_exact(&mut bytes[had..]).await?;
    Ok(())
}

/// Takes the rest of a line, which does not say its length: looks before it takes.
async fn take_line(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<(), HeaderError> {
    let mut ahead = [0; LINE_BYTES_MAX];
    while !bytes.ends_with(b"\n") {
        if bytes.len() >= LINE_BYTES_MAX {
            return Err(HeaderError::TooLong(bytes.len()));
        }
        let room = LINE_BYTES_MAX - bytes.len();
        let seen = tcp.peek(&mut ahead[..room]).await?;
        let end = ahead[..seen].iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        // At the end of the connection the read is what says so.
        take(tcp, bytes, end.unwrap_or(seen.max(1))).await?;
    }
    Ok(())
}
