//! What an operator sees and changes at run time: [`Control`], for a program that embeds the balancer
//! and for the routes of the admin port.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use service::config::{ConfigError, Invalid};

use crate::backend::Backend;
use crate::config::{Config, WEIGHT_MAX};
use crate::live::{Applied, ApplyError, Live};
use crate::pool::Pool;
use crate::port::Inherited;
use crate::schedule::Scheduler;
use crate::states::{self, BackendState};

/// A pool as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolView {
    /// Its name.
    pub pool: String,
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Its backends.
    pub backends: Vec<BackendView>,
}

/// A backend as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Whether it takes new connections, or why not.
    pub state: State,
    /// Its weight, 0 to 100.
    pub weight: u32,
    /// Its open connections.
    pub connections: u32,
}

/// Whether a backend takes new connections, or why not. (With weight 0 it takes none either.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers its health checks.
    Up,
    /// It does not.
    Down,
    /// It is left out for a while because clients' connections to it failed or were reset by it without a byte.
    Ejected,
    /// An operator took it out; its connections go on, for as long as the pool says.
    Draining,
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such pool or backend.
    #[error("no such pool or backend")]
    Unknown,
    /// The weight is above 100.
    #[error("a weight is 0 to 100")]
    Weight,
}

/// Why a configuration file was not taken over; all stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The balancer was started without one.
    #[error("there is no configuration file")]
    NoFile,
    /// It cannot be read or is wrong: where, and what was expected.
    #[error("{0}")]
    File(String),
    /// It is good but cannot be taken over.
    #[error("{told}")]
    Apply {
        /// Why, with the place in the file where a key is to blame.
        told: String,
        /// The same for programs.
        #[source]
        error: ApplyError,
    },
}

/// A handle to look at the balancer and change it while it works. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) live: Arc<Live>,
    file: Arc<OnceLock<PathBuf>>,
    handed_over: Arc<AtomicBool>,
}

impl Control {
    pub(crate) fn new(live: Live) -> Self {
        // There from the start, so that the first one is seen as one more.
        for result in ["applied", "refused"] {
            live.metrics.reloads.with_label_values(&[result]);
        }
        Self { live: Arc::new(live), file: Arc::default(), handed_over: Arc::default() }
    }

    /// The configuration that is in force. Weights in it may be of the past: [`Self::pools`] has them.
    #[must_use]
    pub fn config(&self) -> Config {
        self.live.now().config.clone()
    }

    /// Takes over a configuration: listeners, pools and backends come, go and change, and no
    /// connection is closed. Weights are those of `config` afterwards; what an operator drained stays
    /// drained.
    ///
    /// # Errors
    /// When it makes no sense, or a new address cannot be listened on; then all is as it was.
    pub fn apply(&self, config: Config) -> Result<Applied, ApplyError> {
        self.take_over(config, Invalid::to_string)
    }

    /// [`Self::apply`]; `told` is what the log says of a key that is to blame.
    fn take_over(
        &self,
        config: Config,
        told: impl FnOnce(&Invalid) -> String,
    ) -> Result<Applied, ApplyError> {
        let applied = self.live.apply(config, Inherited::default());
        self.count_reload(applied.is_ok());
        match &applied {
            Ok(applied) => {
                tracing::info!(opened = ?applied.opened, closed = ?applied.closed, "configuration taken over");
                if !applied.wait_for_restart.is_empty() {
                    tracing::warn!(keys = ?applied.wait_for_restart, "these wait for a restart");
                }
            }
            Err(error) => {
                let error = error.invalid().map_or_else(|| error.to_string(), told);
                tracing::error!(%error, "configuration refused, all stays as it was");
            }
        }
        applied
    }

    /// Names the file that [`Self::reload`] reads; the first name stays.
    pub fn set_file(&self, file: &Path) {
        self.file.get_or_init(|| file.to_owned());
    }

    /// Takes over the configuration file, as [`Self::apply`] does.
    ///
    /// # Errors
    /// When there is no file, or it is wrong (the error says where), or cannot be taken over; then all
    /// is as it was.
    pub fn reload(&self) -> Result<Applied, ReloadError> {
        let Some(file) = self.file.get() else {
            self.count_reload(false);
            tracing::error!("reload refused: there is no configuration file");
            return Err(ReloadError::NoFile);
        };
        match std::fs::read_to_string(file) {
            Ok(text) => self.apply_text(&text, &file.display().to_string()),
            Err(error) => Err(self.refused(format!("cannot read {}: {error}", file.display()))),
        }
    }

    /// Takes over a configuration in TOML, as [`Self::apply`] does; `name` stands for the file in errors.
    ///
    /// # Errors
    /// When it is wrong (the error says where), or cannot be taken over; then all is as it was.
    pub fn apply_text(&self, text: &str, name: &str) -> Result<Applied, ReloadError> {
        match service::config::parse(text, name) {
            Ok(config) => {
                let placed = |invalid: &Invalid| ConfigError::at(name, text, invalid);
                self.take_over(config, |invalid| placed(invalid).in_short()).map_err(|error| {
                    let told = error
                        .invalid()
                        .map_or_else(|| error.to_string(), |invalid| placed(invalid).to_string());
                    ReloadError::Apply { told, error }
                })
            }
            Err(error) => Err(self.refused(error.to_string())),
        }
    }

    fn refused(&self, error: String) -> ReloadError {
        self.count_reload(false);
        tracing::error!(error, "reload refused, all stays as it was");
        ReloadError::File(error)
    }

    fn count_reload(&self, applied: bool) {
        self.live.metrics.reloads.with_label_values(&[if applied { "applied" } else { "refused" }]).inc();
    }

    /// How long open connections may go on once the server drains: longer where another process accepts new ones
    /// meanwhile, and so nothing waits for this one.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        let now = self.live.now();
        match (self.handed_over.load(Ordering::Acquire), now.config.handover_timeout_ms) {
            (true, 0) => Duration::MAX,
            (true, handover_timeout_ms) => Duration::from_millis(handover_timeout_ms),
            (false, _) => Duration::from_millis(now.config.drain_timeout_ms),
        }
    }

    /// Another process accepts what is new.
    pub(crate) fn note_handed_over(&self) {
        self.live.now().ports.iter().for_each(|port| port.hand_over());
        self.handed_over.store(true, Ordering::Release);
    }

    /// The bound address of a listener.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.live.now().ports.iter().find(|port| port.name == listener).map(|port| port.address)
    }

    /// The listening sockets of all listeners and workers once more.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let now = self.live.now();
        let sockets: io::Result<Vec<_>> = now.ports.iter().map(|port| port.sockets()).collect();
        Ok(sockets?.into_iter().flatten().collect())
    }

    /// What is known of all backends beside the configuration.
    pub(crate) fn states(&self) -> Vec<BackendState> {
        self.live.now().pools.iter().flat_map(|pool| states::of(pool)).collect()
    }

    /// Takes over what another process knew.
    pub(crate) fn restore(&self, states: &[BackendState]) {
        self.live.now().pools.iter().for_each(|pool| states::restore(pool, states));
    }

    /// All pools as they are now.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolView> {
        self.live.now().pools.iter().map(|pool| view(pool)).collect()
    }

    /// One backend as it is now.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn backend(&self, pool: &str, backend: &str) -> Result<BackendView, ControlError> {
        self.find(pool, backend).map(|(_, backend)| view_backend(&backend))
    }

    /// Sets a weight; 0 takes no new connection and keeps the old ones.
    ///
    /// # Errors
    /// When there is no such backend, or the weight is above 100.
    pub fn set_weight(&self, pool: &str, backend: &str, weight: u32) -> Result<(), ControlError> {
        if weight > WEIGHT_MAX {
            return Err(ControlError::Weight);
        }
        let (pool, backend) = self.find(pool, backend)?;
        tracing::info!(pool = pool.name(), backend = backend.name(), weight, "weight");
        pool.change(|| backend.set_weight(weight));
        Ok(())
    }

    /// Takes a backend out for new connections, or in again. Its connections go on.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn set_draining(&self, pool: &str, backend: &str, draining: bool) -> Result<(), ControlError> {
        let (pool, backend) = self.find(pool, backend)?;
        tracing::info!(pool = pool.name(), backend = backend.name(), draining, "drain");
        pool.change(|| backend.set_draining(draining));
        Ok(())
    }

    /// Waits until the pools are as `wanted` says; looks again at each change of the configuration or
    /// of a backend's state or weight (not of its connections).
    pub async fn wait_until(&self, mut wanted: impl FnMut(&[PoolView]) -> bool) {
        let mut changes = self.live.subscribe();
        while !wanted(&self.pools()) {
            changes.changed().await.expect("invariant: the sender lives in self, which is borrowed");
        }
    }

    /// Whether every pool has a backend to give.
    ///
    /// # Errors
    /// The name of one that has none.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        match self.live.now().pools.iter().find(|pool| !pool.is_ready()) {
            Some(pool) => Err(format!("pool {} has no backend that takes connections", pool.name())),
            None => Ok(()),
        }
    }

    fn find(&self, pool: &str, backend: &str) -> Result<(Arc<Pool>, Arc<Backend>), ControlError> {
        let now = self.live.now();
        let pool = now.pool(pool).ok_or(ControlError::Unknown)?;
        let backend = pool.backend(backend).ok_or(ControlError::Unknown)?;
        Ok((Arc::clone(pool), backend))
    }
}

fn view(pool: &Pool) -> PoolView {
    let plan = pool.plan();
    PoolView {
        pool: pool.name().to_owned(),
        scheduler: plan.config.scheduler,
        backends: plan.backends.iter().map(|backend| view_backend(backend)).collect(),
    }
}

fn view_backend(backend: &Backend) -> BackendView {
    let state = match (backend.is_draining(), backend.is_up(), backend.is_ejected()) {
        (true, _, _) => State::Draining,
        (false, false, _) => State::Down,
        (false, true, true) => State::Ejected,
        (false, true, false) => State::Up,
    };
    BackendView {
        name: backend.name().to_owned(),
        address: backend.address(),
        state,
        weight: backend.weight(),
        connections: backend.open(),
    }
}
