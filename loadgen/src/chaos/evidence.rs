//! What is compared at the end: reports as clients saw them, as cores hold them, and what the audit holds.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use wire::szse::code::{CashMargin, ExecType, OrdRejReason, Side};
use wire::szse::trading::{CancelReject, NewOrder, OrderReport, ReportBase, TradeReport};
use wire::szse::{DecodeError, Frame, Message, Price, Qty, SecurityId, Text};

/// Where a report stands: PartitionNo and ReportIndex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) index: i64,
}

/// What a report says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The core has taken it.
    Accepted(Terms),
    /// The core has not taken it.
    Rejected(OrdRejReason),
    /// What was left of it is gone.
    Cancelled { cum: Qty },
    /// A part of it, or all, traded.
    Traded { last: Qty, cum: Qty, leaves: Qty },
    /// It was not cancelled.
    CancelRejected,
}

/// The terms of an order, as the core's acceptance repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) security: SecurityId,
    pub(super) side: Side,
    pub(super) quantity: Qty,
    pub(super) price: Price,
    pub(super) cash_margin: CashMargin,
}

/// A report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) place: Place,
    /// Of the whole frame: reports of one place must be the same byte for byte, wherever they are.
    pub(super) digest: u64,
    /// ClOrdID of the request that it answers.
    pub(super) cl_ord_id: Text<10>,
    /// ClOrdID of the order.
    pub(super) order: Text<10>,
    /// The core's number of the order.
    pub(super) order_id: Text<16>,
    /// Blank in the reject of a cancel, which names no account.
    pub(super) account: Text<12>,
    pub(super) news: News,
}

impl Report {
    /// What a frame reports; `None` for a frame that is no report.
    pub(super) fn of(frame: &Frame<'_>) -> Result<Option<Self>, DecodeError> {
        let report = match frame.msg_type {
            OrderReport::MSG_TYPE => Self::of_order(frame.bytes, frame.view()?),
            TradeReport::MSG_TYPE => Self::of_trade(frame.bytes, frame.view()?),
            CancelReject::MSG_TYPE => Self::of_cancel_reject(frame.bytes, frame.view()?),
            _ => return Ok(None),
        };
        Ok(Some(report))
    }

    fn of_order(bytes: &[u8], report: &OrderReport) -> Self {
        let news = match report.exec_type {
            ExecType::NEW => News::Accepted(Terms {
                security: report.base.security_id,
                side: report.side,
                quantity: report.order_qty,
                price: report.price,
                cash_margin: report.ext.cash_margin,
            }),
            ExecType::CANCELLED => News::Cancelled { cum: report.cum_qty },
            _ => News::Rejected(report.ord_rej_reason),
        };
        let of_cancel = report.exec_type == ExecType::CANCELLED && !report.orig_cl_ord_id.is_blank();
        Self {
            place: place(&report.base),
            digest: digest(bytes),
            cl_ord_id: report.cl_ord_id,
            order: if of_cancel { report.orig_cl_ord_id } else { report.cl_ord_id },
            order_id: report.order_id,
            account: report.account_id,
            news,
        }
    }

    fn of_trade(bytes: &[u8], report: &TradeReport) -> Self {
        Self {
            place: place(&report.base),
            digest: digest(bytes),
            cl_ord_id: report.cl_ord_id,
            order: report.cl_ord_id,
            order_id: report.order_id,
            account: report.account_id,
            news: News::Traded { last: report.last_qty, cum: report.cum_qty, leaves: report.leaves_qty },
        }
    }

    fn of_cancel_reject(bytes: &[u8], report: &CancelReject) -> Self {
        Self {
            place: place(&report.base),
            digest: digest(bytes),
            cl_ord_id: report.cl_ord_id,
            order: report.orig_cl_ord_id,
            order_id: report.order_id,
            account: Text::BLANK,
            news: News::CancelRejected,
        }
    }

    /// The core refused the second order of an identity: the answer to one that was sent again.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self.news, News::Rejected(OrdRejReason::DUPLICATE_ORDER))
    }
}

/// Tells reports that answer another copy of a request: who sent it again may have been a gateway, because a line had died, and
/// the answer to the first copy has told the client, so a gateway may keep these for itself.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Cancels that are answered.
    cancels: HashSet<Text<10>>,
}

impl Repeats {
    /// Whether the next report, in the order of its partition, is one of them.
    pub(super) fn next(&mut self, report: &Report) -> bool {
        match report.news {
            News::CancelRejected => !self.cancels.insert(report.cl_ord_id),
            News::Cancelled { .. } => {
                self.cancels.insert(report.cl_ord_id);
                false
            }
            News::Accepted(_) | News::Rejected(_) | News::Traded { .. } => report.is_duplicate(),
        }
    }
}

fn place(base: &ReportBase) -> Place {
    Place { partition: base.partition_no.get(), index: base.report_index.get() }
}

/// Of a frame's bytes.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// A report at a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) report: Report,
    /// When, by the run's clock.
    pub(super) at_ns: u64,
}

/// All that a client session knows.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) session: u64,
    /// Orders that were handed to the session, each once, however often it was sent.
    pub(super) orders: Vec<u64>,
    /// Each time that one of these was sent: which, and when by the run's clock.
    pub(super) sendings: Vec<(u64, u64)>,
    /// In the order in which they came, over all its connections.
    pub(super) reports: Vec<Received>,
}

/// The report flow of a core, all partitions, in the order in which it sends them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub(super) core: &'static str,
    pub(super) reports: Vec<Report>,
}

/// What the audit of a gateway holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    pub(super) gateway: &'static str,
    /// Records of all kinds.
    pub(super) records: u64,
    /// Orders that it passed on to a core, each time.
    pub(super) orders: Vec<Passed>,
    /// Reports that it took from the cores, as they stand there.
    pub(super) reports: Vec<(Place, u64)>,
}

/// An order that a gateway passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) core: &'static str,
    pub(super) account: Text<12>,
    pub(super) cl_ord_id: Text<10>,
    pub(super) terms: Terms,
}

impl Passed {
    /// To a core, by its name.
    pub(super) fn of(core: &'static str, order: &NewOrder) -> Self {
        Self { core, account: order.account_id, cl_ord_id: order.cl_ord_id, terms: Terms::of(order) }
    }
}

impl Terms {
    /// Of an order as it is sent.
    pub(super) fn of(order: &NewOrder) -> Self {
        Self {
            security: order.base.security_id,
            side: order.side,
            quantity: order.order_qty,
            price: order.price,
            cash_margin: order.ext.cash_margin,
        }
    }
}
