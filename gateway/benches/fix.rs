//! The translation between FIX and the core's messages, without sockets: an order's bytes into a frame of the line, a report's
//! frame into the fields of a FIX message, and those into a message of a session.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fix::Now;
use fix::codec::{Decoded, Encoder, Limits, decode};
use fix::dictionary;
use fix::message::NewOrderSingle;
use fix::session::{Config, Session, Takes};
use fix::store::{Mark, MemoryStore};
use flow::Tag;
use gateway::accounts::{Accounts, Credentials};
use gateway::fix::book::Book;
use gateway::fix::{report, request};
use std::hint::black_box;
use wire::szse::code::{CashMargin, ExecType, OrdStatus, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, OrderReport, ReportBase};
use wire::szse::{I32, I64, Password, Price, Qty, Text, Timestamp, frame};

fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().expect("fits")
}

const NOW: Now = Now { ns: 1, wall_ns: 1_709_170_200_123_000_000 };

fn order_bytes() -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Encoder::begin(&mut out, b"FIX.4.4", b"D");
    message.text(49, b"client0001").text(56, b"TONGDAO").number(34, 12_345).time(52, NOW.utc());
    message.text(11, b"C000012345").text(1, b"0100000001").text(544, b"1").text(55, b"000001");
    message.text(207, b"XSHE").text(54, b"1").time(60, NOW.utc()).text(38, b"100").text(40, b"2");
    message.text(44, b"12.34").text(59, b"0");
    message.finish();
    out
}

fn report_frame() -> Vec<u8> {
    let mut out = Vec::new();
    let report = OrderReport {
        base: ReportBase {
            partition_no: I32::new(1),
            report_index: I64::new(1),
            security_id: text("000001"),
            security_id_source: SOURCE_SHENZHEN,
            transact_time: Timestamp::from_unix_ns(NOW.wall_ns),
            ..ReportBase::default()
        },
        order_id: text("0001000000000077"),
        cl_ord_id: text("C000012345"),
        exec_id: text("0001000000000078"),
        exec_type: ExecType::NEW,
        ord_status: OrdStatus::NEW,
        leaves_qty: Qty::whole(100),
        side: Side::BUY,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100),
        price: Price::whole(10),
        account_id: text("0100000001"),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..OrderReport::default()
    };
    frame::encode(&report, &mut out);
    out
}

fn order(criterion: &mut Criterion) {
    let (bytes, limits) = (order_bytes(), Limits::default());
    let def = dictionary::message(b"D").expect("an order");
    let mut out = Vec::with_capacity(256);
    let mut group = criterion.benchmark_group("fix");
    group.throughput(Throughput::Elements(1));
    group.bench_function("order_to_frame", |bencher| {
        bencher.iter(|| {
            out.clear();
            let Decoded::Message(message) = decode(black_box(&bytes), &limits) else { panic!("whole") };
            dictionary::check(&message, def, 128).expect("as the dictionary wants it");
            let order = NewOrderSingle::parse(&message).expect("an order");
            let security = order.check().expect("good");
            let request = request::new_order(&order, security, text("0100000001")).expect("fits");
            frame::encode(&request, &mut out);
            out.len()
        });
    });
    let accounts = Accounts::new(vec![Credentials {
        comp_id: text("client0001"),
        password: Password::default(),
        accounts: vec![text("0100000001")],
        read_only: false,
    }]);
    let (mut book, bytes, mut fields) = (Book::new(1_000, 1), report_frame(), Vec::with_capacity(512));
    let tag = Tag { lane: 1, number: 1, key: 1 };
    group.bench_function("report_to_fields", |bencher| {
        bencher.iter(|| {
            let frame = frame::decode(black_box(&bytes), 1 << 16).expect("good").expect("whole");
            report::translate(&mut book, &accounts, tag, frame, &mut fields)
        });
    });
    let config = Config::new("TONGDAO", "client0001", Takes::Orders);
    let mut session = Session::new(config, MemoryStore::new(1 << 20));
    group.bench_function("fields_to_message_kept", |bencher| {
        bencher.iter(|| {
            out.clear();
            let entry = report::Entry::read(black_box(&fields));
            session.send_marked(&entry, Mark { lane: 1, flow: 1, number: 1 }, NOW, &mut out).expect("kept")
        });
    });
    group.finish();
}

criterion_group!(benches, order);
criterion_main!(benches);
