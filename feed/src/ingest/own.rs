//! The source that numbers in its own way, as ingest has it: its messages into the matcher, and what goes out of them into the
//! log, on channels of their own.

use super::tape::{Notes, Tape};
use crate::arbiter::Arbiter;
use crate::content::{Content, Identity, Matcher, Settings, Verdict, Waiting};
use crate::view::View;
use flow::{Tag, Writer};
use wire::szse::ext::GapReason;
use wire::szse::{U16, frame};

/// What came of its messages besides what the matcher counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Numbers of the source that it left out itself.
    pub(crate) missing: u64,
    /// Messages whose number was there before.
    pub(crate) again: u64,
    /// Messages whose channel or number has no place.
    pub(crate) refused: u64,
}

/// One source that numbers in its own way.
pub(crate) struct Own {
    pub(crate) matcher: Matcher,
    pub(crate) counters: Counters,
    identity: Identity,
    /// Added to its ChannelNo.
    offset: u16,
    /// Of each of its channels, as it goes out, the number after the last one heard.
    next: Vec<(u16, u64)>,
    /// A numbered source that says nothing for so long does not live, nanoseconds.
    silent_ns: u64,
}

impl Own {
    pub(crate) fn new(settings: Settings, offset: u16, silent_ns: u64) -> Self {
        Self {
            matcher: Matcher::new(settings),
            counters: Counters::default(),
            identity: Identity::default(),
            offset,
            next: Vec::new(),
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

    /// Whether a number is heard for the first time; what it left out is counted.
    fn is_new(&mut self, channel: u16, number: u64) -> bool {
        let next = match self.next.iter_mut().find(|(known, _)| *known == channel) {
            Some((_, next)) => next,
            None => {
                self.next.push((channel, number));
                &mut self.next.last_mut().expect("it was pushed").1
            }
        };
        let new = number >= *next;
        if new {
            self.counters.missing += number - *next;
            *next = number + 1;
        }
        self.counters.again += u64::from(!new);
        new
    }
}

/// A message of the source, before anything is known of it.
pub(super) struct Message<'a> {
    /// ChannelNo as it has it.
    pub(super) channel: U16,
    pub(super) number: u64,
    pub(super) key: u32,
    pub(super) bytes: &'a [u8],
}

impl Tape<'_> {
    /// The source that numbers in its own way brought an order or a trade.
    pub(super) fn offer_own(&mut self, message: &Message<'_>, content: impl FnOnce(&Identity) -> Content) {
        let now_ns = self.now_ns;
        let own = self.notes.own.as_mut().expect("invariant: there is such a source, and it speaks");
        let channel = own.channel(message.channel.get());
        let Some(channel) = channel.filter(|_| (1..i64::MAX as u64).contains(&message.number)) else {
            own.counters.refused += 1;
            return;
        };
        if !own.is_new(channel, message.number) {
            return;
        }
        let waiting = || Waiting {
            channel,
            number: message.number,
            key: message.key,
            frame: moved(message.bytes, 0, channel).into_boxed_slice(),
        };
        let content = content(&own.identity);
        if own.matcher.offer(now_ns, content, waiting) == Verdict::Publish {
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
        let mut tape = self.tape(writer, view, now_ns);
        due.iter().for_each(|waiting| tape.publish_own(waiting));
    }
}

/// A frame with another ChannelNo, which stands at this place of the body.
pub(super) fn moved(bytes: &[u8], at: usize, channel: u16) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    let end = frame.len() - frame::TRAILER_LEN;
    frame[frame::HEADER_LEN + at..][..2].copy_from_slice(&channel.to_be_bytes());
    let sum = frame::checksum(&frame[..end]);
    frame[end..].copy_from_slice(&sum.to_be_bytes());
    frame
}
