//! A gateway between clients and cores, on real sockets: what it is for.

mod peers;

use gateway::config::{CoreName, DropCopy};
use peers::{Client, Core, Gateway, HEARTBEAT_S, config, text};
use std::io::{Read, Write};
use wire::szse::code::{CashMargin, PlatformState, SessionStatus};
use wire::szse::trading::{CancelReject, OrderCancelRequest, OrderReport, PlatformStateInfo, ReportBase};
use wire::szse::{I32, I64, Logout, Password};

#[test]
fn orders_go_to_their_cores_and_reports_to_their_accounts() {
    let (cash, margin) = (Core::listen(&[1, 2]), Core::listen(&[1, 2]));
    let gateway = Gateway::start(config(&[(CoreName::Cash, &cash, 0), (CoreName::Margin, &margin, 10)]));
    let ((mut cash, asked_cash), (mut margin, asked_margin)) = (cash.accept(), margin.accept());
    assert_eq!((asked_cash, asked_margin), (vec![(1, 1), (2, 1)], vec![(1, 1), (2, 1)]));
    gateway.wait_up(&["cash", "margin"]);
    let (mut one, mut two) = (Client::log_on(gateway.address, 1), Client::log_on(gateway.address, 2));
    assert_eq!(one.partitions, [1, 2, 11, 12]);
    one.synchronize(&[]);
    two.synchronize(&[]);

    let sent = one.order("x", CashMargin::CASH);
    let received = cash.order();
    assert_eq!(received, sent, "byte for byte");
    two.order("x", CashMargin::MARGIN_OPEN);
    let of_two = margin.order();
    margin.accept(&of_two, 2, 1);
    assert_eq!(two.report(), (12, 1, "x".to_owned()));
    cash.accept(&received, 1, 1);
    assert_eq!(one.report(), (1, 1, "x".to_owned()));
    // Each core refuses a ClOrdID that comes again; that it was given to an order at the other one, only we know.
    one.order("x", CashMargin::MARGIN_OPEN);
    assert_eq!(one.rejected(), "ClOrdID is that of another order");
    gateway.stop();
}

#[test]
fn cancels_follow_their_orders_and_are_given_the_order_id() {
    let (cash, margin) = (Core::listen(&[1]), Core::listen(&[5]));
    let gateway = Gateway::start(config(&[(CoreName::Cash, &cash, 0), (CoreName::Margin, &margin, 0)]));
    let ((_cash, _), (mut margin, _)) = (cash.accept(), margin.accept());
    gateway.wait_up(&["margin"]);
    let mut client = Client::ready(gateway.address, 1);
    client.order("x", CashMargin::MARGIN_CLOSE);
    client.cancel("y", "x", "");
    let order = margin.order();
    let early: OrderCancelRequest = margin.peer.expect();
    assert_eq!((early.cl_ord_id, early.order_id), (text("y"), text("")), "sent before the OrderID was known");
    // A core that cannot find the order says so without naming it: the sender still hears of it.
    margin.peer.send(&CancelReject {
        base: ReportBase {
            partition_no: I32::new(5),
            report_index: I64::new(1),
            submitting_pbu_id: early.base.submitting_pbu_id,
            ..ReportBase::default()
        },
        cl_ord_id: early.cl_ord_id,
        orig_cl_ord_id: early.orig_cl_ord_id,
        ..CancelReject::default()
    });
    assert_eq!(client.peer.expect::<CancelReject>().cl_ord_id, text("y"));

    margin.accept(&order, 5, 2);
    client.report();
    client.cancel("z", "x", "");
    let later: OrderCancelRequest = margin.peer.expect();
    assert_eq!((later.cl_ord_id, later.order_id), (text("z"), text("o2")), "with its OrderID");

    let mut other = Client::log_on(gateway.address, 2);
    other.cancel("y", "x", "");
    assert_eq!(other.rejected(), "unknown order");
    other.cancel("y", "x", "o2");
    assert_eq!(other.rejected(), "unknown order", "another's order");
    gateway.stop();
}

#[test]
fn what_a_core_says_of_an_order_id_concerns_its_own_order() {
    let (cash, margin) = (Core::listen(&[1]), Core::listen(&[5]));
    let gateway = Gateway::start(config(&[(CoreName::Cash, &cash, 0), (CoreName::Margin, &margin, 0)]));
    let ((mut cash, _), (mut margin, _)) = (cash.accept(), margin.accept());
    gateway.wait_up(&["cash", "margin"]);
    let (mut one, mut two) = (Client::log_on(gateway.address, 1), Client::log_on(gateway.address, 2));
    one.synchronize(&[]);
    two.synchronize(&[]);
    // Both cores count their OrderIDs from the same number.
    one.order("x", CashMargin::CASH);
    let order = cash.order();
    cash.accept(&order, 1, 1);
    one.report();
    two.order("y", CashMargin::MARGIN_OPEN);
    let order = margin.order();
    margin.accept(&order, 5, 1);
    two.report();

    two.cancel("z", "", "o1");
    let cancel: OrderCancelRequest = margin.peer.expect();
    assert_eq!(cancel.order_id, text("o1"));
    margin.peer.send(&CancelReject {
        base: ReportBase { partition_no: I32::new(5), report_index: I64::new(2), ..ReportBase::default() },
        cl_ord_id: cancel.cl_ord_id,
        order_id: cancel.order_id,
        ..CancelReject::default()
    });
    assert_eq!(two.peer.expect::<CancelReject>().cl_ord_id, text("z"));
    gateway.stop();
}

#[test]
fn a_drop_copy_sees_all_of_its_branch_from_any_number_on_and_sends_nothing() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    let copy = |comp_id: &str, clients: &[&str]| DropCopy {
        comp_id: text(comp_id),
        password: Password::new(b"secret").expect("fits").into(),
        clients: clients.iter().map(|name| text(name)).collect(),
    };
    config.drop_copies = vec![copy("c101", &["c1", "c2"]), copy("c100", &[])];
    let gateway = Gateway::start(config);
    let (mut line, _) = core.accept();
    let mut all = Client::ready(gateway.address, 100);
    gateway.wait_up(&["cash"]);
    for number in 1..=3 {
        let mut client = Client::ready(gateway.address, number);
        let order = client.order("x", CashMargin::CASH);
        line.order();
        line.accept(&order, 1, number as i64);
        client.report();
    }
    let index = |copy: &mut Client| {
        let report: OrderReport = copy.peer.expect();
        report.base.report_index.get()
    };
    assert_eq!([(); 3].map(|()| index(&mut all)), [1, 2, 3], "live");
    let mut branch = Client::log_on(gateway.address, 101);
    branch.synchronize(&[(1, 2)]);
    assert_eq!(index(&mut branch), 2, "from the number that it asked for, and not those of c3");
    branch.order("y", CashMargin::CASH);
    assert_eq!(branch.rejected(), "a drop copy sends nothing");
    branch.cancel("z", "x", "o1");
    assert_eq!(branch.rejected(), "a drop copy sends nothing");
    peers::eventually("counted", || gateway.refused("a drop copy sends nothing") == 2);
    gateway.stop();
}

#[test]
fn a_halt_is_told_once_however_often_the_core_is_dialled() {
    let core = Core::listen(&[1]);
    let gateway = Gateway::with_cash(&core);
    let (line, _) = core.accept();
    gateway.wait_up(&["cash"]);
    let mut client = Client::ready(gateway.address, 1);
    drop((line, core));
    let halt: PlatformStateInfo = client.peer.expect();
    assert_eq!(halt.platform_state, PlatformState::HALT);
    peers::eventually("dialled in vain", || {
        gateway.metrics.line_ended.with_label_values(&["cash", "a", "dial failed"]).get() >= 3
    });
    client.order("x", CashMargin::CASH);
    assert_eq!(client.rejected(), "cash core not reachable", "nothing came between");
    gateway.stop();
}

#[test]
fn a_client_that_comes_back_gets_every_report_once() {
    let core = Core::listen(&[1, 2]);
    let gateway = Gateway::with_cash(&core);
    let (mut line, _) = core.accept();
    let mut client = Client::log_on(gateway.address, 1);
    let stranger = Client::log_on(gateway.address, 2).new_order("s", CashMargin::CASH);
    client.synchronize(&[]);
    let order = client.new_order("x", CashMargin::CASH);
    line.accept(&order, 1, 1);
    line.accept(&stranger, 1, 2);
    line.accept(&order, 2, 1);
    line.accept(&order, 1, 3);
    let seen: Vec<_> =
        (0..3).map(|_| client.report()).map(|(partition, index, _)| (partition, index)).collect();
    assert_eq!(seen, [(1, 1), (2, 1), (1, 3)]);
    drop(client);
    line.accept(&order, 2, 2);
    line.accept(&order, 1, 4);
    let mut client = Client::log_on(gateway.address, 1);
    client.synchronize(&[(1, 4), (2, 2)]);
    line.accept(&order, 1, 5);
    let seen: Vec<_> =
        (0..3).map(|_| client.report()).map(|(partition, index, _)| (partition, index)).collect();
    assert_eq!(seen, [(2, 2), (1, 4), (1, 5)]);
    client.synchronize(&[(1, 1)]);
    assert_eq!(client.rejected(), "already synchronised");
    gateway.stop();
}

#[test]
fn a_client_ahead_of_a_gateway_that_has_just_started_waits_for_it() {
    let core = Core::listen(&[1]);
    let gateway = Gateway::with_cash(&core);
    let (mut line, _) = core.accept();
    let mut client = Client::log_on(gateway.address, 1);
    client.synchronize(&[(1, 3)]);
    let order = client.order("x", CashMargin::CASH);
    assert_eq!(line.order(), order, "it trades meanwhile");
    for index in 1..=4 {
        line.accept(&order, 1, index);
    }
    assert_eq!((client.report().1, client.report().1), (3, 4));
    gateway.stop();
}

#[test]
fn a_client_further_ahead_than_the_core_is_told_so() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.sessions.synchronization_timeout_ms = 50;
    let gateway = Gateway::start(config);
    let _line = core.accept();
    let mut client = Client::log_on(gateway.address, 1);
    client.synchronize(&[(1, 9)]);
    client.peer.expect_logout("report 9 of partition 1 is not reached, the next is 1");
    gateway.stop();
}

#[test]
fn while_a_line_is_down_orders_are_refused_and_afterwards_nothing_is_missing() {
    let core = Core::listen(&[1]);
    let gateway = Gateway::with_cash(&core);
    let (mut line, _) = core.accept();
    let mut client = Client::ready(gateway.address, 1);
    let order = client.order("x", CashMargin::CASH);
    assert_eq!(line.order(), order);
    line.accept(&order, 1, 1);
    assert_eq!(client.report().1, 1);
    drop(line);
    let _: wire::szse::trading::PlatformStateInfo = client.peer.expect(); // Halted.
    client.order("y", CashMargin::CASH);
    assert_eq!(client.rejected(), "cash core not reachable");
    client.order("y", CashMargin::MARGIN_OPEN);
    assert_eq!(client.rejected(), "margin core not reachable", "there is none");

    let (mut line, asked) = core.accept();
    assert_eq!(asked, [(1, 2)], "from the first report that was missed");
    let _: wire::szse::trading::PlatformStateInfo = client.peer.expect(); // Open.
    line.accept(&order, 1, 2);
    line.accept(&order, 1, 3);
    assert_eq!((client.report().1, client.report().1), (2, 3));
    client.order("z", CashMargin::CASH);
    assert_eq!(line.order().cl_ord_id, text("z"), "nothing that was refused came late");
    assert_eq!(gateway.metrics.line_ended.with_label_values(&["cash", "a", "closed by the core"]).get(), 1);
    gateway.stop();
}

#[test]
fn a_gap_in_the_reports_is_read_again() {
    let core = Core::listen(&[1]);
    let gateway = Gateway::with_cash(&core);
    let (mut line, _) = core.accept();
    let mut client = Client::ready(gateway.address, 1);
    let order = client.new_order("x", CashMargin::CASH);
    line.accept(&order, 1, 1);
    line.accept(&order, 1, 3);
    assert_eq!(line.peer.next(), None, "the line is given up");
    let (mut line, asked) = core.accept();
    assert_eq!(asked, [(1, 2)]);
    for index in 2..=3 {
        line.accept(&order, 1, index);
    }
    let seen: Vec<_> = (0..3).map(|_| loop_past_states(&mut client)).collect();
    assert_eq!(seen, [1, 2, 3]);
    gateway.stop();
}

/// The next report's index, past changes of the platform's state.
fn loop_past_states(client: &mut Client) -> i64 {
    use wire::szse::trading::OrderReport;
    loop {
        let bytes = client.peer.next().expect("a report");
        if let Ok(report) = peers::decoded(&bytes).view::<OrderReport>() {
            return report.base.report_index.get();
        }
    }
}

#[test]
fn a_gateway_that_drains_says_goodbye_to_both_sides() {
    let core = Core::listen(&[1]);
    let gateway = Gateway::with_cash(&core);
    let (mut line, _) = core.accept();
    let mut client = Client::log_on(gateway.address, 1);
    gateway.host.shutdown.drain("test");
    assert_eq!(client.peer.expect::<Logout>().text.to_string(), "gateway is closing");
    client.order("x", CashMargin::CASH);
    assert_eq!(client.rejected(), "gateway is closing");
    client.peer.send(&Logout { session_status: SessionStatus::LOGOUT_COMPLETE, text: text("") });
    assert_eq!(line.peer.expect::<Logout>().text.to_string(), "gateway is closing");
    line.peer.send(&Logout { session_status: SessionStatus::LOGOUT_COMPLETE, text: text("") });
    gateway.running.wait(peers::DEADLINE).expect("ended well");
    assert_eq!(gateway.host.shutdown.phase(), service::Phase::Draining, "it did not have to be stopped");
}

#[test]
fn the_operator_sees_sessions_and_lines() {
    let core = Core::listen(&[1]);
    let host = service::Host::default();
    let server = gateway::Server::bind(config(&[(CoreName::Cash, &core, 0)]), &host).expect("bound");
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.ready(server.readiness()).routes(server.routes()).start().expect("served");
    let address = server.address();
    let get = |path: &str| get(admin.address(), path);
    assert!(get("/ready").contains("not ready: no line is up"));
    let running = server.start().expect("a thread");
    let _line = core.accept();
    peers::eventually("ready", || get("/ready").contains("ready\n") && !get("/ready").contains("not ready"));
    let _client = Client::log_on(address, 7);
    let sessions = get("/sessions");
    assert!(sessions.contains("\"comp_id\":\"c7\"") && sessions.contains("not synchronised"), "{sessions}");
    let lines = get("/lines");
    assert!(lines.contains("\"state\":\"up\"") && lines.contains("\"next\":1"), "{lines}");
    assert!(get("/metrics").contains("gateway_core_up{core=\"cash\"} 1"));
    assert!(u32::from(HEARTBEAT_S) > 30, "no heartbeat is due within a test");
    running.stop().expect("ended well");
}

#[test]
fn why_a_line_cannot_be_made_is_told() {
    let core = Core::listen(&[1]);
    let config = config(&[(CoreName::Cash, &core, 0)]);
    let address = core.address();
    drop(core);
    let host = service::Host::default();
    let server = gateway::Server::bind(config, &host).expect("bound");
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.routes(server.routes()).start().expect("served");
    let running = server.start().expect("a thread");
    let told = format!("\"last_error\":\"cannot connect to {address}: Connection refused (os error 111)\"");
    peers::eventually("it is told, once", || get(admin.address(), "/lines").contains(&told));
    running.stop().expect("ended well");
}

#[test]
fn a_client_behind_a_balancer_is_known_by_its_own_address() {
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.listen.accept_proxy.from = vec!["127.0.0.1".parse().expect("a network")];
    let host = service::Host::default();
    let server = gateway::Server::bind(config, &host).expect("bound");
    let (address, router) = (server.address(), server.routes());
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.routes(router).start().expect("served");
    let running = server.start().expect("a thread");
    let _line = core.accept();

    let mut client = Client::connect(address);
    client.write(&transport::proxy_protocol::encode("192.0.2.7:51000".parse().expect("an address"), address));
    client.send(&Client::logon("c7", "secret"));
    let _: wire::szse::Logon = client.expect();
    let sessions = get(admin.address(), "/sessions");
    assert!(sessions.contains("\"192.0.2.7:51000\""), "{sessions}");

    let mut direct = Client::connect(address);
    direct.send(&Client::logon("c6", "secret"));
    assert!(direct.next().is_none(), "who comes from there must say for whom");
    let malformed = "gateway_proxy_headers_total{listener=\"clients\",outcome=\"malformed\"} 1";
    peers::eventually("it is counted", || get(admin.address(), "/metrics").contains(malformed));
    running.stop().expect("ended well");
}

/// The answer of an operator's port.
fn get(admin: std::net::SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(admin).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}
