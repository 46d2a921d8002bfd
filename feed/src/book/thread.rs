//! The thread of the books: follows the log at its own pace, and hands over what is published.

use super::books::Books;
use super::metrics::{Exporter, Metrics};
use super::publish::Publication;
use super::status::Ask;
use crate::app::Command;
use flow::{NoLongerHeld, Reader, Seq};
use shard::Handle;
use std::sync::Weak;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How often it looks whether there is more.
const LOOK: Duration = Duration::from_millis(5);
/// Entries taken before anything else has its turn.
const BATCH: usize = 4_096;
/// How often what is counted is carried over, nanoseconds.
const EXPORT_NS: u64 = 500_000_000;

/// Follows the log.
pub(crate) struct Follower {
    log: Reader,
    /// The next entry.
    at: Seq,
    books: Books,
    config: super::BookConfig,
    /// The shard that writes the log.
    writer: Handle<Command>,
    asks: Receiver<Ask>,
    exporter: Exporter,
    publish_at_ns: u64,
    export_at_ns: u64,
}

impl Follower {
    /// `log` is a reader that has seen nothing; `own_from` the first channel of a source with numbers of its own, here or in a feed
    /// before this one.
    pub(crate) fn new(
        log: Reader,
        (config, own_from): (super::BookConfig, u16),
        writer: Handle<Command>,
        asks: Receiver<Ask>,
        metrics: Metrics,
    ) -> Self {
        Self {
            log,
            at: 0,
            books: Books::new(config.limits()).below(own_from),
            config,
            writer,
            asks,
            exporter: Exporter::new(metrics),
            publish_at_ns: 0,
            export_at_ns: 0,
        }
    }

    /// Follows the log until nobody writes it any more: until what `alive` points at is gone.
    pub(crate) fn run(mut self, alive: &Weak<()>) {
        let clock = transport::Clock::start();
        loop {
            let ended = alive.strong_count() == 0;
            let more = self.batch();
            let now_ns = clock.now_ns();
            self.publish(now_ns);
            while let Ok(ask) = self.asks.try_recv() {
                ask.answer(&self.books);
            }
            if now_ns >= self.export_at_ns || ended {
                self.export_at_ns = now_ns + EXPORT_NS;
                self.exporter.export(&mut self.books);
            }
            if ended && !more {
                return;
            }
            if !more {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Takes some entries; whether there may be more.
    fn batch(&mut self) -> bool {
        self.log.refresh();
        for _ in 0..BATCH {
            match self.log.entry(self.at) {
                Ok(Some(entry)) => {
                    self.books.take(entry.tag, entry.frame);
                    self.at += 1;
                }
                Ok(None) => return false,
                Err(NoLongerHeld { oldest }) => {
                    tracing::warn!(entries = oldest - self.at, "the books are behind the log");
                    self.books.missed(oldest - self.at);
                    self.at = oldest;
                }
            }
        }
        true
    }

    /// Hands over the books that have changed; those that are not taken have their turn next time, as they are then.
    fn publish(&mut self, now_ns: u64) {
        let Some(interval_ns) = self.config.publish_interval_ns() else { return };
        if now_ns < self.publish_at_ns {
            return;
        }
        self.publish_at_ns = now_ns + interval_ns;
        while self.books.has_changed() {
            let mut publication = Publication::default();
            self.books.publish(self.config.publish_channel, &mut publication);
            let count = publication.len() as u64;
            if count == 0 {
                continue;
            }
            let tally = self.books.tally();
            match self.writer.send(Command::Publish(Box::new(publication))) {
                Ok(()) => tally.published += count,
                Err(refused) => {
                    tally.not_taken += count;
                    if let Command::Publish(publication) = refused {
                        self.books.publish_again(&publication);
                    }
                    return;
                }
            }
        }
    }
}
