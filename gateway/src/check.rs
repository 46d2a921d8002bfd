//! Hot path: what is refused before it reaches a core, and how that is said.
//!
//! Rules: pure functions of a request, no state, no allocation. Here stand the checks of a single message's fields;
//! rules that know the market, the account or the time come behind them: [`Checks`], which is one call in the order's
//! walk.

mod chain;
mod kill;
pub(crate) mod load;
mod market;
mod open;
mod own;
pub mod phase;
mod price;
pub mod rate;
pub mod reference;
mod rule;
pub mod rules;
mod size;
mod tables;

pub use chain::{Checks, Market, Settings};
pub use kill::{Kill, Scope};
pub use market::{Quote, Quotes};
pub use open::{Open, OpenOrders, Sender};
pub use own::{Check, OWN_CHECKS_MAX, Reported, Submission, Verdict};
pub use rule::{Group, Rule};
pub use tables::{Directory, Security, SecurityNo, TableError, Tables};

use wire::szse::code::{BusinessRejectReason, OrdType, Side, TimeInForce};
use wire::szse::trading::{BusinessReject, NewOrder, OrderCancelRequest, RequestBase};
use wire::szse::{I64, Text, Timestamp, U32};

/// When a request is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic time, nanoseconds.
    pub now_ns: u64,
    /// Time of day, nanoseconds since 1970 (UTC).
    pub wall_ns: i64,
}

impl Moment {
    /// This turn's.
    #[inline]
    pub fn of(cx: &shard::Cx) -> Self {
        Self { now_ns: cx.now_ns(), wall_ns: cx.wall_ns() }
    }
}

/// Why a request is answered with a BusinessReject and goes no further. Each has its reason, its text, its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum Refusal {
    /// A MsgType that is not taken here.
    UnsupportedMessage,
    /// The account is not among those that the session may trade.
    Account,
    /// ClOrdID is blank or not printable: the request has no identity.
    ClOrdId,
    /// ClOrdID begins as those of the gateway's own cancels do ([`OWN_CL_ORD_ID`]).
    OwnClOrdId,
    /// SecurityID is blank or not printable.
    Security,
    /// Neither buy nor sell.
    Side,
    /// Not an order type of the cash auction.
    OrdType,
    /// Not a time in force of the cash auction.
    TimeInForce,
    /// Not above zero, or more digits than the field has.
    Quantity,
    /// A limit order's price is not above zero, or has more digits than the field.
    Price,
    /// CashMargin says neither cash nor margin: no core takes it.
    CashMargin,
    /// A cancel for an order that is not known here as one of the session's accounts.
    UnknownOrder,
    /// A cancel's OrderID is that of an order at each core, and it names none of them.
    SeveralOrders,
    /// The account has given this ClOrdID to a request before: the reports of that one are the answer to both.
    Duplicate,
    /// As many requests as may be are under way to the core without an answer.
    TooManyUnderWay,
    /// The line to the cash core is down.
    CashLineDown,
    /// The line to the margin core is down.
    MarginLineDown,
    /// A second ReportSynchronization: a session says once from where it wants its reports.
    SecondSynchronization,
    /// The session is a drop copy: it sees reports and sends nothing.
    ReadOnly,
    /// The audit cannot be written, or is too far behind.
    AuditUnavailable,
    /// The core has not sent reports of today that this gateway had of it before: it is being read again, or has lost its day.
    ReportsMissing,
    /// The gateway drains: no new requests.
    Closing,
    /// It does not keep a pre-trade rule.
    Rule(Rule),
    /// It does not keep an integrator's own rule: the number of that check, and what it says.
    Own(u8, Verdict),
}

impl From<Rule> for Refusal {
    #[inline]
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl Refusal {
    /// How many counters there are: of these, of the rules, of own rules.
    pub const COUNT: usize = Self::ALL.len() + Rule::ALL.len() + OWN_CHECKS_MAX;

    /// All but those of rules, in the order of their counters.
    pub const ALL: [Self; 22] = [
        Self::UnsupportedMessage,
        Self::Account,
        Self::ClOrdId,
        Self::OwnClOrdId,
        Self::Security,
        Self::Side,
        Self::OrdType,
        Self::TimeInForce,
        Self::Quantity,
        Self::Price,
        Self::CashMargin,
        Self::UnknownOrder,
        Self::SeveralOrders,
        Self::Duplicate,
        Self::TooManyUnderWay,
        Self::CashLineDown,
        Self::MarginLineDown,
        Self::SecondSynchronization,
        Self::ReadOnly,
        Self::AuditUnavailable,
        Self::ReportsMissing,
        Self::Closing,
    ];

    /// The number of its counter.
    pub fn index(self) -> usize {
        match self {
            Self::Rule(rule) => Self::ALL.len() + rule as usize,
            Self::Own(check, _) => {
                Self::ALL.len() + Rule::ALL.len() + usize::from(check).min(OWN_CHECKS_MAX - 1)
            }
            plain => Self::ALL.iter().position(|other| *other == plain).unwrap_or_default(),
        }
    }

    /// The labels of the counters but those of own rules, in the order of their numbers.
    pub fn labels() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::text).chain(Rule::ALL.into_iter().map(Rule::text))
    }

    /// BusinessRejectReason of the answer: of a rule its code.
    pub const fn reason(self) -> BusinessRejectReason {
        match self {
            Self::UnsupportedMessage => BusinessRejectReason::UNSUPPORTED_MESSAGE,
            Self::Account | Self::ReadOnly => BusinessRejectReason::NOT_AUTHORIZED,
            Self::Security => BusinessRejectReason::UNKNOWN_SECURITY,
            Self::ClOrdId
            | Self::OwnClOrdId
            | Self::Side
            | Self::OrdType
            | Self::TimeInForce
            | Self::Quantity
            | Self::Price
            | Self::CashMargin => BusinessRejectReason::FIELD_INVALID,
            Self::UnknownOrder => BusinessRejectReason::UNKNOWN_ID,
            Self::CashLineDown
            | Self::MarginLineDown
            | Self::Closing
            | Self::TooManyUnderWay
            | Self::ReportsMissing
            | Self::AuditUnavailable => BusinessRejectReason::APPLICATION_UNAVAILABLE,
            Self::SecondSynchronization | Self::SeveralOrders | Self::Duplicate => {
                BusinessRejectReason::OTHER
            }
            Self::Rule(Rule::SessionThrottled | Rule::AccountThrottled) => BusinessRejectReason::THROTTLED,
            Self::Rule(rule) => BusinessRejectReason::from_raw(rule.code()),
            Self::Own(_, verdict) => BusinessRejectReason::from_raw(verdict.code),
        }
    }

    /// BusinessRejectText of the answer, and the counter's label.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnsupportedMessage => "unsupported message type",
            Self::Account => "not your account",
            Self::ClOrdId => "ClOrdID is missing",
            Self::OwnClOrdId => "ClOrdID begins with ~",
            Self::Security => "SecurityID is missing",
            Self::Side => "Side",
            Self::OrdType => "OrdType",
            Self::TimeInForce => "TimeInForce",
            Self::Quantity => "OrderQty",
            Self::Price => "Price",
            Self::CashMargin => "CashMargin",
            Self::UnknownOrder => "unknown order",
            Self::SeveralOrders => "several orders: give OrigClOrdID",
            Self::Duplicate => "ClOrdID is that of another order",
            Self::TooManyUnderWay => "too many requests under way",
            Self::CashLineDown => "cash core not reachable",
            Self::MarginLineDown => "margin core not reachable",
            Self::SecondSynchronization => "already synchronised",
            Self::ReadOnly => "a drop copy sends nothing",
            Self::AuditUnavailable => "audit not available",
            Self::ReportsMissing => "the core's reports of today are not complete",
            Self::Closing => "gateway is closing",
            Self::Rule(rule) => rule.text(),
            Self::Own(_, verdict) => verdict.text,
        }
    }

    /// The answer to a request: `base` and `cl_ord_id` are the request's where it has them, `ref_seq_num` counts the
    /// frames of the session.
    pub fn answer(
        self,
        (msg_type, ref_seq_num): (u32, u64),
        request: Option<(&RequestBase, Text<10>)>,
        time: Timestamp,
    ) -> BusinessReject {
        let (base, cl_ord_id) =
            request.map_or((RequestBase::default(), Text::BLANK), |(base, id)| (*base, id));
        BusinessReject {
            appl_id: base.appl_id,
            transact_time: time,
            submitting_pbu_id: base.submitting_pbu_id,
            security_id: base.security_id,
            security_id_source: base.security_id_source,
            ref_seq_num: I64::new(i64::try_from(ref_seq_num).unwrap_or(i64::MAX)),
            ref_msg_type: U32::new(msg_type),
            business_reject_ref_id: cl_ord_id,
            business_reject_reason: self.reason(),
            business_reject_text: Text::truncated(self.text()),
        }
    }
}

/// Looks at the fields of an order.
///
/// # Errors
/// The first field that makes no sense.
#[inline]
pub fn order(request: &NewOrder) -> Result<(), Refusal> {
    cl_ord_id(&request.cl_ord_id)?;
    named(&request.base.security_id, Refusal::Security)?;
    side(request.side)?;
    match request.ord_type {
        OrdType::LIMIT if request.price.raw() <= 0 || !request.price.in_range() => {
            return Err(Refusal::Price);
        }
        OrdType::LIMIT | OrdType::MARKET | OrdType::OWN_BEST => {}
        _ => return Err(Refusal::OrdType),
    }
    match request.ext.time_in_force {
        TimeInForce::DAY | TimeInForce::IMMEDIATE_OR_CANCEL => {}
        _ => return Err(Refusal::TimeInForce),
    }
    if request.order_qty.raw() <= 0 || !request.order_qty.in_range() {
        return Err(Refusal::Quantity);
    }
    Ok(())
}

/// Looks at the fields of a cancel; which order it means is [`crate::route::cancel`]'s question.
///
/// # Errors
/// The first field that makes no sense.
#[inline]
pub fn cancel(request: &OrderCancelRequest) -> Result<(), Refusal> {
    cl_ord_id(&request.cl_ord_id)?;
    named(&request.base.security_id, Refusal::Security)?;
    side(request.side)
}

#[inline]
fn side(side: Side) -> Result<(), Refusal> {
    match side {
        Side::BUY | Side::SELL => Ok(()),
        _ => Err(Refusal::Side),
    }
}

/// What the ClOrdIDs of the gateway's own cancels begin with: no client's may, so that the two never meet.
pub const OWN_CL_ORD_ID: u8 = b'~';

#[inline]
fn cl_ord_id(name: &Text<10>) -> Result<(), Refusal> {
    named(name, Refusal::ClOrdId)?;
    if name.as_bytes()[0] == OWN_CL_ORD_ID { Err(Refusal::OwnClOrdId) } else { Ok(()) }
}

/// A name is at least one character, and printable.
#[inline]
fn named<const N: usize>(text: &Text<N>, refusal: Refusal) -> Result<(), Refusal> {
    let printable = text.as_bytes().iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte));
    if printable && text.as_bytes()[0] != b' ' { Ok(()) } else { Err(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::code::CashMargin;
    use wire::szse::trading::CashAuctionExt;
    use wire::szse::{Price, Qty};

    fn good() -> NewOrder {
        NewOrder {
            base: RequestBase { security_id: "000001".parse().unwrap(), ..RequestBase::default() },
            cl_ord_id: "1".parse().unwrap(),
            side: Side::BUY,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: Price::whole(10),
            ext: CashAuctionExt {
                time_in_force: TimeInForce::DAY,
                cash_margin: CashMargin::CASH,
                ..CashAuctionExt::default()
            },
            ..NewOrder::default()
        }
    }

    #[test]
    fn each_field_has_its_refusal() {
        assert_eq!(order(&good()), Ok(()));
        assert_eq!(order(&NewOrder { ord_type: OrdType::MARKET, price: Price::ZERO, ..good() }), Ok(()));
        let base = RequestBase::default();
        let ext = CashAuctionExt { time_in_force: TimeInForce::from_raw(b'9'), ..good().ext };
        let bad = [
            (NewOrder { cl_ord_id: Text::BLANK, ..good() }, Refusal::ClOrdId),
            (NewOrder { cl_ord_id: " 1".parse().unwrap(), ..good() }, Refusal::ClOrdId),
            (NewOrder { cl_ord_id: "~1".parse().unwrap(), ..good() }, Refusal::OwnClOrdId),
            (NewOrder { base, ..good() }, Refusal::Security),
            (NewOrder { side: Side::BORROW, ..good() }, Refusal::Side),
            (NewOrder { ord_type: OrdType::from_raw(0), ..good() }, Refusal::OrdType),
            (NewOrder { ext, ..good() }, Refusal::TimeInForce),
            (NewOrder { order_qty: Qty::ZERO, ..good() }, Refusal::Quantity),
            (NewOrder { order_qty: Qty::from_raw(i64::MAX), ..good() }, Refusal::Quantity),
            (NewOrder { price: Price::ZERO, ..good() }, Refusal::Price),
            (NewOrder { price: Price::from_raw(i64::MIN), ..good() }, Refusal::Price),
        ];
        for (request, refusal) in bad {
            assert_eq!(order(&request), Err(refusal));
        }
    }

    #[test]
    fn a_cancel_needs_an_identity_a_security_and_a_side() {
        let good = OrderCancelRequest {
            base: good().base,
            cl_ord_id: "2".parse().unwrap(),
            side: Side::SELL,
            ..OrderCancelRequest::default()
        };
        assert_eq!(cancel(&good), Ok(()));
        assert_eq!(cancel(&OrderCancelRequest { cl_ord_id: Text::BLANK, ..good }), Err(Refusal::ClOrdId));
        let own = OrderCancelRequest { cl_ord_id: "~".parse().unwrap(), ..good };
        assert_eq!(cancel(&own), Err(Refusal::OwnClOrdId));
        assert_eq!(
            cancel(&OrderCancelRequest { base: RequestBase::default(), ..good }),
            Err(Refusal::Security)
        );
        assert_eq!(cancel(&OrderCancelRequest { side: Side::LEND, ..good }), Err(Refusal::Side));
    }

    #[test]
    fn refusals_are_numbered_as_they_are_counted_and_say_one_thing() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.index(), index);
            let same = Refusal::ALL.iter().filter(|other| other.text() == refusal.text());
            assert_eq!(same.count(), 1, "{refusal}");
            assert!(refusal.text().len() <= 50, "{refusal}");
        }
        for (index, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(Refusal::Rule(rule).index(), Refusal::ALL.len() + index);
        }
        let own = |number| Refusal::Own(number, Verdict { code: 1, text: "own" }).index();
        assert_eq!(own(0), Refusal::labels().count());
        assert_eq!(own(OWN_CHECKS_MAX as u8 - 1), Refusal::COUNT - 1);
        assert_eq!(own(u8::MAX), Refusal::COUNT - 1);
    }
}
