//! Running out of files. A program of its own, since the limit is the whole process's.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::net::TcpStream;

use harness::{Backend, Balancer, assert_echoes, config, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slb::Scheduler;

/// The lowest number that no open file has. The limit is one on numbers, not on how many there are.
fn first_free() -> u64 {
    let file = |number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    (0..).find(|number| !file(*number)).unwrap()
}

fn limit_files(current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
}

#[test]
fn running_out_of_files_is_counted_and_accepting_goes_on_after_it() {
    let a = Backend::start('a');
    let balancer = Balancer::start(config(Scheduler::Rr, &[('a', a.address, 1)]));
    let (_, mut old) = balancer.open();
    let before = getrlimit(Resource::Nofile).current.unwrap();

    let mut clients = Vec::new();
    let mut limit = first_free();
    wait_for(|| {
        limit_files(limit);
        match TcpStream::connect(balancer.address) {
            // The client took the last file, and the balancer wants another.
            Ok(client) => clients.push(client),
            // Not even the client has one. (A thread that blocks in accept holds one in reserve.)
            Err(_) => limit += 1,
        }
        balancer.metric("slb_accept_errors_total{listener=\"l\"}") > 2
    });
    assert_echoes(&mut old);

    limit_files(before);
    drop(clients);
    assert_eq!(balancer.count(4, 'a'), 4);
    assert_echoes(&mut old);
}
