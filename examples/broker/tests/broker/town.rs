//! A broker's house on loopback: counter, adapter, gateway, and what comes between them when lines are to die.

use crate::peers::{self, Client, Gateway, Peer, eventually, text};
use broker_example::check::{BranchList, DailyLimit, forbidden};
use broker_example::counter::ToyCounter;
use broker_example::lines::Lines;
use broker_example::store::JsonLines;
use core_port::adapter::{Adapter, Config, Metrics};
use gateway::Server;
use gateway::config::{Core as CoreConfig, CoreName};
use serde_json::Value;
use service::{Host, Running};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use wire::szse::code::{CashMargin, SOURCE_SHENZHEN, Side};
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport, PlatformStateInfo, TradeReport,
};
use wire::szse::{Frame, Message, Qty};

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Yuan that an account of this house may trade in a day.
pub(crate) const DAILY_LIMIT: u64 = 100_000;

/// An adapter that runs, and can be started again where it was.
pub(crate) struct Core {
    config: Config,
    pub(crate) metrics: Metrics,
    running: Running,
}

impl Core {
    pub(crate) fn start(counter: SocketAddr, directory: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { lines: vec![ANY, ANY], ..Config::default() };
        config.counter.address = counter;
        config.counter.redial_ms = 10;
        config.journal.directory = directory.to_owned();
        config.journal.segment_bytes = 2 << 20;
        config.limits.window_bytes = 8 << 20;
        change(&mut config);
        Self::with(config)
    }

    fn with(mut config: Config) -> Self {
        let adapter = Adapter::bind(config.clone(), Lines::default(), &Host::default()).expect("bound");
        config.lines = adapter.addresses().to_vec();
        let metrics = adapter.metrics();
        Self { config, metrics, running: adapter.start().expect("a thread") }
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.config.lines
    }

    pub(crate) fn open(&self) {
        eventually("the counter is there", || self.metrics.counter_up.get() == 1);
    }

    pub(crate) fn ended(&self, reason: &str) -> u64 {
        self.metrics.counter_ended.with_label_values(&[reason]).get()
    }

    pub(crate) fn stop(self) -> Config {
        self.running.stop().expect("ended well");
        self.config
    }

    /// Ends it at once, whatever it was at, and starts it again.
    pub(crate) fn again(self) -> Self {
        Self::with(self.stop())
    }
}

/// A line that can be cut.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    dead: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(ANY).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (dead, streams): (Arc<AtomicBool>, Arc<Mutex<Vec<TcpStream>>>) = Default::default();
        let (is_dead, all) = (dead.clone(), streams.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("accepted");
                if is_dead.load(Ordering::Acquire) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(target) else { continue };
                for (from, to) in [(&stream, &far), (&far, &stream)] {
                    let (from, to) = (from.try_clone().expect("cloned"), to.try_clone().expect("cloned"));
                    from.set_nodelay(true).expect("set");
                    all.lock().expect("whole").push(from.try_clone().expect("cloned"));
                    std::thread::spawn(move || copy(from, to));
                }
            }
        });
        Self { address, dead, streams }
    }

    /// Closes what goes over it, and lets nobody in any more.
    pub(crate) fn cut(&self) {
        self.dead.store(true, Ordering::Release);
        for stream in self.streams.lock().expect("whole").drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

/// The gateway of this house, as its `main` makes it.
pub(crate) fn gateway(
    lines: &[SocketAddr],
    audit: &Path,
    change: impl FnOnce(&mut gateway::Config),
) -> Gateway {
    let mut config = peers::config(&[]);
    config.cores = vec![CoreConfig {
        address_b: lines.get(1).copied(),
        backoff_min_ms: 1,
        backoff_max_ms: 50,
        ..CoreConfig::new(CoreName::Cash, lines[0], 1, 2)
    }];
    config.audit.commit_interval_ms = 1;
    change(&mut config);
    let host = Host::default();
    let (branches, _) = BranchList::new(forbidden("0042,000001").expect("a list"));
    let server = Server::bind(config, &host)
        .expect("bound")
        .with_check(Box::new(branches))
        .with_check(Box::new(DailyLimit::new(DAILY_LIMIT)))
        .with_audit(Box::new(JsonLines::open(audit).expect("a file")));
    let gateway = Gateway::run(server, host);
    eventually("both lines are up", || {
        ["a", "b"].iter().all(|name| gateway.metrics.line_up.with_label_values(&["cash", name]).get() == 1)
    });
    gateway
}

/// All of it.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) counter: ToyCounter,
    pub(crate) core: Core,
    pub(crate) line_a: Relay,
    pub(crate) gateway: Gateway,
}

impl House {
    pub(crate) fn start() -> Self {
        Self::with(|_, _| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut gateway::Config, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let counter = ToyCounter::start(ANY, &folder.path().join("counter")).expect("started");
        let core = Core::start(counter.address(), &folder.path().join("adapter"), |_| {});
        core.open();
        let line_a = Relay::to(core.addresses()[0]);
        let lines = [line_a.address, core.addresses()[1]];
        let gateway =
            gateway(&lines, &folder.path().join("audit.jsonl"), |config| change(config, folder.path()));
        Self { folder, counter, core, line_a, gateway }
    }

    pub(crate) fn client(&self, number: usize) -> Trader {
        let mut client = Client::log_on(self.gateway.address, number);
        client.synchronize(&[]);
        Trader { client }
    }

    /// The counter ends, and another one goes on with its day at the same address.
    pub(crate) fn counter_again(self) -> Self {
        let address = self.counter.address();
        self.counter.stop();
        let counter = ToyCounter::start(address, &self.folder.path().join("counter")).expect("started");
        Self { counter, ..self }
    }

    /// The gateway ends, and another one goes on.
    pub(crate) fn gateway_again(self) -> Self {
        self.gateway.stop();
        let lines = [self.line_a.address, self.core.addresses()[1]];
        Self { gateway: gateway(&lines, &self.folder.path().join("audit.jsonl"), |_| {}), ..self }
    }

    /// Everything ends; what is left is the audit.
    pub(crate) fn end(self) -> Audit {
        self.gateway.stop();
        self.core.stop();
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).expect("a file");
        Audit(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }
}

/// The lines of an audit.
pub(crate) struct Audit(Vec<Value>);

impl Audit {
    /// (ClOrdID, why) of what was refused.
    pub(crate) fn refused(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let refused = |line: &Value| Some((text(&line["message"]["cl_ord_id"])?, text(&line["refused"])?));
        self.0.iter().filter_map(refused).collect()
    }

    /// How many reports it has: each once and in order.
    pub(crate) fn reports(&self) -> usize {
        let numbers = |line: &Value| Some((line["partition_no"].as_u64()?, line["report_index"].as_u64()?));
        let mut next = [1; 2];
        for (partition, index) in self.0.iter().filter_map(numbers) {
            let next = &mut next[partition as usize - 1];
            assert_eq!(index, *next, "of partition {partition}");
            *next += 1;
        }
        (next[0] + next[1] - 2) as usize
    }
}

/// A client of the gateway, and what it is told in short.
pub(crate) struct Trader {
    pub(crate) client: Client,
}

impl Trader {
    pub(crate) fn order(&mut self, cl_ord_id: &str, side: Side, shares: i64) {
        let order = self.new_order(cl_ord_id, side, shares);
        self.client.peer.send(&order);
    }

    pub(crate) fn new_order(&self, cl_ord_id: &str, side: Side, shares: i64) -> NewOrder {
        let mut order = self.client.new_order(cl_ord_id, CashMargin::CASH);
        order.base.security_id_source = SOURCE_SHENZHEN;
        order.branch_id = text("0001");
        NewOrder { side, order_qty: Qty::whole(shares), ..order }
    }

    pub(crate) fn cancel(&mut self, cl_ord_id: &str, orig_cl_ord_id: &str) {
        let of = self.new_order(orig_cl_ord_id, Side::BUY, 0);
        self.client.peer.send(&OrderCancelRequest {
            base: of.base,
            cl_ord_id: text(cl_ord_id),
            orig_cl_ord_id: of.cl_ord_id,
            side: of.side,
            ..OrderCancelRequest::default()
        });
    }

    /// The next thing that it is told.
    pub(crate) fn told(&mut self) -> String {
        told(&mut self.client.peer)
    }
}

/// The next thing that is told, but for whether a core is there.
pub(crate) fn told(peer: &mut Peer) -> String {
    loop {
        let bytes = peer.next().expect("something is told");
        let frame = peers::decoded(&bytes);
        if frame.msg_type != PlatformStateInfo::MSG_TYPE {
            return short(frame);
        }
    }
}

fn short(frame: Frame<'_>) -> String {
    if let Ok(report) = frame.view::<OrderReport>() {
        let id = report.cl_ord_id;
        return match report.ord_rej_reason.raw() {
            0 => format!("{:?} {id}", report.exec_type),
            _ => format!("{:?} {id} {:?}", report.exec_type, report.ord_rej_reason),
        };
    }
    if let Ok(trade) = frame.view::<TradeReport>() {
        return format!("TRADE {} {} at {}", trade.cl_ord_id, trade.last_qty, trade.last_px);
    }
    if let Ok(reject) = frame.view::<BusinessReject>() {
        let (id, text) = (reject.business_reject_ref_id, reject.business_reject_text);
        return format!("refused {id}: {text} ({})", reject.business_reject_reason.raw());
    }
    if let Ok(reject) = frame.view::<CancelReject>() {
        return format!("not cancelled {}: {}", reject.cl_ord_id, reject.reject_text);
    }
    format!("{} of {} bytes", frame.msg_type, frame.bytes.len())
}

/// A counter that the test plays, line by line.
pub(crate) struct Scripted {
    listener: TcpListener,
}

pub(crate) struct Script {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Scripted {
    pub(crate) fn listen() -> Self {
        Self { listener: TcpListener::bind(ANY).expect("a free port") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// The adapter connects and says from which event on it wants to know.
    pub(crate) fn accept(&self) -> (Script, String) {
        let (stream, _) = self.listener.accept().expect("dialled");
        stream.set_read_timeout(Some(peers::DEADLINE)).expect("set");
        let mut script = Script { stream, came: Vec::new() };
        let hello = script.line().expect("HELLO");
        (script, hello)
    }
}

impl Script {
    pub(crate) fn say(&mut self, lines: &str) {
        self.stream.write_all(lines.as_bytes()).expect("written");
    }

    /// The next line but PING; `None` at the end of the connection.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.came.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.came.drain(..=end).collect();
                let line = String::from_utf8(line).expect("text").trim_end().to_owned();
                if line == "PING" {
                    self.say("PONG\n");
                    continue;
                }
                return Some(line);
            }
            let mut chunk = [0; 1 << 14];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.came.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }
}

/// A gateway that the test plays, on a line of an adapter.
pub(crate) fn line(address: SocketAddr, from: &[(i32, i64)]) -> Client {
    let mut peer = Client::connect(address);
    let mut logon = Client::logon("GATEWAY", "");
    logon.target_comp_id = text("MATCHER");
    peer.send(&logon);
    let expected = [wire::szse::Logon::MSG_TYPE, 9, 6];
    for msg_type in expected {
        let bytes = peer.next().expect("an answer");
        assert_eq!(peers::decoded(&bytes).msg_type, msg_type, "{}", short(peers::decoded(&bytes)));
    }
    let mut client = Client { peer, account: text("a1"), partitions: vec![1, 2] };
    client.synchronize(from);
    client
}
