//! What an application may do with its shard.

use crate::app::{ConnId, LogId, Reason};
use crate::conn::{Attached, Conn};
use crate::ready::{Ready, Signal};
use crate::run::{Arrivals, Limits, Log};
use flow::{Cursor, Reader, Selection, Seq, Writer};
use slab::Slab;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use transport::{Clock, Connector, Datagram, Stream};

/// What a shard has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once because as many as are allowed were open.
    pub refused_full: u64,
    /// Errors of accepting (file limits); each is followed by a pause.
    pub accept_errors: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Writes that the socket did not take whole: the reader, or the way to it, is slower than the writer.
    pub writes_blocked: u64,
    /// TLS records that were sealed in a pass with those of other connections.
    pub sealed_together: u64,
    /// Readers whose place in a log was let go.
    pub overruns: u64,
    /// Turns of the loop.
    pub turns: u64,
}

/// A log as its shard holds it.
pub(crate) struct LogState {
    /// Present when this shard writes the log.
    pub(crate) writer: Option<Writer>,
    /// Connections that follow it.
    pub(crate) followers: Vec<u32>,
    /// Where the log began when its followers were last looked at for those that it has left behind.
    pub(crate) start_seen: Seq,
    /// Publications for which sealing together is not tried.
    pub(crate) together_pause: u32,
}

/// A shard, as its application sees it.
pub struct Cx {
    pub(crate) clock: Clock,
    pub(crate) now_ns: u64,
    pub(crate) conns: Slab<Conn>,
    pub(crate) generation: u32,
    pub(crate) ready: Arc<Ready>,
    pub(crate) logs: Vec<LogState>,
    pub(crate) readers: Vec<Reader>,
    /// Connections with something to write that no log told of.
    pub(crate) due: Vec<u32>,
    /// Connections that their application, or an error, has closed.
    pub(crate) doomed: Vec<u32>,
    pub(crate) limits: Limits,
    pub(crate) arrivals: Rc<Arrivals>,
    pub(crate) wake_at_ns: Option<u64>,
    pub(crate) stats: Stats,
    pub(crate) stopping: bool,
    /// A connection over TLS has been here.
    pub(crate) tls: bool,
}

impl Cx {
    pub(crate) fn new(limits: Limits, logs: Vec<Log>, ready: Arc<Ready>, arrivals: Rc<Arrivals>) -> Self {
        let mut readers = Vec::new();
        let mut states = Vec::new();
        for log in logs {
            let (writer, reader) = match log {
                Log::Own(writer) => {
                    let reader = writer.reader();
                    (Some(writer), reader)
                }
                Log::Follow(reader) => (None, reader),
            };
            readers.push(reader);
            states.push(LogState { writer, followers: Vec::new(), start_seen: 0, together_pause: 0 });
        }
        Self {
            clock: Clock::start(),
            now_ns: 0,
            conns: Slab::new(),
            generation: 0,
            ready,
            logs: states,
            readers,
            due: Vec::new(),
            doomed: Vec::new(),
            limits,
            arrivals,
            wake_at_ns: None,
            stats: Stats::default(),
            stopping: false,
            tls: false,
        }
    }

    /// Monotonic time, nanoseconds since the shard started, read when this turn began.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Time of day of this turn, nanoseconds since 1970-01-01 00:00 UTC.
    #[inline]
    pub fn wall_ns(&self) -> i64 {
        self.clock.wall_ns(self.now_ns)
    }

    /// The clock itself, for measurements finer than a turn.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        Stats { connections: self.conns.len() as u64, ..self.stats }
    }

    /// Asks for one [`crate::App::on_wake`] at this time (or at once, if it is past); a later call replaces it.
    pub fn wake_at(&mut self, at_ns: u64) {
        self.wake_at_ns = Some(at_ns);
    }

    /// Gives private bytes to a connection: `write` appends whole frames. They go out at the end of the turn. Nothing
    /// happens when the connection is closed already.
    #[inline]
    pub fn send(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let out_bytes_max = self.limits.out_bytes_max;
        let Some(conn) = self.open_conn(id) else { return };
        write(conn.out());
        let waiting = conn.out_len();
        conn.high |= waiting > out_bytes_max / 2;
        if waiting > out_bytes_max {
            self.close(id, Reason::OutboundFull);
        } else {
            self.make_due(id.index);
        }
    }

    /// Common name of the certificate that a connection's peer has shown, see [`Stream::peer_name`].
    pub fn peer_name(&self, id: ConnId) -> Option<&str> {
        self.conn(id)?.stream.peer_name()
    }

    /// Whether a connection takes what is sent. It does not from when it is closed, which its application is told of at the end of the
    /// turn.
    #[inline]
    pub fn is_open(&self, id: ConnId) -> bool {
        self.conn(id).is_some_and(Conn::open)
    }

    /// Private bytes that wait to be written to a connection: what a sender looks at before it sends more.
    pub fn waiting_bytes(&self, id: ConnId) -> usize {
        self.conn(id).map_or(0, Conn::out_len)
    }

    /// Lets a connection follow a log from a place on. It replaces what the connection followed before.
    pub fn attach(&mut self, id: ConnId, log: LogId, cursor: Cursor, selection: Selection) {
        if self.open_conn(id).is_none() {
            return;
        }
        self.unfollow(id.index);
        let followers = &mut self.logs[log.0].followers;
        let place = followers.len();
        followers.push(id.index);
        self.conns[id.index()].attached = Some(Attached { log, cursor, selection, place });
        self.make_due(id.index);
    }

    /// Lets a connection follow no log any more. What it was given of a frame it still gets whole.
    pub fn detach(&mut self, id: ConnId) {
        if self.open_conn(id).is_some() {
            self.unfollow(id.index);
        }
    }

    /// What a connection follows, from where on, and what of it.
    pub fn following(&self, id: ConnId) -> Option<(LogId, Cursor, &Selection)> {
        let attached = self.conn(id)?.attached.as_ref()?;
        Some((attached.log, attached.cursor, &attached.selection))
    }

    /// Bytes of the longest datagram that may be sent beside a connection's stream, see [`Stream::datagram_bytes_max`].
    pub fn datagram_bytes_max(&self, id: ConnId) -> Option<usize> {
        self.conn(id)?.stream.datagram_bytes_max()
    }

    /// Sends bytes beside a connection's stream, see [`Stream::send_datagram`].
    pub fn send_datagram(&mut self, id: ConnId, bytes: &[u8]) -> Datagram {
        let Some(conn) = self.open_conn(id) else { return Datagram::Unsupported };
        let sent = conn.stream.send_datagram(bytes);
        if sent == Datagram::Sent {
            self.stats.bytes_out += bytes.len() as u64;
        }
        sent
    }

    /// Whether a connection may have streams beside its own: over QUIC, towards who dialled.
    pub fn may_open_one_way(&self, id: ConnId) -> bool {
        self.conn(id).is_some_and(|conn| matches!(conn.stream, Stream::Quic(_)))
    }

    /// Opens a stream to the peer beside a connection's own, see [`Stream::open_one_way`]: a connection by itself, with its own
    /// place in a log, of which nothing is ever read. `None` where there is none to be had, or as many connections as are allowed
    /// are open.
    pub fn open_one_way(&mut self, id: ConnId) -> Option<ConnId> {
        let room = self.conns.len() < self.limits.connections_max;
        let conn = self.open_conn(id).filter(|_| room)?;
        let (stream, peer) = (conn.stream.open_one_way()?, conn.peer);
        Some(self.insert(stream, peer))
    }

    /// Asks for one [`crate::App::on_drained`] as soon as no private byte of a connection waits and its socket takes more.
    pub fn tell_when_drained(&mut self, id: ConnId) {
        let Some(conn) = self.open_conn(id) else { return };
        conn.high = true;
        if !conn.blocked {
            self.make_due(id.index);
        }
    }

    /// How many entries a connection is behind the log that it follows.
    pub fn behind(&self, id: ConnId) -> u64 {
        let attached = self.conn(id).and_then(|conn| conn.attached.as_ref());
        attached
            .map_or(0, |attached| self.readers[attached.log.0].end().saturating_sub(attached.cursor.seq()))
    }

    /// A log, as far as it was published when this turn's writing last began.
    pub fn log(&self, log: LogId) -> &Reader {
        &self.readers[log.0]
    }

    /// The writer of a log that this shard owns. What is appended is published at the end of the turn.
    ///
    /// # Panics
    /// If another shard writes this log.
    #[inline]
    pub fn writer(&mut self, log: LogId) -> &mut Writer {
        self.logs[log.0].writer.as_mut().expect("only the shard that owns a log writes it")
    }

    /// Connects to an address; the outcome is an [`crate::App::on_open`] or [`crate::App::on_dial_failed`] with this
    /// tag, by the deadline.
    pub fn dial(&self, address: SocketAddr, connector: &Connector, timeout: Duration, tag: u32) {
        self.arrivals.dial(&self.ready, address, connector.clone(), timeout, tag);
    }

    /// Closes a connection at the end of the turn, after what was sent to it (as far as its socket takes it).
    pub fn close(&mut self, id: ConnId, reason: Reason) {
        if let Some(conn) = self.open_conn(id) {
            conn.closing = Some(reason);
            self.doomed.push(id.index);
        }
    }

    /// Stops or resumes reading from a connection: push back on a peer that sends faster than can be passed on.
    pub fn pause_reading(&mut self, id: ConnId, paused: bool) {
        if let Some(conn) = self.open_conn(id) {
            conn.reading_paused = paused;
            if !paused {
                conn.signal.raise();
            }
        }
    }

    /// Has what an application did not consume of a connection's bytes offered to it once more, without new ones.
    pub fn offer_again(&mut self, id: ConnId) {
        if let Some(conn) = self.open_conn(id) {
            conn.offer_kept = !conn.kept.is_empty();
            conn.signal.raise();
        }
    }

    /// Holds back, or lets go, all that is written to a connection: until what it says is safe. One that is closed while it is held
    /// says nothing of that any more.
    pub fn hold_writing(&mut self, id: ConnId, held: bool) {
        if let Some(conn) = self.open_conn(id) {
            conn.held = held;
            self.make_due(id.index);
        }
    }

    /// When bytes of this connection were last read, and last written, in the shard's time.
    pub fn last_active_ns(&self, id: ConnId) -> Option<(u64, u64)> {
        self.conn(id).map(|conn| (conn.received_ns, conn.sent_ns))
    }

    /// Ends the shard after this turn.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id.index as usize).filter(|conn| conn.generation == id.generation)
    }

    pub(crate) fn open_conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(id.index as usize)?;
        (conn.generation == id.generation && conn.open()).then_some(conn)
    }

    #[inline]
    pub(crate) fn make_due(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        if !conn.due {
            conn.due = true;
            self.due.push(index);
        }
    }

    pub(crate) fn insert(&mut self, stream: Stream, peer: SocketAddr) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        self.tls |= matches!(stream, Stream::Tls(_));
        let entry = self.conns.vacant_entry();
        let index = entry.key() as u32;
        let signal = Signal::new(index, &self.ready);
        let id = ConnId { index, generation: self.generation };
        // The socket may hold bytes already, and its readiness is only told to who has asked: look at it once.
        signal.0.raise();
        entry.insert(Conn::new(stream, signal, self.generation, peer, self.now_ns));
        id
    }

    pub(crate) fn id(&self, index: u32) -> Option<ConnId> {
        let conn = self.conns.get(index as usize)?;
        Some(ConnId { index, generation: conn.generation })
    }

    /// Takes a connection out of its log's followers.
    pub(crate) fn unfollow(&mut self, index: u32) {
        let Some(attached) = self.conns[index as usize].attached.take() else { return };
        let followers = &mut self.logs[attached.log.0].followers;
        followers.swap_remove(attached.place);
        if let Some(&moved) = followers.get(attached.place) {
            let moved = self.conns[moved as usize].attached.as_mut();
            moved.expect("invariant: every follower is attached").place = attached.place;
        }
    }
}
