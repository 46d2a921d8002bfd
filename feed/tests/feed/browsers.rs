//! Browsers: what they are told, what they may not do, and what becomes of those that are slow or gone.

use crate::support::*;
use crate::websocket::{BINARY, Heard, WebSocket};
use feed::Config;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use wire::szse::code::{ExecType, MdEntryType, SOURCE_SHENZHEN, STREAM_SNAPSHOT};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickTrade};
use wire::szse::{Amount, I64, Price, Qty, Text, Timestamp, U16};

/// 2026-07-06 09:30:00.
const OPEN: i64 = 20_260_706_093_000_000;

pub(crate) fn with_web(change: impl FnOnce(&mut feed::web::Web)) -> Feed {
    Feed::start(|config: &mut Config| {
        config.web.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut config.web);
    })
}

fn id(security: u32) -> Text<8> {
    Text::new(format!("{security:06}").as_bytes()).unwrap()
}

/// A trade of 100 shares that a buyer took.
pub(crate) fn trade(security: u32, number: u64, price: &str) -> TickTrade {
    TickTrade {
        channel_no: U16::new(1),
        appl_seq_num: I64::new(number as i64),
        bid_appl_seq_num: I64::new(2),
        offer_appl_seq_num: I64::new(1),
        security_id: id(security),
        security_id_source: SOURCE_SHENZHEN,
        last_px: price.parse().unwrap(),
        last_qty: Qty::whole(100),
        exec_type: ExecType::TRADE,
        transact_time: Timestamp::from_raw(OPEN + (number % 60_000) as i64),
        ..TickTrade::default()
    }
}

/// What a snapshot says was traded by its time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    trades: i64,
    shares: i64,
    /// Units of 0.0001.
    value: i64,
}

impl Totals {
    /// Seven trades at one price, in units of 0.0001: for who sends no trades before it.
    pub(crate) fn at(price: i64) -> Self {
        Self { trades: 7, shares: 100_000, value: 100_000 * price }
    }

    /// With one more trade, at a price in units of 0.0001.
    pub(crate) fn and(self, shares: i64, price: i64) -> Self {
        Self { trades: self.trades + 1, shares: self.shares + shares, value: self.value + shares * price }
    }
}

/// A snapshot at `ms` after the opening with ten levels, a cent apart, around a last price in cents; the day before ended at 10.
pub(crate) fn levels(security: u32, ms: i64, last_cents: i64) -> Vec<u8> {
    let last = last_cents * 100;
    levels_by(100, security, ms, [100_000, last], Totals::at(last))
}

/// The same with levels a tick apart, of a previous close and a last price, all in units of 0.0001, and with these totals.
pub(crate) fn levels_by(
    tick: i64,
    security: u32,
    ms: i64,
    [prev_close, last]: [i64; 2],
    totals: Totals,
) -> Vec<u8> {
    let head = SnapshotHead {
        orig_time: Timestamp::from_raw(OPEN + ms),
        channel_no: U16::new(1_001),
        md_stream_id: STREAM_SNAPSHOT,
        security_id: id(security),
        security_id_source: SOURCE_SHENZHEN,
        trading_phase_code: Text::literal("T0"),
        prev_close_px: Price::from_raw(prev_close),
        num_trades: I64::new(totals.trades),
        total_volume_trade: Qty::whole(totals.shares),
        total_value_trade: Amount::from_raw(totals.value),
    };
    let mut out = Vec::new();
    let entry = |kind, price: i64, level: u16| MdEntry {
        md_entry_type: kind,
        md_entry_px: wire::szse::MdEntryPx::from_raw(price * 100),
        md_entry_size: Qty::whole(i64::from(level) * 100),
        md_price_level: U16::new(level),
        number_of_orders: I64::new(i64::from(level)),
    };
    Snapshot::encode(&head, &mut out, |entries| {
        for level in 1..=10 {
            entries.push(&entry(MdEntryType::BID, last - tick * i64::from(level), level), &[])?;
            entries.push(&entry(MdEntryType::ASK, last + tick * i64::from(level), level), &[])?;
        }
        entries.push(&entry(MdEntryType::LAST, last, 0), &[])?;
        entries.push(&entry(MdEntryType::UPPER_LIMIT, prev_close / 10 * 11, 0), &[])?;
        entries.push(&entry(MdEntryType::LOWER_LIMIT, prev_close / 10 * 9, 0), &[])
    })
    .unwrap();
    out
}

/// Whether it is counted by now.
fn is_counted(feed: &Feed, line: &str) -> bool {
    feed.get("/metrics").lines().any(|counted| counted == line)
}

/// Waits until it is counted.
fn counted(feed: &Feed, line: &str) {
    wait_for(line, || is_counted(feed, line));
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_browser_is_told_the_newest_of_what_it_subscribes_to() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut browser = WebSocket::connect(feed.web.unwrap());
    let hello = browser.event("hello");
    assert_eq!((&hello["version"], &hello["updates_per_s"]), (&json!(1), &json!(10)));
    browser.say(r#"{"op":"subscribe","codes":["000001.SZ"]}"#);
    assert_eq!(browser.event("subscribed")["codes"], json!(["000001.SZ"]));
    primary.send_bytes(&levels(1, 500, 1_002));
    primary.send_bytes(&levels(2, 500, 2_002));
    let shown = browser.event("snapshot");
    assert_eq!(shown["code"], "000001.SZ");
    assert_eq!((&shown["last"], &shown["prev_close"]), (&json!("10.0200"), &json!("10.0000")), "no floats");
    assert_eq!((&shown["upper"], &shown["volume"]), (&json!("11.0000"), &json!("100000.00")));
    assert_eq!(shown["lag_ms"], Value::Null, "the stamp is not of now");
    let depth = browser.event("depth");
    // 4 ms is as fine as such a number is in JavaScript.
    assert_eq!((&shown["time"], &depth["time"]), (&json!("20260706093000500"), &json!("20260706093000500")));
    assert_eq!(depth["bids"][0], json!(["10.0100", "100.00", 1]));
    assert_eq!(depth["asks"][9], json!(["10.1200", "1000.00", 10]));
    browser.event("line");
    primary.send(&trade(1, 1_000, "10.05"));
    let trades = browser.event("trade");
    assert_eq!((&trades["code"], &trades["missed"]), (&json!("000001.SZ"), &json!(0)));
    assert_eq!(trades["trades"], json!([["20260706093001000", "10.0500", "100.00", "B"]]));
    let line = browser.event("line");
    assert_eq!((&line["width_s"], &line["whole"]), (&json!(1), &json!(false)));
    assert_eq!(line["points"].as_array().unwrap().last().unwrap()[1], "10.0500");
    browser.say(r#"{"op":"unsubscribe","codes":["000001.SZ"]}"#);
    assert_eq!(browser.event("subscribed")["codes"], json!([]));
    // Of two trades it hears of the one alone that it still wants to hear of.
    browser.say(r#"{"op":"subscribe","codes":["000002"],"want":["trade"]}"#);
    primary.send(&trade(1, 1_001, "10.06"));
    primary.send(&trade(2, 1_002, "20.00"));
    assert_eq!(browser.event("trade")["code"], "000002.SZ");
}

#[test]
fn who_comes_late_is_told_the_state_first() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    primary.send_bytes(&levels(1, 0, 1_002));
    (1..=80).for_each(|number| primary.send(&trade(1, number, "10.03")));
    let mut early = WebSocket::connect(feed.web.unwrap());
    early.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["snapshot"]}"#);
    while early.event("snapshot")["trades"] != 87 {}
    let mut late = WebSocket::connect(feed.web.unwrap());
    late.say(r#"{"op":"subscribe","codes":["000001.SZ"]}"#);
    assert_eq!(late.event("snapshot")["trades"], 87);
    let trades = late.event("trade");
    assert_eq!((trades["trades"].as_array().unwrap().len(), &trades["missed"]), (50, &json!(0)));
    assert_eq!(late.event("line")["whole"], true);
}

#[test]
fn a_quote_that_is_told_again_lags_by_no_more_than_before() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut browser = WebSocket::connect(feed.web.unwrap());
    let subscribe = r#"{"op":"subscribe","codes":["000001.SZ"],"want":["snapshot"]}"#;
    browser.say(subscribe);
    browser.event("subscribed");
    let now = Timestamp::from_unix_ns(transport::Clock::start().wall_ns(0) as u64);
    primary.send_bytes(&levels(1, now.raw() - OPEN, 1_002));
    let lag_ms = browser.event("snapshot")["lag_ms"].as_i64().expect("its stamp is of now");
    // The second of two comes a second after the first.
    (0..2).for_each(|_| drop(browser.event("state")));
    browser.say(subscribe);
    assert_eq!(browser.event("snapshot")["lag_ms"], lag_ms);
}

#[test]
fn the_compact_form_says_the_same_in_bytes() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    let header = "Sec-WebSocket-Protocol: tongdao.v1.binary\r\n";
    let mut browser = WebSocket::connect_with(feed.web.unwrap(), "/ws", header).unwrap();
    browser.event("hello");
    browser.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["snapshot","depth"]}"#);
    browser.event("subscribed");
    primary.send_bytes(&levels(1, 500, 1_002));
    let bytes = browser.binary();
    let long = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((bytes[0], &bytes[3..15]), (1, &b"000001  102 "[..]));
    assert_eq!(
        (long(15), &bytes[23..31], long(31), long(63)),
        (OPEN + 500, &b"T0      "[..], 100_000, 100_200)
    );
    let second = 3 + usize::from(u16::from_be_bytes([bytes[1], bytes[2]]));
    assert_eq!((bytes[second], bytes[second + 23], bytes[second + 24]), (2, 10, 10));
    assert_eq!((long(second + 25), long(second + 33)), (100_100, 10_000));
}

#[test]
fn what_comes_between_two_updates_is_conflated_and_counted() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut browser = WebSocket::connect(feed.web.unwrap());
    browser.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["trade"]}"#);
    browser.event("subscribed");
    primary.send(&trade(1, 1, "10.00"));
    assert_eq!(browser.event("trade")["trades"].as_array().unwrap().len(), 1);
    // In one write: so fast that more come between two updates than one of them tells, whatever the machine is at.
    primary
        .send_bytes(&(2..=5_000).flat_map(|number| bytes_of(&trade(1, number, "10.00"))).collect::<Vec<_>>());
    let (mut told, mut missed) = (1, 0);
    while told + missed < 5_000 {
        let trades = browser.event("trade");
        let new = trades["trades"].as_array().unwrap().len() as u64;
        assert!(new <= 50, "{new} at once");
        told += new;
        missed += trades["missed"].as_u64().unwrap();
    }
    assert_eq!(told + missed, 5_000);
    assert!(missed > 0, "5,000 trades came in {told} pieces: nothing was conflated");
}

#[test]
fn a_browser_that_does_not_read_is_let_go_and_holds_nobody_up() {
    let feed = with_web(|web| {
        (web.updates_per_s, web.send_timeout_ms, web.send_buffer_bytes) = (100, 200, 4_096);
    });
    let [mut primary, _backup] = feed.sources();
    let codes: Vec<String> = (1..=200).map(|security| format!("\"{security:06}\"")).collect();
    let subscribe = format!("{{\"op\":\"subscribe\",\"codes\":[{}]}}", codes.join(","));
    let mut slow = WebSocket::connect(feed.web.unwrap());
    slow.say(&subscribe);
    let mut good = WebSocket::connect(feed.web.unwrap());
    good.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["snapshot"]}"#);
    let mut ms = 0;
    while !is_counted(&feed, "feed_web_ended_total{reason=\"update not taken in time\"} 1") {
        ms += 1;
        assert!(ms < 59_000, "it was never let go");
        (1..=200).for_each(|security| primary.send_bytes(&levels(security, ms, 1_000 + ms % 50)));
        good.event("snapshot");
    }
    counted(&feed, "feed_web_browsers 1");
}

#[test]
fn who_does_not_answer_pings_is_let_go() {
    let feed = with_web(|web| web.ping_interval_ms = 20);
    let mut dead = WebSocket::connect(feed.web.unwrap());
    assert_eq!(dead.close(), (4001, "no answer to pings".to_owned()));
    counted(&feed, "feed_web_ended_total{reason=\"no answer to pings\"} 1");
}

#[test]
fn who_answers_pings_stays() {
    // As many as would have ended it, had it not answered; and while they last, it may be slow to.
    let feed = with_web(|web| (web.ping_interval_ms, web.pings_unanswered_max) = (20, 200));
    let mut alive = WebSocket::connect(feed.web.unwrap());
    for _ in 0..=201 {
        loop {
            match alive.hear() {
                Heard::Ping => break,
                Heard::Close(code, why) => panic!("closed: {code} {why}"),
                Heard::Gone => panic!("it is gone"),
                _ => {}
            }
        }
        alive.pong();
    }
    alive.event("state");
}

#[test]
fn what_cannot_be_understood_is_answered_and_counted() {
    let feed = with_web(|web| web.subscriptions_max = 2);
    let mut browser = WebSocket::connect(feed.web.unwrap());
    let mut refused = |text: &str| {
        browser.say(text);
        browser.event("error")["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("{"), "malformed");
    assert_eq!(refused(r#"{"op":"buy"}"#), "malformed");
    assert_eq!(refused(r#"{"op":"subscribe","codes":["no such code"]}"#), "bad_code");
    assert_eq!(refused(r#"{"op":"subscribe","codes":["1","2","3"]}"#), "too_many_subscriptions");
    browser.send(BINARY, b"{}");
    assert_eq!(browser.event("error")["code"], "not_text");
    browser.say(r#"{"op":"subscribe","codes":["2"]}"#);
    assert_eq!(browser.event("subscribed")["codes"], json!(["1.SZ", "2.SZ"]), "it goes on with what it has");
    counted(&feed, "feed_web_errors_total{code=\"malformed\"} 2");
    counted(&feed, "feed_web_errors_total{code=\"too_many_subscriptions\"} 1");
}

#[test]
fn what_goes_too_far_ends_with_a_code() {
    let feed = with_web(|web| web.requests_per_minute_max = 3);
    let ended = |send: &dyn Fn(&mut WebSocket)| {
        let mut browser = WebSocket::connect(feed.web.unwrap());
        send(&mut browser);
        browser.close().0
    };
    assert_eq!(ended(&|browser| browser.say(&" ".repeat(16_385))), 1009);
    assert_eq!(ended(&|browser| browser.say(&" ".repeat(4 * 16_384 + 1))), 1002);
    assert_eq!(
        ended(&|browser| (0..4).for_each(|id| browser.say(&format!("{{\"op\":\"ping\",\"id\":{id}}}")))),
        1008
    );
    counted(&feed, "feed_web_ended_total{reason=\"message too long\"} 1");
    counted(&feed, "feed_web_ended_total{reason=\"too many messages\"} 1");
}

#[test]
fn pages_of_others_are_refused() {
    let feed = with_web(|web| web.origins = vec!["https://quotes.example.com".to_owned()]);
    let connect =
        |origin| WebSocket::connect_with(feed.web.unwrap(), "/ws", &format!("Origin: {origin}\r\n"));
    assert!(connect("https://quotes.example.com").is_ok());
    let refused = connect("https://example.com").err().expect("it is refused");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    counted(&feed, "feed_web_refused_total{reason=\"origin\"} 1");
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let feed = with_web(|web| web.connections_max = 2);
    let _open = [WebSocket::connect(feed.web.unwrap()), WebSocket::connect(feed.web.unwrap())];
    let mut third = TcpStream::connect(feed.web.unwrap()).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0, "nothing but its end");
    counted(&feed, "feed_web_refused_total{reason=\"too many connections\"} 1");
}

#[test]
fn where_there_are_accounts_a_browser_must_have_one() {
    let text = "[[subscribers.accounts]]\ncomp_id = \"desk\"\npassword = \"hush\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    let given: Config = service::config::parse(text, "feed.toml").unwrap();
    let feed = Feed::start(|config| (config.subscribers, config.web) = (given.subscribers, given.web));
    let address = feed.web.unwrap();
    let refused = get(address, "/", "");
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Basic"), "{refused}");
    assert!(WebSocket::connect_with(address, "/ws", "").is_err());
    // desk:hush
    let account = "Authorization: Basic ZGVzazpodXNo\r\n";
    WebSocket::connect_with(address, "/ws", account).expect("it is let in");
    assert!(get(address, "/", account).starts_with("HTTP/1.1 200"));
    counted(&feed, "feed_web_refused_total{reason=\"account\"} 2");
}

#[test]
fn a_browser_sees_how_the_feed_is_and_finds_securities() {
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut browser = WebSocket::connect(feed.web.unwrap());
    (1..=30).for_each(|number| primary.send(&trade(number as u32, number, "10.00")));
    let state = loop {
        let state = browser.event("state");
        if state["securities"] == 30 && state["browsers"] == 1 {
            break state;
        }
    };
    assert_eq!(
        (&state["sources"][0]["name"], &state["sources"][0]["state"]),
        (&json!("source-0"), &json!("up"))
    );
    assert_eq!((&state["channels"][0]["channel"], &state["channels"][0]["next"]), (&json!(1), &json!(31)));
    assert!(state["sources"][0].get("address").is_none(), "addresses are nobody's business");
    browser.say(r#"{"op":"search","text":"00000"}"#);
    let found = browser.event("codes");
    assert_eq!((found["codes"].as_array().unwrap().len(), &found["more"]), (9, &json!(0)));
    assert_eq!(found["codes"][0], json!(["000001.SZ", null]));
    browser.say(r#"{"op":"search","text":""}"#);
    assert_eq!(browser.event("codes")["more"], 10);
    browser.say(r#"{"op":"ping","id":42}"#);
    assert_eq!(browser.event("pong")["id"], 42);
}

#[test]
fn securities_have_their_names_where_a_file_gives_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "security_id,source,name\n000001,102,平安银行\n").unwrap();
    let feed = with_web(|web| web.names = Some(file.path().to_owned()));
    let [mut primary, _backup] = feed.sources();
    let mut browser = WebSocket::connect(feed.web.unwrap());
    browser.say(r#"{"op":"subscribe","codes":["000001"]}"#);
    primary.send(&trade(1, 1, "10.00"));
    assert_eq!(browser.event("snapshot")["name"], "平安银行");
    browser.say(r#"{"op":"search","text":"平安"}"#);
    assert_eq!(browser.event("codes")["codes"], json!([["000001.SZ", "平安银行"]]));
}

#[test]
fn a_feed_that_ends_says_so_to_browsers() {
    let mut feed = with_web(|_| {});
    let mut browser = WebSocket::connect(feed.web.unwrap());
    browser.event("hello");
    feed.take_running().stop().unwrap();
    assert_eq!(browser.close(), (1001, "the feed ends".to_owned()));
}

#[test]
fn the_page_comes_with_the_feed_and_may_speak_to_nobody_else() {
    let feed = with_web(|_| {});
    let page = get(feed.web.unwrap(), "/", "");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let policy = page.lines().find(|line| line.starts_with("content-security-policy:")).unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let body = page.split_once("\r\n\r\n").unwrap().1;
    assert!(!body.contains("http://") && !body.contains("https://"), "it asks others for something");
    let files = body.split('"').filter(|part| part.starts_with('/') && part.contains('.'));
    let found =
        files.map(|path| assert!(get(feed.web.unwrap(), path, "").starts_with("HTTP/1.1 200"), "{path}"));
    assert!(found.count() >= 3);
    assert!(get(feed.web.unwrap(), "/nothing", "").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_browser_sees_within_the_right_of_its_account_and_no_longer_than_it_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rights.toml");
    let account = "{ name = \"desk\", comp_id = \"desk\", password = \"hush\", markets = [\"SZSE\"], level = 1, \
                   connections_max = 1 }";
    let late = "{ name = \"late\", comp_id = \"late\", password = \"late\", level = 1, delay_min = 15, connections_max = 1 }";
    std::fs::write(&path, format!("accounts = [{account}, {late}]")).unwrap();
    let mut feed = Feed::start(|config| {
        config.entitlement.file = Some(path.clone());
        config.entitlement.delays_min = vec![15];
        config.web.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    });
    let address = feed.web.unwrap();
    let [mut primary, _backup] = feed.sources();
    assert!(get(address, "/", "").starts_with("HTTP/1.1 401"));
    // late:late
    let delayed = WebSocket::connect_with(address, "/ws", "Authorization: Basic bGF0ZTpsYXRl\r\n");
    assert!(delayed.err().expect("it has bought no live quotes").starts_with("HTTP/1.1 403"));
    // desk:hush
    let header = "Authorization: Basic ZGVzazpodXNo\r\n";
    let mut browser = WebSocket::connect_with(address, "/ws", header).unwrap();
    let second = WebSocket::connect_with(address, "/ws", header).err().expect("one connection is its right");
    assert!(second.starts_with("HTTP/1.1 403"), "{second}");
    assert!(get(address, "/", header).starts_with("HTTP/1.1 200"), "a page is no connection");

    browser.say(r#"{"op":"subscribe","codes":["600000.SH"]}"#);
    assert_eq!(browser.event("error")["code"], "not_entitled", "another market");
    browser.say(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["trade"]}"#);
    assert_eq!(browser.event("error")["code"], "not_entitled", "ticks");
    browser.say(r#"{"op":"subscribe","codes":["000001.SZ"]}"#);
    browser.event("subscribed");
    primary.send(&trade(1, 1, "10.99"));
    primary.send_bytes(&levels(1, 500, 1_002));
    let shown = browser.event("snapshot");
    assert_eq!(
        (&shown["last"], &shown["high"]),
        (&json!("10.0200"), &json!("0.0000")),
        "of the snapshot alone"
    );
    browser.event("depth");

    std::fs::write(&path, format!("accounts = [{}]", account.replace("desk", "other"))).unwrap();
    (feed.reload)();
    assert_eq!(browser.close(), (1008, "right withdrawn".to_owned()));
}
