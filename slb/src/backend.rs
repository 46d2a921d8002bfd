//! A server that takes connections, and what is known of it. It outlives changes of the
//! configuration: whoever has the same name and address afterwards is the same backend.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::task::AbortHandle;

use crate::config::BackendConfig;
use crate::metrics::BackendMetrics;
use crate::schedule::{lighter, stable_hash};

/// See the module.
#[derive(Debug)]
pub(crate) struct Backend {
    /// No other backend of this process has it, not even one of the same name before or after.
    pub(crate) number: u64,
    name: String,
    address: SocketAddr,
    pub(crate) name_hash: u64,
    weight: AtomicU32,
    up: AtomicBool,
    draining: AtomicBool,
    retired: AtomicBool,
    ejected: AtomicBool,
    /// Connects in a row that failed.
    failures: AtomicU32,
    /// Connections in a row that it reset without having sent anything.
    unanswered: AtomicU32,
    open: AtomicU32,
    connections: Mutex<Connections>,
    pub(crate) metrics: BackendMetrics,
}

/// The means to close what is open.
#[derive(Debug, Default)]
struct Connections {
    /// Nothing may be open: it has drained for too long.
    closed: bool,
    tasks: Slab<AbortHandle>,
}

impl Backend {
    pub(crate) fn new(config: &BackendConfig, metrics: BackendMetrics) -> Self {
        metrics.up.set(1);
        metrics.weight.set(config.weight.into());
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            name: config.name.clone(),
            address: config.address,
            name_hash: stable_hash(config.name.as_bytes()),
            weight: AtomicU32::new(config.weight),
            up: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            ejected: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            connections: Mutex::default(),
            open: AtomicU32::new(0),
            metrics,
        }
    }

    pub(crate) fn is(&self, config: &BackendConfig) -> bool {
        self.name == config.name && self.address == config.address
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
        self.metrics.weight.set(weight.into());
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
        self.metrics.up.set(up.into());
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
        if !draining {
            self.connections().closed = false;
        }
    }

    /// Whether it is in the configuration no more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// It drains, for good.
    pub(crate) fn retire(&self) {
        self.set_draining(true);
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it is left out for a while because connections to it failed.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ejected(&self, ejected: bool) {
        self.ejected.store(ejected, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.unanswered.store(0, Ordering::Relaxed);
        if ejected {
            self.metrics.ejections.inc();
        }
    }

    pub(crate) fn connect_was_good(&self) {
        // Most often it is zero, and then nobody's cache line is taken away.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A connection had something from it.
    pub(crate) fn answered(&self) {
        if self.unanswered.load(Ordering::Relaxed) > 0 {
            self.unanswered.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a connection that it reset without having sent anything; says how many were so in a row.
    pub(crate) fn reset_unanswered(&self) -> u32 {
        self.unanswered.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Counts why a connect failed.
    pub(crate) fn count_connect_error(&self, kind: ErrorKind) {
        match kind {
            ErrorKind::ConnectionRefused => self.metrics.connect_refused.inc(),
            ErrorKind::TimedOut => self.metrics.connect_timeout.inc(),
            _ => self.metrics.connect_other.inc(),
        }
    }

    /// Counts a connect that failed; says how many have in a row.
    pub(crate) fn connect_failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Closes what is open, and at once whatever comes, until it drains no more; says how many.
    pub(crate) fn close_connections(&self) -> usize {
        let mut connections = self.connections();
        connections.closed = true;
        connections.tasks.iter().for_each(|(_, task)| task.abort());
        connections.tasks.len()
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections open or being opened.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn takes_connections(&self) -> bool {
        self.is_up() && !self.is_ejected() && !self.is_draining() && self.weight() > 0
    }

    pub(crate) fn lighter_than(&self, other: &Self) -> bool {
        lighter(self.open(), self.weight(), other.open(), other.weight())
    }
}

/// A connection counted at its backend.
#[derive(Debug)]
pub(crate) struct Lease {
    backend: Arc<Backend>,
    /// Where its task stands among the backend's connections.
    task: Option<usize>,
}

impl Lease {
    /// Counts a connection to a backend.
    pub(crate) fn new(backend: &Arc<Backend>) -> Self {
        backend.open.fetch_add(1, Ordering::Relaxed);
        backend.metrics.open.inc();
        Self { backend: Arc::clone(backend), task: None }
    }

    /// Lets the backend end the connection's task.
    pub(crate) fn close_with(&mut self, task: AbortHandle) {
        let mut connections = self.backend.connections();
        if connections.closed {
            task.abort();
        }
        self.task = Some(connections.tasks.insert(task));
    }

    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.backend.connections().tasks.remove(task);
        }
        self.backend.open.fetch_sub(1, Ordering::Relaxed);
        self.backend.metrics.open.dec();
    }
}
