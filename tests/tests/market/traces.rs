//! The spans of one order, of balancer, gateway and core, at one collector; and orders where the collector is of no use.

use crate::collector::{Answer, Collector, Seen};
use crate::town::Market;
use service::traces::Config;
use std::net::TcpListener;
use wire::szse::code::{CashMargin, OrdStatus, Side};
use wire::szse::trading::{BusinessReject, NewOrder, OrderReport, TradeReport};

const CASH: CashMargin = CashMargin::CASH;

/// Everything is in the sample.
fn traced(endpoint: String) -> Config {
    Config { endpoint, sample_per_million: 1_000_000, interval_ms: 10, ..Config::default() }
}

/// The spans of an order, by what it is called.
fn of<'a>(spans: &'a [Seen], cl_ord_id: &str) -> Vec<&'a Seen> {
    let named = spans.iter().filter(|span| span.attribute("tongdao.cl_ord_id") == Some(cl_ord_id));
    let mut found: Vec<_> = named.collect();
    found.sort_by_key(|span| (&span.service, &span.name));
    found
}

fn kinds<'a>(spans: &[&'a Seen]) -> Vec<(&'a str, &'a str)> {
    spans.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect()
}

fn a_day(market: Market) {
    let mut client = market.client(1);
    client.connect(market.address());
    client.order("s1", CASH, Side::SELL, (100, 10_00));
    assert_eq!(client.report::<OrderReport>().ord_status, OrdStatus::NEW);
    client.order("b1", CASH, Side::BUY, (100, 10_00));
    assert_eq!(client.report::<OrderReport>().ord_status, OrdStatus::NEW);
    for _ in ["s1", "b1"] {
        let _: TradeReport = client.report();
    }
    // A price that is beyond the day's limits: the core's to say.
    client.order("x1", CASH, Side::BUY, (100, 99_00));
    assert_eq!(client.report::<OrderReport>().ord_status, OrdStatus::REJECTED);
    let foreign = NewOrder {
        account_id: "nobody".parse().unwrap(),
        ..client.new_order("f1", CASH, Side::BUY, (100, 10_00))
    };
    client.send(&foreign);
    let refused: BusinessReject = client.answer();
    assert_eq!(refused.business_reject_text.to_string(), "not your account");
    drop(client);
    market.stop();
}

#[test]
fn the_spans_of_an_order_meet_in_one_trace() {
    let collector = Collector::start(|_| Answer::Take);
    a_day(Market::start_traced(&traced(collector.endpoint())));
    let spans = collector.spans();

    for (order, trades) in [("s1", "0"), ("b1", "1"), ("x1", "0")] {
        let spans = of(&spans, order);
        assert_eq!(kinds(&spans), [("core", "match"), ("gateway", "check"), ("gateway", "order")], "{order}");
        let [matching, check, root] = spans[..] else { unreachable!("three") };
        assert_eq!((&matching.trace, &check.trace), (&root.trace, &root.trace));
        assert_eq!((&matching.parent, &check.parent), (&Some(root.id.clone()), &Some(root.id.clone())));
        assert_eq!(root.parent, None);
        assert_eq!(matching.attribute("tongdao.trades"), Some(trades));
        assert_eq!(
            (root.attribute("tongdao.core"), root.attribute("tongdao.line")),
            (Some("cash"), Some("a"))
        );
        assert!(check.took[1] > check.took[0], "finer than a turn");
    }
    let answers = ["s1", "x1"].map(|order| of(&spans, order)[2].attribute("tongdao.answer"));
    assert_eq!(answers, [Some("new"), Some("rejected")]);
    assert_eq!(
        of(&spans, "x1").iter().map(|span| span.whole["status"]["code"].as_u64()).collect::<Vec<_>>(),
        [Some(2), None, Some(2)]
    );
    let refused = of(&spans, "f1");
    assert_eq!(kinds(&refused), [("gateway", "order")]);
    assert_eq!(refused[0].whole["status"]["message"], "not your account");

    // The balancer knows the connection and no order; its number is what both have.
    let of_balancer: Vec<_> = spans.iter().filter(|span| span.service == "slb").collect();
    assert_eq!(kinds(&of_balancer), [("slb", "connect"), ("slb", "connection")]);
    let [connect, connection] = of_balancer[..] else { unreachable!("two") };
    assert_eq!((&connect.trace, connect.parent.as_ref()), (&connection.trace, Some(&connection.id)));
    let number = connection.attribute("tongdao.connection");
    assert!(number.is_some());
    assert_eq!(of(&spans, "s1")[1].attribute("tongdao.connection"), number);
    assert_eq!(connection.attribute("tongdao.listener"), Some("orders"));

    let everything = spans.iter().map(|span| span.whole.to_string()).collect::<String>();
    for personal in ["tongdao.account", "client.address", "127.0.0.1", "nobody"] {
        assert!(!everything.contains(personal), "{personal} is nobody's business");
    }
}

#[test]
fn who_asks_for_them_gets_accounts_and_addresses() {
    let collector = Collector::start(|_| Answer::Take);
    a_day(Market::start_traced(&Config { personal_data: true, ..traced(collector.endpoint()) }));
    let spans = collector.spans();
    let accounts: Vec<_> = of(&spans, "b1").iter().map(|span| span.attribute("tongdao.account")).collect();
    assert_eq!(accounts, [Some("a1"); 3]);
    let connections = spans.iter().filter(|span| span.name == "connection");
    let addresses: Vec<_> = connections.filter_map(|span| span.attribute("client.address")).collect();
    assert!(addresses.len() == 1 && addresses[0].starts_with("127.0.0.1:"), "{addresses:?}");
}

#[test]
fn without_an_endpoint_nobody_is_told() {
    a_day(Market::start_traced(&Config { endpoint: String::new(), ..traced(String::new()) }));
}

/// Not there, silent, refusing, and with a queue of one span: orders do not notice.
#[test]
fn orders_do_not_wait_for_collectors() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = [
        format!("http://{nobody}/v1/traces"),
        Collector::start(|_| Answer::Silence).endpoint(),
        Collector::start(|_| Answer::Status(500)).endpoint(),
        Collector::start(|_| Answer::Status(503)).endpoint(),
    ];
    for endpoint in endpoints {
        a_day(Market::start_traced(&Config { queue_spans_max: 1, ..traced(endpoint) }));
    }
}
