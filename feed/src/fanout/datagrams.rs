//! Readers that get the newest snapshots as datagrams: what of it is due to them each turn.
//!
//! A datagram may be lost and is then not sent again: what comes next for its security is newer. Only when nothing has come
//! for a while its last one is sent once more. When the way to a reader is full, what it was to get is not queued: it is found
//! again in the store of last snapshots, by then perhaps newer, as for a conflated reader.

use super::Fanout;
use crate::ingest::LOG;
use crate::metrics::Metrics;
use crate::subscriber::Stage;
use crate::subscription::{RequestError, SlowReader, Subscription};
use crate::view::View;
use flow::{Filter, Seq, Tag};
use shard::{ConnId, Cx};
use std::ops::Range;
use transport::Datagram;
use wire::szse::ext::{DATAGRAM_SEQ_LEN, encode_datagram};

/// Entries of the log that are looked at for one reader in one turn.
const ENTRIES_PER_TURN: u64 = 16_384;
/// When a way that is full is tried again.
const FULL_NS: u64 = 2_000_000;
/// Bytes of snapshots too long for a datagram that may wait for the stream.
const STREAM_BYTES: usize = 16 << 10;

/// How far one reader was given the newest snapshots.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The next entry of the log to look at.
    at: Seq,
    /// It has left the log and goes through the store.
    catching_up: Option<Pass>,
    /// What is sent once more.
    refresh: Pass,
    /// When that begins.
    refresh_at_ns: u64,
}

/// A way through the store.
#[derive(Debug)]
struct Pass {
    /// Where in the store.
    place: usize,
    /// Which places in the log it is about.
    seqs: Range<Seq>,
}

impl Pass {
    fn of(seqs: Range<Seq>) -> Self {
        Self { place: 0, seqs }
    }

    /// Whether it got to its end.
    fn go_on(&mut self, view: &View, filter: &Filter, take: impl FnMut(Seq, &[u8]) -> bool) -> bool {
        match view.snapshots.each(self.place, &self.seqs, filter, take) {
            Some(place) => {
                self.place = place;
                false
            }
            None => true,
        }
    }
}

/// One reader's connection, and what is counted of it.
struct Way<'a> {
    cx: &'a mut Cx,
    id: ConnId,
    bytes: &'a mut Vec<u8>,
    metrics: &'a Metrics,
}

impl Way<'_> {
    /// Sends a snapshot; `false` when the way is full.
    fn send(&mut self, seq: Seq, frame: &[u8]) -> bool {
        self.bytes.clear();
        encode_datagram(seq, frame, self.bytes);
        self.send_bytes()
    }

    fn send_bytes(&mut self) -> bool {
        match self.cx.send_datagram(self.id, self.bytes) {
            Datagram::Sent => self.metrics.datagrams.inc(),
            Datagram::TooLong if self.cx.waiting_bytes(self.id) < STREAM_BYTES => {
                self.metrics.datagrams_too_long.inc();
                let frame = &self.bytes[DATAGRAM_SEQ_LEN..];
                self.cx.send(self.id, |out| out.extend_from_slice(frame));
            }
            Datagram::Full | Datagram::TooLong => {
                self.metrics.datagrams_full.inc();
                return false;
            }
            // Its connection is ending.
            Datagram::Unsupported => {}
        }
        true
    }
}

impl Datagrams {
    pub(super) fn new(view: &View, want_snapshots: bool) -> Self {
        let end = view.end();
        let catching_up = want_snapshots.then(|| Pass::of(0..end));
        Self { at: end, catching_up, refresh: Pass::of(end..end), refresh_at_ns: 0 }
    }

    /// Sends what is due, and says when to go on.
    fn send(&mut self, way: &mut Way<'_>, view: &View, filter: &Filter, refresh_ns: u64) -> u64 {
        let now_ns = way.cx.now_ns();
        if let Some(pass) = &mut self.catching_up {
            if !pass.go_on(view, filter, |seq, frame| way.send(seq, frame)) {
                return now_ns + FULL_NS;
            }
            self.catching_up = None;
        }
        let until = way.cx.log(LOG).end().min(self.at + ENTRIES_PER_TURN);
        while self.at < until {
            if !self.next_entry(way, filter) {
                // What has changed since, until it is caught up with, is in the store.
                let end = view.end();
                self.catching_up = Some(Pass::of(self.at..Seq::MAX));
                self.at = end;
                return now_ns + FULL_NS;
            }
        }
        if now_ns >= self.refresh_at_ns {
            let take = |seq, frame: &[u8]| {
                let taken = way.send(seq, frame);
                way.metrics.datagrams_refreshed.inc_by(u64::from(taken));
                taken
            };
            if !self.refresh.go_on(view, filter, take) {
                return now_ns + FULL_NS;
            }
            self.refresh = Pass::of(self.refresh.seqs.end..self.at);
            self.refresh_at_ns = now_ns + refresh_ns;
        }
        if self.at < view.end() { now_ns } else { self.refresh_at_ns }
    }

    /// Looks at one entry of the log; `false` when it is gone, or the way is full.
    fn next_entry(&mut self, way: &mut Way<'_>, filter: &Filter) -> bool {
        let taken = match way.cx.log(LOG).entry(self.at) {
            Ok(Some(entry)) if is_snapshot(entry.tag) && filter.passes(entry.tag) => {
                way.bytes.clear();
                encode_datagram(self.at, entry.frame, way.bytes);
                way.send_bytes()
            }
            Ok(_) => true,
            Err(_) => false,
        };
        self.at += u64::from(taken);
        taken
    }
}

fn is_snapshot(tag: Tag) -> bool {
    tag.number == 0 && tag.key != Tag::EVERYONE
}

/// Whether a connection can have what a subscription asks for.
///
/// # Errors
/// [`RequestError::NoDatagrams`].
pub(super) fn possible(
    cx: &Cx,
    id: ConnId,
    subscription: Subscription,
) -> Result<Subscription, RequestError> {
    let wanted = subscription.slow_reader == SlowReader::Datagrams && subscription.filter.is_some();
    if wanted && cx.datagram_bytes_max(id).is_none() {
        return Err(RequestError::NoDatagrams);
    }
    Ok(subscription)
}

impl Fanout {
    /// Sends those readers what is due to them, and says when to be called again at the latest.
    pub(crate) fn send_datagrams(&mut self, cx: &mut Cx, view: &View) -> Option<u64> {
        let refresh_ns = self.config.datagram_refresh_ms * 1_000_000;
        let (mut again_ns, mut index) = (None::<u64>, 0);
        while let Some(&id) = self.by_datagram.get(index) {
            let subscriber = self.subscribers.get_mut(id.index()).and_then(Option::as_mut);
            let Some(subscriber) = subscriber.filter(|subscriber| subscriber.id == id) else {
                self.by_datagram.swap_remove(index);
                continue;
            };
            let filter =
                subscriber.subscription.as_ref().and_then(|subscription| subscription.filter.as_ref());
            let (Stage::Datagrams(datagrams), Some(filter)) = (&mut subscriber.stage, filter) else {
                self.by_datagram.swap_remove(index);
                continue;
            };
            let mut way = Way { cx, id, bytes: &mut self.datagram, metrics: &self.metrics };
            let at_ns = datagrams.send(&mut way, view, filter, refresh_ns);
            again_ns = Some(again_ns.map_or(at_ns, |earliest| earliest.min(at_ns)));
            index += 1;
        }
        again_ns
    }
}
