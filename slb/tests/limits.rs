//! What a listener lets in, and how much of it.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.
#![allow(clippy::disallowed_methods)] // A bandwidth is measured with the clock.

mod harness;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use harness::{Backend, Balancer, assert_closed, assert_echoes, config, read, wait_for};
use slb::{Config, Scheduler};

fn one(backend: &Backend) -> Config {
    config(Scheduler::Rr, &[(backend.name, backend.address, 1)])
}

fn refused(balancer: &Balancer, reason: &str) -> i64 {
    balancer.metric(&format!("slb_connections_refused_total{{listener=\"l\",reason=\"{reason}\"}}"))
}

#[test]
fn lists_say_who_may_connect_and_change_while_connections_go_on() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.listeners[0].allow = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let balancer = Balancer::start(config.clone());
    let (_, mut open) = balancer.open();

    config.listeners[0].deny = vec!["127.0.0.1/32".parse().unwrap()];
    balancer.control.apply(config.clone()).unwrap();
    assert_closed(&mut balancer.connect());
    wait_for(|| refused(&balancer, "list") == 1);

    config.listeners[0].deny.clear();
    config.listeners[0].allow = vec!["10.0.0.0/8".parse().unwrap()];
    balancer.control.apply(config.clone()).unwrap();
    assert_closed(&mut balancer.connect());
    wait_for(|| refused(&balancer, "list") == 2);

    config.listeners[0].allow.clear();
    balancer.control.apply(config).unwrap();
    assert_eq!(balancer.open().0, 'a');
    assert_echoes(&mut open);
}

#[test]
fn more_new_connections_than_a_listener_takes_in_a_second_are_closed_and_counted() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.listeners[0].connections_per_s_max = 1;
    let balancer = Balancer::start(config.clone());
    let (_, mut first) = balancer.open();
    wait_for(|| {
        drop(balancer.connect());
        refused(&balancer, "rate") >= 3
    });
    assert_echoes(&mut first);
    config.listeners[0].connections_per_s_max = 0;
    balancer.control.apply(config).unwrap();
    assert_eq!(balancer.count(20, 'a'), 20);
}

#[test]
fn all_connections_of_a_listener_together_get_no_more_than_its_bandwidth() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.listeners[0].bytes_per_s_max = 2_000_000;
    let balancer = Balancer::start(config.clone());
    let started = Instant::now();
    let bytes = 500_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (_, mut stream) = balancer.open();
                let mut sending = stream.try_clone().unwrap();
                scope.spawn(move || {
                    sending.write_all(&vec![b'x'; bytes]).unwrap();
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                assert!(read(&mut stream, bytes).iter().all(|&byte| byte == b'x'));
            });
        }
    });
    // A megabyte, less a tenth of a second's burst and what a read may overdraw.
    assert!(started.elapsed() > Duration::from_millis(350), "{:?}", started.elapsed());
    balancer.wait_for_metric("slb_backend_bytes_total{backend=\"a\",direction=\"in\",pool=\"p\"}", 1_000_000);

    let (_, mut open) = balancer.open();
    config.listeners[0].bytes_per_s_max = 0;
    balancer.control.apply(config).unwrap();
    assert_echoes(&mut open);
}
