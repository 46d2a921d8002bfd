//! A whole matcher, embedded as others embed it, and as a program.

use crate::peer::{DEADLINE, Peer, SERVER};
use matcher_stub::config::{CoreConfig, LogConfig, MarketDataPort};
use matcher_stub::{Config, Control, ControlError, PortState, Server};
use service::{Host, Running};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use wire::szse::code::{OrdRejReason, OrdStatus, PlatformState, Side};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::trading::{
    OrderReport, PartitionIndex, PlatformInfo, PlatformStateInfo, ReportSynchronization, TradeReport,
};
use wire::szse::{I32, I64, Logout, frame};

/// A matcher on its thread, with every port chosen by the system.
pub(crate) struct Matcher {
    pub(crate) cash: SocketAddr,
    pub(crate) cash_b: Option<SocketAddr>,
    pub(crate) margin: SocketAddr,
    pub(crate) primary: SocketAddr,
    pub(crate) backup: SocketAddr,
    pub(crate) control: Control,
    pub(crate) host: Host,
    running: Running,
}

impl Matcher {
    pub(crate) fn start() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        let host = Host::default();
        let server = Server::bind(config, &host).unwrap();
        let address = |name| server.address(name).unwrap();
        Self {
            cash: address("cash"),
            cash_b: server.address("cash-b"),
            margin: address("margin"),
            primary: address("primary"),
            backup: address("backup"),
            control: server.control(),
            host,
            running: server.start().unwrap(),
        }
    }

    /// The value of a counter, after the shard has brought it up to date: it does so at its end.
    pub(crate) fn counters_at_end(self) -> String {
        let registry = self.host.registry.clone();
        self.running.stop().unwrap();
        service::metrics::text(&registry)
    }

    pub(crate) fn stop(self) {
        self.running.stop().unwrap();
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config {
        core: CoreConfig { orders_reserved: 1_000, ..CoreConfig::default() },
        log: LogConfig { report_window_bytes: 4 << 20, market_window_bytes: 4 << 20 },
        ..Config::default()
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    config.trading.iter_mut().for_each(|port| port.listen = any);
    config.market_data.iter_mut().for_each(|port| port.listen = any);
    config.session.comp_id = SERVER.to_string();
    config
}

/// A gateway that has logged on and asked for all reports of a desk from these indexes on.
pub(crate) fn gateway(address: SocketAddr, comp_id: &str, wanted: &[(i32, i64)]) -> Peer {
    let mut peer = Peer::logged_on(address, comp_id);
    let info = peer.next().unwrap();
    let frame = frame::decode(&info.bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
    let partitions = frame.group::<PlatformInfo<'_>>().unwrap().partitions;
    assert_eq!(partitions.len(), 2);
    assert_eq!(peer.expect::<PlatformStateInfo>().platform_state, PlatformState::OPEN);
    if !wanted.is_empty() {
        synchronize(&mut peer, wanted);
    }
    peer
}

pub(crate) fn synchronize(peer: &mut Peer, wanted: &[(i32, i64)]) {
    let index = |(partition, index): &(i32, i64)| PartitionIndex {
        partition_no: I32::new(*partition),
        report_index: I64::new(*index),
    };
    let partitions: Vec<_> = wanted.iter().map(index).collect();
    let mut bytes = Vec::new();
    ReportSynchronization { partitions: &partitions }.encode(&mut bytes).unwrap();
    peer.send_bytes(&bytes);
}

#[test]
fn an_order_goes_from_the_gateway_to_both_sources() {
    let matcher = Matcher::start();
    let mut feeds = [Peer::logged_on(matcher.primary, "FEED"), Peer::logged_on(matcher.backup, "FEED")];
    let mut gateway = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    for (number, side) in [(1, Side::SELL), (2, Side::BUY)] {
        gateway.send(&crate::trading::order(number, side, 10_000));
    }
    let first: OrderReport = gateway.expect();
    assert_eq!((first.ord_status, first.base.report_index.get()), (OrdStatus::NEW, 1));
    let mut said = feeds.each_mut().map(|feed| {
        let orders = [feed.expect::<TickOrder>(), feed.expect::<TickOrder>()];
        (orders, feed.expect::<TickTrade>())
    });
    let [primary, backup] = &mut said;
    assert_eq!(primary, backup);
    assert_eq!(primary.1.appl_seq_num.get(), 3);
    let counters = matcher.counters_at_end();
    for line in [
        "matcher_orders_accepted_total 2",
        "matcher_trades_total 1",
        "matcher_logons_total{kind=\"trading\"} 1",
    ] {
        assert!(counters.contains(line), "{line}\n{counters}");
    }
}

#[test]
fn a_source_fails_while_the_other_goes_on() {
    let matcher = Matcher::start();
    let mut primary = Peer::logged_on(matcher.primary, "FEED");
    let mut backup = Peer::logged_on(matcher.backup, "FEED");
    let mut gateway = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    matcher.control.set_port("primary", PortState::Down).unwrap();
    while primary.next().is_some() {}
    gateway.send(&crate::trading::order(1, Side::BUY, 9_900));
    backup.expect::<TickOrder>();
    assert_eq!(matcher.control.set_port("nowhere", PortState::Up), Err(ControlError::UnknownPort));
    matcher.stop();
}

#[test]
fn what_was_done_to_a_port_is_told_and_so_is_a_typo() {
    let host = Host::default();
    let server = Server::bind(config(), &host).unwrap();
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).unwrap();
    let admin = admin.routes(server.routes()).start().unwrap();
    let running = server.start().unwrap();
    let told = |request: &str| {
        let mut stream = TcpStream::connect(admin.address()).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    assert_eq!(told("PUT /ports/primary/mute"), "primary: mute\n");
    assert_eq!(told("PUT /ports/nowhere/up"), "no port \"nowhere\" (GET /ports lists them)\n");
    assert_eq!(told("PUT /ports/primary/off"), "a port is up, mute, cut or down\n");
    assert_eq!(told("GET /ports/primary/up"), "use PUT\n");
    let list = told("GET /");
    for line in list.lines() {
        let (request, _) = line.split_once("  ").expect("what it does stands behind it");
        let (method, path) = request.split_once(' ').unwrap();
        // No route has this one, so that nothing is done and each says what it has.
        assert_eq!(told(&format!("PATCH {path}")), format!("use {method}\n"), "{line}");
        if method == "PUT" {
            assert_eq!(told(request), "no port \"NAME\" (GET /ports lists them)\n", "{line}");
        }
    }
    for request in ["GET /ports", "PUT /ports/NAME/up", "PUT /ports/NAME/cut", "GET /ready"] {
        assert!(list.contains(&format!("{request}  ")), "{request}: {list}");
    }
    running.stop().unwrap();
}

#[test]
fn who_asks_while_too_many_commands_wait_is_told_so() {
    let host = Host::default();
    let server = Server::bind(config(), &host).unwrap();
    let admin = service::admin::Admin::bind(&service::admin::Config::default(), &host).unwrap();
    let admin = admin.routes(server.routes()).start().unwrap();
    // It does not run: nothing is done with them.
    let control = server.control();
    while control.set_port("primary", PortState::Up).is_ok() {}
    assert_eq!(control.set_port("primary", PortState::Up), Err(ControlError::Busy));
    let mut stream = TcpStream::connect(admin.address()).unwrap();
    write!(stream, "PUT /ports/primary/down HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nbusy\n"), "{answer}");
}

/// Nothing is done when a matcher ends, so that its end is as good as being killed: `loadgen chaos` does that.
#[test]
fn a_matcher_goes_on_with_its_journal_as_if_it_had_never_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.journal.directory = Some(folder.path().join("day"));
    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    peer.send(&crate::trading::order(1, Side::BUY, 9_900));
    let rests: OrderReport = peer.expect();
    peer.send(&crate::trading::order(2, Side::BUY, 9_900));
    let second: OrderReport = peer.expect();
    let used = Server::bind(config.clone(), &Host::default()).err().unwrap().to_string();
    assert!(used.contains("another process has it open"), "{used}");
    let counters = matcher.counters_at_end();
    assert!(counters.contains("matcher_journal_records_total 2"), "{counters}");

    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    assert_eq!(
        (peer.expect::<OrderReport>(), peer.expect::<OrderReport>()),
        (rests, second),
        "byte for byte"
    );
    peer.send(&crate::trading::order(1, Side::BUY, 9_900));
    let duplicate: OrderReport = peer.expect();
    assert_eq!(
        (duplicate.ord_rej_reason, duplicate.base.report_index.get()),
        (OrdRejReason::DUPLICATE_ORDER, 3)
    );
    assert_eq!(duplicate.order_id, rests.order_id);
    // The book is there again, price before time.
    peer.send(&crate::trading::order(3, Side::SELL, 9_900));
    let taker: OrderReport = peer.expect();
    assert_eq!(taker.ord_status, OrdStatus::NEW);
    let trades: [TradeReport; 2] = std::array::from_fn(|_| peer.expect());
    assert!(trades.iter().any(|trade| trade.order_id == rests.order_id), "the first in the queue");
    matcher.stop();

    config.core.core_no += 1;
    let other = Server::bind(config, &Host::default()).err().unwrap().to_string();
    assert!(other.contains("begun with other desks"), "{other}");
}

#[test]
fn two_lines_of_a_desk_are_one_desk_and_fail_by_themselves() {
    let mut config = config();
    config.trading[0].listen_b = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let matcher = Matcher::with(config);
    // The same gateway on both lines.
    let mut a = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    let mut b = gateway(matcher.cash_b.unwrap(), "GATEWAY", &[(1, 1), (2, 1)]);
    a.send(&crate::trading::order(1, Side::BUY, 9_900));
    let first: OrderReport = a.expect();
    assert_eq!(b.expect::<OrderReport>(), first);

    matcher.control.set_port("cash-a", PortState::Mute).unwrap();
    a.send(&crate::trading::order(2, Side::BUY, 9_900));
    let second: OrderReport = b.expect();
    assert_eq!(second.base.report_index.get(), 2, "line A is heard, though it says nothing");
    // What was in flight on A is sent again on B, and is a duplicate that names the first.
    b.send(&crate::trading::order(2, Side::BUY, 9_900));
    let duplicate: OrderReport = b.expect();
    assert_eq!(duplicate.ord_rej_reason, OrdRejReason::DUPLICATE_ORDER);
    assert_eq!(duplicate.order_id, second.order_id);
    assert!(a.is_silent());

    matcher.control.set_port("cash-a", PortState::Down).unwrap();
    while a.next().is_some() {}
    b.send(&crate::trading::order(3, Side::BUY, 9_900));
    assert_eq!(b.expect::<OrderReport>().base.report_index.get(), 4);
    matcher.control.set_port("cash-a", PortState::Up).unwrap();
    // What is answered behind the command says that it was taken.
    b.send(&crate::trading::order(4, Side::BUY, 9_900));
    assert_eq!(b.expect::<OrderReport>().base.report_index.get(), 5);
    let mut a = gateway(matcher.cash, "GATEWAY", &[(1, 3), (2, 1)]);
    assert_eq!(a.expect::<OrderReport>(), duplicate, "from the first that it did not have");

    // The desk's name means both lines.
    matcher.control.set_port("cash", PortState::Down).unwrap();
    while a.next().is_some() {}
    while b.next().is_some() {}
    matcher.stop();
}

#[test]
fn draining_logs_out_and_ends() {
    let matcher = Matcher::start();
    let mut gateway = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    matcher.host.shutdown.drain("the test says so");
    let logout: Logout = gateway.expect();
    gateway.send(&logout);
    assert_eq!(gateway.next(), None);
    matcher.running.wait(DEADLINE).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let matcher = Matcher::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let market_data = vec![MarketDataPort { name: "taken".to_owned(), listen: address, transport: None }];
    let refused = Server::bind(Config { market_data, ..config() }, &Host::default());
    let error = refused.err().expect("the port is taken").to_string();
    let expected = format!("`market_data[0].listen`: cannot listen on {address}: ");
    assert!(error.starts_with(&expected) && error.ends_with("is another one running?"), "{error}");
    matcher.stop();
}

#[test]
fn the_program_checks_prints_and_refuses() {
    let program = env!("CARGO_BIN_EXE_matcher-stub");
    let run = |arguments: &[&str]| Command::new(program).args(arguments).output().unwrap();
    let printed = run(&["--print-config"]);
    assert!(printed.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("matcher.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, &printed.stdout).unwrap();
    assert!(run(&["--check-config", "--config", path]).status.success());
    std::fs::write(&file, "[core]\nchanels = 3\n").unwrap();
    let refused = run(&["--config", path]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("matcher.toml:2:1") && said.contains("chanels"), "{said}");
}

#[test]
fn the_program_runs_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("matcher.toml");
    let port =
        |kind: &str, rest: &str| format!("[[{kind}]]\nname = \"{kind}\"\nlisten = \"127.0.0.1:0\"\n{rest}\n");
    let desk = "platform_id = 1\npartition_first = 1\npartitions = 1\ncash = true\nmargin = true";
    let text = format!(
        "{}{}[admin]\nlisten = \"127.0.0.1:0\"\n[core]\norders_reserved = 1000\n",
        port("trading", desk),
        port("market_data", "")
    );
    std::fs::write(&file, text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_matcher-stub"))
        .args(["--config", file.to_str().unwrap()])
        .env("RUST_LOG", "info")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(program.stderr.take().unwrap()));
    let listening = lines.find(|line| line.as_ref().unwrap().contains("market_data")).unwrap().unwrap();
    let address: SocketAddr =
        listening.rsplit_once("127.0.0.1:").unwrap().1.trim().parse::<u16>().map_or_else(
            |error| panic!("{listening}: {error}"),
            |port| SocketAddr::from(([127, 0, 0, 1], port)),
        );
    let mut feed = Peer::logged_on(address, "FEED");
    assert!(Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap().success());
    let logout: Logout = feed.expect();
    feed.send(&logout);
    assert!(program.wait().unwrap().success());
    drop(lines);
}
