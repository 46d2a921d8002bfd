//! A feed whose quotes come from a vendor's lines of text: through a hole, and over a restart of the vendor.
#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

use broker_example::vendor::Vendor;
use feed::config::{Source, Via};
use feed::{Config, Server};
use service::Host;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::{MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::TickOrder;
use wire::szse::{I32, Logon, Text, frame};

/// A failing test ends here; a passing one never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// The vendor's end of the feed's connection.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn accept(listener: &TcpListener) -> Self {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, numbers: RangeInclusive<u64>) {
        let line = |number| format!("2011,{number},000001,B,10.50,300,20260105093000010\n");
        let lines: String = numbers.map(line).collect();
        self.0.get_mut().write_all(lines.as_bytes()).unwrap();
    }

    /// What the feed wants again.
    fn asked(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
}

/// A subscriber of everything.
struct Client(TcpStream, Vec<u8>);

impl Client {
    fn subscribe(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let logon = Logon {
            sender_comp_id: Text::literal("reader"),
            heart_bt_int_s: I32::new(60),
            default_appl_ver_id: VERSION_MARKET_DATA,
            ..Logon::default()
        };
        let head = RequestHead {
            mode: SubscriptionMode::ALL,
            policy: SlowReaderPolicy::DISCONNECT,
            ..RequestHead::default()
        };
        let mut out = Vec::new();
        frame::encode(&logon, &mut out);
        MarketDataRequest { head, channels: &[], securities: &[] }.encode(&mut out).unwrap();
        stream.write_all(&out).unwrap();
        Self(stream, Vec::new())
    }

    /// So many numbers of orders, in the order in which they come.
    fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            while let Some(frame) = frame::decode(&self.1, frame::BODY_LEN_MAX).unwrap() {
                numbers.extend(frame.view::<TickOrder>().map(|order| order.appl_seq_num.get()));
                let len = frame.bytes.len();
                self.1.drain(..len);
            }
            if numbers.len() < count {
                let mut bytes = [0; 4_096];
                let read = self.0.read(&mut bytes).unwrap();
                assert_ne!(read, 0, "the feed keeps its subscriber");
                self.1.extend_from_slice(&bytes[..read]);
            }
        }
        numbers
    }
}

#[test]
fn a_vendors_lines_are_quotes_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::default();
    config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    config.sources = vec![Source { via: Via::Door, backoff_min_ms: 1, ..Source::new("vendor", nowhere) }];
    let server = Server::bind(config, &Host::default()).unwrap();
    let server = server.with_source("vendor", Vendor(listener.local_addr().unwrap()));
    let (address, metrics) = (server.address(), server.metrics());
    let running = server.start().unwrap();

    let mut vendor = Lines::accept(&listener);
    let mut client = Client::subscribe(address);
    // The subscription is there before the first quote, or the first ones would be gone.
    wait_for(|| metrics.requests.with_label_values(&["ACCEPTED"]).get() == 1);
    vendor.say(1..=3);
    assert_eq!(client.numbers(3), [1, 2, 3]);
    // A hole is asked for.
    vendor.say(6..=7);
    assert_eq!(vendor.asked(), "2011,4,5\n");
    vendor.say(4..=5);
    assert_eq!(client.numbers(4), [4, 5, 6, 7]);
    // It goes, and comes back.
    drop(vendor);
    let mut vendor = Lines::accept(&listener);
    vendor.say(8..=9);
    assert_eq!(client.numbers(2), [8, 9]);
    assert_eq!(metrics.source_sessions.with_label_values(&["vendor"]).get(), 2);
    // What is no line ends it, and is not passed on.
    vendor.0.get_mut().write_all(b"what?\n").unwrap();
    let mut vendor = Lines::accept(&listener);
    vendor.say(10..=10);
    assert_eq!(client.numbers(1), [10]);
    running.stop().unwrap();
}

fn wait_for(mut reached: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !reached() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "it does not happen");
        std::thread::yield_now();
    }
}
