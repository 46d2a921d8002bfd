//! The whole way of an order: client, balancer, one of two gateways, a core's two desks, and the reports back; with a
//! gateway that ends in the middle. What a core has said to an auditor on its own line is what must have arrived.

use crate::client::{Auditor, Client};
use crate::town::{Market, SECURITY};
use wire::szse::SecurityId;
use wire::szse::code::{CashMargin, OrdStatus, Side};
use wire::szse::trading::{BusinessReject, NewOrder, OrderReport, TradeReport};

const CASH: CashMargin = CashMargin::CASH;
const MARGIN: CashMargin = CashMargin::MARGIN_OPEN;

/// Takes a report that says the order is in the book.
fn accepted(client: &mut Client, cl_ord_id: &str) {
    let report: OrderReport = client.report();
    assert_eq!((report.cl_ord_id.to_string().as_str(), report.ord_status), (cl_ord_id, OrdStatus::NEW));
}

/// Takes a report of a trade: (ClOrdID, shares left).
fn traded(client: &mut Client) -> (String, i64) {
    let report: TradeReport = client.report();
    assert_eq!(report.account_id, client.account);
    (report.cl_ord_id.to_string(), report.leaves_qty.raw() / 100)
}

#[test]
fn every_report_arrives_once_and_in_order_though_a_gateway_ends() {
    a_day_on_which_a_gateway_ends(Market::start());
}

/// Client to gateway and gateway to core, certificates on both sides; the balancer passes it through.
#[test]
fn it_does_so_over_tls_with_certificates_on_both_sides() {
    a_day_on_which_a_gateway_ends(Market::start_with_certificates());
}

fn a_day_on_which_a_gateway_ends(mut market: Market) {
    let mut one = market.client(1);
    one.connect(market.address());
    let first = market.gateway_in_use();
    let mut two = market.client(2);
    two.connect(market.address());

    // Cash and margin meet in one book.
    one.order("c1", CASH, Side::SELL, (300, 10_00));
    accepted(&mut one, "c1");
    one.order("m1", MARGIN, Side::BUY, (100, 10_00));
    // Desks do not wait for each other, so neither do an order and its counterpart: the desk's own order is compared
    // below.
    for _ in ["accepted: m1", "traded: m1", "traded: c1"] {
        one.any_report();
    }
    // Another client's order, through the other gateway.
    two.order("x1", CASH, Side::BUY, (100, 10_00));
    accepted(&mut two, "x1");
    assert_eq!(traded(&mut two), ("x1".to_owned(), 0));
    assert_eq!(traded(&mut one), ("c1".to_owned(), 100));
    one.cancel("k1", "c1", Side::SELL);
    let gone: OrderReport = one.report();
    assert_eq!((gone.ord_status, gone.orig_cl_ord_id.to_string()), (OrdStatus::CANCELLED, "c1".to_owned()));

    // What cannot be taken is answered: by the gateway, which has no number for it, and by the core, which has.
    let foreign = NewOrder { account_id: two.account, ..one.new_order("f1", CASH, Side::BUY, (100, 10_00)) };
    one.send(&foreign);
    let refused: BusinessReject = one.answer();
    assert_eq!(
        (refused.business_reject_ref_id, refused.business_reject_text.to_string().as_str()),
        (foreign.cl_ord_id, "not your account")
    );
    let mut unlisted = one.new_order("u1", CASH, Side::BUY, (100, 10_00));
    unlisted.base.security_id = SecurityId::literal("999999");
    one.send(&unlisted);
    let rejected: OrderReport = one.report();
    assert_eq!((rejected.cl_ord_id, rejected.ord_status), (unlisted.cl_ord_id, OrdStatus::REJECTED));

    one.order("c2", CASH, Side::SELL, (200, 10_10));
    accepted(&mut one, "c2");

    // The gateway ends; while its client is away, its order trades.
    market.stop_gateway(&first);
    one.expect_end();
    two.order("x2", CASH, Side::BUY, (100, 10_10));
    accepted(&mut two, "x2");
    traded(&mut two);
    one.connect(market.address());
    assert_eq!(traded(&mut one), ("c2".to_owned(), 100), "what was missed comes first");
    // An order sent again is not another order, and a cancel finds its order from the gateway that did not forward it.
    // The gateway answers: its reports are those that have come.
    one.order("c2", CASH, Side::SELL, (200, 10_10));
    let again: BusinessReject = one.answer();
    assert_eq!(again.business_reject_text.to_string(), "ClOrdID is that of another order");
    one.cancel("k2", "c2", Side::SELL);
    let gone: OrderReport = one.report();
    assert_eq!((gone.ord_status, gone.cum_qty.raw()), (OrdStatus::CANCELLED, 100 * 100));
    assert_eq!(gone.base.security_id, SECURITY);

    // Byte for byte, partition by partition.
    for client in [&one, &two] {
        let said = Auditor::reports_of(client.account, &market);
        assert_eq!(*client.seen(), said, "{}", client.account);
    }
    assert_eq!(
        (one.seen().values().map(Vec::len).sum::<usize>(), two.seen().values().map(Vec::len).sum::<usize>()),
        (10, 4)
    );
    // From any place, exactly the rest.
    let from =
        one.seen().iter().map(|(partition, reports)| (*partition, reports.len() / 2)).collect::<Vec<_>>();
    let mut back = one.resumed_behind(&from);
    back.connect(market.address());
    while back.seen() != one.seen() {
        back.any_report();
    }
    market.stop();
    assert_eq!(back.rest_until_end(), 0, "and nothing besides");
}
