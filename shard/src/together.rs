//! Hot path: one record for many TLS connections, sealed in a pass for several of them.
//!
//! What a log has that is new goes to every follower that has caught up, and most have: the same few hundred bytes,
//! under a different key each. SM4 is as fast for several keys at once as for several blocks of one key, and a short
//! message has too few blocks to fill the registers by itself.

use crate::app::LogId;
use crate::conn::Lane;
use crate::cx::Cx;
use arrayvec::ArrayVec;
use flow::{Cursor, Seq};
use transport::tls::seal_for_all;

/// Connections sealed for at once.
const LANES: usize = 8;
/// Longest payload worth it: a longer one fills the registers by itself.
const PAYLOAD_BYTES_MAX: usize = 766;

/// Seals what the log has behind `seen` for the connections that stand there. They are written to as any others: what
/// was sealed goes out first.
pub(crate) fn seal(cx: &mut Cx, log: LogId, seen: Seq) {
    if !cx.tls {
        return;
    }
    let Cx { conns, readers, stats, now_ns, .. } = cx;
    let mut to = Cursor::at(seen);
    let reader = &readers[log.0];
    let Ok(payload) = reader.slice(to, PAYLOAD_BYTES_MAX + 1) else { return };
    let whole = reader.advance(&mut to, payload.len()).is_empty();
    if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX || !whole {
        return;
    }
    let mut lanes = ArrayVec::<Lane<'_>, LANES>::new();
    for (_, conn) in conns {
        lanes.extend(conn.lane(log, seen));
        if lanes.is_full() {
            stats.bytes_out += seal_group(&mut lanes, payload, to, *now_ns);
        }
    }
    if lanes.len() > 1 {
        stats.bytes_out += seal_group(&mut lanes, payload, to, *now_ns);
    }
}

/// Says how many bytes of payload were sealed.
fn seal_group(lanes: &mut ArrayVec<Lane<'_>, LANES>, payload: &[u8], to: Cursor, now_ns: u64) -> u64 {
    let mut ends = ArrayVec::<_, LANES>::new();
    let mut places = ArrayVec::<_, LANES>::new();
    for lane in lanes.drain(..) {
        ends.push((lane.sealer, lane.sealed));
        places.push((lane.cursor, lane.sent_ns));
    }
    if seal_for_all(&mut ends, payload).is_err() {
        return 0; // A key is used up, nothing was sealed: each by itself takes a new key.
    }
    for (cursor, sent_ns) in &mut places {
        **cursor = to;
        **sent_ns = now_ns;
    }
    (places.len() * payload.len()) as u64
}
