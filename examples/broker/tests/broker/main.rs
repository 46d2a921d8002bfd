//! The example as a whole: clients trade through a gateway with the broker's own rules and audit, and its own counter behind it,
//! while lines, adapter and counter die.

#[path = "../../../../gateway/tests/fix_port/client.rs"]
#[allow(dead_code)] // Of all that a FIX client can do, this is a little.
mod fix_client;
mod hostile;
#[path = "../../../../gateway/tests/peers/mod.rs"]
mod peers;
mod town;

use fix_client::FixClient;
use gateway::fix::config::{Authentication, Kind, Session};
use peers::eventually;
use town::{ANY, House, Trader};
use wire::szse::Text;
use wire::szse::code::Side;
use wire::szse::trading::NewOrder;

/// What is told of some orders, each once.
fn expect(trader: &mut Trader, expected: &[&str]) {
    for expected in expected {
        assert_eq!(trader.told(), *expected);
    }
}

/// Sells until it is taken: what was refused, since there was no way to the counter just then, exists nowhere.
fn taken(seller: &mut Trader, cl_ord_id: &str, shares: i64) {
    eventually("it is taken", || {
        seller.order(cl_ord_id, Side::SELL, shares);
        let told = seller.told();
        assert!(told.starts_with("NEW ") || told.ends_with(" not reachable (4)"), "{told}");
        told.starts_with("NEW ")
    });
}

#[test]
fn clients_trade_through_the_brokers_own_counter_while_things_die() {
    let mut house = House::start();
    let (mut buyer, mut seller) = (house.client(1), house.client(2));
    buyer.order("b1", Side::BUY, 300);
    expect(&mut buyer, &["NEW b1"]);
    seller.order("s1", Side::SELL, 100);
    expect(&mut seller, &["NEW s1", "TRADE s1 100.00 at 10.0000"]);
    expect(&mut buyer, &["TRADE b1 100.00 at 10.0000"]);

    // Line a dies: what comes goes over b, and what came is not told again.
    house.line_a.cut();
    seller.order("s2", Side::SELL, 100);
    expect(&mut seller, &["NEW s2", "TRADE s2 100.00 at 10.0000"]);
    expect(&mut buyer, &["TRADE b1 100.00 at 10.0000"]);

    // The counter is killed and comes back with its day.
    house = house.counter_again();
    house.core.open();
    taken(&mut seller, "s3", 50);
    expect(&mut seller, &["TRADE s3 50.00 at 10.0000"]);
    expect(&mut buyer, &["TRADE b1 50.00 at 10.0000"]);

    // The adapter is killed and comes back: the gateway asks for what it has not seen, which is nothing.
    let ups = house.gateway.metrics.line_ups.with_label_values(&["cash", "b"]);
    let before = ups.get();
    house.core = house.core.again();
    house.core.open();
    eventually("the line is up again", || ups.get() > before);
    buyer.cancel("c1", "b1");
    assert_eq!(buyer.told(), "CANCELLED c1");
    let records = house.gateway.metrics.audit_records.with_label_values(&["report"]);
    eventually("the audit has all reports", || records.get() == 11);
    assert_eq!(house.end().reports(), 11);
}

#[test]
fn the_brokers_own_rules_refuse_with_their_code_and_are_in_the_brokers_own_audit() {
    let house = House::start();
    let mut client = house.client(1);
    let forbidden = NewOrder { branch_id: peers::text("0042"), ..client.new_order("f", Side::BUY, 100) };
    client.client.peer.send(&forbidden);
    assert_eq!(client.told(), "refused f: 10101: not from this branch (10101)");
    client.order("x", Side::BUY, 9_000);
    client.order("y", Side::BUY, 2_000);
    let mut told = [client.told(), client.told()];
    told.sort();
    assert_eq!(told, ["NEW x", "refused y: 10102: above the account's limit of the day (10102)"]);
    client.cancel("c", "x");
    assert_eq!(client.told(), "CANCELLED c");
    client.order("z", Side::BUY, 2_000);
    assert_eq!(client.told(), "NEW z", "what was cancelled does not count");
    eventually("counted by name", || house.gateway.refused("branch list") == 1);
    eventually("counted by name", || house.gateway.refused("daily limit") == 1);
    let records = house.gateway.metrics.audit_records.with_label_values(&["report"]);
    eventually("the audit has all reports", || records.get() == 3);
    let audit = house.end();
    let refused =
        [("f", "10101: not from this branch"), ("y", "10102: above the account's limit of the day")];
    assert_eq!(audit.refused(), refused.map(|(id, text)| (id.to_owned(), text.to_owned())));
    assert_eq!(audit.reports(), 3);
}

/// A gateway that is killed has what it knew again from the core's reports: the rule's sums, and what the audit has.
#[test]
fn a_gateway_that_starts_again_knows_the_day() {
    let mut house = House::start();
    let mut client = house.client(1);
    client.order("x", Side::BUY, 9_000);
    assert_eq!(client.told(), "NEW x");
    house = house.gateway_again();
    let mut client = house.client(1);
    assert_eq!(client.told(), "NEW x", "the day from its beginning, as it asked");
    client.order("y", Side::BUY, 2_000);
    assert_eq!(client.told(), "refused y: 10102: above the account's limit of the day (10102)");
    client.order("x", Side::BUY, 100);
    assert_eq!(client.told(), "refused x: ClOrdID is that of another order (0)");
    client.order("z", Side::BUY, 1_000);
    assert_eq!(client.told(), "NEW z");
    let records = house.gateway.metrics.audit_records.with_label_values(&["report"]);
    eventually("the audit has the new report", || records.get() == 1);
    assert_eq!(house.end().reports(), 2, "each once, over the restart");
}

/// The counter took an order and died before it said so; it says so when it comes back.
#[test]
fn what_the_counter_took_and_did_not_tell_is_told_once() {
    let mut house = House::start();
    let mut client = house.client(1);
    house.counter.mute();
    client.order("x", Side::BUY, 100);
    eventually("taken", || house.counter.taken() > 0);
    house.core = house.core.again();
    house = house.counter_again();
    house.core.open();
    assert_eq!(client.told(), "NEW x");
    assert_eq!(house.counter.events().len(), 1, "one order, though it was sent by two adapters");
    client.cancel("c", "x");
    assert_eq!(client.told(), "CANCELLED c");
}

#[test]
fn a_fix_client_trades_the_same_way() {
    let house = House::with(|config, folder| {
        config.fix.address = Some(ANY);
        config.fix.store.kind = Kind::File;
        config.fix.store.directory = folder.join("fix-store");
        let session = |client: &gateway::config::Client| Session {
            comp_id: client.comp_id,
            authentication: Authentication::Password,
            default_account: Text::BLANK,
        };
        config.fix.sessions = config.clients.iter().map(session).collect();
    });
    let mut client = FixClient::log_on(house.gateway.fix_address.expect("configured"), 1);
    client.order("x", "");
    let accepted = client.next();
    assert!(accepted.contains("|35=8|") && accepted.contains("|150=0|"), "{accepted}");
    let mut seller = house.client(2);
    seller.order("s", Side::SELL, 100);
    expect(&mut seller, &["NEW s", "TRADE s 100.00 at 10.0000"]);
    let traded = client.next();
    assert!(traded.contains("|150=F|") && traded.contains("|32=100|"), "{traded}");
    house.end();
}
