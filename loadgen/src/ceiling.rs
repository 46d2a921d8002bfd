//! `loadgen ceiling`: what the generator itself can do on this machine: against servers that answer from nothing, so that what is
//! left is its own work and the kernel's.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use fix::session::Credentials;
use serde::Serialize;
use transport::{Clock, Connector};
use wire::szse::code::{ExecType, PlatformId, VERSION_MARKET_DATA, VERSION_TRADING};
use wire::szse::ext::{MarketDataRequest, MarketDataRequestAck, RequestStatus, SlowReaderPolicy};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::trading::{NewOrder, OrderReport, PlatformInfo, TradeReport};
use wire::szse::{Frame, GroupMessage, I32, I64, Password, Price, Qty, Text, U32, frame};

use crate::audience::Audience;
use crate::due::Due;
use crate::figures::rate;
use crate::machine::Machine;
use crate::padded::Padded;
use crate::progress::Progress;
use crate::recorder::Collector;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::subscriber;
use crate::trading::floor::Floor;
use crate::trading::plan::Plan;
use crate::trading::trader::{self, Protocol};
use crate::wait::wait;

/// Order sessions, and subscribers.
const SESSIONS: u64 = 8;
const SUBSCRIBERS: usize = 4;
/// Orders that each session has under way.
const IN_FLIGHT: u64 = 128;
/// More than can be sent: what is due never keeps the sessions waiting.
const RATE_PER_S: u64 = 4_000_000;
const CHANNEL: u16 = 2011;
const SIZE: usize = 128;
/// Frames of one write.
const BATCH: u64 = 512;
const READ_BYTES: usize = 64 << 10;
/// A peer that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// What the generator itself can do on this machine, against servers that answer from nothing: its figures of a real server
/// stand only well below
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How long each of the two parts takes, seconds
    #[arg(long, default_value_t = 4, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=20))]
    pub seconds: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What it can do.
#[derive(Clone, Debug, Serialize)]
pub struct Ceiling {
    /// Orders, each with its two reports.
    pub orders: Part,
    /// Quotes of 128 bytes, at subscribers.
    pub quotes: Part,
    /// On what.
    pub machine: Machine,
}

/// One of the two.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Part {
    /// Messages that went through the generator's one thread, sent and received.
    pub messages: u64,
    /// In so long, seconds.
    pub seconds: f64,
    /// CPU time that its thread used, seconds.
    pub cpu_s: f64,
    /// Messages a second, here, with the server on the same machine.
    pub messages_per_s: f64,
    /// Messages a second of the thread's CPU time.
    pub messages_per_core_s: f64,
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, part) in [("orders and reports", self.orders), ("quotes received", self.quotes)] {
            let (all, core) = (rate(part.messages_per_s), rate(part.messages_per_core_s));
            writeln!(f, "{name:<20}{all} beside the server, {core} of one core's time")?;
        }
        Ok(())
    }
}

/// Measures both.
///
/// # Errors
/// What kept it from running.
pub fn run(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Ceiling> {
    let seconds = Duration::from_secs(args.seconds);
    let ceiling = Ceiling {
        orders: orders(seconds, progress)?,
        quotes: quotes(seconds, progress)?,
        machine: Machine::this(),
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&ceiling)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(ceiling)
}

fn orders(seconds: Duration, progress: &mut Progress<impl Write>) -> anyhow::Result<Part> {
    let clock = Clock::start();
    let address = serve(SESSIONS as usize, move |stream| {
        let (mut line, mut desk) = (Line::new(stream, clock), Desk::default());
        loop {
            line.turn(&mut desk)?;
        }
    })?;
    let plan = Plan {
        sessions: SESSIONS,
        security_first: 1,
        securities: 500,
        price: Price::whole(10),
        margin_percent: 0,
        run: 1,
        account_prefix: "01000".to_owned(),
        comp_id_prefix: "client".to_owned(),
        password: Password::default(),
    };
    let setup = trader::Setup {
        address,
        connector: Connector::default(),
        protocol: Protocol::Binary,
        fix_logon: Credentials { username: String::new(), password: String::new() },
        plan,
        threads: 1,
        target_comp_id: Text::literal("gateway"),
        tolerance_ns: u64::MAX,
        in_flight_max: Some(IN_FLIGHT),
        from_sending: false,
        alone: true,
        clock,
    };
    let floor = Floor::start(&setup).context("the order sessions")?;
    wait(&clock, progress, "order sessions", || floor.state().ready, SESSIONS, || floor.closed())?;
    let planned = RATE_PER_S * seconds.as_secs();
    floor.begin(Schedule::new(clock.now_ns(), RATE_PER_S, planned))?;
    let through = || {
        let state = floor.state();
        state.sent + state.accepted + state.filled
    };
    let part = measured(&clock, seconds, "loadgen-order-0", through)?;
    floor.finish(planned, &mut Report::new("ceiling", 0.0))?;
    Ok(part)
}

fn quotes(seconds: Duration, progress: &mut Progress<impl Write>) -> anyhow::Result<Part> {
    let clock = Clock::start();
    let over = Arc::new(AtomicBool::new(false));
    let of_servers = over.clone();
    let address = serve(SUBSCRIBERS, move |stream| {
        let (mut line, mut studio) = (Line::new(stream, clock), Studio::default());
        while !studio.asked {
            line.turn(&mut studio)?;
        }
        broadcast(line.stream, &of_servers)
    })?;
    let setup = subscriber::Setup {
        address,
        connector: Connector::default(),
        count: SUBSCRIBERS,
        threads: 1,
        target_comp_id: Text::literal("feed"),
        channels: vec![CHANNEL],
        contents: None,
        policy: SlowReaderPolicy::DISCONNECT,
        snapshots: false,
        subscribe: true,
        clock,
    };
    let mut collector = Collector::new(1, 1);
    let audience = Audience::start(&setup, || collector.recorder(0)).context("the subscribers")?;
    wait(&clock, progress, "subscribers", || audience.ready(), audience.count(), || audience.closed_why())?;
    audience.date(Some(CHANNEL), &Due::rate(Schedule::new(clock.now_ns(), RATE_PER_S, u64::MAX), CHANNEL))?;
    let part = measured(&clock, seconds, "loadgen-sub-0", || audience.received());
    over.store(true, Ordering::Relaxed);
    let part = part?;
    audience.finish(&[], &mut collector)?;
    Ok(part)
}

/// How much goes through, and what CPU time a thread of this process uses meanwhile.
fn measured(
    clock: &Clock,
    seconds: Duration,
    thread: &str,
    through: impl Fn() -> u64,
) -> anyhow::Result<Part> {
    let look = || anyhow::Ok((clock.now_ns(), thread_cpu_ns(thread)?, through()));
    // The first orders meet cold caches and an empty kernel.
    std::thread::sleep(seconds / 10);
    let (from_ns, from_cpu_ns, from) = look()?;
    std::thread::sleep(seconds);
    let (to_ns, to_cpu_ns, to) = look()?;
    let (messages, seconds) = (to - from, (to_ns - from_ns) as f64 / 1e9);
    let cpu_s = (to_cpu_ns - from_cpu_ns) as f64 / 1e9;
    ensure!(messages > 0 && cpu_s > 0.0, "nothing went through {thread}");
    let [messages_per_s, messages_per_core_s] = [seconds, cpu_s].map(|seconds| messages as f64 / seconds);
    Ok(Part { messages, seconds, cpu_s, messages_per_s, messages_per_core_s })
}

/// What a thread of this process has used, nanoseconds (proc(5), `schedstat`).
fn thread_cpu_ns(name: &str) -> anyhow::Result<u64> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // It may have ended since the folder was read.
        let Ok(comm) = std::fs::read_to_string(task.join("comm")) else { continue };
        if comm.trim_end() == name {
            let stat = std::fs::read_to_string(task.join("schedstat"))?;
            let on_cpu = stat.split(' ').next().and_then(|ns| ns.parse().ok());
            return on_cpu.with_context(|| format!("schedstat says {stat:?}"));
        }
    }
    anyhow::bail!("there is no thread {name}")
}

/// Serves `count` connections, each on a thread of its own.
fn serve(
    count: usize,
    each: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(crate::house::free_port()).context("a bare server")?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("bare".into()).spawn(move || {
        for stream in listener.incoming().take(count).flatten() {
            let each = each.clone();
            std::thread::spawn(move || {
                let served = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(SILENCE)));
                if let Err(error) = served.and_then(|()| each(stream)) {
                    tracing::debug!(%error, "a bare server's connection ended");
                }
            });
        }
    })?;
    Ok(address)
}

/// What a bare server says.
trait Bare {
    /// DefaultApplVerID of its logon.
    const VERSION: Text<32>;
    /// Says what follows a logon.
    fn greet(&mut self, out: &mut Vec<u8>);
    /// Answers a message.
    fn answer(&mut self, message: &Frame<'_>, out: &mut Vec<u8>);
}

/// Accepts and fills every order.
#[derive(Default)]
struct Desk {
    index: i64,
}

impl Bare for Desk {
    const VERSION: Text<32> = VERSION_TRADING;

    fn greet(&mut self, out: &mut Vec<u8>) {
        let info = PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &[I32::new(1)] };
        info.encode(out).expect("invariant: one partition");
    }

    fn answer(&mut self, message: &Frame<'_>, out: &mut Vec<u8>) {
        let Ok(order) = message.view::<NewOrder>() else { return };
        let mut accepted =
            OrderReport { cl_ord_id: order.cl_ord_id, exec_type: ExecType::NEW, ..OrderReport::default() };
        let mut filled =
            TradeReport { cl_ord_id: order.cl_ord_id, leaves_qty: Qty::ZERO, ..TradeReport::default() };
        for base in [&mut accepted.base, &mut filled.base] {
            self.index += 1;
            base.partition_no = I32::new(1);
            base.report_index = I64::new(self.index);
        }
        frame::encode(&accepted, out);
        frame::encode(&filled, out);
    }
}

/// Takes a subscription.
#[derive(Default)]
struct Studio {
    asked: bool,
}

impl Bare for Studio {
    const VERSION: Text<32> = VERSION_MARKET_DATA;

    fn greet(&mut self, _out: &mut Vec<u8>) {}

    fn answer(&mut self, message: &Frame<'_>, out: &mut Vec<u8>) {
        if message.msg_type == <MarketDataRequest<'_> as GroupMessage<'_>>::MSG_TYPE {
            self.asked = true;
            let (request_id, status) = (U32::new(1), RequestStatus::ACCEPTED);
            frame::encode(&MarketDataRequestAck { request_id, status, text: Text::BLANK }, out);
        }
    }
}

/// A bare server's end of a session.
struct Line {
    stream: TcpStream,
    session: Session,
    clock: Clock,
    read: Vec<u8>,
    out: Vec<u8>,
}

impl Line {
    fn new(stream: TcpStream, clock: Clock) -> Self {
        let session = Session::acceptor(Limits::default(), clock.now_ns());
        Self { stream, session, clock, read: Vec::new(), out: Vec::new() }
    }

    /// Takes one read and answers what is whole of it.
    fn turn<B: Bare>(&mut self, bare: &mut B) -> io::Result<()> {
        let Self { stream, session, clock, read, out } = self;
        let held = read.len();
        read.resize(held + READ_BYTES, 0);
        let got = stream.read(&mut read[held..])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.truncate(held + got);
        let (mut taken, now_ns) = (0, clock.now_ns());
        while let Some(received) =
            session.receive(&read[taken..], now_ns, out).map_err(|error| io::Error::other(error.text()))?
        {
            taken += received.consumed;
            match received.event {
                Event::LogonRequest(_) => {
                    session.accept(B::VERSION, now_ns, out);
                    bare.greet(out);
                }
                Event::Message(message) => bare.answer(&message, out),
                _ => {}
            }
        }
        read.drain(..taken);
        stream.write_all(out)?;
        out.clear();
        Ok(())
    }
}

/// Sends quotes as fast as they are taken, until it is over.
fn broadcast(mut stream: TcpStream, over: &AtomicBool) -> io::Result<()> {
    let mut quotes = Padded::new(CHANNEL, SIZE, 100).map_err(io::Error::other)?;
    let (mut number, mut batch) = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        batch.clear();
        for _ in 0..BATCH {
            number += 1;
            batch.extend_from_slice(quotes.frame(number));
        }
        stream.write_all(&batch)?;
    }
    Ok(())
}
