//! QUIC: one stream in both directions a connection, under the same suites as TLS.
//!
//! Endpoints live on threads of their own, a server's on one and those of dials on another: handshakes are done, packets
//! sealed and opened there, and the thread that serves a connection sees a stream of bytes. A client has an endpoint for
//! each connection. Besides the stream there are [`datagrams`] and streams in [`one_way`].

mod datagrams;
mod one_way;
pub mod route;

use crate::tls;
pub use datagrams::Datagram;
use gm::tls::quic_initial_suite;
pub use one_way::OneWay;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, TokioRuntime,
    TransportConfig, VarInt,
};
use route::ServerId;
use rustls::ServerConfig;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A connection of which nothing is heard for so long is dead. Sessions have heartbeats of their own, far shorter.
const IDLE_MS: u32 = 60_000;
/// Bytes that may be under way to one peer, sent or not: what a slow reader costs.
const SEND_WINDOW_BYTES: u64 = 1 << 20;
/// Bytes that a peer may send on one stream ahead of what is read.
const RECEIVE_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that a server may send on all its streams ahead of what is read: one that is not read holds up none of the others.
const RECEIVE_WINDOW_ALL_BYTES: u32 = 8 << 20;
/// Streams in one direction that who dialled takes at a time: twice what a server opens, as those of a subscription may still be
/// ending when those of the next one come.
const ONE_WAY_MAX: u32 = 128;

/// Bytes of datagrams that wait to be sent to one peer. What waits grows old: little, but a burst of updates.
const DATAGRAMS_OUT_BYTES: usize = 32 << 10;
/// Bytes of datagrams that wait for who dialled; beyond, the oldest are given up.
const DATAGRAMS_IN_BYTES: usize = 256 << 10;

/// Handshakes that may wait to begin; the endpoint refuses those beyond.
const INCOMING_MAX: usize = 4096;

/// How long the last bytes of a closed connection may take to be acknowledged, and its end to be sent.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Held by an endpoint until it has nothing more to send.
pub(crate) struct Ending(watch::Sender<()>);

/// The end of an endpoint, to be waited for.
#[derive(Clone, Debug)]
pub struct Farewell(watch::Receiver<()>);

impl Ending {
    pub(crate) fn new() -> (Self, Farewell) {
        let (sender, receiver) = watch::channel(());
        (Self(sender), Farewell(receiver))
    }
}

impl Farewell {
    /// Once the endpoint's connections are over: their last bytes acknowledged, or given up after five seconds.
    pub async fn over(mut self) {
        // Nothing is ever sent; the error is that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

/// A connection's one stream.
pub struct QuicStream {
    send: SendStream,
    receive: RecvStream,
    /// Where the endpoint lives.
    runtime: Handle,
    life: Option<Arc<Life>>,
    arrivals: Arrivals,
}

/// What is waited for on a connection that was dialled, once it was asked for.
#[derive(Default)]
struct Arrivals {
    datagram: Option<Arrival<Vec<u8>>>,
    one_way: Option<Arrival<RecvStream>>,
}

/// The next of something that arrives, or the end.
type Arrival<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// Asks once whether the next one is there.
fn poll_next<T: 'static>(
    waited: &mut Option<Arrival<T>>,
    begin: impl FnOnce() -> Arrival<T>,
    context: &mut Context<'_>,
) -> Poll<Option<T>> {
    let arrived = waited.get_or_insert_with(begin).as_mut().poll(context);
    match arrived {
        Poll::Ready(Some(_)) => *waited = None,
        // A future that is over must not be asked again.
        Poll::Ready(None) => *waited = Some(Box::pin(std::future::pending())),
        Poll::Pending => {}
    }
    arrived
}

/// What ends the connection, at once and without a word about what is under way; held by each stream that is written.
struct Life {
    connection: Connection,
    dialled: Option<Dialled>,
}

/// What a connection that was dialled has for itself.
struct Dialled {
    endpoint: Endpoint,
    ending: Ending,
    /// Whose thread the endpoint lives on.
    client: Arc<tls::Client>,
}

impl Life {
    async fn end(self) {
        self.connection.close(VarInt::from_u32(0), b"");
        drop(self.connection);
        let Some(Dialled { endpoint, ending, client }) = self.dialled else { return };
        if tokio::time::timeout(LAST_BYTES, endpoint.wait_idle()).await.is_err() {
            tracing::debug!("an endpoint that is not done in time");
        }
        drop((endpoint, ending));
        // The thread ends with the last of its clients, so this comes last.
        drop(client);
    }
}

impl QuicStream {
    fn new((send, receive): (SendStream, RecvStream), life: Life) -> Self {
        Self {
            send,
            receive,
            runtime: Handle::current(),
            life: Some(Arc::new(life)),
            arrivals: Arrivals::default(),
        }
    }

    /// Goes on from another port of this machine, as after a change of its network; for connections that were dialled.
    ///
    /// # Errors
    /// What the system says; and where the connection was accepted or is over.
    pub fn rebind(&self) -> io::Result<()> {
        let dialled = self.life.as_ref().and_then(|life| life.dialled.as_ref());
        let endpoint = &dialled.ok_or(io::ErrorKind::Unsupported)?.endpoint;
        let mut own = endpoint.local_addr()?;
        own.set_port(0);
        let _entered = self.runtime.enter();
        endpoint.rebind(UdpSocket::bind(own)?)
    }

    pub(crate) fn farewell(&self) -> Option<Farewell> {
        let dialled = self.life.as_ref()?.dialled.as_ref()?;
        Some(Farewell(dialled.ending.0.subscribe()))
    }
}

/// What was written still reaches the peer, as with TCP.
impl Drop for QuicStream {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            finish(&mut self.send, life, &self.runtime);
        }
    }
}

/// Ends a stream once its last bytes are acknowledged, and with the last stream the connection.
fn finish(send: &mut SendStream, life: Arc<Life>, runtime: &Handle) {
    if let Err(error) = send.finish() {
        tracing::trace!(%error, "finished before");
    }
    let acknowledged = send.stopped();
    runtime.spawn(async move {
        if tokio::time::timeout(LAST_BYTES, acknowledged).await.is_err() {
            tracing::debug!("the peer has not acknowledged the last bytes in time");
        }
        if let Some(life) = Arc::into_inner(life) {
            life.end().await;
        }
    });
}

impl std::fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.life.as_ref().map(|life| life.connection.remote_address());
        f.debug_struct("QuicStream").field("peer", &peer).finish_non_exhaustive()
    }
}

/// What a peer may send beside its stream.
struct Beside {
    datagrams_bytes: usize,
    streams: u32,
    /// On all streams together.
    window_bytes: u32,
}

/// Nothing: a server takes no more than its clients' one stream.
const TO_SERVER: Beside = Beside { datagrams_bytes: 0, streams: 0, window_bytes: RECEIVE_WINDOW_BYTES };
const TO_CLIENT: Beside = Beside {
    datagrams_bytes: DATAGRAMS_IN_BYTES,
    streams: ONE_WAY_MAX,
    window_bytes: RECEIVE_WINDOW_ALL_BYTES,
};

fn transport_config(beside: &Beside) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(beside.streams))
        .datagram_receive_buffer_size(Some(beside.datagrams_bytes))
        .datagram_send_buffer_size(DATAGRAMS_OUT_BYTES)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(beside.window_bytes))
        .send_window(SEND_WINDOW_BYTES);
    Arc::new(config)
}

/// `alone`: the endpoint is the only one on its port.
fn server_config(config: Arc<ServerConfig>, alone: bool) -> io::Result<quinn::ServerConfig> {
    let crypto = QuicServerConfig::with_initial(config, quic_initial_suite()).map_err(io::Error::other)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(transport_config(&TO_SERVER));
    server.max_incoming(INCOMING_MAX);
    // Where each thread has an endpoint of its own on the port, a client's new address leads to any of them.
    server.migration(alone);
    Ok(server)
}

/// An endpoint that accepts. With a server's number its connection IDs name it.
pub(crate) fn endpoint(
    socket: UdpSocket,
    config: Arc<ServerConfig>,
    server_id: Option<ServerId>,
) -> io::Result<Endpoint> {
    let server = server_config(config, false)?;
    let mut config = EndpointConfig::default();
    if let Some(server_id) = server_id {
        config.cid_generator(move || Box::new(route::Named::new(server_id)));
    }
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// The server's part of a handshake, until the client has opened its stream.
pub(crate) async fn accept(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    alone: bool,
) -> io::Result<QuicStream> {
    let connection = incoming.accept_with(Arc::new(server_config(config, alone)?))?.await?;
    let stream = connection.accept_bi().await?;
    Ok(QuicStream::new(stream, Life { connection, dialled: None }))
}

/// The client's part, on the thread of the client's endpoints.
pub(crate) async fn connect(address: SocketAddr, client: &Arc<tls::Client>) -> io::Result<QuicStream> {
    client.quic.run(dial(address, client.clone())).await
}

async fn dial(address: SocketAddr, client: Arc<tls::Client>) -> io::Result<QuicStream> {
    let crypto =
        QuicClientConfig::with_initial(client.config(), quic_initial_suite()).map_err(io::Error::other)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport_config(&TO_CLIENT));
    let own = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let endpoint = Endpoint::client(own)?;
    let name = client.name_of(address)?;
    let connecting = endpoint.connect_with(config, address, &name.to_str()).map_err(io::Error::other)?;
    let connection = connecting.await?;
    let stream = connection.open_bi().await?;
    let (ending, _) = Ending::new();
    let dialled = Some(Dialled { endpoint, ending, client });
    Ok(QuicStream::new(stream, Life { connection, dialled }))
}

/// A socket that shares its port with those of other threads.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Buffers of a server's socket: one socket has the packets of all its connections. The system may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// One slice after the other: the stream copies, so that joining them would be a second copy.
fn write_all_of(
    send: &mut SendStream,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut total = 0;
    for slice in slices.iter().filter(|slice| !slice.is_empty()) {
        match AsyncWrite::poll_write(Pin::new(&mut *send), context, slice) {
            Poll::Ready(Ok(bytes)) => {
                total += bytes;
                if bytes < slice.len() {
                    break;
                }
            }
            // What was taken is told; the error comes again, and a pending stream has noted who waits.
            _ if total > 0 => break,
            other => return other,
        }
    }
    Poll::Ready(Ok(total))
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.get_mut().receive), context, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.get_mut().send), context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_all_of(&mut self.get_mut().send, context, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().send), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.get_mut().send), context)
    }
}
