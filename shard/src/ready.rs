//! Which connections can move: their wakers note them here, and wake the shard's one task.

use atomic_waker::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// The connections that were woken since the last turn, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    // The runtime wakes from this same thread, so the lock is never contended; other threads only wake `task`.
    queue: Mutex<Vec<u32>>,
    pub(crate) task: AtomicWaker,
}

impl Ready {
    fn push(&self, index: u32) {
        self.queue.lock().expect("no holder of this lock panics").push(index);
        self.task.wake();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().expect("no holder of this lock panics").is_empty()
    }

    /// Swaps the woken connections into `taken`, which must be empty.
    pub(crate) fn take(&self, taken: &mut Vec<u32>) {
        std::mem::swap(&mut *self.queue.lock().expect("no holder of this lock panics"), taken);
    }
}

/// One connection's waker, for reading and writing alike.
#[derive(Debug)]
pub(crate) struct Signal {
    index: u32,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Signal {
    pub(crate) fn new(index: u32, ready: &Arc<Ready>) -> (Arc<Self>, Waker) {
        let signal = Arc::new(Self { index, queued: AtomicBool::new(false), ready: ready.clone() });
        (signal.clone(), Waker::from(signal))
    }

    /// The connection is being looked at: a wake from now on counts anew.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Look at this connection in the next turn.
    pub(crate) fn raise(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.index);
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}
