//! Where a server's handshakes are done: those of TLS on a thread of their own that yields to all others; those of QUIC
//! on the thread that also seals and opens the packets of its connections.

use super::stream::Established;
use super::{Choice, LoadError, Settings, TlsStream, handshake};
use crate::options::SocketOptions;
use crate::quic::{self, QuicStream};
use crate::stream::Stream;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Established connections that may wait for the thread that will serve them.
const ESTABLISHED_MAX: usize = 1024;
/// Pause after an error of accepting: file limits do not mend themselves at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// What the handshakes' thread yields to the others (`nice`).
const NICENESS: i32 = 10;

/// What came of the handshakes of a server, counted since it was loaded.
#[derive(Debug, Default)]
pub struct Counts {
    /// Done.
    pub established: AtomicU64,
    /// Of those over TCP, resumed: without a certificate shown again.
    pub resumed: AtomicU64,
    /// Failed: the peer's certificate, its offer, or what it sent.
    pub failed: AtomicU64,
    /// Left without a word: a balancer's health check, or whoever looks which ports are open.
    pub left: AtomicU64,
    /// Not done by the deadline.
    pub timed_out: AtomicU64,
    /// Closed at once: as many as are allowed were under way.
    pub refused: AtomicU64,
    /// Errors of accepting (file limits); each is followed by a pause.
    pub accept_errors: AtomicU64,
    under_way: AtomicUsize,
}

impl Counts {
    /// Handshakes under way now.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

/// A server's side: who it is, whom it trusts, and the thread of its handshakes.
pub struct Server {
    settings: Settings,
    choice: ArcSwap<Choice>,
    counts: Counts,
    handshakes: Mutex<Option<Thread>>,
    quic: Mutex<Option<Thread>>,
}

/// A running thread; it ends when this is dropped.
struct Thread {
    handle: Handle,
    _end: watch::Sender<()>,
}

impl Thread {
    /// The runtime of a thread that starts when it is first asked for.
    fn of(place: &Mutex<Option<Self>>, name: &'static str, niceness: i32) -> io::Result<Handle> {
        let mut place = place.lock().expect("no holder of this lock panics");
        if let Some(thread) = &*place {
            return Ok(thread.handle.clone());
        }
        let thread = Self::start(name, niceness)?;
        Ok(place.insert(thread).handle.clone())
    }

    fn start(name: &'static str, niceness: i32) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, mut ended) = watch::channel(());
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            if niceness > 0
                && let Err(error) = rustix::process::setpriority_process(None, niceness)
            {
                tracing::debug!(%error, name, "the thread keeps its priority");
            }
            // Ends with an error, which is what it waits for.
            runtime.block_on(async move { while ended.changed().await.is_ok() {} });
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }
}

/// A connection on its way to the thread that will serve it.
pub(crate) enum Arrived {
    Tls(Box<Established<std::net::TcpStream>>, SocketAddr),
    Quic(QuicStream, SocketAddr),
}

impl Arrived {
    pub(crate) fn into_stream(self) -> io::Result<(Stream, SocketAddr)> {
        Ok(match self {
            Self::Tls(established, peer) => {
                (Stream::Tls(Box::new(TlsStream::new(established.attach()?))), peer)
            }
            Self::Quic(stream, peer) => (Stream::Quic(Box::new(stream)), peer),
        })
    }
}

/// The end at which connections arrive.
pub(crate) struct Handed {
    arrived: mpsc::Receiver<Arrived>,
    /// Being made known to this thread's runtime.
    next: Option<(Stream, SocketAddr)>,
}

impl Handed {
    pub(crate) fn new(arrived: mpsc::Receiver<Arrived>) -> Self {
        Self { arrived, next: None }
    }

    /// The next connection. Its socket is known to take bytes: what came with the end of the handshake can be answered, and
    /// the connection closed, at once. Cancelling it loses no connection.
    pub(crate) async fn next(&mut self) -> io::Result<(Stream, SocketAddr)> {
        if self.next.is_none() {
            let ended = || io::Error::other("the thread that accepts has ended");
            self.next = Some(self.arrived.recv().await.ok_or_else(ended)?.into_stream()?);
        }
        if let Some((Stream::Tls(stream), peer)) = &self.next
            && let Err(error) = stream.writable().await
        {
            tracing::debug!(%peer, %error, "a connection that is over already");
        }
        Ok(self.next.take().expect("invariant: put there above"))
    }
}

impl Server {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(settings: &Settings) -> Result<Arc<Self>, LoadError> {
        Ok(Arc::new(Self {
            choice: ArcSwap::from_pointee(settings.server_choice()?),
            settings: settings.clone(),
            counts: Counts::default(),
            handshakes: Mutex::new(None),
            quic: Mutex::new(None),
        }))
    }

    /// Loads the files again, for connections to come: those that are open stay as they are. Sessions that were begun
    /// before are not resumed, as who was let in then may not be let in now.
    ///
    /// # Errors
    /// [`LoadError`]; what was loaded before stays.
    pub fn reload(&self) -> Result<(), LoadError> {
        self.choice.store(Arc::new(self.settings.server_choice()?));
        Ok(())
    }

    /// What came of the handshakes.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn chooses_by_hello(&self) -> bool {
        matches!(*self.choice(), Choice::ByHello { .. })
    }

    pub(crate) fn choice(&self) -> Arc<Choice> {
        self.choice.load_full()
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.settings.handshake_timeout_ms))
    }

    /// Accepts on a TCP listener until what it returns is dropped.
    pub(crate) fn accept_tls(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
        options: SocketOptions,
    ) -> io::Result<mpsc::Receiver<Arrived>> {
        let handle = Thread::of(&self.handshakes, "handshakes", NICENESS)?;
        let (to, from) = mpsc::channel(ESTABLISHED_MAX);
        let _entered = handle.enter();
        let listener = TcpListener::from_std(listener)?;
        handle.spawn(tls_loop(self.clone(), listener, options, to));
        Ok(from)
    }

    /// Accepts on a UDP socket until what it returns is dropped.
    pub(crate) fn accept_quic(
        self: &Arc<Self>,
        socket: std::net::UdpSocket,
    ) -> io::Result<mpsc::Receiver<Arrived>> {
        let handle = Thread::of(&self.quic, "quic", 0)?;
        let (to, from) = mpsc::channel(ESTABLISHED_MAX);
        let _entered = handle.enter();
        let endpoint = quic::endpoint(socket, self.choice().first().clone())?;
        handle.spawn(quic_loop(self.clone(), endpoint, to));
        Ok(from)
    }

    /// Counts a handshake that begins; `None` when there are as many as are allowed.
    fn begin(self: &Arc<Self>) -> Option<UnderWay> {
        let before = self.counts.under_way.fetch_add(1, Ordering::Relaxed);
        let begun = UnderWay { server: self.clone() };
        if before >= self.settings.handshakes_max {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(begun)
    }

    /// Counts how a handshake ended.
    fn end<T>(
        &self,
        outcome: Result<io::Result<T>, tokio::time::error::Elapsed>,
        peer: SocketAddr,
    ) -> Option<T> {
        match outcome {
            Ok(Ok(established)) => {
                self.counts.established.fetch_add(1, Ordering::Relaxed);
                Some(established)
            }
            Ok(Err(error)) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, %error, "a handshake failed");
                None
            }
            Err(_) => {
                self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, "a handshake was not done in time");
                None
            }
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One handshake under way.
struct UnderWay {
    server: Arc<Server>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.server.counts.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn tls_loop(
    server: Arc<Server>,
    listener: TcpListener,
    options: SocketOptions,
    to: mpsc::Sender<Arrived>,
) {
    loop {
        let accepted = tokio::select! {
            () = to.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                if let Some(under_way) = server.begin() {
                    tokio::spawn(tls(under_way, tcp, peer, options, to.clone()));
                }
            }
            Err(error) => {
                server.counts.accept_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "accepting failed; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn tls(
    under_way: UnderWay,
    tcp: TcpStream,
    peer: SocketAddr,
    options: SocketOptions,
    to: mpsc::Sender<Arrived>,
) {
    let server = &under_way.server;
    let choice = server.choice();
    let established = async {
        if !matches!(tcp.peek(&mut [0]).await, Ok(1)) {
            server.counts.left.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        options.apply((&tcp).into())?;
        handshake::accept(tcp, &choice).await?.detach().map(Some)
    };
    let outcome = match tokio::time::timeout(server.timeout(), established).await {
        Ok(Ok(None)) => return,
        Ok(Ok(Some(established))) => Ok(Ok(established)),
        Ok(Err(error)) => Ok(Err(error)),
        Err(late) => Err(late),
    };
    let Some(established) = server.end(outcome, peer) else { return };
    server.counts.resumed.fetch_add(u64::from(established.resumed), Ordering::Relaxed);
    drop(under_way);
    if to.send(Arrived::Tls(Box::new(established), peer)).await.is_err() {
        tracing::debug!(%peer, "the listener has closed meanwhile");
    }
}

async fn quic_loop(server: Arc<Server>, endpoint: quinn::Endpoint, to: mpsc::Sender<Arrived>) {
    loop {
        let incoming = tokio::select! {
            () = to.closed() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // Before much is spent on it, an address must prove that it is one.
        let busy = server.counts.under_way() > server.settings.handshakes_max / 2;
        if busy && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "no retry");
            }
            continue;
        }
        let Some(under_way) = server.begin() else {
            incoming.ignore();
            continue;
        };
        tokio::spawn(quic_one(under_way, incoming, to.clone()));
    }
    // The connections that were handed over go on; new ones find nobody.
    endpoint.set_server_config(None);
    endpoint.wait_idle().await;
}

async fn quic_one(under_way: UnderWay, incoming: quinn::Incoming, to: mpsc::Sender<Arrived>) {
    let server = &under_way.server;
    let peer = incoming.remote_address();
    let outcome =
        tokio::time::timeout(server.timeout(), quic::accept(incoming, server.choice().first().clone())).await;
    let Some(stream) = server.end(outcome, peer) else { return };
    drop(under_way);
    if to.send(Arrived::Quic(stream, peer)).await.is_err() {
        tracing::debug!(%peer, "the listener has closed meanwhile");
    }
}
