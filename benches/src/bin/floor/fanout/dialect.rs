//! What each server's wire looks like, as far as one topic needs it: how a subscriber begins, how a message is published,
//! and where a message ends. The message is the same frame in all.
//!
//! Protocols: <https://docs.nats.io/reference/reference-protocols/nats-protocol>, <https://redis.io/docs/latest/develop/reference/protocol-spec/>,
//! ZMTP 3.0 <https://rfc.zeromq.org/spec/23/>.

use anyhow::{Context, bail, ensure};
use loadgen::subscriber::subscribe;
use std::io::{Read, Write};
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::{MarketDataRequestAck, RequestStatus, SlowReaderPolicy};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{I32, Logon, Message, Password, Text, frame};

/// ChannelNo of the messages.
pub(crate) const CHANNEL: u16 = 2011;
const SUBJECT: &str = "q";
const TEXT_LINE_MAX: usize = 8 << 10;
/// The longest heartbeat interval that a feed takes: no run is so long that silence would count.
const HEART_BT_S: i32 = 60;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Server {
    /// `floor broadcast`
    Floor,
    /// A feed, whose source we are
    Feed,
    /// nats-server
    Nats,
    /// redis-server
    Redis,
    /// A ZeroMQ PUB socket that is told on a socket of its own
    Zeromq,
}

/// What a stream begins with: how long it is, and the message, if it is one.
type Part<'a> = (usize, Option<&'a [u8]>);

/// How a server's messages are framed, at one size.
pub(crate) struct Dialect {
    server: Server,
    size: usize,
    /// What stands before a message that is delivered, and that is published.
    delivered: Vec<u8>,
    published: Vec<u8>,
    after: &'static [u8],
}

impl Dialect {
    pub(crate) fn new(server: Server, size: usize) -> Self {
        let (delivered, published, after): (Vec<u8>, Vec<u8>, &[u8]) = match server {
            Server::Floor | Server::Feed => (Vec::new(), Vec::new(), b""),
            Server::Nats => (
                format!("MSG {SUBJECT} 1 {size}\r\n").into(),
                format!("PUB {SUBJECT} {size}\r\n").into(),
                b"\r\n",
            ),
            Server::Redis => (
                format!("*3\r\n$7\r\nmessage\r\n$1\r\n{SUBJECT}\r\n${size}\r\n").into(),
                format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\n{SUBJECT}\r\n${size}\r\n").into(),
                b"\r\n",
            ),
            Server::Zeromq => match u8::try_from(size) {
                Ok(short) => (vec![0, short], Vec::new(), b""),
                Err(_) => ([&[2][..], &(size as u64).to_be_bytes()].concat(), Vec::new(), b""),
            },
        };
        Self { server, size, delivered, published, after }
    }

    /// Appends a message as it is published.
    #[inline]
    pub(crate) fn publish(&self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.published);
        out.extend_from_slice(message);
        if !self.published.is_empty() {
            out.extend_from_slice(self.after);
        }
    }

    /// What `bytes` begin with; `None` while it is not whole.
    #[inline]
    pub(crate) fn next<'a>(&self, bytes: &'a [u8]) -> anyhow::Result<Option<Part<'a>>> {
        if self.server == Server::Feed {
            let Some(head) = bytes.first_chunk::<{ frame::HEADER_LEN }>() else { return Ok(None) };
            let body = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let whole = frame::OVERHEAD + body;
            // A heartbeat is shorter; nothing else comes besides messages once the subscription stands.
            let message = (whole == self.size).then(|| bytes.get(..whole)).flatten();
            return Ok((bytes.len() >= whole).then_some((whole, message)));
        }
        // Its first byte tells a message from all else that comes, and the numbers tell whether the framing holds: to compare
        // all of what stands before a message costs the reader more than the rest of its work.
        let Some(first) = bytes.first() else { return Ok(None) };
        if self.delivered.first().is_none_or(|wanted| wanted == first) {
            let before = self.delivered.len();
            let whole = before + self.size + self.after.len();
            return Ok((bytes.len() >= whole).then(|| (whole, Some(&bytes[before..before + self.size]))));
        }
        match self.server {
            // PING, INFO and the like: a line.
            Server::Nats if !bytes.starts_with(b"-ERR") => {
                let end = bytes.windows(2).position(|pair| pair == b"\r\n");
                ensure!(end.is_some() || bytes.len() < TEXT_LINE_MAX, "a line without an end");
                Ok(end.map(|end| (end + 2, None)))
            }
            _ => bail!("unexpected: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])),
        }
    }

    /// A subscriber's beginning, until the subscription stands (ZeroMQ does not say when it does).
    pub(crate) fn subscribe(&self, number: usize, stream: &mut (impl Read + Write)) -> anyhow::Result<()> {
        match self.server {
            Server::Floor => Ok(()),
            Server::Feed => log_on(number, stream),
            Server::Nats => {
                let hello = format!(
                    "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {SUBJECT} 1\r\nPING\r\n"
                );
                stream.write_all(hello.as_bytes())?;
                until(stream, b"PONG\r\n")
            }
            Server::Redis => {
                write!(stream, "SUBSCRIBE {SUBJECT}\r\n")?;
                until(stream, b":1\r\n")
            }
            Server::Zeromq => zmtp(stream),
        }
    }

    /// The publisher's beginning.
    pub(crate) fn begin_publishing(&self, stream: &mut (impl Read + Write)) -> anyhow::Result<()> {
        match self.server {
            Server::Floor | Server::Zeromq => Ok(()),
            Server::Feed => accept_feed(stream),
            Server::Nats => {
                stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")?;
                until(stream, b"PONG\r\n")
            }
            // Who publishes at full speed does not want a number back for each message.
            Server::Redis => Ok(stream.write_all(b"CLIENT REPLY OFF\r\n")?),
        }
    }
}

/// Reads until what has come ends with this; byte by byte, so that nothing behind it is taken.
fn until(stream: &mut impl Read, wanted: &[u8]) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(wanted) {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("the beginning of a session")?;
        seen.push(byte[0]);
        ensure!(seen.len() < TEXT_LINE_MAX, "no answer in {} bytes", seen.len());
    }
    Ok(())
}

fn zmtp(stream: &mut (impl Read + Write)) -> anyhow::Result<()> {
    const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB";
    const SUBSCRIBE_ALL: &[u8] = &[0, 1, 1];
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting)?;
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).context("the greeting")?;
    ensure!(theirs[0] == 0xff && theirs[10] >= 3, "not ZMTP 3");
    stream.write_all(READY)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).context("READY")?;
    ensure!(head[0] == 4, "not a command: {head:?}");
    let mut command = vec![0; head[1].into()];
    stream.read_exact(&mut command)?;
    ensure!(command.starts_with(b"\x05READY"), "not READY");
    Ok(stream.write_all(SUBSCRIBE_ALL)?)
}

fn frame_of(stream: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; frame::HEADER_LEN];
    stream.read_exact(&mut bytes).context("a frame of the session's beginning")?;
    let body = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    ensure!(body <= frame::BODY_LEN_MAX, "a body of {body} bytes");
    bytes.resize(frame::OVERHEAD + body, 0);
    stream.read_exact(&mut bytes[frame::HEADER_LEN..])?;
    Ok(bytes)
}

fn log_on(number: usize, stream: &mut (impl Read + Write)) -> anyhow::Result<()> {
    let logon = Logon {
        sender_comp_id: Text::truncated(&format!("bench-{number}")),
        target_comp_id: Text::literal("feed"),
        heart_bt_int_s: I32::new(HEART_BT_S),
        password: Password::default(),
        default_appl_ver_id: VERSION_MARKET_DATA,
    };
    let mut out = Vec::new();
    frame::encode(&logon, &mut out);
    subscribe(&[CHANNEL], SlowReaderPolicy::DISCONNECT, false, &mut out);
    stream.write_all(&out)?;
    loop {
        let bytes = frame_of(stream)?;
        let frame = frame::decode(&bytes, frame::BODY_LEN_MAX)?.context("a whole frame")?;
        if frame.msg_type == MarketDataRequestAck::MSG_TYPE {
            let ack = frame.view::<MarketDataRequestAck>()?;
            ensure!(ack.status == RequestStatus::ACCEPTED, "subscription refused");
            return Ok(());
        }
    }
}

fn accept_feed(stream: &mut (impl Read + Write)) -> anyhow::Result<()> {
    let mut session = Session::acceptor(Limits::default(), 0);
    let mut out = Vec::new();
    let bytes = frame_of(stream)?;
    let received = session.receive(&bytes, 0, &mut out)?.context("a whole frame")?;
    ensure!(matches!(received.event, Event::LogonRequest(_)), "the feed did not log on");
    session.accept(VERSION_MARKET_DATA, 0, &mut out);
    Ok(stream.write_all(&out)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::padded::Padded;

    const ALL: [Server; 5] = [Server::Floor, Server::Feed, Server::Nats, Server::Redis, Server::Zeromq];

    #[test]
    fn a_delivered_message_is_found_again_however_it_is_cut() {
        for (server, size) in ALL.into_iter().flat_map(|server| [(server, 128), (server, 512)]) {
            let dialect = Dialect::new(server, size);
            let message = Padded::new(CHANNEL, size, 1).unwrap().frame(7).to_vec();
            let bytes = [&dialect.delivered[..], &message, dialect.after].concat();
            for cut in 0..bytes.len() {
                assert_eq!(dialect.next(&bytes[..cut]).unwrap(), None, "{server:?} at {cut}");
            }
            let twice = [&bytes[..], &bytes].concat();
            assert_eq!(dialect.next(&twice).unwrap(), Some((bytes.len(), Some(&message[..]))), "{server:?}");
        }
    }

    #[test]
    fn what_a_server_says_besides_is_passed_over_and_an_error_is_one() {
        let nats = Dialect::new(Server::Nats, 128);
        assert_eq!(nats.next(b"PING\r\nMSG q").unwrap(), Some((6, None)));
        let long_error = [&b"-ERR 'Slow Consumer'\r\n"[..], &[b'.'; 200]].concat();
        nats.next(&long_error).unwrap_err();
        Dialect::new(Server::Redis, 128).next(&long_error).unwrap_err();
        let heartbeat = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(Dialect::new(Server::Feed, 128).next(&heartbeat).unwrap(), Some((12, None)));
    }
}
