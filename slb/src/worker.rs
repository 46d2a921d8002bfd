//! A worker: one thread that accepts and serves connections of every port.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use service::{Phase, Shutdown};
use tokio::task::{JoinError, JoinSet};
use transport::{Acceptor, Listener, SocketOptions, Stream};

use crate::connection;
use crate::metrics::ListenerMetrics;
use crate::pool::Pool;
use crate::proxy::Scratch;

/// A pause after the system had no file or memory for a connection: it will have none at once
/// again, and asking would take the time that closing connections needs.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(10);

/// A configured listener: what all workers share of it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) pool: Arc<Pool>,
    pub(crate) socket: SocketOptions,
    pub(crate) idle_timeout: Duration,
    pub(crate) connections_max: usize,
    pub(crate) open: AtomicUsize,
    pub(crate) metrics: ListenerMetrics,
}

/// A connection counted against the limit of its port.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Port>);

impl Slot {
    fn take(port: &Arc<Port>) -> Option<Self> {
        if port.open.fetch_add(1, Ordering::Relaxed) >= port.connections_max {
            port.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        port.metrics.open.inc();
        Some(Self(Arc::clone(port)))
    }

    pub(crate) fn port(&self) -> &Port {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.open.dec();
    }
}

/// Accepts and serves until the server drains and all connections are over, or it stops.
/// Runs within a `LocalRuntime` or a `LocalSet`.
pub(crate) async fn run(
    listeners: Vec<(Listener, Arc<Port>)>,
    read_bytes_max: usize,
    shutdown: Shutdown,
) -> io::Result<()> {
    let scratch = Rc::new(Scratch::new(read_bytes_max));
    let mut doors = JoinSet::new();
    for (listener, port) in listeners {
        let acceptor = listener.accepting().await?;
        doors.spawn_local(
            Door { port, scratch: Rc::clone(&scratch), connections: JoinSet::new() }
                .run(acceptor, shutdown.clone()),
        );
    }
    while let Some(ended) = doors.join_next().await {
        ended.expect("invariant: a door's own code does not panic, and its connections' panics are caught");
    }
    Ok(())
}

/// One port at one worker.
struct Door {
    port: Arc<Port>,
    scratch: Rc<Scratch>,
    connections: JoinSet<()>,
}

impl Door {
    async fn run(mut self, acceptor: Acceptor, shutdown: Shutdown) {
        tokio::select! {
            () = self.accept(&acceptor) => {}
            () = shutdown.reached(Phase::Draining) => {}
        }
        self.take_queued(&acceptor).await;
        drop(acceptor);
        tokio::select! {
            () = self.finish() => {}
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
        match Slot::take(&self.port) {
            Some(slot) => {
                self.connections.spawn_local(connection::serve(stream, peer, slot, Rc::clone(&self.scratch)));
            }
            None => self.port.metrics.refused_limit.inc(),
        }
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
