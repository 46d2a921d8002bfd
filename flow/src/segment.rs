//! Hot path: one piece of the log, written by one thread while others read what is published.
//!
//! Rules: the writer touches only entries at and above `published`; readers touch only entries below a value of
//! `published` that they loaded with Acquire. An entry and its bytes are written before the Release store that
//! publishes them and never again, so a reader and the writer never meet at the same place. loom tracks each
//! entry's cell; an entry's bytes are reached only through the entry, under the same rule.
#![allow(unsafe_code)] // Sharing a buffer between one writer and its readers without a lock; see the rules above.

use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::{Seq, Tag};
use std::mem::MaybeUninit;

/// Mean frame size below which a segment's table of entries fills before its bytes do.
const FRAME_BYTES_EXPECTED: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    number: u64,
    end: u32,
    key: u32,
    lane: u16,
}

const EMPTY: Slot = Slot { number: 0, end: 0, key: 0, lane: 0 };

pub(crate) struct Segment {
    /// Place of the first entry.
    pub(crate) first: Seq,
    /// The number that each lane would take next when this segment began, ascending by lane.
    pub(crate) lanes: Box<[(u16, u64)]>,
    slots: Box<[UnsafeCell<Slot>]>,
    bytes: Box<[std::cell::UnsafeCell<MaybeUninit<u8>>]>,
    published: AtomicUsize,
}

// SAFETY: the cells are shared under the rules at the top of this file: writes by the one `Appender`, which is not
// Clone and takes `&mut self`, strictly above `published`; reads strictly below it.
unsafe impl Sync for Segment {}
// SAFETY: a segment owns plain bytes and integers.
unsafe impl Send for Segment {}

impl Segment {
    pub(crate) fn new(first: Seq, lanes: Box<[(u16, u64)]>, capacity: usize) -> Self {
        let slots = (capacity / FRAME_BYTES_EXPECTED).max(4);
        Self {
            first,
            lanes,
            slots: (0..slots).map(|_| UnsafeCell::new(EMPTY)).collect(),
            bytes: uninit_cells(capacity),
            published: AtomicUsize::new(0),
        }
    }

    /// Makes an empty segment of one that nobody else holds.
    pub(crate) fn reset(&mut self, first: Seq, lanes: Box<[(u16, u64)]>) {
        self.first = first;
        self.lanes = lanes;
        self.published = AtomicUsize::new(0);
    }

    /// Entries that readers may look at; what is below stays as it is for good.
    #[inline]
    pub(crate) fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    #[inline]
    fn slot(&self, index: usize) -> Slot {
        // SAFETY: callers pass an index below a `published` that was loaded with Acquire (or are the writer): the
        // slot was written before the Release store and is never written again.
        self.slots[index].with(|slot| unsafe { *slot })
    }

    /// Byte at which entry `index` starts.
    #[inline]
    pub(crate) fn start_of(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.end_of(index - 1) }
    }

    /// Byte after the last one of entry `index`; `index` must be below a loaded `published`.
    #[inline]
    pub(crate) fn end_of(&self, index: usize) -> usize {
        self.slot(index).end as usize
    }

    #[inline]
    pub(crate) fn tag(&self, index: usize) -> Tag {
        let slot = self.slot(index);
        Tag { lane: slot.lane, number: slot.number, key: slot.key }
    }

    /// The bytes from `start` to `end`, both of which lie within published entries.
    #[inline]
    pub(crate) fn bytes(&self, start: usize, end: usize) -> &[u8] {
        let cells = &self.bytes[start..end];
        // SAFETY: `start..end` lies below the end of a published entry: initialised before the Release store that
        // the caller's Acquire load saw, and never written again while the segment lives. `UnsafeCell` and
        // `MaybeUninit` have the layout of what they hold.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<u8>(), cells.len()) }
    }
}

fn uninit_cells(len: usize) -> Box<[std::cell::UnsafeCell<MaybeUninit<u8>>]> {
    let cells = Box::<[std::cell::UnsafeCell<MaybeUninit<u8>>]>::new_uninit_slice(len);
    // SAFETY: a cell of MaybeUninit bytes needs no initialisation; the pages are not touched before they are used.
    unsafe { cells.assume_init() }
}

/// The one writer's side of a segment: how far it has written, published or not.
pub(crate) struct Appender {
    pub(crate) segment: crate::sync::Arc<Segment>,
    pub(crate) len: usize,
    end: usize,
}

impl Appender {
    pub(crate) fn new(segment: crate::sync::Arc<Segment>) -> Self {
        Self { segment, len: 0, end: 0 }
    }

    /// Whether a frame of this size still fits.
    #[inline]
    pub(crate) fn fits(&self, frame_len: usize) -> bool {
        self.len < self.segment.slots.len() && self.end + frame_len <= self.segment.bytes.len()
    }

    /// Writes an entry above what is published; [`Appender::fits`] must hold.
    #[inline]
    pub(crate) fn push(&mut self, tag: Tag, frame: &[u8]) {
        let start = self.end;
        let end = start + frame.len();
        let cells = &self.segment.bytes[start..end];
        // SAFETY: the range was bounds-checked and lies above every published entry, so no reader looks at it;
        // this is the only writer. Writing through `UnsafeCell` from a shared reference is what it is for.
        unsafe {
            let to = std::cell::UnsafeCell::raw_get(cells.as_ptr()).cast::<u8>();
            std::ptr::copy_nonoverlapping(frame.as_ptr(), to, frame.len());
        }
        let slot = Slot { number: tag.number, end: end as u32, key: tag.key, lane: tag.lane };
        // SAFETY: slot `len` is not published yet, so no reader looks at it; this is the only writer.
        self.segment.slots[self.len].with_mut(|cell| unsafe { *cell = slot });
        self.end = end;
        self.len += 1;
    }

    /// Lets readers see all that was pushed.
    #[inline]
    pub(crate) fn publish(&self) {
        self.segment.published.store(self.len, Ordering::Release);
    }
}
