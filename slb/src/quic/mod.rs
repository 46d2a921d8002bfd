//! QUIC: datagrams of clients to backends and back.
//!
//! A balancer cannot look into QUIC: beyond the connection IDs of packets' headers all is sealed. A client's first datagram
//! has an ID that the client made up; it is scheduled as a TCP connection is, and gets a session, which is a socket of
//! its own towards the backend. From the long headers of the backend's answers the table learns the ID that the client
//! uses from then on. When a datagram with a known ID comes from another address, it goes to the same backend, by a session of its
//! own: the backend sees that the address has changed, and proves it itself, with its limit on what an unproven address
//! is sent. Other IDs are given to the client under seal, so of them only those are known that name their server
//! (`transport::quic_route`).
//!
//! Nothing is ever answered from here: who is not known hears nothing.
//!
//! A listener is one socket on one worker: a client that changes its address must meet the same table.

mod session;
mod table;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use quinn_udp::RecvMeta;
use service::{Phase, Shutdown};
use tokio::task::JoinSet;
use transport::quic_route::{FIRST_CONNECTION_ID_BYTES_MIN, FIRST_DATAGRAM_BYTES_MIN, Header, header};

use crate::access::Record;
use crate::backend::{Backend, Lease};
use crate::port::{Port, Slot};
use crate::udp::{Buffers, Socket, Unsent};
use session::{Datagrams, Opening, Path, Session, serve};
use table::{ChosenBy, Table};

/// Calls that take in datagrams of clients before the worker's other tasks get their turn.
const RECEIVES_A_TURN: usize = 4;

/// What a listener's sessions share.
pub(crate) struct Shared {
    port: Arc<Port>,
    socket: Socket,
    table: RefCell<Table<Rc<Session>>>,
    /// Used within a poll, and empty between polls.
    buffers: RefCell<Buffers>,
    /// Sessions whose client has not shown yet that it hears what it is sent.
    unproven: Cell<usize>,
}

impl Shared {
    /// Takes in what the backend of a session sends, and sends it on.
    fn relay(&self, session: &Session, from: &Socket) -> io::Result<()> {
        let mut buffers = self.buffers.borrow_mut();
        let count = match from.try_recv(&mut buffers) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            received => received?,
        };
        for (meta, bytes) in buffers.filled(count) {
            let datagrams = Datagrams { bytes, stride: meta.stride, ecn: meta.ecn };
            self.learn(session, datagrams);
            self.count_sent(session.to_client(&self.socket, datagrams));
        }
        Ok(())
    }

    /// Notes what the backend wants its connection to be called.
    fn learn(&self, session: &Session, datagrams: Datagrams<'_>) {
        for datagram in datagrams.bytes.chunks(datagrams.stride) {
            if let Ok(Header::Long { source, .. }) = header(datagram) {
                self.table.borrow_mut().note(session.at, source, ChosenBy::Backend);
            }
        }
    }

    /// What is not sent is lost, as on any network: those who speak QUIC send it again.
    fn count_sent(&self, sent: Result<(), Unsent>) {
        let Err(unsent) = sent else { return };
        tracing::debug!(listener = self.port.name, %unsent, "datagrams are lost");
        let metrics = &self.port.metrics;
        let reason = if unsent.is_for_room() { &metrics.quic_full } else { &metrics.quic_failed };
        reason.inc_by(unsent.datagrams as u64);
    }

    fn prove(&self, session: &Session) {
        if session.prove() {
            self.unproven.set(self.unproven.get() - 1);
        }
    }

    fn leave(&self, session: &Session) {
        self.table.borrow_mut().remove(session.at);
        if !session.is_proven() {
            self.unproven.set(self.unproven.get() - 1);
        }
    }
}

/// A listener at its worker.
pub(crate) struct Door {
    shared: Rc<Shared>,
    sessions: JoinSet<()>,
}

impl Door {
    /// Over a bound socket, within a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(socket: OwnedFd, port: Arc<Port>) -> io::Result<Self> {
        let shared = Shared {
            port,
            socket: Socket::over(socket)?,
            table: RefCell::default(),
            buffers: RefCell::new(Buffers::new()),
            unproven: Cell::new(0),
        };
        Ok(Self { shared: Rc::new(shared), sessions: JoinSet::new() })
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let shared = Rc::clone(&self.shared);
        let port = &shared.port;
        {
            let mut ending = pin!(async {
                tokio::select! {
                    () = port.closed() => {}
                    () = shutdown.reached(Phase::Draining) => {}
                }
            });
            loop {
                tokio::select! {
                    () = ending.as_mut() => break,
                    readable = shared.socket.readable() => self.take_in(readable, true),
                    Some(ended) = self.sessions.join_next() => self.ended(ended),
                }
            }
        }
        port.release_sockets();
        // What is sent here is another's now. Dropping the sessions closes them.
        if port.is_handed_over() {
            return;
        }
        while !self.sessions.is_empty() {
            tokio::select! {
                () = shutdown.reached(Phase::Stopping) => return,
                readable = shared.socket.readable() => self.take_in(readable, false),
                Some(ended) = self.sessions.join_next() => self.ended(ended),
            }
        }
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.shared.port.metrics.panics.inc();
        }
    }

    fn take_in(&mut self, readable: io::Result<()>, admits: bool) {
        let shared = Rc::clone(&self.shared);
        let mut buffers = shared.buffers.borrow_mut();
        for _ in 0..RECEIVES_A_TURN {
            match shared.socket.try_recv(&mut buffers) {
                Ok(count) => {
                    for (meta, bytes) in buffers.filled(count) {
                        self.take(meta, bytes, admits);
                    }
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock || readable.is_err() {
                        tracing::debug!(listener = shared.port.name, %error, "receiving failed");
                        shared.port.metrics.accept_errors.inc();
                    }
                    return;
                }
            }
        }
    }

    /// Takes in datagrams that came together from one client. Neighbours of one session leave as they came.
    fn take(&mut self, meta: &RecvMeta, bytes: &[u8], admits: bool) {
        let mut run: Option<(Rc<Session>, usize)> = None;
        let mut at = 0;
        for datagram in bytes.chunks(meta.stride) {
            let session = self.route(meta, datagram, admits);
            let goes_on = matches!((&run, &session), (Some((one, _)), Some(other)) if Rc::ptr_eq(one, other));
            if !goes_on {
                self.send(run.take(), meta, &bytes[..at]);
                run = session.map(|session| (session, at));
            }
            at += datagram.len();
        }
        self.send(run, meta, bytes);
    }

    fn send(&self, run: Option<(Rc<Session>, usize)>, meta: &RecvMeta, until: &[u8]) {
        if let Some((session, from)) = run {
            let datagrams = Datagrams { bytes: &until[from..], stride: meta.stride, ecn: meta.ecn };
            self.shared.count_sent(session.to_backend(datagrams));
        }
    }

    /// The session that a datagram belongs to; it may be a new one. `None`: it is dropped, which is counted.
    fn route(&mut self, meta: &RecvMeta, datagram: &[u8], admits: bool) -> Option<Rc<Session>> {
        let metrics = &self.shared.port.metrics;
        let Ok(header) = header(datagram) else {
            metrics.quic_malformed.inc();
            return None;
        };
        let found = self.shared.table.borrow().find(&header);
        if let Some((mut session, id, chosen_by)) = found {
            if session.client != meta.addr {
                session = self.moved(meta, &session.backend())?;
                self.shared.table.borrow_mut().note(session.at, id, chosen_by);
            } else if chosen_by == ChosenBy::Backend {
                self.shared.prove(&session);
            }
            if matches!(header, Header::Long { .. }) {
                session.mark_handshake();
            }
            return Some(session);
        }
        match header {
            Header::Long { may_begin: true, destination, .. }
                if datagram.len() < FIRST_DATAGRAM_BYTES_MIN
                    || destination.len() < FIRST_CONNECTION_ID_BYTES_MIN =>
            {
                metrics.quic_malformed.inc();
                None
            }
            Header::Long { may_begin: true, destination, .. } if admits => self.open(meta, destination),
            Header::Short { destination } => {
                if let Some(backend) = self.shared.port.pool().named(destination) {
                    let session = self.moved(meta, &backend)?;
                    if session.is_known_there() {
                        self.shared.prove(&session);
                    }
                    return Some(session);
                }
                let latest = self.shared.table.borrow().of_client(meta.addr).next().cloned();
                if latest.is_none() {
                    metrics.quic_unknown.inc();
                }
                latest
            }
            Header::Long { .. } => {
                metrics.quic_unknown.inc();
                None
            }
        }
    }

    /// A connection begins, under an ID of the client's.
    fn open(&mut self, meta: &RecvMeta, id: &[u8]) -> Option<Rc<Session>> {
        let slot = self.admit(meta)?;
        let mut opening = Opening::new(&self.shared.port, meta.addr);
        let (lease, path) = match opening.next(&self.shared.port) {
            Ok(chosen) => chosen,
            Err(outcome) => {
                Record::new(&slot, meta.addr).end(outcome);
                return None;
            }
        };
        let session = self.start(meta, slot, lease, path, Some(opening));
        session.mark_handshake();
        self.shared.table.borrow_mut().note(session.at, id, ChosenBy::Client);
        Some(session)
    }

    /// A connection to a backend goes on from this address.
    fn moved(&mut self, meta: &RecvMeta, backend: &Arc<Backend>) -> Option<Rc<Session>> {
        let same = |session: &&Rc<Session>| session.backend().number == backend.number;
        let there = self.shared.table.borrow().of_client(meta.addr).find(same).cloned();
        if there.is_some() {
            return there;
        }
        let slot = self.admit(meta)?;
        let path = Path::to(backend).ok()?;
        Some(self.start(meta, slot, Lease::new(backend), path, None))
    }

    /// Takes a session in; `None`: it is refused, which is counted.
    fn admit(&self, meta: &RecvMeta) -> Option<Slot> {
        let Shared { port, unproven, table, .. } = &*self.shared;
        let quic = port.quic();
        if unproven.get() >= quic.handshakes_max {
            port.metrics.quic_handshakes.inc();
            return None;
        }
        if table.borrow().count_of(meta.addr.ip()) >= quic.client_sessions_max {
            port.metrics.quic_client.inc();
            return None;
        }
        port.metrics.accepted.inc();
        Slot::take(port, meta.addr)
    }

    fn start(
        &mut self,
        meta: &RecvMeta,
        slot: Slot,
        lease: Lease,
        path: Path,
        opening: Option<Opening>,
    ) -> Rc<Session> {
        let shared = &self.shared;
        let add = |at| Rc::new(Session::new(at, meta, path));
        let session = shared.table.borrow_mut().add(meta.addr, add);
        shared.unproven.set(shared.unproven.get() + 1);
        let task = Rc::new(OnceCell::new());
        let serving = serve(Rc::clone(&session), Rc::clone(shared), slot, lease, opening, Rc::clone(&task));
        let spawned = self.sessions.spawn_local(serving);
        task.set(spawned).expect("invariant: it is set here alone, before the task runs");
        session
    }
}
