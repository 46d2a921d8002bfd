//! A feed on real sockets, and small fake peers for both of its sides. Peers block, with a deadline that no passing
//! test comes near; nothing here sleeps but who looks at a counter again and again.

use feed::config::Source;
use feed::{Config, Metrics, Server};
use service::{Host, Running};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use wire::szse::code::{ResendStatus, ResendType, SOURCE_SHENZHEN, STREAM_SNAPSHOT, VERSION_MARKET_DATA};
use wire::szse::ext::{
    ChannelStart, EntitlementNotice, GapNotice, GapReason, MarketDataRequest, MarketDataRequestAck,
    RequestHead, RequestStatus, Security, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::{
    BusinessReject, ChannelHeartbeat, Resend, Snapshot, SnapshotHead, TickOrder, TickTrade,
};
use wire::szse::{
    Frame, GroupMessage, Heartbeat, I32, I64, Logon, Logout, Message, SecurityIdSource, Text, Timestamp, U16,
    U32, frame,
};

/// A failing test ends here; a passing one never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a peer was sent, as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Channel and number of an order or a trade.
    Tick(u16, u64),
    /// Security and time.
    Snapshot(u32, i64),
    Gap(u16, u64, u64, GapReason),
    /// Channel, last number, whether it has ended.
    ChannelHeartbeat(u16, u64, bool),
    Ack(RequestStatus),
    /// First number and status.
    Resend(u64, ResendStatus),
    /// The type that was rejected.
    Reject(u32),
    Request,
    /// Markets and level.
    Entitlement(u16, u8),
    Logout(String),
    Closed,
}

/// One end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Up to here the buffer was looked at.
    taken: usize,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), taken: 0 }
    }

    pub(crate) fn log_on(&mut self, logon: &Logon) {
        self.send(logon);
        let bytes = self.frame().expect("an answer to the logon");
        frame::decode(&bytes, 1_000).unwrap().unwrap().view::<Logon>().unwrap();
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        self.send_bytes(&bytes_of(message));
    }

    /// The next frame, of any type; `None` at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = frame::decode(&self.buffer[self.taken..], frame::BODY_LEN_MAX).unwrap() {
                self.taken += frame.bytes.len();
                return Some(frame.bytes.to_vec());
            }
            self.buffer.drain(..std::mem::take(&mut self.taken));
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The next message that is not a heartbeat of the session.
    pub(crate) fn see_all(&mut self) -> Seen {
        loop {
            let Some(bytes) = self.frame() else { return Seen::Closed };
            let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            if frame.msg_type != Heartbeat::MSG_TYPE {
                return seen(&frame);
            }
        }
    }

    /// The next message that is no heartbeat at all.
    pub(crate) fn see(&mut self) -> Seen {
        loop {
            match self.see_all() {
                Seen::ChannelHeartbeat(..) => {}
                seen => return seen,
            }
        }
    }

    /// The numbers of the next ticks, all of one channel.
    pub(crate) fn ticks(&mut self, channel: u16, count: usize) -> Vec<u64> {
        let one = |_| match self.see() {
            Seen::Tick(found, number) if found == channel => number,
            other => panic!("a tick of channel {channel} was expected, and there was {other:?}"),
        };
        (0..count).map(one).collect()
    }

    pub(crate) fn expect_ticks(&mut self, channel: u16, numbers: std::ops::RangeInclusive<u64>) {
        let expected: Vec<u64> = numbers.collect();
        assert_eq!(self.ticks(channel, expected.len()), expected);
    }
}

pub(crate) fn seen(frame: &Frame<'_>) -> Seen {
    match frame.msg_type {
        TickOrder::MSG_TYPE => {
            let order: &TickOrder = frame.view().unwrap();
            Seen::Tick(order.channel_no.get(), order.appl_seq_num.get() as u64)
        }
        TickTrade::MSG_TYPE => {
            let trade: &TickTrade = frame.view().unwrap();
            Seen::Tick(trade.channel_no.get(), trade.appl_seq_num.get() as u64)
        }
        Snapshot::MSG_TYPE => {
            let head = frame.group::<Snapshot<'_>>().unwrap().head;
            Seen::Snapshot(head.security_id.to_string().parse().unwrap(), head.orig_time.raw())
        }
        GapNotice::MSG_TYPE => {
            let gap: &GapNotice = frame.view().unwrap();
            let (begin, end) = (gap.appl_beg_seq_num.get() as u64, gap.appl_end_seq_num.get() as u64);
            Seen::Gap(gap.channel_no.get(), begin, end, gap.reason)
        }
        ChannelHeartbeat::MSG_TYPE => {
            let beat: &ChannelHeartbeat = frame.view().unwrap();
            let last = beat.appl_last_seq_num.get() as u64;
            Seen::ChannelHeartbeat(beat.channel_no.get(), last, beat.is_end_of_channel())
        }
        MarketDataRequestAck::MSG_TYPE => Seen::Ack(frame.view::<MarketDataRequestAck>().unwrap().status),
        Resend::MSG_TYPE => {
            let resend: &Resend = frame.view().unwrap();
            Seen::Resend(resend.appl_beg_seq_num.get() as u64, resend.resend_status)
        }
        BusinessReject::MSG_TYPE => Seen::Reject(frame.view::<BusinessReject>().unwrap().ref_msg_type.get()),
        MarketDataRequest::MSG_TYPE => Seen::Request,
        EntitlementNotice::MSG_TYPE => {
            let notice: &EntitlementNotice = frame.view().unwrap();
            Seen::Entitlement(notice.markets.get(), notice.level)
        }
        Logout::MSG_TYPE => Seen::Logout(frame.view::<Logout>().unwrap().text.to_string()),
        other => panic!("unexpected message type {other}"),
    }
}

pub(crate) fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(message, &mut out);
    out
}

/// An order of security 1, unless said otherwise.
pub(crate) fn tick(channel: u16, number: u64) -> TickOrder {
    tick_of(1, channel, number)
}

pub(crate) fn tick_of(security: u32, channel: u16, number: u64) -> TickOrder {
    TickOrder {
        channel_no: U16::new(channel),
        appl_seq_num: I64::new(number as i64),
        security_id: Text::new(format!("{security:06}").as_bytes()).unwrap(),
        security_id_source: SOURCE_SHENZHEN,
        ..TickOrder::default()
    }
}

pub(crate) fn snapshot(security: u32, channel: u16, time: i64) -> Vec<u8> {
    snapshot_of(SOURCE_SHENZHEN, security, channel, time)
}

pub(crate) fn snapshot_of(source: SecurityIdSource, security: u32, channel: u16, time: i64) -> Vec<u8> {
    let head = SnapshotHead {
        orig_time: Timestamp::from_raw(time),
        channel_no: U16::new(channel),
        md_stream_id: STREAM_SNAPSHOT,
        security_id: Text::new(format!("{security:06}").as_bytes()).unwrap(),
        security_id_source: source,
        ..SnapshotHead::default()
    };
    let mut out = Vec::new();
    Snapshot::encode(&head, &mut out, |_| Ok(())).unwrap();
    out
}

pub(crate) fn channel_heartbeat(channel: u16, last: u64, ended: bool) -> ChannelHeartbeat {
    ChannelHeartbeat {
        channel_no: U16::new(channel),
        appl_last_seq_num: I64::new(last as i64),
        end_of_channel: U16::new(ended.into()),
    }
}

pub(crate) fn resend(channel: u16, begin: u64, end: u64, status: ResendStatus) -> Resend {
    Resend {
        resend_type: ResendType::TICKS,
        channel_no: U16::new(channel),
        appl_beg_seq_num: I64::new(begin as i64),
        appl_end_seq_num: I64::new(end as i64),
        resend_status: status,
        ..Resend::default()
    }
}

/// An upstream of the feed: the feed connects to it.
pub(crate) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(crate) fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes the feed's next connection, and its logon.
    pub(crate) fn accept(&self) -> Peer {
        let mut peer = Peer::new(self.listener.accept().unwrap().0);
        let bytes = peer.frame().expect("the feed logs on");
        let frame = frame::decode(&bytes, 1_000).unwrap().unwrap();
        let logon: &Logon = frame.view().unwrap();
        let answer =
            Logon { sender_comp_id: logon.target_comp_id, target_comp_id: logon.sender_comp_id, ..*logon };
        peer.send(&answer);
        peer
    }
}

impl Peer {
    /// Reads so many bytes of whole frames, without a look at them.
    #[allow(dead_code)] // By tests/memory.rs alone.
    pub(crate) fn skip_bytes(&mut self, count: usize) {
        assert_eq!(self.taken, self.buffer.len(), "no frame was begun");
        let mut bytes = [0; 65_536];
        let mut left = count;
        while left > 0 {
            let most = left.min(bytes.len());
            self.stream.read_exact(&mut bytes[..most]).unwrap();
            left -= most;
        }
    }

    /// Publishes in step with a reader, so that this one is never a slow one.
    pub(crate) fn publish_and_read(&mut self, reader: &mut Peer, count: u64) {
        for begin in (1..=count).step_by(4_000) {
            let end = count.min(begin + 3_999);
            self.publish(1, begin..=end);
            reader.expect_ticks(1, begin..=end);
        }
    }

    pub(crate) fn publish(&mut self, channel: u16, numbers: std::ops::RangeInclusive<u64>) {
        let mut out = Vec::new();
        numbers.for_each(|number| frame::encode(&tick(channel, number), &mut out));
        self.send_bytes(&out);
    }

    /// The feed's next resend request: channel and range.
    pub(crate) fn expect_resend_request(&mut self) -> (u16, u64, u64) {
        loop {
            let bytes = self.frame().expect("the feed asks");
            let frame = frame::decode(&bytes, 1_000).unwrap().unwrap();
            if let Ok(request) = frame.view::<Resend>() {
                let (begin, end) =
                    (request.appl_beg_seq_num.get() as u64, request.appl_end_seq_num.get() as u64);
                return (request.channel_no.get(), begin, end);
            }
        }
    }
}

/// What a subscriber asks for.
pub(crate) struct Wanted {
    pub(crate) mode: SubscriptionMode,
    pub(crate) policy: SlowReaderPolicy,
    pub(crate) snapshots: bool,
    pub(crate) channels: Vec<(u16, i64)>,
    pub(crate) securities: Vec<u32>,
}

impl Wanted {
    pub(crate) fn all() -> Self {
        Self {
            mode: SubscriptionMode::ALL,
            policy: SlowReaderPolicy::DISCONNECT,
            snapshots: false,
            channels: Vec::new(),
            securities: Vec::new(),
        }
    }

    pub(crate) fn from(channel: u16, number: i64) -> Self {
        Self { channels: vec![(channel, number)], ..Self::all() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let start = |&(channel, next): &(u16, i64)| ChannelStart {
            channel_no: U16::new(channel),
            next_appl_seq_num: I64::new(next),
        };
        let security = |id: &u32| Security {
            security_id: Text::new(format!("{id:06}").as_bytes()).unwrap(),
            security_id_source: SOURCE_SHENZHEN,
        };
        let channels: Vec<_> = self.channels.iter().map(start).collect();
        let securities: Vec<_> = self.securities.iter().map(security).collect();
        let head = RequestHead {
            request_id: U32::new(7),
            mode: self.mode,
            policy: self.policy,
            want_snapshots: self.snapshots.into(),
        };
        let mut out = Vec::new();
        let request = MarketDataRequest { head, channels: &channels, securities: &securities };
        request.encode(&mut out).unwrap();
        out
    }
}

pub(crate) fn logon() -> Logon {
    Logon {
        sender_comp_id: Text::literal("reader"),
        target_comp_id: Text::literal("feed"),
        heart_bt_int_s: I32::new(60),
        default_appl_ver_id: VERSION_MARKET_DATA,
        ..Logon::default()
    }
}

/// A subscriber that is logged on.
pub(crate) fn log_on(address: SocketAddr) -> Peer {
    log_on_as(address, &logon())
}

pub(crate) fn log_on_as(address: SocketAddr, logon: &Logon) -> Peer {
    let mut peer = Peer::connect(address);
    peer.log_on(logon);
    peer
}

/// A subscriber with a subscription that was accepted.
pub(crate) fn subscribe(address: SocketAddr, wanted: &Wanted) -> Peer {
    let mut peer = log_on(address);
    peer.request(wanted);
    assert_eq!(peer.see(), Seen::Ack(RequestStatus::ACCEPTED));
    peer
}

impl Peer {
    pub(crate) fn request(&mut self, wanted: &Wanted) {
        self.send_bytes(&wanted.encode());
    }
}

/// A feed that runs, with upstreams to be played by the test.
pub(crate) struct Feed {
    pub(crate) address: SocketAddr,
    #[allow(dead_code)] // By tests/feed/datagrams.rs alone.
    pub(crate) quic: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) admin: SocketAddr,
    /// What SIGHUP does.
    #[allow(dead_code)] // Not by tests/memory.rs.
    pub(crate) reload: Box<dyn FnMut() + Send>,
    /// Where browsers connect, if they may.
    #[allow(dead_code)] // Not by tests/memory.rs.
    pub(crate) web: Option<SocketAddr>,
    running: Option<Running>,
    _admin: service::admin::Serving,
}

impl Feed {
    /// With two sources.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        let upstreams = vec![Upstream::bind(), Upstream::bind()];
        let addresses: Vec<_> = upstreams.iter().map(Upstream::address).collect();
        let mut feed = Self::with_sources(&addresses, change);
        feed.upstreams = upstreams;
        feed
    }

    pub(crate) fn with_sources(addresses: &[SocketAddr], change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin = service::admin::Config::default();
        let source = |(index, address): (usize, &SocketAddr)| Source {
            backoff_min_ms: 1,
            backoff_max_ms: 10,
            heartbeat_s: 60,
            ..Source::new(&format!("source-{index}"), *address)
        };
        config.sources = addresses.iter().enumerate().map(source).collect();
        // A test that plays a source and is slow today has lost nothing.
        config.arbitration.deadline_ms = DEADLINE.as_millis() as u64;
        change(&mut config);
        Self::of(config, |server| server)
    }

    /// Of a whole configuration, and what a program around a feed adds to it.
    pub(crate) fn of(config: Config, with: impl FnOnce(Server) -> Server) -> Self {
        service::config::Config::validate(&config).unwrap();
        let host = Host::default();
        let admin = service::admin::Admin::bind(&config.admin, &host).unwrap();
        let server = with(Server::bind(config, &host).unwrap());
        let (address, quic) = (server.address(), server.quic_address());
        let (web, metrics) = (server.web_address(), server.metrics());
        let reload = Box::new(server.reload());
        let admin = admin.ready(server.readiness()).routes(server.routes()).start().unwrap();
        let running = Some(server.start().unwrap());
        let upstreams = Vec::new();
        Self {
            address,
            quic,
            metrics,
            upstreams,
            admin: admin.address(),
            reload,
            web,
            running,
            _admin: admin,
        }
    }

    /// Both sources' connections.
    pub(crate) fn sources(&self) -> [Peer; 2] {
        [self.upstreams[0].accept(), self.upstreams[1].accept()]
    }

    /// Waits until the sources' connections, as many as these, are logged on.
    pub(crate) fn wait_for_sources(&self, count: i64) {
        let up = |name| self.metrics.source_up.with_label_values(&[name]).get();
        wait_for("sources", || up("source-0") + up("source-1") == count);
    }

    /// The answer of the operator's port.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path, None)
    }

    /// The same to a request of any kind, with a token.
    pub(crate) fn ask(&self, method: &str, path: &str, token: Option<&str>) -> String {
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn ended(&self, reason: &str) -> u64 {
        self.metrics.subscriber_ended.with_label_values(&[reason]).get()
    }

    pub(crate) fn take_running(&mut self) -> Running {
        self.running.take().expect("the feed runs")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && !std::thread::panicking()
        {
            running.stop().unwrap();
        }
    }
}

/// An address that stays free while nobody listens there: below those that the system gives to whoever asks for any.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 16_000) as u16;
    loop {
        let port = 15_000 + (NEXT.fetch_add(1, Ordering::Relaxed) % 16_000 + begin) % 16_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Lets go of what is older than about [`HELD`] ticks.
pub(crate) fn small_log(config: &mut Config) {
    config.log.segment_bytes = 65_536;
    config.log.window_bytes = 4 << 20;
}

/// Ticks that a small log may hold, at most.
pub(crate) const HELD: u64 = (4 << 20) / 63;

/// Waits for something that a counter shows, which is carried over once a tick.
pub(crate) fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !reached() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "still waiting for {what}");
        // What is waited for may want this core.
        std::thread::sleep(Duration::from_millis(1));
    }
}
