//! A client's session with one backend: a socket towards it, and a task that brings back what comes on it.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use transport::quic_route::FIRST_DATAGRAM_BYTES_MIN;

use super::Shared;
use crate::access::{Outcome, Record, Tally};
use crate::backend::{Backend, Lease};
use crate::config::QuicConfig;
use crate::pool::Pool;
use crate::port::{Port, Slot};
use crate::schedule::{Flow, Tried};
use crate::udp::Socket;

/// Datagrams that are kept for another backend until the first one has answered: a client's first flight, which with
/// post-quantum keys is two or three.
const EARLY_MAX: usize = 8;
const EARLY_BYTES_MAX: usize = 2_048;

/// See the module. A connection whose client has another address goes on in another session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where it stands in the table.
    pub(super) at: usize,
    pub(super) client: SocketAddr,
    /// Which of the machine's addresses the client sends to: it expects answers from there.
    own: Option<IpAddr>,
    path: RefCell<Path>,
    /// What the client sent before the backend answered.
    early: RefCell<Vec<Vec<u8>>>,
    answered: Cell<bool>,
    /// The backend has sent a datagram such as no answer to strangers is.
    answered_at_length: Cell<bool>,
    /// The client has shown that it hears what it is sent.
    proven: Cell<bool>,
    since: Instant,
    heard_client: Cell<Instant>,
    heard_backend: Cell<Instant>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

/// The way to a backend.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) backend: Arc<Backend>,
    pub(super) socket: Rc<Socket>,
}

impl Path {
    /// # Errors
    /// What the system says; it is counted.
    pub(super) fn to(backend: &Arc<Backend>) -> io::Result<Self> {
        match Socket::towards(backend.address()) {
            Ok(socket) => Ok(Self { backend: Arc::clone(backend), socket: Rc::new(socket) }),
            Err(error) => {
                tracing::debug!(backend = backend.name(), %error, "no socket");
                backend.count_connect_error(error.kind());
                Err(error)
            }
        }
    }
}

/// Datagrams of equal length, but for the last one, that came together.
#[derive(Clone, Copy)]
pub(super) struct Datagrams<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
    pub(super) ecn: Option<EcnCodepoint>,
}

impl Session {
    pub(super) fn new(at: usize, meta: &RecvMeta, path: Path) -> Self {
        let now = Instant::now();
        Self {
            at,
            client: meta.addr,
            own: meta.dst_ip,
            path: RefCell::new(path),
            early: RefCell::default(),
            answered: Cell::new(false),
            answered_at_length: Cell::new(false),
            proven: Cell::new(false),
            since: now,
            heard_client: Cell::new(now),
            heard_backend: Cell::new(now),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }

    pub(super) fn backend(&self) -> Arc<Backend> {
        Arc::clone(&self.path.borrow().backend)
    }

    fn socket(&self) -> Rc<Socket> {
        Rc::clone(&self.path.borrow().socket)
    }

    /// The client has used an ID that the backend gave out; whether that says something new.
    pub(super) fn prove(&self) -> bool {
        self.answered.get() && !self.proven.replace(true)
    }

    /// Whether the backend knows the connection, of which only the server's number is known here. Who makes that up
    /// gets stateless resets, which are shorter than what brings them about.
    pub(super) fn is_known_there(&self) -> bool {
        self.answered_at_length.get() || self.bytes_out.get() > self.bytes_in.get()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.get()
    }

    /// Sends what came from the client on.
    pub(super) fn to_backend(&self, datagrams: Datagrams<'_>) -> io::Result<()> {
        self.heard_client.set(Instant::now());
        if !self.answered.get() {
            let mut early = self.early.borrow_mut();
            let room = EARLY_MAX - early.len();
            let kept = datagrams.bytes.chunks(datagrams.stride).filter(|one| one.len() <= EARLY_BYTES_MAX);
            early.extend(kept.take(room).map(<[u8]>::to_vec));
        }
        let path = self.path.borrow();
        self.bytes_in.set(self.bytes_in.get() + datagrams.bytes.len() as u64);
        path.backend.metrics.bytes_in.inc_by(datagrams.bytes.len() as u64);
        send(&path.socket, path.backend.address(), None, datagrams)
    }

    /// Goes on to another backend, with what the client has sent so far.
    fn turn_to(&self, path: Path) {
        *self.path.borrow_mut() = path;
        let path = self.path.borrow();
        for bytes in self.early.borrow().iter() {
            let datagrams = Datagrams { bytes, stride: bytes.len(), ecn: None };
            if let Err(error) = send(&path.socket, path.backend.address(), None, datagrams) {
                tracing::debug!(backend = path.backend.name(), %error, "not sent");
            }
        }
    }

    /// Sends what came from the backend on.
    pub(super) fn to_client(&self, out: &Socket, datagrams: Datagrams<'_>) -> io::Result<()> {
        self.heard_backend.set(Instant::now());
        if !self.answered.replace(true) {
            self.early.take();
        }
        if datagrams.stride >= FIRST_DATAGRAM_BYTES_MIN {
            self.answered_at_length.set(true);
        }
        self.bytes_out.set(self.bytes_out.get() + datagrams.bytes.len() as u64);
        self.path.borrow().backend.metrics.bytes_out.inc_by(datagrams.bytes.len() as u64);
        send(out, self.client, self.own, datagrams)
    }

    /// When it is over unless more is heard. A connection that lives is heard from both of its sides.
    fn due(&self, quic: &QuicConfig) -> Instant {
        if self.is_proven() {
            self.heard_client.get().min(self.heard_backend.get())
                + Duration::from_millis(quic.idle_timeout_ms)
        } else {
            self.since + Duration::from_millis(quic.handshake_timeout_ms)
        }
    }
}

fn send(socket: &Socket, to: SocketAddr, from: Option<IpAddr>, datagrams: Datagrams<'_>) -> io::Result<()> {
    socket.try_send(&Transmit {
        destination: to,
        ecn: datagrams.ecn,
        contents: datagrams.bytes,
        segment_size: Some(datagrams.stride),
        src_ip: from,
    })
}

/// A connection that begins: who was tried for it.
pub(super) struct Opening {
    flow: Flow,
    tried: Tried,
    pool: Arc<Pool>,
}

impl Opening {
    pub(super) fn new(port: &Port, client: SocketAddr) -> Self {
        let flow = Flow { client, listener: port.address };
        Self { flow, tried: Tried::default(), pool: port.pool() }
    }

    /// The next backend to try, by the configuration as it is.
    pub(super) fn next(&mut self, port: &Port) -> Result<(Lease, Path), Outcome> {
        let mut failure = if self.tried.is_empty() { Outcome::NoBackend } else { Outcome::Connect };
        loop {
            self.pool = port.pool();
            let lease = self.pool.choose(&self.flow, &self.tried).ok_or(failure)?;
            self.tried.add(lease.backend());
            match Path::to(lease.backend()) {
                Ok(path) => return Ok((lease, path)),
                Err(_) => failure = Outcome::Connect,
            }
        }
    }
}

/// Leaves the table when the session's task is over, however it ends.
struct Stay<'a> {
    shared: &'a Shared,
    session: &'a Session,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.session);
    }
}

/// Serves a session until nothing is heard any more, and counts how it ended. `task` is what this runs as; `opening` is
/// there for a connection that begins, and not for one whose client has another address.
pub(super) async fn serve(
    session: Rc<Session>,
    shared: Rc<Shared>,
    slot: Slot,
    mut lease: Lease,
    opening: Option<Opening>,
    task: Rc<OnceCell<AbortHandle>>,
) {
    let _stay = Stay { shared: &shared, session: &session };
    let mut record = Record::new(&slot, session.client);
    if let Some(opening) = opening {
        lease = match reach(&session, &shared, &slot, lease, opening).await {
            Ok(lease) => lease,
            Err(outcome) => return record.end(outcome),
        };
    }
    if let Some(task) = task.get() {
        lease.close_with(task.clone());
    }
    let outcome =
        carry(&session, &shared, &slot.rules().quic, record.reached(lease.backend(), || None)).await;
    record.end(outcome);
}

/// Waits for a backend's answer; goes on to another when there is none.
async fn reach(
    session: &Session,
    shared: &Shared,
    slot: &Slot,
    mut lease: Lease,
    mut opening: Opening,
) -> Result<Lease, Outcome> {
    loop {
        let started = Instant::now();
        let timeout = Duration::from_millis(opening.pool.plan().config.connect.timeout_ms);
        let socket = session.socket();
        let answered = async {
            while !session.answered.get() {
                socket.readable().await?;
                shared.relay(session, &socket)?;
            }
            Ok::<_, io::Error>(())
        };
        let backend = lease.backend();
        let error = match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(())) => {
                slot.metrics().connect_seconds.observe(started.elapsed().as_secs_f64());
                backend.metrics.connected.inc();
                backend.connect_was_good();
                opening.pool.reached(&opening.flow, backend);
                return Ok(lease);
            }
            Ok(Err(error)) => error.kind(),
            Err(_) => io::ErrorKind::TimedOut,
        };
        tracing::debug!(pool = opening.pool.name(), backend = backend.name(), %error, "no answer over QUIC");
        backend.count_connect_error(error);
        // Servers are silent too when they cannot read what they were sent, which is up to the client, whoever that is.
        if error != io::ErrorKind::TimedOut {
            opening.pool.connect_failed(backend);
        }
        let (next, path) = opening.next(slot.port())?;
        lease = next;
        session.turn_to(path);
    }
}

/// Brings back what the backend sends, until one side is silent for too long or the backend is gone.
async fn carry(
    session: &Session,
    shared: &Shared,
    quic: &QuicConfig,
    (inward, outward): (&Tally, &Tally),
) -> Outcome {
    let socket = session.socket();
    let mut alarm = pin!(tokio::time::sleep_until(session.due(quic)));
    loop {
        let over = tokio::select! {
            readable = socket.readable() => {
                let relayed = readable.and_then(|()| shared.relay(session, &socket));
                relayed.is_err().then_some(Outcome::Reset)
            }
            () = alarm.as_mut() => {
                let due = session.due(quic);
                alarm.as_mut().reset(due);
                (due <= Instant::now()).then_some(Outcome::Idle)
            }
        };
        inward.note(session.bytes_in.get());
        outward.note(session.bytes_out.get());
        if let Some(outcome) = over {
            return outcome;
        }
    }
}
