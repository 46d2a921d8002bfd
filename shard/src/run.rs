//! A shard's life: its thread, its listeners, its loop.

use crate::app::{App, Origin};
use crate::cx::Cx;
use crate::ready::Ready;
use crate::turn::{Wheel, close_all, turn};
use crossbeam::queue::ArrayQueue;
use flow::{Reader, Writer};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::task::{Context, Poll};
use std::time::Duration;
use transport::{Acceptor, Connector, Farewell, Listener, Stream, Timer};

/// Bounds of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time; one more is closed at once, and counted.
    pub connections_max: usize,
    /// Private bytes that may wait for one connection; beyond it the connection is closed.
    pub out_bytes_max: usize,
    /// Bytes kept of an unfinished frame: the longest frame that the application takes.
    pub kept_bytes_max: usize,
    /// Bytes asked for in one read.
    pub read_bytes: usize,
    /// Pace of [`App::on_tick`], milliseconds.
    pub tick_ms: u32,
    /// Commands that may wait; one more is given back to who sends it.
    pub commands_max: usize,
    /// Never sleep: for a core that the shard has for itself.
    pub busy_poll: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            out_bytes_max: 1 << 20,
            kept_bytes_max: 64 << 10,
            read_bytes: 256 << 10,
            tick_ms: 50,
            commands_max: 1024,
            busy_poll: false,
        }
    }
}

/// A log that a shard serves.
pub enum Log {
    /// This shard writes it.
    Own(Writer),
    /// Another shard writes it.
    Follow(Reader),
}

/// A listener of a shard, and the tag by which its connections are known.
pub struct Port {
    /// Where it listens.
    pub listener: Listener,
    /// Comes back in [`crate::Origin::Accepted`].
    pub tag: u32,
}

/// What a shard starts with.
#[derive(Default)]
pub struct Setup {
    /// Where it accepts connections.
    pub ports: Vec<Port>,
    /// Its logs: the first is `LogId(0)`.
    pub logs: Vec<Log>,
    /// Its bounds.
    pub limits: Limits,
    /// The core that its thread is bound to.
    pub core: Option<usize>,
}

const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const STOPPING: u8 = 2;
/// It takes no commands any more.
const ENDED: u8 = 3;

/// Another thread's hold on a shard.
pub struct Handle<C> {
    commands: Arc<ArrayQueue<C>>,
    ready: Arc<Ready>,
    state: Arc<AtomicU8>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), ready: self.ready.clone(), state: self.state.clone() }
    }
}

impl<C> Handle<C> {
    /// A handle for a shard with these limits, to be given to [`run`].
    pub fn new(limits: &Limits) -> Self {
        Self {
            commands: Arc::new(ArrayQueue::new(limits.commands_max)),
            ready: Arc::default(),
            state: Arc::new(AtomicU8::new(RUNNING)),
        }
    }

    /// Asks the application; it is called in one of the next turns. A command that it has not seen when the shard ends is dropped,
    /// and with it what a reply would go to: nobody waits for one that does not come.
    ///
    /// # Errors
    /// The command, when as many as are allowed wait already.
    pub fn send(&self, command: C) -> Result<(), C> {
        self.commands.push(command)?;
        // With the fence in `end`: either the shard finds this command at its end, or its end is seen here.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) == ENDED {
            self.drop_commands();
        }
        self.ready.task.wake();
        Ok(())
    }

    fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
        fence(Ordering::SeqCst);
        self.drop_commands();
    }

    fn drop_commands(&self) {
        while self.commands.pop().is_some() {}
    }

    /// Accepts no more connections and calls [`App::on_drain`].
    pub fn drain(&self) {
        self.raise(DRAINING);
    }

    /// Ends the shard: its connections are closed after their last bytes.
    pub fn stop(&self) {
        self.raise(STOPPING);
    }

    fn raise(&self, state: u8) {
        self.state.fetch_max(state, Ordering::AcqRel);
        self.ready.task.wake();
    }
}

/// Ends a handle when the shard does, whatever ends it.
struct Ending<C>(Handle<C>);

impl<C> Drop for Ending<C> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A shard on its thread.
pub struct Running<C> {
    handle: Handle<C>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl<C> Running<C> {
    /// The hold on it.
    pub fn handle(&self) -> &Handle<C> {
        &self.handle
    }

    /// Waits for its end; see [`Handle::stop`].
    ///
    /// # Errors
    /// Why it did not start: a listener or a timer that the system refused.
    ///
    /// # Panics
    /// If its application panicked.
    pub fn join(self) -> io::Result<()> {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts a shard on a thread of its own. `app` is called on that thread.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<A: App + 'static>(
    name: &str,
    setup: Setup,
    app: impl FnOnce() -> A + Send + 'static,
) -> io::Result<Running<A::Command>> {
    let handle = Handle::new(&setup.limits);
    let of_thread = handle.clone();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run_on_this_thread(setup, app(), of_thread).map(drop))?;
    Ok(Running { handle, thread })
}

/// Gives the calling thread to a shard until it is stopped, and gives its application back.
///
/// # Errors
/// A core, a listener or a timer that the system refused.
///
/// # Panics
/// If the application panicked.
pub fn run_on_this_thread<A: App + 'static>(
    setup: Setup,
    app: A,
    handle: Handle<A::Command>,
) -> io::Result<A> {
    if let Some(core) = setup.core {
        transport::bind_thread_to_core(core)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    // A task of its own: waking the runtime's root future costs a system call each time, waking a task does not.
    let shard = runtime.spawn_local(run(setup, app, handle));
    match runtime.block_on(shard) {
        Ok(ended) => ended,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(io::Error::other(cancelled)),
    }
}

/// Runs a shard on the current thread until it is stopped, and gives its application back. It must be where
/// `tokio::task::spawn_local` may be called.
///
/// # Errors
/// A listener or a timer that the system refused.
pub async fn run<A: App>(setup: Setup, app: A, handle: Handle<A::Command>) -> io::Result<A> {
    let _ending = Ending(handle.clone());
    // The runtime's budget would pretend, after 128 sockets in one turn, that the others are not ready.
    tokio::task::unconstrained(serve(setup, app, handle)).await
}

async fn serve<A: App>(setup: Setup, mut app: A, handle: Handle<A::Command>) -> io::Result<A> {
    let arrivals = Rc::new(Arrivals::new(setup.limits.connections_max));
    let mut cx = Cx::new(setup.limits, setup.logs, handle.ready.clone(), arrivals.clone());
    let mut acceptors = Vec::new();
    let mut farewells = Vec::new();
    for port in setup.ports {
        let acceptor = port.listener.accepting().await?;
        farewells.extend(acceptor.farewell());
        acceptors.push(tokio::task::spawn_local(accept(
            acceptor,
            port.tag,
            arrivals.clone(),
            handle.ready.clone(),
        )));
    }
    let mut timer = Timer::new()?;
    let mut timer_at_ns = 0;
    let mut wheel = Wheel {
        commands: handle.commands.clone(),
        buffer: Vec::new(),
        taken: Vec::new(),
        next_tick_ns: 0,
        drain_asked: false,
    };
    let mut state = RUNNING;
    app.on_start(&mut cx);
    while state != STOPPING && !cx.stopping {
        turn(&mut cx, &mut app, &mut wheel);
        arrivals.open.set(cx.conns.len());
        if cx.limits.busy_poll || work_is_there(&cx, &handle, state) {
            // The runtime looks at the sockets, without waiting for them; the turn looks at the clock.
            tokio::task::yield_now().await;
        } else {
            let next_ns = cx.wake_at_ns.map_or(wheel.next_tick_ns, |at_ns| at_ns.min(wheel.next_tick_ns));
            if next_ns != timer_at_ns {
                timer.set(&cx.clock, next_ns)?;
                timer_at_ns = next_ns;
            }
            wait(&mut cx, &mut timer, &mut timer_at_ns, &handle, state).await?;
        }
        let asked = handle.state.load(Ordering::Acquire);
        if asked > state {
            state = asked;
            acceptors.drain(..).for_each(|acceptor| acceptor.abort());
            wheel.drain_asked = true;
        }
    }
    acceptors.drain(..).for_each(|acceptor| acceptor.abort());
    farewells.extend(cx.conns.iter().filter_map(|(_, conn)| conn.stream.farewell()));
    close_all(&mut cx, &mut app);
    last_bytes(farewells).await;
    Ok(app)
}

/// How long a shard that stops waits for peers to acknowledge what was written to them over QUIC. Over TCP the system sees
/// to that, after the process has ended.
const LAST_BYTES: Duration = Duration::from_secs(3);

async fn last_bytes(farewells: Vec<Farewell>) {
    let all = async {
        for farewell in farewells {
            farewell.over().await;
        }
    };
    if tokio::time::timeout(LAST_BYTES, all).await.is_err() {
        tracing::warn!("not all that was written over QUIC was acknowledged in time");
    }
}

/// Whether a turn has something to do already.
fn work_is_there<C>(cx: &Cx, handle: &Handle<C>, state: u8) -> bool {
    !handle.ready.is_empty()
        || !cx.arrivals.is_empty()
        || !handle.commands.is_empty()
        || !cx.due.is_empty()
        || handle.state.load(Ordering::Acquire) != state
}

/// Waits until there is a reason for a turn.
async fn wait<C>(
    cx: &mut Cx,
    timer: &mut Timer,
    timer_at_ns: &mut u64,
    handle: &Handle<C>,
    state: u8,
) -> io::Result<()> {
    poll_fn(|context: &mut Context<'_>| {
        handle.ready.task.register(context.waker());
        if let Poll::Ready(fired) = timer.poll_fired(context) {
            *timer_at_ns = 0;
            return Poll::Ready(fired);
        }
        let mut followed = cx.logs.iter().zip(&mut cx.readers).filter(|(log, _)| log.writer.is_none());
        if followed.any(|(_, reader)| reader.poll_published(context).is_ready())
            || work_is_there(cx, handle, state)
        {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
}

/// Connections on their way into the shard.
pub(crate) enum Arrival {
    Stream(Stream, Origin, SocketAddr),
    DialFailed(u32, io::Error),
    Refused,
    AcceptError,
}

/// Where the tasks that accept and dial leave what they got.
pub(crate) struct Arrivals {
    queue: RefCell<VecDeque<Arrival>>,
    /// Connections of the shard after its last turn.
    open: Cell<usize>,
    connections_max: usize,
}

impl Arrivals {
    fn new(connections_max: usize) -> Self {
        Self { queue: RefCell::default(), open: Cell::new(0), connections_max }
    }

    pub(crate) fn pop(&self) -> Option<Arrival> {
        self.queue.borrow_mut().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    fn push(&self, ready: &Ready, arrival: Arrival) {
        self.queue.borrow_mut().push_back(arrival);
        ready.task.wake();
    }

    fn full(&self) -> bool {
        self.open.get() + self.queue.borrow().len() >= self.connections_max
    }

    pub(crate) fn dial(
        self: &Rc<Self>,
        ready: &Arc<Ready>,
        address: SocketAddr,
        connector: Connector,
        timeout: Duration,
        tag: u32,
    ) {
        let (arrivals, ready) = (self.clone(), ready.clone());
        tokio::task::spawn_local(async move {
            let arrival = match connector.dial(address, timeout).await {
                Ok(stream) => Arrival::Stream(stream, Origin::Dialled(tag), address),
                Err(error) => Arrival::DialFailed(tag, error),
            };
            arrivals.push(&ready, arrival);
        });
    }
}

/// Pause after an error of accepting: file limits do not mend themselves at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

async fn accept(acceptor: Acceptor, tag: u32, arrivals: Rc<Arrivals>, ready: Arc<Ready>) {
    loop {
        match acceptor.accept().await {
            Ok((stream, peer)) if !arrivals.full() => {
                arrivals.push(&ready, Arrival::Stream(stream, Origin::Accepted(tag), peer));
            }
            Ok(_refused) => arrivals.push(&ready, Arrival::Refused),
            Err(error) => {
                tracing::warn!(%error, "accepting failed; pausing");
                arrivals.push(&ready, Arrival::AcceptError);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{TryRecvError, sync_channel};

    #[test]
    fn what_a_shard_has_not_seen_at_its_end_is_dropped() {
        let handle = Handle::new(&Limits::default());
        let (reply, before) = sync_channel::<()>(1);
        assert!(handle.send(reply).is_ok());
        assert_eq!(before.try_recv(), Err(TryRecvError::Empty));
        drop(Ending(handle.clone()));
        assert_eq!(before.try_recv(), Err(TryRecvError::Disconnected));
        let (reply, after) = sync_channel::<()>(1);
        assert!(handle.send(reply).is_ok());
        assert_eq!(after.try_recv(), Err(TryRecvError::Disconnected));
    }
}
