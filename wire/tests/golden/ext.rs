//! The messages of our extension.

use super::{TIME, TIME_BYTES, check, check_group};
use wire::szse::code::{OrdType, Side};
use wire::szse::ext::{
    ChannelStart, ChannelStream, EntitlementNotice, ExtendedTickOrder, GapNotice, GapReason,
    MarketDataRequest, MarketDataRequestAck, RELAYS_MAX, RelayHead, RelayHello, RelayPath, RequestHead,
    RequestStatus, Security, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::TickOrder;
use wire::szse::{I64, Price, Qty, Text, U16, U32};

#[test]
fn entitlement_notice() {
    check(
        &EntitlementNotice {
            markets: U16::new(4),
            level: 2,
            delay_min: U16::new(15),
            text: Text::literal("right changed"),
        },
        &[
            b"\x00\x89\x54\x45",
            b"\x00\x00\x00\x37",
            b"\x00\x04",
            b"\x02",
            b"\x00\x0f",
            b"right changed                                     ",
            b"\x00\x00\x00\x16",
        ],
    );
}

#[test]
fn relay_hello() {
    check(
        &RelayHello { feed: Text::literal("feed-north") },
        &[b"\x00\x89\x54\x46", b"\x00\x00\x00\x14", b"feed-north          ", b"\x00\x00\x00\x63"],
    );
}

#[test]
fn relay_path() {
    let head = RelayHead {
        sent_ns: I64::new(1_783_301_400_000_000_000),
        delay_us: I64::new(850),
        hops: U16::new(2),
    };
    let feeds = [Text::literal("feed-north"), Text::literal("feed-south")];
    let golden = [
        &b"\x00\x89\x54\x47"[..],
        b"\x00\x00\x00\x3e",
        b"\x18\xbf\x8f\x2c\xca\x74\xf0\x00",
        b"\x00\x00\x00\x00\x00\x00\x03\x52",
        b"\x00\x02",
        b"\x00\x00\x00\x02",
        b"feed-north          ",
        b"feed-south          ",
        b"\x00\x00\x00\xdb",
    ]
    .concat();
    let mut out = Vec::new();
    RelayPath { head, feeds: &feeds }.encode(&mut out).unwrap();
    let view: RelayPath<'_> = check_group(&out, &golden);
    assert_eq!((view.head, view.feeds), (head, &feeds[..]));
    let too_many = [Text::literal("feed"); RELAYS_MAX + 1];
    assert!(RelayPath { head, feeds: &too_many }.encode(&mut out).is_err());
}

#[test]
fn channel_stream() {
    check(
        &ChannelStream { request_id: U32::new(9), channel_no: U16::new(2011) },
        &[b"\x00\x89\x54\x48", b"\x00\x00\x00\x06", b"\x00\x00\x00\x09", b"\x07\xdb", b"\x00\x00\x00\x16"],
    );
}

#[test]
fn market_data_request() {
    let head = RequestHead {
        request_id: U32::new(9),
        mode: SubscriptionMode::SECURITIES,
        policy: SlowReaderPolicy::SKIP_WITH_NOTICE,
        want_snapshots: 1,
    };
    let channels = [ChannelStart { channel_no: U16::new(2011), next_appl_seq_num: I64::new(258) }];
    let securities = [
        Security { security_id: Text::literal("000001"), security_id_source: Text::literal("102") },
        Security { security_id: Text::literal("600519"), security_id_source: Text::literal("101") },
    ];
    let golden = [
        &b"\x00\x89\x54\x41"[..],
        b"\x00\x00\x00\x31",
        b"\x00\x00\x00\x09",
        b"\x03",
        b"\x02",
        b"\x01",
        b"\x00\x00\x00\x01",
        b"\x07\xdb",
        b"\x00\x00\x00\x00\x00\x00\x01\x02",
        b"\x00\x00\x00\x02",
        b"000001  ",
        b"102 ",
        b"600519  ",
        b"101 ",
        b"\x00\x00\x00\x81",
    ]
    .concat();
    let mut out = Vec::new();
    MarketDataRequest { head, channels: &channels, securities: &securities }.encode(&mut out).unwrap();
    let view: MarketDataRequest<'_> = check_group(&out, &golden);
    assert_eq!((view.head, view.channels, view.securities), (head, &channels[..], &securities[..]));
}

#[test]
fn market_data_request_ack() {
    check(
        &MarketDataRequestAck {
            request_id: U32::new(9),
            status: RequestStatus::POLICY_UNSUPPORTED,
            text: Text::literal("conflate"),
        },
        &[
            b"\x00\x89\x54\x42",
            b"\x00\x00\x00\x37",
            b"\x00\x00\x00\x09",
            b"\x02",
            b"conflate                                          ",
            b"\x00\x00\x00\xed",
        ],
    );
}

#[test]
fn gap_notice() {
    check(
        &GapNotice {
            channel_no: U16::new(2011),
            appl_beg_seq_num: I64::new(258),
            appl_end_seq_num: I64::new(259),
            reason: GapReason::SLOW_READER,
        },
        &[
            b"\x00\x89\x54\x43",
            b"\x00\x00\x00\x13",
            b"\x07\xdb",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"\x00\x00\x00\x00\x00\x00\x01\x03",
            b"\x02",
            b"\x00\x00\x00\x1e",
        ],
    );
}

#[test]
fn extended_tick_order() {
    let order = TickOrder {
        channel_no: U16::new(2011),
        appl_seq_num: I64::new(258),
        md_stream_id: Text::literal("011"),
        security_id: Text::literal("600519"),
        security_id_source: Text::literal("101"),
        price: Price::from_raw(123_400),
        order_qty: Qty::whole(100),
        side: Side::SELL,
        transact_time: TIME,
        ord_type: OrdType::LIMIT,
    };
    let extension = [0, 0, 0, 0, 0, 0, 0, 5];
    let golden = [
        &b"\x00\x89\x54\x44"[..],
        b"\x00\x00\x00\x3b",
        b"\x07\xdb",
        b"\x00\x00\x00\x00\x00\x00\x01\x02",
        b"011",
        b"600519  ",
        b"101 ",
        b"\x00\x00\x00\x00\x00\x01\xe2\x08",
        b"\x00\x00\x00\x00\x00\x00\x27\x10",
        b"2",
        TIME_BYTES,
        b"2",
        b"\x00\x00\x00\x00\x00\x00\x00\x05",
        b"\x00\x00\x00\x66",
    ]
    .concat();
    let mut out = Vec::new();
    ExtendedTickOrder { order: &order, extension: &extension }.encode(&mut out).unwrap();
    let view: ExtendedTickOrder<'_> = check_group(&out, &golden);
    assert_eq!((view.order, view.extension), (&order, &extension[..]));
}
