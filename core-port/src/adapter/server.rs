//! The adapter as a server: its day is read again, its ports are bound, then it is started.

use super::SEGMENT_BYTES;
use super::app::{App, Applied, Bounds, Dial, Life, Peer, REPORTS, apply};
use super::config::Config;
use super::counter::Counter;
use super::desk::Desk;
use super::input::{BEGINNING, Input, InputError};
use super::inputs::{Inputs, Numbered};
use super::metrics::{Counts, Metrics};
use crate::ports::Ports;
use flow::Writer;
use service::config::{Config as _, Invalid};
use service::tls::Tls;
use service::{Host, Running, Shutdown};
use shard::{Handle, Log, Port, Setup};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use transport::{Clock, Listener, SocketOptions};

const NS_PER_MS: u64 = 1_000_000;

/// Why an adapter cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration makes no sense, or names an address that cannot be listened on or files that cannot be used.
    #[error("{0}")]
    Config(#[from] Invalid),
    /// The system does not say where it listens.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The journal cannot be read.
    #[error("journal: {0}")]
    Read(#[from] journal::ReadError),
    /// The journal cannot be written.
    #[error("journal: {0}")]
    Write(io::Error),
    /// The journal is not an adapter's.
    #[error("journal: record {number}: {error}")]
    Input {
        /// Which record.
        number: u64,
        /// What is wrong.
        error: InputError,
    },
    /// With other numbers the same inputs make other reports.
    #[error(
        "journal: its day was begun with another core_no, partition_first or partitions; restore them, or begin a new \
         day in another directory"
    )]
    Settings,
    /// The registry has metrics of these names.
    #[error(transparent)]
    Metrics(#[from] service::prometheus::Error),
}

/// An adapter that listens but does not run.
pub struct Adapter<C> {
    config: Config,
    counter: C,
    listeners: Vec<Listener>,
    addresses: Vec<SocketAddr>,
    tls: Tls,
    day: Day,
    metrics: Metrics,
    shutdown: Shutdown,
    handle: Handle<()>,
}

/// A day as its journal has it.
struct Day {
    desk: Desk,
    reports: Writer,
    inputs: Inputs,
    /// The next event that is not in it.
    wanted: u64,
    /// The highest request that events in it tell of.
    told: u64,
}

impl<C: Counter> Adapter<C> {
    /// Reads the day's journal again, binds the lines (port 0 takes a free one) and registers the metrics; starts no thread
    /// and dials nobody.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(config: Config, counter: C, host: &Host) -> Result<Self, BindError> {
        config.validate()?;
        let tls = Tls::load(config.tls.as_ref(), true, host)?;
        let metrics = Metrics::register(&host.registry)?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (at, address) in config.lines.iter().copied().enumerate() {
            let taken = |error| Invalid::listen(format!("lines[{at}]"), &error);
            Listener::ensure_unused(address).map_err(taken)?;
            let listener = Listener::bind(address, SocketOptions::default()).map_err(taken)?;
            addresses.push(listener.local_addr()?);
            listeners.push(tls.listener(listener, config.transport));
        }
        let day = Day::open(&config, &metrics)?;
        let handle = Handle::new(&config.shard_limits());
        let shutdown = host.shutdown.clone();
        Ok(Self { config, counter, listeners, addresses, tls, day, metrics, shutdown, handle })
    }

    /// Where gateways connect, by line.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it counts; the handles stay good while it runs.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Its certificates, for [`Tls::reload`].
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Whether orders are taken: the counter is there.
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let up = self.metrics.counter_up.clone();
        move || if up.get() == 1 { Ok(()) } else { Err("counter not reachable".to_owned()) }
    }

    /// Starts its thread. The end is through the host's [`Shutdown`], or what is returned.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<Running> {
        let Self { config, counter, listeners, tls, day, metrics, shutdown, handle, addresses: _ } = self;
        if config.gateways.is_empty() {
            tracing::warn!("no gateways are configured: anyone who gives a name may log on");
        }
        let mut running = Running::new(&shutdown);
        let ports = (0..).zip(listeners).map(|(tag, listener)| Port { listener, tag }).collect();
        let logs = vec![Log::Own(day.reports)];
        let setup = Setup { ports, logs, limits: config.shard_limits(), core: None };
        let dial = Dial {
            address: config.counter.address,
            connector: tls.connector(SocketOptions::default(), config.counter.transport),
            connect_timeout: Duration::from_millis(config.counter.connect_timeout_ms),
            open_timeout_ns: config.counter.open_timeout_ms * NS_PER_MS,
            redial_ns: config.counter.redial_ms * NS_PER_MS,
            send_within_ns: config.counter.send_within_ms * NS_PER_MS,
        };
        let admission = config.admission().expect("invariant: validated when it was bound");
        let app = App {
            ports: Ports::new(config.ports(REPORTS), admission, 1),
            counter,
            link: Peer::new(dial, day.wanted, day.told),
            desk: day.desk,
            inputs: day.inputs,
            bounds: Bounds {
                inputs_max: config.limits.inputs_max,
                in_flight_max: config.limits.in_flight_max,
            },
            counts: Counts::default(),
            metrics,
            shutdown,
            handle: handle.clone(),
            life: Life::default(),
        };
        running.spawn("adapter", move || shard::run_on_this_thread(setup, app, handle).map(drop))?;
        Ok(running)
    }
}

impl Day {
    /// Opens the journal of a directory, and makes of it what it was.
    fn open(config: &Config, metrics: &Metrics) -> Result<Self, BindError> {
        let directory = &config.journal.directory;
        let limits =
            journal::Limits { segment_bytes: config.journal.segment_bytes, ..journal::Limits::default() };
        let opened = journal::Writer::open(&transport::absolute(directory), limits);
        let (mut writer, recovered) =
            opened.map_err(|error| Invalid::new("journal.directory", error.to_string()))?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(bytes = recovered.cut_bytes, "cut what a crash left unfinished");
        }
        let beginning = beginning(config);
        if recovered.next_number == 1 {
            let clock = Clock::start();
            let unix_ns = clock.wall_ns(clock.now_ns()).max(0).cast_unsigned();
            let appended = writer.append(BEGINNING, unix_ns, &[&beginning]);
            appended.expect("invariant: the buffer is empty");
            writer.write().and_then(|()| writer.sync()).map_err(BindError::Write)?;
        }
        let line = &config.ports(REPORTS)[0];
        let window_bytes = config.limits.window_bytes;
        let inputs_max = usize::try_from(config.limits.inputs_max).unwrap_or(usize::MAX);
        let reserved = config.limits.orders_reserved.min(inputs_max);
        let mut day = Self {
            desk: Desk::new(config.core_no, line, reserved),
            reports: Writer::new(flow::Limits { segment_bytes: SEGMENT_BYTES, window_bytes }),
            inputs: Inputs::new(writer, config.journal.durability),
            wanted: 1,
            told: 0,
        };
        day.replay(directory, &beginning, metrics)?;
        Ok(day)
    }

    fn replay(&mut self, directory: &Path, beginning: &[u8], metrics: &Metrics) -> Result<(), BindError> {
        let mut reader = journal::Reader::oldest(directory)?;
        while let Some(record) = reader.next()? {
            let (number, unix_ns) = (record.number, record.unix_ns);
            if number == 1 {
                let ours = record.kind == BEGINNING && record.payload.len() == beginning.len();
                if !ours {
                    return Err(BindError::Input { number, error: InputError });
                }
                if record.payload != beginning {
                    return Err(BindError::Settings);
                }
                continue;
            }
            let input = Input::decode(record.kind, record.payload);
            let input = input.map_err(|error| BindError::Input { number, error })?;
            if let Input::Event(number @ 1.., _) = input {
                self.wanted = number + 1;
            }
            let reports = &mut self.reports;
            let applied = apply(&mut self.desk, Numbered { number, unix_ns, input }, &mut |tag, frame| {
                reports.append(tag, frame).expect("invariant: numbered upwards, and shorter than a segment");
            });
            match applied {
                Applied::Event(request) => self.told = self.told.max(request),
                Applied::Senseless => metrics.senseless.inc(),
                Applied::Request(_) => {}
            }
            // What is not published cannot be let go.
            self.reports.publish();
        }
        let (open, wanted) = (self.desk.open_len(), self.wanted);
        tracing::info!(records = self.inputs.next_number() - 1, open, wanted, "the day so far");
        Ok(())
    }
}

/// What a day's reports depend on besides its inputs.
fn beginning(config: &Config) -> Vec<u8> {
    let numbers = [config.core_no, config.partition_first, config.partitions];
    [*b"TDADAPT1"].concat().into_iter().chain(numbers.into_iter().flat_map(u16::to_le_bytes)).collect()
}
