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
/// Publications that are let pass after one for which no two connections stood together: where all of them filter, or are
/// plain, looking for such is in vain.
const PAUSE: u32 = 64;
/// Longest payload worth it: a longer one fills the registers by itself.
const PAYLOAD_BYTES_MAX: usize = 766;

/// Seals what the log has behind `seen` for the connections that stand there. They are written to as any others: what
/// was sealed goes out first.
pub(crate) fn seal(cx: &mut Cx, log: LogId, seen: Seq) {
    let pause = &mut cx.logs[log.0].together_pause;
    if !cx.tls || *pause > 0 {
        *pause = pause.saturating_sub(1);
        return;
    }
    let Cx { conns, readers, stats, now_ns, logs, .. } = cx;
    let mut to = Cursor::at(seen);
    let reader = &readers[log.0];
    let Ok(payload) = reader.slice(to, PAYLOAD_BYTES_MAX + 1) else { return };
    let whole = reader.advance(&mut to, payload.len()).is_empty();
    if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX || !whole {
        return;
    }
    let before = stats.sealed_together;
    let mut seal = |lanes: &mut ArrayVec<Lane<'_>, LANES>| {
        let records = seal_group(lanes, payload, to, *now_ns);
        stats.sealed_together += records;
        stats.bytes_out += records * payload.len() as u64;
    };
    let mut lanes = ArrayVec::new();
    for (_, conn) in conns {
        lanes.extend(conn.lane(log, seen));
        if lanes.is_full() {
            seal(&mut lanes);
        }
    }
    if lanes.len() > 1 {
        seal(&mut lanes);
    }
    if stats.sealed_together == before {
        logs[log.0].together_pause = PAUSE;
    }
}

/// Says how many records were sealed.
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
    places.len() as u64
}
