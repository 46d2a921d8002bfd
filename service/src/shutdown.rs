//! The phases of a server's life, and who may look at them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

/// The phases of a server's life, in order; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Takes work.
    Running = 0,
    /// Takes nothing new and is not ready; what is under way may finish.
    Draining = 1,
    /// Closes everything that is left, at once.
    Stopping = 2,
}

impl Phase {
    /// The name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }

    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Running,
            1 => Self::Draining,
            _ => Self::Stopping,
        }
    }
}

/// A handle on a server's phase: whoever has one can look, wait, and move it on. Clones are the
/// same handle.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// For hot threads: the same as in `watch`, one load to read.
    phase: AtomicU8,
    /// For tasks.
    watch: watch::Sender<Phase>,
    /// For threads that block: how many of the server's threads are alive.
    threads: Mutex<usize>,
    changed: Condvar,
    /// The process that goes on as this service.
    successor: OnceLock<u32>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                phase: AtomicU8::new(Phase::Running as u8),
                watch: watch::Sender::new(Phase::Running),
                threads: Mutex::new(0),
                changed: Condvar::new(),
                successor: OnceLock::new(),
            }),
        }
    }
}

impl Shutdown {
    /// The phase now. One atomic load: a hot loop may ask once a turn.
    #[inline]
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.inner.phase.load(Ordering::Acquire))
    }

    /// Takes nothing new from now on; what is under way may finish.
    pub fn drain(&self, why: &str) {
        self.advance(Phase::Draining, why);
    }

    /// Closes everything from now on.
    pub fn stop(&self, why: &str) {
        self.advance(Phase::Stopping, why);
    }

    /// Notes that the process `pid` goes on as this service: the end of this one is not the service's. The service
    /// manager, where there is one, is told.
    pub fn name_successor(&self, pid: u32) {
        let pid = *self.inner.successor.get_or_init(|| pid);
        crate::running::tell_service_manager(NotifyState::MainPid(pid));
    }

    /// The process that goes on as this service, if one does.
    pub(crate) fn successor(&self) -> Option<u32> {
        self.inner.successor.get().copied()
    }

    /// Completes when `phase` or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut watch = self.inner.watch.subscribe();
        watch
            .wait_for(|now| *now >= phase)
            .await
            .expect("invariant: the sender lives in self, which is borrowed");
    }

    /// Blocks this thread until `phase` or a later one is reached.
    pub fn wait(&self, phase: Phase) {
        let threads = self.threads();
        drop(
            self.inner
                .changed
                .wait_while(threads, |_| self.phase() < phase)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn advance(&self, phase: Phase, why: &str) {
        let threads = self.threads();
        if self.phase() >= phase {
            return;
        }
        self.inner.phase.store(phase as u8, Ordering::Release);
        self.inner.watch.send_replace(phase);
        self.inner.changed.notify_all();
        drop(threads);
        tracing::info!(phase = phase.name(), why, "shutdown");
    }

    /// The count is right whatever panicked while it was held, so poison is nothing to us.
    fn threads(&self) -> MutexGuard<'_, usize> {
        self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn thread_started(&self) {
        *self.threads() += 1;
    }

    pub(crate) fn thread_ended(&self) {
        *self.threads() -= 1;
        self.inner.changed.notify_all();
    }

    /// Whether of the server's threads one is left at most: for that one, which asks whether it may end.
    pub(crate) fn is_last_thread(&self) -> bool {
        *self.threads() <= 1
    }

    /// Blocks until no thread is left, `until` is reached or `timeout` has passed; true when none is
    /// left.
    pub(crate) fn wait_for_threads(&self, until: Option<Phase>, timeout: Duration) -> bool {
        let threads = self.threads();
        let (threads, _) = self
            .inner
            .changed
            .wait_timeout_while(threads, timeout, |threads| {
                *threads > 0 && until.is_none_or(|until| self.phase() < until)
            })
            .unwrap_or_else(PoisonError::into_inner);
        *threads == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let shutdown = Shutdown::default();
        assert_eq!(shutdown.phase(), Phase::Running);
        shutdown.stop("test");
        shutdown.drain("test");
        assert_eq!(shutdown.phase(), Phase::Stopping);
    }

    #[test]
    fn tasks_and_threads_see_a_phase_or_a_later_one() {
        let shutdown = Shutdown::default();
        let waiter = shutdown.clone();
        let thread = std::thread::spawn(move || waiter.wait(Phase::Draining));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let reached = shutdown.reached(Phase::Draining);
            tokio::join!(reached, async { shutdown.stop("test") });
        });
        thread.join().unwrap();
    }
}
