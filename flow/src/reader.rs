//! Hot path: looking at the window that is held, and moving cursors along it.
//!
//! Rules: no lock but once a segment (to learn of the new one), no allocation but there, no loop without a bound.

use crate::segment::Segment;
use crate::select::Selection;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::writer::Shared;
use crate::{Cursor, Seq, Tag};
use std::collections::VecDeque;
use std::io::IoSlice;

/// The answer when what is asked for was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no longer held: the oldest entry held is {oldest}")]
pub struct NoLongerHeld {
    /// The oldest entry that is held.
    pub oldest: Seq,
}

/// Why a number of a lane has no place to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The number was written and let go; the oldest number of the lane that may still be held is given.
    #[error("no longer held: the lane's oldest number held is {oldest_number}")]
    NoLongerHeld {
        /// Ask from this number to get all that is still there.
        oldest_number: u64,
    },
    /// The number is beyond the lane's next one.
    #[error("not yet written: the lane's next number is {next_number}")]
    NotYet {
        /// The number that the lane takes next.
        next_number: u64,
    },
}

/// A frame in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place.
    pub seq: Seq,
    /// What the log knows of it.
    pub tag: Tag,
    /// Its bytes.
    pub frame: &'a [u8],
}

/// What [`Reader::gather`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// Slices that were filled in.
    pub slices: usize,
    /// Bytes in the slices.
    pub bytes: usize,
    /// Where the look ended: the cursor's place once all these bytes are written.
    pub next: Cursor,
}

/// One thread's view of a log: what is held and how far it goes, as of the last [`Reader::refresh`].
pub struct Reader {
    shared: Arc<Shared>,
    generation: u64,
    view: VecDeque<Arc<Segment>>,
    end: Seq,
    /// The number that each lane takes next, as of `counted`: see [`Reader::next_number`].
    lane_next: Vec<u64>,
    counted: Seq,
    #[cfg(not(loom))]
    waiter: Option<std::sync::Arc<atomic_waker::AtomicWaker>>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let mut reader = Self {
            shared,
            generation: u64::MAX,
            view: VecDeque::new(),
            end: 0,
            lane_next: Vec::new(),
            counted: 0,
            #[cfg(not(loom))]
            waiter: None,
        };
        reader.refresh();
        reader
    }

    /// Looks again: what was published since is seen, what was let go is let go of here too. Once a turn.
    #[inline]
    pub fn refresh(&mut self) -> Seq {
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            self.renew();
        }
        let last = self.last();
        self.end = last.first + last.published() as u64;
        self.end
    }

    #[cold]
    fn renew(&mut self) {
        let segments = self.shared.segments.lock().expect("no holder of this lock panics");
        // Read under the lock: the writer counts a roll after it has left the lock, so this can only be too low,
        // and then the next refresh looks once more.
        self.generation = self.shared.generation.load(Ordering::Acquire);
        let oldest = segments.front().map_or(0, |segment| segment.first);
        let newest = self.view.back().map_or(0, |segment| segment.first + 1);
        self.view.retain(|segment| segment.first >= oldest);
        self.view.extend(segments.iter().filter(|segment| segment.first >= newest).cloned());
    }

    fn last(&self) -> &Segment {
        self.view.back().expect("a log always has a segment")
    }

    /// The oldest entry held.
    pub fn start(&self) -> Seq {
        self.view.front().expect("a log always has a segment").first
    }

    /// The place after the newest entry seen.
    #[inline]
    pub fn end(&self) -> Seq {
        self.end
    }

    /// The segment that holds `seq`, and the entry's index in it; `seq` is below `end`.
    #[inline]
    fn locate(&self, seq: Seq) -> Result<(&Segment, usize), NoLongerHeld> {
        let last = self.last();
        if seq >= last.first {
            return Ok((last, (seq - last.first) as usize));
        }
        let after = self.view.partition_point(|segment| segment.first <= seq);
        if after == 0 {
            return Err(NoLongerHeld { oldest: self.start() });
        }
        let segment = &self.view[after - 1];
        Ok((segment, (seq - segment.first) as usize))
    }

    /// Entries of a segment that this view may look at.
    #[inline]
    fn visible(&self, segment: &Segment) -> usize {
        (self.end - segment.first).min(segment.published() as u64) as usize
    }

    /// The frame at a place; `None` beyond the end.
    ///
    /// # Errors
    /// [`NoLongerHeld`] when it was let go.
    #[inline]
    pub fn entry(&self, seq: Seq) -> Result<Option<Entry<'_>>, NoLongerHeld> {
        if seq >= self.end {
            return Ok(None);
        }
        let (segment, index) = self.locate(seq)?;
        let frame = segment.bytes(segment.start_of(index), segment.end_of(index));
        Ok(Some(Entry { seq, tag: segment.tag(index), frame }))
    }

    /// All bytes from the cursor on that lie in one piece, at most about `bytes_max` (one frame more at the most);
    /// empty when the cursor has caught up.
    ///
    /// # Errors
    /// [`NoLongerHeld`] when the cursor's place was let go.
    #[inline]
    pub fn slice(&self, cursor: Cursor, bytes_max: usize) -> Result<&[u8], NoLongerHeld> {
        if cursor.next >= self.end {
            return Ok(&[]);
        }
        let (segment, index) = self.locate(cursor.next)?;
        let start = segment.start_of(index);
        let end = segment.end_of(self.visible(segment) - 1);
        Ok(segment.bytes(start, end.min(start.saturating_add(bytes_max).max(segment.end_of(index)))))
    }

    /// Moves a cursor over `written` bytes of what [`Reader::slice`] returned for it, and over the whole of the frame
    /// within which they end: its rest is returned (most often empty), and must be written before anything else.
    #[inline]
    pub fn advance(&self, cursor: &mut Cursor, written: usize) -> &[u8] {
        if written == 0 {
            return &[];
        }
        let Ok((segment, index)) = self.locate(cursor.next) else {
            unreachable!("a view does not change between slice and advance");
        };
        let visible = self.visible(segment);
        let to = segment.start_of(index) + written;
        // Most often all of it was written; else the first entry that was not written whole.
        if segment.end_of(visible - 1) == to {
            cursor.next = segment.first + visible as u64;
            return &[];
        }
        let next = partition_point(index, visible, |entry| segment.end_of(entry) <= to);
        let begun = to > segment.start_of(next);
        cursor.next = segment.first + (next + usize::from(begun)) as u64;
        if begun { segment.bytes(to, segment.end_of(next)) } else { &[] }
    }

    /// Collects the frames that a selection wants, from the cursor on, in as few slices as possible: neighbours join.
    /// It ends at the log's end, when `slices` is full, after about `bytes_max` bytes, or after looking at
    /// `entries_max` entries, whichever is first; call it again from [`Gathered::next`] then.
    ///
    /// # Errors
    /// [`NoLongerHeld`] when the cursor's place was let go.
    pub fn gather<'a>(
        &'a self,
        cursor: Cursor,
        selection: &Selection,
        (bytes_max, entries_max): (usize, usize),
        slices: &mut [IoSlice<'a>],
    ) -> Result<Gathered, NoLongerHeld> {
        let mut gathered = Gathered { slices: 0, bytes: 0, next: cursor };
        let mut looked = 0;
        while gathered.next.next < self.end && looked < entries_max && gathered.bytes < bytes_max {
            let (segment, first) = self.locate(gathered.next.next)?;
            let last = self.visible(segment).min(first + (entries_max - looked));
            let mut index = first;
            while index < last && gathered.bytes < bytes_max {
                if !selection.wants(segment.tag(index)) {
                    index += 1;
                    continue;
                }
                let run_end = run_end(segment, selection, index, last, bytes_max - gathered.bytes);
                let Some(slice) = slices.get_mut(gathered.slices) else {
                    gathered.next = Cursor::at(segment.first + index as u64);
                    return Ok(gathered);
                };
                *slice = IoSlice::new(segment.bytes(segment.start_of(index), segment.end_of(run_end - 1)));
                gathered.bytes += slice.len();
                gathered.slices += 1;
                index = run_end;
            }
            looked += index - first;
            gathered.next = Cursor::at(segment.first + index as u64);
        }
        Ok(gathered)
    }

    /// Moves a cursor over `written` bytes of what [`Reader::gather`] found for it with the same selection, and over
    /// the whole of the frame within which they end: its rest is returned, and must be written before anything else.
    pub fn advance_gathered(
        &self,
        cursor: &mut Cursor,
        selection: &Selection,
        gathered: &Gathered,
        mut written: usize,
    ) -> &[u8] {
        if written == gathered.bytes {
            *cursor = gathered.next;
            return &[];
        }
        while written > 0 {
            let Ok((segment, index)) = self.locate(cursor.next) else {
                unreachable!("a view does not change between gather and advance");
            };
            cursor.next += 1;
            if selection.wants(segment.tag(index)) {
                let (start, end) = (segment.start_of(index), segment.end_of(index));
                if written < end - start {
                    return segment.bytes(start + written, end);
                }
                written -= end - start;
            }
        }
        &[]
    }

    /// The place from which a lane's numbers go on at `number`: the first entry of that lane with this number or,
    /// where numbers were left out, the next one above it.
    ///
    /// # Errors
    /// [`FindError`] when it is no longer held, or lies beyond the lane's next number.
    pub fn find(&self, lane: u16, number: u64) -> Result<Seq, FindError> {
        let number = number.max(1);
        let next_at_start = |segment: &Segment| match segment.lanes.binary_search_by_key(&lane, |l| l.0) {
            Ok(index) => segment.lanes[index].1,
            Err(_) => 1,
        };
        let after = self.view.partition_point(|segment| next_at_start(segment) <= number);
        if after == 0 {
            let oldest_number = next_at_start(&self.view[0]);
            return Err(FindError::NoLongerHeld { oldest_number });
        }
        // Of all segments only this one is looked through: the next one, if there is one, begins above the number.
        let segment = &self.view[after - 1];
        let mut next_number = next_at_start(segment);
        for index in 0..self.visible(segment) {
            let tag = segment.tag(index);
            if tag.lane == lane && tag.number != 0 {
                if tag.number >= number {
                    return Ok(segment.first + index as u64);
                }
                next_number = tag.number + 1;
            }
        }
        if number > next_number { Err(FindError::NotYet { next_number }) } else { Ok(self.end) }
    }

    /// The number that a lane takes next, as far as this reader sees; 1 in a lane never seen. It is counted when it is
    /// asked for: from the newest segment's beginning at the most, and each entry once.
    pub fn next_number(&mut self, lane: u16) -> u64 {
        let last = self.view.back().expect("a log always has a segment");
        if self.counted < last.first {
            last.lanes.iter().for_each(|(lane, next)| set_next(&mut self.lane_next, *lane, *next));
            self.counted = last.first;
        }
        for index in self.counted - last.first..self.end - last.first {
            let tag = last.tag(index as usize);
            if tag.number != 0 {
                set_next(&mut self.lane_next, tag.lane, tag.number + 1);
            }
        }
        self.counted = self.end;
        self.lane_next.get(usize::from(lane)).copied().unwrap_or(0).max(1)
    }

    /// Ready when something was published since the last [`Reader::refresh`]; for threads other than the writer's.
    #[cfg(not(loom))]
    pub fn poll_published(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let waiter = self.waiter.get_or_insert_with(|| {
            let waiter = std::sync::Arc::new(atomic_waker::AtomicWaker::new());
            let mut waiters = self.shared.waiters.lock().expect("no holder of this lock panics");
            waiters.push(waiter.clone());
            self.shared.waiter_count.store(waiters.len(), Ordering::Relaxed);
            waiter
        });
        waiter.register(context.waker());
        crate::sync::atomic::fence(Ordering::SeqCst);
        let last = self.view.back().expect("a log always has a segment");
        let unseen = self.shared.generation.load(Ordering::Acquire) != self.generation
            || last.first + last.published() as u64 != self.end;
        if unseen { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    }
}

#[cfg(not(loom))]
impl Drop for Reader {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let Ok(mut waiters) = self.shared.waiters.lock() else { return };
        waiters.retain(|other| !std::sync::Arc::ptr_eq(other, &waiter));
        self.shared.waiter_count.store(waiters.len(), Ordering::Relaxed);
    }
}

/// Notes the number that a lane takes next.
#[inline]
pub(crate) fn set_next(lane_next: &mut Vec<u64>, lane: u16, next: u64) {
    let lane = usize::from(lane);
    if lane >= lane_next.len() {
        lane_next.resize(lane + 1, 0);
    }
    lane_next[lane] = next;
}

/// The end of the run of wanted entries that begins at `index`.
#[inline]
fn run_end(segment: &Segment, selection: &Selection, index: usize, last: usize, bytes_max: usize) -> usize {
    let start = segment.start_of(index);
    let mut end = index + 1;
    while end < last && segment.end_of(end - 1) - start < bytes_max && selection.wants(segment.tag(end)) {
        end += 1;
    }
    end
}

/// The first index in `low..high` for which `before` is false; `high` if there is none.
#[inline]
fn partition_point(mut low: usize, mut high: usize, before: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
