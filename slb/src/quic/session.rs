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

use super::Shared;
use crate::access::{Outcome, Record, Tally};
use crate::backend::{Backend, Lease};
use crate::config::QuicConfig;
use crate::pool::Pool;
use crate::port::{Port, Slot};
use crate::schedule::{Flow, Tried};
use crate::udp::{Socket, Unsent};

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
    /// It has had packets of a handshake.
    handshake: Cell<bool>,
    /// The client has shown that it hears what it is sent.
    proven: Cell<bool>,
    since: Instant,
    heard_client: Cell<Instant>,
    heard_backend: Cell<Instant>,
    amounts: Amounts,
}

/// How much went each way.
#[derive(Debug, Default)]
struct Amounts {
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    longest_in_bytes: Cell<usize>,
    /// The backend has sent what no answers to a stranger are: each of those (a stateless reset) is shorter than the datagram
    /// that brought it about (RFC 9000, section 10.3).
    is_more_than_resets: Cell<bool>,
}

impl Amounts {
    fn count_in(&self, datagrams: Datagrams<'_>) {
        self.bytes_in.set(self.bytes_in.get() + datagrams.bytes.len() as u64);
        self.longest_in_bytes.set(self.longest_in_bytes.get().max(datagrams.longest_bytes()));
    }

    fn count_out(&self, datagrams: Datagrams<'_>) {
        self.bytes_out.set(self.bytes_out.get() + datagrams.bytes.len() as u64);
        if datagrams.longest_bytes() >= self.longest_in_bytes.get()
            || self.bytes_out.get() > self.bytes_in.get()
        {
            self.is_more_than_resets.set(true);
        }
    }
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

impl Datagrams<'_> {
    fn longest_bytes(&self) -> usize {
        self.stride.min(self.bytes.len())
    }
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
            handshake: Cell::new(false),
            proven: Cell::new(false),
            since: now,
            heard_client: Cell::new(now),
            heard_backend: Cell::new(now),
            amounts: Amounts::default(),
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

    /// A packet of a handshake belongs to it. To those backends answer at length, whoever has sent them.
    pub(super) fn mark_handshake(&self) {
        self.handshake.set(true);
    }

    /// Whether the backend knows the connection, of which only the server's number is known here: who makes that up gets less.
    /// So may a client that sends much and is sent little; its session ends then, and it goes on in another one.
    pub(super) fn is_known_there(&self) -> bool {
        !self.handshake.get() && self.amounts.is_more_than_resets.get()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.get()
    }

    /// Sends what came from the client on.
    pub(super) fn to_backend(&self, datagrams: Datagrams<'_>) -> Result<(), Unsent> {
        self.heard_client.set(Instant::now());
        if !self.answered.get() {
            let mut early = self.early.borrow_mut();
            let room = EARLY_MAX - early.len();
            let kept = datagrams.bytes.chunks(datagrams.stride).filter(|one| one.len() <= EARLY_BYTES_MAX);
            early.extend(kept.take(room).map(<[u8]>::to_vec));
        }
        let path = self.path.borrow();
        self.amounts.count_in(datagrams);
        path.backend.metrics.bytes_in.inc_by(datagrams.bytes.len() as u64);
        send(&path.socket, path.backend.address(), None, datagrams)
    }

    /// Goes on to another backend, with what the client has sent so far.
    fn turn_to(&self, path: Path, shared: &Shared) {
        *self.path.borrow_mut() = path;
        let path = self.path.borrow();
        for bytes in self.early.borrow().iter() {
            let datagrams = Datagrams { bytes, stride: bytes.len(), ecn: None };
            shared.count_sent(send(&path.socket, path.backend.address(), None, datagrams));
        }
    }

    /// Sends what came from the backend on.
    pub(super) fn to_client(&self, out: &Socket, datagrams: Datagrams<'_>) -> Result<(), Unsent> {
        self.heard_backend.set(Instant::now());
        if !self.answered.replace(true) {
            self.early.take();
        }
        self.amounts.count_out(datagrams);
        self.path.borrow().backend.metrics.bytes_out.inc_by(datagrams.bytes.len() as u64);
        send(out, self.client, self.own, datagrams)
    }

    /// When it is over unless more is heard. A connection that lives is heard from both of its sides.
    fn due(&self, quic: &QuicConfig) -> Instant {
        if self.is_proven() {
            self.heard_client.get().min(self.heard_backend.get())
                + Duration::from_millis(quic.idle_timeout_ms)
        } else {
            self.proof_due(quic)
        }
    }

    /// When the client must have shown that it hears what it is sent.
    fn proof_due(&self, quic: &QuicConfig) -> Instant {
        self.since + Duration::from_millis(quic.handshake_timeout_ms)
    }
}

fn send(
    socket: &Socket,
    to: SocketAddr,
    from: Option<IpAddr>,
    datagrams: Datagrams<'_>,
) -> Result<(), Unsent> {
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

/// Waits for a backend's answer; goes on to another when there is none, for as long as the client may be unproven.
async fn reach(
    session: &Session,
    shared: &Shared,
    slot: &Slot,
    mut lease: Lease,
    mut opening: Opening,
) -> Result<Lease, Outcome> {
    let proof_due = session.proof_due(&slot.rules().quic);
    loop {
        let started = Instant::now();
        let timeout = Duration::from_millis(opening.pool.plan().config.connect.timeout_ms);
        let answer_due = proof_due.min(started + timeout);
        let socket = session.socket();
        let answered = async {
            while !session.answered.get() {
                socket.readable().await?;
                shared.relay(session, &socket)?;
            }
            Ok::<_, io::Error>(())
        };
        let backend = lease.backend();
        let error = match tokio::time::timeout_at(answer_due, answered).await {
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
        if proof_due <= Instant::now() {
            return Err(Outcome::Connect);
        }
        let (next, path) = opening.next(slot.port())?;
        lease = next;
        session.turn_to(path, shared);
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
        inward.note(session.amounts.bytes_in.get());
        outward.note(session.amounts.bytes_out.get());
        if let Some(outcome) = over {
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_resets_is_what_is_as_long_as_what_came_or_more_in_all() {
        let bytes = [0; 4_000];
        let datagrams = |len: usize, stride: usize| Datagrams { bytes: &bytes[..len], stride, ecn: None };
        let known = |ins: &[(usize, usize)], outs: &[(usize, usize)]| {
            let amounts = Amounts::default();
            ins.iter().for_each(|&(len, stride)| amounts.count_in(datagrams(len, stride)));
            outs.iter().for_each(|&(len, stride)| amounts.count_out(datagrams(len, stride)));
            amounts.is_more_than_resets.get()
        };
        assert!(!known(&[(1_450, 1_450)], &[(1_300, 1_300)]));
        assert!(!known(&[(2_900, 1_450)], &[(2_800, 1_449)]));
        assert!(known(&[(1_450, 1_450)], &[(1_300, 1_300), (151, 151)]));
        assert!(known(&[(2_900, 1_450)], &[(1_450, 1_450)]));
        assert!(
            !known(&[(40, 1_450)], &[(39, 39)]) && known(&[(40, 1_450)], &[(40, 40)]),
            "a rest is as long as it is"
        );
    }
}
