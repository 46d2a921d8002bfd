//! Feeds that are reached over QUIC, their subscribers, and a network between the two that loses packets.

use crate::support::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use transport::tls::{Client, Settings, local_settings};
use transport::{Connector, Stream};
use wire::szse::ext::RequestStatus;
use wire::szse::{Heartbeat, Logon, Message, frame};

/// A feed that is reached over QUIC, too.
pub(crate) fn start(change: impl FnOnce(&mut feed::Config)) -> (Feed, Settings, TempDir) {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    let feed = Feed::start(|config| {
        config.tls = Some(settings.clone());
        config.listen.transport = Some(service::tls::Over::Tcp);
        config.listen.quic = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.sources.iter_mut().for_each(|source| source.transport = Some(service::tls::Over::Tcp));
        change(config);
    });
    (feed, settings, folder)
}

/// A subscriber over QUIC.
pub(crate) struct Reader {
    runtime: Runtime,
    pub(crate) stream: Stream,
    buffer: Vec<u8>,
}

impl Reader {
    /// Logged on, with a subscription that was accepted.
    pub(crate) fn subscribe(address: SocketAddr, settings: &Settings, wanted: &Wanted) -> Self {
        let mut reader = Self::log_on(address, settings, &logon());
        assert_eq!(reader.request(wanted), Seen::Ack(RequestStatus::ACCEPTED));
        reader
    }

    pub(crate) fn log_on(address: SocketAddr, settings: &Settings, logon: &Logon) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connector = Connector::quic(Client::load(settings).unwrap());
        let mut stream = runtime.block_on(connector.dial(address, DEADLINE)).unwrap();
        runtime.block_on(stream.write_all(&bytes_of(logon))).unwrap();
        let mut reader = Self { runtime, stream, buffer: Vec::new() };
        reader.frame();
        reader
    }

    /// The answer to a request.
    pub(crate) fn request(&mut self, wanted: &Wanted) -> Seen {
        self.runtime.block_on(self.stream.write_all(&wanted.encode())).unwrap();
        self.see()
    }

    /// Waits for what is asked of the connection.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut poll: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<T>,
    ) -> T {
        let stream = &mut self.stream;
        let arrival = std::future::poll_fn(|context| poll(stream, context));
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, arrival).await }).expect(what)
    }

    /// The next frame of the stream.
    fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(frame) = frame::decode(&self.buffer, frame::BODY_LEN_MAX).unwrap() {
                let len = frame.bytes.len();
                return self.buffer.drain(..len).collect();
            }
            let read = self.stream.read_buf(&mut self.buffer);
            let read = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, read).await });
            assert!(read.expect("something comes").unwrap() > 0, "the stream goes on");
        }
    }

    /// The next message of the stream that is no heartbeat.
    pub(crate) fn see(&mut self) -> Seen {
        loop {
            let bytes = self.frame();
            let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            if frame.msg_type != Heartbeat::MSG_TYPE {
                return seen(&frame);
            }
        }
    }
}

/// A network in front of a server that loses what the server sends, when it is told to.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    pub(crate) losing: Arc<AtomicBool>,
    pub(crate) lost: Arc<AtomicU64>,
}

impl Network {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(server).unwrap();
        let address = front.local_addr().unwrap();
        let (losing, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = Arc::new(OnceLock::new());
        let (from, to, peer) = (front.clone(), back.clone(), client.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok((bytes, sender)) = from.recv_from(&mut packet) {
                peer.get_or_init(|| sender);
                if to.send(&packet[..bytes]).is_err() {
                    return;
                }
            }
        });
        let (loses, counts) = (losing.clone(), lost.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok(bytes) = back.recv(&mut packet) {
                if loses.load(Ordering::SeqCst) {
                    counts.fetch_add(1, Ordering::SeqCst);
                } else if front.send_to(&packet[..bytes], client.get().unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { address, losing, lost }
    }
}
