//! Question: what does an order cost to take in, and a report to write, apart from sockets and the disk?
//! Command: `cargo bench -p fix --bench codec`.

mod message;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fix::codec::{BEGIN_STRING, Decoded, Encoder, Limits, decode};
use fix::dictionary;
use fix::message::{ExecutionReport, NewOrderSingle, OrdRejReason};
use fix::session::{Config, Event, Session, Takes};
use fix::store::MemoryStore;
use message::{NOW, order, write};

const ORDERS: u64 = 100;

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let mut bytes = Vec::new();
    write(&order(), 2, &mut bytes);
    let limits = Limits::default();
    let message = |bytes| match decode(bytes, &limits) {
        Decoded::Message(message) => message,
        Decoded::NeedMore | Decoded::Garbled { .. } => panic!("a message"),
    };
    let def = dictionary::message(b"D").expect("a definition");
    group.bench_function("frame", |b| b.iter(|| message(black_box(&bytes)).bytes.len()));
    group.bench_function("frame, check", |b| {
        b.iter(|| dictionary::check(&message(black_box(&bytes)), def, 64));
    });
    group.bench_function("frame, NewOrderSingle", |b| {
        b.iter(|| NewOrderSingle::parse(&message(black_box(&bytes))).map(|order| order.order_qty));
    });
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let order = order();
    let report = ExecutionReport::refusal(&order, b"E000001234", OrdRejReason::Broker, "", NOW.utc());
    let mut out = Vec::with_capacity(4_096);
    group.bench_function("ExecutionReport", |b| {
        b.iter(|| {
            out.clear();
            write(black_box(&report), 2, &mut out);
        });
    });
    group.finish();
}

/// The whole of it: orders in, each through the session's rules, and as many reports out.
fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.throughput(Throughput::Elements(ORDERS));
    let mut out = Vec::with_capacity(1 << 16);
    let mut session =
        Session::new(Config::new("TONGDAO", "CLIENT", Takes::Orders), MemoryStore::new(1 << 20));
    session.accept(NOW);
    let mut logon = Vec::new();
    let mut message = Encoder::begin(&mut logon, BEGIN_STRING, b"A");
    message.text(49, b"CLIENT").text(56, b"TONGDAO").number(34, 1).time(52, NOW.utc());
    message.number(98, 0).number(108, 30);
    message.finish();
    session.receive(&logon, NOW, &mut out).expect("a logon");
    session.accept_logon(NOW, &mut out).expect("logged on");
    let (mut bytes, mut next) = (Vec::new(), 2);
    group.bench_function("order and report", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                bytes.clear();
                (next..next + ORDERS).for_each(|number| write(&order(), number, &mut bytes));
                next += ORDERS;
                spent += turn(&mut session, &bytes, &mut out);
            }
            spent
        });
    });
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn turn(session: &mut Session<MemoryStore>, bytes: &[u8], out: &mut Vec<u8>) -> Duration {
    let begin = Instant::now();
    out.clear();
    let mut rest = bytes;
    while let Some(received) = session.receive(rest, NOW, out).expect("orders") {
        rest = &rest[received.consumed..];
        let Event::Application { message, .. } = received.event else { panic!("an order") };
        let order = NewOrderSingle::parse(&message).expect("an order");
        let report = ExecutionReport::refusal(&order, b"E1", OrdRejReason::Broker, "", NOW.utc());
        session.send(&report, NOW, out).expect("kept");
    }
    begin.elapsed()
}

criterion_group!(benches, decoding, encoding, session);
criterion_main!(benches);
