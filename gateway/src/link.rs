//! Hot path: one core: its partitions, and its reports on their way from either of its lines into the log.
//!
//! Reports come with their numbers (PartitionNo, ReportIndex). The next number of each partition is what is held
//! here, and nothing else: whenever a line takes a partition over, the core is asked for its reports from there on, so what
//! was missed comes first, and what comes over both lines is taken once.
//!
//! Rules: no allocation for a report, no copy but into the log (and one of the few bytes where PartitionNo changes).

use crate::accounts::Accounts;
use crate::check::Checks;
use crate::counts::Counts;
use crate::flight::{Flight, Identity, Kind, Named, Over};
use crate::line::Line;
use crate::orders::{AccountKey, Orders};
use crate::past::{Behind, Had, Past, flow_of};
use crate::refused::{By, Refused};
use crate::route::Core;
use crate::traces::Answers;
use flow::{Tag, Writer};
use service::outage::Outage;
use wire::szse::code::{ExecType, OrdRejReason};
use wire::szse::session::{Event, SessionError};
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport, PARTITIONS_MAX, PartitionIndex,
    PlatformInfo, PlatformStateInfo, ReportBase, ReportFinished, ReportSynchronization, TradeReport,
};
use wire::szse::{DecodeError, Frame, GroupMessage, I32, I64, Message, Text, Timestamp, frame};

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
    /// What is under way to the core.
    pub flight: &'a mut Flight,
    /// The line that it comes over, and what was sent last over that.
    pub over: Over,
    /// When that line was not there, and what the core says of it.
    pub outage: &'a mut Outage,
    /// What happened.
    pub counts: &'a mut Counts,
    /// What the core refused without a report.
    pub refused: &'a mut Vec<Refused>,
    /// What is traced of it.
    pub answers: Answers<'a>,
    /// Until when a request is reported that may be the one that the core refused.
    pub settles_ns: u64,
    /// Time of day, nanoseconds since 1970.
    pub wall_ns: i64,
}

/// A core behind its lines.
pub struct Link {
    core: Core,
    partitions: Partitions,
    /// The next ReportIndex of each partition.
    next: Vec<u64>,
    /// What was had of each partition before.
    past: Vec<Past>,
    /// The core's RefSeqNum counts the frames that it is sent, as far as it has shown; without that its rejects are known by
    /// their names.
    counts_frames: bool,
    /// A frame whose PartitionNo is changed.
    patched: Vec<u8>,
}

impl Link {
    /// A core of which nothing is known yet.
    ///
    /// # Panics
    /// Partition numbers beyond 65,535 or more than [`PARTITIONS_MAX`]: configuration is checked before it gets here.
    pub fn new(core: Core, partitions: Partitions) -> Self {
        let Partitions { first, count, offset } = partitions;
        let last = u32::from(first) + u32::from(offset) + u32::from(count);
        assert!(last <= 1 << 16 && usize::from(count) <= PARTITIONS_MAX, "partitions out of range");
        Self {
            core,
            partitions,
            next: vec![1; usize::from(count)],
            past: vec![Past::default(); usize::from(count)],
            counts_frames: false,
            patched: Vec::with_capacity(512),
        }
    }

    /// Which one.
    pub fn core(&self) -> Core {
        self.core
    }

    /// Its lanes, and the next ReportIndex of each.
    pub fn lanes(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.partitions.lanes().zip(self.next.iter().copied())
    }

    /// The flow that a lane's reports are of, as `past.rs` has it; 0 before the first one, and of lanes that are not this core's.
    #[inline]
    pub fn flow(&self, lane: u16) -> u64 {
        let at = lane.checked_sub(self.partitions.first + self.partitions.offset);
        at.and_then(|at| self.past.get(usize::from(at))).map_or(0, Past::flow)
    }

    /// Reports of today up to there were had, which was known when the gateway started or was learnt later.
    pub(crate) fn expect(&mut self, had: Had, at_start: bool) {
        let at = had.lane.checked_sub(self.partitions.first + self.partitions.offset);
        if let Some(past) = at.and_then(|at| self.past.get_mut(usize::from(at))) {
            past.expect(had, at_start);
        }
    }

    /// It is this day now (YYYYMMDD): what was had of an earlier one is over where the core has shown nothing of it.
    pub(crate) fn expire(&mut self, today: u64) {
        self.past.iter_mut().for_each(|past| past.expire(today));
    }

    /// Whether the core has less of a partition than was had of it.
    pub(crate) fn behind(&self) -> Option<Behind> {
        let mut all = self.lanes().zip(&self.past).filter_map(|((lane, next), past)| past.behind(lane, next));
        let first = all.next()?;
        // Another flow is the surer word, and what was known at the start the stricter.
        Some(all.fold(first, |most, behind| {
            if (behind.other, behind.at_start) > (most.other, most.at_start) { behind } else { most }
        }))
    }

    /// Takes what a line has read; returns the bytes consumed. Answers are appended to `out`.
    ///
    /// # Errors
    /// Why the line is to be closed, after `out` is written.
    pub fn receive(
        &mut self,
        line: &mut Line,
        data: &[u8],
        now_ns: u64,
        intake: &mut Intake<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, LinkError> {
        let mut consumed = 0;
        loop {
            let Some(session) = line.session() else { return Ok(data.len()) };
            let Some(received) = session.receive(&data[consumed..], now_ns, out)? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => self.message(line, frame, intake)?,
                Event::Heartbeat | Event::LoggedOn(_) => {}
                Event::LogonRefused(logout) => {
                    intake.outage.turned_away(logout.text);
                    return Err(LinkError::LogonRefused);
                }
                Event::LoggedOut(logout) => {
                    intake.outage.turned_away(logout.text);
                    return Err(LinkError::LoggedOut);
                }
                Event::LogonRequest(_) => unreachable!("a line is an initiator"),
            }
        }
    }

    #[inline]
    fn message(
        &mut self,
        line: &mut Line,
        frame: Frame<'_>,
        intake: &mut Intake<'_>,
    ) -> Result<(), LinkError> {
        match frame.msg_type {
            OrderReport::MSG_TYPE => {
                let report = frame.view::<OrderReport>()?;
                let place = self.numbered(&report.base)?;
                let account = intake.accounts.key(report.account_id);
                let whose = match account {
                    Some(account) if repeats(report, account, intake.orders) => Whose::Nobodys,
                    Some(account) => Whose::Of(account),
                    None => Whose::Unknown,
                };
                // A refused order has an OrderID too, by which a cancel of it is answered; a cancelled one's report
                // has the cancel's ClOrdID.
                if let (Some(account), ExecType::NEW | ExecType::REJECTED) = (account, report.exec_type) {
                    intake.orders.accepted(account, report.cl_ord_id, self.core, report.order_id);
                }
                if let Some(account) = account {
                    match report.exec_type {
                        ExecType::CANCELLED => {
                            let named =
                                intake.orders.by_order_id(report.order_id, |order| order.core == self.core);
                            let of = named.map_or(report.orig_cl_ord_id, |order| order.cl_ord_id);
                            // The only report of an order that never rested may be this one.
                            self.order_answered(report, (account, of), intake);
                            intake.flight.answered(Identity::cancel(account, report.cl_ord_id, of));
                        }
                        _ => self.order_answered(report, (account, report.cl_ord_id), intake),
                    }
                }
                self.report(frame, place, whose, intake)
            }
            TradeReport::MSG_TYPE => {
                let report = frame.view::<TradeReport>()?;
                let place = self.numbered(&report.base)?;
                let account = intake.accounts.key(report.account_id);
                self.report(frame, place, Whose::from(account), intake)
            }
            CancelReject::MSG_TYPE => {
                let report = frame.view::<CancelReject>()?;
                let place = self.numbered(&report.base)?;
                let account = intake.orders.owner_of_rejected(self.core, report);
                let mut whose = Whose::from(account);
                if let Some(account) = account {
                    let named = intake.orders.by_order_id(report.order_id, |order| order.core == self.core);
                    let of = named.map_or(report.orig_cl_ord_id, |order| order.cl_ord_id);
                    let identity = Identity::cancel(account, report.cl_ord_id, of);
                    if !intake.flight.answered(identity) && intake.flight.repeats(identity) {
                        whose = Whose::Nobodys;
                    }
                }
                self.report(frame, place, whose, intake)
            }
            _ => self.other(line, frame, intake),
        }
    }

    /// The first report of an order ends its flight.
    #[inline]
    fn order_answered(
        &self,
        report: &OrderReport,
        (account, cl_ord_id): (AccountKey, Text<10>),
        intake: &mut Intake<'_>,
    ) {
        let (identity, flight) = (Identity::order(account, cl_ord_id), &mut *intake.flight);
        let over = (self.core, intake.over);
        intake.answers.reported(report, over, cl_ord_id, || flight.sent_ns(identity));
        flight.answered(identity);
    }

    /// Where a report belongs. Nothing is learnt from one beyond a gap: it comes again, and must be news then.
    #[inline]
    fn numbered(&self, base: &ReportBase) -> Result<Numbered, LinkError> {
        let (at, lane) = self.place(base.partition_no.get())?;
        let number = u64::try_from(base.report_index.get()).unwrap_or(0);
        let next = self.next[at];
        if number > next {
            tracing::warn!(core = self.core.name(), lane, number, next, "gap in the reports");
            return Err(LinkError::Gap);
        }
        Ok(Numbered { at, lane, number, time: base.transact_time })
    }

    /// A numbered report: into the log, if its number is the next one and somebody here may ask for it.
    #[inline]
    fn report(
        &mut self,
        frame: Frame<'_>,
        Numbered { at, lane, number, time }: Numbered,
        whose: Whose,
        intake: &mut Intake<'_>,
    ) -> Result<(), LinkError> {
        let core = self.core as usize;
        if number < self.next[at] {
            intake.counts.duplicates[core] += 1;
            return Ok(());
        }
        if number == 1 {
            self.past[at].begin(flow_of(time, intake.wall_ns));
        }
        match whose {
            Whose::Of(key) => {
                let bytes = self.as_clients_see(frame, lane);
                let appended = intake.writer.append(Tag { lane, number, key }, bytes);
                appended.map_err(|_| LinkError::TooLong)?;
                intake.checks.reported(self.core, key, frame);
                intake.counts.reports[core] += 1;
            }
            Whose::Nobodys => intake.counts.repeated[core] += 1,
            Whose::Unknown => intake.counts.unowned[core] += 1,
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
    fn other(&mut self, line: &mut Line, frame: Frame<'_>, intake: &mut Intake<'_>) -> Result<(), LinkError> {
        match frame.msg_type {
            PlatformInfo::MSG_TYPE => self.platform(line, &frame.group()?, intake.outage),
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

    /// The core refuses a request without a report: told to whom it concerns, where that is known, and kept in the audit.
    fn refused(&mut self, reject: &BusinessReject, intake: &mut Intake<'_>) -> Result<(), LinkError> {
        let (msg_type, id) = (reject.ref_msg_type.get(), reject.business_reject_ref_id);
        let kind = match msg_type {
            NewOrder::MSG_TYPE => Some(Kind::Order),
            OrderCancelRequest::MSG_TYPE => Some(Kind::Cancel),
            _ => None,
        };
        if let Some(kind) = kind {
            let mut sent_ns = None;
            let whose = match self.meant(kind, reject, intake) {
                Meant::This(identity) => {
                    sent_ns = intake.flight.sent_ns(identity);
                    intake.flight.end(identity);
                    Some((identity.account, identity.of))
                }
                Meant::Over => None,
                Meant::Named => match intake.flight.refused(kind, id) {
                    Named::Of(identity) => Some((identity.account, identity.of)),
                    Named::Nobodys => intake
                        .orders
                        .owner_of_refused(self.core, id)
                        .map(|account| (account, intake.orders.named_by_cancel(self.core, account, id))),
                    // What concerns one account must not be told to another: whose it was shows in who is not reported.
                    Named::Several => {
                        intake.flight.settle_named(kind, id, intake.settles_ns);
                        None
                    }
                },
            };
            if let (Some((account, _)), Kind::Order) = (whose, kind) {
                intake.checks.refused(account, id);
                if let Some(name) = intake.accounts.name(account) {
                    intake.answers.refused(name, id, self.core, sent_ns);
                }
            }
            let (account, of) = whose.map_or((None, Text::BLANK), |(account, of)| (Some(account), of));
            intake.refused.push(Refused { by: By::Core, core: self.core, account, of, reject: *reject });
            if account.is_some() {
                return Ok(());
            }
        }
        let text: Text<50> = reject.business_reject_text;
        tracing::warn!(core = self.core.name(), msg_type, %id, %text, "refused by the core");
        if msg_type == ReportSynchronization::MSG_TYPE { Err(LinkError::NotSynchronized) } else { Ok(()) }
    }

    /// Which request a reject means, by the number that the request had on this line.
    fn meant(&mut self, kind: Kind, reject: &BusinessReject, intake: &Intake<'_>) -> Meant {
        let number = u64::try_from(reject.ref_seq_num.get()).unwrap_or(0);
        if number == 0 {
            return Meant::Named;
        }
        let name = reject.business_reject_ref_id;
        match intake.flight.sent_there(Over { number, ..intake.over }) {
            Some(identity) if (identity.kind, identity.cl_ord_id) == (kind, name) => {
                self.counts_frames = true;
                Meant::This(identity)
            }
            None if self.counts_frames && number <= intake.over.number => Meant::Over,
            // A number that nothing was sent under, or another request: the core counts something else.
            _ => {
                self.counts_frames = false;
                Meant::Named
            }
        }
    }

    /// The core says which partitions it has.
    fn platform(
        &self,
        line: &mut Line,
        info: &PlatformInfo<'_>,
        outage: &mut Outage,
    ) -> Result<(), LinkError> {
        let first = self.partitions.first;
        let mut announced: Vec<i32> = info.partitions.iter().map(|partition| partition.get()).collect();
        announced.sort_unstable();
        let configured = (i32::from(first)..).take(self.next.len());
        if !configured.eq(announced.iter().copied()) {
            outage.turned_away(format_args!(
                "the core has {announced:?}, {:?} are configured",
                self.partitions
            ));
            return Err(LinkError::Partitions);
        }
        line.set_ready();
        Ok(())
    }

    /// Appends to `out` from where the reports of these partitions are wanted, the first being 0. There is at least one.
    pub fn synchronize(&self, partitions: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        let wanted: Vec<PartitionIndex> = partitions
            .map(|at| PartitionIndex {
                partition_no: I32::new(i32::from(self.partitions.first) + at as i32),
                report_index: I64::new(i64::try_from(self.next[at]).unwrap_or(i64::MAX)),
            })
            .collect();
        let synchronization = ReportSynchronization { partitions: &wanted };
        synchronization.encode(out).expect("invariant: no more partitions than the message holds");
    }
}

/// Which request a core's reject means.
enum Meant {
    /// This one.
    This(Identity),
    /// One that is no longer under way: who sent it knows how it has ended.
    Over,
    /// One of its name.
    Named,
}

/// A report's place among those of its core, which it does not lie beyond.
#[derive(Clone, Copy)]
struct Numbered {
    /// Of its partition in `next`.
    at: usize,
    lane: u16,
    number: u64,
    time: Timestamp,
}

/// To whom a report goes.
#[derive(Clone, Copy)]
enum Whose {
    /// Whoever may see this account.
    Of(AccountKey),
    /// An account that nobody here may trade.
    Unknown,
    /// Nobody: it only repeats what was said before.
    Nobodys,
}

impl From<Option<AccountKey>> for Whose {
    fn from(account: Option<AccountKey>) -> Self {
        account.map_or(Self::Unknown, Self::Of)
    }
}

/// Whether this is the core's answer to the repetition of an order that it had already, as comes of sending again what a dead
/// line may have brought. The order's own report has told its fate, under the same ClOrdID: this one would deny it.
#[inline]
fn repeats(report: &OrderReport, account: AccountKey, orders: &Orders) -> bool {
    report.exec_type == ExecType::REJECTED
        && report.ord_rej_reason == OrdRejReason::DUPLICATE_ORDER
        && orders.by_identity(account, report.cl_ord_id).is_some_and(|order| !order.order_id.is_blank())
}

fn cleared(buffer: &mut Vec<u8>) -> &mut Vec<u8> {
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests;
