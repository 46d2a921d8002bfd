//! How many orders a second one thread takes through the pure core: request in, reports and market data out.
//!
//! `cargo bench -p matcher-stub`. A stream of 100,000 requests over 200 securities, always the same: 60 % limit orders
//! that rest, 25 % that trade, 15 % cancels of what rests. `counted` drops the frames, `logged` appends them to logs.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flow::{Limits, Tag, Writer};
use matcher_stub::core::{Core, Desk, DeskNo, Listing, Listings, Now, Outlet, Settings, id_range};
use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, OrderCancelRequest, RequestBase};
use wire::szse::{Price, Qty, SecurityId, Text};

const SECURITIES: u32 = 200;
const REQUESTS: u32 = 100_000;
/// Any time of a trading day will do; a step is 2 us.
const OPEN_NS: u64 = 1_709_170_200_000_000_000;

enum Request {
    Order(NewOrder),
    Cancel(OrderCancelRequest),
}

#[derive(Default)]
struct Counted {
    frames: u64,
    bytes: u64,
}

impl Outlet for Counted {
    fn report(&mut self, _: DeskNo, _: Tag, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
    }

    fn market(&mut self, _: Tag, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
    }
}

struct Logged {
    reports: Writer,
    market: Writer,
}

impl Outlet for Logged {
    fn report(&mut self, _: DeskNo, tag: Tag, frame: &[u8]) {
        self.reports.append(tag, frame).expect("numbers ascend");
    }

    fn market(&mut self, tag: Tag, frame: &[u8]) {
        self.market.append(tag, frame).expect("numbers ascend");
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

fn requests() -> Vec<Request> {
    let mut draw = Draw(42);
    let mut resting: Vec<NewOrder> = Vec::new();
    let mut requests = Vec::new();
    for number in 0..REQUESTS {
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

fn core() -> Core {
    let ids = id_range(SecurityId::literal("000001"), SECURITIES).expect("six digits");
    let listings = ids.map(|id| Listing::main_board(id, Price::whole(10), 10)).collect();
    let settings = Settings {
        core_no: 1,
        orders_max: REQUESTS,
        orders_reserved: REQUESTS,
        desks: vec![Desk { partition_first: 1, partitions: 4, cash: true, margin: true }],
        channel_first: 2011,
        channels: 4,
        snapshot_interval_ns: 3_000_000_000,
        channel_heartbeat_ns: 3_000_000_000,
    };
    Core::new(settings, Listings::new(listings).expect("tradable"))
}

fn run(core: &mut Core, requests: &[Request], out: &mut impl Outlet) {
    for (step, request) in (0_u64..).zip(requests) {
        let now = Now::at(OPEN_NS + step * 2_000);
        match request {
            Request::Order(order) => core.new_order(now, 0, order, out),
            Request::Cancel(cancel) => core.cancel(now, 0, cancel, out),
        }
    }
}

fn match_path(criterion: &mut Criterion) {
    let requests = requests();
    let mut group = criterion.benchmark_group("match");
    group.throughput(Throughput::Elements(requests.len() as u64)).sample_size(10);
    group.bench_function("counted", |bencher| {
        bencher.iter_batched_ref(
            || (core(), Counted::default()),
            |(core, out)| {
                run(core, &requests, out);
                assert!(out.frames > out.bytes / 300 && core.counts().trades > 0);
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("logged", |bencher| {
        let log = || Writer::new(Limits::default());
        bencher.iter_batched_ref(
            || (core(), Logged { reports: log(), market: log() }),
            |(core, out)| run(core, &requests, out),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, match_path);
criterion_main!(benches);
