//! Which order is the `n`-th: its terms follow from its number and the seed, so that whoever has the number can tell
//! what was sent.
//!
//! Orders come in pairs, a buy and a sell of one security for one core by two sessions. Of a hundred pairs 60 trade with
//! each other, 15 rest, 15 rest until their sender cancels them, 10 are for at once and find nobody.

use wire::szse::code::{CashMargin, Side, TimeInForce};
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Price, Qty, Text, Timestamp};

use super::random;
use crate::house::Kind;
use crate::trading::plan::{ORDERS_MAX, Plan};

/// Number of the cancel of order 0: cancels have ClOrdIDs of their own.
const CANCEL_FIRST: u64 = ORDERS_MAX / 2;
/// Orders of a run at most.
pub(super) const COUNT_MAX: u64 = ORDERS_MAX / 2;

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It meets the other of its pair.
    Trades,
    /// It stays in the book.
    Rests,
    /// It stays in the book until its sender cancels it.
    IsCancelled,
    /// It finds nobody, and the core cancels it at once.
    IsForAtOnce,
}

/// A request, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Request(pub(super) u64);

impl Request {
    /// The cancel of an order.
    pub(super) const fn cancel(order: u64) -> Self {
        Self(CANCEL_FIRST + order)
    }

    /// The order that it is, or that it cancels.
    pub(super) const fn order(self) -> u64 {
        self.0 % CANCEL_FIRST
    }

    pub(super) const fn is_cancel(self) -> bool {
        self.0 >= CANCEL_FIRST
    }
}

/// All orders of a run.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub(super) plan: Plan,
    pub(super) seed: u64,
}

impl Mix {
    fn drawn(&self, order: u64) -> u64 {
        random::of(self.seed, order / 2)
    }

    pub(super) fn fate(&self, order: u64) -> Fate {
        match self.drawn(order) % 100 {
            0..60 => Fate::Trades,
            60..75 => Fate::Rests,
            75..90 => Fate::IsCancelled,
            _ => Fate::IsForAtOnce,
        }
    }

    /// Where it goes.
    pub(super) fn core(&self, order: u64) -> Kind {
        let margin = (self.drawn(order) >> 16) % 100 < self.plan.margin_percent;
        if margin { Kind::Margin } else { Kind::Cash }
    }

    /// The session that sends a request.
    pub(super) fn session(&self, request: Request) -> u64 {
        self.plan.session(request.order())
    }

    pub(super) fn cl_ord_id(&self, request: Request) -> Text<10> {
        self.plan.cl_ord_id(request.0)
    }

    /// The request that a ClOrdID names; `None` for one that this run cannot have sent.
    pub(super) fn request(&self, cl_ord_id: &Text<10>) -> Option<Request> {
        self.plan.order_of(cl_ord_id).map(Request)
    }

    /// The order as it is sent, each time it is.
    pub(super) fn order(&self, order: u64, transact_time: Timestamp) -> NewOrder {
        let mut new = self.plan.blank(self.plan.session(order));
        self.plan.fill_in(order, &mut new);
        let buys = new.side == Side::BUY;
        let fate = self.fate(order);
        // Away from 10.00, where pairs trade, and within the limits of 9.00 and 11.00.
        let away = match fate {
            Fate::Trades => 0,
            Fate::Rests => 5_000,
            Fate::IsCancelled => 4_000,
            Fate::IsForAtOnce => 6_000,
        };
        new.price = Price::from_raw(Price::whole(10).raw() + if buys { -away } else { away });
        new.order_qty = Qty::whole(100 * (1 + (self.drawn(order) >> 32).cast_signed() % 5));
        new.base.transact_time = transact_time;
        new.ext.cash_margin =
            if self.core(order) == Kind::Margin { CashMargin::MARGIN_OPEN } else { CashMargin::CASH };
        if fate == Fate::IsForAtOnce {
            new.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL;
        }
        new
    }

    /// The cancel of an order that the core knows as `order_id`.
    pub(super) fn cancel(
        &self,
        order: u64,
        order_id: Text<16>,
        transact_time: Timestamp,
    ) -> OrderCancelRequest {
        let new = self.order(order, transact_time);
        OrderCancelRequest {
            base: new.base,
            cl_ord_id: self.cl_ord_id(Request::cancel(order)),
            orig_cl_ord_id: new.cl_ord_id,
            side: new.side,
            order_id,
            order_qty: new.order_qty,
        }
    }
}

#[cfg(test)]
pub(super) fn example(seed: u64) -> Mix {
    let plan = Plan {
        sessions: 4,
        security_first: 1,
        securities: 50,
        price: Price::whole(10),
        margin_percent: 30,
        run: 12_345,
        account_prefix: "01000".to_string(),
        comp_id_prefix: "client".to_string(),
        password: wire::szse::Password::default(),
    };
    Mix { plan, seed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_of_one_kind_and_meets_only_if_it_trades() {
        let mix = example(1);
        let mut counts = [0; 5];
        for pair in 0..2_000 {
            let [buy, sell] = [0, 1].map(|half| mix.order(2 * pair + half, Timestamp::ZERO));
            assert_eq!((buy.side, sell.side), (Side::BUY, Side::SELL));
            assert_eq!((buy.base.security_id, buy.order_qty), (sell.base.security_id, sell.order_qty));
            assert_eq!(buy.ext.cash_margin, sell.ext.cash_margin);
            let fate = mix.fate(2 * pair);
            assert_eq!(buy.price >= sell.price, fate == Fate::Trades);
            counts[fate as usize] += 1;
            counts[4] += u32::from(mix.core(2 * pair) == Kind::Margin);
        }
        let near = |wanted: u32, found: u32| found.abs_diff(wanted) < wanted / 5;
        assert!([1_200, 300, 300, 200, 600].into_iter().zip(counts).all(|(a, b)| near(a, b)), "{counts:?}");
    }

    #[test]
    fn a_cl_ord_id_names_its_request() {
        let mix = example(1);
        for request in [Request(0), Request(77), Request::cancel(0), Request::cancel(77)] {
            assert_eq!(mix.request(&mix.cl_ord_id(request)), Some(request));
        }
        assert_eq!((Request::cancel(77).order(), mix.session(Request::cancel(77))), (77, 1));
        assert!(Request::cancel(0).is_cancel() && !Request(77).is_cancel());
        assert_eq!(mix.request(&Text::literal("someone")), None);
    }
}
