//! Servers inside this process, on free ports: so that one command works, and for the demo.

mod balancer;
mod core;
mod feed;
mod gateway;
mod meters;

pub use balancer::Balancer;
pub(crate) use core::PARTITIONS;
pub use core::{BACKUP, COMP_ID, Core, Kind, PRIMARY, SECURITIES, SECURITY_FIRST};
pub use feed::Feed;
pub use gateway::Gateway;
pub use meters::Meters;

use std::net::{Ipv4Addr, SocketAddr};

/// A free port of this machine.
#[must_use]
pub fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
