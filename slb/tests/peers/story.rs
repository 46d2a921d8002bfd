//! What an operator does to three servers while their clients are at work, and what the clients must not notice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, NAMES};
use crate::load::{Generator, Load, Run};
use crate::program::wait_for;

/// A server behind the balancer.
pub(crate) trait Behind {
    fn address(&self) -> SocketAddr;

    /// Ends it without a word to its clients.
    fn kill(&mut self);

    /// Starts it again where it was; returns when it serves.
    fn revive(&mut self);
}

/// Connections over which a distribution is taken, at least.
const CONNECTIONS_MIN: u64 = 300;
/// How far the share of a server may be from its weight's.
const SHARE_ERROR_MAX: f64 = 0.02;

/// How long all of it takes, at least: `SLB_PEERS_SECONDS`, 8 without it.
fn length() -> Duration {
    let text = std::env::var("SLB_PEERS_SECONDS");
    Duration::from_secs(text.map_or(8, |text| text.parse().expect("SLB_PEERS_SECONDS is a number")))
}

/// Nobody but who is connected to the server that is killed, when it is killed, sees an error; and all the time new
/// connections are shared by weight.
pub(crate) fn story<S: Behind>(balancer: &Balancer, mut servers: Vec<S>, generator: Generator) {
    let part = Part { balancer, length: length() / 6 };
    let load = Load::start(generator);

    part.is_shared("all alike", &load, [100, 100, 100]);

    balancer.reweight("a", 50);
    part.is_shared("a has half the weight", &load, [50, 100, 100]);

    balancer.drain("b", true);
    part.is_shared("b is drained", &load, [50, 0, 100]);
    balancer.drain("b", false);

    let killed = Instant::now();
    servers[2].kill();
    balancer.wait_for_state("c", "down");
    let noticed = Instant::now();
    part.is_shared("c is dead", &load, [50, 100, 0]);

    // That a port is open does not say that what is behind it serves already.
    balancer.drain("c", true);
    servers[2].revive();
    balancer.drain("c", false);
    balancer.wait_for_state("c", "up");
    balancer.reweight("a", 100);
    balancer.reweight("c", 25);
    part.is_shared("c is back, with less weight", &load, [100, 100, 25]);

    balancer.reweight("b", 0);
    part.is_shared("b has no weight", &load, [100, 0, 25]);

    let runs = load.stop();
    let at_the_kill = |run: &Run| run.started <= noticed && run.ended >= killed;
    let failed: Vec<_> = runs.iter().filter(|run| run.error.is_some() && !at_the_kill(run)).collect();
    assert!(failed.is_empty(), "{} of {} runs: {:#?}", failed.len(), runs.len(), failed.first());
    for reason in ["no_backend", "connect", "limit"] {
        let refused = format!("slb_connections_refused_total{{listener=\"l\",reason=\"{reason}\"}}");
        assert_eq!(balancer.metric(&refused), 0, "{reason}");
    }
}

/// A part of the story.
struct Part<'a> {
    balancer: &'a Balancer,
    length: Duration,
}

impl Part<'_> {
    /// Waits for as long as it lasts, for connections enough, and for a run from its start to its end; their shares are
    /// those of the weights.
    fn is_shared(&self, what: &str, load: &Load, weights: [u32; 3]) {
        let (began, runs, before) = (Instant::now(), load.runs(), self.balancer.connections());
        let since = || {
            let now = self.balancer.connections();
            NAMES.map(|name| now[name] - before[name])
        };
        wait_for(what, || {
            began.elapsed() >= self.length
                && load.runs() >= runs + 2
                && since().iter().sum::<u64>() >= CONNECTIONS_MIN
        });
        let came = since();
        let (all, whole) = (came.iter().sum::<u64>() as f64, f64::from(weights.iter().sum::<u32>()));
        for ((name, came), weight) in NAMES.iter().zip(came).zip(weights) {
            let (share, wanted) = (came as f64 / all, f64::from(weight) / whole);
            let good = (share - wanted).abs() <= SHARE_ERROR_MAX;
            assert!(good, "{what}: {name} has {share:.3} of {all} connections instead of {wanted:.3}");
        }
        eprintln!("{what}: {came:?} of {all}");
    }
}
