//! Why an order or a cancel is refused, each with its code on the wire and its counter.

use wire::szse::code::{CxlRejReason, OrdRejReason};

/// Why an order is refused. Every refusal is a report in the flow of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// AccountID or ClOrdID is blank or not printable: the order has no identity, nothing is remembered of it.
    #[error("no identity")]
    NoIdentity,
    /// (AccountID, ClOrdID) was used before today. Nothing is done; the report names the OrderID of the first.
    #[error("duplicate")]
    Duplicate,
    /// The core remembers as many orders as it was configured for.
    #[error("day full")]
    DayFull,
    /// The security is not listed here.
    #[error("unknown security")]
    UnknownSecurity,
    /// ApplID, Side, OrdType, TimeInForce or the extension fields ask for what is not offered.
    #[error("unsupported")]
    Unsupported,
    /// CashMargin is not traded at this desk.
    #[error("credit not here")]
    CashMargin,
    /// Not a quantity this security is traded in.
    #[error("quantity")]
    Quantity,
    /// More than one order may have.
    #[error("too large")]
    TooLarge,
    /// Price off the tick or outside the limits of the day.
    #[error("price")]
    Price,
    /// A short sale below the last trade, or below the previous close where there was none yet.
    #[error("short sale price")]
    ShortSalePrice,
    /// Its account has less free cash than the order may need.
    #[error("cash")]
    Cash,
    /// Its account has fewer free shares from before today than the order sells.
    #[error("position")]
    Position,
    /// The account would owe more money than it may.
    #[error("financing limit")]
    FinancingLimit,
    /// Fewer shares can be lent than the short sale is of.
    #[error("short inventory")]
    ShortInventory,
    /// The order buys back more shares than its account owes, rounded up to a lot.
    #[error("shares owed")]
    SharesOwed,
    /// Not a time at which orders are taken.
    #[error("closed")]
    Closed,
    /// A call auction takes limit orders that may rest, and no others.
    #[error("call auction")]
    Call,
}

/// OrdRejReason of ours (from 100 on the values of FIX are free): CashMargin is not traded at this desk.
pub const REASON_CASH_MARGIN: OrdRejReason = OrdRejReason::from_raw(101);
/// OrdRejReason of ours: a short sale below the last trade.
pub const REASON_SHORT_SALE_PRICE: OrdRejReason = OrdRejReason::from_raw(102);
/// OrdRejReason of ours: the core remembers as many orders as it can.
pub const REASON_DAY_FULL: OrdRejReason = OrdRejReason::from_raw(103);
/// OrdRejReason of ours: too little free cash.
pub const REASON_CASH: OrdRejReason = OrdRejReason::from_raw(104);
/// OrdRejReason of ours: too few shares that may be sold today.
pub const REASON_POSITION: OrdRejReason = OrdRejReason::from_raw(105);
/// OrdRejReason of ours: more money owed than may be.
pub const REASON_FINANCING_LIMIT: OrdRejReason = OrdRejReason::from_raw(106);
/// OrdRejReason of ours: too few shares to lend.
pub const REASON_SHORT_INVENTORY: OrdRejReason = OrdRejReason::from_raw(107);
/// OrdRejReason of ours: more bought back than is owed.
pub const REASON_SHARES_OWED: OrdRejReason = OrdRejReason::from_raw(108);
/// OrdRejReason of ours: not an order that a call auction takes.
pub const REASON_CALL: OrdRejReason = OrdRejReason::from_raw(109);

impl Refusal {
    /// All of them, in order of their counters.
    pub const ALL: [Self; 17] = [
        Self::NoIdentity,
        Self::Duplicate,
        Self::DayFull,
        Self::UnknownSecurity,
        Self::Unsupported,
        Self::CashMargin,
        Self::Quantity,
        Self::TooLarge,
        Self::Price,
        Self::ShortSalePrice,
        Self::Cash,
        Self::Position,
        Self::FinancingLimit,
        Self::ShortInventory,
        Self::SharesOwed,
        Self::Closed,
        Self::Call,
    ];

    /// OrdRejReason of the report.
    pub const fn reason(self) -> OrdRejReason {
        match self {
            Self::NoIdentity => OrdRejReason::UNKNOWN_ACCOUNT,
            Self::Duplicate => OrdRejReason::DUPLICATE_ORDER,
            Self::DayFull => REASON_DAY_FULL,
            Self::UnknownSecurity => OrdRejReason::UNKNOWN_SECURITY,
            Self::Unsupported => OrdRejReason::UNSUPPORTED,
            Self::CashMargin => REASON_CASH_MARGIN,
            Self::Quantity => OrdRejReason::INCORRECT_QUANTITY,
            Self::TooLarge => OrdRejReason::EXCEEDS_LIMIT,
            Self::Price => OrdRejReason::PRICE_OUT_OF_BAND,
            Self::ShortSalePrice => REASON_SHORT_SALE_PRICE,
            Self::Cash => REASON_CASH,
            Self::Position => REASON_POSITION,
            Self::FinancingLimit => REASON_FINANCING_LIMIT,
            Self::ShortInventory => REASON_SHORT_INVENTORY,
            Self::SharesOwed => REASON_SHARES_OWED,
            Self::Closed => OrdRejReason::EXCHANGE_CLOSED,
            Self::Call => REASON_CALL,
        }
    }
}

/// Why a cancel is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelRefusal {
    /// No order of this desk is meant.
    #[error("unknown order")]
    UnknownOrder,
    /// The order is filled, cancelled or was rejected.
    #[error("too late")]
    TooLate,
    /// Without an OrderID more than one order may be meant: accounts of one SubmittingPBUID share the ClOrdID.
    #[error("several orders")]
    SeveralOrders,
    /// Not a time at which cancels are taken.
    #[error("closed")]
    Closed,
    /// The part of a call auction in which orders are not cancelled.
    #[error("call auction")]
    Call,
}

/// CxlRejReason of ours: the cancel may mean several orders and names no OrderID.
pub const REASON_SEVERAL_ORDERS: CxlRejReason = CxlRejReason::from_raw(101);
/// CxlRejReason of ours: not a time at which cancels are taken.
pub const REASON_CANCEL_CLOSED: CxlRejReason = CxlRejReason::from_raw(102);
/// CxlRejReason of ours: a part of a call auction in which orders are not cancelled.
pub const REASON_CANCEL_CALL: CxlRejReason = CxlRejReason::from_raw(103);

impl CancelRefusal {
    /// All of them, in order of their counters.
    pub const ALL: [Self; 5] =
        [Self::UnknownOrder, Self::TooLate, Self::SeveralOrders, Self::Closed, Self::Call];

    /// CxlRejReason of the report.
    pub const fn reason(self) -> CxlRejReason {
        match self {
            Self::UnknownOrder => CxlRejReason::UNKNOWN_ORDER,
            Self::TooLate => CxlRejReason::TOO_LATE,
            Self::SeveralOrders => REASON_SEVERAL_ORDERS,
            Self::Closed => REASON_CANCEL_CLOSED,
            Self::Call => REASON_CANCEL_CALL,
        }
    }

    /// RejectText of the report.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown order",
            Self::TooLate => "too late",
            Self::SeveralOrders => "needs OrderID",
            Self::Closed => "closed",
            Self::Call => "no cancels now",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_code_and_counter() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
            let same = Refusal::ALL.iter().filter(|other| other.reason() == refusal.reason());
            assert_eq!(same.count(), 1, "{refusal:?}");
        }
        for (index, refusal) in CancelRefusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }

    #[test]
    fn our_own_codes_are_pinned() {
        let ours = [
            REASON_CASH_MARGIN,
            REASON_SHORT_SALE_PRICE,
            REASON_DAY_FULL,
            REASON_CASH,
            REASON_POSITION,
            REASON_FINANCING_LIMIT,
            REASON_SHORT_INVENTORY,
            REASON_SHARES_OWED,
            REASON_CALL,
        ];
        assert_eq!(ours.map(OrdRejReason::raw), [101, 102, 103, 104, 105, 106, 107, 108, 109]);
        let cancels = [REASON_SEVERAL_ORDERS, REASON_CANCEL_CLOSED, REASON_CANCEL_CALL];
        assert_eq!(cancels.map(CxlRejReason::raw), [101, 102, 103]);
    }
}
