//! The subcommands, small: everything in this process, on free ports.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::io::{Read, Write, sink};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use clap::Parser;
use loadgen::house::{Core, Gateway, Kind};
use loadgen::progress::Progress;
use loadgen::wires::Wires;
use loadgen::{demo, orders, quotes};

fn quiet() -> Progress<std::io::Sink> {
    Progress::new(sink(), false, 80)
}

#[derive(Parser)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

fn args<A: clap::Args>(line: &str) -> A {
    Line::<A>::try_parse_from(std::iter::once("test").chain(line.split_whitespace())).unwrap().args
}

#[test]
fn quotes_all_arrive_though_the_primary_is_killed() {
    let args = args("--subscribers 7 --threads 2 --rate 500 --seconds 1 --size 128 --kill-source-at 50%");
    let report = quotes::run(&args, &mut quiet()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.expected, report.received), (500, 3_500, 3_500));
    assert_eq!((report.latency_ns.count, report.connections.received_min), (3_500, 500));
    assert_eq!(report.events.len(), 1, "the kill");
}

#[test]
fn a_flood_of_handshakes_loses_no_quote() {
    for transport in ["tls", "quic"] {
        let line = format!("--subscribers 5 --rate 500 --seconds 1 --flood --transport {transport}");
        let report = quotes::run(&args(&line), &mut quiet()).unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.received, report.connections.closed), (2_500, 0), "{report}");
        assert!(report.figures["flood_handshakes"] > 0.0, "there was none: {report}");
    }
}

#[test]
fn channels_may_come_on_streams_of_their_own() {
    let line = "--subscribers 5 --rate 500 --seconds 1 --channels 4 --transport quic --streams";
    let report = quotes::run(&args(line), &mut quiet()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.expected, report.received), (500, 2_500, 2_500));
    assert_eq!(report.latency_ns.count, 2_500, "each has its due time");
    let refused = |line: &str| quotes::run(&args(line), &mut quiet()).err().unwrap().to_string();
    assert!(refused("--streams --transport tcp").contains("quic"));
    assert!(refused("--streams --transport quic --stalled 1").contains("stalled"));
}

#[test]
fn no_more_than_so_many_orders_wait_for_their_answers() {
    for protocol in ["binary", "fix"] {
        let line = format!("--sessions 4 --rate 20000 --seconds 1 --in-flight 1 --protocol {protocol}");
        let report = orders::run(&args(&line), &mut quiet()).unwrap();
        assert_eq!(
            (report.sent, report.lost, report.duplicated, report.rejected),
            (20_000, 0, 0, 0),
            "{report}"
        );
    }
}

#[test]
fn orders_are_all_answered_and_filled() {
    let args = args("--sessions 6 --threads 2 --rate 400 --seconds 1 --margin-percent 50");
    let report = orders::run(&args, &mut quiet()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.expected, report.received, report.rejected), (400, 800, 800, 0));
    assert_eq!(report.latencies_ns["fill"].count, 400);
}

#[test]
fn orders_by_fix_are_all_answered_and_filled() {
    for transport in ["tls", "tcp"] {
        let line =
            format!("--protocol fix --sessions 6 --threads 2 --rate 400 --seconds 1 --transport {transport}");
        let report = orders::run(&args(&line), &mut quiet()).unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.sent, report.expected, report.received, report.rejected), (400, 800, 800, 0));
        assert_eq!(report.latencies_ns["fill"].count, 400);
    }
    let args = args("--protocol fix --sessions 2 --rate 200 --seconds 1 --price 99.00 --margin-percent 0");
    let report = orders::run(&args, &mut quiet()).unwrap();
    assert_eq!((report.sent, report.rejected, report.latency_ns.count), (200, 200, 0), "{report}");
}

/// An order that the core refuses is not lost, and neither is the fill that its other half cannot have.
#[test]
fn refused_orders_are_counted_as_refused() {
    let args = args("--sessions 2 --rate 200 --seconds 1 --price 99.00 --margin-percent 0");
    let report = orders::run(&args, &mut quiet()).unwrap();
    assert!(!report.is_clean(), "a run of refusals is not what was wanted: {report}");
    assert_eq!((report.sent, report.rejected, report.latency_ns.count), (200, 200, 0));
    assert_eq!((report.lost, report.unsent, report.connections.closed), (0, 0, 0));
    assert_eq!(report.refusals.values().sum::<u64>(), 200, "each with its reason: {report}");
}

/// The gateway ends in the middle of a run of ten minutes.
#[test]
fn the_end_of_a_session_is_told_with_its_reason() {
    for protocol in ["binary", "fix"] {
        let line = format!("--sessions 2 --rate 200 --seconds 600 --transport tcp --protocol {protocol}");
        let args = args::<orders::Args>(&line);
        let wires = Wires::local(&args.wires).unwrap();
        let cores = Kind::ALL.map(|kind| Core::start(kind, args.rate * args.seconds, &wires).unwrap());
        let plan = args.plan(0).unwrap();
        let gateway = Gateway::start("gateway", (&plan, protocol == "fix"), &cores, &wires).unwrap();
        let until = |what: &str, done: &dyn Fn() -> bool| {
            let came = (0..3_000).any(|_| {
                done() || {
                    std::thread::sleep(Duration::from_millis(10));
                    false
                }
            });
            assert!(came, "{what}");
        };
        until("the lines are up", &|| gateway.lines_up() == 2);
        let address = gateway.fix_address.unwrap_or(gateway.address);
        let args = orders::Args { gateway: Some(address), ..args };
        let run = std::thread::spawn(move || orders::run(&args, &mut quiet()).unwrap());
        until("orders go", &|| gateway.meters.sum("gateway_orders_total") >= 20.0);
        gateway.stop().unwrap();
        let report = run.join().unwrap();
        assert_eq!(report.connections.closed, 2, "{report}");
        let mut told: Vec<&str> = report.events.iter().map(|event| event.what.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told.len(), 2, "{report}");
        for (what, who) in told.iter().zip(["client0000", "client0001"]) {
            let why = what.strip_prefix(who).and_then(|rest| rest.strip_prefix(" ended: "));
            assert!(why.is_some_and(|why| !why.is_empty()), "{what}");
        }
        cores.into_iter().for_each(|core| core.stop().unwrap());
    }
}

#[test]
fn the_demo_succeeds() {
    let report = demo::run(&args("--seconds 4 --rate 200 --sessions 4 --subscribers 5")).unwrap();
    assert!(demo::succeeded(&report), "{report}");
    assert_eq!((report.sent, report.figures["orders_filled"] as u64), (800, 800));
    // Two tick orders and a trade for each pair of orders.
    assert_eq!(report.figures["quotes_published"] as u64, 1_200);
    assert_eq!(report.figures["quotes_received"] as u64, 6_000);
}

#[test]
fn the_demo_serves_the_quote_board_meanwhile() {
    let board = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let looks = std::thread::spawn(move || {
        // Until the demo has come that far; when it ends without, the test fails by its own line below.
        for _ in 0..3_000 {
            if let Ok(mut stream) = TcpStream::connect(board) {
                write!(stream, "GET / HTTP/1.1\r\nHost: {board}\r\nConnection: close\r\n\r\n").unwrap();
                let mut page = String::new();
                stream.read_to_string(&mut page).unwrap();
                return page;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        String::new()
    });
    let line = format!("--seconds 4 --rate 100 --sessions 4 --subscribers 2 --transport tcp --board {board}");
    let report = demo::run(&args(&line)).unwrap();
    assert!(demo::succeeded(&report), "{report}");
    let page = looks.join().unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("board.js"), "{page}");
}

#[test]
fn the_demo_s_subscribers_may_come_over_quic() {
    let report =
        demo::run(&args("--seconds 4 --rate 200 --sessions 4 --subscribers 5 --transport quic")).unwrap();
    assert!(demo::succeeded(&report), "{report}");
}

#[test]
fn clients_for_a_gateway_s_configuration_are_printed() {
    let text = args::<orders::Args>("--sessions 2 --threads 2 --password x").clients_toml().unwrap();
    assert_eq!(text.matches("[[clients]]").count(), 2);
    let config: gateway::Config = toml::from_str(&text).unwrap();
    assert_eq!(config.clients[1].comp_id.to_string(), "client0001");
    assert_eq!(config.clients[1].accounts[0].to_string(), "010000001");
    assert!(config.fix.sessions.is_empty());
    let text = args::<orders::Args>("--sessions 2 --protocol fix --password x").clients_toml().unwrap();
    let config: gateway::Config = toml::from_str(&text).unwrap();
    assert_eq!(config.fix.sessions[1].comp_id.to_string(), "client0001");
}

/// A plain client at a TLS port gets an alert, and is closed.
#[test]
fn a_port_that_speaks_tls_is_told_as_that() {
    for protocol in ["binary", "fix"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4_096];
            assert!(stream.read(&mut buffer).unwrap() > 0, "a logon");
            // Fatal: unexpected message.
            stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a]).unwrap();
            while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {}
        });
        let line = format!("--sessions 1 --transport tcp --protocol {protocol} --gateway {address}");
        let error = orders::run(&args(&line), &mut quiet()).err().unwrap().to_string();
        assert!(error.contains("the server speaks TLS: --transport tls"), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn a_demo_has_subscribers() {
    let parsed = Line::<demo::Args>::try_parse_from(["test", "--subscribers", "0"]);
    let error = parsed.err().unwrap().to_string();
    assert!(error.contains("invalid value '0' for '--subscribers <N>'"), "{error}");
    assert_eq!(args::<demo::Args>("--subscribers 1").subscribers, 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let error = |line: &str| quotes::run(&args(line), &mut quiet()).err().unwrap().to_string();
    assert!(error("--size 10").contains("63"), "{}", error("--size 10"));
    assert!(error("--sources 1 --kill-source-at 50").contains("--sources 2"));
    assert!(error("--sources 3").contains("1 or 2"));
    let error = orders::run(&args("--sessions 3 --threads 2"), &mut quiet()).err().unwrap().to_string();
    assert!(error.contains("--threads"), "{error}");
    let error =
        orders::run(&args("--protocol fix --transport quic"), &mut quiet()).err().unwrap().to_string();
    assert!(error.contains("--transport tls or tcp"), "{error}");
}
