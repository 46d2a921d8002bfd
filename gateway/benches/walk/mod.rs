//! The chain of checks that is measured, and the orders that walk through it.

#![allow(dead_code, reason = "each program takes what it needs")]

use gateway::check::rate::{Bucket, Rates};
use gateway::check::reference;
use gateway::check::rules::{A_SHARE, Date, Rules};
use gateway::check::{
    Checks, Group, Kill, Market, Moment, Open, OpenOrders, Quote, Sender, Settings, Tables,
};
use gateway::orders::AccountKey;
use gateway::route::Core;
use std::hint::black_box;
use wire::szse::code::{CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, RequestBase};
use wire::szse::{Price, Qty, Text};

/// Securities of the reference data: about as many as the two exchanges have.
const SECURITIES: u32 = 5_000;
/// Securities that an account trades.
const OF_ACCOUNT: u32 = 5;
/// Between two orders, nanoseconds: 100,000 a second.
const PAUSE_NS: u64 = 10_000;
/// Granted to a session or an account a second: more than come.
const PER_S: u32 = 1_000_000;
const COMP: Sender = Sender::staying(0);

fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().expect("fits")
}

/// 10:00 on a trading day, on the exchange's clock.
fn morning_ns() -> i64 {
    let day = Date::new(2026, 7, 6).expect("a day").0;
    (day.0 * 86_400 + 2 * 3_600) * 1_000_000_000
}

fn security(number: u32) -> Text<8> {
    text(&format!("{number:06}"))
}

fn tables() -> Tables {
    let mut csv = "security_id,source,board,schedule,prev_close,flags\n".to_owned();
    for number in 0..SECURITIES {
        csv.push_str(&format!("{number:06},102,main,szse,10.00,margin-buy short-sale\n"));
    }
    let rules: Rules = service::config::parse(A_SHARE, "a-share.toml").expect("good");
    let reference = reference::read(csv.as_bytes()).expect("good");
    let tables = Tables::new(Date::new(2026, 7, 6).expect("a day").0, &rules, &reference).expect("good");
    let price = Price::whole(10).raw();
    for number in 0..SECURITIES {
        let quote = Quote { bid: price, ask: price, last: price };
        tables.directory.quotes.set(number, quote, morning_ns().unsigned_abs());
    }
    tables
}

/// Which security an account trades as its so many-th.
fn traded(account: AccountKey, which: u32) -> u32 {
    (account.wrapping_mul(2_654_435_761) >> 8).wrapping_add(which * 997) % SECURITIES
}

/// A buy on margin, since those are asked most.
fn order(number: u32, accounts: u32) -> (AccountKey, NewOrder) {
    // Accounts come in no order.
    let account = 1 + number.wrapping_mul(2_654_435_761) % accounts;
    let order = NewOrder {
        base: RequestBase {
            security_id: security(traded(account, number % OF_ACCOUNT)),
            security_id_source: SOURCE_SHENZHEN,
            ..RequestBase::default()
        },
        cl_ord_id: text(&number.to_string()),
        side: Side::BUY,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100),
        price: Price::whole(10),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::MARGIN_OPEN,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    };
    (account, order)
}

/// Sells far above what the orders pay.
fn open_orders(accounts: u32, orders: u32) -> OpenOrders {
    let mut open = OpenOrders::new(accounts as usize, 1, OF_ACCOUNT * accounts + orders);
    for account in 1..=accounts {
        for which in 0..OF_ACCOUNT {
            let (_, mut order) = order(0, accounts);
            order.base.security_id = security(traded(account, which));
            order.cl_ord_id = text(&format!("r{which}"));
            (order.side, order.price) = (Side::SELL, Price::whole(11));
            assert!(open.add(Open::sent(account, Core::Margin, COMP, &order)), "there is room");
        }
    }
    open
}

/// A chain in which these rules are on.
fn chain(on: &[Group], accounts: u32, orders: u32) -> Checks {
    let is_on = |group: Group| on.contains(&group);
    let settings = Settings {
        on: Group::ALL.map(is_on),
        notional_max: Price::whole(1_000_000).raw(),
        market: Market::FreshQuotes,
        ..Settings::default()
    };
    let per_s = if is_on(Group::Throttle) { PER_S } else { 0 };
    let rates = Rates::new(accounts as usize, per_s, is_on(Group::Rate));
    let open = is_on(Group::SelfCross).then(|| open_orders(accounts, orders));
    let sessions = vec![Bucket::new(per_s)].into();
    Checks::new(settings, Box::new(tables()), (Kill::new(accounts as usize), rates), open, sessions)
}

/// Walks one order after the other through a chain.
pub(crate) struct Walk {
    checks: Checks,
    orders: Vec<(AccountKey, NewOrder)>,
    next: usize,
    at: Moment,
}

impl Walk {
    /// With these rules on, so many accounts, and so many orders that are walked through, over and over.
    pub(crate) fn new(on: &[Group], accounts: u32, orders: u32) -> Self {
        Self {
            checks: chain(on, accounts, orders),
            orders: (0..orders).map(|number| order(number, accounts)).collect(),
            next: 0,
            at: Moment { now_ns: 1_000_000_000, wall_ns: morning_ns() },
        }
    }

    /// The next order, checked.
    #[inline]
    pub(crate) fn step(&mut self) {
        let (account, order) = &self.orders[self.next];
        self.next = (self.next + 1) % self.orders.len();
        self.at.now_ns += PAUSE_NS;
        self.checks.throttle_session(COMP.comp_no, self.at).expect("kept");
        self.checks.order(self.at, *account, Core::Margin, black_box(order)).expect("kept");
    }

    /// One order, checked and noted as sent.
    pub(crate) fn send(&mut self) {
        let (account, order) = self.orders[self.next];
        self.step();
        self.checks.sent(self.at, COMP, account, Core::Margin, &order);
    }
}
