//! Trading ports: each is the desk of a core for the gateways that log on to it.
//!
//! After the logon a session is told the platform's partitions and state; it says from which ReportIndex on it wants
//! each partition, gets the reports from there and then live ones, all partitions that it named; it may say so again at
//! any time, and follows from then on what it named last. A desk has one line or two, each a port of its own: both have
//! the same reports, and requests come in by either. Requests are taken in the turn in which they came: see `intake.rs`.

use crate::core::{Desk, DeskNo, Input, Now, Outlet};
use crate::intake::{Intake, Sender};
use crate::session::{Admission, Heard, PortState, SessionCounts, Sessions, Slot, count};
use flow::{Cursor, Filter, FindError, Reader, Selection, Seq, Tag};
use shard::{ConnId, Cx, LogId, Reason};
use wire::szse::code::{BusinessRejectReason, PlatformId, PlatformState};
use wire::szse::trading::{
    BusinessReject, NewOrder, OrderCancelRequest, PlatformInfo, PlatformStateInfo, ReportSynchronization,
    RequestBase,
};
use wire::szse::{DecodeError, Frame, GroupMessage, I32, I64, Message, Text, Timestamp, U32, frame};

/// A line to a desk of the core, which is a platform of the exchange. A desk may have two.
#[derive(Clone, Debug)]
pub(crate) struct Platform {
    pub(crate) name: String,
    pub(crate) id: PlatformId,
    pub(crate) desk_no: DeskNo,
    pub(crate) desk: Desk,
}

/// The logs of a shard: one of reports for each desk, and one of market data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logs {
    desks: usize,
}

impl Logs {
    pub(crate) fn new(desks: usize) -> Self {
        Self { desks }
    }

    pub(crate) fn reports(self, desk: usize) -> LogId {
        LogId(desk)
    }

    pub(crate) fn market(self) -> LogId {
        LogId(self.desks)
    }
}

/// A shard's logs as the core's outlet.
pub(crate) struct ToLogs<'a> {
    pub(crate) cx: &'a mut Cx,
    pub(crate) logs: Logs,
}

impl Outlet for ToLogs<'_> {
    #[inline]
    fn report(&mut self, desk: DeskNo, tag: Tag, frame: &[u8]) {
        append(self.cx, self.logs.reports(usize::from(desk)), tag, frame);
    }

    #[inline]
    fn market(&mut self, tag: Tag, frame: &[u8]) {
        append(self.cx, self.logs.market(), tag, frame);
    }
}

#[inline]
fn append(cx: &mut Cx, log: LogId, tag: Tag, frame: &[u8]) {
    let appended = cx.writer(log).append(tag, frame);
    appended.expect("invariant: the core numbers each lane upwards, and a segment takes its longest frame");
}

/// What a trading session keeps: whether it has said which reports it wants.
#[derive(Debug, Default)]
pub(crate) struct Synchronized(bool);

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
    #[error("journal cannot be written")]
    NotJournalled,
}

impl Refused {
    const fn reason(self) -> BusinessRejectReason {
        match self {
            Self::Unsupported => BusinessRejectReason::UNSUPPORTED_MESSAGE,
            Self::NotSynchronized => BusinessRejectReason::NOT_AUTHORIZED,
            Self::UnknownPartition => BusinessRejectReason::UNKNOWN_ID,
            Self::NoPartition | Self::BadIndex => BusinessRejectReason::FIELD_INVALID,
            Self::NoLongerHeld { .. } | Self::NotYet { .. } => BusinessRejectReason::OTHER,
            Self::NotJournalled => BusinessRejectReason::APPLICATION_UNAVAILABLE,
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
            Self::NotJournalled => "journal cannot be written",
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

/// The trading ports of a shard.
#[derive(Debug)]
pub(crate) struct Trading {
    sessions: Sessions<Synchronized>,
    platforms: Vec<Platform>,
    logs: Logs,
}

impl Trading {
    pub(crate) fn new(
        platforms: Vec<Platform>,
        logs: Logs,
        admission: Admission,
        per_comp_id_max: usize,
    ) -> Self {
        let names = platforms.iter().map(|platform| platform.name.clone()).collect();
        Self { sessions: Sessions::new(names, admission, per_comp_id_max), platforms, logs }
    }

    pub(crate) fn counts(&self) -> &SessionCounts {
        &self.sessions.counts
    }

    pub(crate) fn owns(&self, id: ConnId) -> bool {
        self.sessions.owns(id)
    }

    pub(crate) fn on_open(&mut self, cx: &mut Cx, id: ConnId, port: usize) {
        self.sessions.open(cx, id, port);
    }

    pub(crate) fn on_data(
        &mut self,
        cx: &mut Cx,
        intake: &mut Intake,
        id: ConnId,
        data: &[u8],
    ) -> Result<usize, Reason> {
        let (platforms, logs) = (&self.platforms, self.logs);
        let now = Now::at(cx.wall_ns().unsigned_abs());
        let mut refusals = Vec::new();
        let outcome = self.sessions.receive(cx, id, data, |cx, slot, heard, out| {
            let platform = &platforms[slot.port];
            match heard {
                Heard::LoggedOn => welcome(platform, out),
                Heard::Message(frame) => {
                    let mut way = Way { cx, intake, now, logs };
                    if let Err(refused) = way.take(platform, slot, frame)? {
                        refusals.push(refused.label());
                        reject(slot.ref_seq_num(), frame, now.time(), refused, out);
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

    /// Answers a request that the journal did not take.
    #[cold]
    pub(crate) fn not_journalled(&mut self, cx: &mut Cx, now: Now, input: Input<'_>, sender: Sender) {
        count(&mut self.sessions.counts.rejects, Refused::NotJournalled.label(), 1);
        cx.send(sender.id, |out| {
            reject_of(sender.ref_seq_num, &Rejected::of(input), now.time(), Refused::NotJournalled, out);
        });
    }

    pub(crate) fn on_close(&mut self, id: ConnId) {
        self.sessions.close(id);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx) {
        self.sessions.tick(cx);
    }

    pub(crate) fn on_drain(&mut self, cx: &mut Cx) {
        self.sessions.log_out_all(cx, "closing");
    }

    pub(crate) fn set_port(&mut self, cx: &mut Cx, port: usize, state: PortState) {
        self.sessions.set_port(cx, port, state);
    }
}

/// The way of one message: from the session to the inputs of this turn.
struct Way<'a> {
    cx: &'a mut Cx,
    intake: &'a mut Intake,
    now: Now,
    logs: Logs,
}

impl Way<'_> {
    /// Takes a message within a session. The outer error ends the session: a body that is not what its type says.
    fn take(
        &mut self,
        platform: &Platform,
        slot: &mut Slot<Synchronized>,
        frame: Frame<'_>,
    ) -> Result<Result<(), Refused>, DecodeError> {
        let desk = platform.desk_no;
        let input = match frame.msg_type {
            NewOrder::MSG_TYPE | OrderCancelRequest::MSG_TYPE if !slot.state.0 => {
                return Ok(Err(Refused::NotSynchronized));
            }
            NewOrder::MSG_TYPE => Input::Order(desk, frame.view()?),
            OrderCancelRequest::MSG_TYPE => Input::Cancel(desk, frame.view()?),
            <ReportSynchronization<'_> as GroupMessage<'_>>::MSG_TYPE => {
                let wanted = frame.group::<ReportSynchronization<'_>>()?;
                return Ok(self.synchronize(platform, slot, wanted));
            }
            _ => return Ok(Err(Refused::Unsupported)),
        };
        let sender = Sender { id: slot.id, ref_seq_num: slot.ref_seq_num() };
        self.intake.push(self.now, input, sender);
        Ok(Ok(()))
    }

    /// Lets a session have the reports that it asks for, and from then on live ones. Nothing changes on an error.
    fn synchronize(
        &mut self,
        platform: &Platform,
        slot: &mut Slot<Synchronized>,
        wanted: ReportSynchronization<'_>,
    ) -> Result<(), Refused> {
        let log = self.logs.reports(usize::from(platform.desk_no));
        let mut start = Seq::MAX;
        let mut floors: Vec<(u16, u64)> = Vec::new();
        for entry in wanted.partitions {
            let partition = u16::try_from(entry.partition_no.get()).ok();
            let partition = partition.filter(|number| platform.desk.partition_nos().any(|of| of == *number));
            let partition = partition.ok_or(Refused::UnknownPartition)?;
            let index = u64::try_from(entry.report_index.get()).map_err(|_| Refused::BadIndex)?.max(1);
            start = start.min(find(self.cx.log(log), partition, index)?);
            floors.push((partition, index));
        }
        if floors.is_empty() {
            return Err(Refused::NoPartition);
        }
        floors.sort_unstable();
        floors.dedup_by_key(|floor| floor.0);
        let all = floors.len() == usize::from(platform.desk.partitions);
        let filter = if all { Filter::All } else { Filter::lanes(floors.iter().map(|floor| floor.0)) };
        self.cx.attach(slot.id, log, Cursor::at(start), Selection::new(filter).from_numbers(floors));
        slot.state.0 = true;
        Ok(())
    }
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
fn welcome(platform: &Platform, out: &mut Vec<u8>) {
    let partitions: Vec<I32> = platform.desk.partition_nos().map(|number| I32::new(number.into())).collect();
    let info = PlatformInfo { platform_id: platform.id, partitions: &partitions };
    info.encode(out).expect("invariant: configuration allows no more partitions than the message");
    let state = PlatformStateInfo { platform_id: platform.id, platform_state: PlatformState::OPEN };
    frame::encode(&state, out);
}

/// What a BusinessReject says of the request that it answers.
struct Rejected {
    msg_type: u32,
    base: RequestBase,
    cl_ord_id: Text<10>,
}

impl Rejected {
    fn of(input: Input<'_>) -> Self {
        let (msg_type, base, cl_ord_id) = match input {
            Input::Order(_, order) => (NewOrder::MSG_TYPE, order.base, order.cl_ord_id),
            Input::Cancel(_, cancel) => (OrderCancelRequest::MSG_TYPE, cancel.base, cancel.cl_ord_id),
        };
        Self { msg_type, base, cl_ord_id }
    }
}

fn reject(ref_seq_num: i64, of: Frame<'_>, now: Timestamp, refused: Refused, out: &mut Vec<u8>) {
    let unknown = Rejected { msg_type: of.msg_type, base: RequestBase::default(), cl_ord_id: Text::BLANK };
    reject_of(ref_seq_num, &Input::of(0, of).map_or(unknown, Rejected::of), now, refused, out);
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
