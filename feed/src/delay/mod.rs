//! Snapshots some minutes late, for accounts that may not see them live: a log of its own for each delay.
//!
//! The log of quotes holds seconds or minutes of a busy day, so nobody stands in it a quarter of an hour behind. Instead
//! the shard that writes it samples each security's snapshots, holds the samples in a ring of bounded bytes
//! ([`line::Line`]), and appends them to the delayed logs when they are due. A delayed subscriber follows such a log as
//! others follow the live one, with the same filters; all shards know the last delayed snapshots ([`Tap`]).

mod line;

pub(crate) use line::{Counters, Line, Settings};

use crate::ingest::LOG;
use crate::snapshots::{self, Snapshots};
use crate::view::View;
use flow::{Entry, NoLongerHeld, Reader, Tag};
use shard::{Cx, LogId};
use wire::szse::ext::STREAM_BOOK;
use wire::szse::market::Snapshot;
use wire::szse::{GroupMessage, frame};

/// The delayed log of one delay, as a shard knows it.
pub(crate) struct Tap {
    minutes: u16,
    log: LogId,
    view: View,
}

/// The delayed logs, as a shard knows them.
#[derive(Default)]
pub(crate) struct Taps(Vec<Tap>);

impl Taps {
    /// For these delays, whose logs stand behind the log of quotes in this order.
    pub(crate) fn new(delays_min: &[u16], limits: snapshots::Limits) -> Self {
        let tap = |(index, minutes): (usize, &u16)| Tap {
            minutes: *minutes,
            log: LogId(LOG.0 + 1 + index),
            view: View::new(Snapshots::new(limits)),
        };
        Self(delays_min.iter().enumerate().map(tap).collect())
    }

    /// What a subscriber with this delay follows, and what is known of it: for none the log of quotes with its `live`
    /// view.
    ///
    /// # Panics
    /// For a delay that is not offered: the logon refuses such a right.
    pub(crate) fn of<'a>(&'a self, delay_min: u16, live: &'a View) -> (LogId, &'a View) {
        if delay_min == 0 {
            return (LOG, live);
        }
        let tap = self.0.iter().find(|tap| tap.minutes == delay_min);
        let tap = tap.expect("invariant: a right's delay is one of those offered");
        (tap.log, &tap.view)
    }

    /// Walks along what was published of the delayed logs.
    pub(crate) fn follow(&mut self, cx: &Cx) {
        for tap in &mut self.0 {
            let (log, now_ns) = (cx.log(tap.log), cx.now_ns());
            tap.follow(log, now_ns);
        }
    }
}

impl Tap {
    fn follow(&mut self, log: &Reader, now_ns: u64) {
        while self.view.end() < log.end() {
            match log.entry(self.view.end()) {
                Ok(Some(entry)) => {
                    if let Some(snapshot) = snapshot(&entry) {
                        let (stream, time) = (&snapshot.head.md_stream_id, snapshot.head.orig_time.raw());
                        self.view.snapshots.offer(entry.tag, stream, time, entry.seq, entry.frame);
                    }
                    self.view.saw(entry.tag, now_ns);
                }
                Ok(None) => return,
                Err(NoLongerHeld { oldest }) => self.view.skip_to(oldest),
            }
        }
    }
}

/// The snapshot in an entry, if it is one of the exchange's: those of our own books are made of ticks, which nobody sees late.
fn snapshot<'a>(entry: &Entry<'a>) -> Option<Snapshot<'a>> {
    if entry.tag.number != 0 || entry.tag.key == Tag::EVERYONE {
        return None;
    }
    let body = &entry.frame[frame::HEADER_LEN..entry.frame.len() - frame::TRAILER_LEN];
    Snapshot::parse(body).ok().filter(|snapshot| snapshot.head.md_stream_id != STREAM_BOOK)
}
