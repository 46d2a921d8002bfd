use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use service::prometheus::Registry;

use super::*;
use crate::config::BackendConfig;

const CLIENT: Flow = flow(40_000);

/// A connection of one client, from a port of its own.
const fn flow(port: u16) -> Flow {
    let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let listener = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
    Flow { client: SocketAddr::new(client, port), listener: SocketAddr::new(listener, 7000) }
}

fn pool(scheduler: Scheduler, weights: &[u32]) -> Arc<Pool> {
    let backend = |(at, &weight)| BackendConfig {
        weight,
        ..BackendConfig::new(&format!("b{at}"), SocketAddr::from(([127, 0, 0, 1], 1)))
    };
    let config =
        PoolConfig { scheduler, ..PoolConfig::new("p", weights.iter().enumerate().map(backend).collect()) };
    pool_of(&config, "")
}

fn pool_of(config: &PoolConfig, zone: &str) -> Arc<Pool> {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    Arc::new(Pool::new(config, zone, &metrics, &Changes::default()))
}

fn at(pool: &Pool, at: usize) -> Arc<Backend> {
    Arc::clone(&pool.plan().backends[at])
}

fn set_up(pool: &Pool, backend: usize, up: bool) {
    pool.change(|| at(pool, backend).set_up(up));
}

fn set_draining(pool: &Pool, backend: usize, draining: bool) {
    pool.change(|| at(pool, backend).set_draining(draining));
}

fn set_weight(pool: &Pool, backend: usize, weight: u32) {
    pool.change(|| at(pool, backend).set_weight(weight));
}

/// Where the backend of a lease stands.
fn place(pool: &Pool, lease: &Lease) -> usize {
    pool.plan().backends.iter().position(|backend| Arc::ptr_eq(backend, lease.backend())).unwrap()
}

/// Where one more connection goes.
fn next(pool: &Pool, tried: &Tried) -> Option<usize> {
    pool.choose(&CLIENT, tried).map(|lease| place(pool, &lease))
}

/// Opens `count` connections and says where they went.
fn open(pool: &Arc<Pool>, count: usize) -> (Vec<usize>, Vec<Lease>) {
    let leases: Vec<Lease> = (0..count).filter_map(|_| pool.choose(&CLIENT, &Tried::default())).collect();
    let mut counts = vec![0; pool.plan().backends.len()];
    leases.iter().for_each(|lease| counts[place(pool, lease)] += 1);
    (counts, leases)
}

#[test]
fn weighted_turns_follow_weights_and_plain_turns_do_not() {
    assert_eq!(open(&pool(Scheduler::Wrr, &[60, 30, 10]), 100).0, [60, 30, 10]);
    assert_eq!(open(&pool(Scheduler::Rr, &[60, 30, 10]), 99).0, [33, 33, 33]);
}

#[test]
fn least_connections_evens_out_what_is_open() {
    let pool = pool(Scheduler::Wlc, &[100, 50]);
    let (counts, mut leases) = open(&pool, 30);
    assert_eq!(counts, [20, 10]);
    leases.retain(|lease| place(&pool, lease) == 1);
    assert_eq!(open(&pool, 15).0, [15, 0], "the emptied one is filled first");
}

#[test]
fn a_client_keeps_its_backend_while_others_come_and_go() {
    let pool = pool(Scheduler::Source, &[100, 100, 100]);
    let home = next(&pool, &Tried::default()).unwrap();
    set_up(&pool, (home + 1) % 3, false);
    assert!((0..10).all(|_| next(&pool, &Tried::default()).unwrap() == home));
    set_up(&pool, home, false);
    assert_ne!(next(&pool, &Tried::default()).unwrap(), home);
    set_up(&pool, home, true);
    assert_eq!(next(&pool, &Tried::default()).unwrap(), home);
}

#[test]
fn down_drained_or_without_weight_takes_nothing_new() {
    for scheduler in [Scheduler::Wrr, Scheduler::Rr, Scheduler::Wlc, Scheduler::Source] {
        let pool = pool(scheduler, &[100, 100, 100, 1]);
        set_up(&pool, 0, false);
        set_draining(&pool, 1, true);
        set_weight(&pool, 2, 0);
        assert_eq!(open(&pool, 7).0, [0, 0, 0, 7], "{scheduler:?}");
        set_weight(&pool, 3, 0);
        assert!(pool.choose(&CLIENT, &Tried::default()).is_none() && !pool.is_ready());
        set_draining(&pool, 1, false);
        assert!(pool.is_ready());
    }
}

#[test]
fn those_already_tried_are_passed_over() {
    for scheduler in [Scheduler::Wrr, Scheduler::Rr, Scheduler::Wlc, Scheduler::Source] {
        let pool = pool(scheduler, &[100, 1, 1]);
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some(lease) = pool.choose(&CLIENT, &tried) {
            tried.add(lease.backend());
            order.push(place(&pool, &lease));
        }
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2], "{scheduler:?}");
    }
}

#[test]
fn leases_count_what_is_open() {
    let pool = pool(Scheduler::Rr, &[1]);
    let (_, leases) = open(&pool, 3);
    assert_eq!(at(&pool, 0).open(), 3);
    drop(leases);
    assert_eq!(at(&pool, 0).open(), 0);
    assert_eq!(at(&pool, 0).metrics.open.get(), 0);
}

#[test]
fn connections_of_one_client_are_spread_by_the_four_tuple_and_stay_where_they_were() {
    let pool = pool(Scheduler::Tuple, &[100, 100, 100]);
    let homes = |pool: &Pool| -> Vec<usize> {
        let home = |port| place(pool, &pool.choose(&flow(port), &Tried::default()).unwrap());
        (1..=3_000).map(home).collect()
    };
    let before = homes(&pool);
    for backend in 0..3 {
        let count = before.iter().filter(|&&home| home == backend).count();
        assert!((850..1_150).contains(&count), "{count}");
    }
    set_up(&pool, 2, false);
    let after = homes(&pool);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 2));
}

#[test]
fn a_client_stays_with_its_backend_until_that_takes_nothing_more() {
    let mut config =
        PoolConfig { persistence_ms: 60_000, ..(*pool(Scheduler::Rr, &[1, 1, 1]).plan().config).clone() };
    let pool = pool_of(&config, "");
    let come = || {
        let lease = pool.choose(&CLIENT, &Tried::default()).unwrap();
        pool.reached(&CLIENT, lease.backend());
        place(&pool, &lease)
    };
    let home = come();
    assert!((0..10).all(|_| come() == home));
    set_draining(&pool, home, true);
    let next = come();
    assert_ne!(next, home);
    set_draining(&pool, home, false);
    assert!((0..10).all(|_| come() == next), "it stays where it went");
    config.persistence_ms = 0;
    pool.configure(&config, "");
    assert!((0..3).any(|_| come() != next));
}

#[test]
fn who_comes_back_takes_no_ones_turn() {
    let config =
        PoolConfig { persistence_ms: 60_000, ..(*pool(Scheduler::Rr, &[1, 1]).plan().config).clone() };
    let pool = pool_of(&config, "");
    let come = |flow: &Flow| {
        let lease = pool.choose(flow, &Tried::default()).unwrap();
        pool.reached(flow, lease.backend());
        place(&pool, &lease)
    };
    let home = come(&CLIENT);
    let mut counts = [0, 0];
    for number in 1..=10 {
        assert_eq!(come(&CLIENT), home);
        counts[come(&Flow { client: SocketAddr::from(([10, 0, 1, number], 40_000)), ..CLIENT })] += 1;
    }
    assert_eq!(counts, [5, 5], "a new one after each that came back");
}

#[test]
fn backups_take_connections_only_while_no_primary_does() {
    let mut config = (*pool(Scheduler::Wlc, &[100, 100, 1]).plan().config).clone();
    config.backends[0].backup = true;
    config.backends[2].backup = true;
    let pool = pool_of(&config, "");
    assert_eq!(open(&pool, 5).0, [0, 5, 0]);
    let mut tried = Tried::default();
    tried.add(&at(&pool, 1));
    assert_ne!(next(&pool, &tried).unwrap(), 1, "they are tried when the primary refuses");
    set_up(&pool, 1, false);
    let (counts, _leases) = open(&pool, 101);
    assert_eq!(counts, [100, 0, 1], "among them the scheduler decides");
    set_up(&pool, 1, true);
    assert_eq!(open(&pool, 5).0, [0, 5, 0]);
}

#[test]
fn however_many_primaries_are_dead_the_backups_get_their_attempts() {
    for scheduler in [Scheduler::Wrr, Scheduler::Rr, Scheduler::Wlc, Scheduler::Source, Scheduler::Tuple] {
        let mut config = (*pool(scheduler, &[100, 100, 50, 1, 1]).plan().config).clone();
        config.backends[4].backup = true;
        config.connect.attempts = 2;
        let pool = pool_of(&config, "");
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some(lease) = pool.choose(&CLIENT, &tried) {
            tried.add(lease.backend());
            order.push(place(&pool, &lease));
        }
        assert!(matches!(order[..], [a, b, 4] if a != b && a < 4 && b < 4), "{scheduler:?}: {order:?}");
    }
}

#[test]
fn who_was_tried_is_known_by_who_it_is_when_the_pool_has_changed_meanwhile() {
    let mut config = (*pool(Scheduler::Rr, &[1, 1]).plan().config).clone();
    let pool = pool_of(&config, "");
    let mut tried = Tried::default();
    tried.add(&at(&pool, 0));
    config.backends.swap(0, 1);
    pool.configure(&config, "");
    assert_eq!(next(&pool, &tried), Some(0), "the other one stands there now");
    tried.add(&at(&pool, 0));
    config.backends = vec![BackendConfig::new("new", SocketAddr::from(([127, 0, 0, 1], 2)))];
    pool.configure(&config, "");
    assert_eq!(next(&pool, &tried), Some(0));
}

#[test]
fn the_own_zone_is_preferred_or_alone_as_the_pool_says() {
    let mut config = (*pool(Scheduler::Rr, &[1, 1, 1]).plan().config).clone();
    for (backend, zone) in config.backends.iter_mut().zip(["a", "b", ""]) {
        backend.zone = zone.to_owned();
    }
    let counts = |config: &PoolConfig, zone: &str| {
        let pool = pool_of(config, zone);
        let with_all = open(&pool, 6).0;
        set_up(&pool, 0, false);
        set_up(&pool, 2, false);
        (with_all, open(&pool, 6).0)
    };
    assert_eq!(counts(&config, "a"), (vec![2, 2, 2], vec![0, 6, 0]), "zones do not count");
    config.zones = Zones::Prefer;
    assert_eq!(
        counts(&config, "a"),
        (vec![3, 0, 3], vec![0, 6, 0]),
        "the other zone only when the own has none"
    );
    assert_eq!(
        counts(&config, ""),
        (vec![2, 2, 2], vec![0, 6, 0]),
        "a balancer without a zone stands in each"
    );
    config.zones = Zones::Only;
    assert_eq!(counts(&config, "a"), (vec![3, 0, 3], vec![0, 0, 0]), "never the other");
}

#[test]
fn who_refuses_too_often_in_a_row_is_left_out_but_never_too_many() {
    let mut config = (*pool(Scheduler::Rr, &[1, 1, 1, 1]).plan().config).clone();
    config.outlier.connect_failures = 3;
    let pool = pool_of(&config, "");
    let fail =
        |backend: usize, times: usize| (0..times).for_each(|_| pool.connect_failed(&at(&pool, backend)));
    fail(0, 2);
    at(&pool, 0).connect_was_good();
    fail(0, 2);
    assert!(!at(&pool, 0).is_ejected(), "not in a row");
    fail(0, 1);
    fail(1, 3);
    fail(2, 9);
    assert_eq!(open(&pool, 4).0, [0, 0, 2, 2], "half of the pool is left out, and no more");
    assert_eq!(at(&pool, 0).metrics.ejections.get(), 1);
    pool.change(|| at(&pool, 0).set_ejected(false));
    assert_eq!(open(&pool, 3).0, [1, 0, 1, 1]);
    config.outlier.connect_failures = 0;
    pool.configure(&config, "");
    fail(3, 100);
    assert!(!at(&pool, 3).is_ejected());
}

#[test]
fn who_resets_without_an_answer_too_often_in_a_row_is_left_out() {
    let mut config = (*pool(Scheduler::Rr, &[1, 1]).plan().config).clone();
    config.outlier.unanswered_resets = 3;
    let pool = pool_of(&config, "");
    let reset = |times: usize| (0..times).for_each(|_| pool.reset_unanswered(&at(&pool, 0)));
    reset(2);
    at(&pool, 0).answered();
    reset(2);
    at(&pool, 0).connect_was_good();
    assert!(!at(&pool, 0).is_ejected(), "not in a row");
    reset(1);
    assert!(at(&pool, 0).is_ejected());
    config.outlier.unanswered_resets = 0;
    pool.configure(&config, "");
    pool.change(|| at(&pool, 0).set_ejected(false));
    reset(100);
    assert!(!at(&pool, 0).is_ejected());
}
