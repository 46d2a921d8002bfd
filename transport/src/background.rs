//! Threads of our own for what must not hold up a thread that serves connections: handshakes, QUIC's packets.

use std::future::Future;
use std::io;
use std::sync::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What threads of handshakes over TCP yield to the others (`nice`).
pub(crate) const HANDSHAKES_NICENESS: i32 = 10;

/// A thread with a runtime that starts when it is first asked for, and ends when this is dropped.
pub(crate) struct Background {
    name: &'static str,
    niceness: i32,
    running: Mutex<Option<Running>>,
}

struct Running {
    handle: Handle,
    _end: watch::Sender<()>,
}

impl Background {
    pub(crate) const fn new(name: &'static str, niceness: i32) -> Self {
        Self { name, niceness, running: Mutex::new(None) }
    }

    /// Its runtime.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut running = self.running.lock().expect("no holder of this lock panics");
        if let Some(running) = &*running {
            return Ok(running.handle.clone());
        }
        Ok(running.insert(Running::start(self.name, self.niceness)?).handle.clone())
    }

    /// Has a future run there, and waits here for what comes of it; dropped before, it is dropped there too.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let mut task = Task(self.handle()?.spawn(future));
        (&mut task.0).await.map_err(io::Error::other)?
    }
}

impl Running {
    fn start(name: &'static str, niceness: i32) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, mut ended) = watch::channel(());
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            if niceness > 0
                && let Err(error) = rustix::process::setpriority_process(None, niceness)
            {
                tracing::debug!(%error, name, "the thread keeps its priority");
            }
            // Ends with an error, which is what it waits for.
            runtime.block_on(async move { while ended.changed().await.is_ok() {} });
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }
}

/// A task that nobody wants any more when this is dropped.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
