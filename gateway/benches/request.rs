//! The pure path of a request, without sockets: framed, checked, routed and copied into a line's bytes; and the way of
//! its report into the log. All as in the evening of a busy day: the tables are full, so each order that comes makes
//! one be forgotten, and the log has let go of its first segments.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway::accounts::{Accounts, Credentials};
use gateway::check::{Checks, Moment, Sender};
use gateway::counts::Counts;
use gateway::desk::Desk;
use gateway::flight::{Flight, Life, Over};
use gateway::line::{Line, Settings};
use gateway::link::{Intake, Link, Partitions};
use gateway::route::Core;
use gateway::traces::Answers;
use service::outage::Outage;
use service::traces::Tracer;
use std::hint::black_box;
use wire::szse::code::{CashMargin, ExecType, OrdType, PlatformId, Side, TimeInForce, VERSION_TRADING};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::trading::{CashAuctionExt, NewOrder, OrderReport, PlatformInfo, ReportBase, RequestBase};
use wire::szse::{I32, I64, Logon, Password, Price, Qty, Text, frame};

/// Orders in one run: enough for the tables to outgrow the nearest caches.
const ORDERS: u32 = 50_000;
const ACCOUNTS: u32 = 100;

fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().expect("fits")
}

fn desk() -> Desk {
    let credentials = Credentials {
        comp_id: text("client"),
        password: Password::default(),
        accounts: (0..ACCOUNTS).map(|number| text(&number.to_string())).collect(),
        read_only: false,
    };
    let checks = Checks::off(ACCOUNTS as usize, 1);
    Desk { up: [true; 2], ..Desk::new(Accounts::new(vec![credentials]), ORDERS, checks) }
}

fn order(number: u32) -> NewOrder {
    NewOrder {
        base: RequestBase { security_id: text("000001"), ..RequestBase::default() },
        cl_ord_id: text(&number.to_string()),
        account_id: text(&(number % ACCOUNTS).to_string()),
        side: Side::BUY,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100),
        price: Price::whole(10),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}

fn report(number: u32) -> OrderReport {
    let order = order(number);
    OrderReport {
        base: ReportBase {
            partition_no: I32::new(1),
            report_index: I64::new(i64::from(number) + 1),
            ..ReportBase::default()
        },
        order_id: text(&number.to_string()),
        cl_ord_id: order.cl_ord_id,
        exec_type: ExecType::NEW,
        account_id: order.account_id,
        ..OrderReport::default()
    }
}

fn session() -> Session {
    let (mut out, mut bytes) = (Vec::new(), Vec::new());
    let mut session = Session::acceptor(Limits::default(), 0);
    frame::encode(&Logon { heart_bt_int_s: I32::new(3), ..Logon::default() }, &mut bytes);
    session.receive(&bytes, 0, &mut out).expect("a logon");
    session.accept(VERSION_TRADING, 0, &mut out);
    session
}

fn take(bytes: &[u8], desk: &mut Desk, session: &mut Session, line: &mut Vec<u8>) {
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some(received) = session.receive(rest, 1, &mut out).expect("good") {
        rest = &rest[received.consumed..];
        let Event::Message(frame) = received.event else { unreachable!() };
        let request = frame.view::<NewOrder>().expect("an order");
        let at = Moment { now_ns: 1, wall_ns: 1 };
        let (account, core) = desk.new_order(at, 0, request).expect("taken");
        line.extend_from_slice(frame.bytes);
        desk.sent(at, Sender::staying(0), (account, core), request);
    }
}

fn requests(criterion: &mut Criterion) {
    let (mut before, mut bytes) = (Vec::new(), Vec::new());
    (0..ORDERS).for_each(|number| frame::encode(&order(number), &mut before));
    (ORDERS..2 * ORDERS).for_each(|number| frame::encode(&order(number), &mut bytes));
    let mut group = criterion.benchmark_group("gateway");
    group.throughput(Throughput::Elements(u64::from(ORDERS)));
    group.sample_size(20);
    group.bench_function("order: frame, check, route, copy", |bencher| {
        let mut line = Vec::with_capacity(bytes.len());
        bencher.iter_batched_ref(
            || {
                let (mut desk, mut session) = (desk(), session());
                take(&before, &mut desk, &mut session, &mut Vec::new());
                (desk, session)
            },
            |(desk, session)| {
                line.clear();
                take(&bytes, desk, session, &mut line);
                black_box(&line);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn link() -> (Link, Line) {
    let settings = Settings {
        sender_comp_id: text("gateway"),
        target_comp_id: text("core"),
        password: Password::default(),
        default_appl_ver_id: wire::szse::code::VERSION_TRADING,
        heart_bt_s: 3,
        backoff_ms_min: 1,
        backoff_ms_max: 1,
        limits: Limits::default(),
    };
    let mut line = Line::new(settings, 1);
    line.dial_due(0);
    line.opened(0, &mut Vec::new());
    (Link::new(Core::Cash, Partitions { first: 1, count: 1, offset: 0 }), line)
}

fn reports(criterion: &mut Criterion) {
    let (mut before, mut bytes) = (Vec::new(), Vec::new());
    let logon = Logon {
        sender_comp_id: text("core"),
        target_comp_id: text("gateway"),
        heart_bt_int_s: I32::new(3),
        ..Logon::default()
    };
    frame::encode(&logon, &mut before);
    let info = PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &[I32::new(1)] };
    info.encode(&mut before).expect("few");
    (0..ORDERS).for_each(|number| frame::encode(&report(number), &mut before));
    (ORDERS..2 * ORDERS).for_each(|number| frame::encode(&report(number), &mut bytes));
    let log = flow::Limits { segment_bytes: 1 << 20, window_bytes: 4 << 20 };
    let mut group = criterion.benchmark_group("gateway");
    group.throughput(Throughput::Elements(u64::from(ORDERS)));
    group.sample_size(20);
    group.bench_function("report: frame, owner, log", |bencher| {
        bencher.iter_batched_ref(
            || {
                let (mut desk, mut link, mut writer) = (desk(), link(), flow::Writer::new(log));
                file(&before, &mut desk, &mut link, &mut writer);
                (desk, link, writer)
            },
            |(desk, link, writer)| file(&bytes, desk, link, writer),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Takes a run of reports into the log.
fn file(bytes: &[u8], desk: &mut Desk, (link, line): &mut (Link, Line), writer: &mut flow::Writer) {
    let (mut counts, mut refused) = (Counts::default(), Vec::new());
    let (accounts, orders, checks) = (&desk.accounts, &mut desk.orders, &mut desk.checks);
    let flight = &mut Flight::new(1, 1);
    let over = Over { life: Life { line: 0, ended: 0 }, number: 0 };
    let (counts_of, refused, outage) = (&mut counts, &mut refused, &mut Outage::default());
    let tracer = Tracer::default();
    let mut intake = Intake {
        writer,
        accounts,
        orders,
        checks,
        flight,
        over,
        outage,
        counts: counts_of,
        refused,
        answers: Answers::new(&tracer, (1, 1)),
        settles_ns: 0,
        wall_ns: 0,
    };
    assert_eq!(link.receive(line, bytes, 1, &mut intake, &mut Vec::new()), Ok(bytes.len()));
    assert_eq!(counts.reports[0], u64::from(ORDERS));
}

criterion_group!(benches, requests, reports);
criterion_main!(benches);
