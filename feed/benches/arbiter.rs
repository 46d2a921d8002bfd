//! Question: what does arbitration cost for each frame, in order and with the second copy behind the first?
//! Command: `cargo bench -p feed --bench arbiter`. A single figure: nanoseconds per frame offered.
#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use feed::arbiter::{Arbiter, Event, Settings, Source, Tick};
use std::hint::black_box;

const FRAMES: u64 = 10_000;

fn offer(arbiter: &mut Arbiter, source: Source, number: u64, emitted: &mut u64) {
    let tick = Tick { channel: 2011, number, key: 7, frame: &[0; 128] };
    let outcome = arbiter.offer(number, source, tick, &mut |event| {
        if let Event::Frame(tick) = event {
            *emitted += black_box(tick).number;
        }
    });
    black_box(outcome);
}

fn arbiter(c: &mut Criterion) {
    let [primary, backup] = [Source::new(0), Source::new(1)];
    let fresh = || Arbiter::new(Settings::default()).expect("defaults are valid");
    let mut group = c.benchmark_group("arbiter");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("one source, in order", |b| {
        b.iter_batched_ref(
            fresh,
            |arbiter| {
                let mut emitted = 0;
                (1..=FRAMES).for_each(|number| offer(arbiter, primary, number, &mut emitted));
                emitted
            },
            BatchSize::LargeInput,
        );
    });
    group.throughput(Throughput::Elements(2 * FRAMES));
    group.bench_function("two sources, one behind by 8", |b| {
        b.iter_batched_ref(
            fresh,
            |arbiter| {
                let mut emitted = 0;
                for number in 1..=FRAMES {
                    offer(arbiter, primary, number, &mut emitted);
                    if number > 8 {
                        offer(arbiter, backup, number - 8, &mut emitted);
                    }
                }
                emitted
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, arbiter);
criterion_main!(benches);
