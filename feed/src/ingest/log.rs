//! Hot path: the log as ingest writes it, and what is noted of each entry.

use super::own::Own;
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

/// What is noted of what is written, from turn to turn.
pub(crate) struct Notes {
    /// What the arbiter wants asked.
    pub(super) asks: Vec<Ask>,
    /// Entries appended to the log.
    pub(crate) appended: u64,
    pub(super) retention: Option<Retention>,
    /// The source that numbers in its own way, if there is one.
    pub(crate) own: Option<Box<Own>>,
}

impl Notes {
    /// To write with, for a turn.
    pub(super) fn log<'a>(
        &'a mut self,
        writer: &'a mut Writer,
        view: &'a mut View,
        now_ns: u64,
    ) -> LogWriter<'a> {
        LogWriter { writer, view, notes: self, now_ns }
    }
}

/// The log, and what is noted of each entry.
pub(super) struct LogWriter<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) view: &'a mut View,
    pub(super) notes: &'a mut Notes,
    pub(super) now_ns: u64,
}

impl LogWriter<'_> {
    #[inline]
    pub(super) fn append(&mut self, tag: Tag, frame: &[u8]) {
        let appended = self.writer.append(tag, frame);
        appended.expect("invariant: the arbiter's numbers ascend, and a segment takes the longest frame");
        self.view.saw(tag, self.now_ns);
        self.notes.appended += 1;
    }

    /// Does what the arbiter wants done.
    #[inline]
    pub(super) fn deliver(&mut self, event: Event<'_>) {
        match event {
            Event::Frame(Tick { channel, number, key, frame }) => {
                if let Some(own) = &mut self.notes.own {
                    own.published(self.now_ns, frame);
                }
                self.append(Tag { lane: channel, number, key }, frame);
            }
            Event::BeginsAfter { channel, end } => self.notice(channel, (1, end), GapReason::NO_LONGER_HELD),
            Event::Apart { .. } => self.give_up_before(),
            Event::Lost { channel, begin, end } => {
                tracing::warn!(channel, begin, end, "numbers lost: no source could give them");
                self.notice(channel, (begin, end), GapReason::LOST_UPSTREAM);
            }
            Event::Ask { source, channel, begin, end } => {
                self.notes.asks.push(Ask { source, channel, begin, end });
            }
        }
    }

    /// A channel does not go on where the disk ends.
    #[cold]
    pub(super) fn give_up_before(&self) {
        if let Some(retention) = &self.notes.retention {
            retention.give_up_before();
        }
    }

    /// The notice stands where the numbers would: whoever reads on, or asks for them, finds it.
    #[cold]
    pub(super) fn notice(&mut self, channel: u16, (begin, end): (u64, u64), reason: GapReason) {
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
