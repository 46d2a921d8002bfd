//! A UDP socket that takes in and sends several datagrams by one call, where the system can (recvmmsg, GRO, GSO), and knows
//! to which of the machine's addresses a datagram came.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket as Raw, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// One call fills so many buffers, each with datagrams of one sender.
const BUFFERS: usize = 8;
/// The largest datagram; and with GRO what the system puts together of smaller ones.
const BUFFER_BYTES: usize = 64 * 1024;
/// Buffers of a socket that has the datagrams of all clients. The system may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Something is there to read, be it only that nobody listens where this sends to.
const READ: Interest = Interest::READABLE.add(Interest::ERROR);

/// See the module.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// The system tells once that nobody listens there, and a send may be who hears it.
    refused: Notify,
}

/// What one call takes in.
pub(crate) struct Buffers {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BUFFERS],
}

impl Buffers {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; BUFFERS * BUFFER_BYTES].into_boxed_slice();
        Self { bytes, metas: [RecvMeta::default(); BUFFERS] }
    }

    /// What the first `count` buffers hold: each has datagrams of `stride` bytes of one sender, the last one perhaps shorter.
    pub(crate) fn filled(&self, count: usize) -> impl Iterator<Item = (&RecvMeta, &[u8])> {
        let buffers = self.metas.iter().zip(self.bytes.chunks_exact(BUFFER_BYTES)).take(count);
        buffers.map(|(meta, bytes)| (meta, &bytes[..meta.len])).filter(|(meta, _)| meta.stride > 0)
    }
}

/// Datagrams that were not sent, and why.
#[derive(Debug, thiserror::Error)]
#[error("{datagrams} not sent: {error}")]
pub(crate) struct Unsent {
    pub(crate) datagrams: usize,
    error: io::Error,
}

impl Unsent {
    /// Whether there was no room, rather than something amiss with them or with where they go.
    pub(crate) fn is_for_room(&self) -> bool {
        let no_buffers = self.error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error());
        no_buffers || self.error.kind() == ErrorKind::WouldBlock
    }
}

/// Listens at an address, alone.
///
/// # Errors
/// What the system says.
pub(crate) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Raw::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl Socket {
    /// A socket that is bound already.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn over(socket: OwnedFd) -> io::Result<Self> {
        SockRef::from(&socket).set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, refused: Notify::new() })
    }

    /// A socket that sends to one address and hears of nobody else.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn towards(address: SocketAddr) -> io::Result<Self> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = Raw::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&any.into())?;
        socket.connect(&address.into())?;
        Self::over(socket.into())
    }

    /// Once there may be something to take in.
    ///
    /// # Errors
    /// What the system says; `ConnectionRefused`: a send has heard that nobody listens there, and whoever reads would not.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        tokio::select! {
            ready = self.socket.ready(READ) => ready.map(drop),
            () = self.refused.notified() => Err(ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Takes in what is there; how many buffers it filled.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there; `ConnectionRefused`: where this sends to, nobody listens.
    pub(crate) fn try_recv(&self, buffers: &mut Buffers) -> io::Result<usize> {
        let Buffers { bytes, metas } = buffers;
        let mut chunks = bytes.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("invariant: there are as many")));
        let mut recv = || self.state.recv((&self.socket).into(), &mut slices, metas);
        // The runtime looks for one of both only.
        match self.socket.try_io(Interest::READABLE, &mut recv) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.try_io(Interest::ERROR, recv),
            received => received,
        }
    }

    /// Sends datagrams of `segment_size` bytes, as many by one call as the system takes.
    ///
    /// # Errors
    /// What the system says; then the rest was not sent.
    pub(crate) fn try_send(&self, transmit: &Transmit<'_>) -> Result<(), Unsent> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let most = size * self.state.max_gso_segments().max(1);
        let mut left = transmit.contents;
        while !left.is_empty() {
            let (contents, rest) = left.split_at(most.min(left.len()));
            let segment_size = (contents.len() > size).then_some(size);
            let part = Transmit { contents, segment_size, ..transmit.clone() };
            // Not by the runtime's notion of what is ready: of a socket that was just opened it knows nothing yet.
            if let Err(error) = self.state.try_send((&self.socket).into(), &part) {
                if error.kind() == ErrorKind::ConnectionRefused {
                    self.refused.notify_one();
                }
                return Err(Unsent { datagrams: left.len().div_ceil(size), error });
            }
            left = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_sent_is_told_by_datagrams_and_why() {
        let listening = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = listening.local_addr().unwrap();
        let socket = Socket::towards(closed).unwrap();
        drop(listening);
        let send = |bytes: &[u8]| {
            socket.try_send(&Transmit {
                destination: closed,
                ecn: None,
                contents: bytes,
                segment_size: Some(100),
                src_ip: None,
            })
        };
        send(&[0; 100]).unwrap();
        // It has heard that nobody listens there, and tells the next one who asks.
        socket.readable().await.unwrap();
        let unsent = send(&[0; 450]).unwrap_err();
        assert_eq!((unsent.datagrams, unsent.error.kind()), (5, ErrorKind::ConnectionRefused));
        assert!(!unsent.is_for_room());
        let full = Unsent { datagrams: 1, error: ErrorKind::WouldBlock.into() };
        assert!(full.is_for_room());
    }
}
