//! Hot path: the log as ingest writes it, and what is noted of each entry.

use crate::arbiter::{Event, Source, Tick};
use crate::retention::Retention;
use crate::view::View;
use flow::{Tag, Writer};
use wire::szse::ext::{GapNotice, GapReason};
use wire::szse::{I64, U16, frame};

/// Numbers to be asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) source: Source,
    pub(super) channel: u16,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// The log, and what is noted of each entry.
pub(super) struct Tape<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) view: &'a mut View,
    pub(super) asks: &'a mut Vec<Ask>,
    pub(super) appended: &'a mut u64,
    pub(super) now_ns: u64,
    pub(super) retention: Option<&'a Retention>,
}

impl Tape<'_> {
    #[inline]
    pub(super) fn append(&mut self, tag: Tag, frame: &[u8]) {
        let appended = self.writer.append(tag, frame);
        appended.expect("invariant: the arbiter's numbers ascend, and a segment takes the longest frame");
        self.view.saw(tag, self.now_ns);
        *self.appended += 1;
    }

    /// Does what the arbiter wants done.
    #[inline]
    pub(super) fn deliver(&mut self, event: Event<'_>) {
        match event {
            Event::Frame(Tick { channel, number, key, frame }) => {
                self.append(Tag { lane: channel, number, key }, frame);
            }
            Event::BeginsAfter { channel, end } => self.notice(channel, 1, end, GapReason::NO_LONGER_HELD),
            Event::Apart { .. } => {
                if let Some(retention) = self.retention {
                    retention.give_up_before();
                }
            }
            Event::Lost { channel, begin, end } => {
                tracing::warn!(channel, begin, end, "numbers lost: no source could give them");
                self.notice(channel, begin, end, GapReason::LOST_UPSTREAM);
            }
            Event::Ask { source, channel, begin, end } => {
                self.asks.push(Ask { source, channel, begin, end });
            }
        }
    }

    /// The notice stands where the numbers would: whoever reads on, or asks for them, finds it.
    #[cold]
    fn notice(&mut self, channel: u16, begin: u64, end: u64, reason: GapReason) {
        let mut frame = Vec::new();
        frame::encode(&gap_notice(channel, begin, end, reason), &mut frame);
        self.append(Tag { lane: channel, number: end, key: Tag::EVERYONE }, &frame);
    }
}

/// Says that numbers will not come.
pub(crate) fn gap_notice(channel: u16, begin: u64, end: u64, reason: GapReason) -> GapNotice {
    GapNotice {
        channel_no: U16::new(channel),
        appl_beg_seq_num: I64::new(begin as i64),
        appl_end_seq_num: I64::new(end as i64),
        reason,
    }
}
