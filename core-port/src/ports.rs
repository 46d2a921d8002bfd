//! Trading ports: each is a line to a core, for the gateways that log on to it.
//!
//! After the logon a session is told the core's partitions and state; it says from which ReportIndex on it wants
//! each partition, gets the reports from there and then live ones, all partitions that it named; it may say so again at
//! any time, and follows from then on what it named last. A core may have two lines, each a port of its own: both have
//! the same reports, as they follow one log, and requests come in by either.

use crate::session::{Admission, Heard, PortState, SessionCounts, Sessions, Slot, count};
use flow::{Cursor, Filter, FindError, Reader, Selection, Seq};
use shard::{ConnId, Cx, LogId, Reason};
use wire::szse::code::{BusinessRejectReason, PlatformId, PlatformState};
use wire::szse::trading::{
    BusinessReject, NewOrder, OrderCancelRequest, PlatformInfo, PlatformStateInfo, ReportSynchronization,
    RequestBase,
};
use wire::szse::{DecodeError, Frame, GroupMessage, I32, I64, Message, Text, Timestamp, U32, frame};

/// A line to a core: a port at which gateways log on.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in logs.
    pub name: String,
    /// PlatformID that its sessions are told.
    pub platform_id: PlatformId,
    /// PartitionNo of the core's first partition; the others follow.
    pub partition_first: u16,
    /// How many there are, at least 1 and at most [`wire::szse::trading::PARTITIONS_MAX`].
    pub partitions: u16,
    /// The log of the core's reports: [`flow::Tag::lane`] is the PartitionNo, [`flow::Tag::number`] the ReportIndex.
    pub reports: LogId,
}

impl Line {
    /// PartitionNo of each partition.
    pub fn partition_nos(&self) -> impl Iterator<Item = u16> + use<> {
        (self.partition_first..).take(usize::from(self.partitions))
    }
}

/// What a gateway asks of a core.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// A new order.
    Order(&'a NewOrder),
    /// A cancel.
    Cancel(&'a OrderCancelRequest),
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Over which connection.
    pub id: ConnId,
    /// The number of its message: RefSeqNum of a reject.
    pub ref_seq_num: i64,
}

/// The core cannot take a request: why, in a few words. The gateway is told by a BusinessReject, and may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable(pub &'static str);

/// What a trading session keeps: whether it has said which reports it wants.
#[derive(Debug, Default)]
struct Synchronized(bool);

/// Why a request is answered with a BusinessReject: it did not reach the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("unsupported message")]
    Unsupported,
    #[error("report synchronization first")]
    NotSynchronized,
    #[error("no such partition")]
    UnknownPartition,
    #[error("no partition")]
    NoPartition,
    #[error("report index below 0")]
    BadIndex,
    #[error("report index no longer held")]
    NoLongerHeld { partition: u16, oldest: u64 },
    #[error("report index not yet written")]
    NotYet { partition: u16, next: u64 },
    #[error("{0}")]
    Unavailable(&'static str),
}

impl Refused {
    const fn reason(self) -> BusinessRejectReason {
        match self {
            Self::Unsupported => BusinessRejectReason::UNSUPPORTED_MESSAGE,
            Self::NotSynchronized => BusinessRejectReason::NOT_AUTHORIZED,
            Self::UnknownPartition => BusinessRejectReason::UNKNOWN_ID,
            Self::NoPartition | Self::BadIndex => BusinessRejectReason::FIELD_INVALID,
            Self::NoLongerHeld { .. } | Self::NotYet { .. } => BusinessRejectReason::OTHER,
            Self::Unavailable(_) => BusinessRejectReason::APPLICATION_UNAVAILABLE,
        }
    }

    /// Also the value of a metric's label.
    const fn label(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported message",
            Self::NotSynchronized => "report synchronization first",
            Self::UnknownPartition => "no such partition",
            Self::NoPartition => "no partition",
            Self::BadIndex => "report index below 0",
            Self::NoLongerHeld { .. } => "report index no longer held",
            Self::NotYet { .. } => "report index not yet written",
            Self::Unavailable(why) => why,
        }
    }

    /// BusinessRejectText; where a report is missing it names the index to ask for instead.
    fn text(self) -> Text<50> {
        match self {
            Self::NoLongerHeld { partition, oldest } => {
                Text::truncated(&format!("partition {partition}: the oldest held is {oldest}"))
            }
            Self::NotYet { partition, next } => {
                Text::truncated(&format!("partition {partition}: the next is {next}"))
            }
            _ => Text::truncated(self.label()),
        }
    }
}

/// The trading ports of a shard. A part of its application, which tells it of its connections.
#[derive(Debug)]
pub struct Ports {
    sessions: Sessions<Synchronized>,
    lines: Vec<Line>,
}

impl Ports {
    /// A port for each line, on which a CompID may have so many sessions at a time.
    pub fn new(lines: Vec<Line>, admission: Admission, per_comp_id_max: usize) -> Self {
        let names = lines.iter().map(|line| line.name.clone()).collect();
        Self { sessions: Sessions::new(names, admission, per_comp_id_max), lines }
    }

    /// What happened so far.
    pub fn counts(&self) -> &SessionCounts {
        &self.sessions.counts
    }

    /// Whether a connection is one of these.
    pub fn owns(&self, id: ConnId) -> bool {
        self.sessions.owns(id)
    }

    /// A connection to one of the ports, counted from 0.
    pub fn on_open(&mut self, cx: &mut Cx, id: ConnId, port: usize) {
        self.sessions.open(cx, id, port);
    }

    /// Bytes of a connection; see [`shard::App::on_data`]. `take` is given each request of a session that has said which
    /// reports it wants, with the number of its port; who sent one that is not taken is told so.
    ///
    /// # Errors
    /// The reason to close it: its session ended, in order or not.
    pub fn on_data(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        data: &[u8],
        mut take: impl FnMut(&mut Cx, usize, Request<'_>, Sender) -> Result<(), Unavailable>,
    ) -> Result<usize, Reason> {
        let lines = &self.lines;
        let time = now(cx);
        let mut refusals = Vec::new();
        let outcome = self.sessions.receive(cx, id, data, |cx, slot, heard, out| {
            let line = &lines[slot.port];
            match heard {
                Heard::LoggedOn => welcome(line, out),
                Heard::Message(frame) => {
                    if let Err(refused) = message(cx, line, slot, frame, &mut take)? {
                        refusals.push(refused.label());
                        reject(slot.ref_seq_num(), frame, time, refused, out);
                    }
                }
            }
            Ok(())
        });
        for label in refusals {
            count(&mut self.sessions.counts.rejects, label, 1);
        }
        outcome
    }

    /// Tells who sent a request, which was taken, that the core cannot have it after all.
    #[cold]
    pub fn refuse(&mut self, cx: &mut Cx, request: Request<'_>, sender: Sender, why: Unavailable) {
        let refused = Refused::Unavailable(why.0);
        count(&mut self.sessions.counts.rejects, refused.label(), 1);
        let time = now(cx);
        cx.send(sender.id, |out| {
            reject_of(sender.ref_seq_num, &Rejected::of(request), time, refused, out);
        });
    }

    /// A connection has ended.
    pub fn on_close(&mut self, id: ConnId) {
        self.sessions.close(id);
    }

    /// Time has passed.
    pub fn on_tick(&mut self, cx: &mut Cx) {
        self.sessions.tick(cx);
    }

    /// Sessions are to end.
    pub fn on_drain(&mut self, cx: &mut Cx) {
        self.sessions.log_out_all(cx, "closing");
    }

    /// Lets a port fail, or mends it.
    pub fn set_port(&mut self, cx: &mut Cx, port: usize, state: PortState) {
        self.sessions.set_port(cx, port, state);
    }
}

fn now(cx: &Cx) -> Timestamp {
    Timestamp::from_unix_ns(cx.wall_ns().max(0).cast_unsigned())
}

/// Takes a message within a session. The outer error ends the session: a body that is not what its type says.
fn message(
    cx: &mut Cx,
    line: &Line,
    slot: &mut Slot<Synchronized>,
    frame: Frame<'_>,
    take: &mut impl FnMut(&mut Cx, usize, Request<'_>, Sender) -> Result<(), Unavailable>,
) -> Result<Result<(), Refused>, DecodeError> {
    let request = match frame.msg_type {
        NewOrder::MSG_TYPE | OrderCancelRequest::MSG_TYPE if !slot.state.0 => {
            return Ok(Err(Refused::NotSynchronized));
        }
        NewOrder::MSG_TYPE => Request::Order(frame.view()?),
        OrderCancelRequest::MSG_TYPE => Request::Cancel(frame.view()?),
        <ReportSynchronization<'_> as GroupMessage<'_>>::MSG_TYPE => {
            return Ok(synchronize(cx, line, slot, frame.group()?));
        }
        _ => return Ok(Err(Refused::Unsupported)),
    };
    let sender = Sender { id: slot.id, ref_seq_num: slot.ref_seq_num() };
    Ok(take(cx, slot.port, request, sender).map_err(|why| Refused::Unavailable(why.0)))
}

/// Lets a session have the reports that it asks for, and from then on live ones. Nothing changes on an error.
fn synchronize(
    cx: &mut Cx,
    line: &Line,
    slot: &mut Slot<Synchronized>,
    wanted: ReportSynchronization<'_>,
) -> Result<(), Refused> {
    let mut start = Seq::MAX;
    let mut floors: Vec<(u16, u64)> = Vec::new();
    for entry in wanted.partitions {
        let partition = u16::try_from(entry.partition_no.get()).ok();
        let partition = partition.filter(|number| line.partition_nos().any(|of| of == *number));
        let partition = partition.ok_or(Refused::UnknownPartition)?;
        let index = u64::try_from(entry.report_index.get()).map_err(|_| Refused::BadIndex)?.max(1);
        start = start.min(find(cx.log(line.reports), partition, index)?);
        floors.push((partition, index));
    }
    if floors.is_empty() {
        return Err(Refused::NoPartition);
    }
    floors.sort_unstable();
    floors.dedup_by_key(|floor| floor.0);
    let all = floors.len() == usize::from(line.partitions);
    let filter = if all { Filter::All } else { Filter::lanes(floors.iter().map(|floor| floor.0)) };
    cx.attach(slot.id, line.reports, Cursor::at(start), Selection::new(filter).from_numbers(floors));
    slot.state.0 = true;
    Ok(())
}

/// Where a partition's reports go on at an index.
fn find(log: &Reader, partition: u16, index: u64) -> Result<Seq, Refused> {
    log.find(partition, index).map_err(|error| match error {
        FindError::NoLongerHeld { oldest_number } => {
            Refused::NoLongerHeld { partition, oldest: oldest_number }
        }
        FindError::NotYet { next_number } => Refused::NotYet { partition, next: next_number },
    })
}

/// What a gateway is told after its logon.
fn welcome(line: &Line, out: &mut Vec<u8>) {
    let partitions: Vec<I32> = line.partition_nos().map(|number| I32::new(number.into())).collect();
    let info = PlatformInfo { platform_id: line.platform_id, partitions: &partitions };
    info.encode(out).expect("invariant: a core has no more partitions than the message");
    let state = PlatformStateInfo { platform_id: line.platform_id, platform_state: PlatformState::OPEN };
    frame::encode(&state, out);
}

/// What a BusinessReject says of the request that it answers.
struct Rejected {
    msg_type: u32,
    base: RequestBase,
    cl_ord_id: Text<10>,
}

impl Rejected {
    fn of(request: Request<'_>) -> Self {
        let (msg_type, base, cl_ord_id) = match request {
            Request::Order(order) => (NewOrder::MSG_TYPE, order.base, order.cl_ord_id),
            Request::Cancel(cancel) => (OrderCancelRequest::MSG_TYPE, cancel.base, cancel.cl_ord_id),
        };
        Self { msg_type, base, cl_ord_id }
    }
}

fn reject(ref_seq_num: i64, of: Frame<'_>, now: Timestamp, refused: Refused, out: &mut Vec<u8>) {
    let order = of.view().ok().map(|order| Rejected::of(Request::Order(order)));
    let of = order
        .or_else(|| of.view().ok().map(|cancel| Rejected::of(Request::Cancel(cancel))))
        .unwrap_or(Rejected { msg_type: of.msg_type, base: RequestBase::default(), cl_ord_id: Text::BLANK });
    reject_of(ref_seq_num, &of, now, refused, out);
}

fn reject_of(ref_seq_num: i64, of: &Rejected, now: Timestamp, refused: Refused, out: &mut Vec<u8>) {
    let reject = BusinessReject {
        appl_id: of.base.appl_id,
        transact_time: now,
        submitting_pbu_id: of.base.submitting_pbu_id,
        security_id: of.base.security_id,
        security_id_source: of.base.security_id_source,
        ref_seq_num: I64::new(ref_seq_num),
        ref_msg_type: U32::new(of.msg_type),
        business_reject_ref_id: of.cl_ord_id,
        business_reject_reason: refused.reason(),
        business_reject_text: refused.text(),
    };
    frame::encode(&reject, out);
}
