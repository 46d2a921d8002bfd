//! What an order costs with the journal and without it, by how many come in a turn: the journal has one write for each.
//!
//! `cargo bench -p matcher-stub --bench journal`. The stream of `match_path`, its reports and market data dropped. `off` encodes
//! the inputs and takes them, as a matcher without a journal does; `write` gives them to the system before, `sync` to the disk
//! of the temporary directory (`TMPDIR`). The difference is the journal's.

mod stream;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flow::Tag;
use matcher_stub::core::{Core, DeskNo, Now, Outlet};
use matcher_stub::journal::{Durability, Journal};
use stream::{OPEN_NS, Request, core, requests};

const REQUESTS: u32 = 100_000;

/// Drops what the core says, and counts it.
#[derive(Default)]
struct Counted(u64);

impl Outlet for Counted {
    fn report(&mut self, _: DeskNo, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }

    fn market(&mut self, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }
}

/// A day in which so many requests come in each turn.
fn run(core: &mut Core, mut journal: Option<&mut Journal>, requests: &[Request], turn: usize) {
    let (mut inputs, mut out, mut now_ns) = (Vec::new(), Counted::default(), OPEN_NS);
    for requests in requests.chunks(turn) {
        inputs.clear();
        for request in requests {
            now_ns += 2_000;
            request.input().encode(Now::at(now_ns), &mut inputs);
        }
        if let Some(journal) = &mut journal {
            journal.append(&inputs).expect("the disk takes it");
        }
        core.replay(&inputs, &mut out).expect("encoded here");
    }
    assert!(out.0 > 0 && core.counts().trades > 0);
}

fn journal(criterion: &mut Criterion) {
    let requests = requests(REQUESTS);
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(u64::from(REQUESTS))).sample_size(10);
    for turn in [1, 16, 256] {
        group.bench_function(BenchmarkId::new("off", turn), |bencher| {
            let setup = || core(REQUESTS);
            bencher.iter_batched_ref(setup, |core| run(core, None, &requests, turn), BatchSize::PerIteration);
        });
        for (name, durability) in [("write", Durability::Write), ("sync", Durability::Sync)] {
            if durability == Durability::Sync && turn == 1 {
                continue; // A flush for each of 100,000 orders is minutes, and says what 16 says.
            }
            group.bench_function(BenchmarkId::new(name, turn), |bencher| {
                bencher.iter_batched_ref(
                    || {
                        let folder = tempfile::tempdir().expect("a temporary directory");
                        let opened = Journal::open(folder.path(), durability, (0, 0), |_| Ok(()));
                        (core(REQUESTS), opened.expect("a new journal").0, folder)
                    },
                    |(core, journal, _)| run(core, Some(journal), &requests, turn),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
