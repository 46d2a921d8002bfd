//! What FIX clients should not do: each has its answer and its counter, and harms nobody else.

use crate::client::FixClient;
use crate::peers::{self, Core, Gateway, text};
use crate::{House, config};
use fix::session::{Config, Credentials};
use fix::store::Store;
use gateway::audit::Record;
use gateway::config::CoreName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

fn refused(house: &House, reason: &str) -> u64 {
    house.gateway.metrics.fix_logons_refused.with_label_values(&[reason]).get()
}

/// Writes these bytes and reads to the end.
fn say(house: &House, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(house.address).expect("it listens");
    stream.set_read_timeout(Some(peers::DEADLINE)).expect("set");
    stream.write_all(bytes).expect("written");
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    answer.replace('\x01', "|")
}

/// What the audit has of sessions: whose, what, why.
fn sessions(directory: &Path) -> Vec<[String; 3]> {
    let mut reader = journal::Reader::oldest(directory).expect("a journal");
    let mut all = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        if let Ok(Record::Session { comp_id, what, why, peer, .. }) =
            Record::parse(record.kind, record.payload)
        {
            assert!(peer.starts_with("127.0.0.1:"), "{peer}");
            all.push([comp_id.to_string(), what.to_owned(), why.to_owned()]);
        }
    }
    all
}

#[test]
fn who_is_not_let_in_is_told_or_closed_and_is_in_the_audit() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = folder.path().join("audit");
    let house = House::start(folder.path(), |config| {
        config.audit.directory = Some(audit.clone());
        config.audit.segment_bytes = 2 << 20;
    });
    let mut stranger = FixClient::new(Config::new("nobody", "TONGDAO", fix::session::Takes::Reports));
    stranger.connect(house.address);
    assert_eq!(stranger.expect_end(), "closed");
    assert_eq!(refused(&house, "unknown CompID"), 1);

    let mut elsewhere = FixClient::new(Config { target_comp_id: "OTHER".to_owned(), ..FixClient::config(1) });
    elsewhere.connect(house.address);
    assert_eq!(elsewhere.expect_end(), "closed");
    assert_eq!(refused(&house, "unknown TargetCompID"), 1);

    let credentials = Credentials { username: "c1".to_owned(), password: "guess".to_owned() };
    let mut guesser = FixClient::new(Config { credentials: Some(credentials), ..FixClient::config(1) });
    guesser.connect(house.address);
    assert_eq!(guesser.expect_end(), "Username or Password is wrong");
    assert_eq!(refused(&house, "Username or Password is wrong"), 1);

    let mut lazy = FixClient::new(Config { heart_bt_s: 500, ..FixClient::config(2) });
    lazy.connect(house.address);
    assert!(lazy.expect_end().contains("HeartBtInt"), "{:?}", lazy.ended);
    peers::eventually("it is counted", || house.gateway.ended("HeartBtInt out of range") == 1);
    peers::eventually("as a logon too", || refused(&house, "HeartBtInt out of range") == 1);
    house.gateway.stop();
    let expected = [
        ["nobody", "unknown CompID"],
        ["c1", "unknown TargetCompID"],
        ["c1", "Username or Password is wrong"],
        ["c2", "HeartBtInt out of range"],
    ];
    assert_eq!(sessions(&audit), expected.map(|[comp_id, why]| [comp_id, "FIX logon refused", why]));
}

#[test]
fn who_is_sent_away_by_an_operator_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)], folder.path());
    config.control.token_file = folder.path().join("tokens");
    std::fs::write(&config.control.token_file, "operate ops 0123456789abcdef\n").expect("written");
    let host = service::Host::default();
    let server = gateway::Server::bind(config, &host).expect("bound");
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.routes(server.routes()).start().expect("served");
    let gateway = Gateway::run(server, host);
    let mut client = FixClient::log_on(gateway.fix_address.expect("configured"), 1);
    let mut operator = TcpStream::connect(admin.address()).expect("it listens");
    let head = "host: x\r\nauthorization: Bearer 0123456789abcdef\r\nconnection: close";
    write!(operator, "POST /sessions/c1/disconnect HTTP/1.1\r\n{head}\r\n\r\n").expect("asked");
    assert_eq!(client.expect_end(), "disconnected by the operator", "its Logout has a Text");
    let mut answer = String::new();
    operator.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    peers::eventually("counted", || gateway.ended("disconnected by the operator") == 1);
    gateway.stop();
}

#[test]
fn what_is_no_logon_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path(), |config| config.fix.logon_timeout_ms = 2_000);
    assert_eq!(say(&house, b"GET / HTTP/1.1\r\n\r\n"), "");
    assert_eq!(refused(&house, "first message is not a logon"), 1);
    assert_eq!(say(&house, b""), "", "silence");
    peers::eventually("it is counted", || house.gateway.ended("logon timeout") == 1);
    assert_eq!(say(&house, b"8=FIX.4.4\x019=999999\x01"), "", "a message that is too long");
    // The beginning of a logon, and no end of it.
    assert_eq!(say(&house, b"8=FIX.4.4\x019=100\x0135=A\x01"), "");
    peers::eventually("it is counted", || house.gateway.ended("logon timeout") == 2);
    house.gateway.stop();
}

#[test]
fn a_second_connection_is_closed_and_the_first_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut first = FixClient::log_on(house.address, 1);
    let mut second = FixClient::new(FixClient::config(1));
    second.connect(house.address);
    assert_eq!(second.expect_end(), "closed");
    assert_eq!(refused(&house, "connected already"), 1);
    first.order("x", "");
    assert_eq!(house.line.order().cl_ord_id, text("x"));
    house.gateway.stop();
}

#[test]
fn a_garbled_stream_is_endured_for_a_while() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| config.fix.garbled_max = 3);
    let mut client = FixClient::log_on(house.address, 1);
    for _ in 0..3 {
        client.write(b"8=FIX.4.4\x019=5\x0135=0\x0110=999\x01");
    }
    client.order("x", "");
    assert_eq!(house.line.order().cl_ord_id, text("x"), "skipped");
    client.write(b"8=FIX.4.4\x019=5\x0135=0\x0110=999\x018=FIX.4.4\x01");
    assert_eq!(client.expect_end(), "garbled stream");
    peers::eventually("it is counted", || {
        house.gateway.ended("garbled stream") == 1 && house.gateway.metrics.fix_garbled.get() == 4
    });
    house.gateway.stop();
}

#[test]
fn a_flood_of_messages_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path(), |config| config.fix.messages_per_s_max = 50);
    let mut client = FixClient::log_on(house.address, 1);
    for _ in 0..200 {
        client.tell("1", "112=again|");
    }
    assert_eq!(client.expect_end(), "too many messages");
    peers::eventually("it is counted", || house.gateway.ended("too many messages") == 1);
    house.gateway.stop();
}

#[test]
fn each_order_that_a_flood_was_counted_for_is_placed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| config.fix.messages_per_s_max = 50);
    let mut client = FixClient::log_on(house.address, 1);
    for number in 0..200 {
        client.order(&format!("x{number}"), "");
    }
    assert_eq!(client.expect_end(), "too many messages");
    let taken = &house.gateway.metrics.fix_messages;
    peers::eventually("it is counted", || taken.get() > 1);
    // Behind the logon.
    for number in 0..taken.get() - 1 {
        assert_eq!(
            house.line.order().cl_ord_id,
            text(&format!("x{number}")),
            "its number is taken, so it is sent"
        );
    }
    house.gateway.stop();
}

#[test]
fn a_client_that_reads_nothing_stalls_nobody_and_loses_nothing() {
    const REPORTS: i64 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| config.forwarding.out_bytes_max = 256 << 10);
    let (mut slow, mut quick) = (FixClient::log_on(house.address, 1), FixClient::log_on(house.address, 2));
    slow.order("x", "");
    let of_slow = house.line.order();
    quick.order("x", "");
    let of_quick = house.line.order();
    for index in 1..=REPORTS {
        house
            .accept(&wire::szse::trading::NewOrder { cl_ord_id: text(&index.to_string()), ..of_slow }, index);
    }
    house.accept(&of_quick, REPORTS + 1);
    quick.expect(&["150=0", "11=x"]);
    for index in 1..=REPORTS {
        slow.expect(&[&format!("11={index}")]);
    }
    house.gateway.stop();
}

#[test]
fn a_client_that_reads_nothing_until_its_reports_are_let_go_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| {
        config.forwarding.out_bytes_max = 256 << 10;
        config.fix.window_bytes = 2 << 20;
    });
    let mut slow = FixClient::log_on(house.address, 1);
    slow.order("x", "");
    let order = house.line.order();
    let mut index = 0_i64;
    peers::eventually("it is ended", || {
        for _ in 0..1_000 {
            index += 1;
            house.accept(
                &wire::szse::trading::NewOrder { cl_ord_id: text(&index.to_string()), ..order },
                index,
            );
        }
        house.gateway.ended("reports not read and no longer held") == 1
    });
    slow.lose();
    peers::eventually("the core has no more to say", || {
        house.gateway.metrics.reports.with_label_values(&["cash"]).get() == index.unsigned_abs()
    });
    // Who comes back is told what it must do about it, and what is still held comes.
    slow.connect(house.address);
    assert!(slow.expect_end().contains("ResetSeqNumFlag"), "{:?}", slow.ended);
    let mut again = FixClient::new(Config { reset_on_logon: true, ..FixClient::config(1) });
    again.connect(house.address);
    again.logged_on();
    again.expect(&["35=8", "97=Y"]);
    house.gateway.stop();
}

#[test]
fn a_gateway_that_drains_logs_its_clients_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    house.gateway.host.shutdown.drain("test");
    assert_eq!(client.expect_end(), "gateway is closing");
    assert!(client.session.store().next_target() > 1);
    let House { core, gateway, line, .. } = house;
    drop((core, line));
    gateway.running.wait(peers::DEADLINE).expect("ended well");
}

#[test]
fn a_store_that_is_full_ends_the_session_before_anything_unkept_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| config.fix.store.session_bytes_max = 1 << 20);
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "");
    let order = house.line.order();
    for index in 1..=5_000 {
        house.accept(&wire::szse::trading::NewOrder { cl_ord_id: text(&index.to_string()), ..order }, index);
    }
    assert_eq!(client.expect_end(), "closed");
    peers::eventually("it is counted", || house.gateway.ended("session store failed") == 1);
    assert!(client.session.store().next_target() < 5_000);
    let mut other = FixClient::log_on(house.address, 2);
    other.order("y", "");
    assert_eq!(house.line.order().cl_ord_id, text("y"), "others go on");
    house.gateway.stop();
}
