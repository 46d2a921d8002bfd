//! How many orders a second one thread takes through the pure core: request in, reports and market data out.
//!
//! `cargo bench -p matcher-stub`. A stream of 100,000 requests over 200 securities, always the same: 60 % limit orders
//! that rest, 25 % that trade, 15 % cancels of what rests. `counted` drops the frames, `logged` appends them to logs.

mod stream;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flow::{Limits, Tag, Writer};
use matcher_stub::core::{Core, DeskNo, Now, Outlet};
use stream::{OPEN_NS, Request, core, requests};

const REQUESTS: u32 = 100_000;

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

fn run(core: &mut Core, requests: &[Request], out: &mut impl Outlet) {
    for (step, request) in (0_u64..).zip(requests) {
        let now = Now::at(OPEN_NS + step * 2_000);
        core.apply(now, request.input(), out);
    }
}

fn match_path(criterion: &mut Criterion) {
    let requests = requests(REQUESTS);
    let mut group = criterion.benchmark_group("match");
    group.throughput(Throughput::Elements(requests.len() as u64)).sample_size(10);
    group.bench_function("counted", |bencher| {
        bencher.iter_batched_ref(
            || (core(REQUESTS), Counted::default()),
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
            || (core(REQUESTS), Logged { reports: log(), market: log() }),
            |(core, out)| run(core, &requests, out),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, match_path);
criterion_main!(benches);
