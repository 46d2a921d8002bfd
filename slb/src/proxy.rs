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

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use service::prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::access::Tally;

/// What one read takes at first, and at most while the receiver is slow.
const READ_BYTES_FIRST: usize = 64 * 1024;
/// Bytes of one direction before the worker's other connections get their turn.
const BYTES_A_TURN: usize = 1024 * 1024;
/// Reads of one direction before that, however little each brings.
const READS_A_TURN: u32 = 16;

/// The buffer that the connections of a worker share.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(RefCell::new(vec![0; bytes].into_boxed_slice()))
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
    Idle,
}

/// What the pump counts.
pub(crate) struct Counts<'a> {
    /// Bytes to the backend.
    pub(crate) inward: &'a Tally,
    /// Bytes from the backend.
    pub(crate) outward: &'a Tally,
    /// Bytes held for slow receivers.
    pub(crate) held: &'a IntGauge,
}

/// Moves bytes both ways until both sides have closed, one breaks off, or nothing moved for
/// `idle_timeout`. A side that only closes its sending half still receives.
pub(crate) async fn pump<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    backend: &mut S,
    scratch: &Scratch,
    counts: Counts<'_>,
    idle_timeout: Duration,
) -> End {
    let mut inward = Direction::new(counts.inward, counts.held);
    let mut outward = Direction::new(counts.outward, counts.held);
    let mut last_moved = Instant::now();
    let mut idle = pin!(tokio::time::sleep_until(last_moved + idle_timeout));
    poll_fn(|context| {
        let scratch = &mut scratch.0.borrow_mut()[..];
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
                return Poll::Ready(End::Idle);
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
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has closed; the sink is still to be told.
    SourceClosed,
    Done,
}

impl<'a> Direction<'a> {
    fn new(bytes: &'a Tally, held_gauge: &'a IntGauge) -> Self {
        let held = Held { bytes: Vec::new(), written: 0, gauge: held_gauge };
        Self { bytes, held, state: State::Open, moved: false, read_bytes: READ_BYTES_FIRST }
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether anything moved since last asked.
    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Moves what can be moved now; ready when this direction is over. `is_last` says that the other
    /// one is: both sockets will be closed at once, which tells the sink.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
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
    fn read_and_write<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut S,
        sink: &mut S,
        scratch: &mut [u8],
    ) -> Poll<Result<usize, Broken>> {
        let room = self.read_bytes.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(source).poll_read(context, &mut buffer)).map_err(|_| Broken::Source)?;
        let read = buffer.filled();
        if read.is_empty() {
            self.state = State::SourceClosed;
            return Poll::Ready(Ok(0));
        }
        self.moved = true;
        self.bytes.inc_by(read.len() as u64);
        let written = match Pin::new(sink).poll_write(context, read) {
            Poll::Ready(written) => written.map_err(|_| Broken::Sink)?,
            Poll::Pending => 0,
        };
        if written < read.len() {
            self.held.hold(&read[written..]);
            self.read_bytes = written.max(READ_BYTES_FIRST);
        } else if written == room {
            self.read_bytes = room.saturating_mul(2).max(READ_BYTES_FIRST);
        }
        Poll::Ready(Ok(read.len()))
    }

    fn write_held<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut *sink).poll_write(context, self.held.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved = true;
            self.held.written(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Bytes that were read and that the sink has not taken yet.
struct Held<'a> {
    bytes: Vec<u8>,
    written: usize,
    gauge: &'a IntGauge,
}

impl Held<'_> {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
        self.written = 0;
        self.gauge.add(bytes.len() as i64);
    }

    fn written(&mut self, count: usize) {
        self.written += count;
        if self.rest().is_empty() {
            self.release();
        }
    }

    fn release(&mut self) {
        self.gauge.sub(self.bytes.len() as i64);
        self.bytes = Vec::new();
        self.written = 0;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
