//! The peers of a gateway under test: clients and cores on plain sockets, each step in the test's own words.

#![allow(dead_code, unreachable_pub)] // Each test program uses its part.

use gateway::config::{Client as ClientConfig, Core as CoreConfig, CoreName};
use gateway::{Config, Server};
use service::{Host, Running};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use wire::szse::code::{
    CashMargin, ExecType, OrdStatus, OrdType, PlatformId, PlatformState, Side, TimeInForce, VERSION_TRADING,
};
use wire::szse::trading::{
    BusinessReject, CashAuctionExt, NewOrder, OrderCancelRequest, OrderReport, PartitionIndex, PlatformInfo,
    PlatformStateInfo, ReportBase, ReportSynchronization, RequestBase,
};
use wire::szse::{Frame, Heartbeat, I32, I64, Logon, Logout, Message, Password, Price, Qty, Text, frame};

/// A failing test ends here; a passing one never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Long enough that no heartbeat is due within a test.
pub const HEARTBEAT_S: u16 = 60;

pub fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().expect("fits")
}

/// Frames over a socket.
pub struct Peer {
    pub stream: TcpStream,
    /// Frames that came, heartbeats among them: RefSeqNum of a reject of the last one.
    pub frames: i64,
    buffer: Vec<u8>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream, frames: 0, buffer: Vec::new() }
    }

    pub fn send<M: Message>(&mut self, message: &M) {
        let mut out = Vec::new();
        frame::encode(message, &mut out);
        self.write(&out);
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// The next frame that is not a heartbeat, whole; `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let frame = self.next_of_any_kind()?;
            if decoded(&frame).msg_type != Heartbeat::MSG_TYPE {
                return Some(frame);
            }
        }
    }

    /// The next frame, whole; `None` at the end of the stream.
    pub fn next_of_any_kind(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = frame::decode(&self.buffer, 1 << 16).expect("a good frame") {
                let bytes = frame.bytes.to_vec();
                self.buffer.drain(..bytes.len());
                self.frames += 1;
                return Some(bytes);
            }
            let mut chunk = [0; 1 << 16];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(bytes) => self.buffer.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub fn expect<M: Message + Copy>(&mut self) -> M {
        let bytes = self.next().unwrap_or_else(|| panic!("{} expected, the stream ended", M::NAME));
        let frame = decoded(&bytes);
        *frame.view::<M>().unwrap_or_else(|_| panic!("{} expected, {} came", M::NAME, frame.msg_type))
    }

    /// A logout with this text, and then the end.
    pub fn expect_logout(&mut self, expected: &str) {
        let logout: Logout = self.expect();
        assert_eq!(logout.text.to_string(), expected);
        assert!(self.next().is_none(), "closed after the logout");
    }
}

pub fn decoded(bytes: &[u8]) -> Frame<'_> {
    frame::decode(bytes, 1 << 16).expect("good").expect("whole")
}

/// A client of the gateway.
pub struct Client {
    pub peer: Peer,
    pub account: Text<12>,
    pub partitions: Vec<i32>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::new(TcpStream::connect(address).expect("it listens"))
    }

    pub fn logon(name: &str, password: &str) -> Logon {
        Logon {
            sender_comp_id: text(name),
            target_comp_id: text("gateway"),
            heart_bt_int_s: I32::new(i32::from(HEARTBEAT_S)),
            password: Password::new(password.as_bytes()).expect("fits"),
            default_appl_ver_id: VERSION_TRADING,
        }
    }

    /// Logged on as one of the clients of [`config`]: `c1` trades account `a1`, and so on.
    pub fn log_on(address: SocketAddr, number: usize) -> Self {
        let mut peer = Self::connect(address);
        peer.send(&Self::logon(&format!("c{number}"), "secret"));
        let answer: Logon = peer.expect();
        assert_eq!(answer.heart_bt_int_s.get(), i32::from(HEARTBEAT_S));
        let info = peer.next().expect("PlatformInfo");
        let info: PlatformInfo<'_> = decoded(&info).group().expect("PlatformInfo");
        let partitions = info.partitions.iter().map(|partition| partition.get()).collect();
        let _: PlatformStateInfo = peer.expect();
        Self { peer, account: text(&format!("a{number}")), partitions }
    }

    /// Logged on, and told of all reports of its account.
    pub fn ready(address: SocketAddr, number: usize) -> Self {
        let mut client = Self::log_on(address, number);
        client.synchronize(&[]);
        client
    }

    pub fn synchronize(&mut self, from: &[(i32, i64)]) {
        let entry = |&(partition_no, report_index): &(i32, i64)| PartitionIndex {
            partition_no: I32::new(partition_no),
            report_index: I64::new(report_index),
        };
        let partitions: Vec<_> = from.iter().map(entry).collect();
        let mut out = Vec::new();
        ReportSynchronization { partitions: &partitions }.encode(&mut out).expect("few");
        self.peer.write(&out);
    }

    pub fn new_order(&self, cl_ord_id: &str, cash_margin: CashMargin) -> NewOrder {
        NewOrder {
            base: base(),
            cl_ord_id: text(cl_ord_id),
            account_id: self.account,
            side: Side::BUY,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: Price::whole(10),
            ext: CashAuctionExt { time_in_force: TimeInForce::DAY, cash_margin, ..CashAuctionExt::default() },
            ..NewOrder::default()
        }
    }

    pub fn order(&mut self, cl_ord_id: &str, cash_margin: CashMargin) -> NewOrder {
        let order = self.new_order(cl_ord_id, cash_margin);
        self.peer.send(&order);
        order
    }

    pub fn cancel(&mut self, cl_ord_id: &str, orig_cl_ord_id: &str, order_id: &str) {
        self.peer.send(&OrderCancelRequest {
            base: base(),
            cl_ord_id: text(cl_ord_id),
            orig_cl_ord_id: text(orig_cl_ord_id),
            side: Side::BUY,
            order_id: text(order_id),
            order_qty: Qty::whole(100),
        });
    }

    /// (PartitionNo, ReportIndex, ClOrdID) of the next report.
    pub fn report(&mut self) -> (i32, i64, String) {
        let report: OrderReport = self.peer.expect();
        assert_eq!(report.account_id, self.account, "somebody else's report");
        let ReportBase { partition_no, report_index, .. } = report.base;
        (partition_no.get(), report_index.get(), report.cl_ord_id.to_string())
    }

    /// The text of the BusinessReject that comes.
    pub fn rejected(&mut self) -> String {
        self.peer.expect::<BusinessReject>().business_reject_text.to_string()
    }
}

fn base() -> RequestBase {
    RequestBase { security_id: text("000001"), submitting_pbu_id: text("PBU001"), ..RequestBase::default() }
}

/// A core that listens.
pub struct Core {
    listener: TcpListener,
    pub partitions: Vec<i32>,
}

impl Core {
    pub fn listen(partitions: &[i32]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { listener, partitions: partitions.to_vec() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// Takes the gateway's line up to its ReportSynchronization, which is returned.
    pub fn accept(&self) -> (Line, Vec<(i32, i64)>) {
        let mut line = self.accept_standby();
        let asked = line.synchronization();
        (line, asked)
    }

    /// Takes a line that is not asked for reports yet.
    pub fn accept_standby(&self) -> Line {
        let (stream, _) = self.listener.accept().expect("dialled");
        let mut peer = Peer::new(stream);
        let logon: Logon = peer.expect();
        let (sender_comp_id, target_comp_id) = (logon.target_comp_id, logon.sender_comp_id);
        peer.send(&Logon { sender_comp_id, target_comp_id, ..logon });
        let partitions: Vec<I32> = self.partitions.iter().map(|number| I32::new(*number)).collect();
        let info = PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &partitions };
        let mut out = Vec::new();
        info.encode(&mut out).expect("few");
        peer.write(&out);
        let state =
            PlatformStateInfo { platform_id: PlatformId::CASH_AUCTION, platform_state: PlatformState::OPEN };
        peer.send(&state);
        Line { peer }
    }
}

/// A core's end of a line.
pub struct Line {
    pub peer: Peer,
}

impl Line {
    /// (PartitionNo, ReportIndex) of all that are wanted over this line.
    pub fn synchronization(&mut self) -> Vec<(i32, i64)> {
        let asked = self.peer.next().expect("ReportSynchronization");
        let asked: ReportSynchronization<'_> = decoded(&asked).group().expect("ReportSynchronization");
        let index = |entry: &PartitionIndex| (entry.partition_no.get(), entry.report_index.get());
        asked.partitions.iter().map(index).collect()
    }

    pub fn order(&mut self) -> NewOrder {
        self.peer.expect()
    }

    /// Accepts an order; OrderID is `o` and the ReportIndex.
    pub fn accept(&mut self, order: &NewOrder, partition_no: i32, report_index: i64) {
        self.peer.send(&accepted(order, partition_no, report_index));
    }
}

pub fn accepted(order: &NewOrder, partition_no: i32, report_index: i64) -> OrderReport {
    OrderReport {
        base: ReportBase {
            partition_no: I32::new(partition_no),
            report_index: I64::new(report_index),
            security_id: order.base.security_id,
            submitting_pbu_id: order.base.submitting_pbu_id,
            ..ReportBase::default()
        },
        order_id: text(&format!("o{report_index}")),
        cl_ord_id: order.cl_ord_id,
        exec_type: ExecType::NEW,
        ord_status: OrdStatus::NEW,
        account_id: order.account_id,
        order_qty: order.order_qty,
        price: order.price,
        ..OrderReport::default()
    }
}

/// A gateway with clients `c1` to `c9` and quick redials.
pub fn config(cores: &[(CoreName, &Core, u16)]) -> Config {
    let client = |number: usize| ClientConfig {
        comp_id: text(&format!("c{number}")),
        password: Password::new(b"secret").expect("fits").into(),
        accounts: vec![text(&format!("a{number}"))],
    };
    let core = |&(name, core, partition_offset): &(CoreName, &Core, u16)| CoreConfig {
        heartbeat_s: HEARTBEAT_S,
        backoff_min_ms: 1,
        backoff_max_ms: 50,
        partition_offset,
        ..CoreConfig::new(name, core.address(), core.partitions[0] as u16, core.partitions.len() as u16)
    };
    let mut config = Config {
        clients: (1..=9).map(client).collect(),
        cores: cores.iter().map(core).collect(),
        ..Config::default()
    };
    config.listen.address.set_port(0);
    config.forwarding.orders_max = 10_000;
    config
}

/// A gateway that runs.
pub struct Gateway {
    pub address: SocketAddr,
    pub fix_address: Option<SocketAddr>,
    pub host: Host,
    pub metrics: gateway::Metrics,
    pub running: Running,
}

impl Gateway {
    pub fn start(config: Config) -> Self {
        let host = Host::default();
        let server = Server::bind(config, &host).expect("bound");
        Self::run(server, host)
    }

    /// One that is bound and has what else it needs.
    pub fn run(server: Server, host: Host) -> Self {
        let (address, metrics) = (server.address(), server.metrics());
        let fix_address = server.fix_address();
        Self { address, fix_address, host, metrics, running: server.start().expect("a thread") }
    }

    /// A gateway whose one core is the cash core.
    pub fn with_cash(core: &Core) -> Self {
        Self::start(config(&[(CoreName::Cash, core, 0)]))
    }

    /// A gateway of this configuration, whose one core is the cash core, and the core's end of the line, which is up.
    pub fn with_line(core: &Core, config: Config) -> (Self, Line) {
        let gateway = Self::start(config);
        let (line, _) = core.accept();
        gateway.wait_up(&["cash"]);
        (gateway, line)
    }

    /// Until the lines to these cores are up.
    pub fn wait_up(&self, cores: &[&str]) {
        eventually("the lines are up", || {
            cores.iter().all(|core| self.metrics.core_up.with_label_values(&[core]).get() == 1)
        });
    }

    pub fn ended(&self, reason: &str) -> u64 {
        self.metrics.session_ended.with_label_values(&[reason]).get()
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.metrics.refused.with_label_values(&[reason]).get()
    }

    pub fn stop(self) {
        self.running.stop().expect("ended well");
    }
}

/// Counters are carried over now and then: waits until one says so.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = transport::Clock::start();
    while !holds() {
        assert!(begun.now_ns() < DEADLINE.as_nanos() as u64, "never: {what}");
        // What is waited for may want this core.
        std::thread::sleep(Duration::from_millis(1));
    }
}
