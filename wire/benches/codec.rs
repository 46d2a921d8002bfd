//! Question: what do framing, checksum and views cost per message, and does the checksum run at memory speed?
//! Command: `cargo bench -p wire --bench codec`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::szse::code::{MdEntryType, OrdType, Side};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder};
use wire::szse::trading::NewOrder;
use wire::szse::{EncodeError, I64, MdEntryPx, Price, Qty, Text, Timestamp, U16, frame};

/// In the first-level cache; one TLS record; beyond the second-level cache.
const CHECKSUM_LENS: [usize; 6] = [59, 121, 512, 4096, 16 * 1024, 16 * 1024 * 1024];

fn tick_order() -> TickOrder {
    TickOrder {
        channel_no: U16::new(2011),
        appl_seq_num: I64::new(1_234_567),
        md_stream_id: Text::literal("011"),
        security_id: Text::literal("000001"),
        security_id_source: Text::literal("102"),
        price: Price::from_raw(123_400),
        order_qty: Qty::whole(100),
        side: Side::BUY,
        transact_time: Timestamp::from_raw(20_240_229_093_000_123),
        ord_type: OrdType::LIMIT,
    }
}

fn encode_snapshot(out: &mut Vec<u8>) -> Result<(), EncodeError> {
    Snapshot::encode(&SnapshotHead::default(), out, |entries| {
        for level in 1..=10 {
            for side in [MdEntryType::BID, MdEntryType::ASK] {
                let entry = MdEntry {
                    md_entry_type: side,
                    md_entry_px: MdEntryPx::whole(12),
                    md_entry_size: Qty::whole(1_000),
                    md_price_level: U16::new(level),
                    number_of_orders: I64::new(7),
                };
                entries.push(&entry, if level == 1 { &[Qty::ZERO; 50] } else { &[] })?;
            }
        }
        Ok(())
    })
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for len in CHECKSUM_LENS {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |b| b.iter(|| frame::checksum(black_box(&bytes))));
    }
    // The floor for what lies in memory: to read it, eight bytes at a time, and do next to nothing.
    let words: Vec<u64> = (0..CHECKSUM_LENS[5] as u64 / 8).collect();
    group.bench_function("16777216, read only", |b| {
        b.iter(|| black_box(&words).iter().fold(0, |all, word| all ^ word));
    });
}

fn encode(c: &mut Criterion) {
    let mut out = Vec::with_capacity(16 * 1024);
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let (tick, order) = (tick_order(), NewOrder::default());
    group.bench_function("TickOrder", |b| {
        b.iter(|| {
            out.clear();
            frame::encode(black_box(&tick), &mut out);
        });
    });
    group.bench_function("NewOrder", |b| {
        b.iter(|| {
            out.clear();
            frame::encode(black_box(&order), &mut out);
        });
    });
    group.bench_function("Snapshot of 10 levels", |b| {
        b.iter(|| {
            out.clear();
            encode_snapshot(&mut out).expect("within the bounds");
        });
    });
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let mut bytes = Vec::new();
    frame::encode(&tick_order(), &mut bytes);
    group.bench_function("TickOrder", |b| {
        b.iter(|| {
            let frame =
                frame::decode(black_box(&bytes), frame::BODY_LEN_MAX).expect("a frame").expect("whole");
            frame.view::<TickOrder>().expect("a TickOrder").appl_seq_num.get()
        });
    });
    bytes.clear();
    frame::encode(&NewOrder::default(), &mut bytes);
    group.bench_function("NewOrder", |b| {
        b.iter(|| {
            let frame =
                frame::decode(black_box(&bytes), frame::BODY_LEN_MAX).expect("a frame").expect("whole");
            frame.view::<NewOrder>().expect("a NewOrder").order_qty
        });
    });
    bytes.clear();
    encode_snapshot(&mut bytes).expect("within the bounds");
    group.bench_function("Snapshot of 10 levels", |b| {
        b.iter(|| {
            let frame =
                frame::decode(black_box(&bytes), frame::BODY_LEN_MAX).expect("a frame").expect("whole");
            frame.group::<Snapshot<'_>>().expect("a Snapshot").entries().last()
        });
    });
}

/// A receive buffer full of ticks, as a busy feed sees it.
fn decode_stream(c: &mut Criterion) {
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        frame::encode(&tick_order(), &mut bytes);
    }
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 TickOrder", |b| {
        b.iter(|| {
            let (mut rest, mut sum) = (&bytes[..], 0);
            while let Some(frame) = frame::decode(rest, frame::BODY_LEN_MAX).expect("frames") {
                sum += frame.view::<TickOrder>().expect("a TickOrder").appl_seq_num.get();
                rest = &rest[frame.bytes.len()..];
            }
            sum
        });
    });
}

criterion_group!(benches, checksum, encode, decode, decode_stream);
criterion_main!(benches);
