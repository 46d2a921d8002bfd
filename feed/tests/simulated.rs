//! A feed in a simulated network with a seeded clock: stories that take a day to tell with real sockets.
#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

use feed::config::{FromName, Source};
use feed::{Config, Metrics, Server};
use service::Host;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};
use wire::szse::code::{ResendStatus, SOURCE_SHENZHEN, VERSION_MARKET_DATA};
use wire::szse::ext::{ChannelStart, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::{Resend, TickOrder};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{I32, I64, Logon, Message, Text, U16, frame};

const SOURCE_PORT: u16 = 9_101;
const FEED_PORT: u16 = 9_100;
const CHANNEL: u16 = 2_011;
/// Every source publishes one number in each of these.
const PACE: Duration = Duration::from_millis(5);
const NUMBERS: u64 = 4_000;

fn now_ns() -> u64 {
    turmoil::sim_elapsed().expect("inside a simulation").as_nanos() as u64
}

fn tick(number: u64, out: &mut Vec<u8>) {
    let order = TickOrder {
        channel_no: U16::new(CHANNEL),
        appl_seq_num: I64::new(number as i64),
        security_id: Text::literal("000001"),
        security_id_source: SOURCE_SHENZHEN,
        ..TickOrder::default()
    };
    frame::encode(&order, out);
}

/// The number that is published last at this time, by all sources alike.
fn published() -> u64 {
    (now_ns() / PACE.as_nanos() as u64).min(NUMBERS)
}

/// A source: publishes from where it is when its reader comes, and gives any past number again.
async fn source() -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", SOURCE_PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            // A connection that ends is what the story is about.
            if let Err(error) = serve(stream).await {
                tracing::debug!(%error, "the feed's connection");
            }
        });
    }
}

async fn serve(mut stream: TcpStream) -> turmoil::Result {
    let mut session = Session::acceptor(Limits::default(), now_ns());
    let (mut received, mut out) = (Vec::new(), Vec::new());
    let mut next = published() + 1;
    while !session.is_closed() {
        let mut bytes = [0; 4_096];
        tokio::select! {
            count = stream.read(&mut bytes) => {
                let count = count?;
                received.extend_from_slice(&bytes[..count]);
                if count == 0 {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(PACE) => {}
        }
        let mut consumed = 0;
        while let Some(event) = session.receive(&received[consumed..], now_ns(), &mut out)? {
            consumed += event.consumed;
            match event.event {
                Event::LogonRequest(_) => session.accept(VERSION_MARKET_DATA, now_ns(), &mut out),
                Event::Message(frame) if frame.msg_type == Resend::MSG_TYPE => {
                    let request: &Resend = frame.view()?;
                    let range = request.appl_beg_seq_num.get() as u64..=request.appl_end_seq_num.get() as u64;
                    range.for_each(|number| tick(number, &mut out));
                    frame::encode(&Resend { resend_status: ResendStatus::COMPLETE, ..*request }, &mut out);
                }
                _ => {}
            }
        }
        received.drain(..consumed);
        if session.is_active() {
            (next..=published()).for_each(|number| tick(number, &mut out));
            next = published() + 1;
        }
        session.on_timeout(now_ns(), &mut out)?;
        if !out.is_empty() {
            stream.write_all(&out).await?;
            session.sent(now_ns());
            out.clear();
        }
    }
    Ok(())
}

fn config() -> Config {
    let mut config = Config::default();
    config.listen.address = SocketAddr::from(([0, 0, 0, 0], FEED_PORT));
    config.sources = ["primary", "backup"]
        .map(|name| Source {
            heartbeat_s: 1,
            ..Source::new(name, SocketAddr::from((turmoil::lookup(name), SOURCE_PORT)))
        })
        .to_vec();
    config.arbitration.from = FromName::Open;
    config
}

/// A subscriber that reads until it has the last number.
async fn subscriber(numbers: Rc<RefCell<Vec<u64>>>) -> turmoil::Result {
    let mut stream = TcpStream::connect(("feed", FEED_PORT)).await?;
    let logon = Logon {
        sender_comp_id: Text::literal("reader"),
        target_comp_id: Text::literal("feed"),
        heart_bt_int_s: I32::new(60),
        default_appl_ver_id: VERSION_MARKET_DATA,
        ..Logon::default()
    };
    let mut out = Vec::new();
    let mut session = Session::initiator(Limits::default(), &logon, now_ns(), &mut out);
    let head = RequestHead {
        mode: SubscriptionMode::ALL,
        policy: SlowReaderPolicy::DISCONNECT,
        ..RequestHead::default()
    };
    let first = ChannelStart { channel_no: U16::new(CHANNEL), next_appl_seq_num: I64::new(1) };
    MarketDataRequest { head, channels: &[first], securities: &[] }.encode(&mut out)?;
    stream.write_all(&out).await?;
    let mut received = Vec::new();
    while numbers.borrow().last() != Some(&NUMBERS) {
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).await?;
        assert_ne!(count, 0, "the feed keeps its subscriber");
        received.extend_from_slice(&bytes[..count]);
        let mut consumed = 0;
        while let Some(event) = session.receive(&received[consumed..], now_ns(), &mut Vec::new())? {
            consumed += event.consumed;
            if let Event::Message(frame) = event.event
                && let Ok(order) = frame.view::<TickOrder>()
            {
                numbers.borrow_mut().push(order.appl_seq_num.get() as u64);
            }
        }
        received.drain(..consumed);
    }
    Ok(())
}

/// Runs a feed, its two sources and a subscriber to the last number, while `trouble` happens, and checks that each
/// number came once and in order. Returns what the feed counted.
fn story(seed: u64, trouble: impl AsyncFnOnce() + 'static) -> Metrics {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(60))
        .max_message_latency(Duration::from_millis(20))
        .build();
    sim.host("primary", source);
    sim.host("backup", source);
    let metrics = Rc::new(RefCell::new(None));
    let of_feed = metrics.clone();
    sim.host("feed", move || {
        let of_feed = of_feed.clone();
        async move {
            let server = Server::bind(config(), &Host::default())?;
            *of_feed.borrow_mut() = Some(server.metrics());
            server.run().await?;
            Ok(())
        }
    });
    let numbers = Rc::new(RefCell::new(Vec::new()));
    sim.client("subscriber", subscriber(numbers.clone()));
    sim.client("trouble", async move {
        trouble().await;
        Ok(())
    });
    sim.run().unwrap();
    assert_eq!(*numbers.borrow(), (1..=NUMBERS).collect::<Vec<_>>(), "each number once and in order");
    metrics.borrow().clone().expect("the feed was bound")
}

#[test]
fn the_primary_is_cut_off_one_way_and_comes_back() {
    for seed in 1..=4 {
        let metrics = story(seed, async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            // The feed is heard, and hears nothing: no end of the connection tells it.
            turmoil::partition_oneway("primary", "feed");
            tokio::time::sleep(Duration::from_secs(8)).await;
            turmoil::repair_oneway("primary", "feed");
        });
        let ended = metrics.source_ended.with_label_values(&["primary", "heartbeat timeout"]);
        assert_eq!(ended.get(), 1, "the silence was noticed");
        let sessions = metrics.source_sessions.with_label_values(&["primary"]);
        assert_eq!(sessions.get(), 2, "and the source was there again");
        assert_eq!(metrics.numbers_lost.get(), 0);
    }
}

#[test]
fn both_sources_are_cut_off_for_a_while_and_nothing_is_lost() {
    for seed in 1..=4 {
        let metrics = story(seed, async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            turmoil::partition("primary", "feed");
            tokio::time::sleep(Duration::from_secs(2)).await;
            turmoil::partition("backup", "feed");
            tokio::time::sleep(Duration::from_secs(5)).await;
            turmoil::repair("primary", "feed");
            tokio::time::sleep(Duration::from_secs(2)).await;
            turmoil::repair("backup", "feed");
        });
        assert!(metrics.gaps.get() > 0, "there was a hole");
        assert_eq!(metrics.numbers_lost.get(), 0);
    }
}
