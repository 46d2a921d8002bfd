//! One client's connection, from the choice of a backend to the close.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use transport::{Connector, Stream};

use crate::access::{Outcome, Record};
use crate::backend::{Backend, Lease};
use crate::capped::Capped;
use crate::dial::{dial, of_client};
use crate::metrics::ListenerMetrics;
use crate::pool::Pool;
use crate::port::{Rules, Slot};
use crate::proxy::{Counts, End, Scratch, pump};
use crate::schedule::{Flow, Tried};

/// Serves one client until its connection is over, and counts how it ended. `task` is what this runs as.
pub(crate) async fn serve(
    mut client: Stream,
    peer: SocketAddr,
    slot: Slot,
    scratch: Rc<Scratch>,
    task: Rc<OnceCell<AbortHandle>>,
) {
    let mut record = Record::new(&slot, peer);
    // In a box of its own: what choosing and dialling need is given back before the connection goes on.
    let (mut stream, mut lease, pool) = match Box::pin(reach(&slot, &client, peer)).await {
        Ok(reached) => reached,
        Err(outcome) => return record.end(outcome),
    };
    if let Some(task) = task.get() {
        lease.close_with(task.clone());
    }
    let own = || if let Stream::Tcp(tcp) = &stream { tcp.local_addr().ok() } else { None };
    let (inward, outward) = record.reached(lease.backend(), own);
    let ListenerMetrics { held_bytes: held, spliced_bytes: spliced, no_pipe, .. } = slot.metrics();
    let counts = Counts { inward, outward, held, spliced, no_pipe };
    let mut joined = Joined { client: &mut client, backend: &mut stream, in_order: false };
    let end = carry(joined.client, joined.backend, &scratch, &slot, counts).await;
    joined.in_order = matches!(end, End::Done | End::Idle { held: false });
    match (outward.get(), end) {
        (0, End::BackendReset) => pool.reset_unanswered(lease.backend()),
        (0, _) => {}
        _ => lease.backend().answered(),
    }
    record.end(end.into());
}

/// Moves the bytes, where the listener has a limit no faster than that.
async fn carry(
    client: &mut Stream,
    backend: &mut Stream,
    scratch: &Scratch,
    slot: &Slot,
    counts: Counts<'_>,
) -> End {
    let Rules { idle_timeout, splice, .. } = *slot.rules();
    match slot.byte_limits() {
        None => pump(client, backend, scratch, counts, idle_timeout, splice).await,
        Some(limits) => {
            let mut client = Capped::new(client, &limits.inward);
            let mut backend = Capped::new(backend, &limits.outward);
            pump(&mut client, &mut backend, scratch, counts, idle_timeout, splice).await
        }
    }
}

/// A client and its backend while bytes go between them. Unless it comes to its end in order, both peers are to see the
/// break as a break: after an orderly close they would take the part that they have for the whole. A drain whose time is
/// over and the stop drop the connection's task, so that a drop is all that runs.
struct Joined<'a> {
    client: &'a mut Stream,
    backend: &'a mut Stream,
    in_order: bool,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if !self.in_order {
            reset_at_close(self.client);
            reset_at_close(self.backend);
        }
    }
}

/// Has the peer see a reset when the stream is closed.
fn reset_at_close(stream: &Stream) {
    if let Stream::Tcp(tcp) = stream
        && let Err(error) = tcp.set_zero_linger()
    {
        tracing::debug!(%error, "a broken connection is closed in order");
    }
}

/// Connects to a backend; to another when that fails, up to the pool's number of attempts.
///
/// Each attempt goes by the configuration of its time: what a reload brings is there for who is still waiting.
async fn reach(
    slot: &Slot,
    client: &Stream,
    peer: SocketAddr,
) -> Result<(Stream, Lease, Arc<Pool>), Outcome> {
    let flow = Flow { client: peer, listener: slot.port().address };
    let mut tried = Tried::default();
    let mut failure = Outcome::NoBackend;
    loop {
        let pool = slot.port().pool();
        let Some(lease) = pool.choose(&flow, &tried) else { return Err(failure) };
        tried.add(lease.backend());
        let config = Arc::clone(&pool.plan().config);
        let first = of_client(&config, peer, own_address(slot, client));
        let timeout = Duration::from_millis(config.connect.timeout_ms);
        match connect(slot, &pool, lease.backend(), timeout, &first).await {
            Some(stream) => {
                pool.reached(&flow, lease.backend());
                return Ok((stream, lease, pool));
            }
            None => failure = Outcome::Connect,
        }
    }
}

/// Where the client came to: one of the machine's addresses when the listener has all of them.
fn own_address(slot: &Slot, client: &Stream) -> SocketAddr {
    let own = if let Stream::Tcp(tcp) = client { tcp.local_addr().ok() } else { None };
    own.unwrap_or(slot.port().address)
}

async fn connect(
    slot: &Slot,
    pool: &Pool,
    backend: &Backend,
    timeout: Duration,
    first: &[u8],
) -> Option<Stream> {
    let started = Instant::now();
    match dial(Connector::tcp(slot.rules().socket), backend.address(), timeout, first).await {
        Ok(stream) => {
            slot.metrics().connect_seconds.observe(started.elapsed().as_secs_f64());
            backend.metrics.connected.inc();
            backend.connect_was_good();
            Some(stream)
        }
        Err(error) => {
            tracing::debug!(pool = pool.name(), backend = backend.name(), %error);
            backend.count_connect_error(error.kind());
            pool.connect_failed(backend);
            None
        }
    }
}
