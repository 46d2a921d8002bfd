//! Which order is the `n`-th.
//!
//! Orders come in pairs that meet: a buy and a sell of one security at one price, by two sessions. Both of a pair go to
//! one core, cash or margin; pairs go round the securities, so that two pairs that are under way do not meet each other.

use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, RequestBase};
use wire::szse::{Password, Price, Qty, SecurityId, Text, Timestamp, U16};

/// Digits of a ClOrdID: 0 to 9, A to Z.
const BASE: u64 = 36;
/// Of the ten characters of a ClOrdID, those that tell runs apart.
const RUN_DIGITS: u32 = 4;
const NUMBER_DIGITS: u32 = 6;
/// Fraction of the square root of 2, of 2^64: its multiples are spread evenly in every window of them.
const SPREAD: u64 = 0x6A09_E667_F3BC_C909;
/// Orders of one run, at most: what six digits count.
pub const ORDERS_MAX: u64 = BASE.pow(NUMBER_DIGITS);

/// What a run orders.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Sessions, each with an account of its own.
    pub sessions: u64,
    /// The first security; the others follow by number.
    pub security_first: u32,
    /// Securities that the pairs go round.
    pub securities: u32,
    /// The price of all orders.
    pub price: Price,
    /// Of a hundred pairs, those that go to the margin core.
    pub margin_percent: u64,
    /// Tells this run's orders from those of earlier ones at the same core.
    pub run: u64,
    /// Before the session's number, in AccountID.
    pub account_prefix: String,
    /// Before the session's number, in the CompID of the session.
    pub comp_id_prefix: String,
    /// Password of every session.
    pub password: Password,
}

impl Plan {
    /// Which session sends an order.
    #[inline]
    #[must_use]
    pub fn session(&self, order: u64) -> u64 {
        order % self.sessions
    }

    /// The number by which a run is known: the time of its beginning, seconds.
    #[must_use]
    pub fn run_of(started_unix_s: u64) -> u64 {
        started_unix_s % BASE.pow(RUN_DIGITS)
    }

    /// CompID of a session.
    #[must_use]
    pub fn comp_id(&self, session: u64) -> Text<20> {
        Text::truncated(&format!("{}{session:04}", self.comp_id_prefix))
    }

    /// Account of a session.
    #[must_use]
    pub fn account(&self, session: u64) -> Text<12> {
        Text::truncated(&format!("{}{session:04}", self.account_prefix))
    }

    /// ClOrdID of an order.
    #[inline]
    #[must_use]
    pub fn cl_ord_id(&self, order: u64) -> Text<10> {
        let (mut digits, mut rest) = ([0; 10], self.run * ORDERS_MAX + order);
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(rest % BASE) as usize];
            rest /= BASE;
        }
        Text::new(&digits).expect("invariant: digits are ASCII")
    }

    /// The order that a ClOrdID names; `None` for one of another run.
    #[inline]
    #[must_use]
    pub fn order_of(&self, cl_ord_id: &Text<10>) -> Option<u64> {
        let value = cl_ord_id.as_bytes().iter().try_fold(0, |sum, byte| {
            let digit = char::from(*byte).to_digit(BASE as u32)?;
            Some(sum * BASE + u64::from(digit))
        })?;
        (value / ORDERS_MAX == self.run).then_some(value % ORDERS_MAX)
    }

    /// The order as it is sent, but for what is the same in all orders of a session ([`Self::blank`]).
    #[inline]
    pub fn fill_in(&self, order: u64, to: &mut NewOrder) {
        let pair = order / 2;
        let buys = order.is_multiple_of(2);
        // Spread evenly: each core gets its part at a steady rate, and one that pauses is seen at once. With no period that
        // sessions or securities could share: each of them has orders of both kinds.
        let spread = ((pair.wrapping_mul(SPREAD) >> 32) * 100) >> 32;
        let margin = spread < self.margin_percent;
        to.base.security_id = self.security(pair);
        to.cl_ord_id = self.cl_ord_id(order);
        to.side = if buys { Side::BUY } else { Side::SELL };
        to.ext.cash_margin = if margin { CashMargin::MARGIN_OPEN } else { CashMargin::CASH };
    }

    fn security(&self, pair: u64) -> SecurityId {
        let mut rest = u64::from(self.security_first) + pair % u64::from(self.securities);
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Text::new(&digits).expect("invariant: digits are ASCII")
    }

    /// What all orders of a session have in common.
    #[must_use]
    pub fn blank(&self, session: u64) -> NewOrder {
        NewOrder {
            base: RequestBase {
                appl_id: APPL_CASH_AUCTION,
                submitting_pbu_id: Text::literal("000001"),
                security_id: SecurityId::BLANK,
                security_id_source: SOURCE_SHENZHEN,
                owner_type: U16::new(1),
                clearing_firm: Text::literal("01"),
                transact_time: Timestamp::ZERO,
                user_info: Text::BLANK,
            },
            cl_ord_id: Text::BLANK,
            account_id: self.account(session),
            branch_id: Text::literal("0001"),
            order_restrictions: Text::BLANK,
            side: Side::BUY,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: self.price,
            ext: CashAuctionExt {
                stop_px: Price::ZERO,
                min_qty: Qty::ZERO,
                max_price_levels: U16::ZERO,
                time_in_force: TimeInForce::DAY,
                cash_margin: CashMargin::CASH,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            sessions: 7,
            security_first: 1,
            securities: 50,
            price: Price::whole(10),
            margin_percent: 30,
            run: 12_345,
            account_prefix: "A".to_string(),
            comp_id_prefix: "client".to_string(),
            password: Password::default(),
        }
    }

    #[test]
    fn a_cl_ord_id_names_its_order_and_no_other_run_s() {
        let plan = plan();
        for order in [0, 1, 35, 36, 1_000_000, ORDERS_MAX - 1] {
            assert_eq!(plan.order_of(&plan.cl_ord_id(order)), Some(order));
        }
        let earlier = Plan { run: 12_344, ..plan.clone() };
        assert_eq!(plan.order_of(&earlier.cl_ord_id(7)), None);
        assert_eq!(plan.order_of(&Text::literal("x!")), None);
    }

    #[test]
    fn pairs_meet_and_margin_has_its_part() {
        let plan = plan();
        let mut orders = Vec::new();
        for order in 0..200 {
            let mut new = plan.blank(plan.session(order));
            plan.fill_in(order, &mut new);
            orders.push(new);
        }
        for pair in orders.chunks(2) {
            assert_eq!((pair[0].base.security_id, pair[0].ext), (pair[1].base.security_id, pair[1].ext));
            assert_eq!((pair[0].side, pair[1].side), (Side::BUY, Side::SELL));
            assert_ne!(pair[0].account_id, pair[1].account_id);
        }
        let margin = orders.iter().filter(|order| order.ext.cash_margin == CashMargin::MARGIN_OPEN).count();
        assert!(margin.abs_diff(60) <= 6, "{margin} of 200 at 30 %");
        assert_eq!(orders[0].base.security_id, Text::literal("000001"));
        assert_eq!(orders[98].base.security_id, Text::literal("000050"));
        assert_eq!(orders[100].base.security_id, Text::literal("000001"));
    }

    #[test]
    fn both_cores_get_their_part_in_every_window() {
        for margin_percent in [0, 1, 7, 30, 50, 99, 100] {
            let plan = Plan { margin_percent, ..plan() };
            let is_margin = |pair: u64| {
                let mut new = plan.blank(0);
                plan.fill_in(pair * 2, &mut new);
                new.ext.cash_margin == CashMargin::MARGIN_OPEN
            };
            let margin: Vec<bool> = (0..200).map(is_margin).collect();
            for pairs in 1..=100 {
                let share = pairs * margin_percent;
                for window in margin.windows(pairs as usize) {
                    let part = window.iter().filter(|margin| **margin).count() as u64 * 100;
                    assert!(part.abs_diff(share) <= 300, "{part} % of {pairs} at {margin_percent} %");
                }
            }
        }
        let last = ORDERS_MAX - 1;
        let plan = Plan { margin_percent: 100, ..plan() };
        let mut new = plan.blank(0);
        plan.fill_in(last, &mut new);
        assert_eq!(new.ext.cash_margin, CashMargin::MARGIN_OPEN);
    }

    #[test]
    fn every_session_and_security_has_orders_of_both_kinds() {
        let plan = Plan { margin_percent: 30, securities: 500, ..plan() };
        let mut kinds = vec![[false; 2]; 500];
        for pair in 0..10_000 {
            let mut new = plan.blank(0);
            plan.fill_in(pair * 2, &mut new);
            kinds[pair as usize % 500][usize::from(new.ext.cash_margin == CashMargin::MARGIN_OPEN)] = true;
        }
        let one_kind_only = kinds.iter().filter(|kinds| **kinds != [true, true]).count();
        assert_eq!(one_kind_only, 0, "of 500 securities, whose number sessions divide");
    }
}
