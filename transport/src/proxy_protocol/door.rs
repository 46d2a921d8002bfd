//! A listening socket whose connections are known by their clients' addresses.

use super::header::{self, HeaderError, Said};
use super::{Headers, Outcome};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};

/// Connections whose headers may be awaited at a time; one more is closed at once. Each is given up at the deadline.
const AWAITED_MAX: usize = 1024;

/// A connection whose header was good, and whom it is from.
type Read = Option<(TcpStream, SocketAddr)>;

/// A listener, with the headers that are awaited where it has to take them.
pub(crate) struct Door {
    listener: TcpListener,
    headers: Option<Arc<Headers>>,
    awaited: Mutex<JoinSet<Read>>,
}

impl Door {
    /// On the thread whose runtime this is called in.
    pub(crate) fn open(listener: std::net::TcpListener, headers: Option<Arc<Headers>>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(listener)?, headers, awaited: Mutex::default() })
    }

    /// The next connection and its client's address. One whose header is slow holds up no other. Cancelling it loses none.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(headers) = &self.headers else { return self.listener.accept().await };
        let mut awaited = self.awaited.lock().await;
        loop {
            tokio::select! {
                Some(read) = awaited.join_next() => {
                    if let Some(known) = known(read)? {
                        return Ok(known);
                    }
                }
                accepted = self.listener.accept() => {
                    let (tcp, peer) = accepted?;
                    if !headers.trusts(peer.ip()) {
                        return Ok((tcp, peer));
                    }
                    if awaited.len() >= AWAITED_MAX {
                        headers.count(Outcome::Refused);
                    } else {
                        awaited.spawn(await_header(headers.clone(), tcp, peer));
                    }
                }
            }
        }
    }

    /// Accepts no more, and calls `each` with those that were accepted already and whose headers were awaited.
    pub(crate) async fn last(self, mut each: impl FnMut(TcpStream, SocketAddr)) {
        let Self { listener, headers: _, awaited } = self;
        drop(listener);
        let mut awaited = awaited.into_inner();
        while let Some(read) = awaited.join_next().await {
            match known(read) {
                Ok(Some((tcp, client))) => each(tcp, client),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "reading a PROXY header"),
            }
        }
    }
}

fn known(read: Result<Read, JoinError>) -> io::Result<Read> {
    read.map_err(io::Error::other)
}

async fn await_header(headers: Arc<Headers>, mut tcp: TcpStream, peer: SocketAddr) -> Read {
    let said = match tokio::time::timeout(headers.timeout(), header::read(&mut tcp)).await {
        Err(_) => {
            headers.count(Outcome::TimedOut);
            tracing::debug!(%peer, "no PROXY header in time");
            return None;
        }
        Ok(Err(HeaderError::Left)) => {
            headers.count(Outcome::Left);
            return None;
        }
        Ok(Err(error)) => {
            headers.count(Outcome::Malformed);
            tracing::debug!(%peer, %error, "a connection without a good PROXY header");
            return None;
        }
        Ok(Ok(said)) => said,
    };
    let client = match said {
        Said::Client(client) => {
            headers.count(Outcome::Client);
            client
        }
        Said::Nobody => {
            headers.count(Outcome::Local);
            peer
        }
    };
    Some((tcp, client))
}
