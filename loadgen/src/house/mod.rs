//! Servers inside this process, on free ports: so that one command works, and for the demo.

mod feed;

pub use feed::Feed;

use std::net::{Ipv4Addr, SocketAddr};

/// A free port of this machine.
#[must_use]
pub fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
