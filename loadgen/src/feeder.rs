//! What a source sends: made-up quotes at a rate, or a recorded day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flow::{Tag, Writer};

use crate::due::Notes;
use crate::padded::Padded;
use crate::schedule::{Lag, Pacer};
use crate::ticks::{Day, Tick, TimeOfDay};

/// Messages that one turn may append, so that what was appended goes out before more is.
const BATCH_MAX: u64 = 1_024;
/// At full speed, so many messages may be on their way to the slowest reader.
const AHEAD_MAX: u64 = 32_768;
/// How soon a source at full speed looks again whether the readers have caught up.
const AGAIN_NS: u64 = 200_000;

/// What a source sends.
#[expect(clippy::large_enum_variant, reason = "a run has one, and that is boxed")]
pub enum Feeder {
    /// Quotes of some channels in turn, at a rate.
    Rate {
        /// When they are due.
        pacer: Pacer,
        /// How they look in each channel.
        quotes: Vec<Padded>,
        /// ChannelNo of the first; those of the others follow it.
        channel: u16,
    },
    /// A recorded day.
    Day(Box<Replay>),
}

impl Feeder {
    /// Appends what is due. Returns the highest number appended so far, over all channels together.
    pub fn append(&mut self, now_ns: u64, log: &mut Writer) -> u64 {
        match self {
            Self::Rate { pacer, quotes, channel } => {
                let channels = quotes.len() as u64;
                for index in pacer.take(now_ns, BATCH_MAX) {
                    let (which, number) = (index % channels, index / channels + 1);
                    let tag = Tag { lane: *channel + which as u16, number, key: Tag::EVERYONE };
                    append(log, tag, quotes[which as usize].frame(number));
                }
                pacer.sent()
            }
            Self::Day(replay) => replay.append(now_ns, log),
        }
    }

    /// When there is more to append; `None` at the end.
    #[must_use]
    pub fn next_due_ns(&self, now_ns: u64) -> Option<u64> {
        match self {
            Self::Rate { pacer, .. } => pacer.next_due_ns(),
            Self::Day(replay) => replay.next_due_ns(now_ns),
        }
    }

    /// The source's own lateness.
    #[must_use]
    pub fn lag(&self) -> Lag {
        match self {
            Self::Rate { pacer, .. } => *pacer.lag(),
            Self::Day(replay) => replay.lag(),
        }
    }
}

fn append(log: &mut Writer, tag: Tag, frame: &[u8]) {
    log.append(tag, frame).expect("invariant: numbers ascend, and frames are shorter than a segment");
}

/// How fast a day goes by.
#[derive(Clone, Debug)]
pub enum Speed {
    /// So many times as fast as it was.
    Times(f64),
    /// As fast as the slowest reader takes it: what each reader has received is read here.
    Full(Vec<Arc<AtomicU64>>),
}

/// A recorded day on its way.
pub struct Replay {
    day: Day,
    speed: Speed,
    start_ns: u64,
    first: TimeOfDay,
    noted_channel: u16,
    next: Option<Tick>,
    frame: Vec<u8>,
    notes: Arc<Notes>,
    sent: u64,
    lag: Lag,
    /// When the last message sent was due, and how much later it went out.
    last: (u64, u64),
}

impl Replay {
    /// From the day's first row on, which is due at `start_ns`. Due times go to `notes`, by number; a day of several
    /// channels notes those of the first alone.
    #[must_use]
    pub fn new(mut day: Day, speed: Speed, start_ns: u64, notes: Arc<Notes>, lag: Lag) -> Self {
        let mut frame = Vec::new();
        let next = day.next(&mut frame);
        let (first, noted_channel) = next.map_or((TimeOfDay::default(), 0), |tick| (tick.time, tick.channel));
        Self {
            day,
            speed,
            start_ns,
            first,
            noted_channel,
            next,
            frame,
            notes,
            sent: 0,
            lag,
            last: (start_ns, 0),
        }
    }

    fn append(&mut self, now_ns: u64, log: &mut Writer) -> u64 {
        let mut batch = 0;
        while batch < BATCH_MAX
            && let Some(tick) = self.next
            && let Some(due_ns) = self.due_ns(tick, now_ns).filter(|due_ns| *due_ns <= now_ns)
        {
            self.lag.sent(1, now_ns - due_ns);
            self.last = (due_ns, now_ns - due_ns);
            if tick.number > 0 {
                self.sent += 1;
            }
            if tick.channel == self.noted_channel {
                self.notes.set(tick.number, due_ns);
            }
            let Tick { channel: lane, number, .. } = tick;
            append(log, Tag { lane, number, key: Tag::EVERYONE }, &self.frame);
            self.frame.clear();
            self.next = self.day.next(&mut self.frame);
            batch += 1;
        }
        self.sent
    }

    /// When a row is due: at full speed now, but `None` while the readers are too far behind.
    fn due_ns(&self, tick: Tick, now_ns: u64) -> Option<u64> {
        match &self.speed {
            Speed::Times(times) => {
                let recorded_ms = tick.time.ms.saturating_sub(self.first.ms);
                Some(self.start_ns + (f64::from(recorded_ms) * 1e6 / times) as u64)
            }
            Speed::Full(received) => {
                let slowest = received.iter().map(|count| count.load(Ordering::Relaxed)).min();
                let behind = slowest.map_or(0, |slowest| self.sent.saturating_sub(slowest));
                (behind < AHEAD_MAX).then_some(now_ns.max(self.start_ns))
            }
        }
    }

    /// The lateness. When a day ends is not known before it is read: of one that took longer than it was to, what went out after
    /// its end is told by how much longer that was, as if it had been sent evenly.
    fn lag(&self) -> Lag {
        let (due_ns, late_ns) = self.last;
        let mut lag = self.lag;
        if late_ns > lag.tolerance_ns() {
            let planned_ns = due_ns.saturating_sub(self.start_ns);
            let beyond = u128::from(lag.sent) * u128::from(late_ns) / u128::from(planned_ns + late_ns);
            lag.overran(u64::try_from(beyond).unwrap_or(u64::MAX));
        }
        lag
    }

    fn next_due_ns(&self, now_ns: u64) -> Option<u64> {
        self.next.map(|tick| self.due_ns(tick, now_ns).unwrap_or(now_ns + AGAIN_NS))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn log() -> Writer {
        Writer::new(flow::Limits::default())
    }

    fn replay(speed: Speed, notes: &Arc<Notes>) -> Replay {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sse/20240105");
        Replay::new(Day::open(&folder, None).unwrap(), speed, 1_000, notes.clone(), Lag::new(0))
    }

    #[test]
    fn a_day_goes_by_as_fast_as_it_is_told() {
        let (notes, mut log) = (Arc::new(Notes::default()), log());
        let mut replay = replay(Speed::Times(60.0), &notes);
        // The sample's first row is a snapshot of 08:45:00, its first order is of 09:15:00.020: half a minute at 60 x.
        assert_eq!(replay.append(1_000, &mut log), 0);
        assert_eq!(log.end(), 1);
        let due_ns = 1_000 + 30_000_333_333;
        assert_eq!(replay.next_due_ns(1_000), Some(due_ns));
        assert_eq!(replay.append(due_ns - 1, &mut log), 0);
        assert_eq!(replay.append(due_ns, &mut log), 1);
        assert_eq!(notes.get(1), Some(due_ns));
        while let Some(next_ns) = replay.next_due_ns(0) {
            replay.append(next_ns, &mut log);
        }
        assert_eq!((log.end(), replay.sent, replay.lag.max_ns), (81, 72, 0));
        assert_eq!(replay.lag().in_time(), replay.lag().sent);
    }

    #[test]
    fn a_day_that_takes_twice_as_long_as_it_was_to_was_not_played_as_fast() {
        let notes = Arc::new(Notes::default());
        let (mut in_time, mut first_log) = (replay(Speed::Times(60.0), &notes), log());
        while let Some(due_ns) = in_time.next_due_ns(0) {
            in_time.append(due_ns, &mut first_log);
        }
        let (end_ns, _) = in_time.last;
        let (mut late, mut second_log) = (replay(Speed::Times(60.0), &notes), log());
        late.append(1_000 + (end_ns - 1_000) * 2, &mut second_log);
        assert_eq!((late.lag().sent, late.lag().in_time()), (81, 41));
        assert_eq!(late.lag().verdict(72), crate::schedule::Verdict::NotHeld);
    }

    #[test]
    fn full_speed_waits_for_the_slowest_reader() {
        let (notes, mut log) = (Arc::new(Notes::default()), log());
        let readers = vec![Arc::new(AtomicU64::new(100)), Arc::new(AtomicU64::new(0))];
        let mut replay = replay(Speed::Full(readers.clone()), &notes);
        replay.sent = AHEAD_MAX;
        assert_eq!(replay.append(5_000, &mut log), AHEAD_MAX);
        assert_eq!(replay.next_due_ns(5_000), Some(5_000 + AGAIN_NS));
        readers[1].store(100, Ordering::Relaxed);
        assert_eq!(replay.append(6_000, &mut log), AHEAD_MAX + 72);
        assert_eq!((notes.get(AHEAD_MAX + 1), notes.get(1)), (None, Some(6_000)));
        assert_eq!(replay.next_due_ns(6_000), None);
    }
}
