//! Requests that end without a report: by a core's BusinessReject, or by the gateway's own word.

use crate::check::OWN_CL_ORD_ID;
use crate::flight::{Identity, Kind};
use crate::orders::AccountKey;
use crate::route::Core;
use wire::szse::code::BusinessRejectReason;
use wire::szse::trading::{BusinessReject, NewOrder, OrderCancelRequest};
use wire::szse::{I64, Message, Text, Timestamp, U32};

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum By {
    /// The core.
    Core = 0,
    /// The gateway: the core's reports do not have it, or it was not sent.
    Gateway = 1,
}

/// A request that was forwarded, or held to be, and ends without a report.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// Who says so.
    pub by: By,
    /// The core that it was for.
    pub core: Core,
    /// Whose it was; `None` where a core's word does not tell.
    pub account: Option<AccountKey>,
    /// Of a cancel the ClOrdID of the order that it means; blank where that is not known.
    pub of: Text<10>,
    /// What is said.
    pub reject: BusinessReject,
}

impl Refused {
    /// Whether it was a cancel of the gateway's own, of which no client knows.
    pub fn is_own(&self) -> bool {
        self.reject.business_reject_ref_id.as_bytes()[0] == OWN_CL_ORD_ID
    }

    /// The gateway's own word on a request.
    pub(crate) fn by_gateway(core: Core, identity: Identity, time: Timestamp, text: &str) -> Self {
        let ref_msg_type = match identity.kind {
            Kind::Order => NewOrder::MSG_TYPE,
            Kind::Cancel => OrderCancelRequest::MSG_TYPE,
        };
        let reject = BusinessReject {
            transact_time: time,
            ref_seq_num: I64::new(0),
            ref_msg_type: U32::new(ref_msg_type),
            business_reject_ref_id: identity.cl_ord_id,
            business_reject_reason: BusinessRejectReason::APPLICATION_UNAVAILABLE,
            business_reject_text: Text::truncated(text),
            ..BusinessReject::default()
        };
        Self { by: By::Gateway, core, account: Some(identity.account), of: identity.of, reject }
    }
}
