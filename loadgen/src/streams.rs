//! Streams that carry one channel each, beside a session's own.

use shard::{ConnId, Reason};
use wire::szse::ext::ChannelStream;
use wire::szse::{Frame, Message, frame};

/// The streams of a thread.
#[derive(Default)]
pub(crate) struct Streams {
    /// By [`ConnId::index`]: the stream, and its session's connection.
    places: Vec<Option<(ConnId, ConnId)>>,
}

impl Streams {
    /// A session's peer has opened one.
    pub(crate) fn on_one_way(&mut self, id: ConnId, of: ConnId) {
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, None);
        }
        self.places[id.index()] = Some((id, of));
    }

    /// It ended; `false` when it was none.
    pub(crate) fn on_close(&mut self, id: ConnId) -> bool {
        let known = self.session_of(id).is_some();
        if known {
            self.places[id.index()] = None;
        }
        known
    }

    /// The session that a stream is of.
    #[inline]
    pub(crate) fn session_of(&self, id: ConnId) -> Option<ConnId> {
        let (own, of) = (*self.places.get(id.index())?)?;
        (own == id).then_some(of)
    }
}

/// Takes all whole frames of one read of a stream, but for the one that says which channel it is.
///
/// # Errors
/// The reason to close it.
#[inline]
pub(crate) fn frames(
    data: &[u8],
    mut hear: impl FnMut(&Frame<'_>) -> Result<(), Reason>,
) -> Result<usize, Reason> {
    let mut consumed = 0;
    loop {
        let decoded = frame::decode(&data[consumed..], frame::BODY_LEN_MAX);
        let Some(frame) = decoded.map_err(|_| Reason::App("bad frame on a stream"))? else {
            return Ok(consumed);
        };
        consumed += frame.bytes.len();
        if frame.msg_type != ChannelStream::MSG_TYPE {
            hear(&frame)?;
        }
    }
}
