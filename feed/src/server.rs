//! The server as a whole: bound, then started; in a process of its own or embedded in another.

use crate::app::{Command, Feed};
use crate::book;
use crate::bus::{Back, Out};
use crate::config::Via;
use crate::config::{self, Config};
use crate::delay::{Line, Taps};
use crate::door::{self, Inlet, Runner, Way};
use crate::entitlement::{Doorkeeper, Entitlement, RightsFile, Seats};
use crate::fanout::Fanout;
use crate::ingest::Ingest;
use crate::metrics::{Exporter, Metrics};
use crate::relay::Relay;
use crate::retention::{Retention, Threads};
use crate::securities::{Directory, Securities};
use crate::snapshots::Snapshots;
use crate::view::View;
use crate::web;
use crate::{control, status};
use flow::Writer;
use service::admin::Operators;
use service::config::{Invalid, Origin};
use service::tls::Tls;
use service::{Host, Running, Shutdown};
use shard::{Handle, Limits, Log, Port, Setup};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use transport::Listener;
use wire::szse::{Text, frame};

/// Segments that the log of a delay holds: its readers are few seconds behind it.
const DELAYED_SEGMENTS: usize = 16;

/// Questions to the thread of the books that may wait.
const BOOK_ASKS_MAX: usize = 16;

/// Why a feed cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense, or names an address that cannot be listened on or files that cannot be used.
    #[error("{0}")]
    Config(#[from] Invalid),
    /// The system does not say where it listens.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The host's registry has a feed's metrics already.
    #[error(transparent)]
    Metrics(#[from] service::prometheus::Error),
}

/// A shard, its application, and the way to it.
type Shard = (Setup, Feed, Handle<Command>);

/// What a feed is made of when it starts.
struct Assembled {
    shards: Vec<Shard>,
    retention: Option<Threads>,
    /// Who lets browsers in.
    doorkeeper: Option<Doorkeeper>,
}

/// A feed, bound but not yet running.
pub struct Server {
    config: Config,
    /// Of each shard.
    listeners: Vec<Vec<Listener>>,
    address: SocketAddr,
    quic_address: Option<SocketAddr>,
    tls: Tls,
    web: Option<web::Port>,
    handles: Arc<[Handle<Command>]>,
    metrics: Metrics,
    operators: Operators,
    shutdown: Shutdown,
    origin: Origin,
    rights_file: Option<Arc<RightsFile>>,
    entitlement: Option<Arc<dyn Entitlement>>,
    writer: Writer,
    directory: Arc<Directory>,
    retention: Option<(Retention, Threads)>,
    /// By name.
    doors: Vec<(String, Box<dyn door::Source>)>,
    book: Option<book::Follower>,
    /// The way to ask the thread of the books.
    book_asks: Option<SyncSender<book::Ask>>,
}

impl Server {
    /// Binds the subscribers' port (port 0 takes a free one) and registers the metrics; starts no thread.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        service::config::Config::validate(&config)?;
        let metrics = Metrics::register(&host.registry)?;
        let operators =
            Operators::load(&config.control.token_file, metrics.commands.clone(), host.origin.clone())?;
        let tls = Tls::load(config.tls.as_ref(), config.dials_tls(), host)?;
        let rights_file = open_rights(&config.entitlement)?;
        let entitlement = rights_file.clone().map(|file| file as Arc<dyn Entitlement>);
        let (listeners, address, quic_address) = bound(&config.listen, &tls, &metrics)?;
        let web = web::Port::bind(&config, host)?;
        let limits = limits(&config);
        let handles: Arc<[Handle<Command>]> = listeners.iter().map(|_| Handle::new(&limits)).collect();
        let (shutdown, origin) = (host.shutdown.clone(), host.origin.clone());
        let writer = Writer::new(window(&config));
        let directory = Directory::new(config.log.securities_max);
        let clock = transport::Clock::start();
        let unix_ns = u64::try_from(clock.wall_ns(clock.now_ns())).unwrap_or(0);
        let open = |retention: &config::Retention| {
            let opened = Retention::open(retention, writer.reader(), directory.clone(), &metrics, unix_ns);
            opened.map_err(|error| Invalid::in_file("retention.directory", &retention.directory, error))
        };
        let retention = config.retention.as_ref().map(open).transpose()?;
        let own_from = config.arbitration.own.channel_offset;
        let follow = |config: &book::BookConfig| {
            let (asks, from) = sync_channel(BOOK_ASKS_MAX);
            let metrics = book::Metrics::register(&host.registry)?;
            let follower = book::Follower::new(
                writer.reader(),
                (config.clone(), own_from),
                handles[0].clone(),
                from,
                metrics,
            );
            Ok::<_, BindError>((follower, asks))
        };
        let (book, book_asks) = config.book.as_ref().map(follow).transpose()?.unzip();
        Ok(Self {
            config,
            listeners,
            address,
            quic_address,
            tls,
            web,
            handles,
            metrics,
            operators,
            shutdown,
            origin,
            rights_file,
            entitlement,
            writer,
            directory,
            retention,
            doors: Vec::new(),
            book,
            book_asks,
        })
    }

    /// Asks this who may see what, in place of a file; see [`crate::entitlement`].
    #[must_use]
    pub fn with_entitlement(mut self, entitlement: Arc<dyn Entitlement>) -> Self {
        self.entitlement = Some(entitlement);
        self
    }

    /// Takes the quotes of the source of this name, whose `via` is `door`, from here; see [`door`].
    #[must_use]
    pub fn with_source(mut self, name: &str, source: impl door::Source) -> Self {
        self.doors.push((name.to_owned(), Box::new(source)));
        self
    }

    /// What SIGHUP does: loads certificates, rights and tokens again.
    pub fn reload(&self) -> impl FnMut() + Send + 'static {
        let (tls, rights_file, metrics) = (self.tls.clone(), self.rights_file.clone(), self.metrics.clone());
        let (web_tls, operators) = (self.web.as_ref().and_then(web::Port::tls), self.operators.clone());
        let origin = self.origin.clone();
        move || {
            tls.reload();
            // It has logged what is wrong.
            drop(operators.reload());
            let web = web_tls.as_ref().map(|tls| service::tls::reload_server(tls, "web.tls"));
            if let Some(Err(error)) = web {
                let error = origin.placed(&error);
                tracing::error!(%error, "the browsers' certificates not loaded again; the old ones stay");
            }
            let Some(file) = &rights_file else { return };
            let outcome = file.reload();
            match &outcome {
                Ok(accounts) => tracing::info!(accounts, "rights loaded again"),
                Err(error) => {
                    let error = origin.placed(error);
                    tracing::error!(%error, "rights not loaded again; the old ones stay");
                }
            }
            let outcome = if outcome.is_ok() { "applied" } else { "refused" };
            metrics.rights_loaded.with_label_values(&[outcome]).inc();
        }
    }

    /// Where subscribers connect over QUIC, if they may.
    pub fn quic_address(&self) -> Option<SocketAddr> {
        self.quic_address
    }

    /// Where browsers connect, if they may.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(web::Port::address)
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

    /// What it adds to the operator's port: `/sources`, `/subscribers` and `/book`, commands, and their list.
    pub fn routes(&self) -> axum::Router {
        let routes = status::routes(self.handles.clone()).merge(control::routes(self.handles.clone()));
        self.operators.guard(routes.merge(book::routes(self.book_asks.clone())))
    }

    /// Starts the shards' threads, and the browsers'. The end is through the host's [`Shutdown`], or what is returned.
    ///
    /// # Errors
    /// When the system gives no thread, or a source of the door has no program or the other way round.
    pub fn start(mut self) -> io::Result<Running> {
        let mut running = Running::new(&self.shutdown);
        let (web, handles, shutdown) = (self.web.take(), self.handles.clone(), self.shutdown.clone());
        let book = self.book.take();
        let runners = self.runners()?;
        let bus =
            self.config.bus.clone().map(|bus| Out::new(bus, self.writer.reader(), self.metrics.clone()));
        let Assembled { mut shards, retention, doorkeeper } = self.assemble();
        let alive = shards.first().map_or_else(Weak::new, |(_, feed, _)| Arc::downgrade(&feed.alive));
        if let Some(book) = book {
            let alive = alive.clone();
            running.spawn("feed-book", move || book.run(&alive))?;
        }
        if let Some(Threads { keeper, recaller }) = retention {
            let alive = alive.clone();
            running.spawn("feed-keeper", move || keeper.run(&alive))?;
            running.spawn("feed-recall", move || recaller.run())?;
        }
        if let Some(out) = bus {
            running.spawn("bus", move || out.run(&alive))?;
        }
        if let Some(web) = web {
            let Log::Own(writer) = &shards[0].0.logs[0] else {
                unreachable!("the first shard writes the log")
            };
            let log = writer.reader();
            running.spawn("web", move || web.run(log, handles, doorkeeper, shutdown))?;
        }
        for (index, runner, way) in runners {
            let ingest = shards[0].1.ingest.as_mut().expect("invariant: the first shard hears the sources");
            ingest.upstreams[index].way = Some(way);
            let name = format!("source-{}", runner.name);
            running.spawn(&name, move || runner.run())?;
        }
        for (index, (setup, app, handle)) in shards.into_iter().enumerate() {
            running.spawn(&format!("feed-{index}"), move || {
                shard::run_on_this_thread(setup, app, handle).map(drop)
            })?;
        }
        Ok(running)
    }

    /// Runs its shards as tasks of the current thread's runtime, to their end: for simulations. Without a port for browsers,
    /// books and what is retained on disk: all are the business of other threads.
    ///
    /// # Errors
    /// A listener or a timer that the system refused.
    pub async fn run(self) -> io::Result<()> {
        let shards = self.assemble().shards.into_iter();
        let tasks: Vec<_> = shards
            .map(|(setup, app, handle)| tokio::task::spawn_local(shard::run(setup, app, handle)))
            .collect();
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        Ok(())
    }

    /// The sources of the door, those of a bus among them, each with its place and the way to it.
    fn runners(&mut self) -> io::Result<Vec<(usize, Runner, Arc<Way>)>> {
        let mut doors = std::mem::take(&mut self.doors);
        let mut runners = Vec::new();
        for (index, config) in self.config.sources.iter().enumerate() {
            let source: Box<dyn door::Source> = match (config.via, &config.bus) {
                (Via::Nats, Some(bus)) => Box::new(Back::new(bus.clone(), self.metrics.clone())),
                (Via::Door, _) => {
                    let at = doors.iter().position(|(name, _)| *name == config.name);
                    let why = "its `via` is \"door\", and no program brings its quotes";
                    doors.swap_remove(at.ok_or_else(|| no_door(&config.name, why))?).1
                }
                _ => continue,
            };
            let (inlet, way) = Inlet::new(index, self.handles[0].clone(), self.shutdown.clone());
            let seed = RandomState::new().hash_one(index);
            let panics = self.metrics.source_panics.with_label_values(&[config.name.as_str()]);
            runners.push((index, Runner::new(config, source, inlet, seed, panics), way));
        }
        match doors.first() {
            Some((name, _)) => Err(no_door(name, "there is none of this name whose `via` is \"door\"")),
            None => Ok(runners),
        }
    }

    /// The shards, the first one of which writes the log and hears the sources; and what is for other threads.
    #[allow(clippy::too_many_lines)] // A list of what each shard is made of.
    fn assemble(self) -> Assembled {
        let Self {
            config,
            listeners,
            tls,
            handles,
            metrics,
            shutdown,
            entitlement,
            writer,
            directory,
            retention,
            ..
        } = self;
        let (retention, threads) = retention.unzip();
        let alive = Arc::new(());
        let delays_min = &config.entitlement.delays_min;
        let of_log = window(&config);
        let of_delays = flow::Limits { window_bytes: DELAYED_SEGMENTS * of_log.segment_bytes, ..of_log };
        let delayed = delays_min.iter().map(|_| Writer::new(of_delays));
        let writers: Vec<Writer> = std::iter::once(writer).chain(delayed).collect();
        let follow = |_| writers.iter().map(|writer| Log::Follow(writer.reader())).collect();
        let readers: Vec<Vec<Log>> = (1..listeners.len()).map(follow).collect();
        let logs = std::iter::once(writers.into_iter().map(Log::Own).collect()).chain(readers);
        let seats = Arc::new(Seats::default());
        let doorkeeper = || {
            let entitlement = entitlement.clone()?;
            Some(Doorkeeper::new(
                entitlement,
                seats.clone(),
                (directory.markets().clone(), book::BookConfig::channel(config.book.as_ref())),
                delays_min,
                metrics.clone(),
            ))
        };
        let id = Some(config.relay.id).filter(|id| !id.is_blank()).unwrap_or_else(random_id);
        let relay = Arc::new(Relay::new(id, config.relay.hops_max, config.sources.len()));
        let shards = logs.zip(listeners).zip(handles.iter()).enumerate();
        let shards = shards
            .map(|(index, ((logs, listeners), handle))| {
                let setup = Setup {
                    ports: listeners.into_iter().map(|listener| Port { listener, tag: 0 }).collect(),
                    logs,
                    limits: limits(&config),
                    core: config.listen.cores.get(index).copied(),
                };
                let securities = || Securities::new(directory.clone());
                let feed = Feed {
                    ingest: (index == 0).then(|| {
                        let securities = (securities(), relay.clone());
                        Ingest::new(&config, &tls, securities, metrics.clone(), retention.clone())
                    }),
                    line: (index == 0 && !delays_min.is_empty())
                        .then(|| Line::new(delays_min, config.entitlement.delayed())),
                    fanout: Fanout::new(
                        config.subscribers.clone(),
                        securities(),
                        metrics.clone(),
                        (doorkeeper(), Taps::new(delays_min, config.log.snapshots())),
                        relay.clone(),
                        retention.clone().map(|retention| (retention, handle.clone())),
                    ),
                    view: View::new(Snapshots::new(config.log.snapshots())),
                    exporter: Exporter::new(metrics.clone(), &config.sources),
                    metrics: metrics.clone(),
                    shutdown: shutdown.clone(),
                    handle: handle.clone(),
                    draining: false,
                    alive: alive.clone(),
                };
                (setup, feed, handle.clone())
            })
            .collect();
        Assembled { shards, retention: threads, doorkeeper: doorkeeper() }
    }
}

/// The listeners of each shard, and where they listen, over TCP and over QUIC.
type Bound = (Vec<Vec<Listener>>, SocketAddr, Option<SocketAddr>);

fn bound(listen: &config::Listen, tls: &Tls, metrics: &Metrics) -> Result<Bound, BindError> {
    let taken = |error| Invalid::listen("listen.address", &error);
    Listener::ensure_unused(listen.address).map_err(taken)?;
    let (mut address, mut quic_address) = (listen.address, listen.quic);
    let headers = service::proxy::headers(&listen.accept_proxy, |outcome| {
        metrics.proxy_headers.with_label_values(&[outcome])
    });
    let mut listeners = Vec::new();
    for _ in 0..listen.shards {
        let bound = Listener::bind(address, listen.socket).map_err(taken)?;
        let bound = bound.with_proxy_headers(headers.clone());
        address = bound.local_addr()?;
        let mut of_shard = vec![tls.listener(bound, listen.transport)];
        if let Some(quic) = &mut quic_address {
            let bound = tls.quic(*quic).map_err(|error| Invalid::listen("listen.quic", &error))?;
            *quic = bound.local_addr()?;
            of_shard.push(bound);
        }
        listeners.push(of_shard);
    }
    Ok((listeners, address, quic_address))
}

fn open_rights(entitled: &config::Entitled) -> Result<Option<Arc<RightsFile>>, Invalid> {
    let Some(file) = entitled.file.as_deref() else { return Ok(None) };
    RightsFile::open(file, &entitled.delays_min).map(Arc::new).map(Some)
}

fn no_door(name: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("source {name}: {why}"))
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

/// A name among feeds that no other feed has, by all chance.
fn random_id() -> Text<20> {
    let random = RandomState::new().hash_one(0);
    Text::truncated(&format!("feed-{random:015x}"))
}

/// What the log holds.
fn window(config: &Config) -> flow::Limits {
    flow::Limits { segment_bytes: config.log.segment_bytes, window_bytes: config.log.window_bytes }
}
