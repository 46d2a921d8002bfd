//! One client's connection, from the choice of a backend to the close.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use transport::{Connector, Stream};

use crate::pool::{Backend, Lease, Pool};
use crate::proxy::{Counts, End, Scratch, pump};
use crate::schedule::Tried;
use crate::worker::{Port, Slot};

/// Why no backend could be reached.
enum Unreached {
    /// None takes connections.
    NoBackend,
    /// Those that were tried did not accept.
    Connect,
}

/// Serves one client until its connection is over, and counts how it ended.
pub(crate) async fn serve(mut client: Stream, peer: SocketAddr, slot: Slot, scratch: Rc<Scratch>) {
    let port = slot.port();
    let (mut stream, lease) = match reach(port, peer).await {
        Ok(reached) => reached,
        Err(Unreached::NoBackend) => return port.metrics.refused_no_backend.inc(),
        Err(Unreached::Connect) => return port.metrics.refused_connect.inc(),
    };
    let backend = lease.backend();
    let counts = Counts {
        inward: &backend.metrics.bytes_in,
        outward: &backend.metrics.bytes_out,
        held: &port.metrics.held_bytes,
    };
    match pump(&mut client, &mut stream, &scratch, counts, port.idle_timeout).await {
        End::Done => port.metrics.ended_done.inc(),
        End::Reset => {
            port.metrics.ended_reset.inc();
            reset_at_close(&client);
            reset_at_close(&stream);
        }
        End::Idle => port.metrics.ended_idle.inc(),
    }
}

/// Lets the peer see a break as a break: after an orderly close it would take the part that it has
/// for the whole.
fn reset_at_close(stream: &Stream) {
    if let Stream::Tcp(tcp) = stream
        && let Err(error) = tcp.set_zero_linger()
    {
        tracing::debug!(%error, "a broken connection is closed in order");
    }
}

/// Connects to a backend; to another when that fails, up to the pool's number of attempts.
async fn reach(port: &Port, peer: SocketAddr) -> Result<(Stream, Lease), Unreached> {
    let mut tried = Tried::default();
    let mut failure = Unreached::NoBackend;
    for _ in 0..port.pool.connect().attempts {
        let Some(lease) = port.pool.choose(peer.ip(), &tried) else { break };
        tried.add(lease.at());
        match connect(port, &port.pool, lease.backend()).await {
            Some(stream) => return Ok((stream, lease)),
            None => failure = Unreached::Connect,
        }
    }
    Err(failure)
}

async fn connect(port: &Port, pool: &Arc<Pool>, backend: &Backend) -> Option<Stream> {
    let timeout = Duration::from_millis(pool.connect().timeout_ms);
    let started = Instant::now();
    match Connector::tcp(port.socket).dial(backend.address(), timeout).await {
        Ok(stream) => {
            port.metrics.connect_seconds.observe(started.elapsed().as_secs_f64());
            backend.metrics.connected.inc();
            Some(stream)
        }
        Err(error) => {
            tracing::debug!(pool = pool.name(), backend = backend.name(), %error);
            match error.kind() {
                ErrorKind::ConnectionRefused => backend.metrics.connect_refused.inc(),
                ErrorKind::TimedOut => backend.metrics.connect_timeout.inc(),
                _ => backend.metrics.connect_other.inc(),
            }
            None
        }
    }
}
