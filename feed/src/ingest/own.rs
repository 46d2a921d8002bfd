//! The source that numbers in its own way, as ingest has it: its messages into the matcher, and what goes out of them into the
//! log, on channels of their own.

use super::log::{LogWriter, Notes};
use super::numbering::{New, Numbering};
use crate::arbiter::Arbiter;
use crate::content::{Content, Identity, Matcher, Settings, Verdict, Waiting};
use crate::view::View;
use flow::{Tag, Writer};
use wire::szse::ext::GapReason;
use wire::szse::{Timestamp, U16, frame};

/// What came of its messages besides what the matcher counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Numbers of the source that it left out itself.
    pub(crate) missing: u64,
    /// Messages whose number was there before.
    pub(crate) again: u64,
    /// Messages whose channel or number has no place.
    pub(crate) refused: u64,
    /// Messages whose number was too far ahead, or there before at a later time, and that no other one followed.
    pub(crate) unbelieved: u64,
    /// Times that one of its channels was numbered from anew.
    pub(crate) restarts: u64,
}

/// What is kept of a message whose number is not believed yet.
#[derive(Debug)]
struct Kept {
    content: Content,
    key: u32,
    bytes: Box<[u8]>,
}

/// One source that numbers in its own way.
pub(crate) struct Own {
    pub(crate) matcher: Matcher,
    pub(crate) counters: Counters,
    identity: Identity,
    /// Added to its ChannelNo.
    offset: u16,
    numbering: Numbering<Kept>,
    /// A numbered source that says nothing for so long does not live, nanoseconds.
    silent_ns: u64,
}

impl Own {
    /// Of a source that has at most so many channels, and whose numbers are believed up to so far ahead.
    pub(crate) fn new(
        settings: Settings,
        offset: u16,
        silent_ns: u64,
        (channels_max, jump_max): (usize, u64),
    ) -> Self {
        Self {
            matcher: Matcher::new(settings),
            counters: Counters::default(),
            identity: Identity::default(),
            offset,
            numbering: Numbering::new(channels_max, jump_max),
            silent_ns,
        }
    }

    /// A numbered source's frame goes out.
    pub(super) fn published(&mut self, now_ns: u64, bytes: &[u8]) {
        let frame = frame::decode(bytes, frame::BODY_LEN_MAX).ok().flatten();
        if let Some(content) = frame.and_then(|frame| self.identity.of(&frame)) {
            self.matcher.published(now_ns, content);
        }
    }

    /// The channel on which its ChannelNo goes out.
    pub(super) fn channel(&self, channel: u16) -> Option<u16> {
        channel.checked_add(self.offset)
    }
}

/// A message of the source, before anything is known of it.
pub(super) struct Message<'a> {
    /// ChannelNo as it has it.
    pub(super) channel: U16,
    pub(super) number: u64,
    /// TransactTime.
    pub(super) time: Timestamp,
    pub(super) key: u32,
    pub(super) bytes: &'a [u8],
}

impl LogWriter<'_> {
    /// The source that numbers in its own way brought an order or a trade.
    pub(super) fn offer_own(&mut self, message: &Message<'_>, content: impl FnOnce(&Identity) -> Content) {
        let own = self.notes.own.as_mut().expect("invariant: there is such a source, and it speaks");
        let channel = own.channel(message.channel.get());
        let Some(channel) = channel.filter(|_| (1..i64::MAX as u64).contains(&message.number)) else {
            own.counters.refused += 1;
            return;
        };
        let Message { number, time, key, bytes, .. } = *message;
        let content = content(&own.identity);
        let keep = || Kept { content, key, bytes: bytes.into() };
        let Own { numbering, counters, .. } = &mut **own;
        let Some(New { number, before }) = numbering.hear((channel, number, time), keep, counters) else {
            return;
        };
        if let Some((number, Kept { content, key, bytes })) = before {
            self.match_own((channel, number), content, key, &bytes);
        }
        self.match_own((channel, number), content, key, bytes);
    }

    /// A message of it that is new, under the channel and number that it would go out under.
    fn match_own(&mut self, (channel, number): (u16, u64), content: Content, key: u32, bytes: &[u8]) {
        let own = self.notes.own.as_mut().expect("invariant: there is such a source, and it speaks");
        let waiting = || {
            let frame = moved(bytes, 0, channel, Some(number)).into_boxed_slice();
            Waiting { channel, number, key, frame }
        };
        if own.matcher.offer(self.now_ns, content, waiting) == Verdict::Publish {
            self.publish_own(&waiting());
        }
    }

    /// Lets a message of it out, behind a notice of the numbers before it that are not here.
    fn publish_own(&mut self, Waiting { channel, number, key, frame }: &Waiting) {
        let (lane, mut next) = (*channel, self.view.next(*channel));
        if self.view.lane(lane).is_none()
            && let Some(retention) = &self.notes.retention
        {
            // From before a restart; the disk goes on here, or not at all.
            match retention.before().get(&lane) {
                Some(before) if *before <= *number => next = *before,
                Some(_) => self.give_up_before(),
                None => {}
            }
            if next > 1 {
                self.notice(lane, (1, next - 1), GapReason::NO_LONGER_HELD);
            }
        }
        if next < *number {
            self.notice(lane, (next, number - 1), GapReason::ELSEWHERE);
        }
        self.append(Tag { lane, number: *number, key: *key }, frame);
    }
}

impl Notes {
    /// Time has passed: is a numbered source there?
    pub(super) fn poll_own(&mut self, writer: &mut Writer, view: &mut View, now_ns: u64, arbiter: &Arbiter) {
        let Some(own) = &mut self.own else { return };
        let alive = arbiter.is_heard(now_ns, own.silent_ns);
        let was = own.matcher.in_use();
        let mut due = Vec::new();
        own.matcher.poll(now_ns, alive, |waiting| due.push(waiting));
        match (was, own.matcher.in_use()) {
            (false, true) => {
                tracing::warn!(
                    waited = due.len(),
                    "no numbered source: the one with numbers of its own is used"
                );
            }
            (true, false) => tracing::info!("numbered sources are used again"),
            _ => {}
        }
        let mut log = self.log(writer, view, now_ns);
        due.iter().for_each(|waiting| log.publish_own(waiting));
    }
}

/// A frame with another ChannelNo, which stands at this place of the body, and another ApplSeqNum, which is behind it if there is one.
pub(super) fn moved(bytes: &[u8], at: usize, channel: u16, number: Option<u64>) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    let end = frame.len() - frame::TRAILER_LEN;
    let at = frame::HEADER_LEN + at;
    frame[at..][..2].copy_from_slice(&channel.to_be_bytes());
    if let Some(number) = number {
        frame[at + 2..][..8].copy_from_slice(&number.to_be_bytes());
    }
    let sum = frame::checksum(&frame[..end]);
    frame[end..].copy_from_slice(&sum.to_be_bytes());
    frame
}
