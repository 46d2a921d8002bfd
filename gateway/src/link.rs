//! Hot path: one core: its line, its partitions, and its reports on their way into the log.
//!
//! Reports come with their numbers (PartitionNo, ReportIndex). The next number of each partition is what is held
//! here, and nothing else: whenever a line has logged on, the core is asked for its reports from there on, so what was
//! missed while it was down comes first and comes once.
//!
//! Rules: no allocation for a report, no copy but into the log (and one of the few bytes where PartitionNo changes).

use crate::accounts::Accounts;
use crate::check::Checks;
use crate::counts::Counts;
use crate::line::Line;
use crate::orders::{AccountKey, Orders};
use crate::route::Core;
use flow::{Tag, Writer};
use wire::szse::code::ExecType;
use wire::szse::session::{Event, SessionError};
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport, PARTITIONS_MAX, PartitionIndex,
    PlatformInfo, PlatformStateInfo, ReportFinished, ReportSynchronization, TradeReport,
};
use wire::szse::{DecodeError, Frame, GroupMessage, I32, I64, Message, Text, frame};

/// Why a line is given up. It is dialled again, and the core asked for what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Its session is over.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The core does not let us in.
    #[error("logon refused")]
    LogonRefused,
    /// The core has logged us out.
    #[error("logged out")]
    LoggedOut,
    /// The core has other partitions than the configuration says: its reports could get mixed up with another's.
    #[error("partitions differ from the configuration")]
    Partitions,
    /// A report of a partition that the core did not announce.
    #[error("report of an unknown partition")]
    UnknownPartition,
    /// A report's number leaves some out.
    #[error("gap in the reports")]
    Gap,
    /// The core does not give its reports from where we want them: it has none of that number, or no longer.
    #[error("the core has no reports from there")]
    NotSynchronized,
    /// The log does not take a report: longer than any.
    #[error("report too long")]
    TooLong,
}

impl LinkError {
    /// In a few words that stay the same: a metric's label and a log's reason.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Session(error) => error.text(),
            Self::LogonRefused => "logon refused",
            Self::LoggedOut => "logged out",
            Self::Partitions => "partitions differ from the configuration",
            Self::UnknownPartition => "report of an unknown partition",
            Self::Gap => "gap in the reports",
            Self::NotSynchronized => "the core has no reports from there",
            Self::TooLong => "report too long",
        }
    }
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        Self::Session(SessionError::Frame(error))
    }
}

/// The partitions of a core, as the core numbers them and as clients see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// The core's first PartitionNo; the others follow.
    pub first: u16,
    /// How many.
    pub count: u16,
    /// Added to the core's PartitionNo it gives the one that clients see, which is the lane in the log.
    pub offset: u16,
}

impl Partitions {
    /// The lanes, which are the partitions as clients see them.
    pub fn lanes(self) -> impl Iterator<Item = u16> {
        (self.first + self.offset..).take(usize::from(self.count))
    }
}

/// Where reports go and what they teach.
pub struct Intake<'a> {
    /// The log of reports.
    pub writer: &'a mut Writer,
    /// Whose they are.
    pub accounts: &'a Accounts,
    /// What cancels are routed by.
    pub orders: &'a mut Orders,
    /// What the pre-trade rules remember of the day.
    pub checks: &'a mut Checks,
    /// What happened.
    pub counts: &'a mut Counts,
    /// What the core refused without a report, and whose it was.
    pub refused: &'a mut Vec<(AccountKey, BusinessReject)>,
}

/// A core behind its line.
pub struct Link {
    core: Core,
    /// The line; a second one will stand beside it.
    pub line: Line,
    partitions: Partitions,
    /// The next ReportIndex of each partition.
    next: Vec<u64>,
    /// A frame whose PartitionNo is changed.
    patched: Vec<u8>,
}

impl Link {
    /// A core of which nothing is known yet.
    ///
    /// # Panics
    /// Partition numbers beyond 65,535 or more than [`PARTITIONS_MAX`]: configuration is checked before it gets here.
    pub fn new(core: Core, line: Line, partitions: Partitions) -> Self {
        let Partitions { first, count, offset } = partitions;
        let last = u32::from(first) + u32::from(offset) + u32::from(count);
        assert!(last <= 1 << 16 && usize::from(count) <= PARTITIONS_MAX, "partitions out of range");
        Self { core, line, partitions, next: vec![1; usize::from(count)], patched: Vec::with_capacity(512) }
    }

    /// Which one.
    pub fn core(&self) -> Core {
        self.core
    }

    /// Its lanes, and the next ReportIndex of each.
    pub fn lanes(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.partitions.lanes().zip(self.next.iter().copied())
    }

    /// Takes what the line has read; returns the bytes consumed. Answers are appended to `out`.
    ///
    /// # Errors
    /// Why the line is to be closed, after `out` is written.
    pub fn receive(
        &mut self,
        data: &[u8],
        now_ns: u64,
        intake: &mut Intake<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, LinkError> {
        let mut consumed = 0;
        loop {
            let Some(session) = self.line.session() else { return Ok(data.len()) };
            let Some(received) = session.receive(&data[consumed..], now_ns, out)? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => self.message(frame, intake, out)?,
                Event::Heartbeat | Event::LoggedOn(_) => {}
                Event::LogonRefused(logout) => {
                    tracing::warn!(core = self.core.name(), text = %logout.text, "logon refused");
                    return Err(LinkError::LogonRefused);
                }
                Event::LoggedOut(logout) => {
                    if !self.line.is_leaving() {
                        tracing::warn!(core = self.core.name(), text = %logout.text, "logged out");
                    }
                    return Err(LinkError::LoggedOut);
                }
                Event::LogonRequest(_) => unreachable!("a line is an initiator"),
            }
        }
    }

    #[inline]
    fn message(
        &mut self,
        frame: Frame<'_>,
        intake: &mut Intake<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), LinkError> {
        match frame.msg_type {
            OrderReport::MSG_TYPE => {
                let report = frame.view::<OrderReport>()?;
                let account = intake.accounts.key(report.account_id);
                // A refused order has an OrderID too, by which a cancel of it is answered; a cancelled one's report
                // has the cancel's ClOrdID.
                if let (Some(account), ExecType::NEW | ExecType::REJECTED) = (account, report.exec_type) {
                    intake.orders.accepted(account, report.cl_ord_id, self.core, report.order_id);
                }
                self.report(frame, (report.base.partition_no, report.base.report_index), account, intake)
            }
            TradeReport::MSG_TYPE => {
                let report = frame.view::<TradeReport>()?;
                let account = intake.accounts.key(report.account_id);
                self.report(frame, (report.base.partition_no, report.base.report_index), account, intake)
            }
            CancelReject::MSG_TYPE => {
                let report = frame.view::<CancelReject>()?;
                let account = intake.orders.owner_of_rejected(self.core, report);
                self.report(frame, (report.base.partition_no, report.base.report_index), account, intake)
            }
            _ => self.other(frame, intake, out),
        }
    }

    /// A numbered report: into the log, if its number is the next one and somebody here may ask for it.
    #[inline]
    fn report(
        &mut self,
        frame: Frame<'_>,
        (partition_no, report_index): (I32, I64),
        account: Option<AccountKey>,
        intake: &mut Intake<'_>,
    ) -> Result<(), LinkError> {
        let (at, lane) = self.place(partition_no.get())?;
        let core = self.core as usize;
        let number = u64::try_from(report_index.get()).unwrap_or(0);
        let next = self.next[at];
        if number < next {
            intake.counts.duplicates[core] += 1;
            return Ok(());
        }
        if number > next {
            tracing::warn!(core = self.core.name(), lane, number, next, "gap in the reports");
            return Err(LinkError::Gap);
        }
        match account {
            Some(key) => {
                let bytes = self.as_clients_see(frame, lane);
                let appended = intake.writer.append(Tag { lane, number, key }, bytes);
                appended.map_err(|_| LinkError::TooLong)?;
                intake.checks.reported(self.core, key, frame);
                intake.counts.reports[core] += 1;
            }
            None => intake.counts.unowned[core] += 1,
        }
        self.next[at] = number + 1;
        Ok(())
    }

    /// A partition's place in `next`, and its lane.
    #[inline]
    fn place(&self, partition_no: i32) -> Result<(usize, u16), LinkError> {
        let at = partition_no.checked_sub(i32::from(self.partitions.first));
        let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < self.next.len());
        let at = at.ok_or(LinkError::UnknownPartition)?;
        Ok((at, self.partitions.first + self.partitions.offset + at as u16))
    }

    /// The frame with the lane as its PartitionNo, which every report's body begins with.
    #[inline]
    fn as_clients_see<'a>(&'a mut self, frame: Frame<'a>, lane: u16) -> &'a [u8] {
        if self.partitions.offset == 0 {
            return frame.bytes;
        }
        let written = frame::encode_with(frame.msg_type, cleared(&mut self.patched), |body| {
            body.extend_from_slice(&i32::from(lane).to_be_bytes());
            body.extend_from_slice(&frame.body[size_of::<I32>()..]);
            Ok::<(), LinkError>(())
        });
        written.expect("invariant: copying does not fail");
        &self.patched
    }

    #[cold]
    fn other(
        &mut self,
        frame: Frame<'_>,
        intake: &mut Intake<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), LinkError> {
        match frame.msg_type {
            PlatformInfo::MSG_TYPE => self.platform(&frame.group()?, out),
            PlatformStateInfo::MSG_TYPE => {
                let info = frame.view::<PlatformStateInfo>()?;
                tracing::info!(core = self.core.name(), state = ?info.platform_state, "platform state");
                Ok(())
            }
            ReportFinished::MSG_TYPE => {
                let (_, lane) = self.place(frame.view::<ReportFinished>()?.partition_no.get())?;
                let tag = Tag { lane, number: 0, key: Tag::EVERYONE };
                intake
                    .writer
                    .append(tag, self.as_clients_see(frame, lane))
                    .map_err(|_| LinkError::TooLong)
                    .map(drop)
            }
            BusinessReject::MSG_TYPE => {
                intake.counts.core_rejects[self.core as usize] += 1;
                self.refused(frame.view()?, intake)
            }
            _ => {
                intake.counts.unknown_from_core[self.core as usize] += 1;
                Ok(())
            }
        }
    }

    /// The core refuses a request without a report: told to whom it concerns, where that is known.
    fn refused(&self, reject: &BusinessReject, intake: &mut Intake<'_>) -> Result<(), LinkError> {
        let (msg_type, id) = (reject.ref_msg_type.get(), reject.business_reject_ref_id);
        if matches!(msg_type, NewOrder::MSG_TYPE | OrderCancelRequest::MSG_TYPE)
            && let Some(account) = intake.orders.owner_of_refused(self.core, id)
        {
            intake.checks.refused(account, id);
            intake.refused.push((account, *reject));
            return Ok(());
        }
        let text: Text<50> = reject.business_reject_text;
        tracing::warn!(core = self.core.name(), msg_type, %id, %text, "refused by the core");
        if msg_type == ReportSynchronization::MSG_TYPE { Err(LinkError::NotSynchronized) } else { Ok(()) }
    }

    /// The core says which partitions it has: it is told from where we want their reports, and takes orders from now.
    fn platform(&mut self, info: &PlatformInfo<'_>, out: &mut Vec<u8>) -> Result<(), LinkError> {
        let first = self.partitions.first;
        let mut announced: Vec<i32> = info.partitions.iter().map(|partition| partition.get()).collect();
        announced.sort_unstable();
        let configured = (i32::from(first)..).take(self.next.len());
        if !configured.clone().eq(announced.iter().copied()) {
            tracing::error!(core = self.core.name(), ?announced, ?self.partitions, "partitions differ");
            return Err(LinkError::Partitions);
        }
        let wanted: Vec<PartitionIndex> = configured
            .zip(&self.next)
            .map(|(partition_no, next)| PartitionIndex {
                partition_no: I32::new(partition_no),
                report_index: I64::new(i64::try_from(*next).unwrap_or(i64::MAX)),
            })
            .collect();
        let synchronization = ReportSynchronization { partitions: &wanted };
        synchronization.encode(out).expect("invariant: no more partitions than the message holds");
        self.line.set_ready();
        Ok(())
    }
}

fn cleared(buffer: &mut Vec<u8>) -> &mut Vec<u8> {
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests;
