//! A timer finer than the runtime's, whose wheel turns once a millisecond.

use crate::clock::Clock;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// One deadline at a time, kept by the kernel (timerfd); in a simulation by the simulated clock.
#[derive(Debug)]
pub struct Timer(Kind);

#[derive(Debug)]
enum Kind {
    Os(AsyncFd<OwnedFd>),
    Simulated(Pin<Box<tokio::time::Sleep>>),
}

/// Longer than any simulation runs.
const NEVER: std::time::Duration = std::time::Duration::from_secs(86_400 * 365);

impl Timer {
    /// A timer that never fires until it is set.
    ///
    /// # Errors
    /// What the system says: file limits.
    pub fn new() -> io::Result<Self> {
        if crate::simulated() {
            return Ok(Self(Kind::Simulated(Box::pin(tokio::time::sleep(NEVER)))));
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` names one open descriptor for as long as it lives, and `AsyncFd` owns it: the
        // descriptor is deregistered before it is closed, and never replaced.
        #[allow(unsafe_code)]
        let registered = unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE)? };
        Ok(Self(Kind::Os(registered)))
    }

    /// Fires once, at `at_ns` of the clock; at once if that is past. An earlier setting is forgotten.
    ///
    /// # Errors
    /// What the system says.
    pub fn set(&mut self, clock: &Clock, at_ns: u64) -> io::Result<()> {
        match &mut self.0 {
            Kind::Simulated(sleep) => sleep.as_mut().reset(clock.instant(at_ns)),
            Kind::Os(fd) => {
                // Zero would disarm it.
                let in_ns = at_ns.saturating_sub(clock.now_ns()).max(1);
                let value = Timespec {
                    tv_sec: (in_ns / 1_000_000_000) as i64,
                    tv_nsec: (in_ns % 1_000_000_000) as _,
                };
                let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
                timerfd_settime(fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            }
        }
        Ok(())
    }

    /// Ready once when it has fired.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Simulated(sleep) => {
                ready!(sleep.as_mut().poll(context));
                *sleep = Box::pin(tokio::time::sleep(NEVER));
                Poll::Ready(Ok(()))
            }
            Kind::Os(fd) => loop {
                let mut guard = ready!(fd.poll_read_ready(context))?;
                let mut expirations = [0; 8];
                match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                    Ok(read) => return Poll::Ready(read.map(|_| ())),
                    Err(_would_block) => {}
                }
            },
        }
    }
}
