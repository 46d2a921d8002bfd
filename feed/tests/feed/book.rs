//! The books of a whole feed: what the operator's port shows of them, and what is published.

use crate::support::*;
use crate::websocket::WebSocket;
use feed::book::BookConfig as Book;
use wire::szse::code::{ExecType, OrdType, SOURCE_SHENZHEN, STREAM_SNAPSHOT, STREAM_TICK, Side};
use wire::szse::ext::{RequestStatus, STREAM_BOOK, SubscriptionMode};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder, TickTrade};
use wire::szse::{I64, Logon, Message, Password, Price, Qty, Text, Timestamp, U16, frame};

const TIME: i64 = 20_240_105_100_000_000;

fn published(interval_ms: u64) -> Option<Book> {
    Some(Book { publish_interval_ms: interval_ms, ..Book::default() })
}

fn order(number: u64, side: Side, price: i64) -> TickOrder {
    TickOrder {
        md_stream_id: STREAM_TICK,
        price: Price::whole(price),
        order_qty: Qty::whole(100),
        side,
        ord_type: OrdType::LIMIT,
        transact_time: Timestamp::from_raw(TIME + number as i64),
        ..tick(1, number)
    }
}

fn cancel(number: u64, bid: i64) -> TickTrade {
    TickTrade {
        channel_no: U16::new(1),
        appl_seq_num: I64::new(number as i64),
        md_stream_id: STREAM_TICK,
        bid_appl_seq_num: I64::new(bid),
        security_id: tick(1, 1).security_id,
        security_id_source: SOURCE_SHENZHEN,
        last_qty: Qty::whole(100),
        exec_type: ExecType::CANCELLED,
        transact_time: Timestamp::from_raw(TIME + number as i64),
        ..TickTrade::default()
    }
}

/// The exchange's snapshot of these levels, each of one order of 100: buys and sells.
fn shot(ms: i64, bids: &[i64], asks: &[i64]) -> Vec<u8> {
    let head = SnapshotHead {
        orig_time: Timestamp::from_raw(TIME + ms),
        channel_no: U16::new(1),
        md_stream_id: STREAM_SNAPSHOT,
        security_id: tick(1, 1).security_id,
        security_id_source: SOURCE_SHENZHEN,
        trading_phase_code: Text::literal("T0"),
        prev_close_px: Price::whole(9),
        ..SnapshotHead::default()
    };
    let mut out = Vec::new();
    Snapshot::encode(&head, &mut out, |entries| {
        for (levels, md_entry_type) in
            [(bids, wire::szse::code::MdEntryType::BID), (asks, wire::szse::code::MdEntryType::ASK)]
        {
            for (level, price) in (1..).zip(levels) {
                let entry = MdEntry {
                    md_entry_type,
                    md_entry_px: wire::szse::MdEntryPx::from_price(Price::whole(*price)).expect("in range"),
                    md_entry_size: Qty::whole(100),
                    md_price_level: U16::new(level),
                    number_of_orders: I64::new(1),
                };
                entries.push(&entry, &[])?;
            }
        }
        Ok(())
    })
    .unwrap();
    out
}

/// Waits until the operator's port shows this of the book.
fn wait_for_book(feed: &Feed, wanted: &str) -> String {
    let mut answer = String::new();
    wait_for("the book", || {
        answer = feed.get("/book?security=000001");
        answer.contains(wanted)
    });
    answer
}

/// The next snapshot that the feed made of its book: its bids and asks.
fn next_of_book(peer: &mut Peer) -> (Vec<i64>, Vec<i64>) {
    loop {
        let bytes = peer.frame().expect("a snapshot of the book");
        let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        let Ok(snapshot) = frame.group::<Snapshot<'_>>() else { continue };
        if snapshot.head.md_stream_id != STREAM_BOOK {
            continue;
        }
        assert_eq!(snapshot.head.prev_close_px, Price::whole(9), "the exchange's");
        assert_eq!(snapshot.head.channel_no.get(), Book::default().publish_channel);
        let side = |kind| {
            let entries = snapshot.entries().filter(move |entry| entry.entry.md_entry_type == kind);
            entries.map(|entry| entry.entry.md_entry_px.raw() / 1_000_000).collect()
        };
        return (side(wire::szse::code::MdEntryType::BID), side(wire::szse::code::MdEntryType::ASK));
    }
}

#[test]
fn the_operators_port_shows_a_book_and_what_became_of_its_snapshots() {
    let feed = Feed::start(|config| config.book = published(0));
    let [mut primary, mut backup] = feed.sources();
    assert!(feed.get("/book?security=000001").contains("no book of this security"));
    assert!(feed.get("/book").starts_with("HTTP/1.1 400"), "which security?");
    primary.send_bytes(&shot(0, &[], &[]));
    primary.send(&order(1, Side::BUY, 10));
    // The other source has the same, and is first with what follows.
    backup.send(&order(1, Side::BUY, 10));
    backup.send(&order(2, Side::SELL, 12));
    backup.send(&order(3, Side::SELL, 11));
    wait_for_book(&feed, "\"tick\":3");
    primary.send_bytes(&shot(5, &[10], &[11, 12]));
    let answer = wait_for_book(&feed, "\"agreed\":1");
    for part in [
        "\"state\":\"whole\"",
        "\"channel\":1",
        "\"orders\":3",
        "\"bids\":[{\"price\":\"10.0000\",\"quantity\":\"100.00\",\"orders\":1}]",
        "\"asks\":[{\"price\":\"11.0000\",\"quantity\":\"100.00\",\"orders\":1},{\"price\":\"12.0000\"",
        "\"diverged\":0",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(feed.get("/book?security=000001&source=102&levels=1").contains("\"levels\":[1,2]"));
    assert!(feed.get("/book?security=000001&source=101").starts_with("HTTP/1.1 404"));
}

#[test]
fn without_books_the_operators_port_says_so() {
    let feed = Feed::start(|_| {});
    assert!(feed.get("/book?security=000001").contains("no [book] in the configuration"));
}

#[test]
fn numbers_that_are_lost_make_the_book_wait_for_the_next_snapshot() {
    let feed = Feed::start(|config| {
        config.book = published(0);
        config.arbitration.deadline_ms = 50;
        config.arbitration.retry_ms = 10;
    });
    let [mut primary, _backup] = feed.sources();
    primary.send(&order(1, Side::BUY, 10));
    primary.send(&order(2, Side::SELL, 12));
    wait_for_book(&feed, "\"state\":\"whole\"");
    // Number 3, a cancel of the first order, comes from nobody.
    primary.send(&order(4, Side::BUY, 9));
    wait_for_book(&feed, "\"state\":\"waiting\"");
    primary.send_bytes(&shot(5, &[9], &[12]));
    let answer = wait_for_book(&feed, "\"state\":\"healed\"");
    assert!(answer.contains("\"bids\":[{\"price\":\"9.0000\""), "{answer}");
}

/// A feed that publishes its books, for browsers too; account `one` sees no ticks, account `two` does.
fn with_rights() -> Feed {
    let rights = tempfile::NamedTempFile::new().unwrap();
    let account = |name: &str, level: u8| {
        format!(
            "{{ name = \"{name}\", comp_id = \"{name}\", password = \"{name}\", level = {level}, connections_max = 2 }}"
        )
    };
    std::fs::write(&rights, format!("accounts = [{}, {}]", account("one", 1), account("two", 2))).unwrap();
    Feed::start(|config| {
        config.book = published(20);
        config.entitlement.file = Some(rights.path().to_owned());
        config.web.listen = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    })
}

#[test]
fn books_that_change_are_published_to_who_sees_ticks() {
    let feed = with_rights();
    let [mut primary, _backup] = feed.sources();
    let subscribe_as = |name: &str| {
        let logon = Logon {
            sender_comp_id: Text::new(name.as_bytes()).unwrap(),
            password: Password::new(name.as_bytes()).unwrap(),
            ..logon()
        };
        let mut peer = log_on_as(feed.address, &logon);
        let mode = SubscriptionMode::SECURITIES;
        peer.request(&Wanted { mode, securities: vec![1], snapshots: true, ..Wanted::all() });
        assert_eq!(peer.see(), Seen::Ack(RequestStatus::ACCEPTED));
        peer
    };
    let [mut one, mut two] = [subscribe_as("one"), subscribe_as("two")];
    primary.send_bytes(&shot(0, &[], &[]));
    primary.send(&order(1, Side::BUY, 10));
    assert_eq!(next_of_book(&mut two), (vec![10], vec![]));
    primary.send(&order(2, Side::SELL, 12));
    assert_eq!(next_of_book(&mut two), (vec![10], vec![12]));
    primary.send(&cancel(3, 1));
    assert_eq!(next_of_book(&mut two), (vec![], vec![12]));
    // Who comes late has the newest of it too.
    assert_eq!(next_of_book(&mut subscribe_as("two")), (vec![], vec![12]));
    // Who sees snapshots alone sees the exchange's alone: nothing was between these two.
    primary.send_bytes(&shot(9_000, &[], &[12]));
    loop {
        let bytes = one.frame().unwrap();
        let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        assert!(![TickOrder::MSG_TYPE, TickTrade::MSG_TYPE].contains(&frame.msg_type));
        let Ok(snapshot) = frame.group::<Snapshot<'_>>() else { continue };
        assert_eq!(snapshot.head.md_stream_id, STREAM_SNAPSHOT);
        if snapshot.head.orig_time == Timestamp::from_raw(TIME + 9_000) {
            break;
        }
    }
    assert!(feed.get("/metrics").contains("feed_book_published_total"));
}

#[test]
fn a_browser_of_level_one_sees_no_snapshot_made_of_ticks() {
    let feed = with_rights();
    let [mut primary, _backup] = feed.sources();
    // one:one and two:two
    let [mut one, mut two] = ["b25lOm9uZQ==", "dHdvOnR3bw=="].map(|account| {
        let header = format!("Authorization: Basic {account}\r\n");
        let mut browser = WebSocket::connect_with(feed.web.unwrap(), "/ws", &header).unwrap();
        browser.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["depth"]}"#);
        browser.event("subscribed");
        browser
    });
    // The next depth: when it is of, and the prices of its bids and asks.
    let depth = |browser: &mut WebSocket| {
        let depth = browser.event("depth");
        let side = |side: &str| {
            let levels = depth[side].as_array().unwrap().iter();
            levels.map(|level| level[0].as_str().unwrap().parse::<f64>().unwrap() as i64).collect::<Vec<_>>()
        };
        (depth["time"].as_str().unwrap().parse::<i64>().unwrap() - TIME, side("bids"), side("asks"))
    };
    primary.send_bytes(&shot(0, &[], &[]));
    assert_eq!(depth(&mut one), (0, vec![], vec![]));
    primary.send(&order(1, Side::BUY, 10));
    primary.send(&order(2, Side::SELL, 12));
    let mut times = Vec::new();
    let mut until = |time| {
        loop {
            let depth = depth(&mut two);
            times.push(depth.0);
            if depth.0 == time {
                break (depth.1, depth.2);
            }
        }
    };
    assert_eq!(until(2), (vec![10], vec![12]), "who sees ticks sees what is made of them");
    // The exchange's comes later, and is of before: to the one it is the first since, to the other it takes nothing back.
    primary.send_bytes(&shot(1, &[10], &[]));
    assert_eq!(depth(&mut one), (1, vec![10], vec![]));
    primary.send(&cancel(3, 1));
    assert_eq!(until(3), (vec![], vec![12]));
    primary.send_bytes(&shot(9_000, &[], &[12]));
    assert_eq!(until(9_000), (vec![], vec![12]));
    assert!(times.is_sorted(), "it went back: {times:?}");
    assert_eq!(depth(&mut one), (9_000, vec![], vec![12]), "nothing was between these");
}
