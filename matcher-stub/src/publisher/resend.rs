//! Numbers of a channel, sent again from the log: the frames as they were, then the request as its answer.

use flow::{FindError, Reader, Seq};
use std::collections::VecDeque;
use wire::szse::code::{ResendStatus, ResendType};
use wire::szse::market::Resend;
use wire::szse::{Text, frame};

/// Requests of one session that may wait; one more is refused.
const REQUESTS_WAITING_MAX: usize = 64;
/// Entries of the log looked at in one step: other channels lie between those wanted.
const ENTRIES_PER_STEP: usize = 1 << 14;
/// Bytes of frames in one step.
const BYTES_PER_STEP: usize = 64 << 10;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Frames sent again.
    pub(super) frames: u64,
    /// A request was answered with less than it asked for.
    pub(super) short: bool,
    /// The step ended at its bound of entries: let others have their turn.
    pub(super) more: bool,
}

/// The resend requests of a session, the first one in work.
#[derive(Debug, Default)]
pub(super) struct Resends {
    waiting: VecDeque<Resend>,
    current: Option<Run>,
}

/// A request whose place in the log was found.
#[derive(Debug)]
struct Run {
    lane: u16,
    at: Seq,
    from: u64,
    to: u64,
    /// How the answer will be, if nothing is let go on the way.
    status: ResendStatus,
    text: &'static str,
}

impl Resends {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a request; gives back the answer when it is refused at once.
    pub(super) fn push(&mut self, request: Resend) -> Option<Resend> {
        if self.waiting.len() == REQUESTS_WAITING_MAX {
            return Some(answer(&request, ResendStatus::UNAVAILABLE, "too many at once"));
        }
        self.waiting.push_back(request);
        None
    }

    /// Goes on with the first request: appends frames, and its answer when it is done.
    pub(super) fn step(&mut self, log: &Reader, numbers_max: u64, out: &mut Vec<u8>) -> Progress {
        let Some(request) = self.waiting.front() else { return Progress::default() };
        let mut progress = Progress::default();
        let begun = match self.current.take() {
            Some(run) => Ok(run),
            None => Run::begin(log, request, numbers_max),
        };
        let (status, text) = match begun {
            Err(text) => (ResendStatus::UNAVAILABLE, text),
            Ok(mut run) => match run.go_on(log, out, &mut progress) {
                Some(ended) => ended,
                None => {
                    self.current = Some(run);
                    return progress;
                }
            },
        };
        frame::encode(&answer(request, status, text), out);
        progress.short = status != ResendStatus::COMPLETE;
        self.waiting.pop_front();
        progress
    }
}

impl Run {
    fn begin(log: &Reader, request: &Resend, numbers_max: u64) -> Result<Self, &'static str> {
        if request.resend_type != ResendType::TICKS {
            return Err("only ticks");
        }
        let lane = request.channel_no.get();
        let begin = u64::try_from(request.appl_beg_seq_num.get()).unwrap_or(0);
        let end = u64::try_from(request.appl_end_seq_num.get()).map_err(|_| "bad range")?;
        if begin == 0 || (end != 0 && end < begin) {
            return Err("bad range");
        }
        let last = last_number(log, lane);
        if begin > last {
            return Err("not yet sent");
        }
        let wanted = if end == 0 { last } else { end };
        let to = wanted.min(last).min(begin.saturating_add(numbers_max - 1));
        let (mut status, mut text) = (ResendStatus::COMPLETE, "");
        if to < wanted {
            (status, text) = (ResendStatus::PARTIAL, "ask for the rest");
        }
        let mut from = begin;
        let at = match log.find(lane, begin) {
            Ok(at) => at,
            Err(FindError::NoLongerHeld { oldest_number }) if oldest_number <= to => {
                (status, text, from) = (ResendStatus::PARTIAL, "no longer held", oldest_number);
                log.find(lane, oldest_number).map_err(|_| "no longer held")?
            }
            Err(FindError::NoLongerHeld { .. }) => return Err("no longer held"),
            Err(FindError::NotYet { .. }) => return Err("not yet sent"),
        };
        Ok(Self { lane, at, from, to, status, text })
    }

    /// Appends frames; the answer's status and text when all are there, `None` when the step's bounds were reached.
    fn go_on(
        &mut self,
        log: &Reader,
        out: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> Option<(ResendStatus, &'static str)> {
        for _ in 0..ENTRIES_PER_STEP {
            if out.len() >= BYTES_PER_STEP {
                return None;
            }
            let entry = match log.entry(self.at) {
                Ok(Some(entry)) => entry,
                Ok(None) => return Some((self.status, self.text)),
                Err(_) => return Some((ResendStatus::PARTIAL, "no longer held")),
            };
            self.at += 1;
            if entry.tag.lane != self.lane || entry.tag.number < self.from {
                continue;
            }
            if entry.tag.number <= self.to {
                out.extend_from_slice(entry.frame);
                progress.frames += 1;
            }
            if entry.tag.number >= self.to {
                return Some((self.status, self.text));
            }
        }
        progress.more = true;
        None
    }
}

/// The last number of a lane that was published; 0 when there is none.
fn last_number(log: &Reader, lane: u16) -> u64 {
    match log.find(lane, u64::MAX) {
        Err(FindError::NotYet { next_number }) => next_number - 1,
        Ok(_) | Err(FindError::NoLongerHeld { .. }) => 0,
    }
}

/// The request as its own answer: whoever asked finds it again by channel and range.
fn answer(request: &Resend, status: ResendStatus, text: &str) -> Resend {
    Resend { resend_status: status, reject_text: Text::truncated(text), ..*request }
}
