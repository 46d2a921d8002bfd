//! A layer-4 load balancer: one address in front of many servers.
//!
//! It knows connections, not what is said on them: no frame, no session, no TLS. Each worker thread
//! has a listening socket of its own on every address (SO_REUSEPORT) and keeps a connection from
//! accept to close; the threads share only atomics (who is up, weights, open connections) and an
//! order of turns that is replaced whole when those change.
//!
//! Start at [`Server::bind`]; then `worker` (accepting), `connection` (one client's connection from
//! choice of backend to close), `proxy` (the bytes: the hot loop), `schedule` and `pool` (who is
//! next), `health` (who is up), [`Control`] (what an operator sees and changes).

mod config;
mod connection;
mod control;
mod health;
mod metrics;
mod pool;
mod proxy;
mod schedule;
mod server;
mod worker;

pub use config::{BackendConfig, Config, ConnectConfig, HealthConfig, ListenerConfig, PoolConfig};
pub use control::{BackendView, Control, ControlError, PoolView, State};
pub use metrics::Metrics;
pub use schedule::Scheduler;
pub use server::{BindError, Server};
