//! Market data (MDGW): ticks, snapshots, heartbeats of channels, resend requests.
//!
//! [`TickOrder`] and [`TickTrade`] of a channel share one ApplSeqNum sequence from 1: the number by which two sources
//! are arbitrated and gaps are asked for again.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use super::snapshot::{
    MD_ENTRIES_MAX, MdEntries, MdEntry, MdEntryWriter, ORDERS_MAX, Snapshot, SnapshotEntry, SnapshotHead,
};

use super::code::{BusinessRejectReason, ExecType, OrdType, ResendStatus, ResendType, Side};
use super::message::message;
use super::{I64, Price, Qty, SecurityId, SecurityIdSource, Text, Timestamp, U16, U32};

/// An order that came into the book.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct TickOrder {
    /// ChannelNo.
    pub channel_no: U16,
    /// ApplSeqNum.
    pub appl_seq_num: I64,
    /// MDStreamID.
    pub md_stream_id: Text<3>,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
    /// Price.
    pub price: Price,
    /// OrderQty.
    pub order_qty: Qty,
    /// Side.
    pub side: Side,
    /// TransactTime.
    pub transact_time: Timestamp,
    /// OrdType (?: one byte here, as in trading; one public implementation has two).
    pub ord_type: OrdType,
}
message!(TickOrder, 300_192, 51);

/// A trade, or a cancel.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct TickTrade {
    /// ChannelNo.
    pub channel_no: U16,
    /// ApplSeqNum.
    pub appl_seq_num: I64,
    /// MDStreamID.
    pub md_stream_id: Text<3>,
    /// BidApplSeqNum: the tick order that bought, or was cancelled; else 0.
    pub bid_appl_seq_num: I64,
    /// OfferApplSeqNum: the tick order that sold, or was cancelled; else 0.
    pub offer_appl_seq_num: I64,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
    /// LastPx; 0 in a cancel.
    pub last_px: Price,
    /// LastQty.
    pub last_qty: Qty,
    /// ExecType: trade or cancelled.
    pub exec_type: ExecType,
    /// TransactTime.
    pub transact_time: Timestamp,
}
message!(TickTrade, 300_191, 66);

/// Says, about every three seconds, how far an idle channel has come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ChannelHeartbeat {
    /// ChannelNo.
    pub channel_no: U16,
    /// ApplLastSeqNum: the last number sent.
    pub appl_last_seq_num: I64,
    /// EndOfChannel: 1 where nothing more follows today, see [`Self::is_end_of_channel`].
    pub end_of_channel: U16,
}
message!(ChannelHeartbeat, 390_095, 12);

impl ChannelHeartbeat {
    /// Nothing more follows today.
    #[must_use]
    pub fn is_end_of_channel(&self) -> bool {
        self.end_of_channel != U16::ZERO
    }
}

/// Asks for a range of a channel again, and is the answer to that.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Resend {
    /// ResendType: what is asked for.
    pub resend_type: ResendType,
    /// ChannelNo.
    pub channel_no: U16,
    /// ApplBegSeqNum: the first number wanted.
    pub appl_beg_seq_num: I64,
    /// ApplEndSeqNum: the last number wanted, 0 for all there is.
    pub appl_end_seq_num: I64,
    /// NewsID, with [`ResendType::NEWS`].
    pub news_id: Text<8>,
    /// ResendStatus, in an answer.
    pub resend_status: ResendStatus,
    /// RejectText, in an answer.
    pub reject_text: Text<16>,
}
message!(Resend, 390_094, 44);

/// A request of a market-data session that was not taken.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct BusinessReject {
    /// RefSeqNum: the number of the request among all the sender's messages, from 1 (?: its use is not public).
    pub ref_seq_num: I64,
    /// RefMsgType: MsgType of the request.
    pub ref_msg_type: U32,
    /// BusinessRejectRefID (?: this and the two before it are the fields of the trading protocol that make up the
    /// public length of 74 bytes).
    pub business_reject_ref_id: Text<10>,
    /// BusinessRejectReason.
    pub business_reject_reason: BusinessRejectReason,
    /// BusinessRejectText.
    pub business_reject_text: Text<50>,
}
message!(BusinessReject, 8, 74);
