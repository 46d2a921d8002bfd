//! The one place that reads the clock.
#![allow(clippy::disallowed_methods)] // Everybody else takes time as an argument, from here.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Monotonic time, and the time of day that belongs to it.
///
/// The time of day is read once and carried on by the monotonic clock, so a step of the system's clock never
/// reorders events of one process; [`Clock::resynchronise`] takes up a step on purpose. In a simulation both are the
/// simulation's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin_ns: i64,
}

/// The day on which simulations begin: 2026-01-05 00:00:00 UTC, a Monday.
const SIMULATED_EPOCH_S: i64 = 1_767_571_200;

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), wall_origin_ns: wall_ns() }
    }

    /// Nanoseconds since this clock was started.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Time of day at `now_ns` of this clock: nanoseconds since 1970-01-01 00:00 UTC.
    #[inline]
    pub fn wall_ns(&self, now_ns: u64) -> i64 {
        self.wall_origin_ns + now_ns as i64
    }

    /// Takes over the system's time of day as it is now.
    pub fn resynchronise(&mut self) {
        self.wall_origin_ns = wall_ns() - self.now_ns() as i64;
    }

    /// The runtime's instant for a time of this clock.
    pub fn instant(&self, at_ns: u64) -> Instant {
        self.origin + std::time::Duration::from_nanos(at_ns)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

fn wall_ns() -> i64 {
    #[cfg(feature = "sim")]
    if let Some(elapsed) = turmoil::sim_elapsed() {
        return SIMULATED_EPOCH_S * 1_000_000_000 + elapsed.as_nanos() as i64;
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(SIMULATED_EPOCH_S * 1_000_000_000, |elapsed| elapsed.as_nanos() as i64)
}
