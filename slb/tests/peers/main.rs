//! slb among programs of others, as Debian has them (`.ci/peers` installs them): in front of redis-server, nginx and
//! PostgreSQL, with their own load generators running through it.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.
#![allow(clippy::disallowed_methods)] // Deadlines, and when something happened.

mod balancer;
mod haproxy;
mod load;
mod nginx;
mod postgres;
mod program;
mod proxy_protocol;
mod redis;
mod story;

use balancer::Balancer;
use story::story;

#[test]
fn redis_behind_it_is_drained_killed_revived_and_reweighted() {
    if program::missing(&["redis-server", "redis-benchmark"]) {
        return;
    }
    let servers: Vec<_> = (0..3).map(|_| redis::Redis::start()).collect();
    let balancer = Balancer::start(&servers);
    story(&balancer, servers, redis::benchmark(balancer.address));
}

#[test]
fn nginx_behind_it_is_drained_killed_revived_and_reweighted() {
    if program::missing(&["nginx", "wrk"]) {
        return;
    }
    let folder = program::folder();
    let servers: Vec<_> = (0..3).map(|at| nginx::Nginx::start(&folder.path().join(at.to_string()))).collect();
    let balancer = Balancer::start(&servers);
    story(&balancer, servers, nginx::wrk(balancer.address));
}

#[test]
fn postgresql_behind_it_is_drained_killed_revived_and_reweighted() {
    let Some(programs) = postgres::Programs::find() else { return };
    let folder = program::folder();
    let servers: Vec<_> = postgres::Postgres::start(&programs, folder.path(), 3);
    let balancer = Balancer::start(&servers);
    story(&balancer, servers, programs.pgbench(balancer.address));
}
