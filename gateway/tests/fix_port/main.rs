//! FIX clients of a gateway, on real sockets, with cores that the tests play.

mod certificate;
mod client;
mod day;
mod disconnect;
mod elsewhere;
mod gate;
mod gone;
mod killed;
mod misuse;
#[path = "../peers/nats.rs"]
mod nats;
#[path = "../peers/mod.rs"]
mod peers;
mod proxy;
mod resume;

use client::{FixClient, field};
use gateway::Config;
use gateway::config::CoreName;
use gateway::fix::config::Authentication;
use gateway::fix::config::{Kind, Session};
use peers::{Core, Gateway, Line, text};
use std::net::SocketAddr;
use std::path::Path;
use wire::szse::code::{CashMargin, CxlRejReason, ExecType, OrdRejReason, OrdStatus, Side};
use wire::szse::trading::{CancelReject, NewOrder, OrderCancelRequest, OrderReport, ReportBase, TradeReport};
use wire::szse::{Price, Qty, Text};

/// A gateway of [`peers::config`] whose clients may log on by FIX, with memories in a folder.
pub(crate) fn config(cores: &[(CoreName, &Core, u16)], folder: &Path) -> Config {
    let mut config = peers::config(cores);
    config.fix.address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.fix.orders_max = 10_000;
    config.fix.window_bytes = 8 << 20;
    config.fix.store.kind = Kind::File;
    config.fix.store.directory = folder.join("fix-store");
    config.fix.sessions = config
        .clients
        .iter()
        .map(|client| Session {
            comp_id: client.comp_id,
            authentication: Authentication::Password,
            default_account: Text::BLANK,
        })
        .collect();
    config
}

/// A gateway with a FIX port, and its cash core's end of the line.
pub(crate) struct House {
    pub(crate) core: Core,
    pub(crate) line: Line,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
}

impl House {
    pub(crate) fn start(folder: &Path, change: impl FnOnce(&mut Config)) -> Self {
        Self::around(Core::listen(&[1, 2]), folder, change)
    }

    pub(crate) fn around(core: Core, folder: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&[(CoreName::Cash, &core, 0)], folder);
        change(&mut config);
        let gateway = Gateway::start(config);
        let address = gateway.fix_address.expect("configured");
        let (line, _) = core.accept();
        gateway.wait_up(&["cash"]);
        Self { core, line, gateway, address }
    }

    /// The core accepts an order as the report with this index.
    pub(crate) fn accept(&mut self, order: &NewOrder, index: i64) {
        self.line.peer.send(&accepted(order, 1, index));
    }
}

pub(crate) fn accepted(order: &NewOrder, partition: i32, index: i64) -> OrderReport {
    OrderReport {
        side: order.side,
        ord_type: order.ord_type,
        leaves_qty: order.order_qty,
        ext: order.ext,
        exec_id: text(&format!("e{partition}-{index}")),
        base: ReportBase {
            security_id_source: order.base.security_id_source,
            transact_time: order.base.transact_time,
            ..peers::accepted(order, partition, index).base
        },
        ..peers::accepted(order, partition, index)
    }
}

fn traded(order: &NewOrder, index: i64, (price, quantity, cum): (i64, i64, i64)) -> TradeReport {
    let leaves = order.order_qty.raw() / Qty::SCALE - cum;
    TradeReport {
        base: accepted(order, 1, index).base,
        order_id: text("o1"),
        cl_ord_id: order.cl_ord_id,
        exec_id: text(&format!("e1-{index}")),
        exec_type: ExecType::TRADE,
        ord_status: if leaves == 0 { OrdStatus::FILLED } else { OrdStatus::PARTIALLY_FILLED },
        last_px: Price::from_raw(price),
        last_qty: Qty::whole(quantity),
        leaves_qty: Qty::whole(leaves),
        cum_qty: Qty::whole(cum),
        side: order.side,
        account_id: order.account_id,
        ..TradeReport::default()
    }
}

#[test]
fn an_order_goes_the_way_of_a_binary_one_and_its_reports_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "59=3|544=1|110=100|1090=5|529=1|58=a word|5001=mine|");
    let order = house.line.order();
    assert_eq!((order.cl_ord_id, order.account_id, order.side), (text("x"), text("a1"), Side::BUY));
    assert_eq!((order.order_qty, order.price), (Qty::whole(100), Price::whole(10)));
    assert_eq!((order.base.security_id, order.base.security_id_source), (text("000001"), text("102")));
    assert_eq!((order.ext.min_qty, order.ext.max_price_levels.get()), (Qty::whole(100), 5));
    assert_eq!((order.ext.time_in_force.raw(), order.ext.cash_margin), (b'3', CashMargin::CASH));
    assert_eq!(order.order_restrictions, text("1"));
    house.accept(&order, 1);
    client.expect(&[
        "35=8", "11=x", "37=o1", "17=e1-1", "150=0", "39=0", "1=a1", "38=100", "151=100", "14=0", "6=0",
    ]);
    house.line.peer.send(&traded(&order, 2, (99_900, 40, 40)));
    client.expect(&[
        "35=8", "17=e1-2", "150=F", "39=1", "32=40", "31=9.99", "151=60", "14=40", "6=9.99", "38=100",
    ]);
    house.line.peer.send(&traded(&order, 3, (100_000, 60, 100)));
    client.expect(&["150=F", "39=2", "32=60", "31=10", "151=0", "14=100", "6=9.996", "544=1", "44=10"]);
    assert!(house.gateway.metrics.orders.with_label_values(&["cash"]).get() <= 1);
    peers::eventually("it is counted", || {
        house.gateway.metrics.fix_orders.get() == 1 && house.gateway.metrics.fix_reports.get() == 3
    });
    client.log_out();
    house.gateway.stop();
}

#[test]
fn cancels_name_their_order_and_what_the_core_says_of_them_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["11=x", "39=0"]);
    client.tell("F", "41=x|11=y|55=000001|207=XSHE|54=1|60=now|38=100|");
    let cancel: OrderCancelRequest = house.line.peer.expect();
    assert_eq!(
        (cancel.orig_cl_ord_id, cancel.order_id, cancel.cl_ord_id),
        (text("x"), text("o1"), text("y"))
    );
    house.line.peer.send(&CancelReject {
        base: accepted(&order, 1, 2).base,
        cl_ord_id: text("y"),
        orig_cl_ord_id: text("x"),
        ord_status: OrdStatus::NEW,
        cxl_rej_reason: CxlRejReason::NOT_ALLOWED_NOW,
        reject_text: text("not now"),
        order_id: text("o1"),
        ..CancelReject::default()
    });
    client.expect(&["35=9", "37=o1", "11=y", "41=x", "39=0", "434=1", "102=2", "58=not now", "1=a1"]);
    client.tell("F", "41=x|11=z|55=000001|207=XSHE|54=1|60=now|");
    let cancel: OrderCancelRequest = house.line.peer.expect();
    house.line.peer.send(&OrderReport {
        cl_ord_id: cancel.cl_ord_id,
        orig_cl_ord_id: text("x"),
        exec_type: ExecType::CANCELLED,
        ord_status: OrdStatus::CANCELLED,
        leaves_qty: Qty::ZERO,
        ..accepted(&order, 1, 3)
    });
    client.expect(&["35=8", "11=z", "41=x", "150=4", "39=4", "151=0", "14=0"]);
    // What is not there, and what is another's.
    client.tell("F", "41=nope|11=w|55=000001|207=XSHE|54=1|60=now|");
    client.expect(&["35=9", "37=NONE", "11=w", "41=nope", "39=8", "102=1", "58=unknown order"]);
    let mut other = FixClient::log_on(house.address, 2);
    other.tell("F", "41=x|11=w|55=000001|207=XSHE|54=1|60=now|");
    other.expect(&["35=9", "102=1"]);
    house.gateway.stop();
}

#[test]
fn the_state_of_an_order_can_be_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    let ask = |client: &mut FixClient, id: &str| {
        client.tell("H", &format!("11={id}|790=q|1=a1|55=000001|207=XSHE|54=1|"));
    };
    client.order("x", "");
    let order = house.line.order();
    ask(&mut client, "x");
    client.expect(&["150=I", "39=A", "17=0", "790=q", "37=NONE", "151=100", "11=x"]);
    house.accept(&order, 1);
    client.expect(&["150=0"]);
    house.line.peer.send(&traded(&order, 2, (99_900, 40, 40)));
    client.expect(&["150=F"]);
    ask(&mut client, "x");
    client.expect(&["150=I", "39=1", "37=o1", "14=40", "151=60", "6=9.99", "38=100"]);
    ask(&mut client, "nope");
    client.expect(&["150=I", "39=8", "103=5", "11=nope"]);
    let mut other = FixClient::log_on(house.address, 2);
    ask(&mut other, "x");
    other.expect(&["39=8", "103=5"]);
    house.gateway.stop();
}

#[test]
fn a_mass_cancel_is_a_cancel_of_each_open_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    for (index, id) in ["a", "b", "c"].into_iter().enumerate() {
        client.order(id, "");
        let order = house.line.order();
        house.accept(&order, index as i64 + 1);
        client.expect(&["150=0"]);
    }
    client.tell("q", "11=m|530=1|55=000002|207=XSHE|60=now|");
    client.expect(&["35=r", "11=m", "530=1", "531=1", "533=0"]);
    client.tell("q", "11=m|530=7|60=now|");
    let cancelled: Vec<_> = (0..3)
        .map(|_| house.line.peer.expect::<OrderCancelRequest>())
        .map(|cancel| cancel.orig_cl_ord_id)
        .collect();
    assert_eq!(cancelled, ["c", "b", "a"].map(text));
    client.expect(&["35=r", "11=m", "530=7", "531=7", "533=3"]);
    house.gateway.stop();
}

#[test]
fn each_refusal_comes_as_the_message_that_it_calls_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "1=a2|");
    client.expect(&["35=8", "150=8", "39=8", "103=15", "11=x", "1=a2", "58=not your account", "37=NONE"]);
    client.tell("D", "11=m|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|544=2|");
    client.expect(&["35=8", "103=0", "58=margin core not reachable", "544=2"]);
    client.tell("D", "11=p|55=000001|207=XSHE|54=1|60=now|38=100|40=2|");
    client.expect(&["35=j", "372=D", "379=p", "380=5"]);
    client.tell("D", "11=q|55=000001|207=XSHE|54=1|60=now|38=0.001|40=2|44=10|");
    client.expect(&["35=8", "150=8", "103=13", "11=q"]);
    client.tell("D", "11=q|55=000001|207=XSHE|54=7|60=now|38=1|40=2|44=10|");
    client.expect(&["35=3", "371=54", "373=5"]);
    client.tell("E", "66=l|");
    client.expect(&["35=j", "372=E", "380=3"]);
    // The first use of a ClOrdID counts, whatever became of it.
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["150=0", "11=x"]);
    client.order("x", "");
    client.expect(&["150=8", "103=6", "11=x"]);
    client.tell("D", "97=Y|11=x|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|");
    client.expect(&["150=I", "39=0", "11=x", "37=o1"]);
    // The core's answer to a second copy, as a gateway sends one after a line has failed, is none of the client's business.
    house.line.peer.send(&OrderReport {
        exec_type: ExecType::REJECTED,
        ord_status: OrdStatus::REJECTED,
        ord_rej_reason: OrdRejReason::DUPLICATE_ORDER,
        ..accepted(&order, 1, 2)
    });
    house.line.peer.send(&traded(&order, 3, (100_000, 100, 100)));
    let said = client.expect(&["150=F"]);
    assert_eq!(field(&said, 17), Some("e1-3"));
    peers::eventually("it is counted", || {
        house.gateway.metrics.reports_repeated.with_label_values(&["cash"]).get() == 1
    });
    assert_eq!(house.gateway.refused("not your account"), 1);
    house.gateway.stop();
}

#[test]
fn a_request_that_the_core_refuses_without_a_report_is_answered() {
    use wire::szse::U32;
    use wire::szse::trading::BusinessReject;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "");
    let order = house.line.order();
    house.line.peer.send(&BusinessReject {
        ref_msg_type: U32::new(100_101),
        business_reject_ref_id: order.cl_ord_id,
        business_reject_text: text("not taken"),
        ..BusinessReject::default()
    });
    client.expect(&["35=8", "150=8", "39=8", "103=0", "11=x", "58=not taken", "38=100", "151=0"]);
    house.gateway.stop();
}

#[test]
fn a_cancel_that_the_core_refuses_without_a_report_is_answered_as_a_cancel() {
    use wire::szse::U32;
    use wire::szse::trading::BusinessReject;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["150=0"]);
    let reject = |id: Text<10>| BusinessReject {
        ref_msg_type: U32::new(190_007),
        business_reject_ref_id: id,
        business_reject_text: text("not taken"),
        ..BusinessReject::default()
    };
    client.tell("F", "41=x|11=y|55=000001|207=XSHE|54=1|60=now|38=100|");
    let cancel: OrderCancelRequest = house.line.peer.expect();
    house.line.peer.send(&reject(cancel.cl_ord_id));
    client.expect(&["35=9", "37=o1", "11=y", "41=x", "39=0", "434=1", "102=2", "1=a1", "58=not taken"]);
    // Said again, of what is not under way any more.
    house.line.peer.send(&reject(cancel.cl_ord_id));
    client.expect(&["35=9", "11=y", "41=x", "39=0"]);
    house.gateway.stop();
}

#[test]
fn what_is_sent_again_as_possible_repetition_is_told_the_state_of_the_first_whichever_port_it_came_by() {
    use wire::szse::U32;
    use wire::szse::trading::BusinessReject;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut binary = peers::Client::ready(house.gateway.address, 1);
    let mut client = FixClient::log_on(house.address, 1);
    binary.order("x", CashMargin::CASH);
    let order = house.line.order();
    let again = |client: &mut FixClient, id: &str| {
        client.tell("D", &format!("97=Y|11={id}|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|"));
    };
    again(&mut client, "x");
    client.expect(&["150=I", "39=A", "11=x", "37=NONE", "151=100"]);
    house.accept(&order, 1);
    client.expect(&["150=0", "11=x"]);
    again(&mut client, "x");
    client.expect(&["150=I", "39=0", "11=x", "37=o1"]);
    // One that the core refuses without a report may come again by the same name.
    binary.order("y", CashMargin::CASH);
    let order = house.line.order();
    house.line.peer.send(&BusinessReject {
        ref_msg_type: U32::new(100_101),
        business_reject_ref_id: order.cl_ord_id,
        business_reject_text: text("not now"),
        ..BusinessReject::default()
    });
    client.expect(&["35=8", "150=8", "39=8", "11=y", "58=not now"]);
    again(&mut client, "y");
    client.expect(&["150=I", "39=8", "11=y"]);
    binary.order("y", CashMargin::CASH);
    let order = house.line.order();
    again(&mut client, "y");
    client.expect(&["150=I", "39=A", "11=y"]);
    house.accept(&order, 2);
    client.expect(&["150=0", "11=y"]);
    house.gateway.stop();
}

#[test]
fn what_was_asked_by_fix_is_in_the_audit() {
    use gateway::audit::{Outcome, Record};
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("audit");
    let mut house = House::start(folder.path(), |config| {
        config.audit.directory = Some(directory.clone());
        config.audit.segment_bytes = 2 << 20;
    });
    let mut client = FixClient::log_on(house.address, 1);
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["150=0"]);
    client.order("x", "");
    client.expect(&["103=6"]);
    client.order("y", "1=a2|");
    client.expect(&["103=15"]);
    client.tell("F", "41=x|11=z|1=a2|55=000001|207=XSHE|54=1|60=now|");
    client.expect(&["35=9", "102=1"]);
    client.order("longer: than ten", "");
    client.expect(&["11=longer: than ten", "150=8"]);
    client.tell("D", "11=v|55=000001|207=XSHE|54=1|60=now|40=2|44=10|");
    client.expect(&["35=3", "371=38", "372=D", "373=1", "58=Required tag missing"]);
    client.tell("D", "11=w|55=000001|207=XSHE|54=1|60=now|38=100|40=2|");
    client.expect(&["35=j", "379=w", "380=5", "58=missing 44 Price"]);
    client.log_out();
    house.gateway.stop();
    let mut reader = journal::Reader::oldest(&directory).expect("a journal");
    let mut kept = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        match Record::parse(record.kind, record.payload).expect("an audit's") {
            Record::Request { comp_id, outcome: Outcome::Forwarded(core), .. } => {
                kept.push(format!("{comp_id} to {}", core.name()));
            }
            Record::Request { comp_id, outcome: Outcome::Refused(_, text), .. } => {
                kept.push(format!("{comp_id}: {text}"));
            }
            Record::Session { comp_id, what: what @ "FIX request refused", why, .. } => {
                kept.push(format!("{comp_id} {what}: {why}"));
            }
            Record::Session { comp_id, what, .. } => kept.push(format!("{comp_id} {what}")),
            Record::Report { .. } | Record::Operator(_) | Record::Reject { .. } => {}
        }
    }
    let expected = [
        "c1 logged on by FIX",
        "c1 to cash",
        "c1: ClOrdID is that of another order",
        "c1: not your account",
        "c1: not your account",
        "c1 FIX request refused: 35=D 11=longer: than ten: ClOrdID is not one to ten printable characters",
        "c1 FIX request refused: 35=D 11=v: Required tag missing: 38 OrderQty",
        "c1 FIX request refused: 35=D 11=w: missing 44 Price",
        "c1 FIX session ended",
    ];
    assert_eq!(kept, expected);
    let printed = |cl_ord_id: &str| {
        let printed = std::process::Command::new(env!("CARGO_BIN_EXE_gateway-audit"))
            .args(["print", "--cl-ord-id", cl_ord_id])
            .arg(&directory)
            .output()
            .expect("it runs");
        String::from_utf8(printed.stdout).expect("text")
    };
    for (cl_ord_id, why) in [("w", "missing 44 Price"), ("longer: than ten", "not one to ten printable")] {
        let printed = printed(cl_ord_id);
        assert!(printed.lines().count() == 1 && printed.contains(why), "{cl_ord_id}: {printed}");
        assert!(printed.contains(&format!("\"cl_ord_id\":\"{cl_ord_id}\"")), "{printed}");
    }
}
