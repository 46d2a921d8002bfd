//! A WebSocket as a browser has it, made by hand so that it can also be a bad one. Blocks, with a deadline.

use serde_json::Value;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A failing test ends here; a passing one never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One message of the other side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong,
    /// Code and reason.
    Close(u16, String),
    /// The connection has ended without a word.
    Gone,
}

/// One end of a WebSocket.
pub(crate) struct WebSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
    events: VecDeque<Value>,
}

impl WebSocket {
    /// Connects as a page of the other side's own would.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, "/ws", &format!("Origin: http://{address}\r\n")).expect("it is let in")
    }

    /// Connects with these header lines; or the status line of the refusal.
    pub(crate) fn connect_with(address: SocketAddr, path: &str, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut socket = Self { stream, buffer: Vec::new(), events: VecDeque::new() };
        let end = loop {
            if let Some(end) = socket.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !socket.read() {
                return Err(String::from_utf8_lossy(&socket.buffer).into_owned());
            }
        };
        let head = String::from_utf8(socket.buffer.drain(..end + 4).collect()).unwrap();
        if head.starts_with("HTTP/1.1 101") { Ok(socket) } else { Err(head) }
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// Sends a frame, masked by zeros.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            long => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    pub(crate) fn pong(&mut self) {
        self.send(PONG, b"");
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some((opcode, payload)) = self.take() {
                return match opcode {
                    TEXT => Heard::Text(String::from_utf8(payload).unwrap()),
                    BINARY => Heard::Binary(payload),
                    PING => Heard::Ping,
                    PONG => Heard::Pong,
                    CLOSE => {
                        let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                        Heard::Close(u16::from_be_bytes([payload[0], payload[1]]), reason)
                    }
                    other => panic!("a frame of type {other}"),
                };
            }
            if !self.read() {
                return Heard::Gone;
            }
        }
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, short) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(first & 0x80, 0x80, "whole messages");
        let (at, len) = match short {
            126 => (4, usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap()) as usize),
            short => (2, usize::from(short)),
        };
        self.buffer.get(at..at + len)?;
        let payload = self.buffer[at..at + len].to_vec();
        self.buffer.drain(..at + len);
        Some((first & 0x0f, payload))
    }

    /// The next event of a type, of whatever security; others are passed over, and pings answered.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["type"] == kind {
                    return event;
                }
            }
            match self.hear() {
                Heard::Text(text) => self.events.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap()),
                Heard::Ping => self.pong(),
                Heard::Binary(_) | Heard::Pong => {}
                ended => panic!("{kind} was expected, and there was {ended:?}"),
            }
        }
    }

    /// The close frame, whatever comes before it.
    pub(crate) fn close(&mut self) -> (u16, String) {
        loop {
            match self.hear() {
                Heard::Close(code, reason) => return (code, reason),
                Heard::Gone => panic!("a close frame was expected"),
                _ => {}
            }
        }
    }

    /// The next message of the compact form.
    pub(crate) fn binary(&mut self) -> Vec<u8> {
        loop {
            match self.hear() {
                Heard::Binary(bytes) => return bytes,
                Heard::Close(..) | Heard::Gone => panic!("a binary message was expected"),
                _ => {}
            }
        }
    }
}
