//! The trading ports: report synchronisation, sessions, and what each kind of bad input gets.

use crate::peer::{Came, Peer, logon, rude_openings};
use crate::server::{Matcher, config, gateway, synchronize};
use matcher_stub::config::{ClientConfig, LogConfig};
use matcher_stub::{Config, PortState};
use wire::szse::code::{
    APPL_CASH_AUCTION, BusinessRejectReason, CashMargin, ExecType, OrdRejReason, OrdType, SOURCE_SHENZHEN,
    SessionStatus, Side, TimeInForce,
};
use wire::szse::trading::{
    BusinessReject, CancelReject, CashAuctionExt, NewOrder, OrderCancelRequest, OrderReport, RequestBase,
    TradeReport,
};
use wire::szse::{Logout, Message, Price, Qty, SecurityId, Text, frame};

/// A limit order for 100 shares of 000001 at a price in 0.001.
pub(crate) fn order(number: u64, side: Side, price: i64) -> NewOrder {
    NewOrder {
        base: RequestBase {
            appl_id: APPL_CASH_AUCTION,
            submitting_pbu_id: Text::literal("P00001"),
            security_id: SecurityId::literal("000001"),
            security_id_source: SOURCE_SHENZHEN,
            ..RequestBase::default()
        },
        cl_ord_id: Text::truncated(&format!("{number:010}")),
        account_id: Text::literal("A1"),
        side,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100),
        price: Price::from_raw(price * 10),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}

pub(crate) fn cancel(order: &NewOrder) -> OrderCancelRequest {
    OrderCancelRequest {
        base: order.base,
        cl_ord_id: Text::literal("CANCEL"),
        orig_cl_ord_id: order.cl_ord_id,
        side: order.side,
        order_id: Text::BLANK,
        order_qty: order.order_qty,
    }
}

/// (PartitionNo, ReportIndex) of a report; they stand first in each.
fn index(report: &Came) -> (i32, i64) {
    let body = &report.bytes[frame::HEADER_LEN..];
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    (number(&body[..4]) as i32, number(&body[4..12]))
}

const BOTH: [(i32, i64); 2] = [(1, 1), (2, 1)];

#[test]
fn every_gateway_gets_every_report_of_the_desk() {
    let matcher = Matcher::start();
    let mut one = gateway(matcher.cash, "ONE", &BOTH);
    let mut two = gateway(matcher.cash, "TWO", &BOTH);
    one.send(&order(1, Side::SELL, 10_000));
    let accepted = one.next().unwrap();
    assert_eq!(two.next().unwrap(), accepted);
    two.send(&order(2, Side::BUY, 10_000));
    for _ in 0..3 {
        assert_eq!(one.next().unwrap(), two.next().unwrap());
    }
    one.send(&cancel(&order(1, Side::SELL, 10_000)));
    assert_eq!(one.expect::<CancelReject>(), two.expect::<CancelReject>());
    matcher.stop();
}

#[test]
fn who_comes_back_gets_what_it_missed_and_goes_on_live() {
    let matcher = Matcher::start();
    let mut writer = gateway(matcher.cash, "WRITER", &BOTH);
    let mut reports = Vec::new();
    for number in 0..200 {
        // Of many securities, so that both partitions are used.
        let mut order = order(number, Side::BUY, 9_900);
        order.base.security_id = SecurityId::truncated(&format!("{:06}", number % 40 + 1));
        writer.send(&order);
        reports.push(writer.next().unwrap());
    }
    let of = |partition| reports.iter().filter(move |report| index(report).0 == partition);
    for partition in [1, 2] {
        assert!(
            of(partition).map(|report| index(report).1).eq(1..=of(partition).count() as i64),
            "contiguous"
        );
    }
    let (from_1, from_2) = (30, 11);
    let mut late = gateway(matcher.cash, "LATE", &[(1, from_1), (2, from_2)]);
    let wanted = reports.iter().filter(|report| match index(report) {
        (1, at) => at >= from_1,
        (_, at) => at >= from_2,
    });
    for report in wanted {
        assert_eq!(&late.next().unwrap(), report);
    }
    writer.send(&order(1_000, Side::BUY, 9_900));
    let live = writer.next().unwrap();
    assert_eq!(late.next().unwrap(), live);

    // One partition alone, asked for within the session.
    synchronize(&mut late, &[(2, 1)]);
    for report in of(2) {
        assert_eq!(&late.next().unwrap(), report);
    }
    let next = [(1, of(1).count() as i64 + 2), (2, of(2).count() as i64 + 2)];
    let (partition, _) = index(&live);
    let next = next.map(|(at, number)| (at, if at == partition { number } else { number - 1 }));
    synchronize(&mut late, &next);
    writer.send(&order(1_001, Side::BUY, 9_900));
    let live_again = writer.next().unwrap();
    if partition == 2 {
        assert_eq!(late.next().unwrap(), live);
    }
    assert_eq!(late.next().unwrap(), live_again);
    matcher.stop();
}

#[test]
fn a_synchronization_that_cannot_be_met_says_what_can() {
    let matcher = Matcher::with(Config {
        log: LogConfig { report_window_bytes: 2 << 20, ..LogConfig::default() },
        ..config()
    });
    let mut writer = gateway(matcher.cash, "WRITER", &BOTH);
    let mut last = (0, 0);
    // Each report is 211 bytes: some 5,000 a segment, two segments held.
    for number in 0..15_000 {
        writer.send(&order(number, Side::BUY, 9_900));
        last = index(&writer.next().unwrap());
    }
    let (partition, last) = last;
    let mut late = gateway(matcher.cash, "LATE", &[]);
    let mut refused = |wanted: &[(i32, i64)]| {
        synchronize(&mut late, wanted);
        let reject: BusinessReject = late.expect();
        assert_eq!(reject.ref_msg_type.get(), 5);
        (reject.business_reject_reason, reject.business_reject_text.to_string())
    };
    let (other, invalid) = (BusinessRejectReason::OTHER, BusinessRejectReason::FIELD_INVALID);
    let (reason, text) = refused(&[(partition, 1)]);
    let oldest: i64 = text.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!((reason, text), (other, format!("partition {partition}: the oldest held is {oldest}")));
    assert_eq!(
        refused(&[(partition, last + 2)]),
        (other, format!("partition {partition}: the next is {}", last + 1))
    );
    assert_eq!(refused(&[(7, 1)]), (BusinessRejectReason::UNKNOWN_ID, "no such partition".into()));
    assert_eq!(refused(&[(partition, -1)]), (invalid, "report index below 0".into()));
    assert_eq!(refused(&[]), (invalid, "no partition".into()));
    synchronize(&mut late, &[(partition, oldest)]);
    for number in oldest..=last {
        assert_eq!(index(&late.next().unwrap()), (partition, number));
    }
    matcher.stop();
}

#[test]
fn desks_have_their_own_partitions_and_share_the_market() {
    let matcher = Matcher::start();
    let mut cash = gateway(matcher.cash, "GATEWAY", &BOTH);
    let mut margin = gateway(matcher.margin, "GATEWAY", &[(11, 1), (12, 1)]);
    let mut open = order(1, Side::BUY, 10_000);
    open.ext.cash_margin = CashMargin::MARGIN_OPEN;
    cash.send(&open);
    assert_eq!(cash.expect::<OrderReport>().exec_type, ExecType::REJECTED);
    open.cl_ord_id = Text::literal("2");
    margin.send(&open);
    assert_eq!(margin.expect::<OrderReport>().exec_type, ExecType::NEW);
    cash.send(&order(3, Side::SELL, 10_000));
    assert_eq!(cash.expect::<OrderReport>().exec_type, ExecType::NEW);
    assert_eq!(cash.expect::<TradeReport>().cash_margin, CashMargin::CASH);
    assert_eq!(margin.expect::<TradeReport>().cash_margin, CashMargin::MARGIN_OPEN);
    matcher.stop();
}

#[test]
fn an_order_sent_twice_over_two_sessions_is_one_order() {
    let matcher = Matcher::start();
    let mut one = gateway(matcher.cash, "ONE", &BOTH);
    let mut two = gateway(matcher.cash, "TWO", &BOTH);
    one.send(&order(1, Side::BUY, 9_900));
    let accepted: OrderReport = two.expect();
    two.send(&order(1, Side::BUY, 9_900));
    let rejected: OrderReport = two.expect();
    assert_eq!(rejected.ord_rej_reason, OrdRejReason::DUPLICATE_ORDER);
    assert_eq!((rejected.order_id, rejected.cl_ord_id), (accepted.order_id, accepted.cl_ord_id));
    matcher.stop();
}

#[test]
fn the_same_comp_id_has_one_session() {
    let matcher = Matcher::start();
    let first = gateway(matcher.cash, "GATEWAY", &BOTH);
    let mut second = Peer::connect(matcher.cash);
    second.send(&logon("GATEWAY"));
    assert_eq!(second.expect_logout(SessionStatus::LOGON_NOT_ALLOWED), "already logged on");
    gateway(matcher.margin, "GATEWAY", &[]);
    drop(first);
    // The first one's end is seen sooner or later; until then the answer is the same.
    loop {
        let mut again = Peer::connect(matcher.cash);
        again.send(&logon("GATEWAY"));
        match again.next() {
            Some(came) if came.msg_type == Logout::MSG_TYPE => {}
            answer => {
                assert_eq!(answer.expect("a logon").msg_type, wire::szse::Logon::MSG_TYPE);
                break;
            }
        }
    }
    matcher.stop();
}

#[test]
fn a_comp_id_may_be_allowed_more_sessions() {
    let mut config = config();
    config.session.per_comp_id_max = 2;
    let matcher = Matcher::with(config);
    let mut two = [gateway(matcher.cash, "GATEWAY", &BOTH), gateway(matcher.cash, "GATEWAY", &BOTH)];
    let mut third = Peer::connect(matcher.cash);
    third.send(&logon("GATEWAY"));
    assert_eq!(third.expect_logout(SessionStatus::LOGON_NOT_ALLOWED), "already logged on");
    two[0].send(&order(1, Side::BUY, 9_900));
    let reports = two.each_mut().map(|session| session.expect::<OrderReport>());
    assert_eq!(reports[0], reports[1]);
    matcher.stop();
}

#[test]
fn what_does_not_reach_the_core_is_rejected_at_the_door() {
    let matcher = Matcher::start();
    let mut peer = gateway(matcher.cash, "GATEWAY", &[]);
    let mine = order(1, Side::BUY, 9_900);
    peer.send(&mine);
    let reject: BusinessReject = peer.expect();
    assert_eq!(reject.business_reject_reason, BusinessRejectReason::NOT_AUTHORIZED);
    assert_eq!(
        (reject.ref_msg_type.get(), reject.business_reject_ref_id),
        (NewOrder::MSG_TYPE, mine.cl_ord_id)
    );
    assert_eq!((reject.ref_seq_num.get(), reject.security_id), (2, mine.base.security_id));
    peer.send(&cancel(&mine));
    assert_eq!(peer.expect::<BusinessReject>().business_reject_ref_id, Text::literal("CANCEL"));
    let mut unknown = Vec::new();
    frame::encode_with(4711, &mut unknown, |_| Ok::<(), ()>(())).unwrap();
    peer.send_bytes(&unknown);
    let reject: BusinessReject = peer.expect();
    assert_eq!(reject.business_reject_reason, BusinessRejectReason::UNSUPPORTED_MESSAGE);
    let counters = matcher.counters_at_end();
    for line in [
        "matcher_business_rejects_total{kind=\"trading\",reason=\"report synchronization first\"} 2",
        "matcher_business_rejects_total{kind=\"trading\",reason=\"unsupported message\"} 1",
    ] {
        assert!(counters.contains(line), "{line}\n{counters}");
    }
}

#[test]
fn rude_peers_are_told_why_and_disturb_nobody() {
    let clients = ["POLITE", "RUDE"].map(|comp_id| ClientConfig {
        comp_id: comp_id.to_owned(),
        password: crate::peer::PASSWORD.to_owned(),
    });
    let mut config = config();
    config.session.clients = clients.to_vec();
    let matcher = Matcher::with(config);
    let mut polite = gateway(matcher.cash, "POLITE", &BOTH);
    let mut expected = Vec::new();
    for (bytes, text) in rude_openings() {
        let mut rude = Peer::connect(matcher.cash);
        rude.send_bytes(&bytes);
        assert_eq!(rude.expect::<Logout>().text.to_string(), text);
        assert_eq!(rude.next(), None);
        expected.push(text);
    }
    // Within a session: a body that is not what its type says, and a second logon.
    let mut short = Vec::new();
    frame::encode_with(NewOrder::MSG_TYPE, &mut short, |body| {
        body.push(0);
        Ok::<(), ()>(())
    })
    .unwrap();
    let mut rude = gateway(matcher.cash, "RUDE", &BOTH);
    rude.send_bytes(&short);
    assert_eq!(rude.expect_logout(SessionStatus::INVALID_MESSAGE), "wrong body length");
    expected.push("wrong body length");
    let mut rude = gateway(matcher.margin, "RUDE", &[]);
    rude.send(&logon("RUDE"));
    assert_eq!(rude.expect_logout(SessionStatus::INVALID_MESSAGE), "second logon");
    expected.push("second logon");

    polite.send(&order(1, Side::BUY, 9_900));
    polite.expect::<OrderReport>();
    let counters = matcher.counters_at_end();
    for text in &expected {
        let count = expected.iter().filter(|other| *other == text).count();
        let line = format!("matcher_session_errors_total{{kind=\"trading\",reason=\"{text}\"}} {count}");
        assert!(counters.contains(&line), "{line}\n{counters}");
    }
}

#[test]
fn a_reader_that_stops_reading_is_cut_off_and_the_others_go_on() {
    let matcher = Matcher::with(Config {
        log: LogConfig { report_window_bytes: 2 << 20, ..LogConfig::default() },
        ..config()
    });
    let mut stalled = gateway(matcher.cash, "STALLED", &BOTH);
    let mut reader = gateway(matcher.cash, "READER", &BOTH);
    // The sockets' buffers take some megabytes; a batch of requests is 60 KB, its reports 105 KB.
    for batch in 0..200 {
        let mut bytes = Vec::new();
        for number in 0..500 {
            frame::encode(&order(batch * 500 + number, Side::BUY, 9_900), &mut bytes);
        }
        reader.send_bytes(&bytes);
        for _ in 0..500 {
            assert_eq!(reader.expect::<OrderReport>().exec_type, ExecType::NEW);
        }
    }
    let mut taken = 0;
    while stalled.next().is_some() {
        taken += 1;
    }
    assert!(taken < 100_000, "{taken} reports came before the cut");
    let counters = matcher.counters_at_end();
    assert!(counters.contains("matcher_overruns_total 1"), "{counters}");
}

#[test]
fn a_line_that_is_cut_without_a_word_loses_nothing() {
    let matcher = Matcher::start();
    let mut line = gateway(matcher.cash, "LINE-A", &BOTH);
    line.send(&order(1, Side::BUY, 9_900));
    let first = index(&line.next().unwrap());
    matcher.control.set_port("cash", PortState::Mute).unwrap();
    line.send(&order(2, Side::BUY, 9_900));
    // The margin desk tells when the order has reached the core: it trades with it.
    let mut margin = gateway(matcher.margin, "LINE-M", &[(11, 1), (12, 1)]);
    let mut sell = order(3, Side::SELL, 9_900);
    (sell.order_qty, sell.ext.cash_margin) = (Qty::whole(200), CashMargin::MARGIN_CLOSE);
    margin.send(&sell);
    assert_eq!(margin.expect::<OrderReport>().exec_type, ExecType::NEW);
    margin.expect::<TradeReport>();
    margin.expect::<TradeReport>();
    assert!(line.is_silent());
    matcher.control.set_port("cash", PortState::Down).unwrap();
    while line.next().is_some() {}
    matcher.control.set_port("cash", PortState::Up).unwrap();
    margin.send(&cancel(&sell));
    margin.expect::<CancelReject>();
    let mut again = gateway(matcher.cash, "LINE-B", &[(first.0, first.1 + 1)]);
    assert_eq!(again.expect::<OrderReport>().cl_ord_id, order(2, Side::BUY, 0).cl_ord_id);
    again.expect::<TradeReport>();
    again.expect::<TradeReport>();
    matcher.stop();
}
