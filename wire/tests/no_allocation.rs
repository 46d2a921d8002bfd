//! The hot path's rule, counted: decoding, viewing and encoding into a buffer with room allocate nothing.

use wire::szse::code::{VERSION_MARKET_DATA, VERSION_TRADING};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{Heartbeat, Logon, Qty, frame};

#[test]
fn messages_cross_without_allocation() {
    let mut out = Vec::with_capacity(64 * 1024);
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            frame::encode(&TickOrder::default(), &mut out);
        }
        Snapshot::encode(&SnapshotHead::default(), &mut out, |entries| {
            entries.push(&MdEntry::default(), &[Qty::ZERO; 50])
        })
        .expect("within the bounds");
        let (mut rest, mut ticks, mut orders) = (&out[..], 0, 0);
        while let Some(frame) = frame::decode(rest, frame::BODY_LEN_MAX).expect("frames") {
            match frame.view::<TickOrder>() {
                Ok(_) => ticks += 1,
                Err(_) => {
                    let snapshot: Snapshot<'_> = frame.group().expect("a snapshot");
                    orders += snapshot.entries().map(|entry| entry.orders.len()).sum::<usize>();
                }
            }
            rest = &rest[frame.bytes.len()..];
        }
        assert_eq!((ticks, orders), (100, 50));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_session_lives_without_allocation() {
    let (mut wire, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let counted = allocation_counter::measure(|| {
        let logon = Logon { default_appl_ver_id: VERSION_MARKET_DATA, ..Logon::default() };
        let _initiator = Session::initiator(Limits::default(), &logon, 0, &mut wire);
        let mut acceptor = Session::acceptor(Limits::default(), 0);
        acceptor.receive(&wire, 0, &mut out).expect("a logon").expect("whole");
        acceptor.accept(VERSION_TRADING, 0, &mut out);
        wire.clear();
        frame::encode(&Heartbeat, &mut wire);
        let received = acceptor.receive(&wire, 1, &mut out).expect("a heartbeat").expect("whole");
        assert!(matches!(received.event, Event::Heartbeat));
        acceptor.on_timeout(acceptor.next_timeout_ns(), &mut out).expect("a heartbeat is due");
    });
    assert_eq!(counted.count_total, 0);
}
