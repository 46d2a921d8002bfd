//! The server as a whole: bound, then started; in a process of its own or embedded in another.

use crate::app::{Command, Gateway, Peers, Settings};
use crate::audit::{Audit, Ended, FileStore, JetStreamStore, Keeper, Progress, Store};
use crate::check::load;
use crate::check::{Check, Tables};
use crate::config::{self, Config};
use crate::control::Control;
use crate::counts::Counts;
use crate::desk::Desk;
use crate::disconnect::Left;
use crate::duty::Duty;
use crate::flight::Flight;
use crate::line::Line;
use crate::link::Link;
use crate::metrics::{Exporter, Metrics};
use crate::past::Watch;
use crate::quotes::{self, Follower};
use crate::status;
use crate::takeover::Patience;
use crate::upstream::{Lines, Upstream, Wire};
use flow::Writer;
use service::config::{Invalid, Origin};
use service::proxy::{self, AcceptProxy};
use service::tls::Tls;
use service::traces::{self, Tracer, Traces};
use service::{Host, Running, Shutdown};
use shard::{Handle, Log, Port, Setup};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use transport::proxy_protocol::Headers;
use transport::{Listener, SocketOptions};

const NS_PER_MS: u64 = 1_000_000;

/// Why a gateway cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense, or names an address that cannot be listened on or files that cannot be used.
    #[error("{0}")]
    Config(#[from] Invalid),
    /// The system does not say where it listens.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Traces cannot be made.
    #[error(transparent)]
    Traces(#[from] traces::BindError),
    /// The host's registry has a gateway's metrics already.
    #[error(transparent)]
    Metrics(#[from] service::prometheus::Error),
}

/// A gateway, bound but not yet running.
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    address: SocketAddr,
    quic_address: Option<SocketAddr>,
    tls: Tls,
    handle: Handle<Command>,
    metrics: Metrics,
    traces: Traces,
    shutdown: Shutdown,
    origin: Origin,
    tables: Tables,
    own: Vec<Box<dyn Check>>,
    control: Control,
    asked: load::Asked,
    fix: crate::fix::Port,
    store: Option<Box<dyn Store>>,
    fix_listener: Option<Listener>,
    fix_address: Option<SocketAddr>,
}

impl Server {
    /// Binds the clients' port (port 0 takes a free one) and registers the metrics; starts no thread.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        service::config::Config::validate(&config)?;
        let tables = load::tables(&config.checks, load::unix_ns())?;
        let metrics = Metrics::register(&host.registry)?;
        let traces = Traces::bind(&config.traces, "gateway", host)?;
        let taken = |error| Invalid::listen("listen.address", &error);
        Listener::ensure_unused(config.listen.address).map_err(taken)?;
        let tls = Tls::load(config.tls.as_ref(), config.dials_tls(), host)?;
        let headers = proxy_headers(&metrics, "clients", &config.listen.accept_proxy);
        let listener = Listener::bind(config.listen.address, config.listen.socket).map_err(taken)?;
        let listener = listener.with_proxy_headers(headers);
        let address = listener.local_addr()?;
        let quic = config.listen.quic.map(|address| tls.quic(address)).transpose();
        let quic = quic.map_err(|error| Invalid::listen("listen.quic", &error))?;
        let quic_address = quic.as_ref().map(Listener::local_addr).transpose()?;
        let listener = tls.listener(listener, config.listen.transport);
        let listeners = std::iter::once(listener).chain(quic).collect();
        let handle = Handle::new(&config.shard_limits());
        let (shutdown, origin) = (host.shutdown.clone(), host.origin.clone());
        let own = Vec::new();
        let (reload, asked) = load::reload();
        let told = (&metrics, origin.clone());
        let control = Control::new(config.control.clone(), handle.clone(), reload, told)?;
        let fix_listener =
            config.fix.address.map(|address| fix_listener(&config, &tls, &metrics, address)).transpose()?;
        let fix_address = fix_listener.as_ref().map(Listener::local_addr).transpose()?;
        let fix = crate::fix::Port::open(&config.fix, &config.accounts(), config.forwarding.out_bytes_max)?;
        let store = open_audit(&config.audit)?;
        Ok(Self {
            config,
            store,
            listeners,
            address,
            quic_address,
            tls,
            handle,
            metrics,
            traces,
            shutdown,
            origin,
            tables,
            own,
            control,
            asked,
            fix,
            fix_listener,
            fix_address,
        })
    }

    /// Adds an integrator's own pre-trade rule, which runs behind ours and those added before.
    ///
    /// # Panics
    /// Beyond [`crate::check::OWN_CHECKS_MAX`].
    #[must_use]
    pub fn with_check(mut self, check: Box<dyn Check>) -> Self {
        assert!(self.own.len() < crate::check::OWN_CHECKS_MAX, "too many checks");
        self.own.push(check);
        self
    }

    /// Sends the audit to another store than the configured directory.
    #[must_use]
    pub fn with_audit(mut self, store: Box<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where clients connect over QUIC, if they may.
    pub fn quic_address(&self) -> Option<SocketAddr> {
        self.quic_address
    }

    /// Where clients connect by FIX, if they may.
    pub fn fix_address(&self) -> Option<SocketAddr> {
        self.fix_address
    }

    /// What each port is for, where it is, and what it speaks: `tcp`, `tls` or `quic`.
    ///
    /// # Errors
    /// When the system does not say where.
    pub fn ports(&self) -> io::Result<Vec<(&'static str, SocketAddr, &'static str)>> {
        let clients = self.listeners.iter().map(|listener| ("clients' port", listener));
        let fix = self.fix_listener.iter().map(|listener| ("clients' FIX port", listener));
        clients.chain(fix).map(|(what, port)| Ok((what, port.local_addr()?, port.over()))).collect()
    }

    /// Its certificates, for [`Tls::reload`].
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the gateway counts; the handles stay good while it runs.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Whether orders can be sent: a line is up, and the day has been read again as far as it is known. Where that is not to be had, it
    /// takes clients all the same: for their reports, and their cancels.
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let name = |core: &crate::config::Core| crate::route::Core::from(core.core).name();
        let Metrics { core_up, core_behind, core_reports_missing, .. } = self.metrics.clone();
        let of = |core| {
            [&core_up, &core_behind, &core_reports_missing]
                .map(|gauges| gauges.with_label_values(&[name(core)]))
        };
        let cores: Vec<_> = self.config.cores.iter().map(of).collect();
        move || {
            let is = |gauge: &service::prometheus::IntGauge| gauge.get() == 1;
            let (mut up, mut ready) = (false, false);
            for [is_up, behind, missing] in &cores {
                up |= is(is_up);
                ready |= is(is_up) && (!is(behind) || is(missing));
            }
            match (up, ready) {
                (_, true) => Ok(()),
                (true, false) => Err("the day's reports are being read again".to_owned()),
                (false, false) => Err("no line is up".to_owned()),
            }
        }
    }

    /// What reads rules, reference data and tokens again, for SIGHUP.
    pub fn reload(&self) -> impl Fn() + Send + Sync + 'static {
        let control = self.control.clone();
        move || control.reload_all()
    }

    /// What it adds to the operator's port: looking and commands, guarded by tokens.
    pub fn routes(&self) -> axum::Router {
        self.control.clone().routes(status::routes(self.handle.clone()))
    }

    /// Starts the thread that follows a feed, if one is configured.
    fn start_follower(&self, running: &mut Running) -> io::Result<Option<Handle<quotes::Command>>> {
        let config = &self.config.quotes;
        if !config.is_on() {
            return Ok(None);
        }
        let seed = RandomState::new().hash_one(self.address);
        let connector = self.tls.connector(SocketOptions::default(), config.transport);
        let directory = self.tables.directory.clone();
        let told = (self.metrics.clone(), self.shutdown.clone());
        let follower = Follower::new(config, (connector, seed), directory, told);
        let handle = Handle::new(&quotes::limits());
        let own = handle.clone();
        let setup = Setup { limits: quotes::limits(), ..Setup::default() };
        running.spawn("quotes", move || shard::run_on_this_thread(setup, follower, own).map(drop))?;
        Ok(Some(handle))
    }

    /// Starts its thread. The end is through the host's [`Shutdown`], or what is returned.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<Running> {
        let mut running = Running::new(&self.shutdown);
        let (setup, app, handle, progress) = self.assemble(&mut running)?;
        running.spawn("gateway", move || {
            let _ended = progress.map(Ended);
            shard::run_on_this_thread(setup, app, handle).map(drop)
        })?;
        Ok(running)
    }

    /// Runs it as a task of the current thread's runtime, to its end: for simulations, which have no audit.
    ///
    /// # Errors
    /// A listener, a timer or a thread that the system refused.
    pub async fn run(self) -> io::Result<()> {
        let mut aside = Running::new(&self.shutdown);
        let (setup, app, handle, _) = self.assemble(&mut aside)?;
        Box::pin(shard::run(setup, app, handle)).await.map(drop)
    }

    /// The shard and its application; starts the threads beside it.
    fn assemble(mut self, running: &mut Running) -> io::Result<Assembled> {
        let follower = self.start_follower(running)?;
        let writer = Writer::new(flow::Limits {
            segment_bytes: self.config.log.segment_bytes,
            window_bytes: self.config.log.window_bytes,
        });
        let reports = writer.reader();
        let setup = Setup {
            ports: self
                .listeners
                .into_iter()
                .map(|listener| Port { listener, tag: 0 })
                .chain(self.fix_listener.map(|listener| Port { listener, tag: crate::fix::PORT }))
                .collect(),
            logs: vec![Log::Own(writer)],
            limits: self.config.shard_limits(),
            core: self.config.listen.cpu,
        };
        if let Some(jobs) = self.fix.take_jobs() {
            let name = self.fix_address.map(|address| address.to_string()).unwrap_or_default();
            let (gateway, shutdown) = (self.handle.clone(), self.shutdown.clone());
            running.spawn("fix-store", move || jobs.run(name, &gateway, &shutdown))?;
        }
        let accounts = self.config.accounts();
        let loader = load::Loader {
            checks: self.config.checks.clone(),
            asked: self.asked,
            gateway: self.handle.clone(),
            shutdown: self.shutdown.clone(),
            origin: self.origin,
            metrics: self.metrics.clone(),
            day: self.tables.day,
            zone: self.tables.zone,
            follower,
        };
        running.spawn("rules", move || loader.run())?;
        let mut checks = load::chain(&self.config, &accounts, self.tables);
        self.control.set_initial(&accounts, &mut checks.kill);
        let own: Vec<_> = self.own.iter().map(|check| check.name()).collect();
        let exporter = Exporter::new(self.metrics.clone(), &own);
        self.own.into_iter().for_each(|check| assert!(checks.push(check), "invariant: `with_check` counts"));
        let desk = Desk::new(accounts, self.config.forwarding.orders_max, checks);
        let audit = self.store.as_ref().map(|_| Audit::new(self.config.audit.lag_records_max));
        if audit.is_some() {
            self.metrics.audit_lag_max.set(self.config.audit.lag_records_max as i64);
        }
        let progress = audit.as_ref().map(Audit::progress);
        let mut had = Vec::new();
        if let (Some(audit), Some(store)) = (&audit, self.store) {
            let names = desk.accounts.names().to_vec();
            let interval = Duration::from_millis(self.config.audit.commit_interval_ms);
            let logs = (audit.reader(), reports);
            let keeper = Keeper::new(store, audit.progress(), logs, names, self.metrics.clone(), interval);
            let keeper = keeper.map_err(io::Error::other)?;
            had.extend(keeper.had());
            running.spawn("audit", move || keeper.run())?;
        }
        let counting = (exporter, self.metrics, self.traces.tracer());
        self.traces.start(running)?;
        let parts = (desk, (self.fix, audit), counting);
        let mut app = gateway(&self.config, &self.tls, parts, self.shutdown, self.handle.clone());
        app.expect_at_start(had);
        Ok((setup, app, self.handle, progress))
    }
}

/// What a gateway's own thread runs, and what says at its end that nothing more is to be audited.
type Assembled = (Setup, Gateway, Handle<Command>, Option<Arc<Progress>>);

/// What is made before the application.
type Parts = (Desk, (crate::fix::Port, Option<Audit>), (Exporter, Metrics, Tracer));

/// The configured store of the audit, if there is one.
fn open_audit(config: &config::Audit) -> Result<Option<Box<dyn Store>>, Invalid> {
    if let Some(jetstream) = &config.jetstream {
        let store = JetStreamStore::open(jetstream.settings());
        let store = store.map_err(|error| Invalid::new("audit.jetstream", error.to_string()))?;
        return Ok(Some(Box::new(store)));
    }
    let Some(directory) = &config.directory else { return Ok(None) };
    let sync = config.durability == config::Durability::Sync;
    let store = FileStore::open(&transport::absolute(directory), config.segment_bytes, sync);
    let store = store.map_err(|error| Invalid::new("audit.directory", error.to_string()))?;
    Ok(Some(Box::new(store)))
}

fn fix_listener(
    config: &Config,
    tls: &Tls,
    metrics: &Metrics,
    address: SocketAddr,
) -> Result<Listener, Invalid> {
    let taken = |error| Invalid::listen("fix.address", &error);
    Listener::ensure_unused(address).map_err(taken)?;
    let headers = proxy_headers(metrics, "fix", &config.fix.accept_proxy);
    let bound = Listener::bind(address, config.fix.socket).map_err(taken)?;
    Ok(tls.listener(bound.with_proxy_headers(headers), config.fix.transport))
}

fn proxy_headers(metrics: &Metrics, listener: &str, settings: &AcceptProxy) -> Option<Arc<Headers>> {
    proxy::headers(settings, |outcome| metrics.proxy_headers.with_label_values(&[listener, outcome]))
}

fn upstream(
    core: &config::Core,
    which: crate::route::Core,
    config: &Config,
    tls: &Tls,
    accounts: usize,
) -> Upstream {
    let partitions = core.partitions();
    let wire = |address| {
        let seed = RandomState::new().hash_one(address);
        let connector = tls.connector(SocketOptions::default(), core.transport);
        let timeout = Duration::from_millis(core.connect_timeout_ms);
        let to = (address, connector, timeout);
        let bounds = (core.bandwidth_bytes_per_s, config.forwarding.out_bytes_max / 2);
        Wire::new(Line::new(core.line(), seed), to, usize::from(core.partitions), bounds)
    };
    let wires: Vec<Wire> = core.addresses().map(wire).collect();
    Upstream {
        link: Link::new(which, partitions),
        duty: Duty::new(core.mode, wires.len(), accounts),
        flight: Flight::new(config.forwarding.in_flight_max, accounts),
        wires,
        watch: Watch::default(),
        peak: [0; 2],
    }
}

fn gateway(
    config: &Config,
    tls: &Tls,
    (desk, (fix, audit), (exporter, metrics, tracer)): Parts,
    shutdown: Shutdown,
    handle: Handle<Command>,
) -> Gateway {
    let mut by_core = [None, None];
    for core in &config.cores {
        let which = crate::route::Core::from(core.core);
        by_core[which as usize] = Some(upstream(core, which, config, tls, desk.accounts.len()));
    }
    Gateway {
        settings: Settings {
            comp_id: config.sessions.comp_id,
            session: config.sessions.limits(),
            synchronization_timeout_ns: config.sessions.synchronization_timeout_ms * NS_PER_MS,
            stall_timeout_ns: config.forwarding.stall_timeout_ms * NS_PER_MS,
            patience: Patience::of_ms(config.forwarding.resend_within_ms, config.forwarding.settle_ms),
            out_bytes_max: config.forwarding.out_bytes_max,
        },
        by_comp: vec![None; desk.accounts.comps_len()],
        left: Left::new(config, &desk.accounts),
        desk,
        lines: Lines::new(by_core, config.forwarding.out_bytes_max),
        peers: Peers::default(),
        fix,
        audit,
        waiting: Vec::new(),
        told_open: false,
        out: Vec::with_capacity(4 << 10),
        refused: Vec::new(),
        counts: Counts::default(),
        exporter,
        metrics,
        tracer,
        shutdown,
        handle,
    }
}
