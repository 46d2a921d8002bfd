//! Hot path: the bytes between a client and its backend.
//!
//! Rules: no allocation, no lock, no log while the receiver keeps up; one read and one write for
//! what is there. A worker's connections share one buffer, which is used within a poll and empty
//! between polls, so a connection that is idle or keeps up holds none. What a slow receiver does not
//! take is copied aside, and its sender is not read again until that is gone: the kernel's window
//! then holds the sender back, and a direction holds `read_bytes_max` at most.
//!
//! Bulk wants long reads: each system call costs, and so does each wake-up of the receiver. A
//! direction begins with [`READ_BYTES_FIRST`], doubles while its receiver takes everything, and goes
//! back to what the receiver took when that was less. So only who has taken much may hold much.
//!
//! A direction whose reads are long for long goes over to pipes (`pipe`), where bytes go from socket to socket within the
//! kernel, and back to the buffer when its reads are short: a short message costs no more calls then, and no file.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use service::prometheus::{IntCounter, IntGauge};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use transport::Stream;

use self::pipe::{Pipes, Taken};
use crate::access::Tally;

mod pipe;

/// What one read takes at first, and at most while the receiver is slow.
const READ_BYTES_FIRST: usize = 64 * 1024;
/// Bytes of one direction before the worker's other connections get their turn.
const BYTES_A_TURN: usize = 1024 * 1024;
/// Reads of one direction before that, however little each brings.
const READS_A_TURN: u32 = 16;
/// A read that brings so much is a long one. Below what a network card puts together at once (65,160 bytes of 45 packets).
const LONG_READ_BYTES: usize = 32 * 1024;
/// A direction leaves its pipes when this part of what made it bulk is left: after six short reads in a row.
const BULK_ENDS_AT: usize = 32;

/// What the connections of a worker share to move bytes.
#[derive(Debug)]
pub(crate) struct Scratch {
    buffer: RefCell<Box<[u8]>>,
    pipes: Pipes,
}

impl Scratch {
    pub(crate) fn new(bytes: usize) -> Self {
        Self::with_pipes(bytes, Pipes::default())
    }

    fn with_pipes(bytes: usize, pipes: Pipes) -> Self {
        Self { buffer: RefCell::new(vec![0; bytes].into_boxed_slice()), pipes }
    }
}

/// A connection that bytes are moved between.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where bytes may be taken and given behind the back of [`AsyncRead`] and [`AsyncWrite`].
    fn socket(&self) -> Option<&TcpStream>;

    /// Whether it has read bytes that it has not given out yet.
    fn holds_bytes(&self) -> bool {
        false
    }
}

impl Carrier for Stream {
    fn socket(&self) -> Option<&TcpStream> {
        if let Self::Tcp(tcp) = self { Some(tcp) } else { None }
    }
}

/// Why both directions are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed, and everything was handed on.
    Done,
    /// The client broke off.
    ClientReset,
    /// The backend did.
    BackendReset,
    /// Nothing moved for too long.
    Idle {
        /// Whether bytes were held that the other side did not take.
        held: bool,
    },
}

/// What the pump counts.
pub(crate) struct Counts<'a> {
    /// Bytes to the backend.
    pub(crate) inward: &'a Tally,
    /// Bytes from the backend.
    pub(crate) outward: &'a Tally,
    /// Bytes held for slow receivers.
    pub(crate) held: &'a IntGauge,
    /// Bytes that went through pipes.
    pub(crate) spliced: &'a IntCounter,
    /// Directions that got no pipe.
    pub(crate) no_pipe: &'a IntCounter,
}

/// Moves bytes both ways until both sides have closed, one breaks off, or nothing moved for
/// `idle_timeout`. A side that only closes its sending half still receives. With `splice`, bulk between two sockets goes
/// through pipes.
pub(crate) async fn pump<S: Carrier>(
    client: &mut S,
    backend: &mut S,
    scratch: &Scratch,
    counts: Counts<'_>,
    idle_timeout: Duration,
    splice: bool,
) -> End {
    let pipes = splice.then_some(&scratch.pipes);
    let mut inward = Direction::new(counts.inward, &counts, pipes);
    let mut outward = Direction::new(counts.outward, &counts, pipes);
    let mut last_moved = Instant::now();
    let mut idle = pin!(tokio::time::sleep_until(last_moved + idle_timeout));
    poll_fn(|context| {
        let scratch = &mut scratch.buffer.borrow_mut()[..];
        let to_backend = inward.poll(context, client, backend, scratch, outward.is_done());
        let to_client = outward.poll(context, backend, client, scratch, inward.is_done());
        match (to_backend, to_client) {
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                return Poll::Ready(End::ClientReset);
            }
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                return Poll::Ready(End::BackendReset);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Done),
            _ => {}
        }
        if inward.take_moved() | outward.take_moved() {
            last_moved = Instant::now();
        }
        while idle.as_mut().poll(context).is_ready() {
            // The alarm is set once for a whole period; bytes that moved since only put it off.
            if last_moved + idle_timeout <= idle.deadline() {
                let held = inward.holds_bytes(client) || outward.holds_bytes(backend);
                return Poll::Ready(End::Idle { held });
            }
            idle.as_mut().reset(last_moved + idle_timeout);
        }
        Poll::Pending
    })
    .await
}

/// The side of a direction that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Source,
    Sink,
}

/// One direction: from its source to its sink.
struct Direction<'a> {
    bytes: &'a Tally,
    held: Held<'a>,
    state: State,
    moved: bool,
    /// What the next read may take.
    read_bytes: usize,
    bulk: Bulk<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has closed; the sink is still to be told.
    SourceClosed,
    Done,
}

impl<'a> Direction<'a> {
    fn new(bytes: &'a Tally, counts: &Counts<'a>, pipes: Option<&'a Pipes>) -> Self {
        Self {
            bytes,
            held: Held { rest: Rest::Nothing, counted: 0, gauge: counts.held },
            state: State::Open,
            moved: false,
            read_bytes: READ_BYTES_FIRST,
            bulk: Bulk::new(counts, pipes),
        }
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether bytes were read that the sink has not got.
    fn holds_bytes<S: Carrier>(&self, source: &S) -> bool {
        !self.held.is_empty() || source.holds_bytes()
    }

    /// Whether anything moved since last asked.
    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Moves what can be moved now; ready when this direction is over. `is_last` says that the other
    /// one is: both sockets will be closed at once, which tells the sink.
    fn poll<S: Carrier>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut S,
        sink: &mut S,
        scratch: &mut [u8],
        is_last: bool,
    ) -> Poll<Result<(), Broken>> {
        let mut left = BYTES_A_TURN;
        for _ in 0..READS_A_TURN {
            if !self.held.is_empty() {
                ready!(self.write_held(context, sink)).map_err(|_| Broken::Sink)?;
            }
            match self.state {
                State::Open => {
                    let read = ready!(self.read_and_write(context, source, sink, scratch))?;
                    left = left.saturating_sub(read);
                    if left == 0 {
                        break;
                    }
                }
                State::SourceClosed => {
                    if !is_last {
                        ready!(Pin::new(&mut *sink).poll_shutdown(context)).map_err(|_| Broken::Sink)?;
                    }
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read and one write; how much was read.
    fn read_and_write<S: Carrier>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut S,
        sink: &mut S,
        scratch: &mut [u8],
    ) -> Poll<Result<usize, Broken>> {
        let room = self.read_bytes.min(scratch.len());
        if let Some(pipes) = self.bulk.pipes()
            && let (Some(from), Some(to)) = (source.socket(), sink.socket())
            && let Some(read) = ready!(self.splice(context, pipes, (from, to), room))?
        {
            return Poll::Ready(Ok(read));
        }
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(source).poll_read(context, &mut buffer)).map_err(|_| Broken::Source)?;
        let read = buffer.filled();
        if read.is_empty() {
            self.state = State::SourceClosed;
            return Poll::Ready(Ok(0));
        }
        self.count(read.len());
        let written = match Pin::new(sink).poll_write(context, read) {
            Poll::Ready(written) => written.map_err(|_| Broken::Sink)?,
            Poll::Pending => 0,
        };
        self.grow_or_shrink(room, read.len(), written);
        if written < read.len() {
            self.held.hold(Rest::Copied { bytes: read[written..].to_vec(), written: 0 });
        }
        Poll::Ready(Ok(read.len()))
    }

    /// The same through a pipe. `None`: this read has to be a copy.
    fn splice(
        &mut self,
        context: &mut Context<'_>,
        pipes: &'a Pipes,
        (source, sink): (&TcpStream, &TcpStream),
        room: usize,
    ) -> Poll<Result<Option<usize>, Broken>> {
        let mut pipe = loop {
            // First, so that who has nothing to read takes no pipe.
            ready!(source.poll_read_ready(context)).map_err(|_| Broken::Source)?;
            let mut pipe = match pipes.take() {
                Ok(pipe) => pipe,
                Err(error) => {
                    self.bulk.refused(&error);
                    return Poll::Ready(Ok(None));
                }
            };
            match pipe.fill(source, room) {
                Ok(0) => {
                    // The end, or a byte that splice does not go past (an urgent one): a copy tells.
                    self.bulk.end();
                    return Poll::Ready(Ok(None));
                }
                Ok(_) => break pipe,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if pipe::is_no_splice(&error) => {
                    self.bulk.refused(&error);
                    return Poll::Ready(Ok(None));
                }
                Err(_) => return Poll::Ready(Err(Broken::Source)),
            }
        };
        let read = pipe.bytes();
        self.count(read);
        self.bulk.spliced.inc_by(read as u64);
        let written = match pipe.poll_drain(context, sink) {
            Poll::Ready(written) => written.map_err(|_| Broken::Sink)?,
            Poll::Pending => 0,
        };
        self.grow_or_shrink(room, read, written);
        if written < read {
            self.held.hold(Rest::Piped(pipe));
        }
        Poll::Ready(Ok(Some(read)))
    }

    fn count(&mut self, read: usize) {
        self.moved = true;
        self.bytes.inc_by(read as u64);
        self.bulk.note(read);
    }

    /// What the next read may take after one that had `room`.
    fn grow_or_shrink(&mut self, room: usize, read: usize, written: usize) {
        if written < read {
            self.read_bytes = written.max(READ_BYTES_FIRST);
        } else if written == room {
            self.read_bytes = room.saturating_mul(2).max(READ_BYTES_FIRST);
        }
    }

    fn write_held<S: Carrier>(&mut self, context: &mut Context<'_>, sink: &mut S) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(self.held.poll_write(context, sink))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether a direction is bulk, whose bytes go through pipes.
struct Bulk<'a> {
    /// `None`: they never do.
    pipes: Option<&'a Pipes>,
    /// What the long reads of late came to: a short one halves it.
    bytes: usize,
    is_bulk: bool,
    was_refused: bool,
    spliced: &'a IntCounter,
    no_pipe: &'a IntCounter,
}

impl<'a> Bulk<'a> {
    fn new(counts: &Counts<'a>, pipes: Option<&'a Pipes>) -> Self {
        let (spliced, no_pipe) = (counts.spliced, counts.no_pipe);
        Self { pipes, bytes: 0, is_bulk: false, was_refused: false, spliced, no_pipe }
    }

    /// What the next read goes through, if it does.
    fn pipes(&mut self) -> Option<&'a Pipes> {
        let pipes = self.pipes?;
        let least = if self.is_bulk { pipes.after_bytes / BULK_ENDS_AT } else { pipes.after_bytes };
        self.is_bulk = self.bytes >= least;
        self.is_bulk.then_some(pipes)
    }

    fn note(&mut self, read: usize) {
        let Some(pipes) = self.pipes else { return };
        self.bytes = if read >= LONG_READ_BYTES {
            self.bytes.saturating_add(read).min(pipes.after_bytes)
        } else {
            self.bytes / 2
        };
    }

    fn end(&mut self) {
        self.bytes = 0;
    }

    /// There is no pipe, or it cannot be used: copies do, and bulk begins anew.
    fn refused(&mut self, error: &io::Error) {
        self.end();
        if !std::mem::replace(&mut self.was_refused, true) {
            self.no_pipe.inc();
            tracing::debug!(%error, "bulk is copied");
        }
    }
}

/// Bytes that were read and that the sink has not taken yet.
struct Held<'a> {
    rest: Rest<'a>,
    /// What the gauge has of them: all of it until all is gone.
    counted: usize,
    gauge: &'a IntGauge,
}

enum Rest<'a> {
    Nothing,
    Copied { bytes: Vec<u8>, written: usize },
    Piped(Taken<'a>),
}

impl Rest<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Copied { bytes, written } => bytes.len() - written,
            Self::Piped(pipe) => pipe.bytes(),
        }
    }
}

impl<'a> Held<'a> {
    fn is_empty(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    fn hold(&mut self, rest: Rest<'a>) {
        self.counted = rest.bytes();
        self.gauge.add(self.counted as i64);
        self.rest = rest;
    }

    /// Hands on what the sink takes now.
    fn poll_write<S: Carrier>(&mut self, context: &mut Context<'_>, sink: &mut S) -> Poll<io::Result<usize>> {
        let now = match &mut self.rest {
            Rest::Nothing => 0,
            Rest::Copied { bytes, written } => {
                let now = ready!(Pin::new(sink).poll_write(context, &bytes[*written..]))?;
                *written += now;
                now
            }
            Rest::Piped(pipe) => {
                let socket = sink.socket().expect("invariant: a pipe is filled for a socket alone");
                ready!(pipe.poll_drain(context, socket))?
            }
        };
        if self.rest.bytes() == 0 {
            self.release();
        }
        Poll::Ready(Ok(now))
    }

    fn release(&mut self) {
        self.gauge.sub(self.counted as i64);
        self.counted = 0;
        self.rest = Rest::Nothing;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
