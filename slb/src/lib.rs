//! A layer-4 load balancer: one address in front of many servers.
//!
//! It knows connections, not what is said on them: no frame, no session, no TLS. Each worker thread
//! has a listening socket of its own on every address (SO_REUSEPORT) and keeps a connection from
//! accept to close; the threads share only atomics (who is up, weights, open connections) and
//! snapshots that are replaced whole: of the configuration, and of the order of turns.
//!
//! Start at [`Server::bind`]; then `live` (the configuration in force, and its change), `worker`
//! (accepting), `connection` (one client's connection from choice of backend to close), `proxy` (the
//! bytes: the hot loop), `quic` (the same for datagrams), `schedule` and `pool` (who is next), `health` (who is up), [`Control`] (what an
//! operator sees and changes).

mod access;
mod backend;
mod capped;
mod check;
mod config;
mod connection;
mod control;
mod dial;
mod handover;
mod health;
mod limit;
mod live;
mod metrics;
mod persistence;
mod pool;
mod port;
mod proxy;
mod quic;
mod routes;
pub mod schedule;
mod server;
mod states;
mod traces;
mod udp;
mod worker;

pub use config::{
    BackendConfig, Bytes, Check, Config, ConnectConfig, HealthConfig, ListenerConfig, OutlierConfig,
    PoolConfig, Protocol, QuicConfig, SendProxy, SocketConfig,
};
pub use control::{BackendView, Control, ControlError, PoolView, ReloadError, State};
pub use handover::{Offer, Takeover};
pub use live::{Applied, ApplyError};
pub use metrics::Metrics;
pub use schedule::{Scheduler, Zones};
pub use server::{BindError, Server};
