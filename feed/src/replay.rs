//! The answer to a resend request (390094): frames of a channel, read from the log again.
//!
//! It goes out in parts, so that the longest range costs a bounded buffer, and no one else's turn.

use crate::retention::{Answer, Reading, Retention, Want};
use flow::{Bounds, FindError, Reader, Seq, Tag};
use wire::szse::code::{ResendStatus, ResendType};
use wire::szse::market::Resend;
use wire::szse::{Text, frame};

/// Entries that one part looks at.
const ENTRIES_PER_PART: u64 = 16_384;
/// Bytes that one part sends, about.
const BYTES_PER_PART: usize = 64 << 10;

/// A request being answered.
#[derive(Debug)]
pub(crate) struct Replay {
    request: Resend,
    channel: u16,
    /// Next number to send.
    begin: u64,
    /// Last number to send.
    end: u64,
    /// Where to look next; `None` before the beginning was found.
    at: Option<Seq>,
    /// Frames sent.
    sent: u64,
    /// Those of them that stand for numbers that were lost.
    notices: u64,
    /// More was asked for than one answer may hold.
    truncated: bool,
    /// Something that was asked for is not there.
    lacking: bool,
    /// The log ends before it does.
    not_yet: bool,
    /// It is answered from disk, for now.
    pub(crate) reading: Option<Reading>,
    /// What the session may see; `None` is everything.
    bounds: Option<Bounds>,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// There is more.
    More,
    /// The answer is complete, with this status, after so many frames.
    Done(ResendStatus, u64),
}

impl Replay {
    /// Takes a request of a range of numbers, of which at most `count_max` are sent.
    ///
    /// # Errors
    /// What is to be answered to a request that has no meaning here.
    pub(crate) fn new(request: &Resend, count_max: u64) -> Result<Self, Resend> {
        if request.resend_type != ResendType::TICKS {
            return Err(answer(request, ResendStatus::UNAVAILABLE, "ticks only"));
        }
        let numbers = (request.appl_beg_seq_num.get(), request.appl_end_seq_num.get());
        let (Ok(begin), Ok(end)) = (u64::try_from(numbers.0), u64::try_from(numbers.1)) else {
            return Err(answer(request, ResendStatus::UNAVAILABLE, "no such range"));
        };
        let last = if end == 0 { i64::MAX as u64 } else { end };
        if begin == 0 || last < begin {
            return Err(answer(request, ResendStatus::UNAVAILABLE, "no such range"));
        }
        let bound = begin.saturating_add(count_max - 1);
        Ok(Self {
            request: *request,
            channel: request.channel_no.get(),
            begin,
            end: last.min(bound),
            at: None,
            sent: 0,
            notices: 0,
            truncated: last > bound,
            lacking: false,
            not_yet: false,
            reading: None,
            bounds: None,
        })
    }

    /// Sends nothing beyond these bounds; what lies beyond does not count as lacking.
    pub(crate) fn within(self, bounds: Option<Bounds>) -> Self {
        Self { bounds, ..self }
    }

    /// The right has changed.
    pub(crate) fn set_bounds(&mut self, bounds: Option<Bounds>) {
        self.bounds = bounds;
    }

    /// Before the first part: the record to begin with, if what is wanted is on disk alone.
    pub(crate) fn on_disk(&self, log: &Reader, retention: &Retention) -> Option<u64> {
        let begun = self.at.is_some() || self.reading.is_some();
        if begun { None } else { retention.find(log, self.channel, self.begin) }
    }

    /// What is still wanted.
    pub(crate) fn want(&self) -> Want {
        Want::Range { lane: self.channel, begin: self.begin, end: self.end, bounds: self.bounds.clone() }
    }

    /// Goes on in memory, from this place.
    pub(crate) fn go_on_at(&mut self, seq: Seq) {
        self.reading = None;
        self.at = Some(seq);
    }

    /// A piece from disk, and the answer after the last one.
    pub(crate) fn recalled(&mut self, piece: &Answer, out: &mut Vec<u8>) -> Part {
        out.extend_from_slice(&piece.frames);
        self.sent += piece.frames_count;
        for &(number, notice) in &piece.numbers {
            self.lacking |= number > self.begin || notice;
            self.notices += u64::from(notice);
            self.begin = number + 1;
        }
        if let Some(reading) = &mut self.reading {
            (reading.record, reading.asked) = (piece.next, false);
        }
        if piece.gone || self.begin > self.end {
            self.lacking |= piece.gone || self.truncated;
            self.reading = None;
            return self.finish(out);
        }
        Part::More
    }

    /// Sends the next part, and the answer after the last one.
    pub(crate) fn part(&mut self, log: &Reader, out: &mut Vec<u8>) -> Part {
        let Some(start) = self.at.or_else(|| self.find(log)) else { return self.finish(out) };
        let bytes_max = out.len() + BYTES_PER_PART;
        for seq in start..start + ENTRIES_PER_PART {
            match log.entry(seq) {
                Ok(Some(entry)) if entry.tag.lane == self.channel && entry.tag.number > self.end => {
                    return self.finish(out);
                }
                Ok(Some(entry)) => {
                    if entry.tag.lane == self.channel && entry.tag.number >= self.begin {
                        if self.bounds.as_ref().is_none_or(|bounds| bounds.pass(entry.tag)) {
                            out.extend_from_slice(entry.frame);
                            self.sent += 1;
                        }
                        // A notice stands for numbers that were lost, and is within all bounds.
                        let notice = entry.tag.key == Tag::EVERYONE;
                        self.lacking |= entry.tag.number > self.begin || notice;
                        self.notices += u64::from(notice);
                        self.begin = entry.tag.number + 1;
                    }
                }
                Ok(None) => {
                    self.not_yet = true;
                    return self.finish(out);
                }
                Err(_) => {
                    self.lacking = true;
                    return self.finish(out);
                }
            }
            if self.begin > self.end {
                self.lacking |= self.truncated;
                return self.finish(out);
            }
            self.at = Some(seq + 1);
            if out.len() >= bytes_max {
                break;
            }
        }
        Part::More
    }

    fn find(&mut self, log: &Reader) -> Option<Seq> {
        match log.find(self.channel, self.begin) {
            Ok(seq) => Some(seq),
            Err(FindError::NotYet { .. }) => {
                (self.lacking, self.not_yet) = (true, true);
                None
            }
            Err(FindError::NoLongerHeld { oldest_number }) => {
                self.lacking = true;
                self.begin = oldest_number;
                if oldest_number > self.end { None } else { log.find(self.channel, oldest_number).ok() }
            }
        }
    }

    fn finish(&self, out: &mut Vec<u8>) -> Part {
        // A stated end that was not reached is lacking; an open one is wherever the log ends.
        let stated = self.request.appl_end_seq_num.get() != 0;
        let short = stated && self.begin <= self.end;
        let (status, text) = match (self.lacking || short, self.sent > self.notices) {
            (false, _) => (ResendStatus::COMPLETE, ""),
            (true, true) => (ResendStatus::PARTIAL, "not all held"),
            // Neither yes nor no: a feed that is behind its peers may bring them yet.
            (true, false) if self.not_yet && (short || self.at.is_none()) => (ResendStatus::NONE, "not yet"),
            // Also where notices are all there is: a feed behind this one gives up at once what this one has given up.
            (true, false) => (ResendStatus::UNAVAILABLE, "not held"),
        };
        frame::encode(&answer(&self.request, status, text), out);
        Part::Done(status, self.sent)
    }
}

/// The answer to a request.
pub(crate) fn answer(request: &Resend, resend_status: ResendStatus, text: &'static str) -> Resend {
    Resend { resend_status, reject_text: Text::truncated(text), ..*request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Limits, Writer};
    use wire::szse::{I64, U16};

    fn log(entries: impl IntoIterator<Item = (u16, u64)>) -> Reader {
        let mut writer = Writer::new(Limits { segment_bytes: 1024, window_bytes: 1 << 20 });
        for (lane, number) in entries {
            writer.append(Tag { lane, number, key: 1 }, &frame_of(number)).unwrap();
        }
        writer.publish();
        writer.reader()
    }

    fn frame_of(number: u64) -> Vec<u8> {
        number.to_be_bytes().repeat(10)
    }

    fn request(begin: i64, end: i64) -> Resend {
        Resend {
            resend_type: ResendType::TICKS,
            channel_no: U16::new(7),
            appl_beg_seq_num: I64::new(begin),
            appl_end_seq_num: I64::new(end),
            ..Resend::default()
        }
    }

    /// The numbers sent and the status that follows them, whatever the parts.
    fn replay(log: &Reader, begin: i64, end: i64) -> (Vec<u64>, ResendStatus) {
        let mut replay = Replay::new(&request(begin, end), 5_000).unwrap();
        let mut out = Vec::new();
        let (status, sent) = loop {
            if let Part::Done(status, sent) = replay.part(log, &mut out) {
                break (status, sent);
            }
        };
        let (frames, answer) = out.split_at(sent as usize * 80);
        let answer = frame::decode(answer, 100).unwrap().unwrap();
        assert_eq!(answer.view::<Resend>().unwrap().resend_status, status);
        assert_eq!(answer.view::<Resend>().unwrap().appl_beg_seq_num.get(), begin);
        let numbers = frames.chunks(80).map(|frame| u64::from_be_bytes(frame[..8].try_into().unwrap()));
        (numbers.collect(), status)
    }

    #[test]
    fn a_range_of_one_channel_comes_in_order() {
        let log = log((1..=9).flat_map(|number| [(7, number), (8, number + 100), (7, 0)]));
        assert_eq!(replay(&log, 3, 5), (vec![3, 4, 5], ResendStatus::COMPLETE));
        assert_eq!(replay(&log, 8, 0), (vec![8, 9], ResendStatus::COMPLETE));
        assert_eq!(replay(&log, 10, 0), (vec![], ResendStatus::COMPLETE));
        assert_eq!(replay(&log, 8, 12), (vec![8, 9], ResendStatus::PARTIAL));
        assert_eq!(replay(&log, 10, 12), (vec![], ResendStatus::NONE), "they may come yet");
        assert_eq!(replay(&log, 11, 12), (vec![], ResendStatus::NONE));
        assert_eq!(replay(&log, 11, 0), (vec![], ResendStatus::NONE), "an open end, too");
    }

    #[test]
    fn a_long_range_comes_in_parts_and_is_bounded() {
        let log = log((1..=9_000).map(|number| (7, number)));
        let mut replay = Replay::new(&request(1, 0), 5_000).unwrap();
        let mut out = Vec::new();
        assert_eq!(replay.part(&log, &mut out), Part::More);
        assert!((BYTES_PER_PART..BYTES_PER_PART + 80).contains(&out.len()));
        assert_eq!(self::replay(&log, 1, 0), ((1..=5_000).collect(), ResendStatus::PARTIAL));
        assert_eq!(self::replay(&log, 1, 6_000).1, ResendStatus::PARTIAL);
        assert_eq!(self::replay(&log, 1, 5_000).1, ResendStatus::COMPLETE);
        assert_eq!(self::replay(&log, 8_000, 0).1, ResendStatus::COMPLETE);
    }

    #[test]
    fn what_is_no_longer_held_is_not_there() {
        let mut writer = Writer::new(Limits { segment_bytes: 800, window_bytes: 1_600 });
        for number in 1..=30 {
            writer.append(Tag { lane: 7, number, key: 1 }, &frame_of(number)).unwrap();
        }
        writer.publish();
        let log = writer.reader();
        assert_eq!(replay(&log, 1, 12), (vec![11, 12], ResendStatus::PARTIAL));
        assert_eq!(replay(&log, 1, 10), (vec![], ResendStatus::UNAVAILABLE));
        assert_eq!(replay(&log, 11, 12), (vec![11, 12], ResendStatus::COMPLETE));
    }

    #[test]
    fn a_hole_in_the_log_makes_it_partial() {
        let log = log([(7, 1), (7, 2), (7, 5), (7, 6)]);
        assert_eq!(replay(&log, 1, 6), (vec![1, 2, 5, 6], ResendStatus::PARTIAL));
        assert_eq!(replay(&log, 3, 6), (vec![5, 6], ResendStatus::PARTIAL));
        assert_eq!(replay(&log, 3, 4), (vec![], ResendStatus::UNAVAILABLE));
        assert_eq!(replay(&log, 5, 6), (vec![5, 6], ResendStatus::COMPLETE));
    }

    #[test]
    fn numbers_that_were_lost_are_not_held_though_there_is_a_notice_of_them() {
        let mut writer = Writer::new(Limits { segment_bytes: 1024, window_bytes: 1 << 20 });
        for (number, key) in [(3, 1), (5, Tag::EVERYONE), (6, 1), (8, Tag::EVERYONE)] {
            writer.append(Tag { lane: 7, number, key }, &frame_of(number)).unwrap();
        }
        writer.publish();
        let log = writer.reader();
        assert_eq!(replay(&log, 4, 5), (vec![5], ResendStatus::UNAVAILABLE), "the notice alone");
        assert_eq!(replay(&log, 4, 6), (vec![5, 6], ResendStatus::PARTIAL));
        assert_eq!(replay(&log, 7, 9), (vec![8], ResendStatus::NONE), "9 may come yet");
    }

    #[test]
    fn from_disk_a_notice_is_nothing_held_either() {
        let recalled = |numbers: &[(u64, bool)]| {
            let mut replay = Replay::new(&request(4, 6), 10).unwrap();
            let (numbers, frames_count) = (numbers.to_vec(), numbers.len() as u64);
            replay.recalled(&Answer { numbers, frames_count, ..Answer::default() }, &mut Vec::new())
        };
        assert_eq!(recalled(&[(6, true)]), Part::Done(ResendStatus::UNAVAILABLE, 1));
        assert_eq!(recalled(&[(5, true), (6, false)]), Part::Done(ResendStatus::PARTIAL, 2));
        assert_eq!(recalled(&[(4, false), (5, false), (6, false)]), Part::Done(ResendStatus::COMPLETE, 3));
    }

    #[test]
    fn what_has_no_meaning_is_answered_at_once() {
        let status = |request: &Resend| Replay::new(request, 10).unwrap_err().resend_status;
        assert_eq!(status(&request(0, 5)), ResendStatus::UNAVAILABLE);
        assert_eq!(status(&request(-1, 5)), ResendStatus::UNAVAILABLE);
        assert_eq!(status(&request(5, 4)), ResendStatus::UNAVAILABLE);
        assert_eq!(status(&request(5, -4)), ResendStatus::UNAVAILABLE);
        let news = Resend { resend_type: ResendType::NEWS, ..request(1, 2) };
        assert_eq!(status(&news), ResendStatus::UNAVAILABLE);
    }
}
