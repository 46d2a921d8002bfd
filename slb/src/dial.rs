//! A connection to a backend, begun with what its pool wants said of the client.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use transport::proxy_protocol::{LOCAL, encode};
use transport::{Connector, Stream};

use crate::config::{PoolConfig, SendProxy};

/// What a backend is told ahead of the first byte of a client that came to `own`.
pub(crate) fn of_client(pool: &PoolConfig, client: SocketAddr, own: SocketAddr) -> Vec<u8> {
    match pool.send_proxy {
        Some(SendProxy::V2) => encode(client, own),
        None => Vec::new(),
    }
}

/// What it is told of a connection that is the balancer's own: a health check.
pub(crate) fn of_ourselves(pool: &PoolConfig) -> &'static [u8] {
    match pool.send_proxy {
        Some(SendProxy::V2) => &LOCAL,
        None => &[],
    }
}

/// Connects, and says this first: it is less than what a socket that sent nothing yet takes at once.
pub(crate) async fn dial(
    connector: Connector,
    address: SocketAddr,
    timeout: Duration,
    first: &[u8],
) -> io::Result<Stream> {
    let mut stream = connector.dial(address, timeout).await?;
    stream.write_all(first).await?;
    Ok(stream)
}
