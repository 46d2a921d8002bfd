//! One type for every kind of connection.

use crate::quic::{Datagram, OneWay, QuicStream};
use crate::tls::{Sealer, TlsStream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection, of whichever kind its listener or dial was configured for.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(tokio::net::TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// The stream in both directions of a QUIC connection.
    Quic(Box<QuicStream>),
    /// A stream in one direction beside it.
    QuicOneWay(Box<OneWay>),
    /// TCP of a simulated network.
    #[cfg(feature = "sim")]
    Sim(turmoil::net::TcpStream),
}

impl Stream {
    /// Common name of the certificate that the peer has shown over TLS and that was found good; `None` where it has shown
    /// none, and over anything else.
    pub fn peer_name(&self) -> Option<&str> {
        match self {
            Self::Tls(stream) => stream.peer_name(),
            _ => None,
        }
    }

    /// What a process waits for before it ends, after this was dropped, so that the last bytes arrive: those of a QUIC
    /// connection that was dialled. Those of accepted ones are their acceptor's business
    /// ([`crate::Acceptor::farewell`]), and those of TCP the system's.
    pub fn farewell(&self) -> Option<crate::Farewell> {
        match self {
            Self::Quic(stream) => stream.farewell(),
            _ => None,
        }
    }

    /// Bytes of the longest datagram that may be sent beside the stream now; `None` where there are none: over anything but
    /// QUIC, and to a server.
    pub fn datagram_bytes_max(&self) -> Option<usize> {
        match self {
            Self::Quic(stream) => stream.datagram_bytes_max(),
            _ => None,
        }
    }

    /// Sends bytes beside the stream that may be lost, or may arrive before others that were sent earlier.
    pub fn send_datagram(&self, bytes: &[u8]) -> Datagram {
        match self {
            Self::Quic(stream) => stream.send_datagram(bytes),
            _ => Datagram::Unsupported,
        }
    }

    /// The next datagram that the peer has sent; `None` at the connection's end. Only who dialled gets any.
    #[inline]
    pub fn poll_datagram(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        match self {
            Self::Quic(stream) => stream.poll_datagram(context),
            _ => Poll::Pending,
        }
    }

    /// Opens a stream in one direction beside this one. Its peer hears of it with the first bytes. `None` where there is none to
    /// be had: over anything but QUIC, to a server, and while the peer takes no more.
    pub fn open_one_way(&self) -> Option<Self> {
        match self {
            Self::Quic(stream) => Some(Self::QuicOneWay(Box::new(stream.open_one_way()?))),
            _ => None,
        }
    }

    /// The next stream that the peer has opened beside this one; `None` at the connection's end. Only who dialled gets any.
    pub fn poll_one_way(&mut self, context: &mut Context<'_>) -> Poll<Option<Self>> {
        match self {
            Self::Quic(stream) => {
                stream.poll_one_way(context).map(|next| Some(Self::QuicOneWay(Box::new(next?))))
            }
            _ => Poll::Pending,
        }
    }

    /// Sealer and output when a record may be sealed for this connection now, together with those of others
    /// ([`crate::tls::seal_for_all`]); it goes out with the next write or flush.
    #[inline]
    pub fn lane(&mut self) -> Option<(&mut Sealer, &mut Vec<u8>)> {
        match self {
            Self::Tls(stream) => stream.lane(),
            _ => None,
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Quic($stream) => $call,
            Stream::QuicOneWay($stream) => $call,
            #[cfg(feature = "sim")]
            Stream::Sim($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(_) | Self::Quic(_) | Self::QuicOneWay(_) => true,
            #[cfg(feature = "sim")]
            Self::Sim(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
