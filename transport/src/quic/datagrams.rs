//! Datagrams of a QUIC connection: bytes beside its stream that may be lost, and that a loss of other bytes does not delay.
//!
//! They go from who accepted the connection to who dialled it. A server takes none.

use super::{DATAGRAMS_OUT_BYTES, QuicStream, poll_next};
use quinn::{Connection, SendDatagramError};
use std::task::{Context, Poll};
use std::time::Duration;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// It is on its way, or will be.
    Sent,
    /// As many as may wait are waiting: the way to the peer takes no more now.
    Full,
    /// It is longer than what the way to the peer takes in one packet.
    TooLong,
    /// There are no datagrams to this peer, or there is no peer any more.
    Unsupported,
}

/// What waits must be on its way within so long: what waits longer is better overtaken by what is newer.
const WAIT: Duration = Duration::from_millis(5);
/// So many bytes may wait whatever the way.
const WAITING_BYTES: usize = 4 << 10;

/// Whether a way takes no datagram of so many bytes now.
fn is_full(connection: &Connection, bytes: usize) -> bool {
    let space = connection.datagram_send_buffer_space();
    let waiting = DATAGRAMS_OUT_BYTES.saturating_sub(space);
    space < bytes || waiting > WAITING_BYTES && waiting as u128 > leave_in(connection, WAIT)
}

/// Bytes that leave in a time, by what may be under way at once.
fn leave_in(connection: &Connection, time: Duration) -> u128 {
    let path = connection.stats().path;
    u128::from(path.cwnd) * time.as_nanos() / path.rtt.as_nanos().max(1)
}

impl QuicStream {
    /// Bytes of the longest datagram that its peer takes now; `None`: none at all.
    pub(crate) fn datagram_bytes_max(&self) -> Option<usize> {
        self.life.as_ref()?.connection.max_datagram_size().filter(|bytes| *bytes > 0)
    }

    /// Sends a datagram, unless others that were sent before it would be given up for it.
    pub(crate) fn send_datagram(&self, bytes: &[u8]) -> Datagram {
        let Some(life) = &self.life else { return Datagram::Unsupported };
        match self.datagram_bytes_max() {
            None => return Datagram::Unsupported,
            Some(bytes_max) if bytes.len() > bytes_max => return Datagram::TooLong,
            Some(_) => {}
        }
        if is_full(&life.connection, bytes.len()) {
            return Datagram::Full;
        }
        match life.connection.send_datagram(bytes.to_vec().into()) {
            Ok(()) => Datagram::Sent,
            Err(SendDatagramError::TooLarge) => Datagram::TooLong,
            Err(
                SendDatagramError::UnsupportedByPeer
                | SendDatagramError::Disabled
                | SendDatagramError::ConnectionLost(_),
            ) => Datagram::Unsupported,
        }
    }

    /// The next datagram; `None` at the connection's end.
    pub(crate) fn poll_datagram(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let Some(life) = self.life.as_ref().filter(|life| life.dialled.is_some()) else {
            return Poll::Pending;
        };
        let connection = &life.connection;
        let begin = || {
            let connection = connection.clone();
            Box::pin(async move { connection.read_datagram().await.ok().map(Vec::from) }) as _
        };
        poll_next(&mut self.arrivals.datagram, begin, context)
    }
}
