//! What an application of a shard is.

use crate::cx::Cx;
use flow::{Cursor, Selection, Seq};
use std::io;
use std::net::SocketAddr;

/// A connection's identity, never used twice in the life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// Where the connection stands in its shard: small and dense, taken again after it is closed.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// One of the logs of a shard, in the order in which [`crate::Setup`] names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub usize);

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Accepted on the port that [`crate::Setup`] gave this tag.
    Accepted(u32),
    /// Dialled by [`Cx::dial`] with this tag.
    Dialled(u32),
}

/// A new connection.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// How it came to be.
    pub origin: Origin,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer closed it.
    PeerClosed,
    /// The system said so.
    Io(io::ErrorKind),
    /// The peer ended TLS, for instance since it refuses our certificate: what its alert says.
    Tls(&'static str),
    /// The peer did not take its private bytes: more than the limit waited.
    OutboundFull,
    /// The peer began a frame longer than what is kept of an unfinished one.
    InboundFull,
    /// The reader fell so far behind that what it wanted was let go, and was not to be moved on.
    Overrun,
    /// The application closed it, with its reason in a word or two.
    App(&'static str),
    /// The shard stopped.
    Stopped,
}

/// What to do with a reader whose place in the log was let go.
#[derive(Clone, Debug)]
pub enum Overrun {
    /// Close it: [`Reason::Overrun`].
    Disconnect,
    /// Go on from another place. Tell the peer what it misses with [`Cx::send`] before.
    Continue(Cursor, Selection),
    /// It follows the log no more: its application gives it something else.
    Detach,
    /// Not yet: it has not taken its private bytes. It is asked for again when it has, or when the log has let go of more.
    Wait,
}

/// The application of a shard: a protocol and what it is for. All calls come from the shard's thread, one at a time.
pub trait App: Sized {
    /// What other threads may ask for ([`crate::Handle::send`]).
    type Command: Send + 'static;

    /// Once, before the first turn: dial, set the first [`Cx::wake_at`].
    fn on_start(&mut self, _cx: &mut Cx) {}

    /// A connection is there. It is followed by exactly one [`App::on_close`].
    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened);

    /// A dial with this tag came to nothing.
    fn on_dial_failed(&mut self, cx: &mut Cx, tag: u32, error: io::Error);

    /// Bytes of a connection: all that came and was not consumed yet. Returns how many are consumed (whole frames);
    /// the rest comes again, at the head of more.
    ///
    /// # Errors
    /// The reason to close the connection; what was sent to it before is still written.
    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason>;

    /// A datagram of a connection that was dialled over QUIC.
    ///
    /// # Errors
    /// The reason to close the connection.
    fn on_datagram(&mut self, _cx: &mut Cx, _id: ConnId, _data: &[u8]) -> Result<(), Reason> {
        Ok(())
    }

    /// A peer that was dialled over QUIC has opened a stream beside the one of connection `of`. It is a connection by itself, of
    /// which data comes and to which nothing can be sent, and is followed by exactly one [`App::on_close`].
    fn on_one_way(&mut self, cx: &mut Cx, id: ConnId, of: ConnId) {
        cx.close(id, Reason::App("streams are not taken"));
        tracing::debug!(?of, "a stream that nobody has asked for");
    }

    /// A connection has ended.
    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason);

    /// Time has passed: every [`crate::Limits::tick_ms`].
    fn on_tick(&mut self, cx: &mut Cx);

    /// The time of [`Cx::wake_at`] has come.
    fn on_wake(&mut self, _cx: &mut Cx) {}

    /// Another thread asks.
    fn on_command(&mut self, cx: &mut Cx, command: Self::Command);

    /// Private bytes that had passed half of their limit, or of which [`Cx::tell_when_drained`] asked, are all written:
    /// who was told to wait may go on.
    fn on_drained(&mut self, _cx: &mut Cx, _id: ConnId) {}

    /// A reader's place in a log (the entry that it wanted next) was let go; its selection comes along.
    fn on_overrun(&mut self, _cx: &mut Cx, _id: ConnId, _log: LogId, _at: Seq, _was: Selection) -> Overrun {
        Overrun::Disconnect
    }

    /// The turn's reading is over and its writing comes: append what was gathered.
    fn on_turn_end(&mut self, _cx: &mut Cx) {}

    /// No more connections are accepted, and those that are there should end soon.
    fn on_drain(&mut self, _cx: &mut Cx) {}
}
