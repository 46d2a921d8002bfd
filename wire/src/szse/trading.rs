//! Trading (TGW): orders, cancels, reports, and the synchronisation of reports after a logon.
//!
//! After the logon the acceptor says [`PlatformInfo`] and [`PlatformStateInfo`]; the initiator says
//! [`ReportSynchronization`] with the next ReportIndex it wants of each partition; the acceptor replays from there and
//! goes on live. ReportIndex is contiguous within a partition.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::code::{
    BusinessRejectReason, CashMargin, CxlRejReason, ExecType, OrdRejReason, OrdStatus, OrdType, PlatformId,
    PlatformState, Side, TimeInForce,
};
use super::group::{BodyReader, write_entries};
use super::message::message;
use super::{
    DecodeError, EncodeError, GroupMessage, I32, I64, Price, Qty, SecurityId, SecurityIdSource, Text,
    Timestamp, U16, U32, frame,
};

/// Partitions that one platform may have: a bound of ours.
pub const PARTITIONS_MAX: usize = 256;

/// What every request begins with (BASE of the tables).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct RequestBase {
    /// ApplID: the business.
    pub appl_id: Text<3>,
    /// SubmittingPBUID.
    pub submitting_pbu_id: Text<6>,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
    /// OwnerType.
    pub owner_type: U16,
    /// ClearingFirm.
    pub clearing_firm: Text<2>,
    /// TransactTime.
    pub transact_time: Timestamp,
    /// UserInfo: comes back in every report.
    pub user_info: Text<8>,
}

/// What every report begins with (RBASE of the tables).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ReportBase {
    /// PartitionNo.
    pub partition_no: I32,
    /// ReportIndex, contiguous within the partition, from 1.
    pub report_index: I64,
    /// ApplID: the business.
    pub appl_id: Text<3>,
    /// ReportingPBUID.
    pub reporting_pbu_id: Text<6>,
    /// SubmittingPBUID.
    pub submitting_pbu_id: Text<6>,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
    /// OwnerType.
    pub owner_type: U16,
    /// ClearingFirm.
    pub clearing_firm: Text<2>,
    /// TransactTime.
    pub transact_time: Timestamp,
    /// UserInfo of the request.
    pub user_info: Text<8>,
}

/// The extension fields of the cash auction (EXT of the tables).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct CashAuctionExt {
    /// StopPx, not used.
    pub stop_px: Price,
    /// MinQty.
    pub min_qty: Qty,
    /// MaxPriceLevels: how many levels a market order may take; 0 is all.
    pub max_price_levels: U16,
    /// TimeInForce.
    pub time_in_force: TimeInForce,
    /// CashMargin.
    pub cash_margin: CashMargin,
}

/// A new order in the cash auction.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct NewOrder {
    /// BASE.
    pub base: RequestBase,
    /// ClOrdID: with AccountID the identity of the order.
    pub cl_ord_id: Text<10>,
    /// AccountID.
    pub account_id: Text<12>,
    /// BranchID.
    pub branch_id: Text<4>,
    /// OrderRestrictions: 1 programme trading.
    pub order_restrictions: Text<4>,
    /// Side.
    pub side: Side,
    /// OrdType.
    pub ord_type: OrdType,
    /// OrderQty.
    pub order_qty: Qty,
    /// Price.
    pub price: Price,
    /// EXT.
    pub ext: CashAuctionExt,
}
message!(NewOrder, 100_101, 109);

/// A request to cancel an order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct OrderCancelRequest {
    /// BASE.
    pub base: RequestBase,
    /// ClOrdID of this request.
    pub cl_ord_id: Text<10>,
    /// OrigClOrdID: ClOrdID of the order.
    pub orig_cl_ord_id: Text<10>,
    /// Side of the order.
    pub side: Side,
    /// OrderID: the core's number of the order.
    pub order_id: Text<16>,
    /// OrderQty of the order.
    pub order_qty: Qty,
}
message!(OrderCancelRequest, 190_007, 86);

/// ExecutionReport of an order accepted, rejected or cancelled.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct OrderReport {
    /// RBASE.
    pub base: ReportBase,
    /// OrderID: the core's number of the order.
    pub order_id: Text<16>,
    /// ClOrdID of the request that this answers.
    pub cl_ord_id: Text<10>,
    /// QuoteMsgID.
    pub quote_msg_id: Text<10>,
    /// OrigClOrdID: in the report of a cancel, ClOrdID of the order.
    pub orig_cl_ord_id: Text<10>,
    /// ExecID.
    pub exec_id: Text<16>,
    /// ExecType.
    pub exec_type: ExecType,
    /// OrdStatus.
    pub ord_status: OrdStatus,
    /// OrdRejReason.
    pub ord_rej_reason: OrdRejReason,
    /// LeavesQty.
    pub leaves_qty: Qty,
    /// CumQty.
    pub cum_qty: Qty,
    /// Side.
    pub side: Side,
    /// OrdType.
    pub ord_type: OrdType,
    /// OrderQty.
    pub order_qty: Qty,
    /// Price.
    pub price: Price,
    /// AccountID.
    pub account_id: Text<12>,
    /// BranchID.
    pub branch_id: Text<4>,
    /// OrderRestrictions.
    pub order_restrictions: Text<4>,
    /// EXT.
    pub ext: CashAuctionExt,
}
message!(OrderReport, 200_102, 199);

/// ExecutionReport of a trade.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct TradeReport {
    /// RBASE.
    pub base: ReportBase,
    /// OrderID: the core's number of the order.
    pub order_id: Text<16>,
    /// ClOrdID of the order.
    pub cl_ord_id: Text<10>,
    /// QuoteMsgID.
    pub quote_msg_id: Text<10>,
    /// ExecID.
    pub exec_id: Text<16>,
    /// ExecType.
    pub exec_type: ExecType,
    /// OrdStatus.
    pub ord_status: OrdStatus,
    /// LastPx.
    pub last_px: Price,
    /// LastQty.
    pub last_qty: Qty,
    /// LeavesQty.
    pub leaves_qty: Qty,
    /// CumQty.
    pub cum_qty: Qty,
    /// Side.
    pub side: Side,
    /// AccountID.
    pub account_id: Text<12>,
    /// BranchID.
    pub branch_id: Text<4>,
    /// CashMargin: the whole extension of this report.
    pub cash_margin: CashMargin,
}
message!(TradeReport, 200_115, 163);

/// A cancel that was not carried out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct CancelReject {
    /// RBASE.
    pub base: ReportBase,
    /// ClOrdID of the cancel.
    pub cl_ord_id: Text<10>,
    /// OrigClOrdID of the cancel.
    pub orig_cl_ord_id: Text<10>,
    /// Side.
    pub side: Side,
    /// OrdStatus.
    pub ord_status: OrdStatus,
    /// CxlRejReason.
    pub cxl_rej_reason: CxlRejReason,
    /// RejectText.
    pub reject_text: Text<16>,
    /// OrderID of the order.
    pub order_id: Text<16>,
}
message!(CancelReject, 290_008, 115);

/// A request that did not reach the core: not numbered, not part of any partition.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct BusinessReject {
    /// ApplID of the request.
    pub appl_id: Text<3>,
    /// TransactTime of the reject.
    pub transact_time: Timestamp,
    /// SubmittingPBUID of the request.
    pub submitting_pbu_id: Text<6>,
    /// SecurityID of the request.
    pub security_id: SecurityId,
    /// SecurityIDSource of the request.
    pub security_id_source: SecurityIdSource,
    /// RefSeqNum: the number of the request among all the sender's messages, from 1 (?: its use is not public).
    pub ref_seq_num: I64,
    /// RefMsgType: MsgType of the request.
    pub ref_msg_type: U32,
    /// BusinessRejectRefID: ClOrdID of the request.
    pub business_reject_ref_id: Text<10>,
    /// BusinessRejectReason.
    pub business_reject_reason: BusinessRejectReason,
    /// BusinessRejectText.
    pub business_reject_text: Text<50>,
}
message!(BusinessReject, 4, 103);

/// The state of a platform.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct PlatformStateInfo {
    /// PlatformID.
    pub platform_id: PlatformId,
    /// PlatformState.
    pub platform_state: PlatformState,
}
message!(PlatformStateInfo, 6, 4);

/// The end of a partition's reports for the day.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ReportFinished {
    /// PartitionNo.
    pub partition_no: I32,
    /// ReportIndex of the last report.
    pub report_index: I64,
    /// PlatformID.
    pub platform_id: PlatformId,
}
message!(ReportFinished, 7, 14);

/// An entry of [`ReportSynchronization`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct PartitionIndex {
    /// PartitionNo.
    pub partition_no: I32,
    /// ReportIndex: the next one wanted.
    pub report_index: I64,
}

/// From where the initiator wants the reports of each partition.
#[derive(Clone, Copy, Debug)]
pub struct ReportSynchronization<'a> {
    /// One entry a partition.
    pub partitions: &'a [PartitionIndex],
}

impl<'a> GroupMessage<'a> for ReportSynchronization<'a> {
    const MSG_TYPE: u32 = 5;
    const NAME: &'static str = "ReportSynchronization";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let partitions = body.entries(PARTITIONS_MAX)?;
        body.end()?;
        Ok(Self { partitions })
    }
}

impl ReportSynchronization<'_> {
    /// Appends the message as a whole frame.
    ///
    /// # Errors
    /// More than [`PARTITIONS_MAX`] entries.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame::encode_with(Self::MSG_TYPE, out, |body| write_entries(self.partitions, PARTITIONS_MAX, body))
    }
}

/// The partitions of a platform.
#[derive(Clone, Copy, Debug)]
pub struct PlatformInfo<'a> {
    /// PlatformID.
    pub platform_id: PlatformId,
    /// PartitionNo of each.
    pub partitions: &'a [I32],
}

impl<'a> GroupMessage<'a> for PlatformInfo<'a> {
    const MSG_TYPE: u32 = 9;
    const NAME: &'static str = "PlatformInfo";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let platform_id = *body.take()?;
        let partitions = body.entries(PARTITIONS_MAX)?;
        body.end()?;
        Ok(Self { platform_id, partitions })
    }
}

impl PlatformInfo<'_> {
    /// Appends the message as a whole frame.
    ///
    /// # Errors
    /// More than [`PARTITIONS_MAX`] entries.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame::encode_with(Self::MSG_TYPE, out, |body| {
            body.extend_from_slice(self.platform_id.as_bytes());
            write_entries(self.partitions, PARTITIONS_MAX, body)
        })
    }
}
