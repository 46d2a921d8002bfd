//! Who is asked for its health, and how; and who is left out because connections fail.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use harness::{Backend, Balancer, answering, config, dead_address, eager_checks};
use slb::{Bytes, Check, Scheduler, State};
use socket2::SockRef;

fn bytes(text: &str) -> Bytes {
    Bytes::try_from(text.to_owned()).unwrap()
}

/// A balancer that checks `b` at `port`; `a` is there to be told apart from it.
fn checking(address: SocketAddr, check: Check) -> Balancer {
    let mut config = config(Scheduler::Rr, &[('b', address, 100)]);
    eager_checks(&mut config);
    config.pools[0].health.check = check;
    Balancer::start(config)
}

fn good_checks(balancer: &Balancer) -> i64 {
    balancer.metric("slb_backend_checks_total{backend=\"b\",pool=\"p\",result=\"good\"}")
}

#[test]
fn a_backend_is_up_while_it_answers_http_with_an_expected_status() {
    let http = |status| Check::Http { path: "/ready".to_owned(), host: "gateway".to_owned(), status };
    let (address, asked) = answering(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    let balancer = checking(address, http(vec![200, 204]));
    harness::wait_for(|| good_checks(&balancer) >= 3);
    let request = String::from_utf8(asked.recv().unwrap()).unwrap();
    assert!(request.starts_with("GET /ready HTTP/1.1\r\nHost: gateway\r\n"), "{request}");

    let mut stricter = balancer.control.config();
    stricter.pools[0].health.check = http(vec![200]);
    balancer.control.apply(stricter).unwrap();
    balancer.wait_for_state('b', State::Down);

    let (liar, _asked) = answering(b"no HTTP at all");
    checking(liar, http(vec![200])).wait_for_state('b', State::Down);
}

#[test]
fn a_backend_is_up_while_its_answer_contains_what_is_expected() {
    let exchange = |send: &str, expect: &str| Check::Exchange { send: bytes(send), expect: bytes(expect) };
    let (address, asked) = answering(b"-ERR\r\n+PONG\r\n");
    let balancer = checking(address, exchange("PING\r\n", "+PONG"));
    harness::wait_for(|| good_checks(&balancer) >= 3);
    assert_eq!(asked.recv().unwrap(), b"PING\r\n");
    drop(balancer);

    let balancer = checking(address, exchange("hex:00 01", "hex:ff"));
    balancer.wait_for_state('b', State::Down);
    drop(balancer);

    let speaks_first = Backend::start('b');
    let balancer = checking(speaks_first.address, exchange("", "b"));
    harness::wait_for(|| good_checks(&balancer) >= 3);
}

#[test]
fn who_accepts_but_never_answers_is_down() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(Scheduler::Rr, &[('b', silent.local_addr().unwrap(), 100)]);
    eager_checks(&mut config);
    config.pools[0].health.timeout_ms = 20;
    config.pools[0].health.check = Check::Exchange { send: bytes("x"), expect: bytes("y") };
    Balancer::start(config).wait_for_state('b', State::Down);
}

#[test]
fn another_port_of_the_backend_can_be_asked() {
    let (takes_connections, mut admin) = (Backend::start('b'), Backend::start('x'));
    let mut config = config(Scheduler::Rr, &[('b', takes_connections.address, 100)]);
    eager_checks(&mut config);
    config.pools[0].health.port = admin.address.port();
    let balancer = Balancer::start(config);
    assert_eq!(balancer.open().0, 'b');
    admin.stop();
    balancer.wait_for_state('b', State::Down);
}

/// Accepts connections and resets each at once.
fn resetting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            SockRef::from(&stream.unwrap()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    address
}

#[test]
fn a_backend_that_accepts_and_resets_without_a_byte_is_left_out_however_its_checks_go() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Rr, &[('a', a.address, 100), ('r', resetting(), 100)]);
    config.pools[0].outlier.unanswered_resets = 3;
    config.pools[0].outlier.ejection_ms = 3_600_000;
    eager_checks(&mut config);
    let balancer = Balancer::start(config);
    let mut reset = 0;
    while balancer.control.backend("p", "r").unwrap().state == State::Up {
        let answer = balancer.connect().read(&mut [0]);
        reset += i32::from(!matches!(answer, Ok(1)));
        assert!(reset < 1_000, "it was never left out");
    }
    assert_eq!(balancer.control.backend("p", "r").unwrap().state, State::Ejected);
    assert_eq!(balancer.count(10, 'a'), 10);
}

#[test]
fn a_backend_that_refuses_clients_is_left_out_and_taken_in_again() {
    let a = Backend::start('a');
    let dead = dead_address();
    let mut config = config(Scheduler::Rr, &[('a', a.address, 100), ('b', dead, 100)]);
    config.pools[0].outlier.connect_failures = 3;
    config.pools[0].outlier.ejection_ms = 3_600_000;
    let balancer = Balancer::start(config.clone());
    assert_eq!(balancer.count(20, 'a'), 20, "clients notice nothing: another backend is tried");
    balancer.wait_for_state('b', State::Ejected);
    let refused = "slb_backend_connect_failures_total{backend=\"b\",pool=\"p\",reason=\"refused\"}";
    assert_eq!(balancer.metric(refused), 3);
    assert_eq!(balancer.metric("slb_backend_ejections_total{backend=\"b\",pool=\"p\"}"), 1);
    drop(balancer);

    config.pools[0].outlier.ejection_ms = 1;
    let balancer = Balancer::start(config);
    harness::wait_for(|| {
        balancer.count(10, 'a');
        balancer.metric("slb_backend_ejections_total{backend=\"b\",pool=\"p\"}") >= 2
    });
    let _b = Backend::start_at('b', dead);
    harness::wait_for(|| balancer.open().0 == 'b');
}
