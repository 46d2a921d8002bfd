//! A proxy, or an echo, of system calls alone: one thread, one epoll, one read and one write for what is there.

use anyhow::Context;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

/// What one read takes at most.
const READ_MAX: usize = 64 << 10;
const EVENTS_MAX: usize = 256;
/// The listener's number among the events.
const LISTENER: u64 = u64::MAX;

/// One connection; what it reads goes to `peer`, which is itself in an echo.
struct Conn {
    stream: TcpStream,
    peer: usize,
    /// Bytes of `peer` that this socket has not taken yet.
    waiting: Vec<u8>,
}

struct Relay {
    poll: OwnedFd,
    conns: Vec<Option<Conn>>,
    to: Option<SocketAddr>,
}

/// Runs until it is killed.
pub(crate) fn run(listen: SocketAddr, to: Option<SocketAddr>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| listen.to_string())?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut relay = Relay { poll, conns: Vec::new(), to };
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_MAX];
    loop {
        epoll::wait(&relay.poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let (number, flags) = (event.data.u64(), event.flags);
            if number == LISTENER {
                relay.accept(&listener)?;
                continue;
            }
            let at = number as usize;
            let moved =
                if flags.contains(EventFlags::OUT) { relay.flush(at) } else { relay.pass(at, &mut buffer) };
            if moved.is_err() {
                relay.close(at);
            }
        }
    }
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            match self.to {
                None => self.add(stream, self.conns.len())?,
                Some(to) => {
                    let beyond = TcpStream::connect(to).with_context(|| to.to_string())?;
                    let first = self.conns.len();
                    self.add(stream, first + 1)?;
                    self.add(beyond, first)?;
                }
            }
        }
    }

    fn add(&mut self, stream: TcpStream, peer: usize) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll::add(&self.poll, &stream, EventData::new_u64(self.conns.len() as u64), EventFlags::IN)?;
        self.conns.push(Some(Conn { stream, peer, waiting: Vec::new() }));
        Ok(())
    }

    /// Reads once and writes what came; what the other side does not take waits, and nothing more is read meanwhile.
    fn pass(&mut self, at: usize, buffer: &mut [u8]) -> io::Result<()> {
        let Some(conn) = &mut self.conns[at] else { return Ok(()) };
        let peer = conn.peer;
        let read = match conn.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(other) = &mut self.conns[peer] else { return Ok(()) };
        let written = match other.stream.write(&buffer[..read]) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if written < read {
            other.waiting.extend_from_slice(&buffer[written..read]);
            self.interest(at, EventFlags::empty())?;
            self.interest(peer, EventFlags::OUT)?;
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> io::Result<()> {
        let Some(conn) = &mut self.conns[at] else { return Ok(()) };
        let peer = conn.peer;
        let written = conn.stream.write(&conn.waiting)?;
        conn.waiting.drain(..written);
        if conn.waiting.is_empty() {
            self.interest(at, EventFlags::IN)?;
            self.interest(peer, EventFlags::IN)?;
        }
        Ok(())
    }

    fn interest(&self, at: usize, flags: EventFlags) -> io::Result<()> {
        let Some(conn) = &self.conns[at] else { return Ok(()) };
        Ok(epoll::modify(&self.poll, &conn.stream, EventData::new_u64(at as u64), flags)?)
    }

    fn close(&mut self, at: usize) {
        if let Some(conn) = self.conns[at].take() {
            self.conns[conn.peer] = None;
        }
    }
}
