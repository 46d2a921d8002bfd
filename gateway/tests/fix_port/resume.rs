//! What a client gets after its connection, or the gateway, was lost: each report once.

use crate::client::{FixClient, field, repeats};
use crate::peers::{self, Core, text};
use crate::{House, accepted};
use fix::store::Store;
use gateway::fix::config::Reset;
use wire::szse::trading::NewOrder;

/// ExecIDs of the next `count` reports, and whether each says that it may be a repetition.
fn exec_ids(client: &mut FixClient, count: usize) -> Vec<(String, bool)> {
    (0..count)
        .map(|_| {
            let said = client.expect(&["35=8"]);
            (field(&said, 17).expect("an ExecID").to_owned(), repeats(&said))
        })
        .collect()
}

fn ids(ids: &[(&str, bool)]) -> Vec<(String, bool)> {
    ids.iter().map(|(id, repeats)| ((*id).to_owned(), *repeats)).collect()
}

/// An order of `c1` that rests since report 1.
fn resting(house: &mut House, client: &mut FixClient) -> NewOrder {
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    assert_eq!(exec_ids(client, 1), ids(&[("e1-1", false)]));
    order
}

fn other(order: &NewOrder, id: &str) -> NewOrder {
    NewOrder { cl_ord_id: text(id), ..*order }
}

#[test]
fn what_happened_while_a_client_was_away_comes_once_behind_its_logon() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    let order = resting(&mut house, &mut client);
    client.lose();
    peers::eventually("the gateway has missed it", || house.gateway.metrics.fix_sessions.get() == 0);
    for index in 2..=4 {
        house.accept(&other(&order, &format!("y{index}")), index);
    }
    house.line.peer.send(&accepted(&other(&order, "z"), 2, 1));
    peers::eventually("the reports are there", || {
        house.gateway.metrics.reports.with_label_values(&["cash"]).get() == 5
    });
    client.connect(house.address);
    client.logged_on();
    assert_eq!(
        exec_ids(&mut client, 4),
        ids(&[("e1-2", false), ("e1-3", false), ("e1-4", false), ("e2-1", false)])
    );
    house.accept(&other(&order, "w"), 5);
    assert_eq!(exec_ids(&mut client, 1), ids(&[("e1-5", false)]));
    house.gateway.stop();
}

#[test]
fn what_was_sent_and_not_received_is_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    let order = resting(&mut house, &mut client);
    // Nothing of this is read before the connection is lost.
    for index in 2..=4 {
        house.accept(&other(&order, &format!("y{index}")), index);
    }
    peers::eventually("they are sent", || house.gateway.metrics.fix_reports.get() == 4);
    client.lose();
    peers::eventually("the gateway has missed it", || house.gateway.metrics.fix_sessions.get() == 0);
    house.accept(&other(&order, "y5"), 5);
    client.connect(house.address);
    client.logged_on();
    assert_eq!(
        exec_ids(&mut client, 4),
        ids(&[("e1-2", true), ("e1-3", true), ("e1-4", true), ("e1-5", true)]),
        "in the order in which they happened; the last was sent before the client asked for all that it lacks"
    );
    house.gateway.stop();
}

#[test]
fn a_gateway_that_starts_again_goes_on_behind_the_last_report_that_it_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    let order = resting(&mut house, &mut client);
    house.accept(&other(&order, "y"), 2);
    assert_eq!(exec_ids(&mut client, 1), ids(&[("e1-2", false)]));
    let numbers = (client.session.store().next_sender(), client.session.store().next_target());
    client.lose();
    let House { core, gateway, .. } = house;
    gateway.stop();

    let mut house = House::around(core, folder.path(), |_| {});
    // A gateway that starts reads the day's reports from the beginning.
    for (index, id) in [(1, "x"), (2, "y"), (3, "z")] {
        house.accept(&other(&order, id), index);
    }
    client.connect(house.address);
    client.logged_on();
    assert_eq!(exec_ids(&mut client, 1), ids(&[("e1-3", false)]));
    assert!(
        client.session.store().next_sender() > numbers.0 && client.session.store().next_target() > numbers.1
    );
    // Its orders are known again, with what became of them.
    client.tell("H", "11=x|55=000001|207=XSHE|54=1|");
    client.expect(&["150=I", "39=0", "37=o1", "151=100"]);
    client.order("x", "");
    client.expect(&["150=8", "103=6"]);
    house.gateway.stop();
}

#[test]
fn a_gateway_with_no_memory_of_the_session_sends_what_it_has_as_possible_repetitions() {
    let (folder, another) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut house = House::start(folder.path(), |_| {});
    let mut client = FixClient::log_on(house.address, 1);
    let order = resting(&mut house, &mut client);
    client.lose();
    let House { core, gateway, .. } = house;
    gateway.stop();

    let mut house = House::around(core, another.path(), |_| {});
    house.accept(&order, 1);
    peers::eventually("it is there", || {
        house.gateway.metrics.reports.with_label_values(&["cash"]).get() == 1
    });
    // Its numbers mean nothing there: it begins anew.
    client.connect(house.address);
    assert!(client.expect_end().contains("MsgSeqNum"), "{:?}", client.ended);
    let mut client = FixClient::new(fix::session::Config { reset_on_logon: true, ..FixClient::config(1) });
    client.connect(house.address);
    client.logged_on();
    let said = client.expect(&["35=8", "17=e1-1", "97=Y"]);
    assert_eq!(field(&said, 43), None, "not sent before under this number");
    let now =
        NewOrder { base: wire::szse::trading::RequestBase { transact_time: soon(), ..order.base }, ..order };
    house.accept(&other(&now, "y"), 2);
    assert_eq!(exec_ids(&mut client, 1), ids(&[("e1-2", false)]));
    house.gateway.stop();
}

/// A time that is not over.
fn soon() -> wire::szse::Timestamp {
    let clock = transport::Clock::start();
    let ns = clock.wall_ns(clock.now_ns()).unsigned_abs();
    wire::szse::Timestamp::from_unix_ns(ns + 3_600_000_000_000)
}

#[test]
fn a_reset_begins_the_numbers_anew_and_the_reports_as_configured() {
    for (reset, again) in [(Reset::Replay, true), (Reset::Continue, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut house = House::start(folder.path(), |config| config.fix.reset = reset);
        let mut client = FixClient::log_on(house.address, 1);
        let order = resting(&mut house, &mut client);
        client.log_out();
        let mut client =
            FixClient::new(fix::session::Config { reset_on_logon: true, ..FixClient::config(1) });
        client.connect(house.address);
        client.logged_on();
        let now = NewOrder {
            base: wire::szse::trading::RequestBase { transact_time: soon(), ..order.base },
            ..order
        };
        house.accept(&other(&now, "y"), 2);
        let expected = if again { &[("e1-1", true), ("e1-2", false)][..] } else { &[("e1-2", false)] };
        assert_eq!(exec_ids(&mut client, expected.len()), ids(expected), "{reset:?}");
        house.gateway.stop();
    }
}

#[test]
fn two_gateways_each_have_all_reports_and_the_same_exec_ids() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut here = House::start(one.path(), |_| {});
    let mut there = House::around(Core::listen(&[1, 2]), two.path(), |_| {});
    let mut client = FixClient::log_on(here.address, 1);
    let order = resting(&mut here, &mut client);
    for house in [&mut here, &mut there] {
        for (index, id) in [(1, "x"), (2, "y"), (3, "z")] {
            house.accept(&other(&order, id), index);
        }
    }
    assert_eq!(exec_ids(&mut client, 2), ids(&[("e1-2", false), ("e1-3", false)]));
    client.lose();
    here.gateway.stop();
    // The other gateway knows of no session: it is begun there, and what may have been had is marked.
    peers::eventually("the reports are there", || {
        there.gateway.metrics.reports.with_label_values(&["cash"]).get() == 3
    });
    let mut client = FixClient::log_on(there.address, 1);
    assert_eq!(exec_ids(&mut client, 3), ids(&[("e1-1", true), ("e1-2", true), ("e1-3", true)]));
    client.tell("D", "97=Y|11=x|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|");
    client.expect(&["150=I", "39=0", "37=o1"]);
    there.gateway.stop();
}

#[test]
fn many_reports_that_were_missed_come_in_order_and_once() {
    const MISSED: i64 = 5_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| config.forwarding.out_bytes_max = 256 << 10);
    let mut client = FixClient::log_on(house.address, 1);
    let order = resting(&mut house, &mut client);
    client.lose();
    for index in 2..=MISSED {
        house.accept(&other(&order, &index.to_string()), index);
    }
    peers::eventually("the reports are there", || {
        house.gateway.metrics.reports.with_label_values(&["cash"]).get() == MISSED as u64
    });
    client.connect(house.address);
    client.logged_on();
    // Lost again in the middle: what was sent comes again, the rest goes on.
    for index in 2..=200 {
        client.expect(&[&format!("17=e1-{index}")]);
    }
    client.lose();
    peers::eventually("the gateway has missed it", || house.gateway.metrics.fix_sessions.get() == 0);
    client.connect(house.address);
    client.logged_on();
    let first = client.expect(&["35=8"]);
    let first: i64 =
        field(&first, 17).and_then(|id| id.strip_prefix("e1-")).expect("ours").parse().expect("a number");
    assert!(first > 200, "{first} was taken before");
    for index in first + 1..=MISSED {
        client.expect(&[&format!("17=e1-{index}")]);
    }
    house.gateway.stop();
}
