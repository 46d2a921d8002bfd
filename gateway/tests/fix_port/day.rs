//! A new day, and a core that has lost its day: the numbers of reports begin anew.

use super::{FixClient, House, accepted, text};
use crate::peers::{self, Core};
use fix::store::Store;
use std::path::Path;
use wire::szse::trading::{NewOrder, RequestBase};
use wire::szse::{Text, Timestamp};

const REFUSED: &str = "58=the core's reports of today are not complete";

/// An order of `c1` whose reports have this TransactTime.
fn at(time: Timestamp, id: &str) -> NewOrder {
    let base = RequestBase {
        security_id: text("000001"),
        security_id_source: text("102"),
        transact_time: time,
        ..RequestBase::default()
    };
    NewOrder { base, account_id: text("a1"), cl_ord_id: text(id), ..NewOrder::default() }
}

/// So many milliseconds ago.
fn ago(ms: u64) -> Timestamp {
    let clock = transport::Clock::start();
    Timestamp::from_unix_ns(clock.wall_ns(clock.now_ns()).unsigned_abs() - ms * 1_000_000)
}

/// Two days ago: on whichever side of midnight the test runs, an earlier day.
fn earlier() -> Timestamp {
    ago(2 * 86_400_000)
}

/// The core's report with this index, and an ExecID that says of which day it is.
fn report(house: &mut House, order: &NewOrder, index: i64, day: &str) {
    let exec_id: Text<16> = text(&format!("{day}-{index}"));
    house.line.peer.send(&wire::szse::trading::OrderReport { exec_id, ..accepted(order, 1, index) });
}

fn reports_missing(house: &House) -> i64 {
    house.gateway.metrics.core_reports_missing.with_label_values(&["cash"]).get()
}

/// Its sessions remember the day, and so does its audit.
fn around(core: Core, folder: &Path) -> House {
    House::around(core, folder, |config| {
        config.forwarding.settle_ms = 50;
        config.audit.directory = Some(folder.join("audit"));
        config.audit.segment_bytes = 2 << 20;
    })
}

/// A gateway's life in which its client was told of two reports of this time.
fn a_life(core: Core, folder: &Path, time: Timestamp, client: &mut FixClient) -> Core {
    let mut house = around(core, folder);
    client.connect(house.address);
    client.logged_on();
    for (index, id) in [(1, "x"), (2, "y")] {
        report(&mut house, &at(time, id), index, "one");
        client.expect(&["150=0", &format!("17=one-{index}")]);
    }
    client.log_out();
    house.gateway.stop();
    house.core
}

#[test]
fn on_a_new_day_a_session_goes_on_with_its_numbers_and_is_told_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = FixClient::new(FixClient::config(1));
    let core = a_life(Core::listen(&[1, 2]), folder.path(), earlier(), &mut client);
    let numbers = client.session.store().next_target();

    let mut house = around(core, folder.path());
    client.connect(house.address);
    client.logged_on();
    client.order("a", "");
    let order = house.line.order();
    assert_eq!(order.cl_ord_id, text("a"), "nothing of today is missing");
    for index in 1..=3 {
        report(&mut house, &NewOrder { cl_ord_id: text(&format!("a{index}")), ..order }, index, "two");
        client.expect(&["150=0", &format!("17=two-{index}")]);
    }
    assert!(client.session.store().next_target() > numbers, "the same session");
    assert_eq!(reports_missing(&house), 0);
    client.log_out();
    // And it is this day that is remembered from now on.
    house.gateway.stop();
    let mut house = around(house.core, folder.path());
    client.connect(house.address);
    client.logged_on();
    for index in 1..=4 {
        report(&mut house, &NewOrder { cl_ord_id: text(&format!("a{index}")), ..order }, index, "two");
    }
    client.expect(&["17=two-4"]);
    let incomplete = house.gateway.metrics.audit_incomplete.clone();
    house.gateway.stop();
    assert_eq!(incomplete.get(), 0);
}

#[test]
fn a_core_that_has_lost_its_day_gets_no_orders_until_it_has_it_again_and_none_of_its_reports_is_kept_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut client, time) = (FixClient::new(FixClient::config(1)), ago(1_000));
    let core = a_life(Core::listen(&[1, 2]), folder.path(), time, &mut client);

    // It begins anew, and says nothing of the two orders.
    let mut house = around(core, folder.path());
    client.connect(house.address);
    client.logged_on();
    client.order("a", "");
    client.expect(&["150=8", "103=0", "11=a", REFUSED]);
    peers::eventually("it is noticed", || reports_missing(&house) == 1);
    // What it says all the same is told: the number is one that was had, the report is not.
    report(&mut house, &at(ago(0), "z"), 1, "two");
    client.expect(&["11=z", "17=two-1"]);
    report(&mut house, &at(ago(0), "w"), 2, "two");
    client.expect(&["11=w", "17=two-2"]);
    report(&mut house, &at(ago(0), "v"), 3, "two");
    client.expect(&["11=v", "17=two-3"]);
    client.order("a", "");
    client.expect(&["150=8", "11=a", REFUSED]);
    assert_eq!(reports_missing(&house), 1);
    peers::eventually("both are counted", || house.gateway.refused(&REFUSED[3..]) == 2);
    client.log_out();
    house.gateway.stop();
}

#[test]
fn a_core_that_comes_back_with_its_day_gets_orders_as_soon_as_it_has_told_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut client, time) = (FixClient::new(FixClient::config(1)), ago(1_000));
    let core = a_life(Core::listen(&[1, 2]), folder.path(), time, &mut client);
    let mut house = around(core, folder.path());
    client.connect(house.address);
    client.logged_on();
    report(&mut house, &at(time, "x"), 1, "one");
    peers::eventually("the other one does not come", || reports_missing(&house) == 1);
    client.order("a", "");
    client.expect(&["150=8", "11=a", REFUSED]);
    report(&mut house, &at(time, "y"), 2, "one");
    peers::eventually("all of it is there", || reports_missing(&house) == 0);
    client.order("b", "");
    let order = house.line.order();
    report(&mut house, &order, 3, "one");
    client.expect(&["11=b", "17=one-3"]);
    house.gateway.stop();
}
