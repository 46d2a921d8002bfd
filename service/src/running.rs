//! A started server: its threads, and how they end.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use sd_notify::NotifyState;

use crate::shutdown::{Phase, Shutdown};

/// How long threads have to return once told to stop: they only close what they hold. One that
/// takes longer hangs, and waiting more would not help.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A started server: its named threads and its [`Shutdown`].
///
/// A thread that ends before the server is told to drain, or that fails or panics at any time, stops
/// the whole server: half a server is worse than a restart.
#[derive(Debug)]
pub struct Running {
    shutdown: Shutdown,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// Why a server did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// A thread could not go on.
    #[error("thread {thread}: {}", transport::causes(error.as_ref()))]
    Failed {
        /// Its name.
        thread: String,
        /// Why.
        error: anyhow::Error,
    },
    /// A thread panicked; the log has the message.
    #[error("thread {0} panicked")]
    Panicked(String),
    /// A thread did not return when it was told to stop.
    #[error("thread {0} did not stop")]
    Stuck(String),
}

/// What a thread's function may return: nothing, or whether it failed.
pub trait Outcome {
    /// Whether it failed, and why.
    ///
    /// # Errors
    /// Why it failed.
    fn into_result(self) -> anyhow::Result<()>;
}

impl Outcome for () {
    fn into_result(self) -> anyhow::Result<()> {
        Ok(self)
    }
}

impl<E: Into<anyhow::Error>> Outcome for Result<(), E> {
    fn into_result(self) -> anyhow::Result<()> {
        self.map_err(E::into)
    }
}

impl Running {
    /// A server without threads yet.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), threads: Vec::new() }
    }

    /// Starts a thread; `name` (15 bytes are shown) appears in `top -H`, logs and errors.
    ///
    /// # Errors
    /// When the system refuses the thread. Those started before go on: stop them with [`Self::stop`].
    pub fn spawn<O: Outcome>(
        &mut self,
        name: &str,
        run: impl FnOnce() -> O + Send + 'static,
    ) -> io::Result<()> {
        let ended = EndNotice::new(&self.shutdown);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || ended.watch(run))?;
        self.threads.push(thread);
        Ok(())
    }

    /// The handle to look at this server's phase and to end it.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Blocks until the server is told to drain (by a signal, or through [`Self::shutdown`]), gives
    /// it `drain_timeout` to finish what is under way, then stops it. A service manager that started the process is told
    /// of its readiness and of its end (sd_notify).
    ///
    /// # Errors
    /// When a thread panicked or hangs.
    pub fn wait(self, drain_timeout: Duration) -> Result<(), EndError> {
        self.wait_for(|| drain_timeout)
    }

    /// As [`Self::wait`], with a time to drain that is known only when it is told to: how much there is to finish may
    /// depend on why it ends. `Duration::MAX` is no bound.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_for(self, drain_timeout: impl FnOnce() -> Duration) -> Result<(), EndError> {
        tell_service_manager(NotifyState::Ready);
        self.shutdown.wait(Phase::Draining);
        tell_service_manager(NotifyState::Stopping);
        if !self.shutdown.wait_for_threads(Some(Phase::Stopping), drain_timeout()) {
            self.shutdown.stop("drain timeout passed");
        }
        self.join()
    }

    /// Drains for at most `drain_timeout`, then stops.
    ///
    /// # Errors
    /// When a thread panicked or hangs.
    pub fn drain(self, drain_timeout: Duration) -> Result<(), EndError> {
        self.shutdown.drain("asked to");
        self.wait(drain_timeout)
    }

    /// Stops at once.
    ///
    /// # Errors
    /// When a thread panicked or hangs.
    pub fn stop(self) -> Result<(), EndError> {
        self.shutdown.stop("asked to");
        self.join()
    }

    fn join(self) -> Result<(), EndError> {
        let all_ended = self.shutdown.wait_for_threads(None, STOP_TIMEOUT);
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if !all_ended && !thread.is_finished() {
                return Err(EndError::Stuck(name));
            }
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(EndError::Failed { thread: name, error }),
                Err(_) => return Err(EndError::Panicked(name)),
            }
        }
        match self.shutdown.successor() {
            Some(successor) => {
                let pid = std::process::id();
                tracing::info!(pid, successor, "the old process has ended, the one that took over goes on");
            }
            None => tracing::info!("stopped"),
        }
        Ok(())
    }
}

/// Tells systemd, where it is there and waits for it (`Type=notify`).
pub(crate) fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Tells the rest of the server when its thread ends, however it ends.
struct EndNotice {
    shutdown: Shutdown,
}

impl EndNotice {
    fn new(shutdown: &Shutdown) -> Self {
        shutdown.thread_started();
        Self { shutdown: shutdown.clone() }
    }

    fn watch<O: Outcome>(self, run: impl FnOnce() -> O) -> anyhow::Result<()> {
        let mut ended = run().into_result();
        if ended.is_ok() && self.shutdown.phase() == Phase::Running {
            ended = Err(anyhow!("ended before it was told to"));
        }
        if let Err(error) = &ended {
            let thread = std::thread::current();
            let why = transport::causes(error.as_ref());
            tracing::error!(thread = thread.name().unwrap_or_default(), "{why}");
            self.shutdown.stop("a thread failed");
        }
        ended
    }
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shutdown.stop("a thread panicked");
        }
        self.shutdown.thread_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Duration = Duration::from_secs(60);

    fn running(
        shutdown: &Shutdown,
        run: impl FnOnce(Shutdown) -> anyhow::Result<()> + Send + 'static,
    ) -> Running {
        let mut running = Running::new(shutdown);
        let seen = shutdown.clone();
        running.spawn("worker", move || run(seen)).unwrap();
        running
    }

    fn until(phase: Phase) -> impl FnOnce(Shutdown) -> anyhow::Result<()> {
        move |shutdown| {
            shutdown.wait(phase);
            Ok(())
        }
    }

    #[test]
    fn draining_lets_threads_finish() {
        let shutdown = Shutdown::default();
        running(&shutdown, until(Phase::Draining)).drain(GUARD).unwrap();
        assert_eq!(shutdown.phase(), Phase::Draining, "no thread was left to be stopped");
    }

    #[test]
    fn past_the_deadline_threads_are_stopped() {
        let shutdown = Shutdown::default();
        running(&shutdown, until(Phase::Stopping)).drain(Duration::from_millis(1)).unwrap();
    }

    #[test]
    fn without_a_bound_threads_take_the_time_they_need() {
        let shutdown = Shutdown::default();
        let running = running(&shutdown, until(Phase::Draining));
        shutdown.drain("test");
        running.wait_for(|| Duration::MAX).unwrap();
        assert_eq!(shutdown.phase(), Phase::Draining, "no thread was left to be stopped");
    }

    #[test]
    fn a_second_order_ends_the_drain() {
        let shutdown = Shutdown::default();
        let impatient = |shutdown: Shutdown| {
            shutdown.wait(Phase::Draining);
            shutdown.stop("second signal");
            Ok(())
        };
        running(&shutdown, impatient).drain(GUARD).unwrap();
        assert_eq!(shutdown.phase(), Phase::Stopping);
    }

    fn end_of_server_with(sick: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> String {
        let shutdown = Shutdown::default();
        let mut running = running(&shutdown, until(Phase::Stopping));
        running.spawn("sick", sick).unwrap();
        running.wait(GUARD).unwrap_err().to_string()
    }

    #[test]
    fn one_thread_that_panics_fails_or_ends_early_ends_the_server() {
        assert_eq!(end_of_server_with(|| panic!("on purpose")), "thread sick panicked");
        assert_eq!(end_of_server_with(|| Err(anyhow!("on purpose"))), "thread sick: on purpose");
        assert_eq!(end_of_server_with(|| Ok(())), "thread sick: ended before it was told to");
    }
}
