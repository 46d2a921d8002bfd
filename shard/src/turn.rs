//! Hot path: the turn. Arrivals, commands, reading, the application, publishing, writing, closing: in this order.
//!
//! Rules: one thread, no lock that is contended, no allocation for a message, no logging but when a connection ends,
//! and a bound on what each connection may do in one turn.

use crate::app::{App, ConnId, LogId, Opened, Overrun, Reason};
use crate::conn::{Conn, Pumped};
use crate::cx::Cx;
use crate::run::Arrival;
use crate::together;
use transport::Stream;

/// Bytes that one connection may bring in one turn before the others have theirs.
const READ_BYTES_PER_TURN: usize = 1 << 20;
/// Datagrams of one connection taken in one turn.
const DATAGRAMS_PER_TURN: usize = 256;
/// Commands taken in one turn.
const COMMANDS_PER_TURN: usize = 256;
/// How long a closed connection may take to read its last bytes and close its side.
const LINGER_NS: u64 = 1_000_000_000;

/// What one shard turns with besides its [`Cx`].
pub(crate) struct Wheel<C> {
    pub(crate) commands: std::sync::Arc<crossbeam::queue::ArrayQueue<C>>,
    /// One read's bytes: an unfinished frame's head, and what comes behind it.
    pub(crate) buffer: Vec<u8>,
    pub(crate) taken: Vec<u32>,
    pub(crate) next_tick_ns: u64,
    pub(crate) drain_asked: bool,
}

/// One turn.
pub(crate) fn turn<A: App>(cx: &mut Cx, app: &mut A, wheel: &mut Wheel<A::Command>) {
    cx.now_ns = cx.clock.now_ns();
    cx.stats.turns += 1;
    arrivals(cx, app);
    for _ in 0..COMMANDS_PER_TURN {
        let Some(command) = wheel.commands.pop() else { break };
        app.on_command(cx, command);
    }
    let mut taken = std::mem::take(&mut wheel.taken);
    cx.ready.take(&mut taken);
    for index in taken.drain(..) {
        woken(cx, app, index, &mut wheel.buffer);
    }
    wheel.taken = taken;
    times(cx, app, wheel);
    app.on_turn_end(cx);
    publish(cx);
    write_due(cx, app);
    close_doomed(cx, app);
}

fn arrivals<A: App>(cx: &mut Cx, app: &mut A) {
    while let Some(arrival) = cx.arrivals.pop() {
        match arrival {
            Arrival::Refused => cx.stats.refused_full += 1,
            Arrival::AcceptError => cx.stats.accept_errors += 1,
            Arrival::DialFailed(tag, error) => app.on_dial_failed(cx, tag, error),
            Arrival::Stream(stream, origin, peer) => {
                cx.stats.accepted += u64::from(matches!(origin, crate::Origin::Accepted(_)));
                let id = cx.insert(stream, peer);
                app.on_open(cx, id, Opened { origin, peer });
            }
        }
    }
}

/// A connection can move: reads what it has, and marks it due if a write was waiting for it.
fn woken<A: App>(cx: &mut Cx, app: &mut A, index: u32, buffer: &mut Vec<u8>) {
    let Some(conn) = cx.conns.get_mut(index as usize) else { return };
    conn.signal.taken();
    if conn.blocked {
        cx.make_due(index);
    }
    read(cx, app, index, buffer);
    if cx.conns.get(index as usize).is_some_and(|conn| matches!(conn.stream, Stream::Quic(_))) {
        one_ways(cx, app, index);
        datagrams(cx, app, index);
    }
}

/// Streams that a peer has opened beside the one of its connection: each is a connection of its own from here on.
fn one_ways<A: App>(cx: &mut Cx, app: &mut A, index: u32) {
    while let Some(conn) = cx.conns.get_mut(index as usize).filter(|conn| conn.open()) {
        let (of, peer) = (ConnId { index, generation: conn.generation }, conn.peer);
        let Some(stream) = conn.one_way() else { return };
        if cx.conns.len() >= cx.limits.connections_max {
            cx.stats.refused_full += 1;
            continue;
        }
        let id = cx.insert(stream, peer);
        app.on_one_way(cx, id, of);
    }
}

/// What came beside the stream of a connection.
fn datagrams<A: App>(cx: &mut Cx, app: &mut A, index: u32) {
    for _ in 0..DATAGRAMS_PER_TURN {
        let Some(conn) = cx.conns.get_mut(index as usize).filter(|conn| conn.open()) else { return };
        let id = ConnId { index, generation: conn.generation };
        let Some(datagram) = conn.datagram() else { return };
        cx.stats.bytes_in += datagram.len() as u64;
        if let Err(reason) = app.on_datagram(cx, id, &datagram) {
            cx.close(id, reason);
        }
    }
    if let Some(conn) = cx.conns.get(index as usize) {
        conn.signal.raise();
    }
}

fn read<A: App>(cx: &mut Cx, app: &mut A, index: u32, buffer: &mut Vec<u8>) {
    let mut total = 0;
    loop {
        let kept_max = cx.limits.kept_bytes_max;
        let read_bytes = cx.limits.read_bytes;
        let Some(conn) = cx.conns.get_mut(index as usize) else { return };
        if conn.closing.is_some() || conn.reading_paused {
            return;
        }
        if total >= READ_BYTES_PER_TURN {
            conn.signal.raise();
            return;
        }
        let kept = conn.kept.len();
        buffer.resize(kept_max + read_bytes, 0);
        if std::mem::take(&mut conn.offer_kept) {
            buffer[..kept].copy_from_slice(&conn.kept);
            let id = ConnId { index, generation: conn.generation };
            match hand_over(cx, app, id, &buffer[..kept]) {
                Ok(()) => continue,
                Err(reason) => return end(cx, index, id, false, reason),
            }
        }
        let read = match conn.read(&mut buffer[kept..kept + read_bytes]) {
            None => return,
            Some(read) => read,
        };
        let id = ConnId { index, generation: conn.generation };
        let lingering = conn.lingering_until_ns.is_some();
        let reason = match read {
            Ok(0) => Reason::PeerClosed,
            Ok(bytes) if lingering => {
                total += bytes;
                continue;
            }
            Ok(bytes) => {
                total += bytes;
                conn.received_ns = cx.now_ns;
                cx.stats.bytes_in += bytes as u64;
                buffer[..kept].copy_from_slice(&conn.kept);
                match hand_over(cx, app, id, &buffer[..kept + bytes]) {
                    Ok(()) => continue,
                    Err(reason) => reason,
                }
            }
            Err(error) => failed(&error),
        };
        end(cx, index, id, lingering, reason);
        return;
    }
}

fn end(cx: &mut Cx, index: u32, id: ConnId, lingering: bool, reason: Reason) {
    if lingering {
        cx.conns.remove(index as usize);
    } else {
        cx.close(id, reason);
    }
}

/// Gives the application all bytes that are there and keeps what it does not consume.
#[inline]
fn hand_over<A: App>(cx: &mut Cx, app: &mut A, id: ConnId, data: &[u8]) -> Result<(), Reason> {
    let consumed = app.on_data(cx, id, data)?;
    let rest = &data[consumed..];
    if rest.len() > cx.limits.kept_bytes_max {
        return Err(Reason::InboundFull);
    }
    if let Some(conn) = cx.conns.get_mut(id.index as usize) {
        conn.keep(rest);
    }
    Ok(())
}

fn times<A: App>(cx: &mut Cx, app: &mut A, wheel: &mut Wheel<A::Command>) {
    if wheel.drain_asked {
        wheel.drain_asked = false;
        app.on_drain(cx);
    }
    if cx.wake_at_ns.is_some_and(|at_ns| at_ns <= cx.now_ns) {
        cx.wake_at_ns = None;
        app.on_wake(cx);
    }
    if cx.now_ns >= wheel.next_tick_ns {
        wheel.next_tick_ns = cx.now_ns + u64::from(cx.limits.tick_ms) * 1_000_000;
        if let Some(step_ns) = cx.clock.follow_step() {
            tracing::warn!(step_ns, "the system's time of day was set");
        }
        app.on_tick(cx);
        stalled(cx, app);
        let now_ns = cx.now_ns;
        cx.conns.retain(|_, conn| conn.lingering_until_ns.is_none_or(|until_ns| now_ns < until_ns));
    }
}

fn publish(cx: &mut Cx) {
    for (log, reader) in cx.logs.iter().zip(&mut cx.readers) {
        if let Some(writer) = &log.writer
            && writer.end() != reader.end()
        {
            writer.publish();
        }
    }
}

/// Writes to every connection that a log, its application or its socket has made due.
fn write_due<A: App>(cx: &mut Cx, app: &mut A) {
    for log in 0..cx.logs.len() {
        let seen = cx.readers[log].end();
        if cx.readers[log].refresh() == seen {
            continue;
        }
        together::seal(cx, LogId(log), seen);
        backwards(cx, log, |cx, index| write(cx, app, index));
    }
    let mut due = std::mem::take(&mut cx.due);
    for index in due.drain(..) {
        if let Some(conn) = cx.conns.get_mut(index as usize) {
            conn.due = false;
            conn.blocked = false;
            write(cx, app, index);
        }
    }
    due.append(&mut cx.due);
    cx.due = due;
}

/// Looks at every follower of a log. The last comes first: who leaves meanwhile has its place taken by the last one,
/// which was looked at then; who comes is due by itself.
#[inline]
fn backwards(cx: &mut Cx, log: usize, mut look: impl FnMut(&mut Cx, u32)) {
    for place in (0..cx.logs[log].followers.len()).rev() {
        if let Some(&index) = cx.logs[log].followers.get(place) {
            look(cx, index);
        }
    }
}

#[cold]
fn failed(error: &std::io::Error) -> Reason {
    transport::tls::refused_by_peer(error).map_or(Reason::Io(error.kind()), Reason::Tls)
}

/// One connection's share of this turn's writing.
#[inline]
fn write<A: App>(cx: &mut Cx, app: &mut A, index: u32) {
    let Some(conn) = cx.conns.get_mut(index as usize) else { return };
    if conn.blocked || conn.held || !conn.open() {
        return;
    }
    let id = ConnId { index, generation: conn.generation };
    match conn.pump(&mut cx.readers) {
        Err(kind) => cx.close(id, Reason::Io(kind)),
        Ok((pumped, bytes)) => {
            if bytes > 0 {
                conn.sent_ns = cx.now_ns;
                cx.stats.bytes_out += bytes as u64;
            }
            let drained = conn.high && conn.out_len() == 0;
            conn.high &= !drained;
            match pumped {
                Pumped::Idle => {}
                Pumped::Blocked => cx.stats.writes_blocked += 1,
                Pumped::More => cx.make_due_next_turn(index),
                Pumped::Overrun => overrun(cx, app, id),
            }
            if drained {
                app.on_drained(cx, id);
            }
        }
    }
}

/// A reader whose socket takes nothing is not written to, so that it is here that its place is found to be let go: at a tick
/// before which the log has let go of something.
fn stalled<A: App>(cx: &mut Cx, app: &mut A) {
    for log in 0..cx.logs.len() {
        let start = cx.readers[log].start();
        if std::mem::replace(&mut cx.logs[log].start_seen, start) == start {
            continue;
        }
        backwards(cx, log, |cx, index| {
            let Conn { attached, generation, .. } = &cx.conns[index as usize];
            let lost = attached.as_ref().is_some_and(|attached| attached.cursor.seq() < start);
            let id = ConnId { index, generation: *generation };
            if lost {
                overrun(cx, app, id);
            }
        });
    }
}

#[cold]
fn overrun<A: App>(cx: &mut Cx, app: &mut A, id: ConnId) {
    let Some(attached) = cx.open_conn(id).and_then(|conn| conn.attached.as_ref()) else { return };
    let (log, cursor, selection) = (attached.log, attached.cursor, attached.selection.clone());
    cx.stats.overruns += 1;
    match app.on_overrun(cx, id, log, cursor.seq(), selection) {
        Overrun::Disconnect => cx.close(id, Reason::Overrun),
        Overrun::Continue(cursor, selection) => cx.move_to(id, cursor, selection),
        Overrun::Detach => cx.detach(id),
        Overrun::Wait => {}
    }
}

/// Ends the connections that were closed: their application is told, their last bytes are given to the socket.
fn close_doomed<A: App>(cx: &mut Cx, app: &mut A) {
    while let Some(index) = cx.doomed.pop() {
        let Some(id) = cx.id(index) else { continue };
        let Some(reason) = cx.conns[index as usize].closing.take() else { continue };
        cx.unfollow(index);
        let conn = &mut cx.conns[index as usize];
        // A peer that will send no more may still read.
        let alive = !matches!(reason, Reason::Io(_) | Reason::Tls(_)) && !conn.held;
        let flushed = alive && matches!(conn.pump(&mut []), Ok((Pumped::Idle, _)));
        conn.kept = Vec::new();
        conn.reading_paused = false; // Else the peer's end would not be seen.
        if flushed {
            conn.shut_down();
            conn.lingering_until_ns = Some(cx.now_ns + LINGER_NS);
            conn.signal.raise();
        } else {
            cx.conns.remove(index as usize);
        }
        tracing::debug!(?id, ?reason, "closed");
        app.on_close(cx, id, reason);
    }
}

/// The shard stops: every connection ends.
pub(crate) fn close_all<A: App>(cx: &mut Cx, app: &mut A) {
    let open: Vec<u32> =
        cx.conns.iter().filter(|(_, conn)| conn.open()).map(|(index, _)| index as u32).collect();
    for index in open {
        if let Some(id) = cx.id(index) {
            cx.close(id, Reason::Stopped);
        }
    }
    close_doomed(cx, app);
    cx.conns.clear();
}

impl Cx {
    /// More to write than the turn's share: the others come first, and a turn follows at once.
    fn make_due_next_turn(&mut self, index: u32) {
        self.conns[index as usize].blocked = true;
        self.conns[index as usize].signal.raise();
    }

    fn move_to(&mut self, id: ConnId, cursor: flow::Cursor, selection: flow::Selection) {
        if let Some(attached) = self.conns.get_mut(id.index()).and_then(|conn| conn.attached.as_mut()) {
            attached.cursor = cursor;
            attached.selection = selection;
            self.make_due_next_turn(id.index);
        }
    }
}
