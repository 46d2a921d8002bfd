//! Question: what does choosing a backend cost a new connection, by scheduler and number of backends, and what does a change of
//! weights cost, which makes the order of turns anew?
//! Command: `cargo bench -p slb --bench schedule`.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slb::schedule::{lighter, most_attracted, smooth_turns, stable_hash};
use std::hint::black_box;

const BACKENDS: [u32; 3] = [2, 16, 256];

/// All different, as far as 100 goes.
fn weights(backends: u32) -> Vec<u32> {
    (0..backends).map(|at| 1 + at % 100).collect()
}

fn choose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choose");
    for backends in BACKENDS {
        let weights = weights(backends);
        let turns = smooth_turns(&weights);
        let mut next = 0;
        group.bench_function(BenchmarkId::new("wrr", backends), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % turns.len();
                black_box(&turns)[next]
            });
        });
        let open: Vec<u32> = (0..backends).map(|at| at * 7 % 64).collect();
        group.bench_function(BenchmarkId::new("wlc", backends), |bencher| {
            bencher.iter(|| {
                let (open, weights) = (black_box(&open), black_box(&weights));
                let better = |best, at| {
                    if lighter(open[at], weights[at], open[best], weights[best]) { at } else { best }
                };
                (1..open.len()).fold(0, better)
            });
        });
        let names: Vec<u64> = (0..backends).map(|at| stable_hash(&at.to_be_bytes())).collect();
        group.bench_function(BenchmarkId::new("source", backends), |bencher| {
            bencher.iter(|| {
                let client = stable_hash(black_box(&[10, 0, 0, 1]));
                most_attracted(client, 0..names.len(), |at| (names[at], weights[at]))
            });
        });
    }
}

fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change of weights");
    for backends in BACKENDS {
        let weights = weights(backends);
        group.bench_function(BenchmarkId::from_parameter(backends), |bencher| {
            bencher.iter(|| smooth_turns(black_box(&weights)));
        });
    }
}

criterion_group!(benches, choose, change);
criterion_main!(benches);
