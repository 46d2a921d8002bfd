//! Pre-trade checks and the operator's commands at a whole gateway: what a client is told, by code and text, and what is
//! counted; what an operator may do, with and without a token.

mod peers;

use gateway::Server;
use gateway::check::{Check, Reported, Submission, Verdict};
use gateway::config::CoreName;
use gateway::orders::AccountKey;
use peers::{Client, Core, Gateway, config, text};
use service::admin::{Admin, Serving};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use wire::szse::code::{BusinessRejectReason, CashMargin, OrdType, Side};
use wire::szse::trading::{BusinessReject, NewOrder, OrderReport};
use wire::szse::{Message, Price, Qty, Text, U32};

const CASH: CashMargin = CashMargin::CASH;

/// Securities with no phases of trading: tests run at any time of the day.
const SECURITIES: &str = "security_id,source,board,schedule,prev_close,flags\n\
    000001,102,main,szse,10.00,margin-buy\n\
    000002,102,main,szse,10.00,suspended\n\
    688001,101,star,sse,50.00,\n";

struct Bench {
    gateway: Gateway,
    admin: Serving,
    _folder: tempfile::TempDir,
    core: peers::Line,
    client: Client,
    client_address: SocketAddr,
}

impl Bench {
    fn start(change: impl FnOnce(&mut gateway::Config, &std::path::Path)) -> Self {
        Self::with(change, |server| server)
    }

    fn with(
        change: impl FnOnce(&mut gateway::Config, &std::path::Path),
        extend: impl FnOnce(Server) -> Server,
    ) -> Self {
        let folder = tempfile::tempdir().expect("as the test has it");
        let core = Core::listen(&[1]);
        let mut config = config(&[(CoreName::Cash, &core, 0)]);
        change(&mut config, folder.path());
        let host = service::Host::default();
        let server = extend(Server::bind(config, &host).expect("bound"));
        let (address, metrics) = (server.address(), server.metrics());
        let admin = Admin::bind(&service::admin::Config::default(), &host).expect("bound");
        let admin = admin.routes(server.routes()).start().expect("served");
        let running = server.start().expect("threads");
        let gateway = Gateway { address, fix_address: None, host, metrics, running };
        let (line, _) = core.accept();
        gateway.wait_up(&["cash"]);
        let client = Client::ready(address, 1);
        Self { gateway, admin, _folder: folder, core: line, client, client_address: address }
    }

    fn with_securities() -> Self {
        Self::start(|config, folder| {
            config.checks.securities = folder.join("securities.csv");
            std::fs::write(&config.checks.securities, SECURITIES).expect("as the test has it");
            config.checks.off = vec![gateway::check::Group::Phase];
        })
    }

    fn order(&self, cl_ord_id: &str) -> NewOrder {
        let mut order = self.client.new_order(cl_ord_id, CASH);
        order.base.security_id_source = text("102");
        order
    }

    /// Sends an order that is refused: (reason, text). Each must be counted.
    fn refused(&mut self, order: &NewOrder) -> (u16, String) {
        self.client.peer.send(order);
        let reject: BusinessReject = self.client.peer.expect();
        assert_eq!(reject.business_reject_ref_id, order.cl_ord_id);
        let text = reject.business_reject_text.to_string();
        peers::eventually("it is counted", || self.gateway.refused(&text) >= 1);
        (reject.business_reject_reason.raw(), text)
    }

    /// Sends an order that reaches the core.
    fn taken(&mut self, order: &NewOrder) {
        self.client.peer.send(order);
        assert_eq!(self.core.order(), *order);
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.address()).expect("it listens");
        let token = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\n{token}connection: close\r\n\r\n")
            .expect("as the test has it");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status =
            answer.split(' ').nth(1).expect("as the test has it").parse().expect("as the test has it");
        (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    }

    fn commands(&self, outcome: &str) -> u64 {
        self.gateway.metrics.commands.with_label_values(&[outcome]).get()
    }
}

#[test]
fn each_rule_of_a_security_is_told_by_code_and_text_and_counted() {
    let mut bench = Bench::with_securities();
    let good = bench.order("good");
    bench.taken(&good);
    let with = |change: &dyn Fn(&mut NewOrder)| {
        let mut order = good;
        order.cl_ord_id = text("bad");
        change(&mut order);
        order
    };
    let cases: [(u16, &str, NewOrder); 11] = [
        (301, "301: unknown security", with(&|order| order.base.security_id = text("999999"))),
        (302, "302: security suspended", with(&|order| order.base.security_id = text("000002"))),
        (401, "401: OrderQty not in lots", with(&|order| order.order_qty = Qty::whole(150))),
        (402, "402: OrderQty below the least", with(&|order| order.order_qty = Qty::whole(99))),
        (
            501,
            "501: Price not a multiple of the tick",
            with(&|order| order.price = "10.005".parse().expect("as the test has it")),
        ),
        (
            601,
            "601: Price above the upper limit",
            with(&|order| order.price = "11.01".parse().expect("as the test has it")),
        ),
        (
            602,
            "602: Price below the lower limit",
            with(&|order| order.price = "8.99".parse().expect("as the test has it")),
        ),
        (
            701,
            "701: buy price above the cage",
            with(&|order| order.price = "10.21".parse().expect("as the test has it")),
        ),
        (
            702,
            "702: sell price below the cage",
            with(&|order| {
                (order.side, order.price) = (Side::SELL, "9.79".parse().expect("as the test has it"));
            }),
        ),
        (
            801,
            "801: OrderQty above the largest order",
            with(&|order| order.order_qty = Qty::whole(1_000_100)),
        ),
        (801, "801: OrderQty above the largest order", {
            let mut order = with(&|order| order.base.security_id = text("688001"));
            order.base.security_id_source = text("101");
            (order.ord_type, order.price, order.order_qty) =
                (OrdType::MARKET, Price::ZERO, Qty::whole(50_001));
            order
        }),
    ];
    for (code, expected, order) in cases {
        assert_eq!(bench.refused(&order), (code, expected.to_owned()));
    }
    let edges = [("10.20", Side::BUY), ("9.80", Side::SELL), ("9.00", Side::BUY)];
    for (number, (price, side)) in edges.into_iter().enumerate() {
        let order = NewOrder {
            cl_ord_id: text(&format!("e{number}")),
            price: price.parse().expect("as the test has it"),
            side,
            ..good
        };
        bench.taken(&order);
    }
    bench.gateway.stop();
}

#[test]
fn a_throttled_session_is_told_so_and_then_ended() {
    let mut bench = Bench::start(|config, _| {
        config.throttle.session_per_s = 1;
        config.throttle.disconnect_after = 3;
    });
    // All in one write: whatever the machine is at, they come within the second that one of them may have.
    let mut bytes = Vec::new();
    for number in 1..=4 {
        wire::szse::frame::encode(&bench.order(&number.to_string()), &mut bytes);
    }
    bench.client.peer.write(&bytes);
    assert_eq!(bench.core.order(), bench.order("1"));
    for number in 2..=4 {
        let reject: BusinessReject = bench.client.peer.expect();
        assert_eq!(reject.business_reject_ref_id, text(&number.to_string()));
        assert_eq!(reject.business_reject_reason, BusinessRejectReason::THROTTLED);
        assert_eq!(reject.business_reject_text, text("101: too many orders of the session"));
    }
    bench.client.peer.expect_logout("too many orders");
    peers::eventually("they are counted", || {
        bench.gateway.refused("101: too many orders of the session") == 3
    });
    bench.gateway.stop();
}

#[test]
fn an_order_that_meets_an_own_one_is_refused_until_that_is_gone() {
    let mut bench = Bench::start(|config, _| config.checks.self_cross = true);
    let sell = NewOrder { side: Side::SELL, ..bench.order("s") };
    bench.taken(&sell);
    assert_eq!(bench.refused(&bench.order("b")), (811, "811: crosses an own order".to_owned()));
    let below = NewOrder { price: "9.99".parse().expect("as the test has it"), ..bench.order("b2") };
    bench.taken(&below);
    let refused = wire::szse::trading::OrderReport {
        exec_type: wire::szse::code::ExecType::REJECTED,
        ..peers::accepted(&sell, 1, 1)
    };
    bench.core.peer.send(&refused);
    bench.client.report();
    let buy = bench.order("b3");
    bench.taken(&buy);
    bench.gateway.stop();
}

#[test]
fn an_account_that_reaches_a_mark_is_counted_and_shown_with_its_requests() {
    const MARKS: &str = "{ per_second = 300, per_day = 20_000 }";
    let mut bench = Bench::start(|config, folder| {
        config.checks.rules = folder.join("rules.toml");
        let rules = gateway::check::rules::A_SHARE;
        assert!(rules.contains(MARKS));
        std::fs::write(&config.checks.rules, rules.replace(MARKS, "{ per_second = 0, per_day = 3 }"))
            .expect("as the test has it");
    });
    for number in 1..=4 {
        let order = bench.order(&number.to_string());
        bench.taken(&order);
        bench.core.accept(&order, 1, number);
        bench.client.report();
    }
    let metrics = &bench.gateway.metrics;
    peers::eventually("all are counted", || metrics.busiest_per_day.get() == 4);
    // One is set after the other.
    peers::eventually("the account is marked", || {
        metrics.marked_per_day.with_label_values(&["a1"]).get() == 4
    });
    peers::eventually("the mark is counted", || {
        ["second", "day"].map(|mark| metrics.marks.with_label_values(&[mark]).get()) == [0, 1]
    });
    peers::eventually("the second too", || metrics.busiest_per_second.get() >= 1);
    let (_, body) = bench.ask("GET", "/checks", None);
    assert!(
        body.contains(r#""account":"a1","today":4"#) && body.contains(r#""high_frequency":true"#),
        "{body}"
    );
    bench.gateway.stop();
}

struct NoSells;

impl Check for NoSells {
    fn name(&self) -> &'static str {
        "no sells"
    }

    fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict> {
        match submission.order.side {
            Side::SELL => Err(Verdict { code: 10_001, text: "no sells today" }),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_own_rule_is_asked_behind_ours() {
    let mut bench = Bench::with(|_, _| {}, |server| server.with_check(Box::new(NoSells)));
    let buy = bench.order("b");
    bench.taken(&buy);
    bench.client.peer.send(&NewOrder { side: Side::SELL, ..bench.order("s") });
    let reject: BusinessReject = bench.client.peer.expect();
    assert_eq!(reject.business_reject_reason.raw(), 10_001);
    assert_eq!(reject.business_reject_text.to_string(), "no sells today");
    peers::eventually("counted by the rule's name", || bench.gateway.refused("no sells") == 1);
    bench.gateway.stop();
}

/// A rule that keeps what it is told.
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, what: String) {
        self.0.lock().expect("whole").push(what);
    }
}

impl Check for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn order(&mut self, _: &Submission<'_>) -> Result<(), Verdict> {
        Ok(())
    }

    fn sent(&mut self, submission: &Submission<'_>) {
        self.note(format!("sent {}", submission.order.cl_ord_id));
    }

    fn reported(&mut self, report: &Reported<'_>) {
        let order = report.frame.view::<OrderReport>().expect("an order's");
        self.note(format!("reported {}", order.cl_ord_id));
    }

    fn refused(&mut self, _: AccountKey, cl_ord_id: Text<10>) {
        self.note(format!("refused {cl_ord_id}"));
    }
}

#[test]
fn an_own_rule_is_told_what_becomes_of_orders_and_again_after_a_restart() {
    let core = Core::listen(&[1]);
    let start = || {
        let told = Arc::default();
        let config = config(&[(CoreName::Cash, &core, 0)]);
        let host = service::Host::default();
        let server = gateway::Server::bind(config, &host).expect("bound");
        let server = server.with_check(Box::new(Told(Arc::clone(&told)))).with_check(Box::new(NoSells));
        let gateway = Gateway::run(server, host);
        let (line, asked) = core.accept();
        assert_eq!(asked, [(1, 1)], "the day from its beginning");
        (gateway, line, told)
    };
    let (gateway, mut line, told) = start();
    gateway.wait_up(&["cash"]);
    let mut client = Client::ready(gateway.address, 1);
    client.peer.send(&NewOrder { side: Side::SELL, ..client.new_order("s", CASH) });
    assert_eq!(client.rejected(), "no sells today", "a rule behind it says no: it is not told of a sending");
    client.order("x", CASH);
    let x = line.order();
    line.accept(&x, 1, 1);
    client.report();
    client.order("y", CASH);
    let y = line.order();
    line.peer.send(&BusinessReject {
        ref_msg_type: U32::new(NewOrder::MSG_TYPE),
        business_reject_ref_id: y.cl_ord_id,
        ..BusinessReject::default()
    });
    client.rejected();
    assert_eq!(*told.lock().expect("whole"), ["sent x", "reported x", "sent y", "refused y"]);
    gateway.stop();

    let (gateway, mut line, told) = start();
    line.accept(&x, 1, 1);
    peers::eventually("it has read the day", || *told.lock().expect("whole") == ["reported x"]);
    gateway.stop();
}

const OPERATE: &str = "0123456789abcdef";
const READ: &str = "fedcba9876543210";

fn with_tokens(config: &mut gateway::Config, folder: &std::path::Path) {
    config.control.token_file = folder.join("tokens");
    config.control.kill_file = folder.join("kill.toml");
    std::fs::write(&config.control.token_file, format!("operate alice {OPERATE}\nread bob {READ}\n"))
        .expect("as the test has it");
}

#[test]
fn a_kill_switch_stops_orders_and_leaves_cancels() {
    let mut bench = Bench::start(with_tokens);
    assert_eq!(bench.ask("POST", "/kill/accounts/a1", None).0, 401);
    assert_eq!(bench.ask("POST", "/kill/accounts/a1", Some("0123456789abcdee")).0, 401);
    assert_eq!(bench.ask("POST", "/kill/accounts/a1", Some(READ)).0, 403);
    assert_eq!(bench.ask("GET", "/kill", None).0, 401);
    let order = bench.order("1");
    bench.taken(&order);

    let (status, body) = bench.ask("POST", "/kill/accounts/a1", Some(OPERATE));
    assert_eq!(status, 200, "{body}");
    assert_eq!(bench.refused(&bench.order("2")), (951, "951: trading of the account stopped".to_owned()));
    bench.client.cancel("c", "1", "");
    let cancel: wire::szse::trading::OrderCancelRequest = bench.core.peer.expect();
    assert_eq!(cancel.cl_ord_id, text("c"), "who is stopped may still get out");
    assert_eq!(bench.ask("POST", "/kill/gateway", Some(OPERATE)).0, 200);
    assert_eq!(bench.refused(&bench.order("3")).0, 952);
    assert_eq!(bench.ask("POST", "/kill/global", Some(OPERATE)).0, 200);
    assert_eq!(bench.refused(&bench.order("4")).0, 953);
    let (_, kept) = bench.ask("GET", "/kill", Some(READ));
    assert_eq!(kept.trim(), r#"{"global":true,"gateway":true,"accounts":["a1"]}"#);
    for path in ["/kill/global", "/kill/gateway", "/kill/accounts/a1"] {
        assert_eq!(bench.ask("DELETE", path, Some(OPERATE)).0, 200);
    }
    let order = bench.order("5");
    bench.taken(&order);
    assert_eq!(bench.ask("POST", "/kill/accounts/nobody", Some(OPERATE)).0, 404);
    assert_eq!(bench.ask("POST", "/kill/everything", Some(OPERATE)).0, 404);
    assert_eq!(["no token", "wrong token", "read only"].map(|outcome| bench.commands(outcome)), [2, 1, 1]);
    assert_eq!(["done", "failed"].map(|outcome| bench.commands(outcome)), [6, 2]);
    bench.gateway.stop();
}

#[test]
fn what_was_stopped_stays_stopped_over_a_restart() {
    let kept = tempfile::tempdir().expect("as the test has it");
    std::fs::write(kept.path().join("kill.toml"), "accounts = [\"a1\", \"gone\"]\n")
        .expect("as the test has it");
    let mut bench = Bench::start(|config, _| config.control.kill_file = kept.path().join("kill.toml"));
    assert_eq!(bench.refused(&bench.order("1")).0, 951);
    bench.gateway.stop();
}

#[test]
fn without_a_token_file_looking_is_free_and_commands_are_refused() {
    let bench = Bench::start(|_, _| {});
    assert_eq!(bench.ask("GET", "/sessions", None).0, 200);
    let (status, body) = bench.ask("GET", "/checks", None);
    assert!(status == 200 && body.contains("\"securities\":0"), "{body}");
    for (method, path) in
        [("POST", "/kill/gateway"), ("POST", "/lines/cash/a/down"), ("DELETE", "/kill/gateway")]
    {
        let (status, body) = bench.ask(method, path, None);
        assert_eq!((status, body.as_str()), (403, "commands need tokens: configure control.token_file\n"));
    }
    assert_eq!(bench.gateway.metrics.core_up.with_label_values(&["cash"]).get(), 1);
    bench.gateway.stop();
}

#[test]
fn an_operator_ends_a_session() {
    let mut bench = Bench::start(with_tokens);
    let ended = |comp_id: &str| bench.ask("POST", &format!("/sessions/{comp_id}/disconnect"), Some(OPERATE));
    assert_eq!(ended("c2"), (404, "no session of \"c2\"\n".to_owned()));
    assert_eq!(ended("of-a-name-that-is-too-long").0, 404);
    assert_eq!(ended("c1"), (200, "c1: disconnected\n".to_owned()));
    bench.client.peer.expect_logout("disconnected by the operator");
    drop(Client::log_on(bench.client_address, 1));
    bench.gateway.stop();
}

#[test]
fn a_typo_is_told_in_a_line() {
    let bench = Bench::start(with_tokens);
    let told = |method: &str, path: &str| bench.ask(method, path, Some(OPERATE));
    for (method, path, status, text) in [
        ("POST", "/kill/accounts/nobody", 404, r#"no account "nobody""#),
        ("DELETE", "/kill/accounts/a%0A1", 404, r#"no account "a\n1""#),
        ("POST", "/lines/cash/c/down", 404, r#"no line "cash/c" (GET /lines lists them)"#),
        ("POST", "/lines/bond/a/down", 404, r#"no line "bond/a" (GET /lines lists them)"#),
        ("GET", "/foo", 404, "no such path: /foo (GET / lists what there is)"),
        ("GET", "/kill/gateway", 405, "use POST or DELETE"),
        ("GET", "/sessions/c1/disconnect", 405, "use POST"),
    ] {
        assert_eq!(told(method, path), (status, format!("{text}\n")), "{method} {path}");
    }
    bench.gateway.stop();
}

#[test]
fn the_list_of_paths_is_that_of_the_routes_and_wants_a_token_as_they_do() {
    let bench = Bench::start(with_tokens);
    let denied = "a token is needed: Authorization: Bearer TOKEN\n";
    assert_eq!(bench.ask("GET", "/", None), (401, denied.to_owned()));
    assert_eq!(bench.ask("GET", "/kill/gateway", None), (401, denied.to_owned()));
    let (status, list) = bench.ask("GET", "/", Some(READ));
    assert_eq!(status, 200, "{list}");
    for line in list.lines() {
        let (request, _) = line.split_once("  ").expect("what it does stands behind it");
        let (method, path) = request.split_once(' ').expect("method and path");
        // No route has this one, so that nothing is done and each says what it has.
        let (status, methods) = bench.ask("PATCH", path, Some(OPERATE));
        assert!(status == 405 && methods.contains(method), "{line}: {status} {methods}");
    }
    for path in ["/sessions", "/lines", "/checks", "/kill", "/reload", "/metrics"] {
        assert!(list.contains(&format!(" {path}  ")), "{path}: {list}");
    }
    bench.gateway.stop();
}

#[test]
fn reference_data_is_read_again_and_what_is_wrong_with_it_changes_nothing() {
    let folder = tempfile::tempdir().expect("as the test has it");
    let path = folder.path().join("securities.csv");
    std::fs::write(&path, SECURITIES).expect("as the test has it");
    let mut bench = Bench::start(|config, folder| {
        with_tokens(config, folder);
        config.checks.securities.clone_from(&path);
        config.checks.off = vec![gateway::check::Group::Phase];
    });
    let high = NewOrder { price: "11.50".parse().expect("as the test has it"), ..bench.order("1") };
    assert_eq!(bench.refused(&high).0, 601);
    std::fs::write(&path, "security_id\n1\n").expect("as the test has it");
    let (status, body) = bench.ask("POST", "/reload", Some(OPERATE));
    assert!(status == 422 && body.contains("missing field"), "{status} {body}");
    assert_eq!(bench.refused(&high).0, 601);
    std::fs::write(&path, SECURITIES.replace("000001,102,main,szse,10.00", "000001,102,main,szse,11.50"))
        .expect("as the test has it");
    assert_eq!(bench.ask("POST", "/reload", Some(OPERATE)).0, 200);
    bench.taken(&high);
    bench.gateway.stop();
}
