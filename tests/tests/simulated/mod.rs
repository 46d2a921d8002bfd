//! Markets on a simulated network. This one: a primary and a backup source, a feed, and a subscriber that takes everything.

mod desk;
mod joiner;
mod source;
mod subscriber;

pub(crate) use desk::OrderDesk;
pub(crate) use joiner::Joined;
pub(crate) use subscriber::Seen;

use feed::config::{Config, FromName, Source};
use service::Host;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

const PORT: u16 = 9_000;

/// A market that lives in simulated time.
pub(crate) struct Market {
    sim: turmoil::Sim<'static>,
    seen: Rc<RefCell<Seen>>,
    feed: Host,
    joined: Vec<Rc<RefCell<Joined>>>,
}

impl Market {
    /// Everybody is connected to everybody; nothing has happened yet.
    pub(crate) fn new(seed: u64) -> Self {
        let mut sim = network(seed);
        let (seen, feed) = (Rc::<RefCell<Seen>>::default(), Host::default());
        sim.host("primary", || source::publish(anywhere()));
        sim.host("backup", || source::publish(anywhere()));
        let host = feed.clone();
        sim.host("feed", move || run_feed(host.clone()));
        let of_subscriber = seen.clone();
        sim.host("subscriber", move || subscriber::subscribe(of_subscriber.clone()));
        Self { sim, seen, feed, joined: Vec::new() }
    }

    /// Lets simulated time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        step_for(&mut self.sim, time);
    }

    /// What one sends does not reach the other any more.
    pub(crate) fn cut(&mut self, from: &str, to: &str) {
        self.sim.partition_oneway(from, to);
    }

    /// It does again.
    pub(crate) fn heal(&mut self, from: &str, to: &str) {
        self.sim.repair_oneway(from, to);
    }

    /// One more subscriber comes, from now on.
    pub(crate) fn join(&mut self) {
        let joined = Rc::<RefCell<Joined>>::default();
        self.joined.push(joined.clone());
        let name = format!("joiner-{}", self.joined.len());
        self.sim.host(name, move || joiner::join(joined.clone()));
    }

    /// What those who joined have seen so far.
    pub(crate) fn joined(&self) -> Vec<Joined> {
        self.joined.iter().map(|joined| joined.borrow().clone()).collect()
    }

    /// What the subscriber has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// How many sources the feed is logged on to, as its metrics say.
    pub(crate) fn sources_up(&self) -> usize {
        let families = self.feed.registry.gather();
        let up =
            families.iter().find(|family| family.name().ends_with("source_up")).expect("the metric is there");
        up.get_metric().iter().filter(|metric| metric.get_gauge().get_value() == 1.0).count()
    }
}

/// One on which nothing is wrong yet.
fn network(seed: u64) -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(Duration::from_micros(100))
        .max_message_latency(Duration::from_millis(3))
        .build()
}

fn step_for(sim: &mut turmoil::Sim<'static>, time: Duration) {
    let until = sim.elapsed() + time;
    while sim.elapsed() < until {
        sim.step().expect("no host failed");
    }
}

fn lookup(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(turmoil::lookup(host), port)
}

fn anywhere() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)
}

fn of(host: &str) -> SocketAddr {
    lookup(host, PORT)
}

async fn run_feed(host: Host) -> turmoil::Result {
    let mut config = Config::default();
    config.listen.address = anywhere();
    config.arbitration.from = FromName::Open;
    config.sources = vec![source_at("primary"), source_at("backup")];
    feed::Server::bind(config, &host)?.run().await?;
    Ok(())
}

fn source_at(name: &str) -> Source {
    Source { heartbeat_s: 1, ..Source::new(name, of(name)) }
}
