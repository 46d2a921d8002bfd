//! How long the end of a market's call auction takes: 5,000 securities with ten orders each, which make five trades.
//!
//! `cargo bench -p matcher-stub --bench auction`. `whole` is all of it at once, as in a replay; `turn` what one turn takes of it. Reports
//! and ticks are appended to logs.

mod stream;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flow::{Limits, Tag, Writer};
use matcher_stub::core::{
    Call, Core, Desk, DeskNo, Listing, Listings, Now, Outlet, Phase, STEPS_PER_TURN, Schedule, Settings,
    id_range,
};
use stream::OPEN_NS;
use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, RequestBase};
use wire::szse::{Price, Qty, Text};

const SECURITIES: u32 = 5_000;
const ORDERS: u32 = 10;
const NS_PER_S: u64 = 1_000_000_000;

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

/// A core a minute before its auction ends, which is at [`OPEN_NS`], and where its frames go.
fn before_the_end() -> (Core, Logged) {
    let ids: Vec<_> = id_range("000001".parse().expect("an id"), SECURITIES).expect("few").collect();
    let listings = ids.iter().map(|id| Listing::main_board(*id, Price::whole(10), 10)).collect();
    let settings = Settings {
        core_no: 1,
        orders_max: SECURITIES * ORDERS,
        orders_reserved: SECURITIES * ORDERS,
        desks: vec![Desk { partition_first: 1, partitions: 2, cash: true, margin: false }],
        channel_first: 2011,
        channels: 4,
        snapshot_interval_ns: 3 * NS_PER_S,
        channel_heartbeat_ns: 3 * NS_PER_S,
    };
    let phases =
        [("09:15:00", Phase::Call { call: Call::Opening, cancels: true }), ("09:30:00", Phase::Continuous)];
    let phases = phases.map(|(from, phase)| (from.parse().expect("a time"), phase));
    let schedule = Schedule::new(phases.to_vec()).expect("ascending");
    let listings = Listings::new(listings).expect("each once");
    let mut core = Core::new(settings, listings).with_schedule(schedule);
    let limits = Limits { window_bytes: 256 << 20, ..Limits::default() };
    let mut out = Logged { reports: Writer::new(limits), market: Writer::new(limits) };
    let now = Now::at(OPEN_NS - 60 * NS_PER_S);
    for number in 0..SECURITIES * ORDERS {
        let side = if number % 2 == 0 { Side::BUY } else { Side::SELL };
        let order = NewOrder {
            base: RequestBase {
                appl_id: APPL_CASH_AUCTION,
                submitting_pbu_id: Text::literal("P00001"),
                security_id: ids[(number / ORDERS) as usize],
                security_id_source: SOURCE_SHENZHEN,
                ..RequestBase::default()
            },
            cl_ord_id: Text::truncated(&format!("{number:010}")),
            account_id: Text::literal("A1"),
            side,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: Price::whole(10),
            ext: CashAuctionExt {
                time_in_force: TimeInForce::DAY,
                cash_margin: CashMargin::CASH,
                ..CashAuctionExt::default()
            },
            ..NewOrder::default()
        };
        core.new_order(now, 0, &order, &mut out);
    }
    assert_eq!((core.counts().accepted, core.counts().trades), ((SECURITIES * ORDERS).into(), 0));
    (core, out)
}

fn auction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("auction");
    group.sample_size(10);
    for (name, steps) in [("whole", u32::MAX), ("turn", STEPS_PER_TURN)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                before_the_end,
                |(core, out)| core.pass_some(Now::at(OPEN_NS), steps, out),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, auction);
criterion_main!(benches);
