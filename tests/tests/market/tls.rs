//! Who is let in, who is not, and that nobody else notices; certificates that change; quotes over TLS and over QUIC.

use crate::client::{Client, Peer, decoded};
use crate::line::Line;
use crate::town::{Feed, Market, eventually};
use std::net::SocketAddr;
use transport::Connector;
use wire::szse::Message;
use wire::szse::code::{CashMargin, OrdStatus, Side, VERSION_MARKET_DATA, VERSION_TRADING};
use wire::szse::ext::{ChannelStart, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::trading::OrderReport;
use wire::szse::{I64, U16};

/// An order goes to the core, and its report comes back.
fn trades(client: &mut Client, cl_ord_id: &str) {
    client.order(cl_ord_id, CashMargin::CASH, Side::BUY, (100, 10_00));
    let report: OrderReport = client.report();
    assert_eq!((report.cl_ord_id.to_string().as_str(), report.ord_status), (cl_ord_id, OrdStatus::NEW));
}

/// How what is sent instead of a logon, or with it, is taken: the first bytes of an answer, or none.
fn answer(mut line: Line) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let read = line.read(&mut bytes).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

#[test]
fn who_has_no_certificate_or_speaks_no_tls_is_refused_and_counted_and_disturbs_nobody() {
    let market = Market::start_with_certificates();
    let gateway = &market.gateways[0];
    let mut client = market.client(1);
    client.connect(gateway.address);
    trades(&mut client, "o1");
    let (established, failed) = (gateway.handshakes("established"), gateway.handshakes("failed"));
    assert_eq!(established, 1);

    // A client without a certificate: the last word of the handshake is the server's, so it may get as far as writing.
    let nobody =
        Peer::logging_on(&market.connector_of_nobody(), gateway.address, ("c2", "gateway"), VERSION_TRADING);
    if let Ok(mut nobody) = nobody {
        nobody.expect_refusal();
    }
    eventually("it is counted", || gateway.handshakes("failed") == failed + 1);

    // A client that speaks the protocol, but in the clear.
    let plain = Connector::default();
    let mut logon = Line::open(&plain, gateway.address).unwrap();
    logon.write(&[0, 0, 0, 1, 0, 0, 0, 92]).unwrap();
    assert_eq!(answer(logon).first(), Some(&21), "a TLS alert");
    eventually("it is counted", || gateway.handshakes("failed") == failed + 2);

    trades(&mut client, "o2");
    assert_eq!(gateway.handshakes("established"), established, "nobody else was let in");
    market.stop();
}

#[test]
fn certificates_are_renewed_while_connections_go_on() {
    let market = Market::start_with_certificates();
    let before = market.connector();
    let mut old = market.client(1);
    old.connect(market.address());
    trades(&mut old, "o1");

    market.renew_certificates();
    trades(&mut old, "o2");
    let mut new = market.client(2);
    new.connect(market.address());
    trades(&mut new, "o3");
    let error = Line::open(&before, market.address()).map(drop).unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    trades(&mut old, "o4");
    market.stop();
}

/// A subscriber of everything from its beginning.
struct Subscriber(Peer);

impl Subscriber {
    fn subscribed(connector: &Connector, address: SocketAddr) -> Self {
        let peer = Peer::logging_on(connector, address, ("subscriber", "feed"), VERSION_MARKET_DATA);
        let mut peer = peer.expect("the feed listens");
        let head = RequestHead {
            request_id: 1.into(),
            mode: SubscriptionMode::ALL,
            policy: SlowReaderPolicy::DISCONNECT,
            want_snapshots: 0,
        };
        let channels = [2011, 2012, 2013, 2014]
            .map(|channel| ChannelStart { channel_no: U16::new(channel), next_appl_seq_num: I64::new(1) });
        let mut bytes = Vec::new();
        MarketDataRequest { head, channels: &channels, securities: &[] }.encode(&mut bytes).unwrap();
        peer.send_bytes(&bytes);
        Self(peer)
    }

    /// The next ticks, whole.
    fn ticks(&mut self, count: usize) -> Vec<Vec<u8>> {
        let frames = std::iter::from_fn(|| self.0.next());
        frames.filter(|bytes| number(bytes).is_some()).take(count).collect()
    }
}

/// ApplSeqNum of a tick.
fn number(bytes: &[u8]) -> Option<i64> {
    let frame = decoded(bytes);
    match frame.msg_type {
        TickOrder::MSG_TYPE => Some(frame.view::<TickOrder>().unwrap().appl_seq_num.get()),
        TickTrade::MSG_TYPE => Some(frame.view::<TickTrade>().unwrap().appl_seq_num.get()),
        _ => None,
    }
}

#[test]
fn a_subscriber_over_quic_and_one_over_tls_get_the_same_numbers() {
    const ORDERS: usize = 200;
    let market = Market::start_with_certificates();
    let feed = Feed::start(&market);
    let mut over_tls = Subscriber::subscribed(&market.connector(), feed.address);
    let mut client = market.client(1);
    client.connect(market.address());
    for order in 0..ORDERS / 2 {
        trades(&mut client, &format!("o{order}"));
    }
    // This one comes when half of it is over.
    let mut over_quic = Subscriber::subscribed(&feed.quic_connector(), feed.quic_address);
    for order in ORDERS / 2..ORDERS {
        trades(&mut client, &format!("o{order}"));
    }
    let seen = over_tls.ticks(ORDERS);
    assert!(seen == over_quic.ticks(ORDERS), "byte for byte");
    let numbers: Vec<_> = seen.iter().filter_map(|bytes| number(bytes)).collect();
    assert_eq!(numbers, (1..=ORDERS as i64).collect::<Vec<_>>());
    feed.stop();
    market.stop();
}
