//! Question: what does a quote cost from the source's bytes to the bytes of every subscriber, without the system calls?
//! Method: a turn of 64 tick orders of one channel: decode and verify, arbitrate (the second source's copy behind the
//! first), append, publish; then every subscriber takes a slice and moves on, as after a write that was taken whole.
//! Command: `cargo bench -p benches --bench quote`. Figures: nanoseconds per quote and, for many, per delivery.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use feed::arbiter::{Arbiter, Event, Settings, Source, Tick};
use flow::{Cursor, Limits, Reader, Tag, Writer};
use std::hint::black_box;
use wire::szse::market::TickOrder;
use wire::szse::{I64, Text, U16, frame};

const TURN: usize = 64;
const CHANNEL: u16 = 2011;

struct Feed {
    arbiter: Arbiter,
    writer: Writer,
    reader: Reader,
    subscribers: Vec<Cursor>,
    next: u64,
    bytes: Vec<u8>,
}

impl Feed {
    fn new(subscribers: usize) -> Self {
        let writer = Writer::new(Limits::default());
        let reader = writer.reader();
        let arbiter = Arbiter::new(Settings::default()).expect("defaults are valid");
        Self {
            arbiter,
            writer,
            reader,
            subscribers: vec![Cursor::at(0); subscribers],
            next: 1,
            bytes: Vec::new(),
        }
    }

    /// The bytes that a source sends in this turn.
    fn encode(&mut self) {
        self.bytes.clear();
        for number in self.next..self.next + TURN as u64 {
            let order = TickOrder {
                channel_no: U16::new(CHANNEL),
                appl_seq_num: I64::new(number as i64),
                security_id: Text::literal("000001"),
                security_id_source: Text::literal("102"),
                ..TickOrder::default()
            };
            frame::encode(&order, &mut self.bytes);
        }
        self.next += TURN as u64;
    }

    /// A source's bytes, decoded and arbitrated into the log.
    fn ingest(&mut self, source: Source) {
        let Self { arbiter, writer, bytes, .. } = self;
        let mut at = 0;
        while let Some(frame) = frame::decode(&bytes[at..], 4096).expect("as encoded") {
            at += frame.bytes.len();
            let order: &TickOrder = frame.view().expect("a tick order");
            let (channel, number) = (order.channel_no.get(), order.appl_seq_num.get() as u64);
            let tick = Tick { channel, number, key: 1, frame: frame.bytes };
            let outcome = arbiter.offer(0, source, tick, &mut |event| {
                if let Event::Frame(tick) = event {
                    let tag = Tag { lane: tick.channel, number: tick.number, key: tick.key };
                    writer.append(tag, tick.frame).expect("ascending");
                }
            });
            black_box(outcome);
        }
    }

    fn deliver(&mut self) {
        self.writer.publish();
        self.reader.refresh();
        for cursor in &mut self.subscribers {
            while let Ok(slice) = self.reader.slice(*cursor, 256 << 10)
                && !slice.is_empty()
            {
                let taken = black_box(slice).len();
                black_box(self.reader.advance(cursor, taken));
            }
        }
    }
}

fn quote(c: &mut Criterion) {
    let mut group = c.benchmark_group("quote");
    for subscribers in [0_usize, 1, 100, 10_000] {
        group.throughput(Throughput::Elements((TURN * subscribers.max(1)) as u64));
        group.bench_with_input(
            BenchmarkId::new("subscribers", subscribers),
            &subscribers,
            |b, &subscribers| {
                let mut feed = Feed::new(subscribers);
                b.iter(|| {
                    feed.encode();
                    feed.ingest(Source::new(0));
                    feed.ingest(Source::new(1));
                    feed.deliver();
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, quote);
criterion_main!(benches);
