//! What books count.

use super::books::Books;
use super::security::State;
use super::tally::{Outcome, Tally};

service::metrics! {
    /// What books count.
    pub(crate) struct Metrics {
        /// Securities with a book, by how much it claims: whole, healed (by a snapshot), waiting (for one), given up.
        securities: IntGaugeVec = "feed_book_securities" ["state"],
        /// Orders that rest in all books.
        orders: IntGauge = "feed_book_orders",
        /// Ticks applied to books.
        ticks: IntCounter = "feed_book_ticks_total",
        /// Snapshots of the exchange by what came of holding them against the book.
        checks: IntCounterVec = "feed_book_checks_total" ["outcome"],
        /// Times that a book was set right by a snapshot: after a hole, or because it differed.
        healed: IntCounter = "feed_book_healed_total",
        /// Ticks about an order that is not there, or is there already, or that no order can have.
        unmatched: IntCounter = "feed_book_ticks_unmatched_total",
        /// Holes in a channel that books went through.
        gaps: IntCounter = "feed_book_gaps_total",
        /// Books given up, by reason.
        given_up: IntCounterVec = "feed_book_given_up_total" ["reason"],
        /// Frames of securities for which there is no book, because there are as many as may be.
        no_room: IntCounter = "feed_book_no_room_total",
        /// Entries that are on channels of a source with numbers of its own, and in no book.
        own: IntCounter = "feed_book_own_numbers_total",
        /// Entries of the log that the thread of the books was too slow for.
        missed: IntCounter = "feed_book_entries_missed_total",
        /// Snapshots made of books and published.
        published: IntCounter = "feed_book_published_total",
        /// Snapshots made of books that the thread of the log had no room for: newer ones follow.
        not_taken: IntCounter = "feed_book_not_taken_total",
    }
}

/// Carries over what is new.
#[derive(Debug)]
pub(super) struct Exporter {
    metrics: Metrics,
    before: Tally,
}

impl Exporter {
    pub(super) fn new(metrics: Metrics) -> Self {
        let exporter = Self { metrics, before: Tally::default() };
        exporter.outcomes(&Tally::default());
        exporter
    }

    pub(super) fn export(&mut self, books: &mut Books) {
        let mut states = [("whole", 0), ("healed", 0), ("waiting", 0), ("given up", 0)];
        for book in books.each() {
            let index = match book.state {
                State::Whole => 0,
                State::Healed => 1,
                State::Waiting => 2,
                State::GivenUp(_) => 3,
            };
            states[index].1 += 1;
        }
        for (state, count) in states {
            self.metrics.securities.with_label_values(&[state]).set(count);
        }
        self.metrics.orders.set(books.orders() as i64);
        let now = *books.tally();
        self.outcomes(&now);
        let (metrics, before) = (&self.metrics, self.before);
        metrics.ticks.inc_by(now.ticks - before.ticks);
        metrics.healed.inc_by(now.healed - before.healed);
        metrics.unmatched.inc_by(now.unmatched - before.unmatched);
        metrics.gaps.inc_by(now.gaps - before.gaps);
        metrics.no_room.inc_by(now.no_room - before.no_room);
        metrics.own.inc_by(now.own - before.own);
        metrics.missed.inc_by(now.missed - before.missed);
        metrics.published.inc_by(now.published - before.published);
        metrics.not_taken.inc_by(now.not_taken - before.not_taken);
        self.before = now;
    }

    /// By label; all labels are there from the beginning, so that an alert can tell none from nothing.
    fn outcomes(&self, now: &Tally) {
        for (outcome, name) in Outcome::ALL {
            let new = now.outcomes[outcome as usize] - self.before.outcomes[outcome as usize];
            self.metrics.checks.with_label_values(&[name]).inc_by(new);
        }
        for (index, name) in ["orders in a book", "orders in all", "two channels"].into_iter().enumerate() {
            let new = now.given_up[index] - self.before.given_up[index];
            self.metrics.given_up.with_label_values(&[name]).inc_by(new);
        }
    }
}
