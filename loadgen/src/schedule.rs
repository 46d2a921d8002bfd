//! When each message is due, and how late the generator itself was.
//!
//! Open loop: message `i` is due at a time that follows from `i` and the rate alone. Nobody's answer, no full socket and
//! no batch moves it, so that a latency counted from the due time holds the wait that a closed loop hides.

use std::ops::Range;

use serde::{Deserialize, Serialize};

const NS_PER_SECOND: u128 = 1_000_000_000;

/// Rates that may follow each other in one schedule.
pub const PIECES_MAX: usize = 8;

/// Equal steps from a start, or several such pieces one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pieces: [Piece; PIECES_MAX],
    /// Pieces of these that there are.
    used: usize,
    count: u64,
}

/// Messages in equal steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Piece {
    start_ns: u64,
    rate_per_s: u64,
    /// The first message.
    first: u64,
}

impl Piece {
    #[inline]
    fn due_ns(&self, index: u64) -> u64 {
        let offset_ns = u128::from(index - self.first) * NS_PER_SECOND / u128::from(self.rate_per_s);
        self.start_ns.saturating_add(u64::try_from(offset_ns).unwrap_or(u64::MAX))
    }
}

/// One sender's part of a schedule that several share: every `of`-th message, from `which` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of the senders, from 0.
    pub which: u64,
    /// How many senders there are.
    pub of: u64,
}

impl Share {
    /// The one sender of all messages.
    pub const ALL: Self = Self { which: 0, of: 1 };

    /// The message of the whole schedule that is this sender's `index`-th.
    #[inline]
    #[must_use]
    pub fn message(self, index: u64) -> u64 {
        self.which + index * self.of
    }

    /// How many of the schedule's first `count` messages are this sender's.
    #[inline]
    #[must_use]
    pub fn part(self, count: u64) -> u64 {
        count.saturating_sub(self.which).div_ceil(self.of)
    }
}

impl Schedule {
    /// `count` messages at `rate_per_s`, the first at `start_ns`.
    ///
    /// # Panics
    /// At a rate of 0.
    #[must_use]
    pub fn new(start_ns: u64, rate_per_s: u64, count: u64) -> Self {
        assert!(rate_per_s > 0, "a rate of 0 never sends");
        let mut pieces = [Piece::default(); PIECES_MAX];
        pieces[0] = Piece { start_ns, rate_per_s, first: 0 };
        Self { pieces, used: 1, count }
    }

    /// After these messages `count` more at `rate_per_s`, the first of them at `start_ns`.
    ///
    /// # Panics
    /// At a rate of 0, when they would begin before the last of these is due, and beyond [`PIECES_MAX`].
    #[must_use]
    pub fn then(mut self, start_ns: u64, rate_per_s: u64, count: u64) -> Self {
        assert!(rate_per_s > 0 && start_ns >= self.end_ns(), "a later piece, with a rate");
        self.pieces[self.used] = Piece { start_ns, rate_per_s, first: self.count };
        self.used += 1;
        self.count += count;
        self
    }

    /// When message `index` is due. No rounding error adds up: every due time is computed from its piece's start.
    #[inline]
    #[must_use]
    pub fn due_ns(&self, index: u64) -> u64 {
        self.pieces[self.piece(index)].due_ns(index)
    }

    /// Of which piece message `index` is.
    #[inline]
    fn piece(&self, index: u64) -> usize {
        self.pieces[1..self.used].iter().take_while(|piece| piece.first <= index).count()
    }

    /// The messages of a piece; of one that there is not, none.
    fn messages(&self, piece: usize) -> Range<u64> {
        let first =
            |piece: usize| self.pieces[..self.used].get(piece).map_or(self.count, |piece| piece.first);
        first(piece)..first(piece + 1)
    }

    /// How many messages are due at `now_ns` or before.
    #[inline]
    #[must_use]
    pub fn due_count(&self, now_ns: u64) -> u64 {
        let later = self.pieces[1..self.used].iter().take_while(|piece| piece.start_ns <= now_ns).count();
        let (piece, end) = (&self.pieces[later], self.messages(later).end);
        let Some(elapsed_ns) = now_ns.checked_sub(piece.start_ns) else { return 0 };
        // The largest i with floor(i * 10^9 / rate) <= elapsed, plus one.
        let first_later =
            ((u128::from(elapsed_ns) + 1) * u128::from(piece.rate_per_s)).div_ceil(NS_PER_SECOND);
        u64::try_from(first_later).unwrap_or(u64::MAX).saturating_add(piece.first).min(end)
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When the last message is due.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.due_ns(self.count.saturating_sub(1))
    }
}

/// Hands out what is due, and keeps the generator's own account.
#[derive(Clone, Debug)]
pub struct Pacer {
    schedule: Schedule,
    share: Share,
    /// Messages of this share handed out so far.
    next: u64,
    /// What of a piece goes out later than this goes out after the piece's last message should have.
    over_ns: [u64; PIECES_MAX],
    ended: bool,
    lag: Lag,
}

impl Pacer {
    /// At the schedule's beginning.
    #[must_use]
    pub fn new(schedule: Schedule, share: Share, tolerance_ns: u64) -> Self {
        let (mut over_ns, mut lag) = ([0; PIECES_MAX], Lag::new(tolerance_ns));
        for (piece, over_ns) in over_ns.iter_mut().enumerate() {
            let messages = schedule.messages(piece);
            if !messages.is_empty() {
                *over_ns = schedule.due_ns(messages.end - 1).saturating_add(tolerance_ns);
            }
            lag.pieces[piece].first = messages.start;
        }
        Self { schedule, share, next: 0, over_ns, ended: false, lag }
    }

    /// The messages to send now, at most `batch_max`, as indices of this share (see [`Share::message`]): each still has
    /// a due time of its own. They count as sent at `now_ns`.
    #[inline]
    pub fn take(&mut self, now_ns: u64, batch_max: u64) -> Range<u64> {
        let due = self.share.part(self.schedule.due_count(now_ns));
        let end = if self.ended { self.next } else { due.min(self.next.saturating_add(batch_max)) };
        let batch = self.next..end.max(self.next);
        if !batch.is_empty() {
            let oldest_ns = self.schedule.due_ns(self.share.message(batch.start));
            self.lag.sent(batch.end - batch.start, now_ns.saturating_sub(oldest_ns));
            self.account(batch.clone(), now_ns);
            self.next = batch.end;
        }
        batch
    }

    /// Which messages of a batch go out in the time of their piece.
    #[inline]
    fn account(&mut self, mut batch: Range<u64>, now_ns: u64) {
        while !batch.is_empty() {
            let piece = self.schedule.piece(self.share.message(batch.start));
            let end = self.share.part(self.schedule.messages(piece).end).min(batch.end);
            let count = end - batch.start;
            if now_ns > self.over_ns[piece] {
                self.lag.overran(count);
            } else {
                self.lag.pieces[piece].in_time += count;
            }
            batch.start = end;
        }
    }

    /// Hands out no more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// When the next message is due; `None` after the last.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        let message = self.share.message(self.next);
        (message < self.schedule.count && !self.ended).then(|| self.schedule.due_ns(message))
    }

    /// Messages handed out so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// The whole schedule.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Which part of it this is.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// The generator's own lateness.
    #[must_use]
    pub fn lag(&self) -> &Lag {
        &self.lag
    }
}

/// How late the generator was against its own schedule: not the server's doing, but inside every latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    tolerance_ns: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages in batches whose oldest was later than the tolerance.
    pub late: u64,
    /// How late the latest message was, nanoseconds.
    pub max_ns: u64,
    /// How often the generator fell behind, having been on time before.
    pub spells: u64,
    /// Messages sent when the last of their piece should have been, by more than the tolerance.
    pub overrun: u64,
    behind: bool,
    pieces: [OfPiece; PIECES_MAX],
}

/// What is accounted for of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OfPiece {
    /// The first message of it; the schedule's end where there is no such piece, and no number where no schedule is known.
    first: u64,
    /// Messages of it that went out before its end.
    in_time: u64,
}

impl Lag {
    /// Nothing sent yet; what is at most `tolerance_ns` late counts as on time.
    #[must_use]
    pub fn new(tolerance_ns: u64) -> Self {
        let pieces = [OfPiece { first: u64::MAX, in_time: 0 }; PIECES_MAX];
        Self { tolerance_ns, sent: 0, late: 0, max_ns: 0, spells: 0, overrun: 0, behind: false, pieces }
    }

    /// `count` messages went out, the oldest of them `lag_ns` after its due time.
    pub fn sent(&mut self, count: u64, lag_ns: u64) {
        let behind = lag_ns > self.tolerance_ns;
        self.sent += count;
        self.max_ns = self.max_ns.max(lag_ns);
        if behind {
            self.late += count;
            self.spells += u64::from(!self.behind);
        }
        self.behind = behind;
    }

    /// What is later than this is late, nanoseconds.
    #[must_use]
    pub fn tolerance_ns(&self) -> u64 {
        self.tolerance_ns
    }

    /// `count` of the messages that went out did so after the end of their piece.
    pub fn overran(&mut self, count: u64) {
        self.overrun += count;
    }

    /// Messages sent while their piece lasted.
    #[must_use]
    pub fn in_time(&self) -> u64 {
        self.sent.saturating_sub(self.overrun)
    }

    /// Both accounts together, for several sending threads of one schedule.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let of_both = |piece: usize| {
            let (one, other) = (self.pieces[piece], other.pieces[piece]);
            OfPiece { first: one.first.min(other.first), in_time: one.in_time + other.in_time }
        };
        Self {
            tolerance_ns: self.tolerance_ns.max(other.tolerance_ns),
            sent: self.sent + other.sent,
            late: self.late + other.late,
            max_ns: self.max_ns.max(other.max_ns),
            spells: self.spells + other.spells,
            overrun: self.overrun + other.overrun,
            behind: self.behind || other.behind,
            pieces: std::array::from_fn(of_both),
        }
    }

    /// Share of messages that were late, 0 to 1.
    #[must_use]
    pub fn late_share(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.late as f64 / self.sent as f64 }
    }

    /// What of each piece went out in its time, and what should have, where `planned` messages of the schedule were to be sent. A
    /// burst may be a small part of the whole; of a piece of a few messages, one would be too large a part.
    fn of_pieces(&self, planned: u64) -> impl Iterator<Item = (u64, u64)> {
        let ends = self.pieces[1..].iter().map(|piece| piece.first).chain([u64::MAX]);
        let piece = move |(piece, end): (&OfPiece, u64)| {
            (piece.in_time, end.min(planned).saturating_sub(piece.first))
        };
        self.pieces.iter().zip(ends).map(piece).filter(|(_, planned)| *planned >= JUDGED_MIN)
    }

    /// What is to be said of a run with this lag that was to send `planned` messages.
    #[must_use]
    pub fn verdict(&self, planned: u64) -> Verdict {
        // Less than 99 % of the plan is another rate than the one in the table's head. What went out when all of its piece
        // should have been sent does not count: with enough time any generator sends it all.
        let fell_short = |in_time: u64, planned: u64| u128::from(in_time) * 100 < u128::from(planned) * 99;
        if fell_short(self.in_time(), planned)
            || self.of_pieces(planned).any(|(in_time, planned)| fell_short(in_time, planned))
        {
            Verdict::NotHeld
        } else if self.late_share() > LATE_SHARE_MAX {
            Verdict::Late
        } else {
            Verdict::Held
        }
    }
}

/// Messages of a piece from which on it is judged by itself.
const JUDGED_MIN: u64 = 100;

/// A thousandth of the messages late can no longer touch p99, but is p99.9.
const LATE_SHARE_MAX: f64 = 0.001;

/// Whether the generator did what it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figures stand.
    Held,
    /// It sent everything, but a part late: the high percentiles hold the generator's own lag.
    Late,
    /// It did not send what it should have in the time that it had: the figures are those of another, lower rate.
    NotHeld,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_does_not_move_due_times() {
        let mut pacer = Pacer::new(Schedule::new(1_000, 1_000_000, 10), Share::ALL, 0);
        assert_eq!(pacer.take(999, 100), 0..0);
        assert_eq!(pacer.take(1_000, 100), 0..1);
        // Four microseconds asleep: four are due, the oldest three microseconds ago.
        assert_eq!(pacer.take(5_000, 100), 1..5);
        assert_eq!(pacer.schedule().due_ns(1), 2_000);
        assert_eq!(pacer.lag().max_ns, 3_000);
        assert_eq!(pacer.take(20_000, 3), 5..8);
        assert_eq!(pacer.next_due_ns(), Some(9_000));
        assert_eq!(pacer.take(20_000, 3), 8..10);
        assert_eq!((pacer.take(u64::MAX, 3), pacer.next_due_ns()), (10..10, None));
    }

    #[test]
    fn spells_of_lateness_are_counted_once_each() {
        let mut lag = Lag::new(10);
        for lag_ns in [0, 11, 500, 9, 12, 0] {
            lag.sent(2, lag_ns);
        }
        assert_eq!((lag.sent, lag.late, lag.max_ns, lag.spells), (12, 6, 500, 2));
        assert_eq!(lag.verdict(12), Verdict::Late);
        assert_eq!(lag.verdict(13), Verdict::NotHeld);
        assert_eq!(Lag::new(10).verdict(0), Verdict::Held);
    }

    #[test]
    fn what_is_sent_after_the_end_is_not_the_rate_that_was_asked_for() {
        let plays = |step_ns: u64| {
            // A thousand messages in a second, by a generator that sends one in `step_ns`.
            let mut pacer = Pacer::new(Schedule::new(0, 1_000, 1_000), Share::ALL, 5_000_000);
            let mut now_ns = 0;
            while pacer.next_due_ns().is_some() {
                pacer.take(now_ns, 1);
                now_ns += step_ns;
            }
            (pacer.sent(), *pacer.lag())
        };
        let (sent, lag) = plays(10_000_000);
        assert_eq!((sent, lag.in_time(), lag.verdict(1_000)), (1_000, 101, Verdict::NotHeld));
        let (sent, lag) = plays(1_000_000);
        assert_eq!((sent, lag.in_time(), lag.verdict(1_000)), (1_000, 1_000, Verdict::Held));
        // Late by more than the tolerance, but all of it went out before the end.
        let mut pacer = Pacer::new(Schedule::new(0, 1_000, 1_000), Share::ALL, 5_000_000);
        pacer.take(999_000_000, 1_000);
        assert_eq!(pacer.lag().verdict(1_000), Verdict::Late);
        // Whose orders wait for answers has no tolerance, and so no end.
        let mut pacer = Pacer::new(Schedule::new(0, 1_000, 1_000), Share::ALL, u64::MAX);
        pacer.take(u64::MAX, 1_000);
        assert_eq!(pacer.lag().verdict(1_000), Verdict::Held);
    }

    /// What a generator of `of` threads that sends one message in `step_ns` makes of a schedule.
    fn played(schedule: Schedule, of: u64, step_ns: u64) -> Lag {
        let mut lag = Lag::new(0);
        for which in 0..of {
            let mut pacer = Pacer::new(schedule, Share { which, of }, 5_000_000);
            let mut now_ns = 0;
            while pacer.next_due_ns().is_some() {
                pacer.take(now_ns, 1);
                now_ns += step_ns * of;
            }
            lag = lag.merged(*pacer.lag());
        }
        lag
    }

    #[test]
    fn a_burst_that_goes_out_in_the_quiet_after_it_was_not_held() {
        // 1,000 a second for a second, then 10 a second for 20; the generator manages 200 a second.
        let burst = Schedule::new(0, 1_000, 1_000).then(1_000_000_000, 10, 200);
        for of in [1, 2] {
            let lag = played(burst, of, 5_000_000);
            assert_eq!((lag.sent, lag.in_time(), lag.verdict(1_200)), (1_200, 401, Verdict::NotHeld));
            assert_eq!(played(burst, of, 100_000).verdict(1_200), Verdict::Held);
        }
        // One batch over both: each of its messages is of its own piece.
        let mut pacer = Pacer::new(burst, Share::ALL, 0);
        assert_eq!(pacer.take(1_500_000_000, u64::MAX), 0..1_006);
        assert_eq!((pacer.lag().overrun, pacer.lag().in_time()), (1_000, 6));
    }

    #[test]
    fn a_burst_counts_however_small_a_part_of_the_plan_it_is() {
        // It lasts 20 ms and is less than 1 % of all; the generator manages a fifth of its rate.
        let with_burst = |count| Schedule::new(0, 10_000, count).then(20_000_000, 1_000, 30_000);
        let lag = played(with_burst(200), 1, 500_000);
        assert!(lag.in_time() * 100 > 30_200 * 99, "{lag:?}");
        assert_eq!(lag.verdict(30_200), Verdict::NotHeld);
        // Of a few messages, those that wait for the next turn are a large part.
        assert_eq!(played(with_burst(99), 1, 500_000).verdict(30_099), Verdict::Late);
    }

    #[test]
    fn shares_together_are_the_whole() {
        let schedule = Schedule::new(0, 1_000, 10);
        let mut sent = Vec::new();
        for which in 0..3 {
            let mut pacer = Pacer::new(schedule, Share { which, of: 3 }, 0);
            while let Some(due_ns) = pacer.next_due_ns() {
                if let Some(before_ns) = due_ns.checked_sub(1) {
                    assert!(pacer.take(before_ns, 9).is_empty());
                }
                sent.extend(pacer.take(due_ns, 9).map(|index| pacer.share().message(index)));
            }
            assert_eq!(pacer.sent(), Share { which, of: 3 }.part(10));
        }
        sent.sort_unstable();
        assert_eq!(sent, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn pieces_follow_each_other_and_may_leave_a_pause() {
        let schedule = Schedule::new(100, 1_000_000_000, 3).then(1_000, 500_000_000, 2).then(2_000, 1, 1);
        let due: Vec<u64> = (0..6).map(|index| schedule.due_ns(index)).collect();
        assert_eq!(due, [100, 101, 102, 1_000, 1_002, 2_000]);
        assert_eq!(
            [99, 100, 500, 1_000, 1_001, 1_999, 2_000, u64::MAX].map(|now_ns| schedule.due_count(now_ns)),
            [0, 1, 3, 4, 4, 5, 6, 6]
        );
        assert_eq!((schedule.count(), schedule.end_ns()), (6, 2_000));
    }

    proptest! {
        /// `due_count` is the inverse of `due_ns`, at rates that do not divide a second too.
        #[test]
        fn count_and_time_agree(rate in 1_u64..5_000_000, index in 0_u64..100_000_000, start in 0_u64..1 << 60) {
            let schedule = Schedule::new(start, rate, u64::MAX);
            let due = schedule.due_ns(index);
            prop_assert!(schedule.due_count(due) > index);
            if due > start {
                prop_assert!(schedule.due_count(due - 1) <= index);
            }
        }
    }
}
