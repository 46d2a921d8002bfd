//! Who is up: asks each backend for a connection, again and again.

use std::sync::Arc;
use std::time::Duration;

use service::{Phase, Shutdown};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use transport::Connector;

use crate::config::HealthConfig;
use crate::pool::Pool;

/// Judges one backend by its answers.
#[derive(Debug)]
pub(crate) struct Judge {
    up: bool,
    /// Answers in a row that speak against the present judgement.
    streak: u32,
    rise: u32,
    fall: u32,
}

impl Judge {
    /// A backend counts as up until it has failed often enough: a balancer that starts takes
    /// connections at once, and a failed connect goes on to another backend anyhow.
    pub(crate) fn new(config: HealthConfig) -> Self {
        Self { up: true, streak: 0, rise: config.rise, fall: config.fall }
    }

    /// Takes in one answer; says the new judgement when it changes.
    pub(crate) fn record(&mut self, good: bool) -> Option<bool> {
        if good == self.up {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < if self.up { self.fall } else { self.rise } {
            return None;
        }
        self.streak = 0;
        self.up = good;
        Some(good)
    }
}

/// Watches all backends of all pools until the server drains: then nobody is chosen any more.
pub(crate) async fn watch(pools: Vec<Arc<Pool>>, shutdown: Shutdown) {
    let mut checks = JoinSet::new();
    for pool in pools {
        for backend in 0..pool.backends().len() {
            checks.spawn(watch_backend(Arc::clone(&pool), backend));
        }
    }
    shutdown.reached(Phase::Draining).await;
}

async fn watch_backend(pool: Arc<Pool>, at: usize) {
    let config = pool.health();
    let backend = &pool.backends()[at];
    let timeout = Duration::from_millis(config.timeout_ms);
    let mut judge = Judge::new(config);
    let mut ticks = tokio::time::interval(Duration::from_millis(config.interval_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = Connector::default().dial(backend.address(), timeout).await;
        let count =
            if answer.is_ok() { &backend.metrics.checks_good } else { &backend.metrics.checks_failed };
        count.inc();
        if let Some(up) = judge.record(answer.is_ok()) {
            let why = answer.err().map_or_else(|| "answers again".to_owned(), |error| error.to_string());
            tracing::warn!(pool = pool.name(), backend = backend.name(), up, why, "health");
            pool.set_up(at, up);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(rise: u32, fall: u32, answers: &[bool]) -> Vec<Option<bool>> {
        let mut judge = Judge::new(HealthConfig { rise, fall, ..HealthConfig::default() });
        answers.iter().map(|&good| judge.record(good)).collect()
    }

    #[test]
    fn failures_in_a_row_take_it_out_and_answers_in_a_row_bring_it_back() {
        assert_eq!(
            changes(2, 3, &[false, false, false, false, true, true, true]),
            [None, None, Some(false), None, None, Some(true), None]
        );
    }

    #[test]
    fn one_answer_between_starts_the_count_again() {
        assert_eq!(changes(3, 2, &[false, true, false, true, false]), [None; 5]);
        assert_eq!(changes(1, 1, &[false, true]), [Some(false), Some(true)]);
    }
}
