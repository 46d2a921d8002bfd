//! What clients and cores do wrong: each has its answer and its counter, and nobody else notices.

mod peers;

use gateway::config::CoreName;
use peers::{Client, Core, Gateway, Line, config, decoded, eventually, text};
use std::io::{ErrorKind, Write};
use std::time::Duration;
use wire::szse::code::{CashMargin, Side};
use wire::szse::trading::{BusinessReject, NewOrder, OrderReport};
use wire::szse::{Heartbeat, Logon, Message, frame};

/// A gateway, its cash core, and a client that does nothing wrong.
struct Scene {
    gateway: Gateway,
    line: Line,
    innocent: Client,
    orders: i64,
}

impl Scene {
    fn new() -> Self {
        let core = Core::listen(&[1]);
        Self::with(&core, config(&[(CoreName::Cash, &core, 0)]))
    }

    fn with(core: &Core, config: gateway::Config) -> Self {
        let (gateway, line) = Gateway::with_line(core, config);
        let innocent = Client::ready(gateway.address, 1);
        Self { gateway, line, innocent, orders: 0 }
    }

    /// The innocent client trades as if nothing had happened.
    fn undisturbed(&mut self) {
        self.orders += 1;
        let id = format!("u{}", self.orders);
        self.innocent.order(&id, CashMargin::CASH);
        let order = self.line.order();
        assert_eq!(order.cl_ord_id, text(&id), "the core saw nothing else");
        self.line.accept(&order, 1, self.orders);
        assert_eq!(self.innocent.report(), (1, self.orders, id));
    }

    fn ended(&self, reason: &str, times: u64) {
        eventually(reason, || self.gateway.ended(reason) == times);
    }
}

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(message, &mut out);
    out
}

#[test]
fn what_a_core_refuses_without_a_report_reaches_the_client_that_sent_it() {
    let mut scene = Scene::new();
    let mut other = Client::log_on(scene.gateway.address, 2);
    other.order("r", CashMargin::CASH);
    let order = scene.line.order();
    let reject = BusinessReject {
        ref_seq_num: 4711.into(),
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: order.cl_ord_id,
        business_reject_text: text("not today"),
        ..BusinessReject::default()
    };
    scene.line.peer.send(&reject);
    let passed_on: BusinessReject = other.peer.expect();
    assert_eq!(passed_on, BusinessReject { ref_seq_num: 0.into(), ..reject });
    scene.undisturbed();
    scene.gateway.stop();
}

#[test]
fn what_is_no_logon_ends_the_connection() {
    let mut scene = Scene::new();
    let order = scene.innocent.new_order("b", CashMargin::CASH);
    let mut checksum = encoded(&Client::logon("c2", "secret"));
    *checksum.last_mut().expect("a frame") ^= 1;
    let cases: [(Vec<u8>, &str); 5] = [
        (vec![0xa5; 400], "frame too large"),
        (checksum, "wrong checksum"),
        (encoded(&order), "message before logon"),
        (encoded(&Heartbeat), "message before logon"),
        ([1_u32, u32::MAX].iter().flat_map(|word| word.to_be_bytes()).collect(), "frame too large"),
    ];
    for (number, (bytes, text)) in cases.iter().enumerate() {
        let mut peer = Client::connect(scene.gateway.address);
        peer.write(bytes);
        peer.expect_logout(text);
        let times = cases[..=number].iter().filter(|(_, other)| other == text).count();
        scene.ended(text, times as u64);
        scene.undisturbed();
    }
    scene.gateway.stop();
}

#[test]
fn wrong_credentials_are_refused_without_a_hint() {
    let mut scene = Scene::new();
    for (name, password) in [("c2", "wrong"), ("nobody", "secret"), ("c2", "")] {
        let mut peer = Client::connect(scene.gateway.address);
        peer.send(&Client::logon(name, password));
        peer.expect_logout("wrong CompID or password");
    }
    let refused = scene.gateway.metrics.logons_refused.with_label_values(&["wrong CompID or password"]);
    assert_eq!(refused.get(), 3);
    scene.undisturbed();
    scene.gateway.stop();
}

#[test]
fn who_never_logs_on_is_let_go() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.sessions.logon_timeout_ms = 300;
    let gateway = Gateway::start(config);
    let mut peer = Client::connect(gateway.address);
    peer.expect_logout("logon timeout");
    eventually("counted", || gateway.ended("logon timeout") == 1);
    gateway.stop();
}

#[test]
fn who_falls_silent_is_let_go() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.sessions.heartbeat_s_max = 1;
    config.sessions.silence_slack_ms = 0;
    let gateway = Gateway::start(config);
    let mut peer = Client::connect(gateway.address);
    peer.send(&Client::logon("c1", "secret"));
    let answer: Logon = peer.expect();
    assert_eq!(answer.heart_bt_int_s.get(), 1, "the longest that is taken");
    peer.next().expect("PlatformInfo");
    peer.next().expect("PlatformStateInfo");
    peer.expect_logout("heartbeat timeout");
    eventually("counted", || gateway.ended("heartbeat timeout") == 1);
    gateway.stop();
}

#[test]
fn what_breaks_the_protocol_within_a_session_ends_it() {
    let mut scene = Scene::new();
    let mut bad_checksum = encoded(&scene.innocent.new_order("b", CashMargin::CASH));
    *bad_checksum.last_mut().expect("a frame") ^= 1;
    let mut short = Vec::new();
    frame::encode_with::<()>(NewOrder::MSG_TYPE, &mut short, |body| {
        body.extend_from_slice(b"short");
        Ok(())
    })
    .expect("encoded");
    let cases: [(Vec<u8>, &str); 4] = [
        (encoded(&Client::logon("c2", "secret")), "second logon"),
        (bad_checksum, "wrong checksum"),
        (short, "wrong body length"),
        ([100_101_u32, 1 << 20].iter().flat_map(|word| word.to_be_bytes()).collect(), "frame too large"),
    ];
    for (bytes, text) in &cases {
        let mut client = Client::log_on(scene.gateway.address, 2);
        client.peer.write(bytes);
        client.peer.expect_logout(text);
        scene.ended(text, 1);
        scene.undisturbed();
    }
    scene.gateway.stop();
}

#[test]
fn requests_that_make_no_sense_are_refused_and_the_session_goes_on() {
    let mut scene = Scene::new();
    let mut client = Client::log_on(scene.gateway.address, 2);
    let good = client.new_order("b", CashMargin::CASH);
    let mut security = good;
    security.base.security_id = text("");
    let cases = [
        (NewOrder { account_id: text("a1"), ..good }, "not your account"),
        (NewOrder { account_id: text("nobody"), ..good }, "not your account"),
        (security, "SecurityID is missing"),
        (NewOrder { side: Side::from_raw(b'9'), ..good }, "Side"),
        (NewOrder { ext: Default::default(), ..good }, "TimeInForce"),
    ];
    for (order, text) in cases {
        client.peer.send(&order);
        assert_eq!(client.rejected(), text);
    }
    let mut unknown = Vec::new();
    frame::encode_with::<()>(4_242, &mut unknown, |_| Ok(())).expect("encoded");
    client.peer.write(&unknown);
    assert_eq!(client.rejected(), "unsupported message type");
    client.cancel("c", "never sent", "");
    assert_eq!(client.rejected(), "unknown order");
    eventually("counted", || scene.gateway.refused("unknown order") == 1);
    assert_eq!(scene.gateway.refused("not your account"), 2);
    assert_eq!(scene.gateway.refused("unsupported message type"), 1);
    scene.undisturbed();
    client.peer.send(&good);
    assert_eq!(scene.line.order(), good);
    scene.gateway.stop();
}

#[test]
fn reports_asked_for_from_nowhere_end_the_session() {
    let scene = Scene::new();
    for (from, text) in [
        (&[(7, 1)][..], "no such partition: 7"),
        (&[(1, -1)], "ReportIndex -1 of partition 1"),
        (&[(1, 1), (1, 2)], "partition 1 named twice"),
    ] {
        let mut client = Client::log_on(scene.gateway.address, 2);
        client.synchronize(from);
        client.peer.expect_logout(text);
    }
    scene.ended("no such partition", 1);
    scene.ended("bad ReportIndex", 1);
    scene.ended("partition named twice", 1);
    scene.gateway.stop();
}

#[test]
fn a_second_session_of_a_client_ends_the_first() {
    let mut scene = Scene::new();
    let mut first = Client::ready(scene.gateway.address, 2);
    let mut second = Client::log_on(scene.gateway.address, 2);
    first.peer.expect_logout("logged on from elsewhere");
    scene.ended("logged on from elsewhere", 1);
    second.synchronize(&[]);
    let order = second.order("b", CashMargin::CASH);
    assert_eq!(scene.line.order(), order);
    scene.orders += 1;
    scene.line.accept(&order, 1, scene.orders);
    assert_eq!(second.report(), (1, scene.orders, "b".to_owned()));
    assert_eq!(scene.gateway.metrics.sessions.get(), 2);
    scene.undisturbed();
    scene.gateway.stop();
}

#[test]
fn who_stops_reading_is_let_go_when_its_reports_are_and_others_get_theirs() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.log.segment_bytes = 64 << 10;
    config.log.window_bytes = 256 << 10;
    config.listen.socket.send_buffer_bytes = 8 << 10;
    let mut scene = Scene::with(&core, config);
    let mut stalled = Client::ready(scene.gateway.address, 2);
    let (mine, theirs) =
        (scene.innocent.new_order("i", CashMargin::CASH), stalled.new_order("s", CashMargin::CASH));
    // Far more than the sockets between them hold, and than the log's window. One report in a hundred is the
    // innocent client's, which reads it each time: so it is never further behind than the window.
    let mut index = 0;
    while scene.gateway.ended("reports not read") == 0 {
        let mut bytes = Vec::new();
        for _ in 0..99 {
            index += 1;
            frame::encode(&peers::accepted(&theirs, 1, index), &mut bytes);
        }
        index += 1;
        frame::encode(&peers::accepted(&mine, 1, index), &mut bytes);
        scene.line.peer.write(&bytes);
        assert_eq!(scene.innocent.report(), (1, index, "i".to_owned()));
        assert!(index < 10_000_000, "never let go");
    }
    scene.orders = index;
    scene.undisturbed();

    // What it did read is in order and without a gap, and it is told where it may go on from.
    let mut next = 1;
    while let Some(bytes) = stalled.peer.next() {
        let Ok(report) = decoded(&bytes).view::<OrderReport>() else { continue };
        assert_eq!(report.base.report_index.get(), next);
        next += if (next + 1) % 100 == 0 { 2 } else { 1 };
    }
    let mut back = Client::log_on(scene.gateway.address, 2);
    back.synchronize(&[(1, next)]);
    let logout: wire::szse::Logout = back.peer.expect();
    let logout = logout.text.to_string();
    let (wanted, oldest) = logout.split_once(" is no longer held, the oldest is ").expect("an answer");
    assert_eq!(wanted, format!("report {next} of partition 1"));
    let oldest: i64 = oldest.parse().expect("a number");
    let mut back = Client::log_on(scene.gateway.address, 2);
    back.synchronize(&[(1, oldest)]);
    assert!(back.report().1 >= oldest);
    scene.gateway.stop();
}

/// A thousand different orders, whole; each lot has others than those before.
fn orders(client: &Client, lot: usize) -> Vec<u8> {
    let name = |number: usize| format!("f{}", lot * 1_000 + number);
    (0..1_000).flat_map(|number| encoded(&client.new_order(&name(number), CashMargin::CASH))).collect()
}

/// Sends orders until the gateway stops reading. Returns how many, and what is missing of the last one.
fn flood(client: &mut Client, paused: impl Fn() -> bool) -> (usize, Vec<u8>) {
    let (mut lot, mut sent) = (0, 0);
    let mut many = orders(client, lot);
    let one = many.len() / 1_000;
    client.peer.stream.set_nonblocking(true).expect("set");
    while !paused() {
        match client.peer.stream.write(&many[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if sent == many.len() {
            (lot, sent) = (lot + 1, 0);
            many = orders(client, lot);
        }
    }
    client.peer.stream.set_nonblocking(false).expect("set");
    let whole = sent.next_multiple_of(one);
    (lot * 1_000 + whole / one, many[sent..whole].to_vec())
}

#[test]
fn a_core_that_reads_slowly_makes_clients_wait_and_loses_nothing() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.forwarding.out_bytes_max = 256 << 10;
    config.forwarding.in_flight_max = 1 << 20;
    config.forwarding.stall_timeout_ms = 600_000;
    let Scene { gateway, mut line, .. } = Scene::with(&core, config);
    let mut client = Client::log_on(gateway.address, 2);
    let (sent, rest) = flood(&mut client, || gateway.metrics.pauses.get() > 0);
    let reader = std::thread::spawn(move || {
        let last = text("last");
        (0..).find(|_| line.order().cl_ord_id == last)
    });
    client.peer.write(&rest);
    client.order("last", CashMargin::CASH);
    assert_eq!(reader.join().expect("read"), Some(sent));
    gateway.stop();
}

#[test]
fn clients_that_wait_hear_heartbeats_and_need_send_none() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.forwarding.out_bytes_max = 256 << 10;
    config.forwarding.in_flight_max = 1 << 20;
    config.forwarding.stall_timeout_ms = 600_000;
    config.sessions.silence_slack_ms = 0;
    let Scene { gateway, line, .. } = Scene::with(&core, config);
    let mut quick = Client::connect(gateway.address);
    quick.send(&Logon { heart_bt_int_s: 1.into(), ..Client::logon("c3", "secret") });
    let mut client = Client::log_on(gateway.address, 2);
    let flood = std::thread::spawn(move || {
        for lot in 0.. {
            let many = orders(&client, lot);
            if client.peer.stream.write_all(&many).is_err() {
                break;
            }
        }
    });
    // Until then nobody excuses it.
    eventually("clients wait", || {
        quick.send(&Heartbeat);
        std::thread::sleep(Duration::from_millis(50));
        gateway.metrics.pauses.get() > 0
    });
    // Four seconds of silence would be two more than a session that is not excused may have.
    let mut heard = 0;
    while heard < 4 {
        let bytes = quick.next_of_any_kind().expect("it is not logged out");
        heard += u32::from(decoded(&bytes).msg_type == Heartbeat::MSG_TYPE);
    }
    gateway.stop();
    drop(line);
    flood.join().expect("it ends with its connection");
}

#[test]
fn a_core_that_stops_reading_is_given_up_and_clients_go_on() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.forwarding.out_bytes_max = 256 << 10;
    config.forwarding.in_flight_max = 1 << 20;
    // The line that comes after it is read by a test that the machine may hold up.
    config.forwarding.stall_timeout_ms = 3_000;
    let Scene { gateway, line, mut innocent, .. } = Scene::with(&core, config);
    let mut client = Client::log_on(gateway.address, 2);
    let stalled = gateway.metrics.line_ended.with_label_values(&["cash", "a", "stalled"]);
    let (_, rest) = flood(&mut client, || stalled.get() > 0);
    // Takes the answers as they come: there may be more than the sockets hold.
    let mut reading = peers::Peer::new(client.peer.stream.try_clone().expect("a second handle"));
    let reader = std::thread::spawn(move || {
        let mut rejected = false;
        while let Some(bytes) = reading.next() {
            rejected |= decoded(&bytes).msg_type == BusinessReject::MSG_TYPE;
        }
        rejected
    });
    client.peer.write(&rest);
    let (mut again, _) = core.accept();
    innocent.order("x", CashMargin::CASH);
    let x = text("x");
    assert!((0..).any(|_| again.order().cl_ord_id == x), "over the new line");
    client.peer.stream.shutdown(std::net::Shutdown::Both).expect("shut");
    reader.join().expect("read");
    drop(line);
    gateway.stop();
}
