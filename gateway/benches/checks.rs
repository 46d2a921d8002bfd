//! What the pre-trade checks cost an order: the whole chain with every rule on, each rule alone, and what is noted when it
//! is sent. With one account, whose state is always at hand, and with ten thousand, whose state is not.
//!
//! All orders keep all rules, so that each is walked to its end. Where an account is asked for its open orders it has five, one
//! in each of the securities that it trades.

mod walk;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::check::Group;
use walk::Walk;

/// Orders that are walked through, over and over.
const ORDERS: u32 = 50_000;

fn chains(criterion: &mut Criterion) {
    for accounts in [1, 10_000] {
        let mut group = criterion.benchmark_group(format!("checks, accounts {accounts}"));
        group.throughput(Throughput::Elements(1));
        let mut run = |name: &str, on: &[Group]| {
            let mut walk = Walk::new(on, accounts, ORDERS);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(|| walk.step()));
        };
        run("all rules", &Group::ALL);
        run("none", &[]);
        for rule in Group::ALL {
            run(rule.name(), &[rule]);
        }
        group.finish();
    }
}

/// Few enough that none becomes a high-frequency account on the way, and no list of open orders long.
const SENT: u32 = 10_000;

fn noted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checks and note, accounts 10000");
    group.throughput(Throughput::Elements(u64::from(SENT)));
    group.sample_size(10);
    group.bench_function("all rules", |bencher| {
        bencher.iter_batched_ref(
            || Walk::new(&Group::ALL, 10_000, ORDERS),
            |walk| (0..SENT).for_each(|_| walk.send()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, chains, noted);
criterion_main!(benches);
