use service::prometheus::Registry;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn pool(scheduler: Scheduler, weights: &[u32]) -> Arc<Pool> {
    let backend = |(at, &weight)| BackendConfig {
        name: format!("b{at}"),
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        weight,
    };
    let config = PoolConfig {
        name: "p".to_owned(),
        scheduler,
        health: HealthConfig::default(),
        connect: ConnectConfig::default(),
        backends: weights.iter().enumerate().map(backend).collect(),
    };
    Arc::new(Pool::new(&config, &Metrics::register(&Registry::new()).unwrap()))
}

/// Opens `count` connections and says where they went.
fn open(pool: &Arc<Pool>, count: usize) -> (Vec<usize>, Vec<Lease>) {
    let leases: Vec<Lease> = (0..count).filter_map(|_| pool.choose(CLIENT, &Tried::default())).collect();
    let mut counts = vec![0; pool.backends().len()];
    leases.iter().for_each(|lease| counts[lease.at()] += 1);
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
    leases.retain(|lease| lease.at() == 1);
    assert_eq!(open(&pool, 15).0, [15, 0], "the emptied one is filled first");
}

#[test]
fn a_client_keeps_its_backend_while_others_come_and_go() {
    let pool = pool(Scheduler::Source, &[100, 100, 100]);
    let home = pool.choose(CLIENT, &Tried::default()).unwrap().at();
    pool.set_up((home + 1) % 3, false);
    assert!((0..10).all(|_| pool.choose(CLIENT, &Tried::default()).unwrap().at() == home));
    pool.set_up(home, false);
    assert_ne!(pool.choose(CLIENT, &Tried::default()).unwrap().at(), home);
    pool.set_up(home, true);
    assert_eq!(pool.choose(CLIENT, &Tried::default()).unwrap().at(), home);
}

#[test]
fn down_drained_or_without_weight_takes_nothing_new() {
    for scheduler in [Scheduler::Wrr, Scheduler::Rr, Scheduler::Wlc, Scheduler::Source] {
        let pool = pool(scheduler, &[100, 100, 100, 1]);
        pool.set_up(0, false);
        pool.set_draining(1, true);
        pool.set_weight(2, 0);
        assert_eq!(open(&pool, 7).0, [0, 0, 0, 7], "{scheduler:?}");
        pool.set_weight(3, 0);
        assert!(pool.choose(CLIENT, &Tried::default()).is_none() && !pool.is_ready());
        pool.set_draining(1, false);
        assert!(pool.is_ready());
    }
}

#[test]
fn those_already_tried_are_passed_over() {
    for scheduler in [Scheduler::Wrr, Scheduler::Rr, Scheduler::Wlc, Scheduler::Source] {
        let pool = pool(scheduler, &[100, 1, 1]);
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some(lease) = pool.choose(CLIENT, &tried) {
            tried.add(lease.at());
            order.push(lease.at());
        }
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2], "{scheduler:?}");
    }
}

#[test]
fn leases_count_what_is_open() {
    let pool = pool(Scheduler::Rr, &[1]);
    let (_, leases) = open(&pool, 3);
    assert_eq!(pool.backends()[0].open(), 3);
    drop(leases);
    assert_eq!(pool.backends()[0].open(), 0);
    assert_eq!(pool.backends()[0].metrics.open.get(), 0);
}
