//! Who is up: asks each backend, again and again; and what else a backend's state needs in time: the end of
//! its being left out, and of its connections when it has drained for long enough.

use std::sync::Arc;
use std::time::Duration;

use service::{Phase, Shutdown};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::backend::Backend;
use crate::check::{CheckError, ask};
use crate::config::HealthConfig;
use crate::control::Control;
use crate::pool::Pool;

/// Judges one backend by its answers.
#[derive(Debug)]
pub(crate) struct Judge {
    up: bool,
    /// Answers in a row that speak against the present judgement.
    streak: u32,
}

impl Judge {
    /// Begins with what the backend counts as: it is up until it has failed often enough, as a balancer that starts takes
    /// connections at once, and a failed connect goes on to another backend anyhow.
    pub(crate) fn new(up: bool) -> Self {
        Self { up, streak: 0 }
    }

    /// Takes in one answer; says the new judgement when it changes.
    pub(crate) fn record(&mut self, good: bool, health: &HealthConfig) -> Option<bool> {
        if good == self.up {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < if self.up { health.fall } else { health.rise } {
            return None;
        }
        self.streak = 0;
        self.up = good;
        Some(good)
    }
}

/// Watches all backends of all pools, as the configuration changes, until the server drains: then nobody is chosen any
/// more. Drains of backends that began before end in time all the same, while a worker has connections to close.
pub(crate) async fn watch(control: Control, shutdown: Shutdown) {
    let mut watched: Vec<(Arc<Backend>, AbortOnDrop)> = Vec::new();
    let mut changes = control.live.subscribe();
    let reconcile = async {
        loop {
            changes.borrow_and_update();
            let pools = control.live.now().pools.clone();
            let of = |pool: &Pool| Arc::clone(&pool.plan().backends);
            let current: Vec<_> = pools
                .iter()
                .flat_map(|pool| {
                    of(pool).iter().map(|backend| (pool, Arc::clone(backend))).collect::<Vec<_>>()
                })
                .collect();
            watched.retain(|(old, _)| current.iter().any(|(_, backend)| Arc::ptr_eq(old, backend)));
            for (pool, backend) in current {
                if !watched.iter().any(|(old, _)| Arc::ptr_eq(old, &backend)) {
                    watched.push((Arc::clone(&backend), attend(pool, &backend, &changes)));
                }
            }
            changes.changed().await.expect("invariant: the sender lives in control");
        }
    };
    tokio::select! {
        // Whatever has changed before the end is attended to.
        biased;
        () = reconcile => {}
        () = shutdown.reached(Phase::Draining) => {}
    }
    drop(watched);
    tokio::select! {
        () = control.live.workers_ended() => {}
        () = shutdown.reached(Phase::Stopping) => {}
    }
}

/// A task that ends with what it is about.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Attends to a backend as long as it is in the configuration; to its drain also after that.
fn attend(pool: &Arc<Pool>, backend: &Arc<Backend>, changes: &watch::Receiver<u64>) -> AbortOnDrop {
    let patient =
        || Patient { pool: Arc::clone(pool), backend: Arc::clone(backend), changes: changes.clone() };
    tokio::spawn(patient().end_drains());
    let (checked, ejected) = (patient(), patient());
    let both = async move { tokio::join!(checked.check(), ejected.end_ejections()) };
    AbortOnDrop(tokio::spawn(both).abort_handle())
}

/// A backend that is attended to.
struct Patient {
    pool: Arc<Pool>,
    backend: Arc<Backend>,
    changes: watch::Receiver<u64>,
}

impl Patient {
    async fn check(mut self) {
        let mut judge = Judge::new(self.backend.is_up());
        loop {
            let config = Arc::clone(&self.pool.plan().config);
            let health = config.health.clone();
            let next = Instant::now() + Duration::from_millis(health.interval_ms);
            let answer = ask(self.backend.address(), &config).await;
            self.judge(judge.record(answer.is_ok(), &health), answer);
            let pool = Arc::clone(&self.pool);
            tokio::select! {
                // At once, when the answer took longer.
                () = tokio::time::sleep_until(next) => {}
                () = self.until(|_| pool.plan().config.health != health) => {}
            }
        }
    }

    fn judge(&self, judgement: Option<bool>, answer: Result<(), CheckError>) {
        let (pool, backend) = (&self.pool, &self.backend);
        let count =
            if answer.is_ok() { &backend.metrics.checks_good } else { &backend.metrics.checks_failed };
        count.inc();
        if let Some(up) = judgement {
            let why = answer.err().map_or_else(|| "answers again".to_owned(), |error| error.to_string());
            tracing::warn!(pool = pool.name(), backend = backend.name(), up, why, "health");
            pool.change(|| backend.set_up(up));
        }
    }

    async fn end_ejections(mut self) {
        loop {
            self.until(Backend::is_ejected).await;
            let ejection_ms = self.pool.plan().config.outlier.ejection_ms;
            tokio::time::sleep(Duration::from_millis(ejection_ms)).await;
            tracing::info!(pool = self.pool.name(), backend = self.backend.name(), "taken in again");
            self.pool.change(|| self.backend.set_ejected(false));
        }
    }

    /// Closes what is open when the backend has drained for long enough.
    async fn end_drains(mut self) {
        loop {
            self.until(Backend::is_draining).await;
            let timeout_ms = self.pool.plan().config.drain_timeout_ms;
            if timeout_ms > 0 {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => self.close(),
                    () = self.until(|backend| !backend.is_draining()) => {}
                }
            }
            if self.backend.is_retired() {
                return;
            }
            self.until(|backend| !backend.is_draining() || backend.is_retired()).await;
        }
    }

    fn close(&self) {
        let connections = self.backend.close_connections();
        tracing::info!(
            pool = self.pool.name(),
            backend = self.backend.name(),
            connections,
            "drained: closed"
        );
    }

    /// Waits until the backend is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Backend) -> bool) {
        while !wanted(&self.backend) {
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(rise: u32, fall: u32, answers: &[bool]) -> Vec<Option<bool>> {
        let health = HealthConfig { rise, fall, ..HealthConfig::default() };
        let mut judge = Judge::new(true);
        answers.iter().map(|&good| judge.record(good, &health)).collect()
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
