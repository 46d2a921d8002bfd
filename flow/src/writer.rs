//! The one that writes: appends frames, publishes them, rolls segments and lets old ones go.

use crate::reader::{Reader, set_next};
use crate::segment::{Appender, Segment};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use crate::{Seq, Tag};
use std::collections::VecDeque;

/// How much a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of one segment in bytes: the largest frame, the longest contiguous slice, and the step in which old
    /// frames are let go. At most 1 GiB.
    pub segment_bytes: usize,
    /// Bytes of frames held in memory, at least two segments. The oldest segment goes when this is passed.
    pub window_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 1 << 20, window_bytes: 64 << 20 }
    }
}

/// Why a frame was not appended. The log is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A frame must fit into one segment.
    #[error("frame of {len} bytes does not fit a segment of {segment_bytes}")]
    FrameTooLong {
        /// Length of the frame, bytes.
        len: usize,
        /// The segment's size, bytes.
        segment_bytes: usize,
    },
    /// Numbers of a lane only ascend.
    #[error("number {number} in lane {lane} is not above the last one; next is {next}")]
    NotAscending {
        /// The lane.
        lane: u16,
        /// The number that was offered.
        number: u64,
        /// The lowest number that the lane takes.
        next: u64,
    },
}

/// What the writer and its readers share.
pub(crate) struct Shared {
    /// Count of rolls: a reader whose view is of another generation takes the lock and looks again.
    pub(crate) generation: AtomicU64,
    pub(crate) segments: Mutex<VecDeque<Arc<Segment>>>,
    #[cfg(not(loom))]
    pub(crate) waiters: Mutex<Vec<Arc<atomic_waker::AtomicWaker>>>,
    pub(crate) waiter_count: AtomicUsize,
}

/// The one writer of a log.
///
/// Appended frames are seen by readers after [`Writer::publish`]; call it once a turn, not once a frame.
pub struct Writer {
    shared: Arc<Shared>,
    current: Appender,
    lane_next: Vec<u64>,
    limits: Limits,
    segments_max: usize,
    /// Segments that were let go, kept to be written again.
    retired: VecDeque<Arc<Segment>>,
}

/// Segments kept for writing again: one that readers have let go of, one that they may still hold this turn.
const RETIRED_MAX: usize = 2;

impl Writer {
    /// An empty log.
    ///
    /// # Panics
    /// If a limit is zero, or a segment is over 1 GiB: configuration is checked before it gets here.
    pub fn new(limits: Limits) -> Self {
        assert!(limits.segment_bytes > 0 && limits.segment_bytes <= 1 << 30, "segment_bytes out of range");
        let first = Arc::new(Segment::new(0, Box::default(), limits.segment_bytes));
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            segments: Mutex::new(VecDeque::from([first.clone()])),
            #[cfg(not(loom))]
            waiters: Mutex::new(Vec::new()),
            waiter_count: AtomicUsize::new(0),
        });
        let segments_max = (limits.window_bytes / limits.segment_bytes).max(2);
        Self {
            shared,
            current: Appender::new(first),
            lane_next: Vec::new(),
            limits,
            segments_max,
            retired: VecDeque::new(),
        }
    }

    /// Appends a frame and says where it stands.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    #[inline]
    pub fn append(&mut self, tag: Tag, frame: &[u8]) -> Result<Seq, AppendError> {
        if tag.number != 0 {
            let next = self.next_number(tag.lane);
            if tag.number < next {
                return Err(AppendError::NotAscending { lane: tag.lane, number: tag.number, next });
            }
        }
        if !self.current.fits(frame.len()) {
            self.roll(frame.len())?;
        }
        if tag.number != 0 {
            set_next(&mut self.lane_next, tag.lane, tag.number + 1);
        }
        self.current.push(tag, frame);
        Ok(self.current.segment.first + self.current.len as u64 - 1)
    }

    /// Lets readers see all that was appended, and wakes those on other threads that wait for it.
    #[inline]
    pub fn publish(&self) {
        self.current.publish();
        // Pairs with the fence in `poll_published`: either this load sees the waiter, or the waiter sees the frames.
        crate::sync::atomic::fence(Ordering::SeqCst);
        if self.shared.waiter_count.load(Ordering::Relaxed) != 0 {
            self.wake();
        }
    }

    /// The place that the next frame will take.
    pub fn end(&self) -> Seq {
        self.current.segment.first + self.current.len as u64
    }

    /// The lowest number that the lane takes next: one above the last, 1 in a lane never seen.
    #[inline]
    pub fn next_number(&self, lane: u16) -> u64 {
        self.lane_next.get(usize::from(lane)).copied().unwrap_or(0).max(1)
    }

    /// A reader of this log; each thread has its own.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    #[cold]
    fn roll(&mut self, frame_len: usize) -> Result<(), AppendError> {
        let segment_bytes = self.limits.segment_bytes;
        if frame_len > segment_bytes {
            return Err(AppendError::FrameTooLong { len: frame_len, segment_bytes });
        }
        // Readers take the end of a segment that is not the last from `published`: it must be final before the
        // next one can be seen.
        self.current.publish();
        let lanes = self.lane_next.iter().enumerate().filter(|(_, next)| **next != 0);
        let lanes = lanes.map(|(lane, next)| (lane as u16, *next)).collect();
        let segment = self.segment(lanes);
        self.current = Appender::new(segment.clone());
        let oldest = {
            let mut segments = self.shared.segments.lock().expect("no holder of this lock panics");
            segments.push_back(segment);
            if segments.len() > self.segments_max { segments.pop_front() } else { None }
        };
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.retired.extend(oldest);
        if self.retired.len() > RETIRED_MAX {
            self.retired.pop_front(); // Outside the lock: giving back a segment's memory is a system call.
        }
        Ok(())
    }

    /// A segment to write on with: one that was let go and that no reader's view holds any more (its pages are warm,
    /// fresh ones cost a fault each), else a new one.
    fn segment(&mut self, lanes: Box<[(u16, u64)]>) -> Arc<Segment> {
        let first = self.end();
        if let Some(mut segment) = self.retired.pop_front() {
            if let Some(unshared) = Arc::get_mut(&mut segment) {
                unshared.reset(first, lanes);
                return segment;
            }
            self.retired.push_front(segment);
        }
        Arc::new(Segment::new(first, lanes, self.limits.segment_bytes))
    }

    #[cold]
    fn wake(&self) {
        #[cfg(not(loom))]
        for waiter in self.shared.waiters.lock().expect("no holder of this lock panics").iter() {
            waiter.wake();
        }
    }
}
