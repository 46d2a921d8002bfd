//! Streams in one direction beside the stream of a QUIC connection: a loss on one of them holds up none of the others, and each
//! has a window of its own.
//!
//! Who accepted the connection opens them, who dialled it takes them; a server takes none. The connection ends with the stream in
//! both directions, once what was written on all of them is acknowledged.

use super::{Life, QuicStream, finish, poll_next, write_all_of};
use quinn::{RecvStream, SendStream};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;

/// A stream in one direction, at either of its ends.
pub struct OneWay(End);

enum End {
    Out { send: SendStream, runtime: Handle, life: Option<Arc<Life>>, ended: bool },
    In(RecvStream),
}

impl QuicStream {
    /// Opens a stream to the peer, of which it hears with the first bytes; `None` when it takes no more now, or none at all.
    pub(crate) fn open_one_way(&self) -> Option<OneWay> {
        let life = self.life.as_ref().filter(|life| life.dialled.is_none())?;
        // Ready at once unless the peer's allowance is used up; nobody waits for that.
        let opened = pin!(life.connection.open_uni()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(send)) = opened else { return None };
        Some(OneWay(End::Out { send, runtime: self.runtime.clone(), life: Some(life.clone()), ended: false }))
    }

    /// The next stream that the peer has opened; `None` at the connection's end.
    pub(crate) fn poll_one_way(&mut self, context: &mut Context<'_>) -> Poll<Option<OneWay>> {
        let Some(life) = self.life.as_ref().filter(|life| life.dialled.is_some()) else {
            return Poll::Pending;
        };
        let connection = &life.connection;
        let begin = || {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_uni().await.ok() }) as _
        };
        poll_next(&mut self.arrivals.one_way, begin, context)
            .map(|next| next.map(|next| OneWay(End::In(next))))
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        if let End::Out { send, runtime, life, .. } = &mut self.0
            && let Some(life) = life.take()
        {
            finish(send, life, runtime);
        }
    }
}

impl std::fmt::Debug for OneWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            End::Out { .. } => "OneWay(out)",
            End::In(_) => "OneWay(in)",
        })
    }
}

/// Of an end that is written nothing ever comes but its own end, once that was sent.
impl AsyncRead for OneWay {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            End::Out { ended: true, .. } => Poll::Ready(Ok(())),
            End::Out { .. } => Poll::Pending,
            End::In(receive) => AsyncRead::poll_read(Pin::new(receive), context, buffer),
        }
    }
}

/// An end that is read takes nothing.
fn not_writable<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
}

impl AsyncWrite for OneWay {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            End::Out { send, .. } => AsyncWrite::poll_write(Pin::new(send), context, bytes),
            End::In(_) => not_writable(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            End::Out { send, .. } => write_all_of(send, context, slices),
            End::In(_) => not_writable(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            End::Out { send, .. } => AsyncWrite::poll_flush(Pin::new(send), context),
            End::In(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            End::Out { send, ended, .. } => {
                *ended = true;
                AsyncWrite::poll_shutdown(Pin::new(send), context)
            }
            End::In(_) => Poll::Ready(Ok(())),
        }
    }
}
