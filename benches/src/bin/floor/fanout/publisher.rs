//! The publisher: one thread, one connection, blocking writes. At a fixed rate it writes what is due; flat out it writes
//! batches, and is ahead of the slowest subscriber by a window at most.

use super::dialect::{CHANNEL, Dialect};
use loadgen::padded::Padded;
use loadgen::schedule::{Lag, Pacer, Schedule, Share};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
/// Messages of one write, at most.
const BATCH_MAX: u64 = 512;
/// The publisher is behind when it sends later than this after the due time.
pub(crate) const TOLERANCE_NS: u64 = 5_000_000;
/// How often the slowest subscriber is looked at while the window is full.
const PAUSE: Duration = Duration::from_micros(100);
/// Different securities in turn, as quotes are.
const SECURITIES: u32 = 100;

/// What publisher and readers know of each other.
#[derive(Default)]
pub(crate) struct Shared {
    /// Messages written.
    pub(crate) sent: AtomicU64,
    /// Messages that the slowest reader has.
    pub(crate) slowest: AtomicU64,
    /// No more, please.
    pub(crate) stop: AtomicBool,
    /// Nothing more will be written.
    pub(crate) done: AtomicBool,
}

/// When messages are published.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// When each is due.
    Open(Schedule),
    /// As fast as they are taken, so many ahead of the slowest subscriber.
    Flat { window: u64 },
}

/// Publishes to the end.
pub(crate) fn run(
    mut stream: TcpStream,
    dialect: &Dialect,
    size: usize,
    pace: Pace,
    clock: Clock,
    shared: &Shared,
) -> anyhow::Result<Lag> {
    let mut messages = Padded::new(CHANNEL, size, SECURITIES)?;
    let mut out = Vec::new();
    let mut write = |numbers: std::ops::Range<u64>| -> anyhow::Result<()> {
        out.clear();
        for number in numbers.clone() {
            dialect.publish(messages.frame(number), &mut out);
        }
        stream.write_all(&out)?;
        shared.sent.store(numbers.end - 1, Ordering::Release);
        Ok(())
    };
    let lag = match pace {
        Pace::Open(schedule) => {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
            let mut pacer = Pacer::new(schedule, Share::ALL, TOLERANCE_NS);
            while let Some(due_ns) = pacer.next_due_ns() {
                sleep(&timer, due_ns.saturating_sub(clock.now_ns()))?;
                let batch = pacer.take(clock.now_ns(), BATCH_MAX);
                if !batch.is_empty() {
                    write(batch.start + 1..batch.end + 1)?;
                }
                if shared.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            *pacer.lag()
        }
        Pace::Flat { window } => {
            let mut next = 1;
            while !shared.stop.load(Ordering::Relaxed) {
                let until = shared.slowest.load(Ordering::Relaxed).saturating_add(window) + 1;
                let end = until.min(next + BATCH_MAX);
                // Small writes would only be there because the window opens bit by bit.
                if end < next + BATCH_MAX.min(window / 4) {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                write(next..end)?;
                next = end;
            }
            Lag::new(TOLERANCE_NS)
        }
    };
    shared.done.store(true, Ordering::Release);
    Ok(lag)
}

fn sleep(timer: &OwnedFd, ns: u64) -> anyhow::Result<()> {
    if ns == 0 {
        return Ok(());
    }
    let it_value = Timespec { tv_sec: (ns / NS_PER_S) as i64, tv_nsec: (ns % NS_PER_S) as i64 };
    let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
    rustix::io::read(timer, &mut [0; 8])?;
    Ok(())
}
