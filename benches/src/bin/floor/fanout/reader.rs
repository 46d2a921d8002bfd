//! Hot path: one subscriber's connection. Nothing is parsed but where a message ends and which number it has.

use super::dialect::Dialect;
use anyhow::Context;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use wire::szse::frame;

/// Where the number stands in a message: behind ChannelNo.
const NUMBER_AT: usize = frame::HEADER_LEN + 2;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A subscriber.
pub(crate) struct Reader {
    stream: Stream,
    /// The beginning of a message whose end has not come yet.
    tail: Vec<u8>,
    /// The last number.
    pub(crate) last: u64,
    pub(crate) received: u64,
    /// Numbers that did not come behind the one before them.
    pub(crate) out_of_order: u64,
}

impl Reader {
    /// Connects and subscribes.
    pub(crate) fn connect(
        to: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        dialect: &Dialect,
        number: usize,
    ) -> anyhow::Result<Self> {
        let mut tcp = TcpStream::connect(to).with_context(|| to.to_string())?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let stream = match tls {
            None => {
                dialect.subscribe(number, &mut tcp)?;
                Stream::Plain(tcp)
            }
            Some(config) => {
                let session = ClientConnection::new(config.clone(), to.ip().into())?;
                let mut stream = StreamOwned::new(session, tcp);
                dialect.subscribe(number, &mut stream)?;
                Stream::Tls(Box::new(stream))
            }
        };
        let reader = Self { stream, tail: Vec::new(), last: 0, received: 0, out_of_order: 0 };
        reader.tcp().set_nonblocking(true)?;
        Ok(reader)
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Reads what is there, and gives `each` the numbers that are whole. False when the connection has ended.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        dialect: &Dialect,
        mut each: impl FnMut(u64),
    ) -> anyhow::Result<bool> {
        loop {
            let kept = self.tail.len();
            buffer[..kept].copy_from_slice(&self.tail);
            let read = match &mut self.stream {
                Stream::Plain(tcp) => tcp.read(&mut buffer[kept..]),
                Stream::Tls(stream) => read_tls(stream, &mut buffer[kept..]),
            };
            let read = match read {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(_) => return Ok(false),
            };
            let bytes = &buffer[..kept + read];
            let mut at = 0;
            while let Some((len, message)) = dialect.next(&bytes[at..])? {
                at += len;
                let Some(number) = message.and_then(|message| message[NUMBER_AT..].first_chunk::<8>()) else {
                    continue;
                };
                let number = u64::from_be_bytes(*number);
                self.out_of_order += u64::from(number != self.last + 1);
                self.last = number;
                self.received += 1;
                each(number);
            }
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[at..]);
            if matches!(self.stream, Stream::Plain(_)) {
                return Ok(true);
            }
        }
    }
}

/// Plaintext that is there, from one read of the socket at most.
fn read_tls(stream: &mut StreamOwned<ClientConnection, TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.conn.reader().read(buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        done => return done,
    }
    if stream.conn.read_tls(&mut stream.sock)? == 0 {
        return Ok(0);
    }
    stream.conn.process_new_packets().map_err(io::Error::other)?;
    stream.conn.reader().read(buffer)
}
