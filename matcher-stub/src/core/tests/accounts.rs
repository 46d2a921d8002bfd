//! What accounts own and owe: each rule by itself, and streams after which everything is still there.

use super::stream::{Step, inputs, step};
use super::{Bench, CASH, MARGIN, Tapped, cancel_of, listings, settings};
use crate::core::accounts::{
    Account, AccountError, Accounts, HOLDINGS_MAX, Holding, Inventory, Purse, Shares,
};
use crate::core::{Core, Now, Refusal};
use proptest::prelude::proptest;
use wire::szse::code::{CashMargin, OrdRejReason, OrdType, Side, TimeInForce};
use wire::szse::trading::{NewOrder, OrderReport};
use wire::szse::{Amount, Price, Qty, SecurityId, Text};

const FIRST: SecurityId = SecurityId::literal("000001");
/// One yuan in money of the ledger.
const YUAN: i128 = Price::SCALE as i128 * Qty::SCALE as i128;
const SHARE: i64 = Qty::SCALE;

const OPEN: CashMargin = CashMargin::MARGIN_OPEN;
const CLOSE: CashMargin = CashMargin::MARGIN_CLOSE;

/// A1 has 10,000 in cash, 5,000 of credit and 1,000 shares; 500 shares can be lent. U, who trades with it, is unlimited.
fn bench() -> Bench {
    let shares = |count| Shares { security: FIRST, quantity: Qty::whole(count) };
    let account = Account {
        id: Text::literal("A1"),
        cash: Amount::whole(10_000),
        financing_limit: Amount::whole(5_000),
        positions: vec![shares(1_000)],
    };
    let mut bench = Bench::new();
    let accounts = Accounts::new(&[account], &[shares(500)], &listings(3)).unwrap();
    bench.core = Core::with_accounts(settings(), listings(3), accounts);
    bench
}

impl Bench {
    fn a1(&mut self, side: Side, credit: CashMargin, price: &str, shares: i64) -> NewOrder {
        let mut order = self.request(side, price, shares);
        order.ext.cash_margin = credit;
        self.deal(&order);
        order
    }

    fn deal(&mut self, order: &NewOrder) {
        let desk = if order.ext.cash_margin == CashMargin::CASH { CASH } else { MARGIN };
        self.send_at(desk, order);
    }

    /// Somebody unlimited trades.
    fn other(&mut self, side: Side, price: &str, shares: i64) {
        let mut order = self.request(side, price, shares);
        order.account_id = Text::literal("U");
        self.send_at(CASH, &order);
    }

    /// What was said of the last order.
    fn reason(&mut self) -> OrdRejReason {
        self.said.take::<OrderReport>().last().unwrap().ord_rej_reason
    }

    fn purse(&self) -> Purse {
        self.core.accounts.purses[0]
    }

    fn holding(&self) -> Holding {
        self.core.accounts.holdings[0]
    }

    fn inventory(&self) -> Inventory {
        self.core.accounts.inventory[0]
    }
}

fn holding(sellable: i64, frozen: i64, bought: i64, debt: i64, claimed: i64) -> Holding {
    let [sellable, frozen, bought, debt, claimed] =
        [sellable, frozen, bought, debt, claimed].map(|shares| shares * SHARE);
    Holding { sellable, frozen, bought, debt, claimed }
}

#[test]
fn a_buy_freezes_its_limit_and_pays_its_price() {
    let mut bench = bench();
    bench.other(Side::SELL, "9.80", 200);
    let order = bench.a1(Side::BUY, CashMargin::CASH, "10.00", 500);
    let purse = bench.purse();
    assert_eq!(
        (purse.cash, purse.frozen),
        (8_040 * YUAN, 3_000 * YUAN),
        "200 at 9.80 paid, 300 at 10.00 frozen"
    );
    assert_eq!(purse.free(), 5_040 * YUAN);
    assert_eq!(bench.holding(), holding(1_000, 0, 200, 0, 0));
    bench.a1(Side::BUY, CashMargin::CASH, "9.00", 600);
    assert_eq!(bench.reason(), Refusal::Cash.reason());
    bench.cancel(&cancel_of(&order, 1));
    assert_eq!((bench.purse().frozen, bench.purse().free()), (0, 8_040 * YUAN));
    bench.a1(Side::BUY, CashMargin::CASH, "9.00", 600);
    assert_eq!(bench.reason(), OrdRejReason::NONE);
}

#[test]
fn a_buy_without_a_limit_freezes_that_of_the_day() {
    let mut bench = bench();
    bench.other(Side::SELL, "10.00", 1_000);
    for (shares, reason) in [(1_000, Refusal::Cash.reason()), (900, OrdRejReason::NONE)] {
        // 11.00 is the highest price: 1,000 may need 11,000, whatever they would trade at.
        let mut order = bench.request(Side::BUY, "0", shares);
        order.ord_type = OrdType::MARKET;
        bench.deal(&order);
        assert_eq!(bench.reason(), reason);
    }
    assert_eq!((bench.purse().cash, bench.purse().frozen), (1_000 * YUAN, 0));
}

#[test]
fn what_does_not_rest_freezes_nothing_on() {
    let mut bench = bench();
    let mut order = bench.request(Side::BUY, "10.00", 500);
    order.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL;
    bench.deal(&order);
    assert_eq!((bench.purse().cash, bench.purse().free()), (10_000 * YUAN, 10_000 * YUAN));
}

#[test]
fn a_sale_is_of_free_shares_from_before_today() {
    let mut bench = bench();
    bench.other(Side::SELL, "10.00", 300);
    bench.a1(Side::BUY, CashMargin::CASH, "10.00", 300);
    let order = bench.a1(Side::SELL, CashMargin::CASH, "10.10", 600);
    assert_eq!(bench.holding(), holding(1_000, 600, 300, 0, 0));
    bench.a1(Side::SELL, CashMargin::CASH, "10.10", 500);
    assert_eq!(
        bench.reason(),
        Refusal::Position.reason(),
        "300 of its 1,300 were bought today, 600 are in an order"
    );
    bench.other(Side::BUY, "10.10", 200);
    assert_eq!(bench.holding(), holding(800, 400, 300, 0, 0));
    assert_eq!(bench.purse().free(), 9_020 * YUAN, "proceeds buy at once");
    bench.cancel(&cancel_of(&order, 1));
    assert_eq!(bench.holding(), holding(800, 0, 300, 0, 0));
}

#[test]
fn a_buy_on_credit_owes_money_up_to_the_limit() {
    let mut bench = bench();
    bench.other(Side::SELL, "9.90", 200);
    bench.a1(Side::BUY, OPEN, "10.00", 300);
    let purse = bench.purse();
    assert_eq!((purse.cash, purse.debt, purse.frozen_credit), (10_000 * YUAN, 1_980 * YUAN, 1_000 * YUAN));
    assert_eq!(bench.holding(), holding(1_000, 0, 200, 0, 0));
    bench.a1(Side::BUY, OPEN, "10.10", 200);
    assert_eq!(bench.reason(), OrdRejReason::NONE, "1,980 owed, 1,000 and 2,020 in orders: the limit");
    bench.a1(Side::BUY, OPEN, "9.00", 100);
    assert_eq!(bench.reason(), Refusal::FinancingLimit.reason());
    assert_eq!(bench.purse().free_credit(), 0);
}

#[test]
fn a_sale_to_repay_pays_the_debt_and_then_the_account() {
    let mut bench = bench();
    bench.other(Side::SELL, "10.00", 200);
    bench.a1(Side::BUY, OPEN, "10.00", 200);
    bench.other(Side::BUY, "10.00", 300);
    bench.a1(Side::SELL, CLOSE, "10.00", 150);
    assert_eq!((bench.purse().debt, bench.purse().cash), (500 * YUAN, 10_000 * YUAN));
    bench.a1(Side::SELL, CLOSE, "10.00", 150);
    assert_eq!((bench.purse().debt, bench.purse().cash), (0, 11_000 * YUAN));
    assert_eq!((bench.holding(), bench.purse().free_credit()), (holding(700, 0, 200, 0, 0), 5_000 * YUAN));
    bench.a1(Side::SELL, CLOSE, "10.00", 701);
    assert_eq!(bench.reason(), Refusal::Position.reason());
}

#[test]
fn a_short_sale_owes_shares_and_its_proceeds_stay() {
    let mut bench = bench();
    let order = bench.a1(Side::SELL, OPEN, "10.00", 400);
    assert_eq!((bench.inventory().free, bench.inventory().frozen), (100 * SHARE, 400 * SHARE));
    bench.a1(Side::SELL, OPEN, "10.00", 200);
    assert_eq!(bench.reason(), Refusal::ShortInventory.reason());
    bench.other(Side::BUY, "10.00", 300);
    assert_eq!(bench.holding(), holding(1_000, 0, 0, 300, 0), "its own shares are not sold");
    let purse = bench.purse();
    assert_eq!((purse.cash, purse.collateral, purse.free()), (10_000 * YUAN, 3_000 * YUAN, 10_000 * YUAN));
    bench.core.cancel(bench.now(), MARGIN, &cancel_of(&order, 1), &mut bench.said);
    assert_eq!(bench.inventory(), Inventory { free: 200 * SHARE, frozen: 0, returned: 0 });
    let mut elsewhere = bench.request(Side::SELL, "10.00", 100);
    (elsewhere.base.security_id, elsewhere.ext.cash_margin) = (SecurityId::literal("000002"), OPEN);
    bench.deal(&elsewhere);
    assert_eq!(bench.reason(), Refusal::ShortInventory.reason(), "what is not named is not lent");
}

#[test]
fn shares_owed_are_bought_back_with_the_proceeds_first() {
    let mut bench = bench();
    bench.a1(Side::BUY, CLOSE, "10.00", 100);
    assert_eq!(bench.reason(), Refusal::SharesOwed.reason(), "nothing is owed");
    bench.other(Side::BUY, "10.00", 300);
    bench.a1(Side::SELL, OPEN, "10.00", 250);
    bench.other(Side::SELL, "10.00", 50);
    bench.other(Side::SELL, "10.10", 200);
    bench.a1(Side::BUY, CLOSE, "10.10", 200);
    assert_eq!(bench.holding(), holding(1_000, 0, 0, 50, 0));
    assert_eq!((bench.purse().collateral, bench.purse().cash), (480 * YUAN, 10_000 * YUAN));
    assert_eq!(bench.inventory().returned, 200 * SHARE);

    bench.a1(Side::BUY, CLOSE, "10.00", 200);
    assert_eq!(bench.reason(), Refusal::SharesOwed.reason(), "50 are owed: a lot at most");
    bench.a1(Side::BUY, CLOSE, "10.00", 100);
    assert_eq!((bench.holding().claimed, bench.purse().free()), (100 * SHARE, 9_480 * YUAN));
    bench.a1(Side::BUY, CLOSE, "10.00", 100);
    assert_eq!(bench.reason(), Refusal::SharesOwed.reason(), "an order for them is there");
    bench.other(Side::SELL, "10.00", 100);
    assert_eq!(bench.holding(), holding(1_000, 0, 50, 0, 0), "what is beyond the debt is its own");
    let purse = bench.purse();
    assert_eq!((purse.collateral, purse.cash, purse.free()), (0, 9_480 * YUAN, 9_480 * YUAN));
    assert_eq!(bench.inventory(), Inventory { free: 250 * SHARE, frozen: 0, returned: 250 * SHARE });
}

#[test]
fn proceeds_that_stay_are_the_accounts_when_nothing_is_owed() {
    let mut bench = bench();
    bench.other(Side::BUY, "10.00", 100);
    bench.a1(Side::SELL, OPEN, "10.00", 100);
    bench.a1(Side::BUY, CashMargin::CASH, "10.00", 1_000);
    assert_eq!((bench.reason(), bench.purse().free()), (OrdRejReason::NONE, 0), "they buy nothing else");
    bench.other(Side::SELL, "10.10", 100);
    bench.a1(Side::BUY, CLOSE, "10.10", 100);
    assert_eq!(bench.reason(), Refusal::Cash.reason(), "and are 10 too few");
    assert_eq!(bench.purse().free_to_return(), 1_000 * YUAN);
}

#[test]
fn a_refused_order_leaves_no_trace_and_counts() {
    let cases = [
        (Refusal::Cash, Side::BUY, CashMargin::CASH, 1_100),
        (Refusal::Position, Side::SELL, CashMargin::CASH, 1_001),
        (Refusal::Position, Side::SELL, CLOSE, 1_001),
        (Refusal::FinancingLimit, Side::BUY, OPEN, 600),
        (Refusal::ShortInventory, Side::SELL, OPEN, 501),
        (Refusal::SharesOwed, Side::BUY, CLOSE, 100),
    ];
    for (refusal, side, credit, shares) in cases {
        let mut bench = bench();
        let untouched = self::bench();
        bench.a1(side, credit, "10.00", shares);
        assert_eq!(bench.reason(), refusal.reason());
        assert_eq!(bench.core.counts().refused[refusal as usize], 1);
        assert_eq!(bench.core.accounts, untouched.core.accounts, "{refusal:?}");
        let mut unlimited = bench.request(side, "10.00", shares);
        (unlimited.account_id, unlimited.ext.cash_margin) = (Text::literal("U"), credit);
        bench.deal(&unlimited);
        assert_eq!(bench.reason(), OrdRejReason::NONE, "who is not listed is not limited: {refusal:?}");
        assert_eq!(bench.core.accounts, untouched.core.accounts);
    }
}

#[test]
fn a_table_too_large_is_refused_before_it_is_made() {
    let account = |number: usize| Account {
        id: Text::truncated(&format!("{number}")),
        cash: Amount::ZERO,
        financing_limit: Amount::ZERO,
        positions: Vec::new(),
    };
    let many: Vec<Account> = (0..=HOLDINGS_MAX / 1_000).map(account).collect();
    assert_eq!(Accounts::new(&many, &[], &listings(1_000)).err(), Some(AccountError::TooMany));
}

const SECURITIES: u32 = 3;

/// Three accounts with so little that some orders of a stream are refused and many are not. Nobody else trades.
fn small() -> Core {
    let shares = |count| {
        let security = |number| SecurityId::truncated(&format!("{number:06}"));
        let one = move |number| Shares { security: security(number), quantity: Qty::whole(count) };
        (1..=SECURITIES).map(one).collect::<Vec<_>>()
    };
    let account = |number: i64| Account {
        id: Text::truncated(&format!("A{number}")),
        cash: Amount::whole(60_000 + 10_000 * number),
        financing_limit: Amount::whole(40_000),
        positions: shares(6_000 + 1_000 * number),
    };
    let list = [account(0), account(1), account(2)];
    let accounts = Accounts::new(&list, &shares(5_000), &listings(SECURITIES)).unwrap();
    Core::with_accounts(settings(), listings(SECURITIES), accounts)
}

/// What no order may change: all money that is not owed, and of each security all shares that are not owed, and all that
/// the lender has or is owed.
fn worth(core: &Core) -> (i128, Vec<(i64, i64)>) {
    let of = &core.accounts;
    let money = of.purses.iter().map(|purse| purse.cash + purse.collateral - purse.debt).sum();
    let securities = of.inventory.len();
    let each = |security: usize| {
        let held = || of.holdings.iter().skip(security).step_by(securities);
        let owed: i64 = held().map(|at| at.debt).sum();
        let inventory = of.inventory[security];
        let lent = inventory.free + inventory.frozen + inventory.returned + owed;
        (held().map(|at| at.sellable + at.bought).sum::<i64>() - owed, lent)
    };
    (money, (0..securities).map(each).collect())
}

/// Frozen by account: cash, cash to return shares, credit.
type FrozenMoney = [i128; 3];
/// Frozen by account and security: to sell, to return, short.
type FrozenShares = [i64; 3];

/// What is frozen, from the orders that may still trade and nothing else.
fn expected(core: &Core) -> (Vec<FrozenMoney>, Vec<FrozenShares>) {
    let securities = core.accounts.inventory.len();
    let accounts = core.accounts.purses.len();
    let mut money = vec![FrozenMoney::default(); accounts];
    let mut shares = vec![FrozenShares::default(); accounts * securities];
    for number in 0..core.orders.len() {
        let order = &core.orders[number as u32];
        if order.leaves == 0 {
            continue;
        }
        let request = &order.request;
        let id = request.account_id.to_string();
        let account: usize = id[1..].parse().unwrap();
        let price = match request.ord_type {
            OrdType::LIMIT => request.price,
            _ => core.listings[order.security].limit_up,
        };
        let value = i128::from(price.raw()) * i128::from(order.leaves);
        let held = &mut shares[account * securities + order.security as usize];
        match (request.side == Side::BUY, request.ext.cash_margin) {
            (true, CashMargin::MARGIN_OPEN) => money[account][2] += value,
            (true, CashMargin::MARGIN_CLOSE) => {
                money[account][1] += value;
                held[1] += order.leaves;
            }
            (true, _) => money[account][0] += value,
            (false, CashMargin::MARGIN_OPEN) => held[2] += order.leaves,
            (false, _) => held[0] += order.leaves,
        }
    }
    (money, shares)
}

fn check(core: &Core) {
    let of = &core.accounts;
    let (money, shares) = expected(core);
    for (purse, frozen) in of.purses.iter().zip(money) {
        assert_eq!([purse.frozen, purse.frozen_to_return, purse.frozen_credit], frozen);
        let parts = [purse.cash, purse.collateral, purse.debt, purse.free(), purse.free_to_return()];
        assert!(parts.iter().all(|part| *part >= 0) && purse.free_credit() >= 0, "{purse:?}");
    }
    for (at, frozen) in of.holdings.iter().zip(&shares) {
        assert_eq!([at.frozen, at.claimed], frozen[..2]);
        let parts = [at.sellable - at.frozen, at.bought, at.debt];
        assert!(parts.iter().all(|part| *part >= 0), "{at:?}");
    }
    for (security, at) in of.inventory.iter().enumerate() {
        let short: i64 =
            shares.iter().skip(security).step_by(of.inventory.len()).map(|frozen| frozen[2]).sum();
        assert_eq!(at.frozen, short);
        assert!(at.free >= 0 && at.returned >= 0, "{at:?}");
    }
}

/// Runs a stream, looking at the ledger after each step; gives the bytes of its inputs.
fn run(core: &mut Core, steps: &[Step]) -> (Now, Vec<u8>) {
    let (mut said, mut journal, mut last) = (Tapped::default(), Vec::new(), Now::at(super::OPEN_NS));
    let start = worth(core);
    inputs(steps, |now, input| {
        let Some(input) = input else { return };
        input.encode(now, &mut journal);
        core.apply(now, input, &mut said);
        last = now;
        check(core);
        assert_eq!(worth(core), start);
    });
    (last, journal)
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_stays_frozen(steps in proptest::collection::vec(step(), 1..300)) {
        let mut core = small();
        let (now, _) = run(&mut core, &steps);
        let start = worth(&core);
        for number in 0..core.orders.len() {
            let order = core.orders[number as u32];
            let mut cancel = cancel_of(&order.request, number as u64);
            cancel.order_id = core.reporter.order_id(number as u32);
            core.cancel(now, order.desk, &cancel, &mut Tapped::default());
        }
        check(&core);
        assert_eq!(worth(&core), start);
        let of = &core.accounts;
        assert!(of.purses.iter().all(|at| (at.frozen, at.frozen_to_return, at.frozen_credit) == (0, 0, 0)));
        assert!(of.holdings.iter().all(|at| (at.frozen, at.claimed) == (0, 0)));
        assert!(of.inventory.iter().all(|at| at.frozen == 0));
    }

    #[test]
    fn a_replay_makes_the_same_ledger(steps in proptest::collection::vec(step(), 1..200)) {
        let mut core = small();
        let (_, journal) = run(&mut core, &steps);
        let mut again = small();
        again.replay(&journal, &mut Tapped::default()).unwrap();
        assert_eq!(again.accounts, core.accounts);
        assert_eq!(again.counts(), core.counts());
    }
}

#[test]
fn the_streams_reach_every_rule() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let steps = proptest::collection::vec(step(), 3_000).new_tree(&mut runner).unwrap().current();
    let mut core = small();
    run(&mut core, &steps);
    let refused = core.counts().refused;
    let rules = [
        Refusal::Cash,
        Refusal::Position,
        Refusal::FinancingLimit,
        Refusal::ShortInventory,
        Refusal::SharesOwed,
    ];
    assert!(rules.iter().all(|rule| refused[*rule as usize] > 0), "{refused:?}");
    let of = &core.accounts;
    assert!(of.purses.iter().any(|purse| purse.debt > 0), "money is owed");
    assert!(of.inventory.iter().any(|at| at.returned > 0), "shares were bought back");
}
