//! Append, and read by 1, 100 and 10,000 cursors: 128-byte frames, a turn of 64 frames.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flow::{Cursor, Filter, KeySet, Limits, Selection, Tag, Writer};
use std::hint::black_box;
use std::io::IoSlice;

const FRAME: [u8; 128] = [7; 128];
const TURN: u64 = 64;

fn append_turn(writer: &mut Writer, number: &mut u64) {
    for _ in 0..TURN {
        *number += 1;
        let tag = Tag { lane: 1, number: *number, key: 1 + (*number % 1000) as u32 };
        writer.append(tag, &FRAME).expect("ascending");
    }
    writer.publish();
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(TURN));
    group.bench_function("128B", |b| {
        let mut writer = Writer::new(Limits::default());
        let mut number = 0;
        b.iter(|| append_turn(&mut writer, &mut number));
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for cursors in [1_usize, 100, 10_000] {
        group.throughput(Throughput::Elements(TURN * cursors as u64));
        group.bench_with_input(BenchmarkId::new("all", cursors), &cursors, |b, &cursors| {
            let (mut writer, mut number) = (Writer::new(Limits::default()), 0);
            let mut reader = writer.reader();
            let mut cursors = vec![Cursor::at(0); cursors];
            b.iter(|| {
                append_turn(&mut writer, &mut number);
                reader.refresh();
                for cursor in &mut cursors {
                    while let Ok(slice) = reader.slice(*cursor, 1 << 18)
                        && !slice.is_empty()
                    {
                        let len = black_box(slice).len();
                        black_box(reader.advance(cursor, len));
                    }
                }
            });
        });
    }
    for cursors in [1_usize, 100] {
        group.throughput(Throughput::Elements(TURN * cursors as u64));
        group.bench_with_input(BenchmarkId::new("50 of 1000 keys", cursors), &cursors, |b, &cursors| {
            let (mut writer, mut number) = (Writer::new(Limits::default()), 0);
            let mut reader = writer.reader();
            let keys: KeySet = (0..50).map(|key| 1 + key * 20).collect();
            let selection = Selection::new(Filter::Keys(keys));
            let mut cursors = vec![Cursor::at(0); cursors];
            b.iter(|| {
                append_turn(&mut writer, &mut number);
                reader.refresh();
                for cursor in &mut cursors {
                    let mut slices = [IoSlice::new(&[]); 64];
                    let found = reader.gather(*cursor, &selection, (1 << 18, 1 << 16), &mut slices);
                    *cursor = black_box(found).expect("held").next;
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
