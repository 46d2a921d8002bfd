//! What a feed allocates: nothing for a quote, and no more for a reader that stands still than is configured.
#![allow(clippy::unwrap_used)] // A test fails where it unwraps.
#![allow(unsafe_code)] // An allocator that counts is what this measures with.

#[allow(dead_code)] // What the other tests use.
#[path = "feed/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use support::*;
use wire::szse::ext::SlowReaderPolicy;
use wire::szse::frame;

/// Calls of the allocator, and bytes that are allocated, now and at most, in the whole process.
struct Counting {
    calls: AtomicU64,
    bytes: AtomicI64,
    peak: AtomicI64,
}

#[global_allocator]
static HEAP: Counting =
    Counting { calls: AtomicU64::new(0), bytes: AtomicI64::new(0), peak: AtomicI64::new(0) };

// SAFETY: every call is passed on as it is; counting touches nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(layout.size() as i64, Ordering::Relaxed);
        self.peak.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.bytes.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above; the memory came from the system allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Ticks of two copies of a channel, one block for each step.
fn blocks(first: u64, count: u64, block: u64) -> Vec<Vec<u8>> {
    let block_from = |begin: u64| {
        let mut bytes = Vec::new();
        (begin..begin + block).for_each(|number| frame::encode(&tick(1, number), &mut bytes));
        bytes
    };
    (first..first + count).step_by(block as usize).map(block_from).collect()
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn quotes_cost_no_allocation_and_stalled_readers_a_bounded_one() {
    let feed = Feed::start(small_log);
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    let mut pump = |blocks: &[Vec<u8>]| {
        for block in blocks {
            primary.send_bytes(block);
            backup.send_bytes(block);
            reader.skip_bytes(block.len());
        }
    };
    pump(&blocks(1, 200_000, 1_000));

    let steady = blocks(200_001, 100_000, 1_000);
    let before = HEAP.calls.load(Ordering::Relaxed);
    pump(&steady);
    let calls = HEAP.calls.load(Ordering::Relaxed) - before;
    assert!(
        calls < 1_000,
        "{calls} allocations for 100,000 quotes from two sources: about one for a hundred"
    );

    const STALLED: i64 = 20;
    let stalled: Vec<Peer> = (0..STALLED).map(|_| subscribe(feed.address, &Wanted::all())).collect();
    let more = blocks(300_001, 300_000, 1_000);
    let before = HEAP.bytes.load(Ordering::Relaxed);
    HEAP.peak.store(before, Ordering::Relaxed);
    pump(&more);
    let grown = HEAP.peak.load(Ordering::Relaxed) - before;
    let bound = STALLED * (8 << 10);
    assert!(grown < bound, "{grown} bytes for {STALLED} readers that stand still, while 19 MB went by");
    wait_for("the stalled readers' end", || feed.ended("slow reader") == STALLED as u64);
    drop(stalled);

    // Those that are to be conflated stay, and cost what docs/operations.md says: one part of snapshots and their own state.
    const SECURITIES: u32 = 1_000;
    let conflate = Wanted { policy: SlowReaderPolicy::CONFLATE, ..Wanted::all() };
    let conflated: Vec<Peer> = (0..STALLED).map(|_| subscribe(feed.address, &conflate)).collect();
    let mut more = blocks(600_001, 300_000, 1_000);
    for (time, block) in (1..).zip(&mut more) {
        (1..=SECURITIES).for_each(|security| block.extend(snapshot(security, 9, time)));
    }
    pump(&more[..1]);
    let before = HEAP.bytes.load(Ordering::Relaxed);
    HEAP.peak.store(before, Ordering::Relaxed);
    pump(&more[1..]);
    let grown = HEAP.peak.load(Ordering::Relaxed) - before;
    let bound = STALLED * (64 << 10);
    assert!(
        grown < bound,
        "{grown} bytes for {STALLED} conflated readers that stand still, while 43 MB went by"
    );
    wait_for("conflation", || feed.metrics.conflated.get() >= STALLED as u64);
    assert_eq!(feed.ended("slow reader"), STALLED as u64, "those before, and none more");
    drop(conflated);
}
