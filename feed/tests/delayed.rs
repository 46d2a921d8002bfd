//! A feed in a simulated network with a seeded clock: who has a right to late quotes alone gets them late, and
//! a change of the right moves an open session from the one log to the other.
#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

use feed::config::Source;
use feed::{Config, Server};
use service::Host;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};
use wire::szse::code::{SOURCE_SHENZHEN, STREAM_SNAPSHOT, VERSION_MARKET_DATA};
use wire::szse::ext::{
    EntitlementNotice, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::{Snapshot, SnapshotHead, TickOrder};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{I32, I64, Logon, Message, Password, Text, Timestamp, U16, frame};

const SOURCE_PORT: u16 = 9_101;
const FEED_PORT: u16 = 9_100;
/// A snapshot, and a tick, in each of these.
const PACE_S: u64 = 1;
const SAMPLE_S: u64 = 3;
const DELAY_S: u64 = 60;

fn now() -> Duration {
    turmoil::sim_elapsed().expect("inside a simulation")
}

fn now_ns() -> u64 {
    now().as_nanos() as u64
}

/// A source whose snapshots say the second in which they are sent.
async fn source() -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", SOURCE_PORT)).await?;
    let (mut stream, _) = listener.accept().await?;
    let mut session = Session::acceptor(Limits::default(), now_ns());
    let (mut received, mut out, mut next_s) = (Vec::new(), Vec::new(), 1);
    loop {
        let mut bytes = [0; 4_096];
        tokio::select! {
            count = stream.read(&mut bytes) => received.extend_from_slice(&bytes[..count?]),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let mut consumed = 0;
        while let Some(event) = session.receive(&received[consumed..], now_ns(), &mut out)? {
            consumed += event.consumed;
            if let Event::LogonRequest(_) = event.event {
                session.accept(VERSION_MARKET_DATA, now_ns(), &mut out);
            }
        }
        received.drain(..consumed);
        if session.is_active() && now().as_secs() >= next_s {
            next_s = now().as_secs() + PACE_S;
            publish(now().as_secs() as i64, &mut out)?;
        }
        session.on_timeout(now_ns(), &mut out)?;
        stream.write_all(&out).await?;
        out.clear();
    }
}

fn publish(second: i64, out: &mut Vec<u8>) -> turmoil::Result {
    let security_id = Text::literal("000001");
    let head = SnapshotHead {
        orig_time: Timestamp::from_raw(second),
        channel_no: U16::new(7),
        md_stream_id: STREAM_SNAPSHOT,
        security_id,
        security_id_source: SOURCE_SHENZHEN,
        ..SnapshotHead::default()
    };
    Snapshot::encode(&head, out, |_| Ok(()))?;
    let (channel_no, appl_seq_num) = (U16::new(7), I64::new(second));
    let security_id_source = SOURCE_SHENZHEN;
    frame::encode(
        &TickOrder { channel_no, appl_seq_num, security_id, security_id_source, ..TickOrder::default() },
        out,
    );
    Ok(())
}

/// What a subscriber saw, and when.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The second that it speaks of, and the one in which it came.
    Snapshot(u64, u64),
    Tick,
    /// Minutes of delay.
    Right(u16),
}

async fn subscriber(name: &'static str, until_s: u64, seen: Rc<RefCell<Vec<Seen>>>) -> turmoil::Result {
    let mut stream = TcpStream::connect(("feed", FEED_PORT)).await?;
    let logon = Logon {
        sender_comp_id: Text::literal(name),
        target_comp_id: Text::literal("feed"),
        heart_bt_int_s: I32::new(60),
        password: Password::new(name.as_bytes())?,
        default_appl_ver_id: VERSION_MARKET_DATA,
    };
    let mut out = Vec::new();
    let mut session = Session::initiator(Limits::default(), &logon, now_ns(), &mut out);
    let (mode, policy) = (SubscriptionMode::ALL, SlowReaderPolicy::DISCONNECT);
    let head = RequestHead { mode, policy, want_snapshots: 1, ..RequestHead::default() };
    MarketDataRequest { head, channels: &[], securities: &[] }.encode(&mut out)?;
    stream.write_all(&out).await?;
    let mut received = Vec::new();
    while now().as_secs() < until_s {
        let mut bytes = [0; 4_096];
        tokio::select! {
            count = stream.read(&mut bytes) => {
                let count = count?;
                assert_ne!(count, 0, "the feed keeps its subscriber");
                received.extend_from_slice(&bytes[..count]);
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let mut consumed = 0;
        let mut out = Vec::new();
        while let Some(event) = session.receive(&received[consumed..], now_ns(), &mut out)? {
            consumed += event.consumed;
            let Event::Message(frame) = event.event else { continue };
            if frame.msg_type == TickOrder::MSG_TYPE {
                seen.borrow_mut().push(Seen::Tick);
            } else if let Ok(snapshot) = frame.group::<Snapshot<'_>>() {
                let of = snapshot.head.orig_time.raw() as u64;
                seen.borrow_mut().push(Seen::Snapshot(of, now().as_secs()));
            } else if let Ok(notice) = frame.view::<EntitlementNotice>() {
                seen.borrow_mut().push(Seen::Right(notice.delay_min.get()));
            }
        }
        session.on_timeout(now_ns(), &mut out)?;
        stream.write_all(&out).await?;
        received.drain(..consumed);
    }
    Ok(())
}

fn write(path: &Path, of_moved: &str) {
    let account = |name: &str, rights: &str| {
        format!(
            "[[accounts]]\nname = \"{name}\"\ncomp_id = \"{name}\"\npassword = \"{name}\"\n\
             connections_max = 1\n{rights}\n"
        )
    };
    let late = account("late", "level = 1\ndelay_min = 1");
    let later = account("later", "level = 1\ndelay_min = 1");
    std::fs::write(path, late + &later + &account("moved", of_moved)).unwrap();
}

fn config(rights: &Path) -> Config {
    let mut config = Config::default();
    config.listen.address = SocketAddr::from(([0, 0, 0, 0], FEED_PORT));
    let address = SocketAddr::from((turmoil::lookup("source"), SOURCE_PORT));
    config.sources = vec![Source::new("source", address)];
    config.entitlement.file = Some(rights.to_owned());
    config.entitlement.delays_min = vec![1];
    config.entitlement.delayed_sample_ms = SAMPLE_S * 1_000;
    config
}

/// Checks that snapshots came late, as late as they may, and each later than the one before.
fn assert_late(seen: &[Seen]) {
    let mut last = 0;
    for seen in seen {
        let Seen::Snapshot(of, at) = *seen else { panic!("snapshots alone, and not {seen:?}") };
        assert!(at >= of + DELAY_S, "what was published at {of} s came at {at} s");
        assert!(of > last);
        last = of;
    }
}

#[test]
fn late_quotes_are_late_and_a_right_can_move_between_late_and_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rights.toml");
    let (live, delayed) = ("level = 2", "level = 1\ndelay_min = 1");
    write(&path, live);
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .tick_duration(Duration::from_millis(10))
        .simulation_duration(Duration::from_secs(200))
        .build();
    sim.host("source", source);
    sim.host("feed", move || {
        let path = path.clone();
        async move {
            let server = Server::bind(config(&path), &Host::default())?;
            let mut reload = server.reload();
            tokio::task::spawn_local(async move {
                for (at_s, rights) in [(100, delayed), (140, live)] {
                    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(at_s) - now())
                        .await;
                    write(&path, rights);
                    reload();
                }
            });
            server.run().await?;
            Ok(())
        }
    });
    let all: [Rc<RefCell<Vec<Seen>>>; 3] = Default::default();
    let [late, later, moved] = &all;
    sim.client("late", subscriber("late", 180, late.clone()));
    let seen = later.clone();
    sim.client("later", async move {
        tokio::time::sleep(Duration::from_secs(120)).await;
        subscriber("later", 180, seen).await
    });
    sim.client("moved", subscriber("moved", 180, moved.clone()));
    sim.run().unwrap();

    let late = late.borrow();
    assert_late(&late);
    let count = late.len() as u64;
    let samples = (180 - DELAY_S) / SAMPLE_S;
    assert!((samples / 2..=samples).contains(&count), "a sample each {SAMPLE_S} s, and there were {count}");
    let later = later.borrow();
    assert_late(&later);
    let Seen::Snapshot(of, 120) = later[0] else { panic!("the last late snapshot at once: {later:?}") };
    assert!(of >= 120 - DELAY_S - 2 * SAMPLE_S, "{of}");

    let moved = moved.borrow();
    let change = |minutes| moved.iter().position(|seen| *seen == Seen::Right(minutes)).unwrap();
    let (to_late, to_live) = (change(1), change(0));
    assert!(moved[..to_late].contains(&Seen::Tick), "live, and with ticks");
    assert_late(&moved[to_late + 1..to_live]);
    assert!(to_live - to_late > 5, "late, for 40 s");
    assert!(moved[to_live..].contains(&Seen::Tick), "and live again");
    let Some(Seen::Snapshot(of, at)) =
        moved.last().filter(|seen| **seen != Seen::Tick).or(moved.iter().nth_back(1))
    else {
        panic!("a snapshot at the end")
    };
    assert!(at - of <= 1, "what was published at {of} s came at {at} s");
}
