//! A pool: backends that are alike, and the choice among them.
//!
//! Workers choose without a lock: the plan (settings, backends, the order of turns) is replaced whole
//! when the configuration, health, weights or drains change (rare, by cold threads); everything else is
//! an atomic of the backend.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use tokio::time::Instant;
use transport::quic_route::ServerId;

use crate::backend::{Backend, Lease};
use crate::config::{BackendConfig, OutlierConfig, PoolConfig};
use crate::metrics::{BackendMetrics, Metrics};
use crate::persistence::Persistence;
use crate::schedule::{Flow, Scheduler, Tried, Zones, most_attracted, smooth_turns};

/// Tells of every change of what an operator sees: the configuration, health, weights, drains.
pub(crate) type Changes = Arc<watch::Sender<u64>>;

/// A pool: see the module.
#[derive(Debug)]
pub(crate) struct Pool {
    name: String,
    plan: ArcSwap<Plan>,
    next_turn: AtomicUsize,
    persistence: Mutex<Persistence>,
    /// Held while the plan is made anew.
    changing: Mutex<()>,
    changes: Changes,
    metrics: Metrics,
}

/// What a pool is at a moment.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its settings. Weights in it may be of the past.
    pub(crate) config: Arc<PoolConfig>,
    pub(crate) backends: Arc<[Arc<Backend>]>,
    /// The balancer's zone.
    zone: Arc<str>,
    /// The backends that take connections, those first that are preferred: a tier is for when nobody in
    /// those before it is left. Of each tier one period of turns for WRR, each backend once otherwise.
    tiers: Vec<Vec<u16>>,
    /// Backends by the number that is in their QUIC connection IDs, which all have the same length.
    by_server_id: HashMap<ServerId, usize>,
}

/// Primaries of the own zone, primaries of others, backups of the own zone, backups of others.
const TIERS: usize = 4;

impl Plan {
    fn new(config: Arc<PoolConfig>, backends: Arc<[Arc<Backend>]>, zone: Arc<str>) -> Self {
        let tier_of: Vec<_> =
            config.backends.iter().map(|backend| tier(backend, config.zones, &zone)).collect();
        let turns = |tier| {
            let weights = backends.iter().zip(&tier_of).map(|(backend, of)| match config.scheduler {
                _ if *of != Some(tier) || !backend.takes_connections() => 0,
                Scheduler::Wrr => backend.weight(),
                Scheduler::Rr | Scheduler::Wlc | Scheduler::Source | Scheduler::Tuple => 1,
            });
            smooth_turns(&weights.collect::<Vec<_>>())
        };
        let tiers = (0..TIERS).map(turns).filter(|turns| !turns.is_empty()).collect();
        let ids = config.backends.iter().enumerate();
        let by_server_id =
            ids.filter_map(|(at, backend)| Some((backend.server_id.parse().ok()?, at))).collect();
        Self { config, backends, zone, tiers, by_server_id }
    }

    /// Of the same backends as they are now.
    fn anew(&self) -> Self {
        Self::new(Arc::clone(&self.config), Arc::clone(&self.backends), Arc::clone(&self.zone))
    }

    fn empty(config: Arc<PoolConfig>, zone: Arc<str>) -> Self {
        Self { config, backends: Arc::new([]), zone, tiers: Vec::new(), by_server_id: HashMap::new() }
    }
}

/// Where a backend stands; none: it is not taken at all.
fn tier(backend: &BackendConfig, zones: Zones, own: &str) -> Option<usize> {
    let elsewhere = !own.is_empty() && !backend.zone.is_empty() && backend.zone != own;
    let first = if backend.backup { 2 } else { 0 };
    match (elsewhere, zones) {
        (false, _) | (true, Zones::Any) => Some(first),
        (true, Zones::Prefer) => Some(first + 1),
        (true, Zones::Only) => None,
    }
}

impl Pool {
    pub(crate) fn new(config: &PoolConfig, zone: &str, metrics: &Metrics, changes: &Changes) -> Self {
        let nobody = Plan::empty(Arc::new(config.clone()), zone.into());
        let pool = Self {
            name: config.name.clone(),
            plan: ArcSwap::from_pointee(nobody),
            next_turn: AtomicUsize::new(0),
            persistence: Mutex::default(),
            changing: Mutex::default(),
            changes: Arc::clone(changes),
            metrics: metrics.clone(),
        };
        pool.configure(config, zone);
        pool
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn plan(&self) -> Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// The backend of a name, as it is now.
    pub(crate) fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.plan.load().backends.iter().find(|backend| backend.name() == name).cloned()
    }

    /// Whether a new connection would find a backend.
    pub(crate) fn is_ready(&self) -> bool {
        !self.plan.load().tiers.is_empty()
    }

    /// Takes over a configuration. Backends of the same name and address stay what they are, but for
    /// their weight; those that are no longer there drain.
    pub(crate) fn configure(&self, config: &PoolConfig, zone: &str) {
        self.renew(|old| {
            let backends: Arc<[_]> =
                config.backends.iter().map(|wanted| self.backend_of(wanted, old)).collect();
            self.give_up(old, &backends);
            Plan::new(Arc::new(config.clone()), backends, zone.into())
        });
        if config.persistence_ms == 0 {
            self.persistence().clear();
        }
    }

    /// Ends the pool: it is in the configuration no more.
    pub(crate) fn retire(&self) {
        self.renew(|old| {
            self.give_up(old, &[]);
            Plan::empty(Arc::clone(&old.config), Arc::clone(&old.zone))
        });
    }

    /// Drains those that do not stay, and forgets those whose name is free.
    fn give_up(&self, old: &Plan, stay: &[Arc<Backend>]) {
        for backend in old.backends.iter().filter(|old| !stay.iter().any(|stays| Arc::ptr_eq(stays, old))) {
            tracing::info!(pool = self.name, backend = backend.name(), address = %backend.address(), "removed");
            backend.retire();
            if !stay.iter().any(|other| other.name() == backend.name()) {
                self.metrics.forget_backend(&self.name, backend.name());
            }
        }
    }

    fn backend_of(&self, wanted: &BackendConfig, old: &Plan) -> Arc<Backend> {
        let Some(known) = old.backends.iter().find(|known| known.is(wanted)) else {
            let metrics = BackendMetrics::new(&self.metrics, &self.name, &wanted.name);
            return Arc::new(Backend::new(wanted, metrics));
        };
        if known.weight() != wanted.weight {
            tracing::info!(pool = self.name, backend = wanted.name, weight = wanted.weight, "weight");
            known.set_weight(wanted.weight);
        }
        Arc::clone(known)
    }

    /// Changes something of the backends, and the turns with it.
    pub(crate) fn change(&self, change: impl FnOnce()) {
        self.renew(|old| {
            change();
            old.anew()
        });
    }

    fn renew(&self, plan: impl FnOnce(&Plan) -> Plan) {
        self.renew_if(|old| Some(plan(old)));
    }

    fn renew_if(&self, plan: impl FnOnce(&Plan) -> Option<Plan>) {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(plan) = plan(&self.plan.load()) else { return };
        self.plan.store(Arc::new(plan));
        drop(changing);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Chooses a backend that is none of `tried` for a connection, and counts the connection as open there
    /// until the lease is dropped.
    pub(crate) fn choose(&self, flow: &Flow, tried: &Tried) -> Option<Lease> {
        let plan = self.plan.load();
        let in_turn = || {
            // Only here: who comes back to the backend of before takes nobody's turn.
            let turn = self.next_turn.fetch_add(1, Ordering::Relaxed);
            plan.choose(flow, tried, turn)
        };
        let at = self.kept(&plan, flow, tried).or_else(in_turn)?;
        Some(Lease::new(&plan.backends[at]))
    }

    /// The backend that a QUIC connection ID names; `destination` begins with it.
    pub(crate) fn named(&self, destination: &[u8]) -> Option<Arc<Backend>> {
        let plan = self.plan.load();
        let len = plan.by_server_id.keys().next()?.bytes().len();
        let at = plan.by_server_id.get(&ServerId::of(destination, len)?)?;
        Some(Arc::clone(&plan.backends[*at]))
    }

    /// A connection of a client came to a backend: more of it come to the same one, for a while.
    pub(crate) fn reached(&self, flow: &Flow, backend: &Backend) {
        if self.plan.load().config.persistence_ms > 0 {
            self.persistence().keep(flow.client.ip().to_canonical(), backend.number, Instant::now());
        }
    }

    /// A connect to a backend failed: when too many did in a row, it is left out for a while, unless too many
    /// are already.
    pub(crate) fn connect_failed(&self, backend: &Backend) {
        let failures = backend.connect_failed();
        self.leave_out(backend, failures, |outlier| outlier.connect_failures, "connects fail");
    }

    /// A backend accepted a connection and broke it off without a word; as with connects that fail.
    pub(crate) fn reset_unanswered(&self, backend: &Backend) {
        let resets = backend.reset_unanswered();
        self.leave_out(backend, resets, |outlier| outlier.unanswered_resets, "it resets without an answer");
    }

    fn leave_out(
        &self,
        backend: &Backend,
        failures: u32,
        most: impl Fn(&OutlierConfig) -> u32,
        why: &'static str,
    ) {
        let outlier = self.plan.load().config.outlier;
        let most = most(&outlier);
        if most == 0 || failures < most || backend.is_ejected() {
            return;
        }
        self.renew_if(|old| {
            let ejected = 1 + old.backends.iter().filter(|backend| backend.is_ejected()).count();
            let too_many = ejected * 100 > old.backends.len() * outlier.ejected_percent_max as usize;
            if too_many || backend.is_ejected() {
                return None;
            }
            tracing::warn!(pool = self.name, backend = backend.name(), failures, why, "left out");
            backend.set_ejected(true);
            Some(old.anew())
        });
    }

    /// The backend that the client came to last, if it is one of those whose turn it could be.
    fn kept(&self, plan: &Plan, flow: &Flow, tried: &Tried) -> Option<usize> {
        let time = Duration::from_millis(plan.config.persistence_ms);
        if time.is_zero() {
            return None;
        }
        let number = self.persistence().find(flow.client.ip().to_canonical(), time, Instant::now())?;
        let first = plan.tiers.first()?.iter().map(|&at| usize::from(at));
        first
            .map(|at| (at, &plan.backends[at]))
            .find_map(|(at, backend)| (backend.number == number && !tried.has(backend)).then_some(at))
    }

    fn persistence(&self) -> MutexGuard<'_, Persistence> {
        self.persistence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn choose(&self, flow: &Flow, tried: &Tried, turn: usize) -> Option<usize> {
        let mut tiers = self.tiers.iter().filter(|turns| !self.is_spent(turns, tried));
        tiers.find_map(|turns| self.choose_of(turns, flow, tried, turn))
    }

    /// Whether so many of a tier were tried for a connection that it is the turn of the next one: otherwise as many dead
    /// backends, before their checks have failed, would keep everybody from the backups.
    fn is_spent(&self, turns: &[u16], tried: &Tried) -> bool {
        tried.count_of(&self.backends, turns) >= self.config.connect.attempts as usize
    }

    fn choose_of(&self, turns: &[u16], flow: &Flow, tried: &Tried, turn: usize) -> Option<usize> {
        let (before, from) = turns.split_at(turn % turns.len());
        let in_turn = from.iter().chain(before).map(|&at| usize::from(at));
        let mut untried = in_turn.filter(|&at| !tried.has(&self.backends[at]));
        match self.config.scheduler {
            Scheduler::Wrr | Scheduler::Rr => untried.next(),
            Scheduler::Wlc => untried.reduce(|best, at| self.lighter(best, at)),
            Scheduler::Source => self.most_attracted(flow.source_hash(), untried),
            Scheduler::Tuple => self.most_attracted(flow.tuple_hash(), untried),
        }
    }

    fn lighter(&self, best: usize, at: usize) -> usize {
        if self.backends[at].lighter_than(&self.backends[best]) { at } else { best }
    }

    fn most_attracted(&self, flow: u64, untried: impl Iterator<Item = usize>) -> Option<usize> {
        most_attracted(flow, untried, |at| (self.backends[at].name_hash, self.backends[at].weight()))
    }
}

#[cfg(test)]
mod tests;
