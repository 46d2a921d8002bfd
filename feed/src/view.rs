//! What a shard knows of the log up to a place: how far each channel is, and the last snapshots.
//!
//! The shard that writes the log tells its view of each frame as it appends it; the others walk along the log. So who
//! joins on any shard gets what was there at one place, and the log from that place on.

use crate::snapshots::Snapshots;
use flow::{Seq, Tag};
use std::collections::VecDeque;

/// Entries between two marks: the precision with which a slow reader is told what it missed.
const MARK_ENTRIES: u64 = 4_096;
/// Marks kept; older places count as the beginning.
const MARKS_MAX: usize = 1_024;
/// A channel that was not seen.
const ABSENT: u16 = u16::MAX;

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// ChannelNo.
    pub(crate) number: u16,
    /// The number after the last one.
    pub(crate) next: u64,
    /// When the last frame of it was appended, nanoseconds.
    pub(crate) at_ns: u64,
}

/// How far the channels were at a place.
#[derive(Debug)]
struct Mark {
    seq: Seq,
    /// In the order of `View::lanes`.
    next: Box<[u64]>,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshots: Snapshots,
    end: Seq,
    /// In the order in which they were seen first.
    lanes: Vec<Lane>,
    places: Box<[u16]>,
    marks: VecDeque<Mark>,
}

impl View {
    /// Of a log of which nothing was seen yet.
    pub(crate) fn new(snapshots: Snapshots) -> Self {
        let places = vec![ABSENT; usize::from(u16::MAX) + 1].into_boxed_slice();
        Self { snapshots, end: 0, lanes: Vec::new(), places, marks: VecDeque::new() }
    }

    /// The place up to which this is true.
    #[inline]
    pub(crate) fn end(&self) -> Seq {
        self.end
    }

    /// The entry at `end` was seen.
    #[inline]
    pub(crate) fn saw(&mut self, tag: Tag, now_ns: u64) {
        if self.end.is_multiple_of(MARK_ENTRIES) {
            self.mark();
        }
        self.end += 1;
        let place = usize::from(self.places[usize::from(tag.lane)]);
        let Some(lane) = self.lanes.get_mut(place) else { return self.meet(tag, now_ns) };
        lane.at_ns = now_ns;
        if tag.number != 0 {
            lane.next = tag.number + 1;
        }
    }

    /// Entries up to `seq` were let go before they were seen.
    pub(crate) fn skip_to(&mut self, seq: Seq) {
        self.end = seq;
    }

    /// The number after a channel's last one; 1 for a channel not seen.
    pub(crate) fn next(&self, lane: u16) -> u64 {
        self.lane(lane).map_or(1, |lane| lane.next)
    }

    /// A channel, if it was seen.
    pub(crate) fn lane(&self, lane: u16) -> Option<&Lane> {
        self.lanes.get(usize::from(self.places[usize::from(lane)]))
    }

    /// All channels seen.
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// A channel's number from which on a reader that stood at `seq` has not seen it: exact to [`MARK_ENTRIES`], and
    /// rather too low.
    pub(crate) fn next_at(&self, lane: u16, seq: Seq) -> u64 {
        let after = self.marks.partition_point(|mark| mark.seq <= seq);
        let Some(mark) = after.checked_sub(1).map(|index| &self.marks[index]) else { return 1 };
        mark.next.get(usize::from(self.places[usize::from(lane)])).copied().unwrap_or(1)
    }

    /// A channel that is not known. Those of snapshots alone have no numbers to be known by, and the arbiter's limit of
    /// channels does not bound them.
    #[cold]
    fn meet(&mut self, tag: Tag, now_ns: u64) {
        if tag.number == 0 && tag.key != Tag::EVERYONE {
            return;
        }
        self.places[usize::from(tag.lane)] = self.lanes.len() as u16;
        self.lanes.push(Lane { number: tag.lane, next: tag.number + 1, at_ns: now_ns });
    }

    #[cold]
    fn mark(&mut self) {
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        let next = self.lanes.iter().map(|lane| lane.next).collect();
        self.marks.push_back(Mark { seq: self.end, next });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::Limits;

    fn view() -> View {
        View::new(Snapshots::new(Limits::default()))
    }

    fn tick(lane: u16, number: u64) -> Tag {
        Tag { lane, number, key: 1 }
    }

    #[test]
    fn knows_how_far_each_channel_is() {
        let mut view = view();
        view.saw(tick(7, 1), 10);
        view.saw(tick(9, 5), 20);
        view.saw(tick(7, 2), 30);
        view.saw(tick(7, 0), 40);
        assert_eq!(view.end(), 4);
        assert_eq!((view.next(7), view.next(9), view.next(8)), (3, 6, 1));
        assert_eq!(view.lane(7), Some(&Lane { number: 7, next: 3, at_ns: 40 }));
    }

    #[test]
    fn channels_of_snapshots_alone_are_not_kept() {
        let mut view = view();
        (0..=u16::MAX).for_each(|lane| view.saw(tick(lane, 0), 0));
        assert!(view.lanes().is_empty());
        view.saw(Tag { lane: 7, number: 0, key: Tag::EVERYONE }, 0);
        assert_eq!(view.lanes(), [Lane { number: 7, next: 1, at_ns: 0 }]);
    }

    #[test]
    fn knows_about_how_far_a_channel_was_at_a_place() {
        let mut view = view();
        for number in 1..=3 * MARK_ENTRIES {
            view.saw(tick(7, number), 0);
        }
        assert_eq!(view.next_at(7, 0), 1);
        assert_eq!(view.next_at(7, MARK_ENTRIES - 1), 1);
        assert_eq!(view.next_at(7, MARK_ENTRIES), MARK_ENTRIES + 1);
        assert_eq!(view.next_at(7, 3 * MARK_ENTRIES), 2 * MARK_ENTRIES + 1);
        assert_eq!(view.next_at(8, 3 * MARK_ENTRIES), 1);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut view = view();
        for number in 1..=(MARKS_MAX as u64 + 2) * MARK_ENTRIES {
            view.saw(tick(7, number), 0);
        }
        assert_eq!(view.marks.len(), MARKS_MAX);
        assert_eq!(view.next_at(7, 0), 1);
        assert_eq!(view.next_at(7, 2 * MARK_ENTRIES), 2 * MARK_ENTRIES + 1);
    }
}
