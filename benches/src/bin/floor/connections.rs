//! Connections as such: how many can be opened, used once and closed in a second, and what memory those cost that stand idle.

use crate::process::{cpu_s, memory};
use anyhow::Context;
use loadgen::machine;
use loadgen::recorder::histogram;
use loadgen::report::{Percentiles, Report};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::Timespec;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
const MESSAGE: [u8; 128] = [b'.'; 128];
/// An answer that takes longer will not come.
const STUCK: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// A server is given so long to put things away before its memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// Opens connections to an echo, sends one message on each, and closes it when that is back
#[derive(clap::Args)]
pub(crate) struct StormArgs {
    /// The echo, or the proxy before it
    to: SocketAddr,
    /// Connections at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    sessions: u64,
    /// For how long, seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The proxy's process, whose CPU is told
    #[arg(long)]
    pid: Option<u32>,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Opens connections to an echo, uses each once and leaves them open: what the server's memory has grown by
#[derive(clap::Args)]
pub(crate) struct IdleArgs {
    /// The echo, or the proxy before it
    to: SocketAddr,
    /// Connections
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=28_000))]
    sessions: u64,
    /// The process that is looked at
    #[arg(long)]
    pid: u32,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One connection and how much of its message has come back.
struct Visit {
    stream: TcpStream,
    back: usize,
    began_ns: u64,
}

impl Visit {
    fn begin(to: SocketAddr, poll: &OwnedFd, number: u64, began_ns: u64) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(to).with_context(|| to.to_string())?;
        stream.set_nodelay(true)?;
        stream.write_all(&MESSAGE)?;
        stream.set_nonblocking(true)?;
        epoll::add(poll, &stream, EventData::new_u64(number), EventFlags::IN)?;
        Ok(Self { stream, back: 0, began_ns })
    }

    /// Takes what is there; whether all is back.
    fn read(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; MESSAGE.len()];
        match self.stream.read(&mut buffer) {
            Ok(0) => anyhow::bail!("a connection was closed before its message was back"),
            Ok(read) => self.back += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.back >= MESSAGE.len())
    }
}

/// Runs the storm; true, as each connection has got its answer.
pub(crate) fn storm(args: &StormArgs) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let mut report = Report::new("storm", clock.wall_ns(0) as f64 / NS_PER_S as f64);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let server_cpu_s = || args.pid.map(cpu_s).transpose();
    let (start_ns, own_s, server_s) = (clock.now_ns(), machine::cpu_seconds(), server_cpu_s()?);
    let end_ns = start_ns + args.seconds * NS_PER_S;
    let mut visits: Vec<Visit> = (0..args.sessions)
        .map(|number| Visit::begin(args.to, &poll, number, clock.now_ns()))
        .collect::<anyhow::Result<_>>()?;
    let (mut done, mut latency_ns) = (0_u64, histogram());
    let mut events: Vec<Event> = Vec::with_capacity(visits.len());
    while clock.now_ns() < end_ns {
        epoll::wait(&poll, spare_capacity(&mut events), Some(&STUCK))?;
        anyhow::ensure!(!events.is_empty(), "no answer in {} s", STUCK.tv_sec);
        for event in events.drain(..) {
            let number = event.data.u64();
            let visit = &mut visits[number as usize];
            if visit.read()? {
                let now_ns = clock.now_ns();
                latency_ns.saturating_record(now_ns - visit.began_ns);
                done += 1;
                *visit = Visit::begin(args.to, &poll, number, now_ns)?;
            }
        }
    }
    report.seconds = (clock.now_ns() - start_ns) as f64 / NS_PER_S as f64;
    report.cpu_s = machine::cpu_seconds() - own_s;
    (report.sent, report.received) = (done, done);
    report.achieved_per_s = done as f64 / report.seconds;
    report.latency_ns = Percentiles::from(&latency_ns);
    if let (Some(before), Some(after)) = (server_s, server_cpu_s()?) {
        report.figures.insert("server_cpu_us_per_connection", (after - before) / done as f64 * 1e6);
    }
    tell(&report, args.json.as_ref())
}

/// Opens the idle ones; true, as each has got its answer.
pub(crate) fn idle(args: &IdleArgs) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let mut report = Report::new("idle", clock.wall_ns(0) as f64 / NS_PER_S as f64);
    let before_bytes = memory(args.pid, "VmRSS")?;
    let mut streams = Vec::new();
    for _ in 0..args.sessions {
        let mut stream = TcpStream::connect(args.to).with_context(|| args.to.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(STUCK.tv_sec as u64)))?;
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut [0; MESSAGE.len()]).context("the answer")?;
        streams.push(stream);
    }
    std::thread::sleep(SETTLE);
    let grown = memory(args.pid, "VmRSS")? - before_bytes;
    report.figures.insert("server_memory_bytes_per_connection", grown / args.sessions as f64);
    tell(&report, args.json.as_ref())
}

fn tell(report: &Report, json: Option<&PathBuf>) -> anyhow::Result<bool> {
    print!("{report}");
    if let Some(path) = json {
        report.write_json(path).with_context(|| path.display().to_string())?;
    }
    Ok(true)
}
