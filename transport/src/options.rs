//! Socket options, as a configuration names them.

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Options of a TCP socket. Zero leaves a size or a time to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SocketOptions {
    /// Send small writes at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Send buffer, bytes (SO_SNDBUF): what the kernel holds for a slow reader.
    pub send_buffer_bytes: usize,
    /// Receive buffer, bytes (SO_RCVBUF).
    pub receive_buffer_bytes: usize,
    /// Idle time before the kernel probes the peer, seconds (SO_KEEPALIVE).
    pub keepalive_s: u32,
    /// How long sent bytes may stay unacknowledged before the connection is dead, milliseconds (TCP_USER_TIMEOUT).
    pub user_timeout_ms: u32,
    /// Connections that wait to be accepted, at most (listen backlog).
    pub backlog: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            send_buffer_bytes: 0,
            receive_buffer_bytes: 0,
            keepalive_s: 60,
            user_timeout_ms: 30_000,
            backlog: 4096,
        }
    }
}

impl SocketOptions {
    /// Sets what concerns an open connection.
    pub(crate) fn apply(&self, socket: SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if self.keepalive_s > 0 {
            let idle = Duration::from_secs(u64::from(self.keepalive_s));
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
        }
        // Zero is said too: a listening socket that was taken over may have another one.
        let user_timeout = Duration::from_millis(u64::from(self.user_timeout_ms));
        socket.set_tcp_user_timeout((!user_timeout.is_zero()).then_some(user_timeout))?;
        self.apply_buffers(&socket)
    }

    fn apply_buffers(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if self.send_buffer_bytes > 0 {
            socket.set_send_buffer_size(self.send_buffer_bytes)?;
        }
        if self.receive_buffer_bytes > 0 {
            socket.set_recv_buffer_size(self.receive_buffer_bytes)?;
        }
        Ok(())
    }

    /// Binds an address without sharing it, and lets it go again without ever having listened.
    pub(crate) fn bind_alone(address: SocketAddr) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Connections of an earlier server may still be closing; a socket that listens is refused all the same.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    }

    /// A listening socket that shares its port with those of other threads (SO_REUSEPORT).
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        // Accepted connections inherit the options, which saves setting them on each; buffer sizes must be set before
        // the window is negotiated anyway.
        self.apply(SockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    }

    /// A connection over TCP.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        self.apply_buffers(&SockRef::from(&socket))?;
        let stream = socket.connect(address).await?;
        self.apply((&stream).into())?;
        Ok(stream)
    }
}
