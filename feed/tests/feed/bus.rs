//! Quotes over a message bus and back: through the death of the bus, and past what nobody holds any more.

use crate::nats::Nats;
use crate::support::*;
use feed::Config;
use feed::bus::Bus;
use feed::config::{FromName, Source, Via};
use futures_util::StreamExt;
use std::net::SocketAddr;

/// A feed that publishes what its two sources bring.
fn publishing(nats: &Nats, change: impl FnOnce(&mut Config)) -> Feed {
    let feed = Feed::start(|config| {
        config.bus = Some(Bus::new(vec![nats.url()]));
        change(config);
    });
    wait_for("the bus", || feed.metrics.bus_up.get() == 1);
    feed
}

/// A feed whose quotes come from the bus alone.
fn reading(nats: &Nats) -> Feed {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let feed = Feed::with_sources(&[], |config| {
        config.arbitration.from = FromName::Open;
        config.sources = vec![Source {
            via: Via::Nats,
            bus: Some(Bus::new(vec![nats.url()])),
            backoff_min_ms: 1,
            backoff_max_ms: 10,
            ..Source::new("source-0", nowhere)
        }];
    });
    feed.wait_for_sources(1);
    feed
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

#[test]
fn what_is_published_comes_back_in_order_and_over_the_death_of_the_bus() {
    let Some(mut nats) = Nats::start() else { return };
    let first = publishing(&nats, |_| {});
    let [mut primary, _backup] = first.sources();
    first.wait_for_sources(2);
    let mut here = subscribe(first.address, &Wanted::all());
    let second = reading(&nats);
    let mut there = subscribe(second.address, &Wanted::all());
    primary.publish(1, 1..=3_000);
    primary.send_bytes(&snapshot(1, 1011, 20_260_105_093_000_000));
    here.expect_ticks(1, 1..=3_000);
    there.expect_ticks(1, 1..=3_000);
    assert_eq!(here.see(), Seen::Snapshot(1, 20_260_105_093_000_000));
    assert_eq!(there.see(), Seen::Snapshot(1, 20_260_105_093_000_000));

    nats.kill();
    second.wait_for_sources(0);
    primary.publish(1, 3_001..=9_000);
    here.expect_ticks(1, 3_001..=9_000);
    wait_for("the bus to be missed", || first.metrics.bus_up.get() == 0);

    nats.revive();
    there.expect_ticks(1, 3_001..=9_000);
    primary.publish(1, 9_001..=9_100);
    there.expect_ticks(1, 9_001..=9_100);
    assert_eq!((first.metrics.bus_missed.get(), second.metrics.numbers_lost.get()), (0, 0));
}

#[test]
fn who_comes_late_asks_over_the_bus_for_what_was_before() {
    let Some(nats) = Nats::start() else { return };
    let first = publishing(&nats, |_| {});
    let [mut primary, _backup] = first.sources();
    first.wait_for_sources(2);
    primary.publish(1, 1..=4_000);
    wait_for("the bus to have it", || first.metrics.bus_entries.get() >= 4_000);
    let second = reading(&nats);
    let mut there = subscribe(second.address, &Wanted::all());
    primary.publish(1, 4_001..=4_010);
    there.expect_ticks(1, 1..=4_010);
    assert!(first.metrics.bus_asked.with_label_values(&["answered"]).get() > 0);
}

#[test]
fn programs_on_the_bus_see_subjects_numbers_and_what_is_missing() {
    let Some(mut nats) = Nats::start() else { return };
    let feed = publishing(&nats, small_log);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listen = async |url: String| {
        let client = async_nats::connect(url).await.unwrap();
        let quotes = client.subscribe("tongdao.*.*.*").await.unwrap();
        // An answer of the server: the subscription is there.
        let mut echo = client.subscribe("echo").await.unwrap();
        client.publish("echo", "".into()).await.unwrap();
        echo.next().await.unwrap();
        quotes
    };
    let number = |message: &async_nats::Message| {
        let headers = message.headers.as_ref().unwrap();
        let of = |name: &str| headers.get(name).unwrap().as_str().parse::<u64>().unwrap();
        (of("Tongdao-Channel"), of("Tongdao-ApplSeqNum"))
    };
    let mut quotes = runtime.block_on(listen(nats.url()));
    primary.publish(1, 1..=2);
    let first = runtime.block_on(async { soon(quotes.next()).await.unwrap() });
    assert_eq!((first.subject.as_str(), number(&first)), ("tongdao.102.000001.order", (1, 1)));
    assert_eq!(first.payload[..], bytes_of(&tick(1, 1)));

    // The bus is away for longer than the log holds.
    nats.kill();
    wait_for("the bus to be missed", || feed.metrics.bus_up.get() == 0);
    let mut here = subscribe(feed.address, &Wanted::from(1, 3));
    for begin in (3..3 * HELD).step_by(4_000) {
        primary.publish(1, begin..=begin + 3_999);
        here.expect_ticks(1, begin..=begin + 3_999);
    }
    nats.revive();
    let mut quotes = runtime.block_on(async {
        loop {
            // The server may not be there yet.
            if async_nats::connect(nats.url()).await.is_ok() {
                break listen(nats.url()).await;
            }
        }
    });
    wait_for("what was let go of to be counted", || feed.metrics.bus_missed.get() > 0);
    wait_for("the bus to have the rest", || {
        feed.metrics.bus_up.get() == 1 && feed.metrics.bus_behind.get() == 0
    });
    // What comes after the gap comes in order and to its end.
    primary.publish(2, 1..=1);
    let mut last = 0;
    loop {
        let message = runtime.block_on(async { soon(quotes.next()).await.unwrap() });
        match number(&message) {
            (2, 1) => break,
            (_, number) if message.subject.ends_with(".gap") => last = number,
            (_, number) => {
                assert!(last == 0 || number <= last + 1, "{number} behind {last}");
                last = last.max(number);
            }
        }
    }
}

#[test]
fn what_is_no_quote_is_counted_and_left() {
    let Some(nats) = Nats::start() else { return };
    let first = publishing(&nats, |_| {});
    let [mut primary, _backup] = first.sources();
    first.wait_for_sources(2);
    let second = reading(&nats);
    let mut there = subscribe(second.address, &Wanted::all());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(nats.url()).await.unwrap();
        client.publish("tongdao.102.000001.order", "buy!".into()).await.unwrap();
        client.publish("tongdao.resend", "what?".into()).await.unwrap();
        client.publish_with_reply("tongdao.resend", "nobody", "what?".into()).await.unwrap();
        client.flush().await.unwrap();
    });
    wait_for("it to be counted", || {
        let asked = first.metrics.bus_asked.with_label_values(&["no question"]).get();
        (second.metrics.bus_bad.get(), asked) == (1, 2)
    });
    primary.publish(1, 1..=5);
    there.expect_ticks(1, 1..=5);
    assert_eq!(second.metrics.source_sessions.with_label_values(&["source-0"]).get(), 1);
}
