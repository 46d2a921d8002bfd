//! One type for every kind of connection.

use crate::options::SocketOptions;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection, of whichever kind its listener or dial was configured for.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(tokio::net::TcpStream),
    /// TCP of a simulated network.
    #[cfg(feature = "sim")]
    Sim(turmoil::net::TcpStream),
}

/// Connects.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] at the deadline, or what the system says; the address is in the text.
pub async fn dial(address: SocketAddr, options: SocketOptions, timeout: Duration) -> io::Result<Stream> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"));
    match tokio::time::timeout(timeout, connect(address, options)).await {
        Ok(connected) => connected.map_err(named),
        Err(_) => {
            let text = format!("cannot connect to {address}: no answer in {} ms", timeout.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

async fn connect(address: SocketAddr, options: SocketOptions) -> io::Result<Stream> {
    #[cfg(feature = "sim")]
    if crate::simulated() {
        return turmoil::net::TcpStream::connect(address).await.map(Stream::Sim);
    }
    let stream = options.connecting(address)?.connect(address).await?;
    options.apply((&stream).into())?;
    Ok(Stream::Tcp(stream))
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
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
