//! The balancer put together: bound, then started.

use std::io;
use std::net::SocketAddr;

use service::traces::{self, Traces};
use service::{Host, Running, Shutdown};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::Control;
use crate::handover::Takeover;
use crate::live::{ApplyError, Live, Opening};
use crate::metrics::Metrics;
use crate::{health, routes, worker};

/// Why a balancer could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense, or an address cannot be listened on.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Traces cannot be made.
    #[error(transparent)]
    Traces(#[from] traces::BindError),
    /// Another server of this [`Host`] has the same metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] service::prometheus::Error),
}

/// A balancer that is bound and not yet running.
#[derive(Debug)]
pub struct Server {
    shutdown: Shutdown,
    traces: Traces,
    read_bytes_max: usize,
    control: Control,
    /// For each worker, what it is to accept on.
    workers: Vec<mpsc::Receiver<Opening>>,
}

impl Server {
    /// Binds all listeners and registers the metrics; starts nothing. The admin port is the
    /// caller's, with [`Self::routes`] and [`Self::readiness`].
    ///
    /// # Errors
    /// When an address cannot be bound, or the host already has a balancer.
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        Self::bind_over(config, host, &mut Takeover::default())
    }

    /// As [`Self::bind`], on the sockets of a process that hands over, where it has them.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_over(config: Config, host: &Host, takeover: &mut Takeover) -> Result<Self, BindError> {
        let metrics = Metrics::register(&host.registry)?;
        let traces = Traces::bind(&config.traces, "slb", host)?;
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let read_bytes_max = config.read_bytes_max;
        let shutdown = host.shutdown.clone();
        let told = (metrics, traces.tracer());
        let (live, workers) = Live::start(config, count, takeover.sockets(), told, shutdown.clone())?;
        let control = Control::new(live);
        control.restore(takeover.states());
        Ok(Self { shutdown, traces, read_bytes_max, control, workers })
    }

    /// The bound address of a listener.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.control.address(listener)
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
        routes::routes(self.control.clone())
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
        self.traces.start(running)?;
        for (at, openings) in self.workers.into_iter().enumerate() {
            let shutdown = self.shutdown.clone();
            running.spawn(&format!("slb-{at}"), move || {
                runtime()?.block_on(worker::run(openings, self.read_bytes_max, shutdown))
            })?;
        }
        let (control, shutdown) = (self.control, self.shutdown);
        running.spawn("slb-health", move || {
            runtime().map(|runtime| runtime.block_on(health::watch(control, shutdown)))
        })
    }

    /// Runs all of it within the calling task until it has drained or stopped, as a simulated host
    /// does: on one thread, within a `LocalSet`.
    ///
    /// # Errors
    /// When a listener cannot be polled.
    pub async fn run(self) -> io::Result<()> {
        let mut checks = tokio::task::JoinSet::new();
        checks.spawn_local(health::watch(self.control, self.shutdown.clone()));
        let openings = self.workers.into_iter().next().expect("invariant: there is a worker");
        worker::run(openings, self.read_bytes_max, self.shutdown).await
    }
}

/// The runtime of one thread.
fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}
