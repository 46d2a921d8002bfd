//! `floor fanout`: the publisher and the subscribers of any fan-out server, the same for all, so that in two runs only the
//! server differs. Two threads: one publishes, one reads from all subscribers' sockets.

mod dialect;
mod publisher;
mod reader;

use crate::process::{cpu_s, memory};
use anyhow::Context;
use dialect::{Dialect, Server};
use gm::tls::{Mode, provider};
use hdrhistogram::Histogram;
use loadgen::ledger::Tally;
use loadgen::machine;
use loadgen::recorder::histogram;
use loadgen::report::{ConnectionTotal, Percentiles, Report, ScheduleLag, Spread};
use loadgen::schedule::Schedule;
use publisher::{Pace, Shared};
use reader::Reader;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::Timespec;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
const LEAD_NS: u64 = 200_000_000;
/// Flat out: not measured at first.
const WARM_UP_NS: u64 = NS_PER_S / 2;
/// So long nothing after the last message, and what is missing will not come.
const QUIET_NS: u64 = 2 * NS_PER_S;
/// So long nothing while there is still something to send.
const STUCK_NS: u64 = 30 * NS_PER_S;
/// A server that does not say when a subscription stands is given so long.
const SETTLE: Duration = Duration::from_millis(500);
const READ_MAX: usize = 128 << 10;
const EVENTS_MAX: usize = 256;
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Publishes to a fan-out server and reads it back at many subscribers: open loop at a rate, latency from when each
/// message was due; or flat out
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is measured
    #[arg(value_enum)]
    server: Server,
    /// Where subscribers connect
    subscribe: SocketAddr,
    /// Where the publisher connects; for a feed, where it listens as the feed's source
    publish: SocketAddr,
    /// Subscribers, each with a connection of its own
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    subscribers: u64,
    /// How many of them stop reading before the first message
    #[arg(long, default_value_t = 0)]
    stalled: u64,
    /// Messages a second; without it flat out
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Flat out: messages that the publisher may be ahead of the slowest subscriber
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(16..))]
    window: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// How long it is measured, seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// The server's process, whose CPU and memory are told
    #[arg(long)]
    pid: u32,
    /// Read over ShangMi TLS, the server's certificate checked by this authority, PEM
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What the server has used, at a moment.
#[derive(Clone, Copy)]
struct Mark {
    at_ns: u64,
    received: u64,
    cpu_s: f64,
}

struct Fanout {
    pid: u32,
    clock: Clock,
    dialect: Dialect,
    poll: OwnedFd,
    /// Those that read; the stalled ones are apart.
    readers: Vec<Option<Reader>>,
    gone: Vec<Reader>,
    /// The last number of each reader, for the slowest.
    last: Vec<u64>,
    received: u64,
    latency_ns: Histogram<u64>,
    buffer: Vec<u8>,
}

/// Runs it; whether everything was sent in its time and came, in order.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    anyhow::ensure!(args.stalled < args.subscribers, "somebody has to read");
    let clock = Clock::start();
    let mut report = Report::new("fanout", clock.wall_ns(0) as f64 / NS_PER_S as f64);
    let tls = args.ca.as_deref().map(shangmi).transpose()?;
    let dialect = Dialect::new(args.server, args.size);
    let mut publisher = publisher_stream(args)?;
    dialect.begin_publishing(&mut publisher).context("the publisher's beginning")?;
    let before_bytes = memory(args.pid, "VmRSS")?;
    let connect = |number| {
        Reader::connect(args.subscribe, tls.as_ref(), &dialect, number as usize)
            .with_context(|| format!("subscriber {number}"))
    };
    let stalled: Vec<Reader> = (0..args.stalled).map(connect).collect::<anyhow::Result<_>>()?;
    let readers: Vec<Reader> =
        (args.stalled..args.subscribers).map(connect).collect::<anyhow::Result<_>>()?;
    std::thread::sleep(SETTLE);
    let connected_bytes = memory(args.pid, "VmRSS")?;

    let mut fanout = Fanout::new(args.pid, clock, dialect, readers)?;
    let shared = Arc::new(Shared::default());
    let start_ns = clock.now_ns() + LEAD_NS;
    let pace = match args.rate {
        Some(rate) => Pace::Open(Schedule::new(start_ns, rate, rate * args.seconds)),
        None => Pace::Flat { window: args.window },
    };
    drain(&publisher)?;
    let of_publisher = (Dialect::new(args.server, args.size), shared.clone(), args.size);
    let thread = std::thread::spawn(move || {
        let (dialect, shared, size) = of_publisher;
        let lag = publisher::run(publisher, &dialect, size, pace, clock, &shared);
        shared.done.store(true, Ordering::Release);
        lag
    });
    let cpu_s = machine::cpu_seconds();
    let (first, end) = match pace {
        Pace::Open(schedule) => fanout.open_loop(schedule, &shared)?,
        Pace::Flat { .. } => fanout.flat_out(args.seconds * NS_PER_S, &shared)?,
    };
    report.cpu_s = machine::cpu_seconds() - cpu_s;
    let largest_bytes = memory(args.pid, "VmHWM").unwrap_or(0.0);
    // A publisher that the server holds up would never end.
    shared.stop.store(true, Ordering::Relaxed);
    if !shared.done.load(Ordering::Acquire) {
        anyhow::bail!("the publisher is stuck after {} messages", shared.sent.load(Ordering::Acquire));
    }
    let lag = thread.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
    drop(stalled);

    report.sent = shared.sent.load(Ordering::Acquire);
    let planned = match pace {
        Pace::Open(schedule) => schedule.count(),
        Pace::Flat { .. } => lag.sent,
    };
    report.schedule = ScheduleLag::of(&lag, planned);
    fanout.account(args, &mut report, first, end);
    report.figures.extend([
        ("server_memory_bytes", largest_bytes),
        ("server_memory_bytes_per_connection", (connected_bytes - before_bytes) / args.subscribers as f64),
    ]);
    print!("{report}");
    if let Some(path) = &args.json {
        report.write_json(path).with_context(|| path.display().to_string())?;
    }
    Ok(report.is_clean() && report.sent_as_planned())
}

impl Fanout {
    fn new(pid: u32, clock: Clock, dialect: Dialect, readers: Vec<Reader>) -> anyhow::Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, reader) in (0..).zip(&readers) {
            epoll::add(&poll, reader.tcp(), EventData::new_u64(number), EventFlags::IN)?;
        }
        Ok(Self {
            pid,
            clock,
            dialect,
            poll,
            last: vec![0; readers.len()],
            readers: readers.into_iter().map(Some).collect(),
            gone: Vec::new(),
            received: 0,
            latency_ns: histogram(),
            buffer: vec![0; READ_MAX],
        })
    }

    /// Until everything that is due has come to everybody.
    fn open_loop(&mut self, schedule: Schedule, shared: &Shared) -> anyhow::Result<(Mark, Mark)> {
        let first = Mark { at_ns: schedule.due_ns(0), ..self.mark()? };
        let mut last_ns = schedule.due_ns(0);
        loop {
            let now_ns = self.clock.now_ns();
            let before = self.received;
            self.turn(shared, Some(schedule))?;
            if self.received > before {
                last_ns = now_ns;
            }
            let done = shared.done.load(Ordering::Acquire);
            let all = done && shared.slowest.load(Ordering::Relaxed) >= shared.sent.load(Ordering::Acquire);
            if all || now_ns > last_ns + if done { QUIET_NS } else { STUCK_NS } {
                let end = self.mark()?;
                return Ok((first, if all { end } else { Mark { at_ns: last_ns, ..end } }));
            }
        }
    }

    /// So long, behind a beginning that does not count.
    fn flat_out(&mut self, for_ns: u64, shared: &Shared) -> anyhow::Result<(Mark, Mark)> {
        let (mut first, mut end) = (None, None);
        let from_ns = self.clock.now_ns() + WARM_UP_NS;
        let mut last_ns = from_ns;
        loop {
            let now_ns = self.clock.now_ns();
            if first.is_none() && now_ns >= from_ns {
                first = Some(self.mark()?);
            }
            if end.is_none() && now_ns >= from_ns + for_ns {
                end = Some(self.mark()?);
                shared.stop.store(true, Ordering::Relaxed);
            }
            let before = self.received;
            self.turn(shared, None)?;
            if self.received > before {
                last_ns = now_ns;
            }
            let done = shared.done.load(Ordering::Acquire);
            let all = done && shared.slowest.load(Ordering::Relaxed) >= shared.sent.load(Ordering::Acquire);
            if all || now_ns > last_ns + QUIET_NS {
                let ends = first.zip(end).context("the server stopped before the end")?;
                return Ok(ends);
            }
        }
    }

    /// Waits for what comes, a moment at most, and takes it.
    fn turn(&mut self, shared: &Shared, schedule: Option<Schedule>) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        epoll::wait(&self.poll, spare_capacity(&mut events), Some(&LOOK))?;
        for event in events {
            let at = event.data.u64() as usize;
            let Some(reader) = &mut self.readers[at] else { continue };
            let mut now_ns = None;
            let Self { clock, latency_ns, received, .. } = self;
            let open = reader.read(&mut self.buffer, &self.dialect, |number| {
                *received += 1;
                if let Some(schedule) = schedule {
                    let now_ns = *now_ns.get_or_insert_with(|| clock.now_ns());
                    latency_ns.saturating_record(now_ns.saturating_sub(schedule.due_ns(number - 1)));
                }
            })?;
            self.last[at] = if open { reader.last } else { u64::MAX };
            if !open {
                self.gone.extend(self.readers[at].take());
            }
        }
        shared.slowest.store(self.last.iter().copied().min().unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// What arrived, and what it took.
    fn account(&self, args: &Args, report: &mut Report, first: Mark, end: Mark) {
        let deliveries = (end.received - first.received) as f64;
        report.seconds = (end.at_ns - first.at_ns) as f64 / NS_PER_S as f64;
        report.offered_per_s = args.rate.unwrap_or(0) as f64;
        report.achieved_per_s = deliveries / report.seconds;
        let expected = report.sent * (args.subscribers - args.stalled);
        report.account(Tally {
            expected,
            received: self.received,
            lost: expected - self.received.min(expected),
            out_of_order: self.every().map(|reader| reader.out_of_order).sum(),
            ..Tally::default()
        });
        report.latency_ns = Percentiles::from(&self.latency_ns);
        report.connections = Spread::of(&self.totals());
        report.figures.insert("server_cpu_us_per_delivery", (end.cpu_s - first.cpu_s) / deliveries * 1e6);
        report.figures.insert("size_bytes", args.size as f64);
    }

    fn mark(&self) -> anyhow::Result<Mark> {
        Ok(Mark { at_ns: self.clock.now_ns(), received: self.received, cpu_s: cpu_s(self.pid)? })
    }

    fn every(&self) -> impl Iterator<Item = &Reader> {
        self.readers.iter().flatten().chain(&self.gone)
    }

    fn totals(&self) -> Vec<ConnectionTotal> {
        let total = |reader: &Reader, closed| ConnectionTotal {
            received: reader.received,
            closed,
            ..ConnectionTotal::default()
        };
        let open = self.readers.iter().flatten().map(|reader| total(reader, false));
        open.chain(self.gone.iter().map(|reader| total(reader, true))).collect()
    }
}

fn publisher_stream(args: &Args) -> anyhow::Result<TcpStream> {
    let stream = if args.server == Server::Feed {
        TcpListener::bind(args.publish).with_context(|| args.publish.to_string())?.accept()?.0
    } else {
        TcpStream::connect(args.publish).with_context(|| args.publish.to_string())?
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads what the server tells its publisher, so that it is not held up.
fn drain(publisher: &TcpStream) -> anyhow::Result<()> {
    let mut stream = publisher.try_clone()?;
    std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    Ok(())
}

fn shangmi(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).with_context(|| ca.display().to_string())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(provider(Mode::Strict)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
