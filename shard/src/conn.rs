//! Hot path: one connection: reading into the shard's buffer, writing from the log's.
//!
//! Rules: no allocation but for an unfinished frame or private bytes, no copy of the log's bytes, no loop without
//! a bound.

use crate::app::{LogId, Reason};
use crate::out::{KEPT_CAPACITY, Out};
use crate::ready::Signal;
use flow::{Cursor, NoLongerHeld, Reader, Selection, Seq};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport::Stream;
use transport::tls::Sealer;

/// Bytes that one connection may write in one turn before the others have theirs.
const WRITE_BYTES_PER_TURN: usize = 1 << 20;
/// Bytes asked of the log for one write: what a socket's buffer takes at once, and a bound on the work of one call.
const WRITE_BYTES: usize = 256 << 10;
/// Slices in one vectored write.
const WRITE_SLICES: usize = 64;
/// Entries that a filter may look at in one turn.
const FILTER_ENTRIES_PER_TURN: usize = 1 << 16;

/// A log that the connection follows, and how far it is.
pub(crate) struct Attached {
    pub(crate) log: LogId,
    pub(crate) cursor: Cursor,
    pub(crate) selection: Selection,
    /// Where the connection stands among the log's followers.
    pub(crate) place: usize,
}

pub(crate) struct Conn {
    pub(crate) stream: Stream,
    pub(crate) signal: Arc<Signal>,
    waker: Waker,
    pub(crate) generation: u32,
    pub(crate) peer: SocketAddr,
    /// The head of a frame whose rest has not come.
    pub(crate) kept: Vec<u8>,
    /// They are to be offered without new ones.
    pub(crate) offer_kept: bool,
    out: Out,
    pub(crate) attached: Option<Attached>,
    /// The last write was not taken whole: wait for the socket.
    pub(crate) blocked: bool,
    /// Nothing is written until it is let go.
    pub(crate) held: bool,
    pub(crate) reading_paused: bool,
    /// It is in the list of connections with something to write.
    pub(crate) due: bool,
    pub(crate) high: bool,
    pub(crate) closing: Option<Reason>,
    /// Its application has let go of it; what is left is the peer's end, or the deadline.
    pub(crate) lingering_until_ns: Option<u64>,
    pub(crate) received_ns: u64,
    pub(crate) sent_ns: u64,
}

/// A connection that gets the same record as others.
pub(crate) struct Lane<'a> {
    pub(crate) sealer: &'a mut Sealer,
    pub(crate) sealed: &'a mut Vec<u8>,
    pub(crate) cursor: &'a mut Cursor,
    pub(crate) sent_ns: &'a mut u64,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// All is written.
    Idle,
    /// The socket takes no more.
    Blocked,
    /// There is more, and the turn's share is used up.
    More,
    /// What the reader wants was let go.
    Overrun,
}

impl Conn {
    pub(crate) fn new(
        stream: Stream,
        (signal, waker): (Arc<Signal>, Waker),
        generation: u32,
        peer: SocketAddr,
        now_ns: u64,
    ) -> Self {
        Self {
            stream,
            signal,
            waker,
            generation,
            peer,
            kept: Vec::new(),
            offer_kept: false,
            out: Out::default(),
            attached: None,
            blocked: false,
            held: false,
            reading_paused: false,
            due: false,
            high: false,
            closing: None,
            lingering_until_ns: None,
            received_ns: now_ns,
            sent_ns: now_ns,
        }
    }

    /// Whether the application still has it.
    pub(crate) fn open(&self) -> bool {
        self.closing.is_none() && self.lingering_until_ns.is_none()
    }

    /// Reads into `buffer`, behind what was kept of an unfinished frame. `None`: nothing there now.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let mut into = ReadBuf::new(buffer);
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.stream).poll_read(&mut context, &mut into) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => Some(Ok(into.filled().len())),
            Poll::Ready(Err(error)) => Some(Err(error)),
        }
    }

    /// A datagram that has arrived; `None`: there is none now.
    #[inline]
    pub(crate) fn datagram(&mut self) -> Option<Vec<u8>> {
        match self.stream.poll_datagram(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(datagram) => datagram,
            Poll::Pending => None,
        }
    }

    /// A stream that its peer has opened beside its own; `None`: there is none now.
    pub(crate) fn one_way(&mut self) -> Option<Stream> {
        match self.stream.poll_one_way(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(stream) => stream,
            Poll::Pending => None,
        }
    }

    /// Private bytes to be written, whole frames, behind those that wait.
    #[inline]
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.out.end()
    }

    /// Private bytes that wait.
    #[inline]
    pub(crate) fn out_len(&self) -> usize {
        self.out.waiting().len()
    }

    /// Writes what is there: private bytes first, then the log's.
    pub(crate) fn pump(&mut self, readers: &mut [Reader]) -> Result<(Pumped, usize), io::ErrorKind> {
        let mut total = 0;
        self.blocked = false;
        while total < WRITE_BYTES_PER_TURN {
            let wrote = if self.out_len() > 0 {
                self.write_out()?
            } else if let Some(attached) = &mut self.attached {
                let reader = &mut readers[attached.log.0];
                let mut context = Context::from_waker(&self.waker);
                match attached.write(reader, &mut self.stream, &mut context, self.out.end()) {
                    Ok(wrote) => wrote?,
                    Err(NoLongerHeld { .. }) => return Ok((Pumped::Overrun, total)),
                }
            } else {
                Some(0)
            };
            match wrote {
                None => {
                    self.blocked = true;
                    return Ok((Pumped::Blocked, total));
                }
                Some(0)
                    if self
                        .attached
                        .as_ref()
                        .is_some_and(|attached| attached.behind(&readers[attached.log.0])) =>
                {
                    return Ok((Pumped::More, total));
                }
                Some(0) => return self.flush(total),
                Some(bytes) => total += bytes,
            }
        }
        Ok((Pumped::More, total))
    }

    fn flush(&mut self, total: usize) -> Result<(Pumped, usize), io::ErrorKind> {
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.stream).poll_flush(&mut context) {
            Poll::Ready(Ok(())) => Ok((Pumped::Idle, total)),
            Poll::Ready(Err(error)) => Err(error.kind()),
            Poll::Pending => {
                self.blocked = true;
                Ok((Pumped::Blocked, total))
            }
        }
    }

    /// Writes private bytes; `None` when the socket takes none.
    fn write_out(&mut self) -> Result<Option<usize>, io::ErrorKind> {
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.stream).poll_write(&mut context, self.out.waiting()) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(error.kind()),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero),
            Poll::Ready(Ok(bytes)) => {
                self.out.wrote(bytes);
                Ok(Some(bytes))
            }
        }
    }

    /// Sealer and output of the connection, and its cursor, when it stands at `seen` in a log, wants all of it, and has
    /// nothing else to write.
    #[inline]
    pub(crate) fn lane(&mut self, log: LogId, seen: Seq) -> Option<Lane<'_>> {
        if self.blocked || self.held || !self.open() || self.out_len() > 0 {
            return None;
        }
        let attached = self.attached.as_mut()?;
        let even = attached.log == log && attached.cursor.seq() == seen && attached.selection.takes_all();
        if !even {
            return None;
        }
        let (sealer, sealed) = self.stream.lane()?;
        Some(Lane { sealer, sealed, cursor: &mut attached.cursor, sent_ns: &mut self.sent_ns })
    }

    /// Sends the end of the stream, after which the peer may still be sending.
    pub(crate) fn shut_down(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_shutdown(&mut context) {
            tracing::trace!(%error, peer = %self.peer, "shutting down a connection that is closing anyway");
        }
    }

    /// Keeps the head of an unfinished frame.
    #[inline]
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.kept.clear();
        if rest.is_empty() && self.kept.capacity() > KEPT_CAPACITY {
            self.kept = Vec::new();
        }
        self.kept.extend_from_slice(rest);
    }
}

impl Attached {
    /// One write of what the log has for this reader. `Some(0)`: it has caught up; `None`: the socket takes no more.
    /// The rest of a frame within which the write ended becomes private bytes: the cursor stands between frames
    /// whatever happens to the log meanwhile, and no other frame can come between.
    #[inline]
    fn write(
        &mut self,
        reader: &mut Reader,
        stream: &mut Stream,
        context: &mut Context<'_>,
        rest: &mut Vec<u8>,
    ) -> Result<Result<Option<usize>, io::ErrorKind>, NoLongerHeld> {
        if self.selection.takes_all() {
            let slice = reader.slice(self.cursor, WRITE_BYTES)?;
            if slice.is_empty() {
                return Ok(Ok(Some(0)));
            }
            let wrote = taken(Pin::new(stream).poll_write(context, slice));
            if let Ok(Some(bytes)) = wrote {
                rest.extend_from_slice(reader.advance(&mut self.cursor, bytes));
            }
            return Ok(wrote);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let gathered = reader.gather(
            self.cursor,
            &self.selection,
            (WRITE_BYTES, FILTER_ENTRIES_PER_TURN),
            &mut slices,
        )?;
        if gathered.bytes == 0 {
            self.cursor = gathered.next;
            if self.cursor.seq() == reader.end() {
                self.selection.forget_floors_passed(|lane| reader.next_number(lane));
            }
            return Ok(Ok(Some(0)));
        }
        let wrote = taken(Pin::new(stream).poll_write_vectored(context, &slices[..gathered.slices]));
        if let Ok(Some(bytes)) = wrote {
            rest.extend_from_slice(reader.advance_gathered(
                &mut self.cursor,
                &self.selection,
                &gathered,
                bytes,
            ));
        }
        Ok(wrote)
    }

    /// Whether there may be more in the log.
    pub(crate) fn behind(&self, reader: &Reader) -> bool {
        self.cursor.seq() < reader.end()
    }
}

fn taken(written: Poll<io::Result<usize>>) -> Result<Option<usize>, io::ErrorKind> {
    match written {
        Poll::Pending => Ok(None),
        Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero),
        Poll::Ready(Ok(bytes)) => Ok(Some(bytes)),
        Poll::Ready(Err(error)) => Err(error.kind()),
    }
}
