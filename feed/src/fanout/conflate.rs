//! Slow readers that want the newest of each security: what they get in place of what they could not take.
//!
//! Such a reader leaves the log when it is too far behind. From then on it is given snapshots, a small part whenever it has
//! taken the part before, and goes back to the log once it has all that there is. Nothing is queued for it meanwhile: the
//! place in the log that each last snapshot has tells whether it is newer than what this reader was given, so that one
//! that stands still costs the same after a second and after an hour.

use super::Fanout;
use crate::ingest::{LOG, gap_notice};
use crate::snapshots::Progress;
use crate::subscriber::{Stage, Subscriber};
use crate::subscription::SlowReader;
use crate::view::View;
use flow::{Cursor, Filter, Selection, Seq, Tag};
use shard::{ConnId, Cx};
use wire::szse::ext::GapReason;
use wire::szse::frame;

/// Bytes of snapshots in one part, about: what may be old by the time that its reader goes on reading.
const BYTES_PER_PART: usize = 16 << 10;

/// How far one reader was given the newest snapshots.
#[derive(Debug)]
pub(crate) struct Conflated {
    progress: Progress,
    /// Of each channel, in the view's order, the first number of which this reader was not told that it will not come;
    /// `None` when it has left out nothing: it comes late.
    told: Option<Box<[u64]>>,
}

impl Conflated {
    /// Of a reader that begins with the last snapshots.
    pub(super) fn late(view: &View) -> Self {
        Self { progress: Progress::start(view.end()), told: None }
    }
}

impl Fanout {
    /// Takes a reader off the log that wants to be conflated and is further behind than it may be.
    pub(super) fn conflate_who_is_behind(&mut self, cx: &mut Cx, view: &View, id: ConnId) {
        let Some(Some(subscriber)) = self.subscribers.get(id.index()) else { return };
        let wanted = matches!(subscriber.stage, Stage::Following)
            && subscriber.subscription.as_ref().is_some_and(|s| s.slow_reader == SlowReader::Conflate);
        if !wanted || cx.behind(id) <= self.config.conflate_behind_count {
            return;
        }
        let Some((_, at, selection)) = cx.following(id) else { return };
        let was = selection.clone();
        self.conflate(cx, view, id, at.seq(), &was);
        cx.detach(id);
    }

    /// A reader that stood at `at` leaves the log: it is told what it will not get, and given the snapshots that have come
    /// since then.
    pub(super) fn conflate(&mut self, cx: &mut Cx, view: &View, id: ConnId, at: Seq, was: &Selection) {
        let Some(Some(subscriber)) = self.subscribers.get_mut(id.index()) else { return };
        self.metrics.conflated.inc();
        let told = tell(cx, view, id, was.filter(), |lane, _| {
            view.next_at(lane, at).max(was.floor(lane).unwrap_or(1))
        });
        let progress = Progress::since(at, view.end());
        subscriber.stage = Stage::Conflated(Conflated { progress, told: Some(told) });
        cx.tell_when_drained(id);
    }

    /// The next part for a reader that has taken the one before, or its way back to the log.
    pub(super) fn give_newest(
        &mut self,
        cx: &mut Cx,
        view: &View,
        subscriber: &mut Subscriber,
        mut conflated: Conflated,
    ) {
        let id = subscriber.id;
        let subscription = subscriber.subscription.as_ref();
        let Some(filter) = subscription.and_then(|subscription| subscription.filter.as_ref()) else { return };
        if cx.waiting_bytes(id) == 0 && self.out.is_empty() {
            let (out, mut count) = (&mut self.out, 0);
            let send = |frame: &[u8]| {
                out.extend_from_slice(frame);
                count += 1;
            };
            let rest = view.snapshots.after(conflated.progress, filter, view.end(), BYTES_PER_PART, send);
            if conflated.told.is_some() {
                self.metrics.conflated_snapshots.inc_by(count);
            }
            self.flush(cx, id);
            match (rest, &conflated.told) {
                (Some(progress), _) => conflated.progress = progress,
                (None, Some(told)) => {
                    let selection = Selection::new(filter.clone());
                    tell(cx, view, id, filter, |_, place| told.get(place).copied().unwrap_or(1));
                    cx.attach(id, LOG, Cursor::at(view.end()), selection);
                    subscriber.stage = Stage::Following;
                    return;
                }
                (None, None) => return self.follow(cx, view, subscriber),
            }
        }
        subscriber.stage = Stage::Conflated(conflated);
        cx.tell_when_drained(id);
    }
}

/// Tells a reader, of each channel that it wants, the numbers that it will not get: from `begin` (of the channel and its
/// place in the view) to the present. Returns where the channels are.
fn tell(
    cx: &mut Cx,
    view: &View,
    id: ConnId,
    filter: &Filter,
    begin: impl Fn(u16, usize) -> u64,
) -> Box<[u64]> {
    for (place, lane) in view.lanes().iter().enumerate() {
        let begin = begin(lane.number, place);
        let probe = Tag { lane: lane.number, number: lane.next, key: Tag::EVERYONE };
        if begin < lane.next && filter.passes(probe) {
            let notice = gap_notice(lane.number, begin, lane.next - 1, GapReason::SLOW_READER);
            cx.send(id, |out| frame::encode(&notice, out));
        }
    }
    view.lanes().iter().map(|lane| lane.next).collect()
}
