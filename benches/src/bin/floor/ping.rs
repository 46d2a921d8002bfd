//! The client of an echo: messages of one size over several connections, open loop, or with a fixed number under way.

use anyhow::Context;
use loadgen::ledger::Tally;
use loadgen::machine;
use loadgen::recorder::histogram;
use loadgen::report::{ConnectionTotal, Percentiles, Report, ScheduleLag, Spread};
use loadgen::schedule::{Lag, Pacer, Schedule, Share};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
const EVENTS_MAX: usize = 256;
/// The timer's number among the events.
const TIMER: u64 = u64::MAX;
const READ_MAX: usize = 64 << 10;
/// Messages that one turn may send, so that answers are read in between.
const BATCH_MAX: u64 = 256;
/// Between the connections and the first message; a closed loop runs meanwhile, and what it does in it does not count.
const LEAD_NS: u64 = 200_000_000;
/// So long after the last message, and what is missing will not come.
const QUIET_NS: u64 = 2 * NS_PER_S;
/// The sender is behind when it sends later than this after the due time.
const TOLERANCE_NS: u64 = 5_000_000;

/// Sends messages to an echo and takes the time until each is back, from when it was due
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The echo, or the first relay before it
    to: SocketAddr,
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    sessions: u64,
    /// Messages a second, over all connections
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Closed loop instead: so many under way on each connection, as fast as they come back
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    in_flight: Option<u64>,
    /// How long messages are sent, seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 121, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    size: u64,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

struct Session {
    stream: TcpStream,
    /// When those under way were due.
    under_way: VecDeque<u64>,
    /// Bytes of the next message that have come back.
    begun: usize,
    /// Bytes that the socket has not taken yet.
    waiting: Vec<u8>,
    total: ConnectionTotal,
}

struct Ping {
    poll: OwnedFd,
    /// epoll alone wakes by the millisecond: the client would be later than the servers are slow.
    timer: OwnedFd,
    sessions: Vec<Session>,
    clock: Clock,
    message: Vec<u8>,
    latency_ns: hdrhistogram::Histogram<u64>,
    received: u64,
}

/// How much had come back at a moment.
#[derive(Clone, Copy)]
struct Mark {
    at_ns: u64,
    received: u64,
}

/// Runs it; whether everything was sent in its time and came back.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let mut report = Report::new("ping", clock.wall_ns(0) as f64 / NS_PER_S as f64);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    epoll::add(&poll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
    let mut ping = Ping {
        poll,
        timer,
        sessions: Vec::new(),
        clock,
        message: vec![b'.'; args.size as usize],
        latency_ns: histogram(),
        received: 0,
    };
    for _ in 0..args.sessions {
        ping.connect(args.to)?;
    }
    let cpu_s = machine::cpu_seconds();
    let start_ns = clock.now_ns() + LEAD_NS;
    let (sent, planned, lag, [from, to]) = match args.in_flight {
        Some(in_flight) => {
            let (sent, marks) = ping.closed_loop(in_flight, start_ns, start_ns + args.seconds * NS_PER_S)?;
            let mut lag = Lag::new(TOLERANCE_NS);
            lag.sent(sent, 0);
            (sent, sent, lag, marks)
        }
        None => {
            let schedule = Schedule::new(start_ns, args.rate, args.rate * args.seconds);
            let (sent, lag) = ping.open_loop(schedule)?;
            let marks = [Mark { at_ns: start_ns, received: 0 }, ping.mark()];
            (sent, schedule.count(), lag, marks)
        }
    };
    report.cpu_s = machine::cpu_seconds() - cpu_s;
    report.seconds = (to.at_ns - from.at_ns).max(1) as f64 / NS_PER_S as f64;
    report.offered_per_s = if args.in_flight.is_some() { 0.0 } else { args.rate as f64 };
    report.achieved_per_s = (to.received - from.received) as f64 / report.seconds;
    report.sent = sent;
    report.account(Tally {
        expected: sent,
        received: ping.received,
        lost: sent - ping.received,
        ..Tally::default()
    });
    report.latency_ns = Percentiles::from(&ping.latency_ns);
    report.schedule = ScheduleLag::of(&lag, planned);
    let totals: Vec<_> = ping.sessions.iter().map(|session| session.total).collect();
    report.connections = Spread::of(&totals);
    print!("{report}");
    if let Some(path) = &args.json {
        report.write_json(path).with_context(|| path.display().to_string())?;
    }
    Ok(report.is_clean() && report.sent_as_planned())
}

impl Ping {
    fn connect(&mut self, to: SocketAddr) -> anyhow::Result<()> {
        let stream = TcpStream::connect(to).with_context(|| to.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let number = epoll::EventData::new_u64(self.sessions.len() as u64);
        epoll::add(&self.poll, &stream, number, epoll::EventFlags::IN)?;
        let (under_way, waiting) = (VecDeque::new(), Vec::new());
        self.sessions.push(Session {
            stream,
            under_way,
            begun: 0,
            waiting,
            total: ConnectionTotal::default(),
        });
        Ok(())
    }

    fn open_loop(&mut self, schedule: Schedule) -> anyhow::Result<(u64, Lag)> {
        let mut pacer = Pacer::new(schedule, Share::ALL, TOLERANCE_NS);
        let mut last_ns = schedule.end_ns();
        loop {
            let now_ns = self.clock.now_ns();
            for index in pacer.take(now_ns, BATCH_MAX) {
                let at = (index % self.sessions.len() as u64) as usize;
                self.send(at, schedule.due_ns(index))?;
            }
            let all = self.received == schedule.count();
            if all || now_ns > last_ns + QUIET_NS {
                return Ok((pacer.sent(), *pacer.lag()));
            }
            let until_ns = pacer.next_due_ns().unwrap_or(last_ns + QUIET_NS);
            if self.turn(until_ns.saturating_sub(self.clock.now_ns()))? {
                last_ns = last_ns.max(now_ns);
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark { at_ns: self.clock.now_ns(), received: self.received }
    }

    /// Begins at once and ends at `end_ns`; how much was sent, and the marks at `start_ns` and `end_ns`, between which it is measured.
    fn closed_loop(
        &mut self,
        in_flight: u64,
        start_ns: u64,
        end_ns: u64,
    ) -> anyhow::Result<(u64, [Mark; 2])> {
        let (mut sent, mut first, mut end) = (0, None, None);
        let mut last_ns = end_ns;
        loop {
            let now_ns = self.clock.now_ns();
            if first.is_none() && now_ns >= start_ns {
                first = Some(self.mark());
                self.latency_ns.reset();
            }
            if end.is_none() && now_ns >= end_ns {
                end = Some(self.mark());
            }
            for at in 0..self.sessions.len() {
                while now_ns < end_ns && (self.sessions[at].under_way.len() as u64) < in_flight {
                    self.send(at, now_ns)?;
                    sent += 1;
                }
            }
            if now_ns >= end_ns && (self.received == sent || now_ns > last_ns + QUIET_NS) {
                let marks = first.zip(end).context("invariant: the end is after the start")?;
                return Ok((sent, marks.into()));
            }
            if self.turn(NS_PER_S / 10)? {
                last_ns = last_ns.max(now_ns);
            }
        }
    }

    /// Waits for answers for so long, and takes them; whether any came.
    fn turn(&mut self, wait_ns: u64) -> anyhow::Result<bool> {
        for session in self.sessions.iter_mut().filter(|session| !session.waiting.is_empty()) {
            session.flush()?;
        }
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        // 0 would disarm it; setting it clears what it told before.
        let wait_ns = wait_ns.max(1);
        let it_value = Timespec { tv_sec: (wait_ns / NS_PER_S) as i64, tv_nsec: (wait_ns % NS_PER_S) as i64 };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        epoll::wait(&self.poll, spare_capacity(&mut events), None)?;
        let mut any = false;
        for event in events.iter().filter(|event| event.data.u64() != TIMER) {
            self.take(event.data.u64() as usize)?;
            any = true;
        }
        Ok(any)
    }

    fn send(&mut self, at: usize, due_ns: u64) -> anyhow::Result<()> {
        let session = &mut self.sessions[at];
        session.under_way.push_back(due_ns);
        session.waiting.extend_from_slice(&self.message);
        session.flush()
    }

    fn take(&mut self, at: usize) -> anyhow::Result<()> {
        let session = &mut self.sessions[at];
        let mut buffer = [0; READ_MAX];
        let read = match session.stream.read(&mut buffer) {
            Ok(0) => anyhow::bail!("the echo has closed a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now_ns = self.clock.now_ns();
        session.begun += read;
        while session.begun >= self.message.len() {
            session.begun -= self.message.len();
            let due_ns = session.under_way.pop_front().context("more came back than was sent")?;
            let latency_ns = now_ns.saturating_sub(due_ns);
            self.latency_ns.saturating_record(latency_ns);
            session.total.received += 1;
            session.total.latency_sum_ns += u128::from(latency_ns);
            self.received += 1;
        }
        Ok(())
    }
}

impl Session {
    fn flush(&mut self) -> anyhow::Result<()> {
        match self.stream.write(&self.waiting) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
