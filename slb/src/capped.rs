//! A stream that reads no faster than its listener may: what is more waits in the kernel, whose window then
//! holds the sender back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limit::Limit;

/// See the module.
pub(crate) struct Capped<'a, S> {
    stream: S,
    limit: &'a Limit,
    /// Until something may be read.
    pause: Pin<Box<Sleep>>,
}

impl<'a, S> Capped<'a, S> {
    pub(crate) fn new(stream: S, limit: &'a Limit) -> Self {
        Self { stream, limit, pause: Box::pin(tokio::time::sleep_until(Instant::now())) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Capped<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut now = Instant::now();
        loop {
            let wait = this.limit.wait(now);
            if wait.is_zero() {
                break;
            }
            this.pause.as_mut().reset(now + wait);
            ready!(this.pause.as_mut().poll(context));
            now = Instant::now();
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.limit.spend((buffer.filled().len() - before) as u64, now);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
