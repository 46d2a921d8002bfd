//! As many bytes as go: a server that sends without end, and the client that reads from several connections at once.

use crate::process::cpu_s;
use anyhow::Context;
use loadgen::machine;
use loadgen::report::Report;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::Timespec;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
/// Not measured at first.
const WARM_UP_NS: u64 = NS_PER_S / 4;
/// What one write or read takes at most.
const PIECE: usize = 256 << 10;
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Reads as much as comes from a source, directly or through a proxy
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The source, or the proxy before it
    from: SocketAddr,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    sessions: u64,
    /// How long it is measured, seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// The proxy's process, whose CPU is told
    #[arg(long)]
    pid: Option<u32>,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Sends on each connection until its reader is gone. Runs until it is killed.
pub(crate) fn source(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| listen.to_string())?;
    loop {
        let (mut stream, _) = listener.accept().context("accept")?;
        std::thread::spawn(move || {
            let piece = vec![b'.'; PIECE];
            while stream.write_all(&piece).is_ok() {}
        });
    }
}

/// Runs it; true, as nothing can be missing.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let mut report = Report::new("bulk", clock.wall_ns(0) as f64 / NS_PER_S as f64);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for number in 0..args.sessions {
        let stream = TcpStream::connect(args.from).with_context(|| args.from.to_string())?;
        stream.set_nonblocking(true)?;
        epoll::add(&poll, &stream, EventData::new_u64(number), EventFlags::IN)?;
        streams.push(stream);
    }
    let mut buffer = vec![0; PIECE];
    let mut read_until = |until_ns: u64| -> anyhow::Result<u64> {
        let mut bytes = 0;
        let mut events: Vec<Event> = Vec::with_capacity(streams.len());
        while clock.now_ns() < until_ns {
            epoll::wait(&poll, spare_capacity(&mut events), Some(&LOOK))?;
            for event in events.drain(..) {
                let read = streams[event.data.u64() as usize].read(&mut buffer)?;
                anyhow::ensure!(read > 0, "a connection was closed");
                bytes += read as u64;
            }
        }
        Ok(bytes)
    };
    let server_cpu_s = || args.pid.map(cpu_s).transpose();
    read_until(clock.now_ns() + WARM_UP_NS)?;
    let (start_ns, own_s, server_s) = (clock.now_ns(), machine::cpu_seconds(), server_cpu_s()?);
    let bytes = read_until(start_ns + args.seconds * NS_PER_S)? as f64;
    report.seconds = (clock.now_ns() - start_ns) as f64 / NS_PER_S as f64;
    report.cpu_s = machine::cpu_seconds() - own_s;
    report.figures.insert("bytes_per_s", bytes / report.seconds);
    if let (Some(before), Some(after)) = (server_s, server_cpu_s()?) {
        report.figures.insert("server_cpu_s_per_gb", (after - before) / (bytes / 1e9));
    }
    print!("{report}");
    if let Some(path) = &args.json {
        report.write_json(path).with_context(|| path.display().to_string())?;
    }
    Ok(true)
}
