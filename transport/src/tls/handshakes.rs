//! Where a server's handshakes are done: those of TLS on a thread of their own that yields to all others; those of QUIC
//! on the thread that also seals and opens the packets of its connections.

use super::peers::{Peers, Place, Refused};
use super::stream::Established;
use super::told::Told;
use super::{Choice, LoadError, Settings, TlsStream, handshake};
use crate::background::{Background, HANDSHAKES_NICENESS};
use crate::proxy_protocol::{Door, Headers};
use crate::quic::route::ServerId;
use crate::quic::{self, Ending, Farewell, QuicStream};
use crate::stream::Stream;
use crate::{Clock, causes};
use arc_swap::ArcSwap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Established connections that may wait for the thread that will serve them.
const ESTABLISHED_MAX: usize = 1024;
/// Pause after an error of accepting: file limits do not mend themselves at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Handshakes under way from which on one over QUIC must first show that its address is its own. A client's hello costs it
/// less than the server, whose thread also moves the packets of established connections; the proof costs it a round trip.
const UNPROVEN_MAX: usize = 64;
/// A refused handshake is told in the log so often, at most: a flood of them must not become one of lines.
const TOLD_NS: u64 = 10_000_000_000;

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
    /// Closed at once: as many as one address is allowed were under way.
    pub refused_peer: AtomicU64,
    /// Closed at once: one address began more in a second than it is allowed.
    pub refused_rate: AtomicU64,
    /// Over QUIC, sent back once to prove that their address is theirs.
    pub retried: AtomicU64,
    /// Begun by addresses that were not kept account of: there were too many.
    pub untracked: AtomicU64,
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
    /// When the certificate ends, seconds since 1970; 0 where it does not say.
    ends_s: AtomicU64,
    counts: Counts,
    clock: Clock,
    peers: Mutex<Peers>,
    /// When a refusal may be told again, by the clock.
    told_next_ns: AtomicU64,
    /// The causes of failed ones that were told of late.
    failed: Mutex<Told>,
    handshakes: Background,
    quic: Background,
    quic_endpoints: AtomicUsize,
    /// What its QUIC connection IDs say of it.
    server_id: Option<ServerId>,
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
    farewell: Option<Farewell>,
}

impl Handed {
    /// When the endpoint behind it, if it is one of QUIC, has nothing more to send.
    pub(crate) fn farewell(&self) -> Option<Farewell> {
        self.farewell.clone()
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
            ends_s: AtomicU64::new(settings.certificate_ends_s()?.unwrap_or(0)),
            settings: settings.clone(),
            counts: Counts::default(),
            clock: Clock::start(),
            peers: Mutex::new(Peers::new(settings.peer_bounds())),
            told_next_ns: AtomicU64::new(0),
            failed: Mutex::default(),
            handshakes: Background::new("handshakes", HANDSHAKES_NICENESS),
            quic: Background::new("quic", 0),
            quic_endpoints: AtomicUsize::new(0),
            server_id: settings.server_id()?,
        }))
    }

    /// Loads the files again, for connections to come: those that are open stay as they are. Sessions that were begun
    /// before are not resumed, as who was let in then may not be let in now.
    ///
    /// # Errors
    /// [`LoadError`]; what was loaded before stays.
    pub fn reload(&self) -> Result<(), LoadError> {
        let ends_s = self.settings.certificate_ends_s()?.unwrap_or(0);
        self.choice.store(Arc::new(self.settings.server_choice()?));
        self.ends_s.store(ends_s, Ordering::Relaxed);
        Ok(())
    }

    /// When the certificate that is shown now ends, seconds since 1970; of two, the first to end. 0 where it does not say.
    pub fn certificate_ends_s(&self) -> u64 {
        self.ends_s.load(Ordering::Relaxed)
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
        headers: Option<Arc<Headers>>,
    ) -> io::Result<Handed> {
        let handle = self.handshakes.handle()?;
        let (to, from) = mpsc::channel(ESTABLISHED_MAX);
        let _entered = handle.enter();
        let door = Door::open(listener, headers)?;
        handle.spawn(tls_loop(self.clone(), door, to));
        Ok(Handed { arrived: from, next: None, farewell: None })
    }

    /// Accepts on a UDP socket until what it returns is dropped.
    pub(crate) fn accept_quic(self: &Arc<Self>, socket: std::net::UdpSocket) -> io::Result<Handed> {
        let handle = self.quic.handle()?;
        let (to, from) = mpsc::channel(ESTABLISHED_MAX);
        let _entered = handle.enter();
        let endpoint = quic::endpoint(socket, self.choice().first().clone(), self.server_id)?;
        self.quic_endpoints.fetch_add(1, Ordering::Relaxed);
        let (ending, farewell) = Ending::new();
        handle.spawn(quic_loop(self.clone(), endpoint, to, ending));
        Ok(Handed { arrived: from, next: None, farewell: Some(farewell) })
    }

    /// Counts a handshake that begins; `None` when as many as are allowed, of all or of this peer, are under way.
    fn begin(self: &Arc<Self>, peer: SocketAddr) -> Option<UnderWay> {
        let before = self.counts.under_way.fetch_add(1, Ordering::Relaxed);
        let mut begun = UnderWay { server: self.clone(), place: Place::Exempt };
        if before >= self.settings.handshakes_max {
            self.refused(&self.counts.refused, "as many as `tls.handshakes_max` allows are under way", peer);
            return None;
        }
        let outcome = self.peers().begin(peer.ip(), self.clock.now_ns());
        match outcome {
            Ok(place) => {
                self.counts.untracked.fetch_add(u64::from(place == Place::Untracked), Ordering::Relaxed);
                begun.place = place;
                Some(begun)
            }
            Err(Refused::UnderWay) => {
                let why = "as many of this address as `tls.peer_handshakes_max` allows are under way";
                self.refused(&self.counts.refused_peer, why, peer);
                None
            }
            Err(Refused::Rate) => {
                let why = "this address began as many in a second as `tls.peer_handshakes_per_s_max` allows";
                self.refused(&self.counts.refused_rate, why, peer);
                None
            }
        }
    }

    fn refused(&self, count: &AtomicU64, why: &'static str, peer: SocketAddr) {
        count.fetch_add(1, Ordering::Relaxed);
        if self.may_tell() {
            tracing::warn!(%peer, why, "a handshake refused; more of this are only counted for a while");
        }
    }

    /// Whether a refusal may be told in the log, once in [`TOLD_NS`].
    fn may_tell(&self) -> bool {
        let (now_ns, next_ns) = (self.clock.now_ns(), self.told_next_ns.load(Ordering::Relaxed));
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let mine = || self.told_next_ns.compare_exchange(next_ns, now_ns + TOLD_NS, success, failure).is_ok();
        now_ns >= next_ns && mine()
    }

    /// Whether so much is going on that an address must prove that it is one before much is spent on it.
    fn wants_proof_of(&self, peer: IpAddr) -> bool {
        self.counts.under_way() > UNPROVEN_MAX.min(self.settings.handshakes_max / 2)
            || self.peers().is_busy(peer, self.clock.now_ns())
    }

    /// Threads of handshakes share it, and nobody else: no shard waits for it.
    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().expect("no holder of this lock panics")
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
                let error = causes(&error);
                let mut told = self.failed.lock().expect("no holder of this lock panics");
                let tells = told.may_tell(&error, self.clock.now_ns());
                drop(told);
                if tells {
                    tracing::warn!(%peer, error, "a handshake failed; more of this are only counted for a while");
                } else {
                    tracing::debug!(%peer, error, "a handshake failed");
                }
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
    place: Place,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let server = &self.server;
        if self.place != Place::Exempt {
            server.peers().end(&self.place, server.clock.now_ns());
        }
        server.counts.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn tls_loop(server: Arc<Server>, door: Door, to: mpsc::Sender<Arrived>) {
    loop {
        let accepted = tokio::select! {
            () = to.closed() => return,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                if let Some(under_way) = server.begin(peer) {
                    tokio::spawn(tls(under_way, tcp, peer, to.clone()));
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

async fn tls(under_way: UnderWay, tcp: TcpStream, peer: SocketAddr, to: mpsc::Sender<Arrived>) {
    let server = &under_way.server;
    let choice = server.choice();
    let established = async {
        if !matches!(tcp.peek(&mut [0]).await, Ok(1)) {
            server.counts.left.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
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
    hand_over(&to, Arrived::Tls(Box::new(established), peer), peer).await;
}

async fn quic_loop(
    server: Arc<Server>,
    endpoint: quinn::Endpoint,
    to: mpsc::Sender<Arrived>,
    _ending: Ending,
) {
    loop {
        let incoming = tokio::select! {
            () = to.closed() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let peer = incoming.remote_address();
        // Who only says that it has this address must not use up what is the address's.
        if !incoming.remote_address_validated() && server.wants_proof_of(peer.ip()) {
            server.counts.retried.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "no retry");
            }
            continue;
        }
        match server.begin(peer) {
            Some(under_way) => {
                tokio::spawn(quic_one(under_way, incoming, to.clone()));
            }
            None => incoming.refuse(),
        }
    }
    // The connections that were handed over go on; new ones find nobody.
    endpoint.set_server_config(None);
    endpoint.wait_idle().await;
}

async fn quic_one(under_way: UnderWay, incoming: quinn::Incoming, to: mpsc::Sender<Arrived>) {
    let server = &under_way.server;
    let peer = incoming.remote_address();
    let alone = server.quic_endpoints.load(Ordering::Relaxed) == 1;
    let accepted = quic::accept(incoming, server.choice().first().clone(), alone);
    let accepted = tokio::time::timeout(server.timeout(), accepted);
    let outcome = tokio::select! {
        // Nobody waits for it any more, and the endpoint would not end before the deadline of a silent one.
        () = to.closed() => return,
        outcome = accepted => outcome,
    };
    let Some(stream) = server.end(outcome, peer) else { return };
    hand_over(&to, Arrived::Quic(stream, peer), peer).await;
}

/// The handshake is under way until its shard has room for it: a shard that is stuck must not let connections pile up.
async fn hand_over(to: &mpsc::Sender<Arrived>, arrived: Arrived, peer: SocketAddr) {
    if to.send(arrived).await.is_err() {
        tracing::debug!(%peer, "the listener has closed meanwhile");
    }
}
