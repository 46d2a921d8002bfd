//! The samples that wait for their time.

use super::snapshot;
use crate::ingest::LOG;
use flow::{NoLongerHeld, Seq, Tag};
use shard::{Cx, LogId};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// What a sample takes besides its frame, about, bytes.
const OVERHEAD_BYTES: usize = 128;

/// What came of the snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Samples that found no room to wait.
    pub(crate) dropped: u64,
    /// Entries of the log that were let go before they were looked at.
    pub(crate) missed: u64,
    /// Bytes that wait.
    pub(crate) bytes: usize,
}

/// How samples are taken and held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Of a security's snapshots in so long a time the last one is taken, nanoseconds.
    pub(crate) sample_ns: u64,
    /// Bytes that may wait.
    pub(crate) bytes_max: usize,
}

/// A security and an MDStreamID.
type Place = (u32, [u8; 3]);

/// A sample.
#[derive(Debug)]
struct Sample {
    /// When it was taken: not before any of what it says was published.
    at_ns: u64,
    tag: Tag,
    frame: Vec<u8>,
}

/// Where one delay stands.
#[derive(Debug)]
struct Reach {
    delay_ns: u64,
    /// Samples released, of all that ever waited.
    released: u64,
}

/// Samples of the log's snapshots, held until they are due.
#[derive(Debug)]
pub(crate) struct Line {
    settings: Settings,
    /// The next entry of the log to look at.
    next: Seq,
    /// The newest of what is being sampled.
    open: HashMap<Place, (Tag, Vec<u8>)>,
    /// When those samples close, in order.
    closing: VecDeque<(u64, Place)>,
    held: VecDeque<Sample>,
    /// Samples that waited before the first one held.
    first: u64,
    reaches: Vec<Reach>,
    counters: Counters,
}

impl Line {
    pub(crate) fn new(delays_min: &[u16], settings: Settings) -> Self {
        let reach = |minutes: &u16| Reach { delay_ns: u64::from(*minutes) * 60_000_000_000, released: 0 };
        Self {
            settings,
            next: 0,
            open: HashMap::new(),
            closing: VecDeque::new(),
            held: VecDeque::new(),
            first: 0,
            reaches: delays_min.iter().map(reach).collect(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Looks at what was published of the log of quotes.
    pub(crate) fn follow(&mut self, cx: &Cx) {
        let (log, now_ns) = (cx.log(LOG), cx.now_ns());
        loop {
            match log.entry(self.next) {
                Ok(Some(entry)) => {
                    if let Some(snapshot) = snapshot(&entry) {
                        let place = (entry.tag.key, *snapshot.head.md_stream_id.as_bytes());
                        self.offer(now_ns, place, entry.tag, entry.frame);
                    }
                    self.next += 1;
                }
                Ok(None) => return,
                Err(NoLongerHeld { oldest }) => {
                    self.counters.missed += oldest - self.next;
                    self.next = oldest;
                }
            }
        }
    }

    /// Appends to the delayed logs what is due.
    pub(crate) fn release(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        self.due(now_ns, |index, tag, frame| {
            let appended = cx.writer(LogId(LOG.0 + 1 + index)).append(tag, frame);
            appended.expect("invariant: a snapshot has no number, and was in such a log already");
        });
    }

    fn offer(&mut self, now_ns: u64, place: Place, tag: Tag, frame: &[u8]) {
        match self.open.entry(place) {
            Entry::Occupied(mut sample) => {
                let (newest, bytes) = sample.get_mut();
                *newest = tag;
                self.counters.bytes = self.counters.bytes - bytes.len() + frame.len();
                bytes.clear();
                bytes.extend_from_slice(frame);
            }
            Entry::Vacant(_)
                if self.counters.bytes + frame.len() + OVERHEAD_BYTES > self.settings.bytes_max =>
            {
                self.counters.dropped += 1;
            }
            Entry::Vacant(sample) => {
                self.counters.bytes += frame.len() + OVERHEAD_BYTES;
                sample.insert((tag, frame.to_vec()));
                self.closing.push_back((now_ns + self.settings.sample_ns, place));
            }
        }
    }

    fn due(&mut self, now_ns: u64, mut append: impl FnMut(usize, Tag, &[u8])) {
        while let Some((at_ns, place)) = self.closing.front().copied() {
            if at_ns > now_ns {
                break;
            }
            self.closing.pop_front();
            if let Some((tag, frame)) = self.open.remove(&place) {
                self.held.push_back(Sample { at_ns: now_ns, tag, frame });
            }
        }
        for (index, reach) in self.reaches.iter_mut().enumerate() {
            let waiting = self.held.iter().skip((reach.released - self.first) as usize);
            for sample in waiting.take_while(|sample| sample.at_ns + reach.delay_ns <= now_ns) {
                append(index, sample.tag, &sample.frame);
                reach.released += 1;
            }
        }
        let released = self.reaches.iter().map(|reach| reach.released).min().unwrap_or(self.first);
        for sample in self.held.drain(..(released - self.first) as usize) {
            self.counters.bytes -= sample.frame.len() + OVERHEAD_BYTES;
        }
        self.first = released;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn line(bytes_max: usize) -> Line {
        Line::new(&[1, 15], Settings { sample_ns: 3 * SECOND, bytes_max })
    }

    fn offer(line: &mut Line, now_ns: u64, key: u32, frame: &[u8]) {
        line.offer(now_ns, (key, *b"010"), Tag { lane: 7, number: 0, key }, frame);
    }

    fn due(line: &mut Line, now_ns: u64) -> Vec<(usize, Vec<u8>)> {
        let mut due = Vec::new();
        line.due(now_ns, |index, _, frame| due.push((index, frame.to_vec())));
        due
    }

    #[test]
    fn the_last_of_each_sample_comes_after_its_delay_and_never_before() {
        let mut line = line(1 << 20);
        offer(&mut line, 0, 1, b"a");
        offer(&mut line, 2 * SECOND, 1, b"b");
        assert_eq!(due(&mut line, 3 * SECOND), [], "the sample closes");
        offer(&mut line, 4 * SECOND, 1, b"c");
        assert_eq!(due(&mut line, 7 * SECOND), []);
        assert_eq!(due(&mut line, 3 * SECOND + MINUTE - 1), []);
        assert_eq!(due(&mut line, 3 * SECOND + MINUTE), [(0, b"b".to_vec())]);
        assert_eq!(due(&mut line, 10 * MINUTE), [(0, b"c".to_vec())]);
        assert_eq!(due(&mut line, 3 * SECOND + 15 * MINUTE), [(1, b"b".to_vec())]);
        assert_eq!(due(&mut line, 16 * MINUTE), [(1, b"c".to_vec())]);
        assert_eq!((line.counters.bytes, line.held.len(), line.open.len()), (0, 0, 0));
    }

    #[test]
    fn what_waits_is_bounded_and_what_finds_no_room_is_counted() {
        let mut line = line(10 * (OVERHEAD_BYTES + 1));
        (0..25).for_each(|key| offer(&mut line, 0, key, b"x"));
        assert_eq!((line.counters.dropped, line.open.len()), (15, 10));
        due(&mut line, 3 * SECOND);
        offer(&mut line, 4 * SECOND, 99, b"x");
        assert_eq!(line.counters.dropped, 16, "samples that wait take their room too");
        due(&mut line, 16 * MINUTE);
        offer(&mut line, 16 * MINUTE, 99, b"x");
        assert_eq!((line.counters.dropped, line.counters.bytes), (16, OVERHEAD_BYTES + 1));
    }
}
