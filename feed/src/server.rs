//! The server as a whole: bound, then started; in a process of its own or embedded in another.

use crate::app::{Command, Feed};
use crate::config::Config;
use crate::fanout::Fanout;
use crate::ingest::Ingest;
use crate::metrics::{Exporter, Metrics};
use crate::securities::{Directory, Securities};
use crate::snapshots::Snapshots;
use crate::status;
use crate::view::View;
use flow::Writer;
use service::{Host, Running, Shutdown};
use shard::{Handle, Limits, Log, Port, Setup};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use transport::Listener;
use wire::szse::frame;

/// Why a feed cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense.
    #[error("`{}`: {}", .0.key, .0.problem)]
    Config(service::config::Invalid),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// The host's registry has a feed's metrics already.
    #[error(transparent)]
    Metrics(#[from] service::prometheus::Error),
}

/// A feed, bound but not yet running.
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    address: SocketAddr,
    handles: Arc<[Handle<Command>]>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Server {
    /// Binds the subscribers' port (port 0 takes a free one) and registers the metrics; starts no thread.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        service::config::Config::validate(&config).map_err(BindError::Config)?;
        let metrics = Metrics::register(&host.registry)?;
        let first = Listener::bind(config.listen.address, config.listen.socket)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        while listeners.len() < config.listen.shards {
            listeners.push(Listener::bind(address, config.listen.socket)?);
        }
        let limits = limits(&config);
        let handles = listeners.iter().map(|_| Handle::new(&limits)).collect();
        Ok(Self { config, listeners, address, handles, metrics, shutdown: host.shutdown.clone() })
    }

    /// Where subscribers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the feed counts; the handles stay good while it runs.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Whether quotes can come: a source is up.
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let gauges: Vec<_> = self
            .config
            .sources
            .iter()
            .map(|source| self.metrics.source_up.with_label_values(&[source.name.as_str()]))
            .collect();
        move || match gauges.iter().any(|up| up.get() == 1) {
            true => Ok(()),
            false => Err("no source is up".to_owned()),
        }
    }

    /// What it adds to the operator's port: `/sources` and `/subscribers`.
    pub fn routes(&self) -> axum::Router {
        status::routes(self.handles.clone())
    }

    /// Starts the shards' threads. The end is through the host's [`Shutdown`], or what is returned.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<Running> {
        let mut running = Running::new(&self.shutdown);
        let writer = Writer::new(flow::Limits {
            segment_bytes: self.config.log.segment_bytes,
            window_bytes: self.config.log.window_bytes,
        });
        let directory = Directory::new(self.config.log.securities_max);
        let readers: Vec<_> = (1..self.listeners.len()).map(|_| writer.reader()).collect();
        let logs = std::iter::once(Log::Own(writer)).chain(readers.into_iter().map(Log::Follow));
        let shards = logs.zip(self.listeners).zip(self.handles.iter()).enumerate();
        for (index, ((log, listener), handle)) in shards {
            let setup = Setup {
                ports: vec![Port { listener, tag: 0 }],
                logs: vec![log],
                limits: limits(&self.config),
                core: self.config.listen.cores.get(index).copied(),
            };
            let securities = || Securities::new(directory.clone());
            let (config, metrics) = (&self.config, self.metrics.clone());
            let app = Feed {
                ingest: (index == 0).then(|| Ingest::new(config, securities(), metrics.clone())),
                fanout: Fanout::new(config.subscribers.clone(), securities(), metrics.clone()),
                view: View::new(Snapshots::new(config.log.snapshots())),
                exporter: Exporter::new(metrics.clone(), &config.sources),
                metrics,
                shutdown: self.shutdown.clone(),
                handle: handle.clone(),
                draining: false,
            };
            let handle = handle.clone();
            running.spawn(&format!("feed-{index}"), move || run(setup, app, handle))?;
        }
        Ok(running)
    }
}

/// A shard's thread. When it ends before it should, the whole server does.
fn run(setup: Setup, app: Feed, handle: Handle<Command>) {
    if let Err(error) = turn_until_stopped(setup, app, handle) {
        tracing::error!(%error, "a shard could not run");
    }
}

fn turn_until_stopped(setup: Setup, app: Feed, handle: Handle<Command>) -> io::Result<()> {
    if let Some(core) = setup.core {
        transport::bind_thread_to_core(core)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    // A task of its own: waking the runtime's root future costs a system call each time, waking a task does not.
    let shard = runtime.spawn_local(shard::run(setup, app, handle));
    match runtime.block_on(shard) {
        Ok(ended) => ended.map(drop),
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(io::Error::other(cancelled)),
    }
}

fn limits(config: &Config) -> Limits {
    let body_bytes_max = config.log.body_bytes_max.max(config.subscribers.body_bytes_max);
    Limits {
        connections_max: config.subscribers.connections_max + config.sources.len(),
        out_bytes_max: config.subscribers.out_bytes_max,
        kept_bytes_max: body_bytes_max as usize + frame::OVERHEAD,
        busy_poll: config.listen.busy_poll,
        ..Limits::default()
    }
}
