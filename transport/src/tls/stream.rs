//! Hot path: a TLS connection over TCP.
//!
//! Rules: what is read is opened in the caller's buffer; what is written is sealed once and given to the socket at
//! once; what the socket does not take waits here, bounded, and is written before anything else.

use super::records::{RECORD_BYTES_MAX, Records};
use gm::tls::record::Sealer;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Plaintext sealed at once.
const SEAL_BYTES: usize = 64 << 10;
/// Capacity that an empty buffer may keep: a few short records.
const KEPT_CAPACITY: usize = 4 << 10;

/// What a handshake leaves. It is not yet a stream, so that it can go to the thread where it will be one.
pub(crate) struct Established<T = TcpStream> {
    pub(crate) tcp: T,
    pub(crate) records: Records,
    /// Application data that came with the end of the handshake.
    pub(crate) plain: Vec<u8>,
    /// The head of a record behind them.
    pub(crate) partial: Vec<u8>,
    /// Of an earlier session.
    pub(crate) resumed: bool,
    /// Common name of the certificate that the peer has shown and that was found good.
    pub(crate) peer_name: Option<Box<str>>,
}

impl Established {
    /// Takes it from this thread's runtime.
    pub(crate) fn detach(self) -> io::Result<Established<std::net::TcpStream>> {
        let Self { tcp, records, plain, partial, resumed, peer_name } = self;
        Ok(Established { tcp: tcp.into_std()?, records, plain, partial, resumed, peer_name })
    }
}

impl Established<std::net::TcpStream> {
    /// Gives it to this thread's runtime.
    pub(crate) fn attach(self) -> io::Result<Established> {
        let Self { tcp, records, plain, partial, resumed, peer_name } = self;
        Ok(Established { tcp: TcpStream::from_std(tcp)?, records, plain, partial, resumed, peer_name })
    }
}

/// A TLS 1.3 connection after its handshake.
pub struct TlsStream {
    tcp: TcpStream,
    records: Records,
    /// The head of a record whose rest has not come.
    partial: Vec<u8>,
    /// Plaintext that found no place in the reader's buffer.
    plain: Vec<u8>,
    plain_taken: usize,
    /// Records that wait for the socket.
    sealed: Vec<u8>,
    sealed_written: usize,
    /// Why nothing more can be read; told once, after the plaintext before it.
    failed: Option<io::Error>,
    shut: bool,
    peer_name: Option<Box<str>>,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl TlsStream {
    pub(crate) fn new(established: Established) -> Self {
        let Established { tcp, records, plain, partial, resumed: _, peer_name } = established;
        Self {
            tcp,
            records,
            partial,
            plain,
            plain_taken: 0,
            sealed: Vec::new(),
            sealed_written: 0,
            failed: None,
            shut: false,
            peer_name,
        }
    }

    /// Common name of the certificate that the peer has shown and that was found good.
    pub(crate) fn peer_name(&self) -> Option<&str> {
        self.peer_name.as_deref()
    }

    /// Sealer and output when a record may be sealed at once, together with other connections': nothing waits, and the
    /// suite is SM4-GCM. The record goes out with the next write or flush.
    #[inline]
    pub(crate) fn lane(&mut self) -> Option<(&mut Sealer, &mut Vec<u8>)> {
        if self.shut || !self.sealed.is_empty() {
            return None;
        }
        Some((self.records.sealer()?, &mut self.sealed))
    }

    /// Once the socket takes bytes.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Gives the socket the records that wait.
    fn poll_sealed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sealed_written < self.sealed.len() {
            let waiting = &self.sealed[self.sealed_written..];
            match ready!(Pin::new(&mut self.tcp).poll_write(context, waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.sealed_written += bytes,
            }
        }
        empty(&mut self.sealed);
        self.sealed_written = 0;
        Poll::Ready(Ok(()))
    }

    /// Gives the socket what waits, as far as it takes it now; the rest goes with the next write or flush.
    fn push_sealed(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.poll_sealed(context) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_sealed(context))?;
        let bytes = self.records.seal(slices, SEAL_BYTES, &mut self.sealed)?;
        self.push_sealed(context)?;
        Poll::Ready(Ok(bytes))
    }

    /// Reads from the socket behind `partial` at the beginning of `buffer`, and opens what is there. `None`: no whole
    /// record yet.
    fn poll_open(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Option<usize>>> {
        let kept = self.partial.len();
        let mut into = ReadBuf::new(&mut buffer[kept..]);
        ready!(Pin::new(&mut self.tcp).poll_read(context, &mut into))?;
        let read = into.filled().len();
        if read == 0 {
            let text = "the connection ended without TLS saying so: bytes may be missing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        buffer[..kept].copy_from_slice(&self.partial);
        let opened = self.records.open(&mut buffer[..kept + read]);
        empty(&mut self.partial);
        match opened.failed {
            None => self.partial.extend_from_slice(&buffer[opened.consumed..kept + read]),
            Some(error) => {
                self.records.refuse(&mut self.sealed)?;
                self.push_sealed(context)?;
                self.failed = Some(error);
            }
        }
        if self.records.rekey_asked() && self.sealed.is_empty() && !self.shut {
            self.records.rekey_if_due(&mut self.sealed)?;
            self.push_sealed(context)?;
        }
        let something = opened.plain > 0 || self.records.ended || self.failed.is_some();
        Poll::Ready(Ok(something.then_some(opened.plain)))
    }

    /// Hands out plaintext that is there already; `false`: none.
    fn take_plain(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.plain.is_empty() {
            return false;
        }
        let left = &self.plain[self.plain_taken..];
        let bytes = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..bytes]);
        self.plain_taken += bytes;
        if self.plain_taken == self.plain.len() {
            (self.plain, self.plain_taken) = (Vec::new(), 0);
        }
        true
    }
}

/// One read of the socket brought nothing for the reader: others have their turn before the next. A peer whose records
/// carry nothing would else hold up everybody on its thread.
fn later<T>(context: &Context<'_>) -> Poll<T> {
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Empties a buffer; one that has grown gives its memory back.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.take_plain(buffer) {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.failed.take() {
                this.records.ended = true;
                return Poll::Ready(Err(error));
            }
            if this.records.ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let unfilled = buffer.initialize_unfilled();
            if unfilled.len() > RECORD_BYTES_MAX {
                match ready!(this.poll_open(context, unfilled))? {
                    Some(0) => {}
                    Some(plain) => {
                        buffer.advance(plain);
                        return Poll::Ready(Ok(()));
                    }
                    None => return later(context),
                }
            } else {
                let mut own = vec![0; 2 * RECORD_BYTES_MAX];
                match ready!(this.poll_open(context, &mut own))? {
                    Some(plain) => {
                        own.truncate(plain);
                        this.plain = own;
                    }
                    None => return later(context),
                }
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.records.rekey_asked() && !this.shut {
            this.records.rekey_if_due(&mut this.sealed)?;
        }
        this.poll_sealed(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.shut, true) {
            this.records.close_notify(&mut this.sealed)?;
        }
        ready!(this.poll_sealed(context))?;
        Pin::new(&mut this.tcp).poll_shutdown(context)
    }
}
