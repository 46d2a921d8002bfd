//! The matcher as a server: bound, then started.

use crate::app::{Command, Matcher, PortNo};
use crate::config::{Config, Version};
use crate::intake::Intake;
use crate::journal::JournalError;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::publisher::Publisher;
use crate::recovery::{self, Recovered};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, put};
use core_port::Ports;
use core_port::session::PortState;
use service::admin::{echo, list};
use service::config::{Config as _, Invalid};
use service::tls::Tls;
use service::traces::{self, Tracer, Traces};
use service::{Host, Running};
use shard::{Handle, Log, Port, Setup};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use transport::{Listener, SocketOptions};

/// What `GET /` lists of a matcher.
const PATHS: &str = "\
GET /ports  ports, and where they listen
PUT /ports/NAME/up  a port works as it should
PUT /ports/NAME/mute  it hears but says nothing
PUT /ports/NAME/cut  it neither hears nor says anything
PUT /ports/NAME/down  it closes its connections, and new ones
";

/// Why a matcher cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense, or names an address that cannot be listened on, files that cannot be used or a
    /// journal that cannot be gone on with.
    #[error("{0}")]
    Config(#[from] Invalid),
    /// The system does not say where it listens.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Traces cannot be made.
    #[error(transparent)]
    Traces(#[from] traces::BindError),
    /// The registry has metrics of these names.
    #[error(transparent)]
    Metrics(#[from] service::prometheus::Error),
}

/// A port by its name. A line of a desk that has two answers to the name of the desk as well.
#[derive(Debug)]
struct Named {
    name: String,
    desk: Option<String>,
    number: PortNo,
    address: SocketAddr,
}

/// A matcher that listens but does not run.
pub struct Server {
    config: Config,
    tls: Tls,
    recovered: Recovered,
    listeners: Vec<Port>,
    ports: Arc<[Named]>,
    metrics: Metrics,
    traces: Traces,
    shutdown: service::Shutdown,
    handle: Handle<Command>,
}

/// A hold on a matcher's ports, to let them fail on purpose. Clones are the same hold.
#[derive(Clone)]
pub struct Control {
    ports: Arc<[Named]>,
    handle: Handle<Command>,
}

/// Why a port was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No port has this name.
    #[error("no port of this name")]
    UnknownPort,
    /// Too many commands wait already.
    #[error("busy")]
    Busy,
}

impl Named {
    fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.desk.as_deref() == Some(name)
    }
}

impl Control {
    /// Lets a port fail, or mends it. The name of a desk that has two lines means both of them.
    ///
    /// # Errors
    /// [`ControlError`]; nothing more happens then.
    pub fn set_port(&self, name: &str, state: PortState) -> Result<(), ControlError> {
        let mut known = Err(ControlError::UnknownPort);
        for port in self.ports.iter().filter(|port| port.answers_to(name)) {
            self.handle.send(Command::Port(port.number, state)).map_err(|_| ControlError::Busy)?;
            known = Ok(());
        }
        known
    }
}

impl Server {
    /// Binds all ports (port 0 is allowed) and registers the metrics; starts no thread.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn bind(config: Config, host: &Host) -> Result<Self, BindError> {
        config.validate()?;
        let tls = Tls::load(config.tls.as_ref(), false, host)?;
        let journal = |error: JournalError| Invalid::new("journal.directory", error.to_string());
        let recovered = recovery::recover(&config).map_err(journal)?;
        let lines = config.lines().enumerate().map(|(number, line)| {
            let port = &config.trading[usize::from(line.desk_no)];
            let which = if line.listen == port.listen { "listen" } else { "listen_b" };
            let key = format!("trading[{}].{which}", line.desk_no);
            (line.name, Some(port.name.clone()), (key, line.listen), port.transport, PortNo::Trading(number))
        });
        let market = config.market_data.iter().enumerate().map(|(number, port)| {
            let key = format!("market_data[{number}].listen");
            (port.name.clone(), None, (key, port.listen), port.transport, PortNo::MarketData(number))
        });
        let (mut listeners, mut ports) = (Vec::new(), Vec::new());
        for (tag, (name, desk, (key, address), over, number)) in (0..).zip(lines.chain(market)) {
            let taken = |error| Invalid::listen(key.as_str(), &error);
            Listener::ensure_unused(address).map_err(taken)?;
            let listener = Listener::bind(address, SocketOptions::default()).map_err(taken)?;
            let address = listener.local_addr()?;
            listeners.push(Port { listener: tls.listener(listener, over), tag });
            ports.push(Named { name, desk, number, address });
        }
        Ok(Self {
            metrics: Metrics::register(&host.registry)?,
            traces: Traces::bind(&config.traces, "core", host)?,
            shutdown: host.shutdown.clone(),
            handle: Handle::new(&config.shard_limits()),
            ports: ports.into(),
            listeners,
            tls,
            recovered,
            config,
        })
    }

    /// Where a port listens, by its name; by the name of a desk that has two lines, where the first of them does.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.ports.iter().find(|port| port.answers_to(name)).map(|port| port.address)
    }

    /// Its certificates, for [`Tls::reload`].
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The hold on its ports.
    pub fn control(&self) -> Control {
        Control { ports: self.ports.clone(), handle: self.handle.clone() }
    }

    /// A matcher that runs is ready.
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        || Ok(())
    }

    /// What it adds to the admin port: `GET /ports`, `PUT /ports/NAME/STATE`, and their list.
    pub fn routes(&self) -> Router {
        let ports: String =
            self.ports.iter().map(|port| format!("{} {}\n", port.name, port.address)).collect();
        let control = self.control();
        let set = move |Path((name, state)): Path<(String, String)>| {
            let outcome = set_port(&control, &name, &state);
            std::future::ready(outcome)
        };
        Router::new()
            .route("/ports", get(move || std::future::ready(ports.clone())))
            .route("/ports/{name}/{state}", put(set))
            .merge(list(PATHS))
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(mut self) -> io::Result<Running> {
        if self.config.session.clients.is_empty() {
            tracing::warn!("no clients are configured: anyone who gives a name may log on");
        }
        for port in self.ports.iter() {
            tracing::info!(name = port.name, address = %port.address, "port");
        }
        let mut running = Running::new(&self.shutdown);
        let handle = self.handle.clone();
        let tracer = self.traces.tracer();
        std::mem::take(&mut self.traces).start(&mut running)?;
        running.spawn("matcher", move || {
            let (setup, matcher) = self.assemble(tracer);
            shard::run_on_this_thread(setup, matcher, handle).map(drop)
        })?;
        Ok(running)
    }

    /// Runs it as a task of the current thread's runtime, to its end: for simulations.
    ///
    /// # Errors
    /// A listener or a timer that the system refused.
    pub async fn run(mut self) -> io::Result<()> {
        let mut aside = Running::new(&self.shutdown);
        let (handle, tracer) = (self.handle.clone(), self.traces.tracer());
        std::mem::take(&mut self.traces).start(&mut aside)?;
        let (setup, matcher) = self.assemble(tracer);
        shard::run(setup, matcher, handle).await.map(drop)
    }

    /// The shard and its application.
    fn assemble(self, tracer: Tracer) -> (Setup, Matcher) {
        let Self { config, tls: _, recovered, listeners, ports, metrics, traces: _, shutdown, handle } = self;
        let logs = recovered.logs.into_iter().map(Log::Own).collect();
        let named = Logs::new(config.trading.len());
        let valid = "invariant: the configuration was validated when the ports were bound";
        let trading = config.admission(Version::Trading).expect(valid);
        let market = config.admission(Version::MarketData).expect(valid);
        let matcher = Matcher {
            core: recovered.core,
            journal: recovered.journal,
            intake: Intake::default(),
            trading: Ports::new(config.ports(named), trading, config.session.per_comp_id_max.into()),
            desks: config.lines().map(|line| line.desk_no).collect(),
            publisher: Publisher::new(
                named.market(),
                config.market_data.iter().map(|port| port.name.clone()).collect(),
                market,
                config.resend_limits(),
            ),
            logs: named,
            ports: ports.iter().map(|port| port.number).collect(),
            metrics,
            tracer,
            shutdown,
            handle,
            ticks: 0,
            drained: false,
        };
        (Setup { ports: listeners, logs, limits: config.shard_limits(), core: None }, matcher)
    }
}

fn set_port(control: &Control, name: &str, word: &str) -> (StatusCode, String) {
    let state: PortState = match word.parse() {
        Ok(state) => state,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match control.set_port(name, state) {
        Ok(()) => (StatusCode::OK, format!("{name}: {word}\n")),
        Err(ControlError::UnknownPort) => {
            (StatusCode::NOT_FOUND, format!("no port \"{}\" (GET /ports lists them)\n", echo(name)))
        }
        Err(error @ ControlError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
