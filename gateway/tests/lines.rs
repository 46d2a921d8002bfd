//! Two leased lines to a core: what happens to orders and reports when one of them ends.

mod peers;

use gateway::Config;
use gateway::audit::Record;
use gateway::check::{Check, Submission, Verdict};
use gateway::config::{CoreName, LineMode};
use peers::{Client, Core, Gateway, Line, config, eventually, text};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use wire::szse::code::{CashMargin, ExecType, OrdRejReason, OrdStatus, SessionStatus};
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport, ReportSynchronization,
};
use wire::szse::{GroupMessage, Heartbeat, Logout, Message};

/// The cash core's two ends, and a gateway's configuration for them.
fn two_lines() -> (Core, Core, Config) {
    let (a, b) = (Core::listen(&[1, 2]), Core::listen(&[1, 2]));
    let mut config = config(&[(CoreName::Cash, &a, 0)]);
    config.cores[0].address_b = Some(b.address());
    (a, b, config)
}

/// Line a active, line b waiting.
fn started(ends: (&Core, &Core), config: Config) -> (Gateway, Line, Line) {
    let gateway = Gateway::start(config);
    let ((a, asked), b) = (ends.0.accept(), ends.1.accept_standby());
    assert_eq!(asked, [(1, 1), (2, 1)]);
    eventually("both lines are up", || ["a", "b"].iter().all(|line| up(&gateway, line)));
    (gateway, a, b)
}

fn up(gateway: &Gateway, line: &str) -> bool {
    gateway.metrics.line_up.with_label_values(&["cash", line]).get() == 1
}

fn active(gateway: &Gateway, line: &str) -> bool {
    gateway.metrics.line_active.with_label_values(&["cash", line]).get() == 1
}

fn client(gateway: &Gateway, number: usize) -> Client {
    let mut client = Client::log_on(gateway.address, number);
    client.synchronize(&[]);
    client
}

#[test]
fn the_other_line_goes_on_from_the_next_report_and_brings_again_what_was_not_answered() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    a.accept(&x, 1, 1);
    assert_eq!(client.report(), (1, 1, "x".to_owned()));
    // The order y, its cancel, and the order z have reached the core or not when the line ends.
    let y = client.order("y", CashMargin::CASH);
    client.cancel("c", "y", "");
    let z = client.order("z", CashMargin::CASH);
    assert_eq!(a.order(), y);
    let _: OrderCancelRequest = a.peer.expect();
    assert_eq!(a.order(), z);
    drop(a);
    assert_eq!(b.synchronization(), [(1, 2), (2, 1)]);
    assert_eq!(b.order(), y, "byte for byte, in the order of sending");
    assert_eq!(b.peer.expect::<OrderCancelRequest>().cl_ord_id, text("c"));
    assert_eq!(b.order(), z);
    b.accept(&y, 1, 2);
    b.accept(&z, 2, 1);
    assert_eq!(client.report(), (1, 2, "y".to_owned()));
    assert_eq!(client.report(), (2, 1, "z".to_owned()));
    // What comes now goes there at once; a comes back and waits, and nothing is switched back.
    client.order("w", CashMargin::CASH);
    assert_eq!(b.order().cl_ord_id, text("w"));
    let _a = end_a.accept_standby();
    eventually("a is back", || up(&gateway, "a"));
    assert!(active(&gateway, "b") && !active(&gateway, "a"));
    eventually("counted", || gateway.metrics.resent.with_label_values(&["cash"]).get() == 3);
    gateway.stop();
}

/// A rule that keeps the gateway at an order until the test lets it go on.
struct Busy {
    at_it: SyncSender<()>,
    go_on: Receiver<()>,
}

impl Check for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }

    fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict> {
        if submission.order.cl_ord_id == text("busy") {
            self.at_it.send(()).expect("the test waits");
            self.go_on.recv_timeout(peers::DEADLINE).expect("the test goes on");
        }
        Ok(())
    }
}

/// Where both are read in one turn, the line is known to have ended and its work has not been given to the other one yet.
#[test]
fn an_order_that_comes_together_with_the_end_of_a_line_goes_over_the_other_one() {
    let (end_a, end_b, config) = two_lines();
    let ((at_it, is_at_it), (go_on, goes_on)) = (sync_channel(0), sync_channel(0));
    let host = service::Host::default();
    let server = gateway::Server::bind(config, &host).expect("bound");
    let gateway = Gateway::run(server.with_check(Box::new(Busy { at_it, go_on: goes_on })), host);
    let ((a, _), mut b) = (end_a.accept(), end_b.accept_standby());
    eventually("both lines are up", || ["a", "b"].iter().all(|line| up(&gateway, line)));
    let (mut first, mut second) = (client(&gateway, 1), client(&gateway, 2));
    first.order("busy", CashMargin::CASH);
    is_at_it.recv_timeout(peers::DEADLINE).expect("it is checked");
    a.peer.stream.shutdown(std::net::Shutdown::Both).expect("open");
    second.order("x", CashMargin::CASH);
    go_on.send(()).expect("it waits");
    assert_eq!(b.synchronization(), [(1, 1), (2, 1)]);
    assert_eq!(b.order().cl_ord_id, text("busy"));
    assert_eq!(b.order().cl_ord_id, text("x"), "not refused: a line works");
    gateway.stop();
}

#[test]
fn the_reject_of_a_repetition_does_not_deny_the_order() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    // The core has taken it; its report is lost with the line.
    drop(a);
    b.synchronization();
    let again = b.order();
    b.accept(&x, 1, 1);
    b.peer.send(&OrderReport {
        exec_type: ExecType::REJECTED,
        ord_rej_reason: OrdRejReason::DUPLICATE_ORDER,
        ..peers::accepted(&again, 1, 2)
    });
    let next = client.order("next", CashMargin::CASH);
    assert_eq!(b.order(), next);
    b.accept(&next, 1, 3);
    assert_eq!(client.report(), (1, 1, "x".to_owned()));
    assert_eq!(client.report(), (1, 3, "next".to_owned()), "2 is not shown");
    eventually("counted", || gateway.metrics.reports_repeated.with_label_values(&["cash"]).get() == 1);
    gateway.stop();
}

#[test]
fn what_the_core_says_of_the_second_copy_of_a_cancel_is_not_shown() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    a.accept(&x, 1, 1);
    client.report();
    client.cancel("c", "x", "");
    let cancel: OrderCancelRequest = a.peer.expect();
    assert_eq!(cancel.order_id, text("o1"));
    // The core has taken it; its report is lost with the line.
    drop(a);
    b.synchronization();
    let again: OrderCancelRequest = b.peer.expect();
    assert_eq!(again.cl_ord_id, text("c"));
    let rejected = |index| CancelReject {
        base: peers::accepted(&x, 1, index).base,
        cl_ord_id: again.cl_ord_id,
        orig_cl_ord_id: again.orig_cl_ord_id,
        order_id: again.order_id,
        ..CancelReject::default()
    };
    b.peer.send(&cancelled(&x, "c", 2));
    b.peer.send(&rejected(3));
    let next = client.order("next", CashMargin::CASH);
    assert_eq!(b.order(), next);
    b.accept(&next, 1, 4);
    assert_eq!(client.report(), (1, 2, "c".to_owned()));
    assert_eq!(client.report(), (1, 4, "next".to_owned()), "3 is not shown");
    // Its client asks once more, by itself: that is answered.
    client.cancel("c", "x", "");
    let _: OrderCancelRequest = b.peer.expect();
    b.peer.send(&rejected(5));
    assert_eq!(client.peer.expect::<CancelReject>().base.report_index.get(), 5);
    eventually("counted", || gateway.metrics.reports_repeated.with_label_values(&["cash"]).get() == 1);
    gateway.stop();
}

/// The core's report that what was left of an order is gone.
fn cancelled(order: &NewOrder, by: &str, report_index: i64) -> OrderReport {
    OrderReport {
        order_id: text("o1"),
        cl_ord_id: text(by),
        orig_cl_ord_id: order.cl_ord_id,
        exec_type: ExecType::CANCELLED,
        ord_status: OrdStatus::CANCELLED,
        ..peers::accepted(order, 1, report_index)
    }
}

#[test]
fn whom_a_core_has_refused_without_a_report_shows_where_it_does_not_say_it() {
    let (end_a, end_b, mut config) = two_lines();
    config.forwarding.settle_ms = 2_000;
    let (gateway, mut a, _b) = started((&end_a, &end_b), config);
    let (mut one, mut two) = (client(&gateway, 1), client(&gateway, 2));
    let reject = |id: &str| BusinessReject {
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: text(id),
        business_reject_text: text("by the core"),
        ..BusinessReject::default()
    };
    // Two accounts have the same name under way: the core does not say whose it refuses, and reports the other.
    one.order("x", CashMargin::CASH);
    two.order("x", CashMargin::CASH);
    let (of_one, of_two) = (a.order(), a.order());
    a.peer.send(&reject("x"));
    a.accept(if of_one.account_id == two.account { &of_one } else { &of_two }, 1, 1);
    assert_eq!(two.report(), (1, 1, "x".to_owned()));
    assert_eq!(one.rejected(), "not taken by the core");
    // One alone under way is meant, whoever had the name before.
    one.order("x", CashMargin::CASH);
    a.order();
    a.peer.send(&reject("x"));
    assert_eq!(one.rejected(), "by the core");
    eventually("nothing is left under way", || {
        gateway.metrics.in_flight.with_label_values(&["cash"]).get() == 0
    });
    gateway.stop();
}

#[test]
fn a_refusal_that_says_the_number_of_its_request_is_told_to_whom_it_means_and_nobody_else() {
    let (end_a, end_b, mut config) = two_lines();
    // Some of the orders wait for their bandwidth: they have their number when they go.
    config.cores[0].bandwidth_bytes_per_s = 20_000;
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let (mut one, mut two) = (client(&gateway, 1), client(&gateway, 2));
    let reject = |of: &NewOrder, number| BusinessReject {
        ref_seq_num: number,
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: of.cl_ord_id,
        business_reject_text: text(&format!("order {}", of.cl_ord_id)),
        ..BusinessReject::default()
    };
    // Two accounts use the same names: the core refuses each order of the second one, and holds those of the first.
    let names: Vec<String> = (0..20).map(|number| format!("o{number}")).collect();
    for name in &names {
        one.order(name, CashMargin::CASH);
        two.order(name, CashMargin::CASH);
    }
    let mut held = Vec::new();
    for _ in 0..2 * names.len() {
        let order = a.order();
        if order.account_id == one.account {
            held.push(order);
        } else {
            let number = a.peer.frames.into();
            a.peer.send(&reject(&order, number));
        }
    }
    for name in &names {
        assert_eq!(two.rejected(), format!("order {name}"));
    }
    // What is held goes over the other line when this one ends, and has other numbers there.
    drop(a);
    b.synchronization();
    for order in &held {
        assert_eq!(b.order(), *order);
        let number = b.peer.frames.into();
        if order.cl_ord_id == text("o7") {
            b.peer.send(&reject(order, number));
        }
    }
    assert_eq!(one.rejected(), "order o7");
    let left = || gateway.metrics.in_flight.with_label_values(&["cash"]).get();
    eventually("all others are still under way", || left() == held.len() as i64 - 1);
    gateway.stop();
}

#[test]
fn the_age_of_the_oldest_request_under_way_is_told() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, _b) = started((&end_a, &end_b), config);
    let oldest_ms = || gateway.metrics.in_flight_oldest_ms.with_label_values(&["cash"]).get();
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    eventually("it grows", || oldest_ms() > 20);
    a.accept(&x, 1, 1);
    eventually("and is gone with the answer", || oldest_ms() == 0);
    gateway.stop();
}

#[test]
fn a_line_that_is_cut_without_a_word_is_given_up_after_two_heartbeats() {
    let (end_a, end_b, mut config) = two_lines();
    // b is answered in time however busy the machine is.
    config.cores[0].heartbeat_s = 2;
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    a.order();
    // From here on a says nothing, and is not closed either; b has its heartbeats.
    let x = loop {
        let frame = b.peer.next_of_any_kind().expect("b lives");
        match peers::decoded(&frame).msg_type {
            3 => b.peer.send(&Heartbeat),
            5 => break b.order(),
            other => panic!("{other}"),
        }
    };
    assert_eq!(x.cl_ord_id, text("x"));
    b.accept(&x, 1, 1);
    client.report();
    gateway.stop();
}

#[test]
fn what_is_too_old_is_not_sent_again_and_its_client_is_told() {
    let (end_a, end_b, mut config) = two_lines();
    (config.forwarding.resend_within_ms, config.forwarding.settle_ms) = (0, 2_000);
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("taken", CashMargin::CASH);
    client.order("lost", CashMargin::CASH);
    let (taken, _) = (a.order(), a.order());
    drop(a);
    b.synchronization();
    b.accept(&taken, 1, 1);
    assert_eq!(client.report(), (1, 1, "taken".to_owned()), "the core's word");
    assert_eq!(client.rejected(), "not taken by the core");
    // It may be ordered again, under its name.
    client.order("lost", CashMargin::CASH);
    assert_eq!(b.order().cl_ord_id, text("lost"));
    eventually("counted", || gateway.metrics.not_taken.with_label_values(&["cash"]).get() == 1);
    gateway.stop();
}

#[test]
fn with_no_line_left_requests_are_refused_and_those_under_way_wait() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    drop((b, a));
    eventually("both are down", || gateway.metrics.core_up.with_label_values(&["cash"]).get() == 0);
    let _halt: wire::szse::trading::PlatformStateInfo = client.peer.expect();
    client.order("y", CashMargin::CASH);
    assert_eq!(client.rejected(), "cash core not reachable");
    let mut back = end_b.accept_standby();
    back.synchronization();
    assert_eq!(back.order(), x);
    gateway.stop();
}

#[test]
fn a_request_that_is_under_way_or_known_is_not_sent_twice() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, _b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    client.order("x", CashMargin::CASH);
    assert_eq!(client.rejected(), "ClOrdID is that of another order", "under way");
    a.accept(&x, 1, 1);
    client.report();
    client.order("x", CashMargin::CASH);
    assert_eq!(client.rejected(), "ClOrdID is that of another order", "known");
    gateway.stop();
}

#[test]
fn both_lines_share_partitions_and_accounts_and_each_can_do_all() {
    let (end_a, end_b, mut config) = two_lines();
    config.cores[0].mode = LineMode::ActiveActive;
    let gateway = Gateway::start(config);
    let (mut a, first) = end_a.accept();
    // Whoever is up first has all; then they share.
    assert_eq!(first, [(1, 1), (2, 1)]);
    let (mut b, of_b) = end_b.accept();
    assert_eq!(of_b, [(2, 1)]);
    assert_eq!(a.synchronization(), [(1, 1)]);
    let (mut one, mut two) = (client(&gateway, 1), client(&gateway, 2));
    let (of_one, of_two) = (one.order("x", CashMargin::CASH), two.order("x", CashMargin::CASH));
    // An account is pinned to one of them.
    let (odd, even) = (b.order(), a.order());
    assert_eq!((odd, even), (of_one, of_two));
    a.accept(&even, 1, 1);
    b.accept(&odd, 2, 1);
    assert_eq!((one.report().2, two.report().2), ("x".to_owned(), "x".to_owned()));
    one.order("y", CashMargin::CASH);
    b.order();
    drop(b);
    assert_eq!(a.synchronization(), [(1, 2), (2, 2)]);
    let y = a.order();
    assert_eq!(y.cl_ord_id, text("y"));
    let (_b, of_b) = end_b.accept();
    assert_eq!(of_b, [(2, 2)]);
    assert_eq!(a.synchronization(), [(1, 2)]);
    // While y is under way over a, what follows it takes the same way.
    one.order("z", CashMargin::CASH);
    assert_eq!(a.order().cl_ord_id, text("z"));
    gateway.stop();
}

#[test]
fn a_narrow_line_takes_what_it_can_and_all_of_it_in_order() {
    let (end_a, end_b, mut config) = two_lines();
    config.cores[0].bandwidth_bytes_per_s = 20_000;
    let (gateway, mut a, _b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    let names: Vec<String> = (0..60).map(|number| format!("o{number}")).collect();
    for name in &names {
        client.order(name, CashMargin::CASH);
    }
    for name in &names {
        assert_eq!(a.order().cl_ord_id, text(name));
    }
    gateway.stop();
}

const TOKEN: &str = "operate ops 0123456789abcdef0123456789abcdef\n";

/// A gateway with an operator's port: asked for a switch, it does it before it answers.
fn with_operator(mut config: Config, folder: &std::path::Path) -> (Gateway, service::admin::Serving) {
    config.control.token_file = folder.join("tokens");
    std::fs::write(&config.control.token_file, TOKEN).expect("written");
    let host = service::Host::default();
    let server = gateway::Server::bind(config, &host).expect("bound");
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.routes(server.routes()).start().expect("served");
    (Gateway::run(server, host), admin)
}

/// The answer to a switch: status and text.
fn asked(admin: &service::admin::Serving, what: &str) -> (String, String) {
    let mut stream = TcpStream::connect(admin.address()).expect("it listens");
    let token = TOKEN.split_whitespace().nth(2).expect("a token");
    write!(
        stream,
        "POST /lines/cash/{what} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (answer[9..12].to_owned(), body.to_owned())
}

fn switch(admin: &service::admin::Serving, what: &str) {
    let (status, text) = asked(admin, what);
    assert!(status == "200" && text.ends_with(": done\n"), "{what}: {status} {text}");
}

/// What operators did, by the audit.
fn commands(directory: &std::path::Path) -> Vec<String> {
    let mut reader = journal::Reader::oldest(directory).expect("a journal");
    let mut all = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        if let Ok(Record::Operator(what)) = Record::parse(record.kind, record.payload) {
            all.push(what.to_owned());
        }
    }
    all
}

#[test]
fn the_last_line_that_works_is_taken_out_by_force_alone_and_the_audit_says_who_did_what() {
    let folder = tempfile::tempdir().expect("a folder");
    let (end_a, end_b, mut config) = two_lines();
    let directory = folder.path().join("audit");
    config.audit.directory = Some(directory.clone());
    config.audit.segment_bytes = 2 << 20;
    let (gateway, admin) = with_operator(config, folder.path());
    let (_a, _b) = (end_a.accept(), end_b.accept_standby());
    eventually("both lines are up", || ["a", "b"].iter().all(|line| up(&gateway, line)));
    switch(&admin, "b/down");
    let refused = asked(&admin, "a/down");
    let text = "no other line is up: ?force=true takes out this one all the same\n";
    assert_eq!(refused, ("409".to_owned(), text.to_owned()));
    assert!(up(&gateway, "a"), "it goes on");
    assert_eq!(asked(&admin, "b/activate").0, "409");
    switch(&admin, "a/down?force=true");
    eventually("both are out", || !["a", "b"].iter().any(|line| up(&gateway, line)));
    gateway.stop();
    let name = TOKEN.split_whitespace().nth(1).expect("a name");
    let expected = [
        "line cash b down: 200",
        "line cash a down: 409",
        "line cash b activate: 409",
        "line cash a down, forced: 200",
    ];
    assert_eq!(commands(&directory), expected.map(|what| format!("{name}: {what}")));
}

#[test]
fn an_operator_switches_over_both_ways_and_nothing_waits_for_the_line_that_was_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let (end_a, end_b, config) = two_lines();
    let (gateway, admin) = with_operator(config, folder.path());
    let ((mut a, _), mut b) = (end_a.accept(), end_b.accept_standby());
    eventually("both lines are up", || ["a", "b"].iter().all(|line| up(&gateway, line)));
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    switch(&admin, "b/activate");
    assert_eq!(b.synchronization(), [(1, 1), (2, 1)]);
    assert_eq!(b.order(), x);
    eventually("b is active", || active(&gateway, "b"));
    assert_eq!(gateway.metrics.core_up.with_label_values(&["cash"]).get(), 1, "all the time");
    // Back again, with an order under way over b.
    let mut a = end_a.accept_standby();
    eventually("a is back", || up(&gateway, "a"));
    client.order("y", CashMargin::CASH);
    let y = b.order();
    switch(&admin, "a/activate");
    a.synchronization();
    assert_eq!((a.order(), a.order()), (x, y));
    switch(&admin, "b/down");
    client.order("z", CashMargin::CASH);
    assert_eq!(a.order().cl_ord_id, text("z"));
    gateway.stop();
}

#[test]
fn a_line_that_an_operator_takes_out_says_goodbye_while_the_other_one_works_already() {
    let folder = tempfile::tempdir().expect("a folder");
    let (end_a, end_b, config) = two_lines();
    let (gateway, admin) = with_operator(config, folder.path());
    let ((mut a, _), mut b) = (end_a.accept(), end_b.accept_standby());
    eventually("both lines are up", || ["a", "b"].iter().all(|line| up(&gateway, line)));
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    switch(&admin, "a/down");
    let logout: Logout = a.peer.expect();
    assert_eq!(logout.text.to_string(), "taken out by the operator");
    // The core has not answered yet, and says what it has to say; b has the work.
    assert_eq!(b.synchronization(), [(1, 1), (2, 1)]);
    assert_eq!(b.order(), x);
    a.accept(&x, 1, 1);
    assert_eq!(client.report(), (1, 1, "x".to_owned()));
    b.accept(&x, 1, 1);
    client.order("y", CashMargin::CASH);
    let y = b.order();
    b.accept(&y, 1, 2);
    assert_eq!(client.report(), (1, 2, "y".to_owned()), "1 came over both, and once");
    a.peer.send(&logout);
    assert!(a.peer.next().is_none(), "closed");
    let ended = |why: &str| gateway.metrics.line_ended.with_label_values(&["cash", "a", why]).get();
    eventually("counted", || ended("taken out by the operator") == 1);
    switch(&admin, "a/up");
    drop(end_a.accept_standby());
    // One that does not answer is not waited for for ever.
    switch(&admin, "b/down?force=true");
    let _: Logout = b.peer.expect();
    assert!(b.peer.next().is_none(), "closed");
    gateway.stop();
}

/// A gateway that is asked to end while orders wait for the bandwidth of its only line, and that line.
fn closing_with_orders_held(count: u64) -> (Gateway, Client, Line, Vec<String>) {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.cores[0].bandwidth_bytes_per_s = 8_000;
    let gateway = Gateway::start(config);
    let (mut line, _) = core.accept();
    eventually("the line is up", || up(&gateway, "a"));
    let mut client = client(&gateway, 1);
    let names: Vec<String> = (0..count).map(|number| format!("o{number}")).collect();
    for name in &names {
        client.order(name, CashMargin::CASH);
    }
    assert_eq!(line.order().cl_ord_id, text("o0"));
    eventually("all are taken", || gateway.metrics.orders.with_label_values(&["cash"]).get() == count);
    gateway.host.shutdown.drain("test");
    assert_eq!(client.peer.expect::<Logout>().text.to_string(), "gateway is closing");
    (gateway, client, line, names)
}

#[test]
fn orders_that_wait_for_bandwidth_go_out_before_a_gateway_that_closes_leaves() {
    let (gateway, mut client, mut line, names) = closing_with_orders_held(100);
    client.order("late", CashMargin::CASH);
    assert_eq!(client.rejected(), "gateway is closing");
    client.peer.send(&Logout { session_status: SessionStatus::LOGOUT_COMPLETE, text: text("") });
    for name in &names[1..] {
        assert_eq!(line.order().cl_ord_id, text(name));
    }
    let _: Logout = line.peer.expect();
    drop(line);
    gateway.running.wait(peers::DEADLINE).expect("ended well");
}

#[test]
fn of_orders_that_can_no_longer_go_out_their_client_is_told() {
    // So many that not all of them go while the machine is busy with something else.
    let (gateway, mut client, mut line, names) = closing_with_orders_held(500);
    gateway.host.shutdown.stop("test");
    let mut refused = 0;
    while let Some(frame) = client.peer.next() {
        let frame = peers::decoded(&frame);
        if let Ok(reject) = frame.view::<BusinessReject>() {
            assert_eq!(reject.business_reject_text.to_string(), "gateway is closing");
            refused += 1;
        }
    }
    let mut sent = 1;
    while let Some(frame) = line.peer.next() {
        sent += usize::from(peers::decoded(&frame).msg_type == NewOrder::MSG_TYPE);
    }
    assert_eq!(sent + refused, names.len(), "{sent} went out");
    assert!(refused > 0);
    gateway.running.wait(peers::DEADLINE).expect("ended well");
}

#[test]
fn a_line_that_dies_while_the_gateway_closes_loses_nothing_either() {
    let (end_a, end_b, config) = two_lines();
    let (gateway, mut a, mut b) = started((&end_a, &end_b), config);
    let mut client = client(&gateway, 1);
    client.order("x", CashMargin::CASH);
    let x = a.order();
    gateway.host.shutdown.drain("test");
    let _: Logout = client.peer.expect();
    drop(a);
    assert_eq!(b.synchronization(), [(1, 1), (2, 1)]);
    assert_eq!(b.order(), x);
    drop((client, b));
    gateway.running.wait(peers::DEADLINE).expect("ended well");
}

#[test]
fn a_line_that_stalls_is_given_up_and_the_one_that_takes_over_is_not() {
    let (end_a, end_b, mut config) = two_lines();
    config.forwarding.out_bytes_max = 256 << 10;
    config.forwarding.in_flight_max = 1 << 20;
    config.forwarding.stall_timeout_ms = 3_000;
    config.forwarding.resend_within_ms = 600_000;
    let (gateway, _a, mut b) = started((&end_a, &end_b), config);
    let client = client(&gateway, 1);
    let first = client.new_order("f0", CashMargin::CASH);
    let stream = client.peer.stream.try_clone().expect("a second handle");
    let flood = std::thread::spawn(move || {
        let mut stream = stream;
        for number in 0.. {
            let order = NewOrder { cl_ord_id: text(&format!("f{number}")), ..first };
            let mut bytes = Vec::new();
            wire::szse::frame::encode(&order, &mut bytes);
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let ended = |line: &str| gateway.metrics.line_ended.with_label_values(&["cash", line, "stalled"]).get();
    eventually("a is given up", || ended("a") == 1);
    b.synchronization();
    for number in 0..20_000 {
        assert_eq!(b.order().cl_ord_id, text(&format!("f{number}")), "in the order of sending");
    }
    assert_eq!(ended("b"), 0);
    client.peer.stream.shutdown(std::net::Shutdown::Both).expect("shut");
    flood.join().expect("ended");
    drop(b);
    gateway.stop();
}

#[test]
fn a_core_that_has_no_reports_from_where_a_gateway_has_come_to_is_an_alarm_until_it_has() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.forwarding.settle_ms = 50;
    let gateway = Gateway::start(config);
    let (mut line, asked) = core.accept();
    assert_eq!(asked, [(1, 1)]);
    eventually("the line is up", || gateway.metrics.core_up.with_label_values(&["cash"]).get() == 1);
    let mut client = Client::log_on(gateway.address, 1);
    client.synchronize(&[]);
    client.order("x", CashMargin::CASH);
    let order = line.order();
    line.accept(&order, 1, 1);
    client.report();
    drop(line);
    // It comes back without its day.
    let missing = || gateway.metrics.core_reports_missing.with_label_values(&["cash"]).get();
    while missing() == 0 {
        let (mut line, asked) = core.accept();
        assert_eq!(asked, [(1, 2)]);
        line.peer.send(&BusinessReject {
            ref_msg_type: ReportSynchronization::MSG_TYPE.into(),
            business_reject_text: text("partition 1: the next is 1"),
            ..BusinessReject::default()
        });
        assert!(line.peer.next().is_none(), "given up");
    }
    let (mut line, _) = core.accept();
    eventually("it has its day again", || missing() == 0);
    client.order("y", CashMargin::CASH);
    let order = loop {
        let frame = line.peer.next().expect("a frame");
        if let Ok(order) = peers::decoded(&frame).view::<NewOrder>() {
            break *order;
        }
    };
    assert_eq!(order.cl_ord_id, text("y"));
    gateway.stop();
}
