//! The one place that reads the clock.
#![allow(clippy::disallowed_methods)] // Everybody else takes time as an argument, from here.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Monotonic time, and the time of day that belongs to it.
///
/// The time of day is read once and carried on by the monotonic clock, so a step of the system's clock is taken
/// up only where [`Clock::follow_step`] is called. In a simulation both are the simulation's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin_ns: i64,
    /// Asked once: to ask allocates.
    simulated: bool,
}

/// A difference that is a step: far more than two readings of the clock, or a pause between them, are apart.
const STEP_NS: i64 = 500_000_000;

/// The day on which simulations begin: 2026-01-05 00:00:00 UTC, a Monday.
const SIMULATED_EPOCH_S: i64 = 1_767_571_200;

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let simulated = crate::simulated();
        Self { origin: Instant::now(), wall_origin_ns: wall_ns(simulated), simulated }
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

    /// Takes over the system's time of day if that was set meanwhile: if the two are more than half a second apart. What
    /// a time service corrects bit by bit it corrects in the monotonic clock too. Returns by how much, nanoseconds.
    pub fn follow_step(&mut self) -> Option<i64> {
        let step_ns = wall_ns(self.simulated) - self.wall_ns(self.now_ns());
        if step_ns.abs() <= STEP_NS {
            return None;
        }
        self.wall_origin_ns += step_ns;
        Some(step_ns)
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

fn wall_ns(simulated: bool) -> i64 {
    if simulated && let Some(elapsed) = crate::simulated_for() {
        return SIMULATED_EPOCH_S * 1_000_000_000 + elapsed.as_nanos() as i64;
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(SIMULATED_EPOCH_S * 1_000_000_000, |elapsed| elapsed.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_time_of_day_is_followed_once() {
        let mut clock = Clock::start();
        assert_eq!(clock.follow_step(), None);
        for step_ns in [3_600_000_000_000, -3_600_000_000_000] {
            clock.wall_origin_ns -= step_ns;
            let followed = clock.follow_step().expect("a step");
            assert!((followed - step_ns).abs() < STEP_NS, "{followed}");
            assert_eq!(clock.follow_step(), None);
        }
    }
}
