//! Pipes of the kernel, through which bytes go from socket to socket without a copy (splice).
//!
//! A worker's connections share them as they share its buffer: a direction takes an empty pipe for a read and gives it
//! back when its receiver has taken everything. So only who waits for a slow receiver keeps one.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a pipe is to take: as much as the longest read by default, and what Linux lets anyone have
/// (`fs.pipe-max-size`).
const PIPE_BYTES: usize = 1024 * 1024;
/// With less a copy is as good. A pipe that is made when its user has had all that he may have
/// (`fs.pipe-user-pages-soft`) is of two pages.
const PIPE_BYTES_MIN: usize = 64 * 1024;
/// Pipes of a worker at a time: each is two files, and memory of the kernel.
const PIPES_MAX: usize = 64;
/// Of these so many are kept that nobody uses.
const SPARE_MAX: usize = 4;
/// A direction is bulk when its long reads came to this much.
const BULK_BYTES: usize = 2 * 1024 * 1024;

/// The pipes of a worker.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Empty ones.
    spare: RefCell<Vec<Pipe>>,
    open: Cell<usize>,
    open_max: usize,
    /// From so many bytes of long reads on bytes go through pipes.
    pub(super) after_bytes: usize,
}

impl Default for Pipes {
    fn default() -> Self {
        Self::new(BULK_BYTES, PIPES_MAX)
    }
}

impl Pipes {
    pub(super) fn new(after_bytes: usize, open_max: usize) -> Self {
        let spare = RefCell::new(Vec::with_capacity(SPARE_MAX));
        Self { spare, open: Cell::new(0), open_max, after_bytes }
    }

    /// An empty pipe.
    ///
    /// # Errors
    /// When as many are open as may be, or what the system says.
    pub(super) fn take(&self) -> io::Result<Taken<'_>> {
        if let Some(pipe) = self.spare.borrow_mut().pop() {
            return Ok(Taken { pipe: Some(pipe), pipes: self });
        }
        if self.open.get() >= self.open_max {
            return Err(io::Error::other("all pipes are in use"));
        }
        let pipe = Pipe::open()?;
        self.open.set(self.open.get() + 1);
        Ok(Taken { pipe: Some(pipe), pipes: self })
    }

    fn put_back(&self, pipe: Pipe) {
        let mut spare = self.spare.borrow_mut();
        if pipe.bytes == 0 && spare.len() < SPARE_MAX {
            spare.push(pipe);
        } else {
            // What is in it is of a connection that broke off, and goes with it.
            self.open.set(self.open.get() - 1);
        }
    }

    /// How many are in use, and how many are not.
    #[cfg(test)]
    pub(super) fn in_use_and_spare(&self) -> (usize, usize) {
        let spare = self.spare.borrow().len();
        (self.open.get() - spare, spare)
    }
}

#[derive(Debug)]
struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    /// Bytes that it takes.
    room: usize,
    /// Bytes that are in it.
    bytes: usize,
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // The system may allow less, or nothing more than a new pipe has.
        let larger = [PIPE_BYTES, PIPE_BYTES / 2, PIPE_BYTES / 4, PIPE_BYTES / 8];
        let room = match larger.into_iter().find_map(|bytes| fcntl_setpipe_size(&writing, bytes).ok()) {
            Some(room) => room,
            None => fcntl_getpipe_size(&writing)?,
        };
        if room < PIPE_BYTES_MIN {
            return Err(io::Error::other("only a small pipe was to be had"));
        }
        Ok(Self { reading, writing, room, bytes: 0 })
    }
}

/// A pipe that is one direction's. Dropped it goes back, if it is empty.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    pipe: Option<Pipe>,
    pipes: &'a Pipes,
}

impl Taken<'_> {
    fn pipe(&mut self) -> &mut Pipe {
        self.pipe.as_mut().expect("invariant: it is there until the drop")
    }

    /// Bytes that are in it.
    pub(super) fn bytes(&self) -> usize {
        self.pipe.as_ref().map_or(0, |pipe| pipe.bytes)
    }

    /// Takes at most `most` bytes of what has come; says how many. Only an empty pipe may be filled: if a part of
    /// it were taken, "would block" could mean that there is no room, and who then waits for bytes waits for ever.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing has come; what the system says.
    pub(super) fn fill(&mut self, source: &TcpStream, most: usize) -> io::Result<usize> {
        let pipe = self.pipe();
        debug_assert_eq!(pipe.bytes, 0);
        let most = most.min(pipe.room);
        pipe.bytes = source.try_io(Interest::READABLE, || Ok(splice(source, &pipe.writing, most)?))?;
        Ok(pipe.bytes)
    }

    /// Hands on what is in it; says how many bytes went. After that some may be left, which wait for the sink.
    pub(super) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        sink: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        let pipe = self.pipe();
        loop {
            ready!(sink.poll_write_ready(context))?;
            // With its exact length: more would tell TCP that more is about to come, and to wait for it.
            match sink.try_io(Interest::WRITABLE, || Ok(splice(&pipe.reading, sink, pipe.bytes)?)) {
                Ok(moved) => {
                    pipe.bytes -= moved;
                    return Poll::Ready(Ok(moved));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            self.pipes.put_back(pipe);
        }
    }
}

/// Moves what can be moved now. A sink that is closed is an error and no signal: Rust's programs ignore SIGPIPE.
fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> rustix::io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, most, flags))
}

/// Whether an error of [`Taken::fill`] says that the system does not splice here, and nothing of the connection.
pub(super) fn is_no_splice(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOMEM)
    )
}
