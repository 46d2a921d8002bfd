//! What becomes of a connection: counted, and of a sample logged in one line at its end.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use service::prometheus::IntCounter;
use tokio::time::Instant;

use crate::backend::Backend;
use crate::port::Slot;
use crate::proxy::End;
use crate::traces::Traced;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No backend takes connections.
    NoBackend,
    /// Those that were tried did not accept.
    Connect,
    /// Both sides closed, and everything was handed on.
    Done,
    /// One side broke off.
    Reset,
    /// Nothing moved for too long.
    Idle,
    /// The balancer closed it: its backend had drained for too long, or all stops.
    Closed,
}

impl Outcome {
    /// The word in metrics and in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::Connect => "connect",
            Self::Done => "done",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::Closed => "closed",
        }
    }
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::Done,
            End::ClientReset | End::BackendReset => Self::Reset,
            End::Idle { held: _ } => Self::Idle,
        }
    }
}

/// Bytes of one direction of a connection, counted for it and for its backend.
#[derive(Debug)]
pub(crate) struct Tally {
    own: Cell<u64>,
    backend: IntCounter,
}

impl Tally {
    pub(crate) fn new(backend: IntCounter) -> Self {
        Self { own: Cell::new(0), backend }
    }

    #[inline]
    pub(crate) fn inc_by(&self, bytes: u64) {
        self.own.set(self.own.get() + bytes);
        self.backend.inc_by(bytes);
    }

    /// What went by in all, counted for the backend already.
    pub(crate) fn note(&self, bytes: u64) {
        self.own.set(bytes);
    }

    pub(crate) fn get(&self) -> u64 {
        self.own.get()
    }
}

/// What became of a connection; told when it is dropped.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    slot: &'a Slot,
    client: SocketAddr,
    since: Instant,
    reached: Option<Reached>,
    outcome: Outcome,
    traced: Option<Box<Traced>>,
}

#[derive(Debug)]
struct Reached {
    backend: Arc<Backend>,
    after_us: u64,
    inward: Tally,
    outward: Tally,
}

impl<'a> Record<'a> {
    pub(crate) fn new(slot: &'a Slot, client: SocketAddr) -> Self {
        // Whoever drops the connection before its end closes it.
        let traced = Traced::begin(&slot.port().tracer, client);
        Self { slot, client, since: Instant::now(), reached: None, outcome: Outcome::Closed, traced }
    }

    /// It came to a backend, which sees it come from `own`: what counts its bytes there and back.
    pub(crate) fn reached(
        &mut self,
        backend: &Arc<Backend>,
        own: impl FnOnce() -> Option<SocketAddr>,
    ) -> (&Tally, &Tally) {
        if let Some(traced) = &mut self.traced {
            traced.reached(self.slot, backend.name(), own());
        }
        let reached = self.reached.insert(Reached {
            backend: Arc::clone(backend),
            after_us: self.since.elapsed().as_micros() as u64,
            inward: Tally::new(backend.metrics.bytes_in.clone()),
            outward: Tally::new(backend.metrics.bytes_out.clone()),
        });
        (&reached.inward, &reached.outward)
    }

    /// The connection is over.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    fn count(&self) {
        let metrics = self.slot.metrics();
        match self.outcome {
            Outcome::NoBackend => metrics.refused_no_backend.inc(),
            Outcome::Connect => metrics.refused_connect.inc(),
            Outcome::Done => metrics.ended_done.inc(),
            Outcome::Reset => metrics.ended_reset.inc(),
            Outcome::Idle => metrics.ended_idle.inc(),
            Outcome::Closed => metrics.ended_closed.inc(),
        }
    }

    fn trace(&self) {
        let Some(traced) = &self.traced else { return };
        let reached = self.reached.as_ref();
        let backend = reached.map(|reached| reached.backend.name());
        let bytes = reached.map_or([0; 2], |reached| [reached.inward.own.get(), reached.outward.own.get()]);
        traced.ended(self.slot, self.outcome, (backend, bytes));
    }

    fn is_sampled(&self) -> bool {
        let every = self.slot.rules().access_log_every;
        every > 0 && self.slot.port().ended.fetch_add(1, Ordering::Relaxed).is_multiple_of(every)
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.count();
        self.trace();
        if !self.is_sampled() {
            return;
        }
        let reached = self.reached.as_ref();
        tracing::info!(
            target: "slb::access",
            listener = self.slot.port().name,
            client = %self.client,
            pool = self.slot.rules().pool.name(),
            backend = reached.map(|reached| reached.backend.name()),
            connect_us = reached.map(|reached| reached.after_us),
            duration_ms = self.since.elapsed().as_millis() as u64,
            bytes_in = reached.map(|reached| reached.inward.own.get()),
            bytes_out = reached.map(|reached| reached.outward.own.get()),
            end = self.outcome.name(),
            "connection"
        );
    }
}
