//! The hot path allocates nothing: neither for a connection that keeps up nor for one that is idle.
#![allow(unsafe_code)] // A counting allocator cannot be written without; it only counts and passes on.

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Backend, Balancer, assert_echoes, config};
use slb::Scheduler;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: both calls go to the system's allocator with the arguments that they came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `rounds` round trips allocate, in the whole process.
fn allocations(rounds: usize, stream: &mut std::net::TcpStream) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..rounds).for_each(|_| assert_echoes(stream));
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn passing_bytes_on_allocates_nothing() {
    let a = Backend::start('a');
    let balancer = Balancer::start(config(Scheduler::Rr, &[('a', a.address, 1)]));
    let (_, mut stream) = balancer.open();
    assert_echoes(&mut stream); // Whatever is made on first use is made now.
    let many = allocations(1000, &mut stream);
    // The first health check and the threads of this test may allocate meanwhile, each some tens of times; what a
    // round trip costs is there a thousand times.
    assert!(many < 200, "{many} allocations in 1000 round trips");
}
