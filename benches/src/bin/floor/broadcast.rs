//! A broadcaster of system calls alone: what one read of the publisher's socket gave is written to every subscriber's.

use anyhow::Context;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

/// What one read takes at most.
const READ_MAX: usize = 128 << 10;
const EVENTS_MAX: usize = 256;
/// So much waits for one subscriber, and the publisher is not read from.
const WAITING_MAX: usize = 1 << 20;
const LISTENER: u64 = u64::MAX;
const PUBLISHERS: u64 = u64::MAX - 1;
const PUBLISHER: u64 = u64::MAX - 2;

struct Subscriber {
    stream: TcpStream,
    /// Bytes that the socket has not taken yet.
    waiting: Vec<u8>,
}

struct Broadcast {
    poll: OwnedFd,
    subscribers: Vec<Option<Subscriber>>,
    publisher: Option<TcpStream>,
    /// Subscribers for whom too much waits.
    full: usize,
}

/// Runs until it is killed.
pub(crate) fn run(listen: SocketAddr, publish: SocketAddr) -> anyhow::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let bind = |address: SocketAddr, number| -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
        listener.set_nonblocking(true)?;
        epoll::add(&poll, &listener, EventData::new_u64(number), EventFlags::IN)?;
        Ok(listener)
    };
    let (publishers, listener) = (bind(publish, PUBLISHERS)?, bind(listen, LISTENER)?);
    let mut broadcast = Broadcast { poll, subscribers: Vec::new(), publisher: None, full: 0 };
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_MAX];
    loop {
        epoll::wait(&broadcast.poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => broadcast.accept(&listener)?,
                PUBLISHERS => broadcast.take_publisher(&publishers)?,
                PUBLISHER => broadcast.pass(&mut buffer)?,
                at => broadcast.flush(at as usize)?,
            }
        }
    }
}

impl Broadcast {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        while let Some(stream) = accepted(listener)? {
            let number = EventData::new_u64(self.subscribers.len() as u64);
            epoll::add(&self.poll, &stream, number, EventFlags::empty())?;
            self.subscribers.push(Some(Subscriber { stream, waiting: Vec::new() }));
        }
        Ok(())
    }

    fn take_publisher(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        while let Some(stream) = accepted(listener)? {
            epoll::add(&self.poll, &stream, EventData::new_u64(PUBLISHER), EventFlags::IN)?;
            self.publisher = Some(stream);
        }
        Ok(())
    }

    /// Reads once, and writes that to everybody.
    fn pass(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Some(publisher) = self.publisher.as_mut().filter(|_| self.full == 0) else { return Ok(()) };
        let read = match publisher.read(buffer) {
            Ok(0) => {
                self.publisher = None;
                return Ok(());
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (at, slot) in self.subscribers.iter_mut().enumerate() {
            let Some(subscriber) = slot else { continue };
            let written = if subscriber.waiting.is_empty() {
                match subscriber.stream.write(&buffer[..read]) {
                    Ok(written) => written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(_) => {
                        *slot = None;
                        continue;
                    }
                }
            } else {
                0
            };
            if written == read {
                continue;
            }
            if subscriber.waiting.is_empty() {
                let number = EventData::new_u64(at as u64);
                epoll::modify(&self.poll, &subscriber.stream, number, EventFlags::OUT)?;
            }
            let before = subscriber.waiting.len();
            subscriber.waiting.extend_from_slice(&buffer[written..read]);
            self.full += usize::from(before <= WAITING_MAX && subscriber.waiting.len() > WAITING_MAX);
        }
        if self.full > 0 {
            self.hear_publisher(EventFlags::empty())?;
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(subscriber) = &mut self.subscribers[at] else { return Ok(()) };
        let full = subscriber.waiting.len() > WAITING_MAX;
        let written = subscriber.stream.write(&subscriber.waiting);
        let still = match written {
            Ok(written) => {
                subscriber.waiting.drain(..written);
                subscriber.waiting.len()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
        };
        if still == 0 {
            let number = EventData::new_u64(at as u64);
            epoll::modify(&self.poll, &subscriber.stream, number, EventFlags::empty())?;
        }
        if written.is_err() {
            self.subscribers[at] = None;
        }
        if full && still <= WAITING_MAX {
            self.full -= 1;
            if self.full == 0 {
                self.hear_publisher(EventFlags::IN)?;
            }
        }
        Ok(())
    }

    fn hear_publisher(&self, flags: EventFlags) -> anyhow::Result<()> {
        if let Some(publisher) = &self.publisher {
            epoll::modify(&self.poll, publisher, EventData::new_u64(PUBLISHER), flags)?;
        }
        Ok(())
    }
}

fn accepted(listener: &TcpListener) -> anyhow::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("accept"),
    }
}
