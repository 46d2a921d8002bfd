//! The thread that reads what is retained, for subscribers: a bounded piece for one who asks, then one for the next.

use super::{Index, entry, locked};
use crate::app::Command;
use crate::config;
use crate::securities::{Directory, Origin, Securities};
use flow::{Bounds, Selection, Tag};
use shard::{ConnId, Handle};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::szse::ext::{ExtendedTickOrder, GapNotice};
use wire::szse::market::{Snapshot, TickOrder, TickTrade};
use wire::szse::{GroupMessage, Message, frame};

/// Records that one piece looks at, at most.
const RECORDS_PER_PIECE: u32 = 65_536;
/// Bytes of one piece, about.
const BYTES_PER_PIECE: usize = 96 << 10;
/// How often a shard that takes no command is tried again, and how many times.
const AGAIN: Duration = Duration::from_millis(1);
const AGAIN_MAX: usize = 1_000;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// All entries that pass.
    Selection(Selection),
    /// A lane's numbers from the first to the last.
    Range {
        /// ChannelNo.
        lane: u16,
        /// First number.
        begin: u64,
        /// Last number.
        end: u64,
        /// What of them may be seen; `None` is everything.
        bounds: Option<Bounds>,
    },
}

impl Want {
    fn wants(&self, tag: Tag) -> bool {
        match self {
            Self::Selection(selection) => selection.wants(tag),
            Self::Range { bounds, .. } => {
                self.counts(tag) && bounds.as_ref().is_none_or(|bounds| bounds.pass(tag))
            }
        }
    }

    /// Whether it is one of the numbers asked for, seen or not.
    fn counts(&self, tag: Tag) -> bool {
        match self {
            Self::Selection(_) => false,
            Self::Range { lane, begin, end, .. } => {
                tag.lane == *lane && (*begin..=*end).contains(&tag.number)
            }
        }
    }

    /// Whether nothing that is wanted can come after this.
    fn ends_with(&self, tag: Tag) -> bool {
        matches!(self, Self::Range { lane, end, .. } if tag.lane == *lane && tag.number >= *end)
    }
}

/// Somebody wants what is from a record on.
pub(super) struct Request {
    pub(super) to: Handle<Command>,
    pub(super) id: ConnId,
    pub(super) ticket: u64,
    pub(super) record: u64,
    pub(super) want: Want,
}

/// A piece of what is retained.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Which reading it is for.
    pub(crate) ticket: u64,
    /// Whole frames.
    pub(crate) frames: Vec<u8>,
    /// How many there are.
    pub(crate) frames_count: u64,
    /// Of a range: each number that is here, and whether it stands for numbers that are lost.
    pub(crate) numbers: Vec<(u64, bool)>,
    /// The record after the last one that was looked at.
    pub(crate) next: u64,
    /// What was asked for is not retained (any more).
    pub(crate) gone: bool,
}

/// Reads what is retained.
pub(crate) struct Recaller {
    directory: PathBuf,
    index: Arc<Mutex<Index>>,
    from: Receiver<Request>,
    securities: Securities,
    readers_max: usize,
    /// Readers by the record that each reads next: who read a piece comes back for the next one.
    readers: VecDeque<journal::Reader>,
}

impl Recaller {
    pub(super) fn new(
        config: &config::Retention,
        index: Arc<Mutex<Index>>,
        from: Receiver<Request>,
        directory: Arc<Directory>,
    ) -> Self {
        Self {
            directory: config.directory.clone(),
            index,
            from,
            securities: Securities::new(directory),
            readers_max: config.readers_max,
            readers: VecDeque::new(),
        }
    }

    /// Answers until nobody can ask any more.
    pub(crate) fn run(mut self) {
        while let Ok(request) = self.from.recv() {
            let answer = self.piece(request.ticket, request.record, &request.want);
            let mut command = Command::Recalled(request.id, Box::new(answer));
            for _ in 0..AGAIN_MAX {
                match request.to.send(command) {
                    Ok(()) => break,
                    Err(refused) => command = refused,
                }
                std::thread::sleep(AGAIN);
            }
        }
    }

    pub(super) fn piece(&mut self, ticket: u64, record: u64, want: &Want) -> Answer {
        let mut answer = Answer { ticket, next: record, ..Answer::default() };
        let (given, end) = {
            let index = locked(&self.index);
            (!index.stopped && record >= index.first, index.end)
        };
        let kept = self.readers.iter().position(|reader| reader.next_number() == record);
        let reader = match kept.and_then(|at| self.readers.remove(at)) {
            Some(reader) => Ok(reader),
            None => journal::Reader::open(&self.directory, record),
        };
        let Some(mut reader) = reader.ok().filter(|_| given) else { return Answer { gone: true, ..answer } };
        for _ in 0..RECORDS_PER_PIECE {
            if answer.next >= end || answer.frames.len() >= BYTES_PER_PIECE {
                break;
            }
            let payload = match reader.next() {
                Ok(Some(record)) => record.payload,
                // Its file was taken away meanwhile.
                Ok(None) | Err(_) => return Answer { gone: true, ..answer },
            };
            answer.next += 1;
            let Some((lane, number, frame)) = entry(payload) else { continue };
            let (msg_type, notice) = kind(frame);
            let key = if notice { Tag::EVERYONE } else { key(&mut self.securities, msg_type, frame) };
            let tag = Tag { lane, number, key };
            if want.wants(tag) {
                answer.frames.extend_from_slice(frame);
                answer.frames_count += 1;
            }
            if want.counts(tag) {
                answer.numbers.push((number, notice));
            }
            if want.ends_with(tag) {
                break;
            }
        }
        if self.readers.len() >= self.readers_max {
            self.readers.pop_front();
        }
        self.readers.push_back(reader);
        answer
    }
}

/// The type of a frame, and whether it is a notice of numbers that are lost.
fn kind(bytes: &[u8]) -> (u32, bool) {
    let msg_type = bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (msg_type, msg_type == GapNotice::MSG_TYPE)
}

/// The key of a frame's security; one that is in no list where there is none.
fn key(securities: &mut Securities, msg_type: u32, bytes: &[u8]) -> u32 {
    let name = frame::decode(bytes, frame::BODY_LEN_MAX).ok().flatten().and_then(|frame| match msg_type {
        TickOrder::MSG_TYPE => {
            frame.view::<TickOrder>().ok().map(|order| (order.security_id, order.security_id_source))
        }
        TickTrade::MSG_TYPE => {
            frame.view::<TickTrade>().ok().map(|trade| (trade.security_id, trade.security_id_source))
        }
        Snapshot::MSG_TYPE => {
            let snapshot = frame.group::<Snapshot<'_>>().ok()?;
            Some((snapshot.head.security_id, snapshot.head.security_id_source))
        }
        _ => {
            let extended = frame.group::<ExtendedTickOrder<'_>>().ok()?;
            Some((extended.order.security_id, extended.order.security_id_source))
        }
    });
    name.and_then(|(id, source)| securities.key(&id, &source, Origin::Source)).unwrap_or(u32::MAX)
}
