//! What is on disk, for subscribers: asked of another thread piece by piece, as they take it, until memory goes on.

use super::{Fanout, attach};
use crate::ingest::LOG;
use crate::place::Place;
use crate::replay::Part;
use crate::retention::{Answer, Reading, Retention, Want};
use crate::subscriber::{Stage, Subscriber};
use crate::subscription::{SlowReader, Subscription};
use crate::view::View;
use flow::Selection;
use shard::{ConnId, Cx, LogId, Reason};

/// As many read from disk as may.
const TOO_MANY: &str = "too many read from disk";

impl Fanout {
    /// The disk, for who may see the present: it is not for those who are kept behind the market.
    pub(super) fn retained(&self, subscriber: &Subscriber) -> Option<&Retention> {
        self.retention.as_ref().map(|(retention, _)| retention).filter(|_| subscriber.delay_min() == 0)
    }

    /// Whether what a subscription begins with is held, or need not be.
    pub(super) fn may_begin(
        &self,
        cx: &Cx,
        view: &View,
        subscriber: &Subscriber,
        subscription: &Subscription,
    ) -> bool {
        subscription.slow_reader != SlowReader::Disconnect
            || Place::of(cx, view, &subscription.starts, self.retained(subscriber)).missed.is_empty()
    }

    fn refused(&self, reason: &'static str) -> &'static str {
        self.metrics.retention_refused.with_label_values(&[reason]).inc();
        reason
    }

    /// Lets a subscriber begin at its place, be that in memory or on disk.
    pub(super) fn begin(&mut self, cx: &mut Cx, subscriber: &mut Subscriber, log: LogId, place: Place) {
        let Some(record) = place.record else {
            let (seq, floors) = (place.seq, place.floors.clone());
            return attach(cx, subscriber, &place, (log, seq), floors);
        };
        match self.retained(subscriber).and_then(Retention::seat) {
            Some(seat) => {
                self.readings += 1;
                let reading = Reading::new(seat, record, self.readings);
                subscriber.stage = Stage::Recalled { place: Box::new(place), reading };
            }
            None => cx.close(subscriber.id, Reason::App(self.refused(TOO_MANY))),
        }
    }

    /// Asks for what a subscriber lacks of the disk, or lets it go on in memory.
    pub(super) fn recall(
        &self,
        cx: &mut Cx,
        subscriber: &mut Subscriber,
        place: Box<Place>,
        mut reading: Reading,
        room: bool,
    ) {
        let filter = subscriber.subscription.as_ref().and_then(|subscription| subscription.filter.clone());
        let (Some((retention, handle)), Some(filter)) = (&self.retention, filter) else { return };
        if !reading.asked
            && let Some(seq) = retention.in_memory(cx.log(LOG), reading.record)
        {
            return attach(cx, subscriber, &place, (LOG, seq), place.floors_in_memory());
        }
        if !reading.asked && room {
            let selection = Selection::new(filter).from_numbers(place.floors.iter().copied());
            reading.asked = retention.ask(handle, (subscriber.id, &reading), Want::Selection(selection));
        }
        subscriber.stage = Stage::Recalled { place, reading };
    }

    /// The same for the resend request whose turn it is.
    pub(super) fn recall_resend(&mut self, cx: &Cx, subscriber: &mut Subscriber, room: bool) {
        let Some((retention, handle)) = &self.retention else { return };
        let Some(replay) = subscriber.replays.front_mut() else { return };
        let log = cx.log(LOG);
        if let Some(record) = replay.on_disk(log, retention) {
            // Without a seat it is answered with what is in memory.
            let Some(seat) = retention.seat() else {
                self.metrics.retention_refused.with_label_values(&[TOO_MANY]).inc();
                return;
            };
            self.readings += 1;
            replay.reading = Some(Reading::new(seat, record, self.readings));
        }
        let want = replay.want();
        let Some(reading) = replay.reading.as_mut().filter(|reading| !reading.asked) else { return };
        if let Some(seq) = retention.in_memory(log, reading.record) {
            replay.go_on_at(seq);
        } else if room {
            reading.asked = retention.ask(handle, (subscriber.id, reading), want);
        }
    }

    /// What a subscriber may see has changed: what it has asked for under its old right is not for it.
    pub(super) fn ask_again(&mut self, subscriber: &mut Subscriber) {
        let of_stage = match &mut subscriber.stage {
            Stage::Recalled { reading, .. } => Some(reading),
            _ => None,
        };
        for reading in
            of_stage.into_iter().chain(subscriber.replays.iter_mut().filter_map(|r| r.reading.as_mut()))
        {
            self.readings += 1;
            (reading.ticket, reading.asked) = (self.readings, false);
        }
    }

    /// A piece of what is on disk.
    pub(crate) fn on_recalled(&mut self, cx: &mut Cx, id: ConnId, piece: &Answer) {
        let Some(mut subscriber) = self.take(id) else { return };
        self.metrics.retention_pieces.inc();
        let mine = |reading: &Reading| reading.ticket == piece.ticket;
        if let Some(replay) = subscriber.replays.front_mut().filter(|r| r.reading.as_ref().is_some_and(mine))
        {
            if let Part::Done(status, frames) = replay.recalled(piece, &mut self.out) {
                subscriber.replays.pop_front();
                self.metrics.resends.with_label_values(&[status.name().unwrap_or("?")]).inc();
                self.metrics.resent_frames.inc_by(frames);
            }
        } else if let Stage::Recalled { reading, .. } = &mut subscriber.stage
            && mine(reading)
        {
            (reading.record, reading.asked) = (piece.next, false);
            self.out.extend_from_slice(&piece.frames);
            if piece.gone {
                cx.close(id, Reason::App(self.refused("no longer on disk")));
            }
        }
        self.flush(cx, id);
        self.put_back(subscriber);
    }
}
