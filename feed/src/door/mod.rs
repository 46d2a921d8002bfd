//! A source of your own: quotes from wherever you have them, as frames of the exchange's binary protocol.
//!
//! Implement [`Source`], give it to the feed with [`crate::Server::with_source`], and declare it in the configuration with its
//! name and `via = "door"`: its place in the list says whether it is the primary, `numbering` whose numbers it has, `resends` whether it
//! can be asked again. From there on it is a source like any other: arbitrated, switched, measured, matched.
//!
//! ```
//! use feed::door::{Inlet, Over, Source};
//! use std::time::Duration;
//! use wire::szse::market::TickOrder;
//!
//! struct Mine(std::sync::mpsc::Receiver<TickOrder>);
//!
//! impl Source for Mine {
//!     fn run(&mut self, inlet: &mut Inlet) -> Result<(), Over> {
//!         inlet.up()?;
//!         loop {
//!             match self.0.recv_timeout(Duration::from_millis(100)) {
//!                 Ok(order) => inlet.send(&order)?,
//!                 Err(_nothing_new) => inlet.alive()?,
//!             }
//!             inlet.flush()?;
//!         }
//!     }
//! }
//! ```
//!
//! It runs on a thread of its own and never holds the feed up: what it brings goes in batches through a bounded queue, and it
//! waits while the feed has not taken them. Nor can it harm it: each frame is checked as if it had come by a network, and a panic ends
//! the source alone (`feed_source_panics_total`), in a program that unwinds (`panic = "abort"` ends the program).

mod thread;

use crate::app::Command;
use service::{Phase, Shutdown};
use shard::Handle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
pub(crate) use thread::Runner;
use wire::szse::{Message, frame};

/// Bytes of one batch, about.
const BATCH_BYTES: usize = 64 << 10;
/// Batches that a source may have under way.
const BATCHES_MAX: usize = 8;
/// Requests for numbers that may wait for a source; one that finds no room is made again, or of another source.
const WANTED_MAX: usize = 64;
/// Between two looks for room.
const PAUSE: Duration = Duration::from_millis(1);

/// Where quotes come from.
pub trait Source: Send + 'static {
    /// Brings quotes until the feed wants no more of it, on a thread of its own. When it returns before that, the source is gone: with
    /// its error as the reason, and it is run again after a pause, as a source that is dialled is dialled again. If it panics it is gone
    /// and run again too, on the same `self`: it has to begin anew from whatever state that has left.
    ///
    /// Everything it does on an [`Inlet`] tells it when it is over; it must do something on it at least once a second, or the
    /// feed's end waits for it.
    ///
    /// # Errors
    /// What ended it: [`Over::Ended`] as it came from the inlet, or [`Over::Failed`] with a reason of its own.
    fn run(&mut self, inlet: &mut Inlet) -> Result<(), Over>;
}

/// Why a source does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// The feed ends, or an operator has taken the source down.
    #[error("not wanted any longer")]
    Ended,
    /// The feed has not taken what it brought.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The source cannot go on.
    #[error("{0}")]
    Failed(String),
}

/// Numbers that the feed lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// ChannelNo.
    pub channel: u16,
    /// First number wanted.
    pub begin: u64,
    /// Last number wanted.
    pub end: u64,
}

/// What a source's thread tells the shard.
#[derive(Debug)]
pub(crate) enum Brought {
    /// It is there.
    Up,
    /// Whole frames; none says that it lives.
    Frames(Vec<u8>),
    /// It is not there any more.
    Gone(String),
}

/// What a source's thread and the shard share.
#[derive(Debug)]
pub(crate) struct Way {
    /// Batches under way.
    under_way: AtomicUsize,
    /// Since the last [`Brought::Up`], the shard wants no more of it.
    refused: AtomicBool,
    /// An operator has taken it down.
    down: AtomicBool,
    /// Since the last [`Brought::Up`] an operator has taken it down, if only for a moment: what it brings is not filed before it is
    /// up again.
    left: AtomicBool,
    wanted: SyncSender<Wanted>,
}

impl Way {
    /// A batch was filed.
    pub(crate) fn taken(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// What it brought cannot be filed.
    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    /// An operator takes it down. Its thread ends what it does even if it looks only after [`Way::want_again`].
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.down.store(true, Ordering::Release);
    }

    /// It is wanted again.
    pub(crate) fn want_again(&self) {
        self.down.store(false, Ordering::Release);
    }

    /// Asks it for numbers, if it has not too many questions.
    pub(crate) fn ask(&self, wanted: Wanted) {
        if self.wanted.try_send(wanted).is_err() {
            tracing::debug!(?wanted, "a source has too many questions: asked again after `retry_ms`");
        }
    }
}

/// The way into the feed of one source.
pub struct Inlet {
    index: usize,
    feed: Handle<Command>,
    way: Arc<Way>,
    wanted: Receiver<Wanted>,
    shutdown: Shutdown,
    up: bool,
    batch: Vec<u8>,
}

impl Inlet {
    pub(crate) fn new(index: usize, feed: Handle<Command>, shutdown: Shutdown) -> (Self, Arc<Way>) {
        let (to, wanted) = sync_channel(WANTED_MAX);
        let way = Arc::new(Way {
            under_way: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            down: AtomicBool::new(false),
            left: AtomicBool::new(false),
            wanted: to,
        });
        (Self { index, feed, way: way.clone(), wanted, shutdown, up: false, batch: Vec::new() }, way)
    }

    /// The source is there. Nothing can be brought before that.
    ///
    /// # Errors
    /// It is over.
    pub fn up(&mut self) -> Result<(), Over> {
        self.way.refused.store(false, Ordering::Release);
        self.way.left.store(false, Ordering::Release);
        // What was asked before concerns numbers that others may have brought meanwhile.
        while self.wanted.try_recv().is_ok() {}
        self.tell(Brought::Up)?;
        self.up = true;
        Ok(())
    }

    /// Brings a message: an order, a trade, how far a channel is.
    ///
    /// # Errors
    /// It is over.
    pub fn send<M: Message>(&mut self, message: &M) -> Result<(), Over> {
        frame::encode(message, &mut self.batch);
        self.flush_if_long()
    }

    /// Brings a whole frame, for messages with groups (snapshots).
    ///
    /// # Errors
    /// It is over, or what is brought is not exactly one frame.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let whole = frame::decode(bytes, frame::BODY_LEN_MAX);
        if !matches!(&whole, Ok(Some(frame)) if frame.bytes.len() == bytes.len()) {
            return Err(Over::Refused("not one whole frame"));
        }
        self.batch.extend_from_slice(bytes);
        self.flush_if_long()
    }

    /// Hands over what was brought so far: at the latest when there is nothing more to bring at once. Waits while the feed has not
    /// taken what was handed over before.
    ///
    /// # Errors
    /// It is over.
    pub fn flush(&mut self) -> Result<(), Over> {
        if self.batch.is_empty() {
            return self.check();
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_BYTES));
        self.tell(Brought::Frames(batch))
    }

    /// Says that the source lives though it has nothing to bring, as a heartbeat does.
    ///
    /// # Errors
    /// It is over.
    pub fn alive(&mut self) -> Result<(), Over> {
        self.flush()?;
        self.tell(Brought::Frames(Vec::new()))
    }

    /// The next numbers that the feed lacks and wants of this source. They are brought like any other, in any order.
    ///
    /// # Errors
    /// It is over.
    pub fn wanted(&mut self) -> Result<Option<Wanted>, Over> {
        self.check()?;
        Ok(self.wanted.try_recv().ok())
    }

    /// Whether it goes on.
    ///
    /// # Errors
    /// It is over.
    pub fn check(&self) -> Result<(), Over> {
        if !self.is_wanted() || self.way.left.load(Ordering::Acquire) {
            return Err(Over::Ended);
        }
        if self.way.refused.load(Ordering::Acquire) {
            return Err(Over::Refused("what was brought is no message of the protocol"));
        }
        Ok(())
    }

    /// Whether the feed runs, and no operator has taken the source down.
    fn is_wanted(&self) -> bool {
        self.shutdown.phase() == Phase::Running && !self.way.down.load(Ordering::Acquire)
    }

    fn flush_if_long(&mut self) -> Result<(), Over> {
        if self.batch.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// It is not there any more.
    fn gone(&mut self, why: String) {
        self.batch.clear();
        if std::mem::take(&mut self.up) {
            // The feed's end needs no word of it.
            drop(self.give(Brought::Gone(why), |_| true));
        }
    }

    fn tell(&self, brought: Brought) -> Result<(), Over> {
        self.check()?;
        if !self.up && !matches!(brought, Brought::Up) {
            return Err(Over::Refused("brought before it was up"));
        }
        self.give(brought, |inlet| inlet.check().is_ok())
    }

    fn give(&self, brought: Brought, wanted: impl Fn(&Self) -> bool) -> Result<(), Over> {
        while self.way.under_way.load(Ordering::Acquire) >= BATCHES_MAX {
            self.pause(&wanted)?;
        }
        self.way.under_way.fetch_add(1, Ordering::AcqRel);
        let mut command = Command::Brought(self.index, brought);
        while let Err(back) = self.feed.send(command) {
            command = back;
            self.pause(&wanted).inspect_err(|_| self.way.taken())?;
        }
        Ok(())
    }

    fn pause(&self, wanted: &impl Fn(&Self) -> bool) -> Result<(), Over> {
        if !wanted(self) || self.shutdown.phase() != Phase::Running {
            return self.check().and(Err(Over::Ended));
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}
