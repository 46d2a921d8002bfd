//! Datagrams of a QUIC connection: bytes beside its stream that may be lost, and that a loss of other bytes does not delay.
//!
//! They go from who accepted the connection to who dialled it. A server takes none.

use super::{QuicStream, poll_next};
use quinn::SendDatagramError;
use std::task::{Context, Poll};

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
        if life.connection.datagram_send_buffer_space() < bytes.len() {
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
