//! The configuration changes while connections go on.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::net::{SocketAddr, TcpListener, TcpStream};

use harness::{Backend, Balancer, GUARD, assert_echoes, config, eager_checks, read, wait_for};
use slb::{ApplyError, BackendConfig, Config, ListenerConfig, PoolConfig, Scheduler, State};

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The name of the backend that a connection to a listener comes to.
fn ask(balancer: &Balancer, listener: &str) -> (char, TcpStream) {
    let mut stream = TcpStream::connect(balancer.control.address(listener).unwrap()).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    (char::from(read(&mut stream, 1)[0]), stream)
}

fn state(balancer: &Balancer, backend: &str) -> State {
    balancer.control.backend("p", backend).unwrap().state
}

#[test]
fn listeners_pools_and_backends_come_and_go_and_no_connection_notices() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let first = config(Scheduler::Rr, &[('a', a.address, 100)]);
    let balancer = Balancer::start(first.clone());
    let mut open = vec![balancer.open().1];

    let mut more: Config = first.clone();
    more.pools.push(PoolConfig::new("q", vec![BackendConfig::new("b", b.address)]));
    more.listeners.push(ListenerConfig::new("m", any_port(), "q"));
    let applied = balancer.control.apply(more.clone()).unwrap();
    assert_eq!((applied.opened, applied.closed), (vec!["m".to_owned()], vec![]));
    let (name, stream) = ask(&balancer, "m");
    assert_eq!(name, 'b');
    open.push(stream);

    more.pools[0].backends = more.pools[1].backends.clone();
    balancer.control.apply(more.clone()).unwrap();
    assert_eq!(balancer.open().0, 'b', "the old listener has the new backends");
    balancer.wait_for_metric("slb_connections_open{listener=\"l\"}", 1);
    open.iter_mut().for_each(assert_echoes);

    more.listeners[1].pool = "p".to_owned();
    more.pools[0].backends = first.pools[0].backends.clone();
    more.pools.pop();
    balancer.control.apply(more.clone()).unwrap();
    assert_eq!(ask(&balancer, "m").0, 'a', "the listener that stays has another pool");

    more.listeners.remove(0);
    assert_eq!(balancer.control.apply(more).unwrap().closed, ["l"]);
    wait_for(|| TcpStream::connect(balancer.address).is_err());
    assert!(balancer.control.address("l").is_none());
    open.iter_mut().for_each(assert_echoes);
    let text = service::metrics::text(&balancer.host.registry);
    assert!(!text.contains("listener=\"l\"") && !text.contains("pool=\"q\""), "{text}");
}

#[test]
fn what_cannot_be_taken_over_changes_nothing() {
    let a = Backend::start('a');
    let good = config(Scheduler::Rr, &[('a', a.address, 100)]);
    let balancer = Balancer::start(good.clone());
    let (_, mut open) = balancer.open();
    let before = balancer.control.config();

    let taken = TcpListener::bind(any_port()).unwrap();
    let mut bad = good.clone();
    bad.pools[0].backends[0].weight = 1;
    bad.listeners.push(ListenerConfig::new("m", any_port(), "p"));
    bad.listeners.push(ListenerConfig::new("n", taken.local_addr().unwrap(), "p"));
    assert!(matches!(balancer.control.apply(bad), Err(ApplyError::Listen(_))));
    let mut senseless = good;
    senseless.listeners[0].pool = "q".to_owned();
    assert!(matches!(balancer.control.apply(senseless), Err(ApplyError::Config { .. })));

    assert_eq!(balancer.control.config(), before);
    assert_eq!(balancer.control.backend("p", "a").unwrap().weight, 100);
    assert!(balancer.control.address("m").is_none());
    assert_eq!(balancer.metric("slb_reloads_total{result=\"refused\"}"), 2);
    assert_echoes(&mut open);
    assert_eq!(balancer.open().0, 'a');
}

#[test]
fn a_backend_that_stays_keeps_its_health_its_drain_and_its_connections() {
    let (a, mut b, c) = (Backend::start('a'), Backend::start('b'), Backend::start('c'));
    let list = [('a', a.address, 100), ('b', b.address, 100)];
    let mut config = config(Scheduler::Wlc, &list);
    eager_checks(&mut config);
    let balancer = Balancer::start(config.clone());
    let open: Vec<_> = (0..4).map(|_| balancer.open()).collect();
    balancer.control.set_draining("p", "a", true).unwrap();
    b.stop();
    balancer.wait_for_state('b', State::Down);

    config.pools[0].scheduler = Scheduler::Rr;
    config.pools[0].health.interval_ms = 3_600_000;
    config.pools[0].backends.insert(0, BackendConfig::new("c", c.address));
    balancer.control.apply(config.clone()).unwrap();
    assert_eq!((state(&balancer, "a"), state(&balancer, "b")), (State::Draining, State::Down));
    assert_eq!(balancer.control.backend("p", "a").unwrap().connections, 2);
    assert_eq!(balancer.count(6, 'c'), 6);

    // Of the same name at another address it is another backend, of which nothing is known.
    config.pools[0].backends[1].address = c.address;
    balancer.control.apply(config).unwrap();
    assert_eq!(state(&balancer, "a"), State::Up);
    drop(open);
    balancer.wait_for_metric("slb_backend_connections_open{backend=\"a\",pool=\"p\"}", 0);
}

#[test]
fn a_listener_of_another_name_at_the_same_address_takes_the_sockets_over() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Rr, &[('a', a.address, 100)]);
    let balancer = Balancer::start(config.clone());
    let (_, mut open) = balancer.open();
    config.listeners[0].listen = balancer.address;
    for name in ["renamed", "again", "l"] {
        config.listeners[0].name = name.to_owned();
        assert_eq!(balancer.control.apply(config.clone()).unwrap().opened, [name]);
        assert_eq!(balancer.count(20, 'a'), 20, "nobody is refused");
    }
    assert_echoes(&mut open);
}

#[test]
fn checks_start_and_change_with_the_configuration() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Rr, &[('a', a.address, 100)]);
    let balancer = Balancer::start(config.clone());
    config.pools[0].backends.push(BackendConfig::new("x", harness::dead_address()));
    balancer.control.apply(config.clone()).unwrap();
    eager_checks(&mut config);
    balancer.control.apply(config).unwrap();
    balancer.wait_for_state('x', State::Down);
    assert_eq!(state(&balancer, "a"), State::Up);
}
