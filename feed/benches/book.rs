//! Question: what does a tick cost the thread that keeps the books, with few orders and with many?
//! Command: `cargo bench -p feed --bench book`. A single figure: nanoseconds per tick, decoding and checksum included.
#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use feed::book::{Books, Limits};
use flow::Tag;
use wire::szse::code::{ExecType, OrdType, SOURCE_SHENZHEN, STREAM_TICK, Side};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::{I64, Price, Qty, SecurityId, Text, U16, frame};

const CHANNEL: u16 = 2011;
const TICKS: u64 = 30_000;

/// An order, a trade with it, and a cancel of what is left, for one security after the other; `resting` orders are there before.
struct Day {
    frames: Vec<(Tag, Vec<u8>)>,
    resting: usize,
}

fn id(security: u64) -> SecurityId {
    Text::new(format!("{security:06}").as_bytes()).expect("six digits")
}

fn day(securities: u64, resting: u64) -> Day {
    let mut day = Day { frames: Vec::new(), resting: 0 };
    for number in 0..resting {
        let side = if number % 2 == 0 { Side::BUY } else { Side::SELL };
        day.order(number % securities, side, (number / securities % 500) as i64);
    }
    day.resting = day.frames.len();
    while day.frames.len() < day.resting + TICKS as usize {
        let security = day.frames.len() as u64 % securities;
        let bid = day.order(security, Side::BUY, 0);
        day.trade(security, (bid, 0), ExecType::TRADE);
        day.trade(security, (bid, 0), ExecType::CANCELLED);
    }
    day
}

impl Day {
    fn push(&mut self, security: u64, encode: impl FnOnce(i64, &mut Vec<u8>)) -> i64 {
        let number = self.frames.len() as i64 + 1;
        let mut bytes = Vec::new();
        encode(number, &mut bytes);
        let tag = Tag { lane: CHANNEL, number: number as u64, key: security as u32 + 1 };
        self.frames.push((tag, bytes));
        number
    }

    fn order(&mut self, security: u64, side: Side, away: i64) -> i64 {
        let price = if side == Side::BUY { 100_000 - 100 * away } else { 100_100 + 100 * away };
        self.push(security, |number, out| {
            let order = TickOrder {
                channel_no: U16::new(CHANNEL),
                appl_seq_num: I64::new(number),
                md_stream_id: STREAM_TICK,
                security_id: id(security),
                security_id_source: SOURCE_SHENZHEN,
                price: Price::from_raw(price),
                order_qty: Qty::whole(200),
                side,
                ord_type: OrdType::LIMIT,
                ..TickOrder::default()
            };
            frame::encode(&order, out);
        })
    }

    /// A trade with a seller that was filled at once (as Shanghai publishes it), or a cancel.
    fn trade(&mut self, security: u64, (bid, _): (i64, i64), exec_type: ExecType) {
        let traded = exec_type == ExecType::TRADE;
        self.push(security, |number, out| {
            let trade = TickTrade {
                channel_no: U16::new(CHANNEL),
                appl_seq_num: I64::new(number),
                md_stream_id: STREAM_TICK,
                bid_appl_seq_num: I64::new(bid),
                offer_appl_seq_num: I64::new(if traded { i64::MAX - number } else { 0 }),
                security_id: id(security),
                security_id_source: SOURCE_SHENZHEN,
                last_px: Price::from_raw(if traded { 100_000 } else { 0 }),
                last_qty: Qty::whole(100),
                exec_type,
                ..TickTrade::default()
            };
            frame::encode(&trade, out);
        });
    }
}

fn book(c: &mut Criterion) {
    let mut group = c.benchmark_group("book");
    group.throughput(Throughput::Elements(TICKS)).sample_size(20);
    for (name, securities, resting) in [
        ("one security, 1,000 orders", 1, 1_000),
        ("one security, 100,000 orders", 1, 100_000),
        ("3,000 securities, 600,000 orders", 3_000, 600_000),
    ] {
        let day = day(securities, resting);
        let open = || {
            let mut books = Books::new(Limits::default());
            day.frames[..day.resting].iter().for_each(|(tag, bytes)| books.take(*tag, bytes));
            books
        };
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                open,
                |books| day.frames[day.resting..].iter().for_each(|(tag, bytes)| books.take(*tag, bytes)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, book);
criterion_main!(benches);
