//! Hot path (where a source numbers in its own way): which of its messages are new, and under which number each goes out.
//!
//! A number above those before it on its channel is new. Two things are not believed of one message, but only when the channel's next
//! one follows it, above it by at most `jump_max`; until then it is kept, and nothing of it is lost:
//!
//! - A **jump**: a number more than `jump_max` ahead. One damaged number would silence the channel up to there.
//! - A **new beginning**: a number that was there before, at a time after every time before it. What is sent again has the time at which it
//!   was sent first, so it is not that: the source numbers from anew. The first message of it goes out under the number that comes next
//!   on the channel, the others as far behind it as the source has them.
//!
//! Rules: a look through the channels, of which there are few; nothing is allocated for a message that is the next one.

use super::own::Counters;
use wire::szse::Timestamp;

/// One channel of the source.
#[derive(Debug)]
struct Channel<T> {
    channel: u16,
    /// The number after the last one, as it goes out; 0 before the first.
    next: u64,
    /// Added to its numbers since it began again.
    added: u64,
    /// The latest time of a message that was believed.
    latest: Timestamp,
    /// The same when it began again: what is not later is sent again from before that, under numbers that mean something else now.
    before: Option<Timestamp>,
    doubted: Option<Doubted<T>>,
}

/// A message whose number is not believed yet.
#[derive(Debug)]
struct Doubted<T> {
    number: u64,
    time: Timestamp,
    message: T,
}

/// The numbers of one source; `T` is what is kept of a message that is not believed yet.
#[derive(Debug)]
pub(super) struct Numbering<T> {
    channels: Vec<Channel<T>>,
    channels_max: usize,
    jump_max: u64,
}

/// A message that is new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct New<T> {
    /// Goes out under this number.
    pub(super) number: u64,
    /// The one before it, which it has made believed, with its number.
    pub(super) before: Option<(u64, T)>,
}

impl<T> Numbering<T> {
    pub(super) fn new(channels_max: usize, jump_max: u64) -> Self {
        Self { channels: Vec::new(), channels_max, jump_max }
    }

    /// A message of this number, from 1, and time has come; `None` if it does not go out, or not yet. `keep` makes what is kept of it.
    pub(super) fn hear(
        &mut self,
        (channel, number, time): (u16, u64, Timestamp),
        keep: impl FnOnce() -> T,
        counters: &mut Counters,
    ) -> Option<New<T>> {
        let (jump_max, room) = (self.jump_max, self.channels.len() < self.channels_max);
        let at = match self.channels.iter().position(|known| known.channel == channel) {
            None if room => {
                let latest = Timestamp::ZERO;
                self.channels.push(Channel {
                    channel,
                    next: 0,
                    added: 0,
                    latest,
                    before: None,
                    doubted: None,
                });
                self.channels.len() - 1
            }
            at => at.or_else(|| refuse(counters))?,
        };
        let channel = &mut self.channels[at];
        if channel.before.is_some_and(|before| time <= before) {
            counters.again += 1;
            return None;
        }
        let out = channel.added.checked_add(number).filter(|out| *out < i64::MAX as u64);
        let out = out.or_else(|| refuse(counters))?;
        let ahead = out.checked_sub(channel.next.max(1));
        if ahead.is_some_and(|ahead| ahead <= jump_max) {
            counters.unbelieved += u64::from(channel.doubted.take().is_some());
            channel.go_on(out, time, counters);
            return Some(New { number: out, before: None });
        }
        if ahead.is_none() && time <= channel.latest {
            counters.again += 1;
            return None;
        }
        let follows = |first: &Doubted<T>| {
            (first.number + 1..=first.number.saturating_add(jump_max)).contains(&number) && time >= first.time
        };
        let Some(first) = channel.doubted.take_if(|first| follows(first)) else {
            let doubted = Doubted { number, time, message: keep() };
            counters.unbelieved += u64::from(channel.doubted.replace(doubted).is_some());
            return None;
        };
        if ahead.is_none() {
            counters.restarts += 1;
            let (channel_no, from) = (channel.channel, first.number);
            tracing::warn!(
                channel = channel_no,
                from,
                "the source with numbers of its own numbers from anew"
            );
            // Above what was added before: its first number was there.
            channel.added = channel.next - first.number;
            channel.before = Some(channel.latest);
        }
        let (before, number) = (channel.added + first.number, channel.added + number);
        channel.go_on(before, first.time, counters);
        channel.go_on(number, time, counters);
        Some(New { number, before: Some((before, first.message)) })
    }
}

impl<T> Channel<T> {
    fn go_on(&mut self, number: u64, time: Timestamp, counters: &mut Counters) {
        if self.next != 0 {
            counters.missing += number - self.next;
        }
        self.next = number + 1;
        self.latest = self.latest.max(time);
    }
}

/// Channel or number has no place.
#[cold]
fn refuse<T>(counters: &mut Counters) -> Option<T> {
    counters.refused += 1;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of one channel, and what came of it.
    struct Source {
        numbering: Numbering<u64>,
        counters: Counters,
    }

    impl Source {
        fn new() -> Self {
            Self { numbering: Numbering::new(2, 100), counters: Counters::default() }
        }

        /// The numbers under which something goes out after this message.
        fn hear(&mut self, number: u64, time: i64) -> Vec<u64> {
            self.on(7, number, time)
        }

        fn on(&mut self, channel: u16, number: u64, time: i64) -> Vec<u64> {
            let time = Timestamp::from_raw(time);
            let new = self.numbering.hear((channel, number, time), || number, &mut self.counters);
            let out = |new: New<u64>| new.before.map(|(before, _)| before).into_iter().chain([new.number]);
            new.into_iter().flat_map(out).collect()
        }
    }

    #[test]
    fn numbers_ascend_and_what_is_left_out_or_comes_again_is_counted() {
        let mut source = Source::new();
        let out: Vec<_> = [(5, 1), (6, 1), (9, 2), (8, 2), (6, 1), (10, 2)]
            .into_iter()
            .flat_map(|(number, time)| source.hear(number, time))
            .collect();
        assert_eq!(out, [5, 6, 9, 10]);
        assert_eq!((source.counters.missing, source.counters.again), (2, 2));
    }

    #[test]
    fn a_source_that_begins_again_at_1_goes_on_under_the_channels_next_numbers() {
        let mut source = Source::new();
        (1..=50).for_each(|number| assert_eq!(source.hear(number, 10), [number]));
        assert_eq!(source.hear(1, 11), [0_u64; 0], "one message alone is not believed");
        assert_eq!(source.hear(2, 11), [51, 52], "and not lost");
        assert_eq!(source.hear(3, 12), [53]);
        assert_eq!(source.hear(6, 12), [56]);
        assert_eq!((source.counters.restarts, source.counters.missing), (1, 2));
        assert_eq!(source.hear(50, 10), [0_u64; 0], "sent again from before");
        // And once more, in the middle.
        assert_eq!(source.hear(4, 13), [0_u64; 0]);
        assert_eq!(source.hear(5, 13), [57, 58]);
        assert_eq!((source.counters.restarts, source.counters.unbelieved, source.counters.again), (2, 0, 1));
    }

    #[test]
    fn what_is_sent_again_is_no_new_beginning() {
        let mut source = Source::new();
        (1..=50).for_each(|number| assert_eq!(source.hear(number, number as i64), [number]));
        (1..=50).for_each(|number| assert_eq!(source.hear(number, number as i64), [0_u64; 0]));
        assert_eq!(source.hear(51, 50), [51]);
        assert_eq!((source.counters.restarts, source.counters.again), (0, 50));
        // One of them damaged is none either.
        assert_eq!(source.hear(20, 99), [0_u64; 0]);
        assert_eq!(source.hear(52, 51), [52]);
        assert_eq!((source.counters.restarts, source.counters.unbelieved), (0, 1));
    }

    #[test]
    fn a_jump_is_believed_when_the_next_message_follows_it() {
        let mut source = Source::new();
        assert_eq!(
            source.hear(1_000_000, 1),
            [0_u64; 0],
            "a channel may begin there, but not for one message"
        );
        assert_eq!(source.hear(1_000_007, 1), [1_000_000, 1_000_007]);
        assert_eq!(source.counters.missing, 6);
        assert_eq!(source.hear(u64::MAX >> 2, 2), [0_u64; 0]);
        assert_eq!(source.hear(1_000_008, 2), [1_000_008], "a damaged number silences nothing");
        assert_eq!(source.hear(2_000_000, 3), [0_u64; 0]);
        assert_eq!(source.hear(2_000_001, 3), [2_000_000, 2_000_001]);
        assert_eq!((source.counters.restarts, source.counters.unbelieved), (0, 1));
    }

    #[test]
    fn there_are_as_many_channels_as_may_be_and_no_number_overflows() {
        let mut source = Source::new();
        assert_eq!(source.on(1, 1, 1), [1]);
        assert_eq!(source.on(2, 1, 1), [1]);
        assert_eq!(source.on(3, 1, 1), [0_u64; 0]);
        assert_eq!(source.counters.refused, 1);
        (2..=60).for_each(|number| assert_eq!(source.on(1, number, 1), [number]));
        assert_eq!(source.on(1, 1, 2), [0_u64; 0]);
        assert_eq!(source.on(1, 2, 2), [61, 62]);
        assert_eq!(source.on(1, i64::MAX as u64 - 1, 3), [0_u64; 0], "with what is added it is none");
        assert_eq!(source.counters.refused, 2);
        assert_eq!(source.on(1, 3, 3), [63]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_what_goes_out_ascends(
            heard in proptest::collection::vec((1..300_u64, 0..50_i64), 0..300)
        ) {
            let mut source = Source::new();
            let out: Vec<_> = heard.into_iter().flat_map(|(number, time)| source.hear(number, time)).collect();
            proptest::prop_assert!(out.is_sorted_by(|a, b| a < b), "{out:?}");
        }
    }
}
