//! Dialling.

use crate::causes;
use crate::options::SocketOptions;
use crate::stream::Stream;
use crate::{quic, tls};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How connections are made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    options: SocketOptions,
    over: Over,
}

#[derive(Clone, Debug)]
enum Over {
    Tcp,
    Tls(Arc<tls::Client>),
    Quic(Arc<tls::Client>),
}

impl Connector {
    /// Plain TCP.
    pub fn tcp(options: SocketOptions) -> Self {
        Self { options, over: Over::Tcp }
    }

    /// TLS over TCP.
    pub fn tls(options: SocketOptions, client: Arc<tls::Client>) -> Self {
        Self { options, over: Over::Tls(client) }
    }

    /// QUIC.
    pub fn quic(client: Arc<tls::Client>) -> Self {
        Self { options: SocketOptions::default(), over: Over::Quic(client) }
    }

    /// Connects, handshake and all; handshakes are not done on the calling thread.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at the deadline, or what the system or TLS says; the address is in the text.
    pub async fn dial(&self, address: SocketAddr, timeout: Duration) -> io::Result<Stream> {
        // The text has all of the chain: whoever prints one error needs no other.
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot connect to {address}: {}", causes(&error)))
        };
        match tokio::time::timeout(timeout, self.connect(address)).await {
            Ok(connected) => connected.map_err(named),
            Err(_) => {
                let text = format!("cannot connect to {address}: no answer in {} ms", timeout.as_millis());
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        #[cfg(feature = "sim")]
        if crate::simulated() {
            return turmoil::net::TcpStream::connect(address).await.map(Stream::Sim);
        }
        match &self.over {
            Over::Tcp => self.options.connect(address).await.map(Stream::Tcp),
            Over::Tls(client) => {
                client.connect(address, self.options).await.map(|stream| Stream::Tls(Box::new(stream)))
            }
            Over::Quic(client) => Ok(Stream::Quic(Box::new(quic::connect(address, client).await?))),
        }
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::tcp(SocketOptions::default())
    }
}
