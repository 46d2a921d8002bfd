//! The balancer put together: bound, then started.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use service::{Host, Running, Shutdown};
use tokio::runtime::{LocalOptions, LocalRuntime};
use transport::Listener;

use crate::config::{Config, ListenerConfig};
use crate::control::{self, Control};
use crate::health;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::pool::Pool;
use crate::worker::{self, Port};

/// Why a balancer could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense (only when it was not loaded by [`service::config`]).
    #[error("configuration: {key}: {problem}")]
    Config {
        /// Where.
        key: String,
        /// What was expected.
        problem: String,
    },
    /// Another server of this [`Host`] has the same metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] service::prometheus::Error),
    /// An address cannot be listened on; the error names it.
    #[error(transparent)]
    Listen(#[from] io::Error),
}

/// A balancer that is bound and not yet running.
#[derive(Debug)]
pub struct Server {
    shutdown: Shutdown,
    read_bytes_max: usize,
    control: Control,
    pools: Vec<Arc<Pool>>,
    addresses: Vec<(String, SocketAddr)>,
    /// For each worker, a listener of each port.
    workers: Vec<Vec<(Listener, Arc<Port>)>>,
}

impl Server {
    /// Binds all listeners and registers the metrics; starts nothing. The admin port is the
    /// caller's, with [`Self::routes`] and [`Self::readiness`].
    ///
    /// # Errors
    /// When an address cannot be bound, or the host already has a balancer.
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        service::config::Config::validate(&config)
            .map_err(|invalid| BindError::Config { key: invalid.key, problem: invalid.problem })?;
        let metrics = Metrics::register(&host.registry)?;
        let pools: Vec<_> = config.pools.iter().map(|pool| Arc::new(Pool::new(pool, &metrics))).collect();
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let mut addresses = Vec::new();
        let mut workers: Vec<_> = (0..count).map(|_| Vec::new()).collect();
        for listener in &config.listeners {
            let port = Arc::new(port(listener, &config, &pools, &metrics));
            let mut address = listener.listen;
            if !config.share_port {
                Listener::ensure_unused(address)?;
            }
            for worker in &mut workers {
                let bound = Listener::bind(address, config.socket)?;
                // With port 0 the first takes a free one, and the others share it.
                address = bound.local_addr()?;
                worker.push((bound, Arc::clone(&port)));
            }
            addresses.push((listener.name.clone(), address));
        }
        let control = Control::new(&pools);
        let shutdown = host.shutdown.clone();
        Ok(Self { shutdown, read_bytes_max: config.read_bytes_max, control, pools, addresses, workers })
    }

    /// The bound address of a listener.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).map(|&(_, address)| address)
    }

    /// The handle to look at backends and change them.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Ready when every pool has a backend to give.
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let control = self.control.clone();
        move || control.readiness()
    }

    /// What the balancer adds to the admin port.
    pub fn routes(&self) -> axum::Router {
        control::routes(self.control.clone())
    }

    /// Starts the workers and the health checks.
    ///
    /// # Errors
    /// When the system refuses a thread; those already started are told to stop.
    pub fn start(self) -> io::Result<Running> {
        let mut running = Running::new(&self.shutdown);
        let started = self.spawn_all(&mut running);
        if started.is_err() {
            running.shutdown().stop("a thread could not be started");
        }
        started.map(|()| running)
    }

    fn spawn_all(self, running: &mut Running) -> io::Result<()> {
        for (name, address) in &self.addresses {
            tracing::info!(listener = name, %address, workers = self.workers.len(), "listening");
        }
        for (at, listeners) in self.workers.into_iter().enumerate() {
            let shutdown = self.shutdown.clone();
            running.spawn(&format!("slb-{at}"), move || {
                runtime()?.block_on(worker::run(listeners, self.read_bytes_max, shutdown))
            })?;
        }
        let (pools, shutdown) = (self.pools, self.shutdown);
        running.spawn("slb-health", move || {
            runtime().map(|runtime| runtime.block_on(health::watch(pools, shutdown)))
        })
    }

    /// Runs all of it within the calling task until it has drained or stopped, as a simulated host
    /// does: on one thread, within a `LocalSet`.
    ///
    /// # Errors
    /// When a listener cannot be polled.
    pub async fn run(self) -> io::Result<()> {
        let mut checks = tokio::task::JoinSet::new();
        checks.spawn_local(health::watch(self.pools, self.shutdown.clone()));
        let listeners = self.workers.into_iter().next().unwrap_or_default();
        worker::run(listeners, self.read_bytes_max, self.shutdown).await
    }
}

fn port(listener: &ListenerConfig, config: &Config, pools: &[Arc<Pool>], metrics: &Metrics) -> Port {
    let pool = pools.iter().find(|pool| pool.name() == listener.pool);
    Port {
        name: listener.name.clone(),
        pool: Arc::clone(pool.expect("invariant: validated with the configuration")),
        socket: config.socket,
        idle_timeout: Duration::from_millis(listener.idle_timeout_ms),
        connections_max: listener.connections_max,
        open: AtomicUsize::new(0),
        metrics: ListenerMetrics::new(metrics, &listener.name),
    }
}

/// The runtime of one thread.
fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}
