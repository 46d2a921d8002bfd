//! Which backend a connection comes to: weights, loads, health, drains.

mod harness;

use std::io::Write;

use harness::{
    Backend, Balancer, assert_closed, assert_echoes, assert_reset, config, dead_address, eager_checks,
};
use slb::{Scheduler, State};

#[test]
fn connections_are_shared_by_weight_over_all_workers() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let balancer = Balancer::start(config(Scheduler::Wrr, &[('a', a.address, 75), ('b', b.address, 25)]));
    assert_eq!(balancer.count(40, 'a'), 30);
    balancer.control.set_weight("p", "b", 75).unwrap();
    assert_eq!(balancer.count(40, 'a'), 20);
}

#[test]
fn the_least_loaded_takes_the_next_connection() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let balancer = Balancer::start(config(Scheduler::Wlc, &[('a', a.address, 100), ('b', b.address, 100)]));
    let mut open: Vec<_> = (0..6).map(|_| balancer.open()).collect();
    assert_eq!(open.iter().filter(|(name, _)| *name == 'a').count(), 3);
    open.retain(|(name, _)| *name == 'b');
    harness::wait_for(|| balancer.control.backend("p", "a").unwrap().connections == 0);
    let more: Vec<_> = (0..3).map(|_| balancer.open()).collect();
    assert!(more.iter().all(|(name, _)| *name == 'a'), "{more:?}");
}

#[test]
fn a_client_address_comes_to_one_backend() {
    let backends: Vec<_> = ('a'..='e').map(Backend::start).collect();
    let list: Vec<_> = backends.iter().map(|backend| (backend.name, backend.address, 100)).collect();
    let balancer = Balancer::start(config(Scheduler::Source, &list));
    let home = balancer.open().0;
    assert_eq!(balancer.count(20, home), 20);
    balancer.control.set_draining("p", &home.to_string(), true).unwrap();
    assert_eq!(balancer.count(5, home), 0);
}

#[test]
fn a_backend_falls_when_it_is_silent_and_rises_when_it_answers() {
    let (a, mut b) = (Backend::start('a'), Backend::start('b'));
    let mut config = config(Scheduler::Rr, &[('a', a.address, 100), ('b', b.address, 100)]);
    eager_checks(&mut config);
    let balancer = Balancer::start(config);
    b.stop();
    balancer.wait_for_state('b', State::Down);
    let refused = "slb_backend_connect_failures_total{backend=\"b\",pool=\"p\",reason=\"refused\"}";
    let before = balancer.metric(refused);
    assert_eq!(balancer.count(10, 'a'), 10);
    assert_eq!(balancer.metric(refused), before, "it is not even tried");
    assert_eq!(balancer.metric("slb_backend_up{backend=\"b\",pool=\"p\"}"), 0);
    let _b = Backend::start_at('b', b.address);
    balancer.wait_for_state('b', State::Up);
    assert_eq!(balancer.count(10, 'b'), 5);
}

#[test]
fn weight_zero_takes_nothing_new_keeps_the_old_and_is_still_checked() {
    let (a, mut b) = (Backend::start('a'), Backend::start('b'));
    let mut config = config(Scheduler::Wrr, &[('a', a.address, 100), ('b', b.address, 0)]);
    eager_checks(&mut config);
    let balancer = Balancer::start(config);
    assert_eq!(balancer.count(10, 'a'), 10);
    balancer.control.set_weight("p", "b", 100).unwrap();
    balancer.control.set_weight("p", "a", 0).unwrap();
    let (name, mut old) = balancer.open();
    assert_eq!(name, 'b');
    balancer.control.set_weight("p", "a", 1).unwrap();
    balancer.control.set_weight("p", "b", 0).unwrap();
    assert_eq!(balancer.count(10, 'a'), 10);
    b.stop();
    balancer.wait_for_state('b', State::Down);
    assert_echoes(&mut old);
}

#[test]
fn a_drained_backend_keeps_its_connections_and_comes_back() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let balancer = Balancer::start(config(Scheduler::Rr, &[('a', a.address, 1), ('b', b.address, 1)]));
    let mut open: Vec<_> = (0..2).map(|_| balancer.open()).collect();
    balancer.control.set_draining("p", "a", true).unwrap();
    assert_eq!(balancer.count(10, 'b'), 10);
    open.iter_mut().for_each(|(_, stream)| assert_echoes(stream));
    balancer.control.set_draining("p", "a", false).unwrap();
    assert_eq!(balancer.count(10, 'b'), 5);
}

#[test]
fn when_the_chosen_backend_is_dead_another_is_tried() {
    let a = Backend::start('a');
    let balancer = Balancer::start(config(
        Scheduler::Rr,
        &[('x', dead_address(), 1), ('y', dead_address(), 1), ('a', a.address, 1)],
    ));
    assert_eq!(balancer.count(12, 'a'), 12);
    assert!(
        balancer.metric("slb_backend_connect_failures_total{backend=\"x\",pool=\"p\",reason=\"refused\"}")
            >= 1
    );
    assert_eq!(balancer.metric("slb_connections_refused_total{listener=\"l\",reason=\"connect\"}"), 0);
}

#[test]
fn without_a_backend_the_client_is_closed_and_the_reason_counted() {
    let balancer = Balancer::start(config(Scheduler::Rr, &[('x', dead_address(), 1)]));
    assert_closed(&mut balancer.connect());
    balancer.wait_for_metric("slb_connections_refused_total{listener=\"l\",reason=\"connect\"}", 1);
    balancer.control.set_weight("p", "x", 0).unwrap();
    assert_closed(&mut balancer.connect());
    balancer.wait_for_metric("slb_connections_refused_total{listener=\"l\",reason=\"no_backend\"}", 1);
}

#[test]
fn a_connection_beyond_the_limit_is_closed_and_its_place_is_free_again_later() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Rr, &[('a', a.address, 1)]);
    config.listeners[0].connections_max = 2;
    let balancer = Balancer::start(config);
    let mut open: Vec<_> = (0..2).map(|_| balancer.open()).collect();
    let mut third = balancer.connect();
    assert_closed(&mut third);
    balancer.wait_for_metric("slb_connections_refused_total{listener=\"l\",reason=\"limit\"}", 1);
    open.pop();
    balancer.wait_for_metric("slb_connections_open{listener=\"l\"}", 1);
    let (_, mut stream) = balancer.open();
    stream.write_all(b"x").unwrap();
    assert_eq!(harness::read(&mut stream, 1), b"x");
}

#[test]
fn what_a_drained_backend_still_has_after_its_time_is_closed_and_counted() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let mut config = config(Scheduler::Rr, &[('a', a.address, 1), ('b', b.address, 1)]);
    config.pools[0].drain_timeout_ms = 20;
    let balancer = Balancer::start(config.clone());
    let mut open: Vec<_> = (0..4).map(|_| balancer.open()).collect();
    balancer.control.set_draining("p", "a", true).unwrap();
    let closed = "slb_connections_ended_total{listener=\"l\",reason=\"closed\"}";
    balancer.wait_for_metric(closed, 2);
    for (name, stream) in &mut open {
        if *name == 'a' { assert_reset(stream) } else { assert_echoes(stream) }
    }
    balancer.control.set_draining("p", "a", false).unwrap();
    assert_eq!(balancer.count(10, 'a'), 5, "it is as before");

    config.pools[0].backends.pop();
    balancer.control.apply(config).unwrap();
    balancer.wait_for_metric(closed, 4);
    open.iter_mut().for_each(|(_, stream)| assert_closed(stream));
    balancer.wait_for_metric("slb_connections_open{listener=\"l\"}", 0);
}

#[test]
fn the_secondary_takes_over_when_the_primary_falls_and_gives_back() {
    let (mut a, b) = (Backend::start('a'), Backend::start('b'));
    let mut config = config(Scheduler::Rr, &[('a', a.address, 1), ('b', b.address, 1)]);
    config.pools[0].backends[1].backup = true;
    config.pools[0].outlier.connect_failures = 0; // Its checks alone say when it is back.
    eager_checks(&mut config);
    let balancer = Balancer::start(config);
    assert_eq!(balancer.count(10, 'a'), 10);
    a.stop();
    assert_eq!(balancer.count(10, 'b'), 10, "from the first refused connect on, not from the first check");
    balancer.wait_for_state('a', State::Down);
    let _a = Backend::start_at('a', a.address);
    balancer.wait_for_state('a', State::Up);
    assert_eq!(balancer.count(10, 'a'), 10);
}

#[test]
fn a_client_comes_back_to_its_backend_whatever_the_scheduler_says() {
    let backends: Vec<_> = ('a'..='c').map(Backend::start).collect();
    let list: Vec<_> = backends.iter().map(|backend| (backend.name, backend.address, 100)).collect();
    let mut config = config(Scheduler::Rr, &list);
    config.pools[0].persistence_ms = 3_600_000;
    let balancer = Balancer::start(config);
    let home = balancer.open().0;
    assert_eq!(balancer.count(20, home), 20);
    balancer.control.set_weight("p", &home.to_string(), 0).unwrap();
    let next = balancer.open().0;
    assert_ne!(next, home);
    assert_eq!(balancer.count(20, next), 20);
}
