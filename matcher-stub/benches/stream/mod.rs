//! The stream of requests that the benches take, and the core that takes it.

#![allow(dead_code, reason = "each bench takes what it needs")]

use matcher_stub::core::{Core, Desk, Input, Listing, Listings, Settings, id_range};
use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, OrderCancelRequest, RequestBase};
use wire::szse::{Price, Qty, SecurityId, Text};

/// Securities that are traded, from 000001 on.
pub(crate) const SECURITIES: u32 = 200;
/// Any time of a trading day will do; a step is 2 us.
pub(crate) const OPEN_NS: u64 = 1_709_170_200_000_000_000;

/// What a client sends.
pub(crate) enum Request {
    /// An order.
    Order(NewOrder),
    /// A cancel of one that rests, unless it has traded meanwhile.
    Cancel(OrderCancelRequest),
}

impl Request {
    /// As the core takes it at its first desk.
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Order(order) => Input::Order(0, order),
            Self::Cancel(cancel) => Input::Cancel(0, cancel),
        }
    }
}

/// A plain multiplicative generator: the stream is the same on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn order(draw: &mut Draw, number: u32, trades: bool) -> NewOrder {
    let buys = draw.below(2) == 0;
    let away = 1 + draw.below(20) as i64;
    let cents = if buys == trades { 1_000 + away } else { 1_000 - away };
    NewOrder {
        base: RequestBase {
            appl_id: APPL_CASH_AUCTION,
            submitting_pbu_id: Text::literal("P00001"),
            security_id: SecurityId::truncated(&format!("{:06}", 1 + draw.below(u64::from(SECURITIES)))),
            security_id_source: SOURCE_SHENZHEN,
            ..RequestBase::default()
        },
        cl_ord_id: Text::truncated(&format!("{number:010}")),
        account_id: Text::truncated(&format!("A{:05}", draw.below(1_000))),
        side: if buys { Side::BUY } else { Side::SELL },
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100 * (1 + draw.below(10) as i64)),
        price: Price::from_raw(cents * 100),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}

/// So many requests, always the same: 60 % limit orders that rest, 25 % that trade, 15 % cancels of what rests.
pub(crate) fn requests(count: u32) -> Vec<Request> {
    let mut draw = Draw(42);
    let mut resting: Vec<NewOrder> = Vec::new();
    let mut requests = Vec::new();
    for number in 0..count {
        let kind = draw.below(100);
        if kind < 15 && !resting.is_empty() {
            let of = resting.swap_remove(draw.below(resting.len() as u64) as usize);
            requests.push(Request::Cancel(OrderCancelRequest {
                base: of.base,
                cl_ord_id: Text::truncated(&format!("C{number:09}")),
                orig_cl_ord_id: of.cl_ord_id,
                side: of.side,
                order_id: Text::BLANK,
                order_qty: of.order_qty,
            }));
        } else {
            let trades = kind >= 75;
            let order = order(&mut draw, number, trades);
            if !trades {
                resting.push(order);
            }
            requests.push(Request::Order(order));
        }
    }
    requests
}

/// A core at the start of its day, with room for so many orders.
pub(crate) fn core(orders: u32) -> Core {
    let ids = id_range(SecurityId::literal("000001"), SECURITIES).expect("six digits");
    let listings = ids.map(|id| Listing::main_board(id, Price::whole(10), 10)).collect();
    let settings = Settings {
        core_no: 1,
        orders_max: orders,
        orders_reserved: orders,
        desks: vec![Desk { partition_first: 1, partitions: 4, cash: true, margin: true }],
        channel_first: 2011,
        channels: 4,
        snapshot_interval_ns: 3_000_000_000,
        channel_heartbeat_ns: 3_000_000_000,
    };
    Core::new(settings, Listings::new(listings).expect("tradable"))
}
