//! Listening.

use crate::options::SocketOptions;
use crate::proxy_protocol::{Door, Headers};
use crate::quic::{self, Farewell};
use crate::stream::Stream;
use crate::tls::{self, Handed};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A bound address, not yet accepting: it can be sent to the thread that will.
#[derive(Debug)]
pub struct Listener {
    bound: Bound,
    tls: Option<Arc<tls::Server>>,
    headers: Option<Arc<Headers>>,
}

#[derive(Debug)]
enum Bound {
    Os(std::net::TcpListener),
    Quic(std::net::UdpSocket, Arc<tls::Server>),
    #[cfg(feature = "sim")]
    Sim(SocketAddr),
}

impl Listener {
    /// Whether nobody listens on an address yet. [`Listener::bind`] shares a port with whoever of the same user has
    /// bound it for sharing too, so two servers by mistake on one port would each get a part of the connections: ask
    /// before. Port 0 is always free.
    ///
    /// # Errors
    /// What the system says, with the address: most often [`io::ErrorKind::AddrInUse`].
    pub fn ensure_unused(address: SocketAddr) -> io::Result<()> {
        if crate::simulated() || address.port() == 0 {
            return Ok(());
        }
        SocketOptions::bind_alone(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
    }

    /// Binds; port 0 takes a free one. Several listeners may be bound to one address, one for each thread: the
    /// kernel spreads connections over them.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if crate::simulated() {
            return Ok(Self { bound: Bound::Sim(address), tls: None, headers: None });
        }
        let bound = options
            .listen(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        Ok(Self { bound: Bound::Os(bound), tls: None, headers: None })
    }

    /// Takes over a socket that listens already: from another process, or from a listener that is given up. Nobody who
    /// waits in its queue notices.
    ///
    /// # Errors
    /// What the system says.
    pub fn adopt(socket: std::net::TcpListener, options: SocketOptions) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        options.apply((&socket).into())?;
        Ok(Self { bound: Bound::Os(socket), tls: None, headers: None })
    }

    /// The listening socket once more, to be handed to another process or listener: it listens until both are closed.
    /// `None` where there is none: over QUIC, and in a simulation.
    ///
    /// # Errors
    /// What the system says.
    pub fn share(&self) -> io::Result<Option<std::net::TcpListener>> {
        match &self.bound {
            Bound::Os(socket) => socket.try_clone().map(Some),
            _ => Ok(None),
        }
    }

    /// Binds for QUIC, as [`Listener::bind`] does for TCP. A connection arrives with its client's first bytes: with a
    /// protocol in which the server speaks first, none would ever.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub fn bind_quic(address: SocketAddr, server: Arc<tls::Server>) -> io::Result<Self> {
        if server.chooses_by_hello() {
            let text = "QUIC speaks ShangMi or the international algorithms: tls.suites is mixed";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let bound = quic::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address} (QUIC): {error}"))
        })?;
        Ok(Self { bound: Bound::Quic(bound, server), tls: None, headers: None })
    }

    /// Speaks TLS with who connects; with `None`, plain TCP.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<tls::Server>>) -> Self {
        Self { tls, ..self }
    }

    /// What its connections go over: `tcp`, `tls` or `quic`.
    #[must_use]
    pub fn over(&self) -> &'static str {
        match (&self.bound, &self.tls) {
            (Bound::Quic(..), _) => "quic",
            (_, Some(_)) => "tls",
            (_, None) => "tcp",
        }
    }

    /// Takes PROXY headers of balancers, ahead of TLS: their connections have their clients' addresses. Not over QUIC, and
    /// not in a simulation.
    #[must_use]
    pub fn with_proxy_headers(self, headers: Option<Arc<Headers>>) -> Self {
        Self { headers, ..self }
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.bound {
            Bound::Os(listener) => listener.local_addr(),
            Bound::Quic(socket, _) => socket.local_addr(),
            #[cfg(feature = "sim")]
            Bound::Sim(address) => Ok(*address),
        }
    }

    /// Starts accepting, on the thread whose runtime this is called in.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accepting(self) -> io::Result<Acceptor> {
        let listener = match self.bound {
            Bound::Os(listener) => match self.tls {
                None => Accepting::Os(Door::open(listener, self.headers)?),
                Some(tls) => Accepting::handed(tls.accept_tls(listener, self.headers)?),
            },
            Bound::Quic(socket, server) => Accepting::handed(server.accept_quic(socket)?),
            #[cfg(feature = "sim")]
            Bound::Sim(address) => Accepting::Sim(turmoil::net::TcpListener::bind(address).await?),
        };
        Ok(Acceptor { listener })
    }
}

/// A listener at work.
pub struct Acceptor {
    listener: Accepting,
}

enum Accepting {
    Os(Door),
    /// Accepted elsewhere, and handed over after the handshake.
    Handed(Mutex<Handed>, Option<Farewell>),
    #[cfg(feature = "sim")]
    Sim(turmoil::net::TcpListener),
}

impl Accepting {
    fn handed(handed: Handed) -> Self {
        let farewell = handed.farewell();
        Self::Handed(Mutex::new(handed), farewell)
    }
}

impl Acceptor {
    /// Where the last bytes are not the system's business but ours, which is over QUIC: what a process waits for before it
    /// ends, after this was dropped and its connections too.
    pub fn farewell(&self) -> Option<Farewell> {
        match &self.listener {
            Accepting::Handed(_, farewell) => farewell.clone(),
            _ => None,
        }
    }

    /// Accepts no more, and calls `each` with the connections of balancers that were accepted already and whose headers were
    /// awaited.
    pub async fn last(self, mut each: impl FnMut(Stream, SocketAddr)) {
        let Accepting::Os(door) = self.listener else { return };
        door.last(|tcp, peer| each(Stream::Tcp(tcp), peer)).await;
    }

    /// The next connection and its peer's address. Cancelling it loses no connection.
    ///
    /// # Errors
    /// What the system says. The listener stays good: count the error, wait a little ([`io::ErrorKind`] of file
    /// limits comes at once again), and go on.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.listener {
            Accepting::Os(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), peer))
            }
            Accepting::Handed(handed, _) => handed.lock().await.next().await,
            #[cfg(feature = "sim")]
            Accepting::Sim(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Sim(stream), peer))
            }
        }
    }
}
