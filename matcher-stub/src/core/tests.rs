//! The core from outside: requests in, frames out.

mod accounts;
mod auction;
mod checker;
mod replay;
mod rules;
mod schedule;
mod stream;

use super::{Core, Desk, DeskNo, Listing, Listings, Now, Outlet, Settings, id_range};
use flow::Tag;
use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, OrderCancelRequest, RequestBase};
use wire::szse::{Message, Price, Qty, SecurityId, Text, frame};

/// 2024-02-29 09:30 in Shenzhen.
pub(super) const OPEN_NS: u64 = 1_709_170_200_000_000_000;
const CASH: DeskNo = 0;
const MARGIN: DeskNo = 1;

/// Which of the two outlets a frame went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Report,
    Market,
}

/// Keeps all that a core says, and lets tests take it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tapped {
    frames: Vec<(Flow, Tag, Vec<u8>)>,
}

impl Outlet for Tapped {
    fn report(&mut self, _: DeskNo, tag: Tag, frame: &[u8]) {
        self.frames.push((Flow::Report, tag, frame.to_vec()));
    }

    fn market(&mut self, tag: Tag, frame: &[u8]) {
        self.frames.push((Flow::Market, tag, frame.to_vec()));
    }
}

impl Tapped {
    /// All messages of a type, and forgets everything else.
    fn take<M: Message + Copy>(&mut self) -> Vec<M> {
        let frames = std::mem::take(&mut self.frames);
        frames.iter().filter_map(|(_, _, bytes)| view(bytes)).collect()
    }

    /// The only message of a type.
    fn one<M: Message + Copy>(&mut self) -> M {
        let all = self.take::<M>();
        assert_eq!(all.len(), 1, "one {} was expected", M::NAME);
        all[0]
    }
}

/// A frame as a message, if it is one of that type.
fn view<M: Message + Copy>(bytes: &[u8]) -> Option<M> {
    let frame = frame::decode(bytes, frame::BODY_LEN_MAX).expect("the core encodes what decodes")?;
    (frame.msg_type == M::MSG_TYPE).then(|| *frame.view::<M>().expect("a body of the right length"))
}

fn settings() -> Settings {
    Settings {
        core_no: 1,
        orders_max: 100_000,
        orders_reserved: 1_000,
        desks: vec![
            Desk { partition_first: 1, partitions: 3, cash: true, margin: false },
            Desk { partition_first: 11, partitions: 2, cash: false, margin: true },
        ],
        channel_first: 2011,
        channels: 2,
        snapshot_interval_ns: 3_000_000_000,
        channel_heartbeat_ns: 3_000_000_000,
    }
}

fn listings(count: u32) -> Listings {
    let ids = id_range("000001".parse().unwrap(), count).unwrap();
    Listings::new(ids.map(|id| Listing::main_board(id, Price::whole(10), 10)).collect()).unwrap()
}

/// A core and what it said, with requests made from few words.
struct Bench {
    core: Core,
    said: Tapped,
    requests: u64,
    now_ns: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let core = Core::new(settings, listings(3));
        Self { core, said: Tapped::default(), requests: 0, now_ns: OPEN_NS }
    }

    fn now(&self) -> Now {
        Now::at(self.now_ns)
    }

    fn tick(&mut self, later_ms: u64) {
        self.now_ns += later_ms * 1_000_000;
        self.core.tick(self.now(), &mut self.said);
    }

    fn send_at(&mut self, desk: DeskNo, order: &NewOrder) {
        self.core.new_order(self.now(), desk, order, &mut self.said);
    }

    /// A limit order of account A1 at the cash desk, with a new ClOrdID; returns the request.
    fn limit(&mut self, side: Side, price: &str, shares: i64) -> NewOrder {
        let order = self.request(side, price, shares);
        self.send_at(CASH, &order);
        order
    }

    fn request(&mut self, side: Side, price: &str, shares: i64) -> NewOrder {
        self.requests += 1;
        order(self.requests, side, price.parse().unwrap(), Qty::whole(shares))
    }

    fn cancel(&mut self, request: &OrderCancelRequest) {
        self.core.cancel(self.now(), CASH, request, &mut self.said);
    }
}

fn order(number: u64, side: Side, price: Price, order_qty: Qty) -> NewOrder {
    NewOrder {
        base: RequestBase {
            appl_id: APPL_CASH_AUCTION,
            submitting_pbu_id: Text::literal("P00001"),
            security_id: SecurityId::literal("000001"),
            security_id_source: SOURCE_SHENZHEN,
            user_info: Text::literal("user"),
            ..RequestBase::default()
        },
        cl_ord_id: Text::truncated(&format!("{number:010}")),
        account_id: Text::literal("A1"),
        side,
        ord_type: OrdType::LIMIT,
        order_qty,
        price,
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}

/// A request to cancel an order by its ClOrdID.
fn cancel_of(order: &NewOrder, number: u64) -> OrderCancelRequest {
    OrderCancelRequest {
        base: order.base,
        cl_ord_id: Text::truncated(&format!("C{number:09}")),
        orig_cl_ord_id: order.cl_ord_id,
        side: order.side,
        order_id: Text::BLANK,
        order_qty: order.order_qty,
    }
}
