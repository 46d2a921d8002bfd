//! A pool: backends that are alike, and the choice among them.
//!
//! Workers choose without a lock: the order of turns is replaced whole when health, weights or
//! drains change (rare, by cold threads), everything else is an atomic of the backend.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::config::{BackendConfig, ConnectConfig, HealthConfig, PoolConfig};
use crate::metrics::{BackendMetrics, Metrics};
use crate::schedule::{Scheduler, Tried, attraction, lighter, smooth_turns, stable_hash};

/// A server that takes connections, and what is known of it.
#[derive(Debug)]
pub(crate) struct Backend {
    name: String,
    address: SocketAddr,
    name_hash: u64,
    weight: AtomicU32,
    up: AtomicBool,
    draining: AtomicBool,
    open: AtomicU32,
    pub(crate) metrics: BackendMetrics,
}

impl Backend {
    fn new(config: &BackendConfig, metrics: BackendMetrics) -> Self {
        metrics.up.set(1);
        metrics.weight.set(config.weight.into());
        Self {
            name: config.name.clone(),
            address: config.address,
            name_hash: stable_hash(config.name.as_bytes()),
            weight: AtomicU32::new(config.weight),
            up: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            open: AtomicU32::new(0),
            metrics,
        }
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

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Connections open or being opened.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    fn takes_connections(&self) -> bool {
        self.is_up() && !self.is_draining() && self.weight() > 0
    }

    fn lighter_than(&self, other: &Self) -> bool {
        lighter(self.open(), self.weight(), other.open(), other.weight())
    }
}

/// A pool: see the module.
#[derive(Debug)]
pub(crate) struct Pool {
    name: String,
    scheduler: Scheduler,
    health: HealthConfig,
    connect: ConnectConfig,
    backends: Box<[Backend]>,
    /// The backends that take connections: one period of their turns for WRR, each once otherwise.
    turns: ArcSwap<Vec<u16>>,
    next_turn: AtomicUsize,
    /// Held while `turns` is made anew. Counts the changes.
    changes: Mutex<watch::Sender<u64>>,
}

impl Pool {
    pub(crate) fn new(config: &PoolConfig, metrics: &Metrics) -> Self {
        let backends = config
            .backends
            .iter()
            .map(|backend| Backend::new(backend, BackendMetrics::new(metrics, &config.name, &backend.name)))
            .collect();
        let pool = Self {
            name: config.name.clone(),
            scheduler: config.scheduler,
            health: config.health,
            connect: config.connect,
            backends,
            turns: ArcSwap::default(),
            next_turn: AtomicUsize::new(0),
            changes: Mutex::new(watch::Sender::new(0)),
        };
        pool.change(|| {});
        pool
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn scheduler(&self) -> Scheduler {
        self.scheduler
    }

    pub(crate) fn health(&self) -> HealthConfig {
        self.health
    }

    pub(crate) fn connect(&self) -> ConnectConfig {
        self.connect
    }

    pub(crate) fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Whether a new connection would find a backend.
    pub(crate) fn is_ready(&self) -> bool {
        !self.turns.load().is_empty()
    }

    /// Tells of each change of health, weights and drains.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).subscribe()
    }

    pub(crate) fn set_up(&self, at: usize, up: bool) {
        self.change(|| self.backends[at].up.store(up, Ordering::Relaxed));
        self.backends[at].metrics.up.set(up.into());
    }

    pub(crate) fn set_weight(&self, at: usize, weight: u32) {
        self.change(|| self.backends[at].weight.store(weight, Ordering::Relaxed));
        self.backends[at].metrics.weight.set(weight.into());
    }

    pub(crate) fn set_draining(&self, at: usize, draining: bool) {
        self.change(|| self.backends[at].draining.store(draining, Ordering::Relaxed));
    }

    /// Changes something of the backends, and the turns with it.
    fn change(&self, change: impl FnOnce()) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        change();
        let turn_weights: Vec<u32> = self.backends.iter().map(|backend| self.turn_weight(backend)).collect();
        self.turns.store(Arc::new(smooth_turns(&turn_weights)));
        changes.send_modify(|count| *count += 1);
    }

    fn turn_weight(&self, backend: &Backend) -> u32 {
        match (backend.takes_connections(), self.scheduler) {
            (false, _) => 0,
            (true, Scheduler::Wrr) => backend.weight(),
            (true, Scheduler::Rr | Scheduler::Wlc | Scheduler::Source) => 1,
        }
    }

    /// Chooses a backend for a connection from `client` that is none of `tried`, and counts the
    /// connection as open there until the lease is dropped.
    pub(crate) fn choose(self: &Arc<Self>, client: IpAddr, tried: &Tried) -> Option<Lease> {
        let turns = self.turns.load();
        let first = self.next_turn.fetch_add(1, Ordering::Relaxed) % turns.len().max(1);
        let mut in_turn = turns[first..].iter().chain(&turns[..first]).map(|&at| usize::from(at));
        let mut untried = in_turn.by_ref().filter(|&at| !tried.has(at));
        let at = match self.scheduler {
            Scheduler::Wrr | Scheduler::Rr => untried.next(),
            Scheduler::Wlc => untried.reduce(|best, at| self.lighter(best, at)),
            Scheduler::Source => self.most_attracted(client, untried),
        }?;
        Some(Lease::new(self, at))
    }

    fn lighter(&self, best: usize, at: usize) -> usize {
        if self.backends[at].lighter_than(&self.backends[best]) { at } else { best }
    }

    fn most_attracted(&self, client: IpAddr, untried: impl Iterator<Item = usize>) -> Option<usize> {
        let client = match client {
            IpAddr::V4(ip) => stable_hash(&ip.octets()),
            IpAddr::V6(ip) => stable_hash(&ip.octets()),
        };
        let pull = |at: usize| {
            let backend = &self.backends[at];
            attraction(client, backend.name_hash, backend.weight())
        };
        untried.max_by(|&a, &b| pull(a).total_cmp(&pull(b)))
    }
}

/// A connection counted at its backend.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    at: usize,
}

impl Lease {
    fn new(pool: &Arc<Pool>, at: usize) -> Self {
        pool.backends[at].open.fetch_add(1, Ordering::Relaxed);
        pool.backends[at].metrics.open.inc();
        Self { pool: Arc::clone(pool), at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.pool.backends[self.at]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend().open.fetch_sub(1, Ordering::Relaxed);
        self.backend().metrics.open.dec();
    }
}

#[cfg(test)]
mod tests;
