//! When a number was due, for those who receive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::szse::Timestamp;

use crate::schedule::{Schedule, Share};

/// How a receiver knows when a number was due.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a thread of receivers has one")]
pub enum Due {
    /// By the rate, over so many channels in turn from this one on: number 1 of that is the schedule's first message.
    Rate {
        /// All of them together.
        schedule: Schedule,
        /// The first channel.
        channel: u16,
        /// How many there are.
        channels: u16,
    },
    /// As the sender noted it.
    Noted(Arc<Notes>),
    /// By the time stamp in the message, which is of whole milliseconds: the latency is up to 1 ms too long. The run's
    /// clock began at this time of day, nanoseconds since 1970.
    Stamped {
        /// When the run's clock stood at 0.
        origin_ns: i64,
    },
    /// Not at all: latencies are not recorded.
    Unknown,
}

impl Due {
    /// By the rate, in one channel.
    #[must_use]
    pub fn rate(schedule: Schedule, channel: u16) -> Self {
        Self::Rate { schedule, channel, channels: 1 }
    }

    /// When `number` of `channel`, stamped so, was due; `None` where that is not known (any more).
    #[inline]
    #[must_use]
    pub fn ns(
        &self,
        (channel, number): (u16, u64),
        stamp: impl FnOnce() -> Option<Timestamp>,
    ) -> Option<u64> {
        match self {
            Self::Rate { schedule, channel: first, channels } => {
                let which = channel.checked_sub(*first).filter(|which| which < channels)?;
                let share = Share { which: which.into(), of: (*channels).into() };
                Some(schedule.due_ns(share.message(number.checked_sub(1)?)))
            }
            Self::Noted(notes) => notes.get(number),
            Self::Stamped { origin_ns } => {
                let unix_ns = i64::try_from(stamp()?.to_unix_ns()?).ok()?;
                u64::try_from(unix_ns - origin_ns).ok()
            }
            Self::Unknown => None,
        }
    }
}

/// Bits of a note that hold the time: three days in nanoseconds.
const TIME_BITS: u32 = 48;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;
/// Numbers remembered: what may be on its way, 8 MiB.
const NOTES: usize = 1 << 20;

/// A ring of due times by number, written by one thread and read by others without a lock.
///
/// A note holds the time and which lap of the ring it is from, in one word, so that a reader that is a lap behind sees
/// that its note is gone instead of taking another number's.
#[derive(Debug)]
pub struct Notes {
    ring: Box<[AtomicU64]>,
}

impl Default for Notes {
    fn default() -> Self {
        Self { ring: (0..NOTES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Notes {
    /// Number 1 to 2^20 are lap 1, so that an empty note is of no number's lap.
    fn place(&self, number: u64) -> (&AtomicU64, u64) {
        let place = (number % NOTES as u64) as usize;
        (&self.ring[place], (number / NOTES as u64 + 1) & (u64::MAX >> TIME_BITS))
    }

    /// Notes when `number` is due; before the number is sent.
    #[inline]
    pub fn set(&self, number: u64, due_ns: u64) {
        let (note, lap) = self.place(number);
        // Relaxed: the frame itself reaches the reader through a socket, long after this word.
        note.store(lap << TIME_BITS | due_ns.min(TIME_MAX), Ordering::Relaxed);
    }

    /// When `number` was due, if it is still noted.
    #[inline]
    #[must_use]
    pub fn get(&self, number: u64) -> Option<u64> {
        let (note, lap) = self.place(number);
        let noted = note.load(Ordering::Relaxed);
        (noted >> TIME_BITS == lap).then_some(noted & TIME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_another_lap_is_none() {
        let notes = Notes::default();
        assert_eq!(notes.get(5), None);
        notes.set(5, 1_000);
        assert_eq!((notes.get(5), notes.get(5 + NOTES as u64)), (Some(1_000), None));
        notes.set(5 + NOTES as u64, 2_000);
        assert_eq!((notes.get(5), notes.get(5 + NOTES as u64)), (None, Some(2_000)));
    }

    #[test]
    fn the_first_message_is_number_one() {
        let due = Due::Rate { schedule: Schedule::new(500, 1_000_000, 9), channel: 7, channels: 1 };
        let ns = |number| due.ns((7, number), || None);
        assert_eq!((ns(1), ns(3), ns(0)), (Some(500), Some(2_500), None));
    }

    #[test]
    fn channels_take_turns() {
        let due = Due::Rate { schedule: Schedule::new(0, 1_000_000, 9), channel: 7, channels: 3 };
        let ns = |channel, number| due.ns((channel, number), || None);
        assert_eq!([ns(7, 1), ns(8, 1), ns(9, 1), ns(7, 2)], [0, 1_000, 2_000, 3_000].map(Some));
        assert_eq!([ns(6, 1), ns(10, 1)], [None, None], "of another channel");
    }

    #[test]
    fn a_stamp_is_a_time_of_the_run() {
        let due = Due::Stamped { origin_ns: 1_000_000_000 };
        let stamp = |unix_ns| Some(Timestamp::from_unix_ns(unix_ns));
        assert_eq!(due.ns((1, 1), || stamp(1_234_567_890)), Some(234_000_000));
        assert_eq!((due.ns((1, 1), || None), due.ns((1, 1), || stamp(999_999_999))), (None, None));
    }
}
