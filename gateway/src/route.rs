//! Hot path: which core a request goes to.
//!
//! An order says so itself, by CashMargin. A cancel does not: it goes to the core that holds its order, which must be
//! known here as an order of one of the session's accounts ([`crate::orders`]). So nobody cancels another's order,
//! and a cancel never has to be tried at both cores.

use crate::check::Refusal;
use crate::orders::{AccountKey, Order, Orders};
use wire::szse::code::CashMargin;
use wire::szse::trading::OrderCancelRequest;

/// A trading core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Normal trading (集中交易).
    Cash = 0,
    /// Margin trading (融资融券).
    Margin = 1,
}

impl Core {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Cash, Self::Margin];

    /// The name in the configuration, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Margin => "margin",
        }
    }

    /// The refusal of what would go to this core while its line is down.
    pub const fn line_down(self) -> Refusal {
        match self {
            Self::Cash => Refusal::CashLineDown,
            Self::Margin => Refusal::MarginLineDown,
        }
    }
}

/// The core of an order.
///
/// # Errors
/// No core takes this CashMargin.
#[inline]
pub fn order(cash_margin: CashMargin) -> Result<Core, Refusal> {
    match cash_margin {
        CashMargin::CASH => Ok(Core::Cash),
        CashMargin::MARGIN_OPEN | CashMargin::MARGIN_CLOSE => Ok(Core::Margin),
        _ => Err(Refusal::CashMargin),
    }
}

/// The order that a cancel means: the one of its OrderID if it names one, else the one of the session's accounts with
/// its OrigClOrdID. Where both are given, both must be the order's.
///
/// # Errors
/// [`Refusal::UnknownOrder`]: no such order, or not one of these accounts; which of them is not told.
/// [`Refusal::SeveralOrders`]: orders of both cores have this OrderID, and OrigClOrdID is not given.
#[inline]
pub fn cancel(
    orders: &Orders,
    accounts: &[AccountKey],
    request: &OrderCancelRequest,
) -> Result<Order, Refusal> {
    let name = request.orig_cl_ord_id;
    if request.order_id.is_blank() {
        let order = accounts.iter().find_map(|account| orders.by_identity(*account, name));
        return order.copied().ok_or(Refusal::UnknownOrder);
    }
    let meant = |core: Core| {
        orders.by_order_id(request.order_id, |order| {
            order.core == core
                && accounts.binary_search(&order.account).is_ok()
                && (name.is_blank() || order.cl_ord_id == name)
        })
    };
    match Core::ALL.map(meant) {
        [Some(order), None] | [None, Some(order)] => Ok(*order),
        // Both cores may have given the same OrderID: only a name can tell which one is meant.
        [Some(_), Some(_)] => Err(Refusal::SeveralOrders),
        [None, None] => Err(Refusal::UnknownOrder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel_of(order_id: &str, orig_cl_ord_id: &str) -> OrderCancelRequest {
        OrderCancelRequest {
            order_id: order_id.parse().unwrap(),
            orig_cl_ord_id: orig_cl_ord_id.parse().unwrap(),
            ..OrderCancelRequest::default()
        }
    }

    #[test]
    fn cash_margin_names_the_core() {
        assert_eq!(order(CashMargin::CASH), Ok(Core::Cash));
        assert_eq!(order(CashMargin::MARGIN_OPEN), Ok(Core::Margin));
        assert_eq!(order(CashMargin::MARGIN_CLOSE), Ok(Core::Margin));
        assert_eq!(order(CashMargin::default()), Err(Refusal::CashMargin));
    }

    #[test]
    fn a_cancel_goes_where_its_order_is_and_only_to_ones_own() {
        let mut orders = Orders::new(8);
        orders.sent(1, "a".parse().unwrap(), Core::Margin);
        orders.accepted(2, "a".parse().unwrap(), Core::Cash, "77".parse().unwrap());
        let core = |accounts: &[AccountKey], request| {
            cancel(&orders, accounts, &request).map(|order| (order.account, order.core))
        };
        assert_eq!(core(&[1], cancel_of("", "a")), Ok((1, Core::Margin)));
        assert_eq!(core(&[2], cancel_of("", "a")), Ok((2, Core::Cash)));
        assert_eq!(core(&[3, 2], cancel_of("77", "")), Ok((2, Core::Cash)));
        assert_eq!(core(&[1], cancel_of("77", "a")), Err(Refusal::UnknownOrder), "another's");
        assert_eq!(core(&[2], cancel_of("77", "b")), Err(Refusal::UnknownOrder), "another name");
        assert_eq!(core(&[1], cancel_of("", "b")), Err(Refusal::UnknownOrder));
    }

    #[test]
    fn an_order_id_that_two_cores_use_is_told_apart_by_account_and_name() {
        let mut orders = Orders::new(8);
        orders.accepted(1, "a".parse().unwrap(), Core::Cash, "77".parse().unwrap());
        orders.accepted(2, "b".parse().unwrap(), Core::Margin, "77".parse().unwrap());
        let core = |accounts: &[AccountKey], request| {
            cancel(&orders, accounts, &request).map(|order| (order.account, order.core))
        };
        assert_eq!(core(&[1], cancel_of("77", "")), Ok((1, Core::Cash)));
        assert_eq!(core(&[2], cancel_of("77", "")), Ok((2, Core::Margin)));
        assert_eq!(core(&[1, 2], cancel_of("77", "b")), Ok((2, Core::Margin)));
        assert_eq!(core(&[1, 2], cancel_of("77", "")), Err(Refusal::SeveralOrders));
    }
}
