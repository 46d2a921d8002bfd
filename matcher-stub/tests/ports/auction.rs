//! An opening through the port, by a matcher that is restarted in the middle of it.

use crate::server::{Matcher, config, gateway};
use crate::trading::{cancel, order};
use matcher_stub::Config;
use matcher_stub::config::{PhaseConfig, PhaseName};
use matcher_stub::core::{REASON_CALL, REASON_CANCEL_CALL};
use transport::Clock;
use wire::szse::code::{ExecType, OrdRejReason, OrdStatus, OrdType, Side};
use wire::szse::trading::{CancelReject, OrderReport, TradeReport};
use wire::szse::{Price, Qty, Timestamp};

const DAY_S: u32 = 86_400;

/// A schedule whose opening has begun and ends some seconds from now, and when that is, in milliseconds of the day.
fn opening_that_ends_in(seconds: u32) -> (Vec<PhaseConfig>, u32) {
    let clock = Clock::start();
    let now = Timestamp::from_unix_ns(clock.wall_ns(clock.now_ns()).unsigned_abs());
    let end = now.ms_of_day() / 1_000 + 1 + seconds;
    let phase = |from: u32, phase, cancels| PhaseConfig {
        from: format!("{:02}:{:02}:{:02}", from / 3_600, from / 60 % 60, from % 60),
        phase,
        cancels,
    };
    if end < DAY_S {
        let phases =
            vec![phase(0, PhaseName::OpeningCall, Some(false)), phase(end, PhaseName::Continuous, None)];
        return (phases, end * 1_000);
    }
    // It is nearly midnight, where a day's last phase ends.
    let noon = phase(DAY_S / 2, PhaseName::OpeningCall, Some(false));
    (vec![phase(0, PhaseName::Continuous, None), noon], 0)
}

const BOTH: [(i32, i64); 2] = [(1, 1), (2, 1)];

/// What the morning's first matcher said; `None` if the auction had ended before it was asked.
fn collected(config: &Config) -> Option<Vec<OrderReport>> {
    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &BOTH);
    let buy = order(1, Side::BUY, 10_100);
    let mut rest = order(2, Side::SELL, 10_200);
    rest.order_qty = Qty::whole(300);
    let mut market = order(4, Side::BUY, 0);
    market.ord_type = OrdType::MARKET;
    let mut said = Vec::new();
    for request in [buy, rest, order(3, Side::SELL, 9_900), market] {
        peer.send(&request);
        // What trades at once is told by other messages: then it was too late.
        said.push(peer.next().unwrap().try_view::<OrderReport>()?);
    }
    peer.send(&cancel(&buy));
    let reject = peer.next().unwrap();
    matcher.stop();
    let reason = reject.try_view::<CancelReject>().map(|reject| reject.cxl_rej_reason);
    (reason == Some(REASON_CANCEL_CALL)).then_some(said)
}

#[test]
fn an_opening_goes_on_where_its_matcher_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    // A machine that is slow today is given more time.
    let (said, end_ms) = [2, 10, 60]
        .into_iter()
        .find_map(|seconds| {
            let (phases, end_ms) = opening_that_ends_in(seconds);
            config.phases = phases;
            config.journal.directory = Some(folder.path().join(seconds.to_string()));
            collected(&config).map(|said| (said, end_ms))
        })
        .expect("a minute is enough for five requests");
    let types: Vec<_> = said.iter().map(|report| (report.exec_type, report.ord_rej_reason)).collect();
    let accepted = (ExecType::NEW, OrdRejReason::NONE);
    assert_eq!(types, [accepted, accepted, accepted, (ExecType::REJECTED, REASON_CALL)]);

    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &BOTH);
    for report in &said {
        assert_eq!(&peer.expect::<OrderReport>(), report, "byte for byte");
    }
    assert_eq!(peer.expect::<CancelReject>().cxl_rej_reason, REASON_CANCEL_CALL);
    // The end of the auction, whenever it is seen: the orders that cross meet at the previous close.
    let trades: [TradeReport; 2] = std::array::from_fn(|_| peer.expect());
    for (trade, number) in trades.iter().zip([1, 3]) {
        assert_eq!(trade.cl_ord_id, order(number, Side::BUY, 0).cl_ord_id);
        assert_eq!((trade.last_px, trade.last_qty), (Price::whole(10), Qty::whole(100)));
        assert_eq!((trade.exec_type, trade.ord_status), (ExecType::TRADE, OrdStatus::FILLED));
        assert_eq!(trade.base.transact_time.ms_of_day(), end_ms);
    }
    // What is left trades on.
    peer.send(&order(5, Side::BUY, 10_200));
    assert_eq!(peer.expect::<OrderReport>().exec_type, ExecType::NEW);
    let _taker: TradeReport = peer.expect();
    let maker: TradeReport = peer.expect();
    assert_eq!((maker.cl_ord_id, maker.leaves_qty), (said[1].cl_ord_id, Qty::whole(200)));
    matcher.stop();

    // Restarted after the auction it has the same numbers, though nothing but the clock ended it.
    let matcher = Matcher::with(config);
    let partition = trades[0].base.partition_no.get();
    let wanted = BOTH.map(|(number, first)| (number, if number == partition { 6 } else { first }));
    let mut peer = gateway(matcher.cash, "GATEWAY", &wanted);
    assert_eq!(peer.expect::<TradeReport>(), trades[0]);
    assert_eq!(peer.expect::<TradeReport>(), trades[1]);
    matcher.stop();
}
