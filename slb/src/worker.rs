//! A worker: one thread that accepts and serves connections of every port.

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use service::{Phase, Shutdown};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use transport::{Acceptor, Stream};

use crate::live::Opening;
use crate::port::{Port, Slot};
use crate::proxy::Scratch;
use crate::{connection, quic};

/// A pause after the system had no file or memory for a connection: it will have none at once
/// again, and asking would take the time that closing connections needs.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(10);

/// Accepts and serves what it is given to, until the server drains and all connections are over, or it
/// stops. Runs within a `LocalRuntime` or a `LocalSet`.
pub(crate) async fn run(
    mut openings: mpsc::Receiver<Opening>,
    read_bytes_max: usize,
    shutdown: Shutdown,
) -> io::Result<()> {
    let scratch = Rc::new(Scratch::new(read_bytes_max));
    let mut doors = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(opening) = openings.recv() => {
                let (listener, port) = match opening {
                    Opening::Tcp(listener, port) => (listener, port),
                    Opening::Quic(socket, port) => {
                        doors.spawn_local(quic::Door::new(socket, port)?.run(shutdown.clone()));
                        continue;
                    }
                };
                let acceptor = listener.with_proxy_headers(Some(port.headers.clone())).accepting().await?;
                let door = Door { port, scratch: Rc::clone(&scratch), connections: JoinSet::new() };
                doors.spawn_local(door.run(acceptor, shutdown.clone()));
            }
            Some(ended) = doors.join_next() => door_ended(ended),
            () = shutdown.reached(Phase::Draining) => break,
        }
    }
    while let Some(ended) = doors.join_next().await {
        door_ended(ended);
    }
    Ok(())
}

fn door_ended(ended: Result<(), JoinError>) {
    ended.expect("invariant: a door's own code does not panic, and its connections' panics are caught");
}

/// One port at one worker.
struct Door {
    port: Arc<Port>,
    scratch: Rc<Scratch>,
    connections: JoinSet<()>,
}

impl Door {
    async fn run(mut self, acceptor: Acceptor, shutdown: Shutdown) {
        let port = Arc::clone(&self.port);
        tokio::select! {
            () = self.accept(&acceptor) => {}
            () = port.closed() => {}
            () = shutdown.reached(Phase::Draining) => {}
        }
        port.release_sockets();
        self.take_queued(&acceptor).await;
        let all_over = async {
            acceptor.last(|stream, peer| self.admit(stream, peer)).await;
            self.finish().await;
        };
        tokio::select! {
            () = all_over => {}
            // Dropping the connections closes them.
            () = shutdown.reached(Phase::Stopping) => {}
        }
    }

    async fn accept(&mut self, acceptor: &Acceptor) {
        loop {
            tokio::select! {
                accepted = acceptor.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => self.accept_failed(&error).await,
                },
                Some(ended) = self.connections.join_next() => self.ended(ended),
            }
        }
    }

    fn admit(&mut self, stream: Stream, peer: SocketAddr) {
        self.port.metrics.accepted.inc();
        let Some(slot) = Slot::take(&self.port, peer) else { return };
        let task = Rc::new(OnceCell::new());
        let serving = connection::serve(stream, peer, slot, Rc::clone(&self.scratch), Rc::clone(&task));
        let spawned = self.connections.spawn_local(serving);
        task.set(spawned).expect("invariant: it is set here alone, before the task runs");
    }

    async fn accept_failed(&self, error: &io::Error) {
        self.port.metrics.accept_errors.inc();
        tracing::debug!(listener = self.port.name, %error, "accept failed");
        if !is_the_peers(error) {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
        }
    }

    /// Takes the connections that the kernel had already accepted for this socket: closing it
    /// would reset them.
    async fn take_queued(&mut self, acceptor: &Acceptor) {
        tokio::task::yield_now().await; // Lets the runtime hear of them.
        loop {
            tokio::select! {
                biased;
                Ok((stream, peer)) = acceptor.accept() => self.admit(stream, peer),
                () = std::future::ready(()) => return,
            }
        }
    }

    async fn finish(&mut self) {
        while let Some(ended) = self.connections.join_next().await {
            self.ended(ended);
        }
    }

    fn ended(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.port.metrics.panics.inc();
        }
    }
}

/// Whether a failed accept is the doing of the connection's peer, and the next accept may be good.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}
