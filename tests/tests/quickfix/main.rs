//! QuickFIX (C++) trades through a real gateway with both cores behind it, reading the data dictionary that we ship: orders,
//! a cancel, a margin order, a status request; lost connections, a gateway that starts again, and another gateway, which knows the
//! session (its memory is in JetStream) or does not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../../gateway/tests/peers/nats.rs"]
mod nats;
#[allow(dead_code, reason = "the session's own test needs more of it")]
#[path = "../../../fix/tests/quickfix/peer.rs"]
mod peer;

use gateway::config::{Client, Core, CoreName, JetStream};
use gateway::fix::config::{Authentication, Kind, Session};
use peer::{Peer, settings};
use service::{Host, Running};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use wire::szse::{Password, Text};

/// A failing test ends here; a passing one never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a look at what the peer says may take.
const LOOK: Duration = Duration::from_millis(50);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A port that stays free: QuickFIX must know it before the gateway listens, and again when it starts anew.
fn free_port() -> u16 {
    let [port] = nats::free_ports();
    port
}

/// The cash and the margin core, and the exchange behind them.
struct Cores {
    desks: [SocketAddr; 2],
    running: Running,
}

impl Cores {
    fn start() -> Self {
        let mut config = matcher_stub::Config::default();
        config.core.orders_reserved = 1_000;
        config.trading.iter_mut().for_each(|port| port.listen = any_port());
        config.market_data.iter_mut().for_each(|port| port.listen = any_port());
        let server = matcher_stub::Server::bind(config, &Host::default()).unwrap();
        let desks = ["cash", "margin"].map(|name| server.address(name).unwrap());
        Self { desks, running: server.start().unwrap() }
    }
}

/// A gateway with a FIX port.
struct Gateway {
    metrics: gateway::Metrics,
    running: Running,
}

impl Gateway {
    /// With memories of its own, in a folder.
    fn start(name: &str, cores: &Cores, port: u16, folder: &Path) -> Self {
        Self::start_with(name, cores, port, |store| store.directory = folder.join(name))
    }

    fn start_with(
        name: &str,
        cores: &Cores,
        port: u16,
        set: impl FnOnce(&mut gateway::fix::config::Store),
    ) -> Self {
        let lines = [(CoreName::Cash, 1), (CoreName::Margin, 11)].into_iter().zip(cores.desks);
        let mut config = gateway::Config {
            cores: lines
                .map(|((core, partition_first), address)| Core {
                    sender_comp_id: Text::truncated(&format!("GATEWAY-{name}")),
                    backoff_min_ms: 1,
                    ..Core::new(core, address, partition_first, 2)
                })
                .collect(),
            clients: vec![Client {
                comp_id: Text::literal("PEER"),
                password: Password::new(b"secret").unwrap().into(),
                accounts: vec![Text::literal("0100000001"), Text::literal("0100000002")],
            }],
            ..gateway::Config::default()
        };
        config.listen.address = any_port();
        config.fix.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        set(&mut config.fix.store);
        config.fix.sessions = vec![Session {
            comp_id: Text::literal("PEER"),
            authentication: Authentication::Password,
            default_account: Text::literal("0100000001"),
        }];
        let server = gateway::Server::bind(config, &Host::default()).unwrap();
        let metrics = server.metrics();
        let running = server.start().unwrap();
        let gateway = Self { metrics, running };
        eventually("both lines are up", || {
            ["cash", "margin"]
                .iter()
                .all(|core| gateway.metrics.core_up.with_label_values(&[core]).get() == 1)
        });
        gateway
    }

    fn has_sessions(&self, count: i64) -> bool {
        self.metrics.fix_sessions.get() == count
    }

    fn stop(self) {
        self.running.stop().unwrap();
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !holds() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "never: {what}");
        // What is waited for may want this core.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the peer has said all this: for each, a message that came and has these fields.
fn said(peer: &mut Peer, what: &str, wanted: &[&[&str]]) {
    let has_all = |peer: &Peer| {
        wanted.iter().all(|fields| {
            let fields: Vec<_> = fields.iter().map(|field| format!("|{field}|")).collect();
            peer.has_said("in ", &fields.iter().map(String::as_str).collect::<Vec<_>>())
        })
    };
    let clock = transport::Clock::start();
    while !has_all(peer) {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "{what} did not come: {:#?}", peer.said);
        peer.listen_for(LOOK);
    }
}

/// How often a report with this ExecID came that is not said to be a repetition.
fn times(peer: &Peer, exec_id: &str) -> usize {
    let id = format!("|17={exec_id}|");
    peer.said
        .iter()
        .filter(|line| line.starts_with("in ") && line.contains(&id) && !line.contains("|43=Y|"))
        .count()
}

fn field(peer: &Peer, parts: &[&str], tag: &str) -> String {
    let fits = |line: &&String| {
        line.starts_with("in ") && parts.iter().all(|part| line.contains(&format!("|{part}|")))
    };
    let line = peer.said.iter().find(fits).unwrap();
    line.split('|').find_map(|field| field.strip_prefix(&format!("{tag}="))).unwrap().to_owned()
}

fn order(peer: &mut Peer, id: &str, side: u8, price: &str, more: &str) {
    peer.tell(&format!("send 35=D|11={id}|55=000001|207=XSHE|54={side}|60=now|38=100|40=2|44={price}{more}"));
}

fn start_peer(port: u16, folder: &Path, more: &str) -> Peer {
    // Heartbeats are not what this is about: neither end takes the other one for dead because the machine is busy.
    let more = format!("HeartBtInt=30\n{more}");
    Peer::start_as("PEER", "initiator", &settings("initiator", port, folder, &more), folder)
}

/// Orders, a trade between two of them, a cancel, a margin order, what is known of an order.
fn trade(peer: &mut Peer) {
    order(peer, "a1", 1, "9.90", "");
    said(peer, "an acceptance", &[&["35=8", "11=a1", "150=0", "39=0", "151=100", "1=0100000001", "544=1"]]);
    order(peer, "a2", 2, "9.90", "|1=0100000002");
    said(
        peer,
        "both sides of the trade",
        &[
            &["11=a2", "150=0"],
            &["11=a1", "150=F", "39=2", "32=100", "31=9.9", "14=100", "151=0", "6=9.9", "38=100"],
            &["11=a2", "150=F", "39=2", "32=100", "31=9.9", "14=100", "151=0", "6=9.9", "1=0100000002"],
        ],
    );
    order(peer, "b1", 1, "9.80", "");
    said(peer, "an acceptance", &[&["11=b1", "150=0"]]);
    peer.tell("send 35=F|41=b1|11=b2|55=000001|207=XSHE|54=1|60=now");
    said(peer, "the cancel", &[&["35=8", "11=b2", "41=b1", "150=4", "39=4", "151=0", "14=0"]]);
    peer.tell("send 35=F|41=b1|11=b3|55=000001|207=XSHE|54=1|60=now");
    said(peer, "that it is too late", &[&["35=9", "11=b3", "41=b1", "39=4", "102=0", "434=1"]]);
    order(peer, "m1", 1, "9.70", "|544=2");
    said(peer, "an acceptance by the margin core", &[&["35=8", "11=m1", "150=0", "544=2"]]);
    order(peer, "m2", 1, "99.00", "|544=2");
    said(
        peer,
        "that the price is outside the day's limits",
        &[&["35=8", "11=m2", "150=8", "39=8", "103=16"]],
    );
    peer.tell("send 35=H|11=a1|790=q1|55=000001|207=XSHE|54=1");
    said(peer, "what is known", &[&["35=8", "11=a1", "150=I", "39=2", "790=q1", "14=100", "6=9.9"]]);
    order(peer, "a1", 1, "9.90", "");
    said(peer, "that the ClOrdID was used", &[&["35=8", "11=a1", "150=8", "103=6"]]);
    order(peer, "c1", 1, "9.60", "");
    order(peer, "c2", 1, "9.50", "");
    said(peer, "acceptances", &[&["11=c1", "150=0"], &["11=c2", "150=0"]]);
    peer.tell("send 35=q|11=q2|530=7|60=now");
    said(
        peer,
        "all open orders gone",
        &[
            &["35=r", "11=q2", "530=7", "531=7", "533=3"],
            &["35=8", "11=q2", "41=c1", "39=4"],
            &["35=8", "11=q2", "41=c2", "39=4"],
            &["35=8", "11=q2", "41=m1", "39=4"],
        ],
    );
}

#[test]
fn quickfix_trades_through_gateways_that_come_and_go() {
    if peer::program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cores = Cores::start();
    let port = free_port();
    let gateway = Gateway::start("one", &cores, port, folder.path());
    let mut peer = start_peer(port, folder.path(), "");
    trade(&mut peer);
    order(&mut peer, "r1", 1, "9.40", "");
    said(&mut peer, "an acceptance", &[&["11=r1", "150=0"]]);
    let first = field(&peer, &["11=r1", "150=0"], "17");

    // The peer dies without a word and comes back: its numbers go on, nothing comes twice.
    drop(peer);
    eventually("the gateway has missed it", || gateway.has_sessions(0));
    let mut peer = start_peer(port, folder.path(), "");
    order(&mut peer, "r2", 2, "9.40", "|1=0100000002");
    said(&mut peer, "the trade", &[&["11=r1", "150=F", "39=2"], &["11=r2", "150=F", "39=2"]]);
    let filled = field(&peer, &["11=r1", "150=F"], "17");
    assert_eq!((times(&peer, &first), times(&peer, &filled)), (0, 1), "{:#?}", peer.said);

    // It pretends not to have had the last messages: they are sent again.
    peer.forget();
    peer.tell("target 2");
    peer.tell("send 35=1|112=AGAIN");
    said(
        &mut peer,
        "a repetition",
        &[&["35=8", "11=a1", "150=0", "43=Y"], &["35=8", "11=r1", "150=F", "43=Y"]],
    );

    // The gateway starts again, with the memory of the session: numbers go on, and no report comes twice.
    peer.forget();
    gateway.stop();
    let gateway = Gateway::start("one", &cores, port, folder.path());
    eventually("it is back", || {
        peer.listen_for(LOOK);
        gateway.has_sessions(1)
    });
    order(&mut peer, "s1", 1, "9.30", "");
    said(&mut peer, "an acceptance", &[&["11=s1", "150=0"]]);
    assert_eq!((times(&peer, &first), times(&peer, &filled)), (0, 0), "{:#?}", peer.said);
    peer.tell("send 35=H|11=r1|790=q2|55=000001|207=XSHE|54=1");
    said(&mut peer, "what is known of an order of before", &[&["11=r1", "150=I", "39=2", "14=100", "6=9.4"]]);

    // The other gateway takes over. It has no memory of the session, so that begins anew; all reports come once more, marked.
    drop(peer);
    gateway.stop();
    let other_port = free_port();
    let other = Gateway::start("two", &cores, other_port, folder.path());
    let mut peer = start_peer(other_port, folder.path(), "ResetOnLogon=Y");
    said(
        &mut peer,
        "the day's reports",
        &[
            &["35=A", "34=1", "141=Y"],
            &["11=a1", "150=0", "97=Y"],
            &["11=r1", "150=F", "97=Y"],
            &["11=s1", "150=0", "97=Y"],
        ],
    );
    assert_eq!((times(&peer, &first), times(&peer, &filled)), (1, 1), "{:#?}", peer.said);
    // An order whose answer the client did not see, sent once more: it is not entered twice.
    peer.tell("send 97=Y|35=D|11=s1|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=9.30");
    said(&mut peer, "what became of it", &[&["35=8", "11=s1", "150=I", "39=0"]]);
    peer.tell("send 35=F|41=s1|11=s2|55=000001|207=XSHE|54=1|60=now");
    said(&mut peer, "the cancel", &[&["11=s2", "41=s1", "39=4"]]);
    peer.tell("logout");
    said(&mut peer, "a logout", &[&["35=5"]]);
    other.stop();
    cores.running.stop().unwrap();
}

#[test]
fn quickfix_goes_on_through_another_gateway_with_the_same_numbers() {
    let Some(cluster) = peer::program().and_then(|_| nats::Cluster::start()) else { return };
    let cores = Cores::start();
    let start = |name, port| {
        Gateway::start_with(name, &cores, port, |store| {
            store.kind = Kind::JetStream;
            store.jetstream = Some(JetStream {
                servers: cluster.servers.clone(),
                stream: "fix".to_owned(),
                replicas: nats::NODES,
                timeout_ms: nats::TIMEOUT_MS,
            });
        })
    };
    let (port, other_port) = (free_port(), free_port());
    let (gateway, other) = (start("one", port), start("two", other_port));
    let mut peer = start_peer(port, cluster.path(), "");
    trade(&mut peer);
    order(&mut peer, "r1", 1, "9.40", "");
    said(&mut peer, "an acceptance", &[&["11=r1", "150=0"]]);
    let first = field(&peer, &["11=r1", "150=0"], "17");
    let sent: u64 = field(&peer, &["11=r1", "150=0"], "34").parse().unwrap();

    // Its gateway is gone: the other one has its numbers.
    drop(peer);
    gateway.stop();
    let mut peer = start_peer(other_port, cluster.path(), "");
    let next = format!("34={}", sent + 1);
    said(&mut peer, "a logon by the next number", &[&["35=A", &next]]);
    order(&mut peer, "r2", 2, "9.40", "|1=0100000002");
    said(&mut peer, "the trade", &[&["11=r1", "150=F", "39=2"], &["11=r2", "150=F", "39=2"]]);
    assert_eq!(times(&peer, &first), 0, "nothing comes twice: {:#?}", peer.said);
    // What the first gateway sent, from the memory that both have.
    peer.forget();
    peer.tell("target 2");
    peer.tell("send 35=1|112=AGAIN");
    said(
        &mut peer,
        "a repetition",
        &[&["35=8", "11=a1", "150=0", "43=Y"], &["35=8", "11=r1", "150=F", "43=Y"]],
    );
    peer.tell("logout");
    said(&mut peer, "a logout", &[&["35=5"]]);
    other.stop();
    cores.running.stop().unwrap();
}
