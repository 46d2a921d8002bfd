//! Golden bytes: every message written out by hand from the tables of `docs/protocol-szse.md`, one line a field, and
//! compared with what the encoder writes and the view reads. Checksums were added up outside of this code.

mod ext;

use wire::szse::code::{
    BusinessRejectReason, CashMargin, CxlRejReason, ExecType, MdEntryType, OrdRejReason, OrdStatus, OrdType,
    PlatformId, PlatformState, ResendStatus, ResendType, SessionStatus, Side, TimeInForce,
};
use wire::szse::market::{
    self, ChannelHeartbeat, MdEntry, Resend, Snapshot, SnapshotHead, TickOrder, TickTrade,
};
use wire::szse::trading::{
    self, CancelReject, CashAuctionExt, NewOrder, OrderCancelRequest, OrderReport, PartitionIndex,
    PlatformInfo, PlatformStateInfo, ReportBase, ReportFinished, ReportSynchronization, RequestBase,
    TradeReport,
};
use wire::szse::{
    Amount, Frame, GroupMessage, I32, I64, Logon, Logout, MdEntryPx, Message, Password, Price, Qty, Text,
    Timestamp, U16, U32, frame,
};

fn whole(bytes: &[u8]) -> Frame<'_> {
    frame::decode(bytes, frame::BODY_LEN_MAX).expect("a frame").expect("a whole frame")
}

/// The encoder writes the golden bytes, and the view of the golden bytes is the message.
fn check<M: Message + PartialEq + std::fmt::Debug>(message: &M, golden: &[&[u8]]) {
    let golden = golden.concat();
    let mut out = Vec::new();
    frame::encode(message, &mut out);
    assert_eq!(out, golden, "{}", M::NAME);
    assert_eq!(whole(&golden).view::<M>(), Ok(message));
}

/// As [`check`], for messages with groups: the view encodes to what it was read from.
fn check_group<'a, G: GroupMessage<'a>>(encoded: &[u8], golden: &'a [u8]) -> G {
    assert_eq!(encoded, golden, "{}", G::NAME);
    whole(golden).group().expect("a message with groups")
}

const TIME: Timestamp = Timestamp::from_raw(20_240_229_093_000_123);
/// 20240229093000123 in hexadecimal.
const TIME_BYTES: &[u8] = b"\x00\x47\xe8\x61\x91\x42\xc3\xbb";

fn request_base() -> RequestBase {
    RequestBase {
        appl_id: Text::literal("010"),
        submitting_pbu_id: Text::literal("123456"),
        security_id: Text::literal("000001"),
        security_id_source: Text::literal("102"),
        owner_type: U16::new(1),
        clearing_firm: Text::literal("01"),
        transact_time: TIME,
        user_info: Text::literal("me"),
    }
}

fn request_base_bytes() -> Vec<u8> {
    [&b"010"[..], b"123456", b"000001  ", b"102 ", b"\x00\x01", b"01", TIME_BYTES, b"me      "].concat()
}

fn report_base() -> ReportBase {
    ReportBase {
        partition_no: I32::new(3),
        report_index: I64::new(258),
        appl_id: Text::literal("010"),
        reporting_pbu_id: Text::literal("654321"),
        submitting_pbu_id: Text::literal("123456"),
        security_id: Text::literal("000001"),
        security_id_source: Text::literal("102"),
        owner_type: U16::new(1),
        clearing_firm: Text::literal("01"),
        transact_time: TIME,
        user_info: Text::literal("me"),
    }
}

fn report_base_bytes() -> Vec<u8> {
    [
        &b"\x00\x00\x00\x03"[..],
        b"\x00\x00\x00\x00\x00\x00\x01\x02",
        b"010",
        b"654321",
        b"123456",
        b"000001  ",
        b"102 ",
        b"\x00\x01",
        b"01",
        TIME_BYTES,
        b"me      ",
    ]
    .concat()
}

fn ext() -> CashAuctionExt {
    CashAuctionExt {
        stop_px: Price::ZERO,
        min_qty: Qty::ZERO,
        max_price_levels: U16::new(5),
        time_in_force: TimeInForce::IMMEDIATE_OR_CANCEL,
        cash_margin: CashMargin::MARGIN_OPEN,
    }
}

const EXT_BYTES: &[u8] = b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0532";

#[test]
fn logon() {
    check(
        &Logon {
            sender_comp_id: Text::literal("broker"),
            target_comp_id: Text::literal("exchange"),
            heart_bt_int_s: I32::new(3),
            password: Password::new(b"secret").unwrap(),
            default_appl_ver_id: Text::literal("1.29"),
        },
        &[
            b"\x00\x00\x00\x01",
            b"\x00\x00\x00\x5c",
            b"broker              ",
            b"exchange            ",
            b"\x00\x00\x00\x03",
            b"secret          ",
            b"1.29                            ",
            b"\x00\x00\x00\x78",
        ],
    );
}

#[test]
fn logout() {
    check(
        &Logout { session_status: SessionStatus::INVALID_MESSAGE, text: Text::literal("second logon") },
        &[
            b"\x00\x00\x00\x02",
            b"\x00\x00\x00\xcc",
            b"\x00\x00\x00\x66",
            b"second logon",
            &[b' '; 188],
            b"\x00\x00\x00\x6f",
        ],
    );
}

#[test]
fn new_order() {
    check(
        &NewOrder {
            base: request_base(),
            cl_ord_id: Text::literal("A000000001"),
            account_id: Text::literal("0123456789"),
            branch_id: Text::literal("0001"),
            order_restrictions: Text::literal("1"),
            side: Side::BUY,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: Price::from_raw(123_400),
            ext: ext(),
        },
        &[
            b"\x00\x01\x87\x05",
            b"\x00\x00\x00\x6d",
            &request_base_bytes(),
            b"A000000001",
            b"0123456789  ",
            b"0001",
            b"1   ",
            b"1",
            b"2",
            b"\x00\x00\x00\x00\x00\x00\x27\x10",
            b"\x00\x00\x00\x00\x00\x01\xe2\x08",
            EXT_BYTES,
            b"\x00\x00\x00\x29",
        ],
    );
}

#[test]
fn order_cancel_request() {
    check(
        &OrderCancelRequest {
            base: request_base(),
            cl_ord_id: Text::literal("A000000002"),
            orig_cl_ord_id: Text::literal("A000000001"),
            side: Side::SELL,
            order_id: Text::literal("0000000000000042"),
            order_qty: Qty::whole(100),
        },
        &[
            b"\x00\x02\xe6\x37",
            b"\x00\x00\x00\x56",
            &request_base_bytes(),
            b"A000000002",
            b"A000000001",
            b"2",
            b"0000000000000042",
            b"\x00\x00\x00\x00\x00\x00\x27\x10",
            b"\x00\x00\x00\x78",
        ],
    );
}

#[test]
fn order_report() {
    check(
        &OrderReport {
            base: report_base(),
            order_id: Text::literal("0000000000000042"),
            cl_ord_id: Text::literal("A000000002"),
            quote_msg_id: Text::BLANK,
            orig_cl_ord_id: Text::literal("A000000001"),
            exec_id: Text::literal("E1"),
            exec_type: ExecType::CANCELLED,
            ord_status: OrdStatus::CANCELLED,
            ord_rej_reason: OrdRejReason::NONE,
            leaves_qty: Qty::ZERO,
            cum_qty: Qty::whole(40),
            side: Side::SELL,
            ord_type: OrdType::OWN_BEST,
            order_qty: Qty::whole(100),
            price: Price::from_raw(-1),
            account_id: Text::literal("0123456789"),
            branch_id: Text::literal("0001"),
            order_restrictions: Text::BLANK,
            ext: ext(),
        },
        &[
            b"\x00\x03\x0d\xa6",
            b"\x00\x00\x00\xc7",
            &report_base_bytes(),
            b"0000000000000042",
            b"A000000002",
            b"          ",
            b"A000000001",
            b"E1              ",
            b"4",
            b"4",
            b"\x00\x00",
            b"\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x00\x00\x00\x00\x00\x00\x0f\xa0",
            b"2",
            b"U",
            b"\x00\x00\x00\x00\x00\x00\x27\x10",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"0123456789  ",
            b"0001",
            b"    ",
            EXT_BYTES,
            b"\x00\x00\x00\x8d",
        ],
    );
}

#[test]
fn trade_report() {
    check(
        &TradeReport {
            base: report_base(),
            order_id: Text::literal("0000000000000042"),
            cl_ord_id: Text::literal("A000000001"),
            quote_msg_id: Text::BLANK,
            exec_id: Text::literal("E2"),
            exec_type: ExecType::TRADE,
            ord_status: OrdStatus::PARTIALLY_FILLED,
            last_px: Price::from_raw(123_400),
            last_qty: Qty::whole(40),
            leaves_qty: Qty::whole(60),
            cum_qty: Qty::whole(40),
            side: Side::BUY,
            account_id: Text::literal("0123456789"),
            branch_id: Text::literal("0001"),
            cash_margin: CashMargin::CASH,
        },
        &[
            b"\x00\x03\x0d\xb3",
            b"\x00\x00\x00\xa3",
            &report_base_bytes(),
            b"0000000000000042",
            b"A000000001",
            b"          ",
            b"E2              ",
            b"F",
            b"1",
            b"\x00\x00\x00\x00\x00\x01\xe2\x08",
            b"\x00\x00\x00\x00\x00\x00\x0f\xa0",
            b"\x00\x00\x00\x00\x00\x00\x17\x70",
            b"\x00\x00\x00\x00\x00\x00\x0f\xa0",
            b"1",
            b"0123456789  ",
            b"0001",
            b"1",
            b"\x00\x00\x00\x76",
        ],
    );
}

#[test]
fn cancel_reject() {
    check(
        &CancelReject {
            base: report_base(),
            cl_ord_id: Text::literal("A000000002"),
            orig_cl_ord_id: Text::literal("A000000001"),
            side: Side::BUY,
            ord_status: OrdStatus::FILLED,
            cxl_rej_reason: CxlRejReason::UNKNOWN_ORDER,
            reject_text: Text::literal("unknown order"),
            order_id: Text::BLANK,
        },
        &[
            b"\x00\x04\x6c\xd8",
            b"\x00\x00\x00\x73",
            &report_base_bytes(),
            b"A000000002",
            b"A000000001",
            b"1",
            b"2",
            b"\x00\x01",
            b"unknown order   ",
            b"                ",
            b"\x00\x00\x00\x9a",
        ],
    );
}

#[test]
fn trading_business_reject() {
    check(
        &trading::BusinessReject {
            appl_id: Text::literal("010"),
            transact_time: TIME,
            submitting_pbu_id: Text::literal("123456"),
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            ref_seq_num: I64::new(17),
            ref_msg_type: U32::new(100_101),
            business_reject_ref_id: Text::literal("A000000001"),
            business_reject_reason: BusinessRejectReason::NOT_AUTHORIZED,
            business_reject_text: Text::literal("not your account"),
        },
        &[
            b"\x00\x00\x00\x04",
            b"\x00\x00\x00\x67",
            b"010",
            TIME_BYTES,
            b"123456",
            b"000001  ",
            b"102 ",
            b"\x00\x00\x00\x00\x00\x00\x00\x11",
            b"\x00\x01\x87\x05",
            b"A000000001",
            b"\x00\x06",
            b"not your account                                  ",
            b"\x00\x00\x00\x49",
        ],
    );
}

#[test]
fn platform_state_info() {
    check(
        &PlatformStateInfo { platform_id: PlatformId::CASH_AUCTION, platform_state: PlatformState::OPEN },
        &[b"\x00\x00\x00\x06", b"\x00\x00\x00\x04", b"\x00\x01", b"\x00\x02", b"\x00\x00\x00\x0d"],
    );
}

#[test]
fn report_finished() {
    check(
        &ReportFinished {
            partition_no: I32::new(3),
            report_index: I64::new(258),
            platform_id: PlatformId::CASH_AUCTION,
        },
        &[
            b"\x00\x00\x00\x07",
            b"\x00\x00\x00\x0e",
            b"\x00\x00\x00\x03",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"\x00\x01",
            b"\x00\x00\x00\x1c",
        ],
    );
}

#[test]
fn report_synchronization() {
    let partitions = [
        PartitionIndex { partition_no: I32::new(1), report_index: I64::new(1) },
        PartitionIndex { partition_no: I32::new(2), report_index: I64::new(258) },
    ];
    let golden = [
        &b"\x00\x00\x00\x05"[..],
        b"\x00\x00\x00\x1c",
        b"\x00\x00\x00\x02",
        b"\x00\x00\x00\x01",
        b"\x00\x00\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x00\x02",
        b"\x00\x00\x00\x00\x00\x00\x01\x02",
        b"\x00\x00\x00\x2a",
    ]
    .concat();
    let mut out = Vec::new();
    ReportSynchronization { partitions: &partitions }.encode(&mut out).unwrap();
    assert_eq!(check_group::<ReportSynchronization<'_>>(&out, &golden).partitions, partitions);
}

#[test]
fn platform_info() {
    let partitions = [I32::new(1), I32::new(20)];
    let golden = [
        &b"\x00\x00\x00\x09"[..],
        b"\x00\x00\x00\x0e",
        b"\x00\x01",
        b"\x00\x00\x00\x02",
        b"\x00\x00\x00\x01",
        b"\x00\x00\x00\x14",
        b"\x00\x00\x00\x2f",
    ]
    .concat();
    let mut out = Vec::new();
    PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &partitions }.encode(&mut out).unwrap();
    let view: PlatformInfo<'_> = check_group(&out, &golden);
    assert_eq!((view.platform_id, view.partitions), (PlatformId::CASH_AUCTION, &partitions[..]));
}

#[test]
fn snapshot() {
    let head = SnapshotHead {
        orig_time: TIME,
        channel_no: U16::new(1013),
        md_stream_id: Text::literal("010"),
        security_id: Text::literal("000001"),
        security_id_source: Text::literal("102"),
        trading_phase_code: Text::literal("T0"),
        prev_close_px: Price::from_raw(123_400),
        num_trades: I64::new(7),
        total_volume_trade: Qty::whole(700),
        total_value_trade: Amount::from_raw(86_380_000),
    };
    let bid = MdEntry {
        md_entry_type: MdEntryType::BID,
        md_entry_px: MdEntryPx::from_raw(12_330_000),
        md_entry_size: Qty::whole(300),
        md_price_level: U16::new(1),
        number_of_orders: I64::new(2),
    };
    let upper = MdEntry {
        md_entry_type: MdEntryType::UPPER_LIMIT,
        md_entry_px: MdEntryPx::from_raw(13_570_000),
        ..MdEntry::default()
    };
    let orders = [Qty::whole(100), Qty::whole(200)];
    let golden = [
        &b"\x00\x04\x94\x4f"[..],
        b"\x00\x00\x00\x95",
        TIME_BYTES,
        b"\x03\xf5",
        b"010",
        b"000001  ",
        b"102 ",
        b"T0      ",
        b"\x00\x00\x00\x00\x00\x01\xe2\x08",
        b"\x00\x00\x00\x00\x00\x00\x00\x07",
        b"\x00\x00\x00\x00\x00\x01\x11\x70",
        b"\x00\x00\x00\x00\x05\x26\x0d\xe0",
        b"\x00\x00\x00\x02",
        b"0 ",
        b"\x00\x00\x00\x00\x00\xbc\x24\x10",
        b"\x00\x00\x00\x00\x00\x00\x75\x30",
        b"\x00\x01",
        b"\x00\x00\x00\x00\x00\x00\x00\x02",
        b"\x00\x00\x00\x02",
        b"\x00\x00\x00\x00\x00\x00\x27\x10",
        b"\x00\x00\x00\x00\x00\x00\x4e\x20",
        b"xe",
        b"\x00\x00\x00\x00\x00\xcf\x0f\xd0",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\xe6",
    ]
    .concat();
    let mut out = Vec::new();
    Snapshot::encode(&head, &mut out, |entries| {
        entries.push(&bid, &orders)?;
        entries.push(&upper, &[])
    })
    .unwrap();
    let view: Snapshot<'_> = check_group(&out, &golden);
    assert_eq!(view.head, &head);
    let entries: Vec<_> = view.entries().map(|at| (*at.entry, at.orders)).collect();
    assert_eq!(entries, [(bid, &orders[..]), (upper, &[][..])]);
}

#[test]
fn tick_order() {
    check(
        &TickOrder {
            channel_no: U16::new(2011),
            appl_seq_num: I64::new(258),
            md_stream_id: Text::literal("011"),
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            price: Price::from_raw(123_400),
            order_qty: Qty::whole(100),
            side: Side::BUY,
            transact_time: TIME,
            ord_type: OrdType::LIMIT,
        },
        &[
            b"\x00\x04\x94\xa0",
            b"\x00\x00\x00\x33",
            b"\x07\xdb",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"011",
            b"000001  ",
            b"102 ",
            b"\x00\x00\x00\x00\x00\x01\xe2\x08",
            b"\x00\x00\x00\x00\x00\x00\x27\x10",
            b"1",
            TIME_BYTES,
            b"2",
            b"\x00\x00\x00\x5c",
        ],
    );
}

#[test]
fn tick_trade() {
    check(
        &TickTrade {
            channel_no: U16::new(2011),
            appl_seq_num: I64::new(259),
            md_stream_id: Text::literal("011"),
            bid_appl_seq_num: I64::new(258),
            offer_appl_seq_num: I64::new(1),
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            last_px: Price::from_raw(123_400),
            last_qty: Qty::whole(100),
            exec_type: ExecType::TRADE,
            transact_time: TIME,
        },
        &[
            b"\x00\x04\x94\x9f",
            b"\x00\x00\x00\x42",
            b"\x07\xdb",
            b"\x00\x00\x00\x00\x00\x00\x01\x03",
            b"011",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"\x00\x00\x00\x00\x00\x00\x00\x01",
            b"000001  ",
            b"102 ",
            b"\x00\x00\x00\x00\x00\x01\xe2\x08",
            b"\x00\x00\x00\x00\x00\x00\x27\x10",
            b"F",
            TIME_BYTES,
            b"\x00\x00\x00\x52",
        ],
    );
}

#[test]
fn channel_heartbeat() {
    let heartbeat = ChannelHeartbeat {
        channel_no: U16::new(2011),
        appl_last_seq_num: I64::new(259),
        end_of_channel: U16::new(1),
    };
    assert!(heartbeat.is_end_of_channel());
    check(
        &heartbeat,
        &[
            b"\x00\x05\xf3\xcf",
            b"\x00\x00\x00\x0c",
            b"\x07\xdb",
            b"\x00\x00\x00\x00\x00\x00\x01\x03",
            b"\x00\x01",
            b"\x00\x00\x00\xba",
        ],
    );
}

#[test]
fn resend() {
    check(
        &Resend {
            resend_type: ResendType::TICKS,
            channel_no: U16::new(2011),
            appl_beg_seq_num: I64::new(258),
            appl_end_seq_num: I64::ZERO,
            news_id: Text::BLANK,
            resend_status: ResendStatus::UNAVAILABLE,
            reject_text: Text::literal("not held"),
        },
        &[
            b"\x00\x05\xf3\xce",
            b"\x00\x00\x00\x2c",
            b"\x01",
            b"\x07\xdb",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"\x00\x00\x00\x00\x00\x00\x00\x00",
            b"        ",
            b"\x04",
            b"not held        ",
            b"\x00\x00\x00\xea",
        ],
    );
}

#[test]
fn market_business_reject() {
    check(
        &market::BusinessReject {
            ref_seq_num: I64::new(17),
            ref_msg_type: U32::new(9_000_001),
            business_reject_ref_id: Text::BLANK,
            business_reject_reason: BusinessRejectReason::UNSUPPORTED_MESSAGE,
            business_reject_text: Text::literal("unknown message type"),
        },
        &[
            b"\x00\x00\x00\x08",
            b"\x00\x00\x00\x4a",
            b"\x00\x00\x00\x00\x00\x00\x00\x11",
            b"\x00\x89\x54\x41",
            b"          ",
            b"\x00\x03",
            b"unknown message type                              ",
            b"\x00\x00\x00\x7b",
        ],
    );
}
