//! What a balancer sees of QUIC: the part of packets' headers that no version changes (RFC 8999), and connection IDs that
//! name their server (draft-ietf-quic-load-balancers, the plaintext algorithm, configuration 0).
//!
//! All else of a packet is sealed. So a client that goes on with another connection ID, told to it under seal, is known
//! again only by what the server has put into the ID itself.

use gm::tls::{Mode, provider};
use quinn::{ConnectionId, ConnectionIdGenerator};
use rustls::crypto::SecureRandom;
use std::time::Duration;
use thiserror::Error;

/// A connection ID has so many bytes at most (RFC 9000, section 17.2).
pub const CONNECTION_ID_BYTES_MAX: usize = 20;
/// A datagram that begins a connection has so many bytes at least (RFC 9000, section 14.1).
pub const FIRST_DATAGRAM_BYTES_MIN: usize = 1_200;
/// The connection ID that a client makes up to begin with has so many bytes at least (RFC 9000, section 7.2).
pub const FIRST_CONNECTION_ID_BYTES_MIN: usize = 8;
/// Bytes of a server's number at most.
const SERVER_ID_BYTES_MAX: usize = 8;
/// What makes connection IDs of one server differ, and cannot be guessed.
const NONCE_BYTES: usize = 8;

const LONG: u8 = 0x80;
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// The part of a packet's header that is for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// Of packets that begin a connection, until its keys are there.
    Long {
        /// Whether it may be a connection's first: an Initial, or of a version that is not known here.
        may_begin: bool,
        /// Whose connection it is, in the receiver's terms.
        destination: &'a [u8],
        /// What its sender wants to be called in answers. Nothing in a version negotiation: there a server only says again what
        /// the client called it.
        source: &'a [u8],
    },
    /// Of all others.
    Short {
        /// Begins with the receiver's connection ID, whose length only the receiver knows.
        destination: &'a [u8],
    },
}

/// It is no QUIC packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the header of a QUIC packet")]
pub struct NotQuic;

/// Reads the header of the first packet of a datagram.
///
/// # Errors
/// [`NotQuic`]: it is cut, or has a connection ID that is too long.
pub fn header(datagram: &[u8]) -> Result<Header<'_>, NotQuic> {
    let (&first, rest) = datagram.split_first().ok_or(NotQuic)?;
    if first & LONG == 0 {
        return if rest.is_empty() { Err(NotQuic) } else { Ok(Header::Short { destination: rest }) };
    }
    let (version, rest) = rest.split_first_chunk().ok_or(NotQuic)?;
    let (destination, rest) = connection_id(rest)?;
    let (source, _) = connection_id(rest)?;
    let kind = (first >> 4) & 0b11;
    let (may_begin, source) = match u32::from_be_bytes(*version) {
        // A version negotiation, which only servers send.
        0 => (false, &[] as &[u8]),
        VERSION_1 => (kind == 0, source),
        VERSION_2 => (kind == 1, source),
        _ => (true, source),
    };
    Ok(Header::Long { may_begin, destination, source })
}

fn connection_id(bytes: &[u8]) -> Result<(&[u8], &[u8]), NotQuic> {
    let (&len, rest) = bytes.split_first().ok_or(NotQuic)?;
    let len = usize::from(len);
    if len > CONNECTION_ID_BYTES_MAX {
        return Err(NotQuic);
    }
    rest.split_at_checked(len).ok_or(NotQuic)
}

/// A server's number, as it stands in the connection IDs that it gives out: hexadecimal digits, 1 to 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId {
    bytes: [u8; SERVER_ID_BYTES_MAX],
    len: u8,
}

impl std::str::FromStr for ServerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no server's number: expected 1 to {SERVER_ID_BYTES_MAX} bytes as hexadecimal digits"
            )
        };
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect();
        Self::new(&bytes).ok_or_else(wrong)
    }
}

impl ServerId {
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; SERVER_ID_BYTES_MAX], len: bytes.len() as u8 };
        id.bytes.get_mut(..bytes.len()).filter(|room| !room.is_empty())?.copy_from_slice(bytes);
        Some(id)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The number in a connection ID, or in what begins with one, where numbers have `len` bytes; nothing where it was not
    /// made this way.
    #[must_use]
    pub fn of(destination: &[u8], len: usize) -> Option<Self> {
        let first = usize::from(*destination.first()?);
        let server = destination.get(1..1 + len)?;
        // The upper three bits name the configuration, the others say how long the rest is.
        (first == len + NONCE_BYTES && destination.len() > first).then(|| Self::new(server))?
    }
}

/// Makes a server's connection IDs: one byte that says how they are made, the server's number, and random bytes.
pub(crate) struct Named {
    server: ServerId,
    random: &'static dyn SecureRandom,
}

impl Named {
    pub(crate) fn new(server: ServerId) -> Self {
        Self { server, random: provider(Mode::Strict).secure_random }
    }
}

impl ConnectionIdGenerator for Named {
    fn generate_cid(&mut self) -> ConnectionId {
        let (mut bytes, server) = ([0; CONNECTION_ID_BYTES_MAX], self.server.bytes());
        let id = &mut bytes[..self.cid_len()];
        self.random.fill(id).expect("the system has random numbers: handshakes need them too");
        id[0] = (server.len() + NONCE_BYTES) as u8;
        id[1..=server.len()].copy_from_slice(server);
        ConnectionId::new(id)
    }

    fn cid_len(&self) -> usize {
        1 + self.server.bytes().len() + NONCE_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's Initial of RFC 9001, appendix A.2, as far as it is in the clear.
    const INITIAL: &[u8] =
        &[0xc3, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e];

    #[test]
    fn headers_are_read_as_far_as_they_are_in_the_clear() {
        let destination = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        assert_eq!(header(INITIAL), Ok(Header::Long { may_begin: true, destination, source: &[] }));
        let begins = |first: u8, version: u32| {
            let mut packet = INITIAL.to_vec();
            packet[0] = first;
            packet[1..5].copy_from_slice(&version.to_be_bytes());
            matches!(header(&packet), Ok(Header::Long { may_begin: true, .. }))
        };
        assert!(!begins(0xd0, 1) && !begins(0xe0, 1) && !begins(0xf0, 1), "0-RTT, Handshake, Retry");
        assert!(begins(0xd0, VERSION_2) && !begins(0xc0, VERSION_2));
        assert!(begins(0xff, 0x0a0a_0a0a), "of a version that the server may answer");
        let negotiation = &[0x80, 0, 0, 0, 0, 1, b'c', 2, b'i', b'd', 0, 0, 0, 1];
        assert_eq!(
            header(negotiation),
            Ok(Header::Long { may_begin: false, destination: b"c", source: &[] })
        );
        assert_eq!(header(&[0x40, 1, 2]), Ok(Header::Short { destination: &[1, 2] }));
    }

    #[test]
    fn what_is_cut_or_too_long_is_no_packet() {
        for len in 0..15 {
            assert_eq!(header(&INITIAL[..len]), Err(NotQuic), "{len}");
        }
        assert_eq!(header(&[0x40]), Err(NotQuic));
        let mut long = INITIAL.to_vec();
        long[5] = 21;
        long.extend([0; 100]);
        assert_eq!(header(&long), Err(NotQuic));
    }

    #[test]
    fn a_servers_number_is_read_from_the_ids_that_it_gives_out() {
        for text in ["0a", "c0ffee", "0123456789abcdef"] {
            let server: ServerId = text.parse().unwrap();
            let mut named = Named::new(server);
            let (one, other) = (named.generate_cid(), named.generate_cid());
            assert_ne!(one, other);
            assert_eq!(one.len(), named.cid_len());
            let len = server.bytes().len();
            assert_eq!(ServerId::of(&one, len), Some(server));
            assert_eq!(ServerId::of(&[&one[..], b"and the rest"].concat(), len), Some(server));
            assert_eq!(ServerId::of(&one, len + 1), None);
            assert_eq!(ServerId::of(&one[..one.len() - 1], len), None);
        }
        for text in ["", "0", "xy", "0123456789abcdef01", "+1"] {
            assert!(text.parse::<ServerId>().is_err(), "{text}");
        }
        assert_eq!(ServerId::of(&[], 1), None);
    }
}
