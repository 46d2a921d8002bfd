//! The two rejects that concern a message and not an order.

use super::{BusinessRejectReason, message};

message! {
    /// Reject, as the peer's answer to one of our messages; the session writes our own ([`crate::session::Session::reject`]).
    SessionReject = b"3" {
        /// RefSeqNum: the number of the refused message.
        ref_seq_num: u64 = REF_SEQ_NUM,
        /// RefTagID.
        ref_tag_id: Option<&'a [u8]> = REF_TAG_ID,
        /// RefMsgType.
        ref_msg_type: Option<&'a [u8]> = REF_MSG_TYPE,
        /// SessionRejectReason.
        session_reject_reason: Option<u64> = SESSION_REJECT_REASON,
        /// Text.
        text: Option<&'a [u8]> = TEXT,
    }
}

message! {
    /// BusinessMessageReject.
    BusinessMessageReject = b"j" {
        /// RefSeqNum: the number of the refused message.
        ref_seq_num: u64 = REF_SEQ_NUM,
        /// RefMsgType.
        ref_msg_type: &'a [u8] = REF_MSG_TYPE,
        /// BusinessRejectRefID: the identifier that the refused message has, of an order its ClOrdID.
        business_reject_ref_id: Option<&'a [u8]> = BUSINESS_REJECT_REF_ID,
        /// BusinessRejectReason.
        business_reject_reason: BusinessRejectReason = BUSINESS_REJECT_REASON,
        /// Text.
        text: Option<&'a [u8]> = TEXT,
    }
}
