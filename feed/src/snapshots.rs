//! The last snapshot of each security: of several copies the first and newest wins, and who comes late begins with it.

use crate::securities::Seeded;
use flow::{Filter, Seq, Tag};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use wire::szse::Text;

/// Snapshots of one time that are told apart. OrigTime may be of whole seconds (Shanghai's is), and then a security has
/// two different states at one time some ten times a day.
const SAME_TIME_MAX: usize = 4;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Snapshots (one for each security and MDStreamID), at most. What is beyond has no place here and is dropped:
    /// without the time of the last one, two copies could not be told apart.
    pub count_max: usize,
    /// Bytes of snapshots, at most. Beyond it a snapshot is passed on but not kept for who comes late.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count_max: 65_536, bytes_max: 128 << 20 }
    }
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Newer than the last one, or another of the same time: pass it on. It is kept.
    Newest,
    /// Newer than the last one, or another of the same time: pass it on. There is no room to keep it.
    NotKept,
    /// The last one, or an older one, again.
    Duplicate,
    /// One security too many.
    NoPlace,
}

#[derive(Debug)]
struct Latest {
    orig_time: i64,
    /// Fingerprints of what came with this time, and how many they are.
    same_time: ([u64; SAME_TIME_MAX], usize),
    /// Its place in the log.
    seq: Seq,
    /// Empty when it was not kept.
    frame: Vec<u8>,
}

impl Latest {
    /// Whether a frame made at `orig_time` is another than those that came: a later one, or another of the same time.
    /// Those of one time count as later in the order in which they arrive.
    fn is_news(&mut self, orig_time: i64, fingerprint: u64) -> bool {
        if orig_time > self.orig_time {
            self.orig_time = orig_time;
            self.same_time.1 = 0;
        }
        let (known, count) = &mut self.same_time;
        let old =
            orig_time < self.orig_time || *count == SAME_TIME_MAX || known[..*count].contains(&fingerprint);
        if !old {
            known[*count] = fingerprint;
            *count += 1;
        }
        !old
    }
}

/// Which snapshots of a store were sent already, to one who comes late; see [`Snapshots::after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Next place to look at.
    place: usize,
    /// Only what is as new as this is wanted in this pass.
    since: Seq,
    /// Where the log stood when this pass began.
    began: Seq,
}

impl Progress {
    /// Nothing was sent, and the log stands at `end`.
    pub fn start(end: Seq) -> Self {
        Self { place: 0, since: 0, began: end }
    }

    /// What came before `since` was sent, and the log stands at `end`.
    pub fn since(since: Seq, end: Seq) -> Self {
        Self { place: 0, since, began: end }
    }
}

/// The last snapshots.
#[derive(Debug)]
pub struct Snapshots {
    limits: Limits,
    /// In the order of first arrival.
    latest: Vec<Latest>,
    /// The tag of each of them. They stand together, so that who wants few of many does not touch the others: all of
    /// them are looked at for each subscriber that comes late.
    tags: Vec<Tag>,
    places: HashMap<(u32, u32), u32, Seeded>,
    fingerprints: RandomState,
    bytes: usize,
}

impl Snapshots {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            latest: Vec::new(),
            tags: Vec::new(),
            places: HashMap::with_hasher(Seeded::random()),
            fingerprints: RandomState::new(),
            bytes: 0,
        }
    }

    /// A snapshot came, of the security `tag.key`, made at `orig_time`; if it is the newest it goes to `seq` of the
    /// log.
    pub fn offer(&mut self, tag: Tag, stream: &Text<3>, orig_time: i64, seq: Seq, frame: &[u8]) -> Offer {
        let [a, b, c] = *stream.as_bytes();
        let place = (tag.key, u32::from_be_bytes([0, a, b, c]));
        let index = match self.places.get(&place) {
            Some(index) => *index as usize,
            None if self.latest.len() >= self.limits.count_max => return Offer::NoPlace,
            None => {
                self.places.insert(place, self.latest.len() as u32);
                let same_time = ([0; SAME_TIME_MAX], 0);
                self.tags.push(tag);
                self.latest.push(Latest { orig_time: i64::MIN, same_time, seq, frame: Vec::new() });
                self.latest.len() - 1
            }
        };
        let latest = &mut self.latest[index];
        if !latest.is_news(orig_time, self.fingerprints.hash_one(frame)) {
            return Offer::Duplicate;
        }
        self.bytes -= latest.frame.capacity();
        self.tags[index] = tag;
        latest.seq = seq;
        latest.frame.clear();
        let room = self.limits.bytes_max - self.bytes;
        if frame.len() > room {
            latest.frame = Vec::new();
            return Offer::NotKept;
        }
        latest.frame.reserve_exact(frame.len());
        latest.frame.extend_from_slice(frame);
        self.bytes += latest.frame.capacity();
        Offer::Newest
    }

    /// Sends what passes the filter, at most about `bytes_max` bytes, and says how far that got. `None` is the end:
    /// all that was sent is as of now, and the log's `end` is the place to go on from.
    ///
    /// A store is larger than what may wait for one connection, so it goes out in parts, and some of it changes
    /// meanwhile; each pass over it sends what changed since the pass before, until one gets through in one go.
    pub fn after(
        &self,
        mut progress: Progress,
        filter: &Filter,
        end: Seq,
        bytes_max: usize,
        mut send: impl FnMut(&[u8]),
    ) -> Option<Progress> {
        let mut sent = 0;
        loop {
            let whole = progress.place == 0 && progress.began == end;
            for (index, tag) in self.tags.iter().enumerate().skip(progress.place) {
                if !filter.passes(*tag) {
                    continue;
                }
                let latest = &self.latest[index];
                if latest.seq < progress.since || latest.frame.is_empty() {
                    continue;
                }
                if sent > 0 && sent + latest.frame.len() > bytes_max {
                    return Some(Progress { place: index, ..progress });
                }
                send(&latest.frame);
                sent += latest.frame.len();
            }
            if whole {
                return None;
            }
            progress = Progress { place: 0, since: progress.began, began: end };
        }
    }

    /// Gives each snapshot that passes the filter and has one of these places in the log to `take`, from `place` of the
    /// store on, until one is not taken: `Some` is where to go on.
    pub fn each(
        &self,
        place: usize,
        seqs: &Range<Seq>,
        filter: &Filter,
        mut take: impl FnMut(Seq, &[u8]) -> bool,
    ) -> Option<usize> {
        for (index, tag) in self.tags.iter().enumerate().skip(place) {
            if !filter.passes(*tag) {
                continue;
            }
            let Latest { seq, frame, .. } = &self.latest[index];
            if seqs.contains(seq) && !frame.is_empty() && !take(*seq, frame) {
                return Some(index);
            }
        }
        None
    }

    /// Snapshots held.
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
