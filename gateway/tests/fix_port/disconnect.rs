//! Cancel on disconnect by FIX.

use super::{FixClient, House, text};
use crate::field;
use gateway::config::CancelOnDisconnect;
use wire::szse::Message;
use wire::szse::code::{ExecType, OrdStatus};
use wire::szse::trading::{BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport};

#[test]
fn what_a_lost_fix_session_left_open_is_cancelled_and_told_when_it_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| {
        config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms: 0 }];
    });
    let mut client = FixClient::log_on(house.address, 1);
    client.order("a", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["35=8", "11=a", "39=0"]);
    client.lose();

    let cancel: OrderCancelRequest = house.line.peer.expect();
    assert_eq!((cancel.orig_cl_ord_id, cancel.order_id), (text("a"), text("o1")));
    let name = cancel.cl_ord_id.to_string();
    assert!(name.starts_with('~'), "{name}");
    house.line.peer.send(&OrderReport {
        exec_type: ExecType::CANCELLED,
        ord_status: OrdStatus::CANCELLED,
        cl_ord_id: cancel.cl_ord_id,
        orig_cl_ord_id: cancel.orig_cl_ord_id,
        leaves_qty: wire::szse::Qty::ZERO,
        order_id: text("o1"),
        ..super::accepted(&order, 1, 2)
    });
    client.connect(house.address);
    client.logged_on();
    let said = client.expect(&["35=8", "39=4", "41=a"]);
    assert_eq!(field(&said, 11), Some(name.as_str()));
    house.gateway.stop();
}

#[test]
fn who_is_still_logged_on_at_the_other_port_is_not_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| {
        config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms: 0 }];
    });
    let mut binary = crate::peers::Client::ready(house.gateway.address, 1);
    let mut client = FixClient::log_on(house.address, 1);
    client.order("a", "");
    let order = house.line.order();
    house.accept(&order, 1);
    binary.report();
    client.lose();
    crate::peers::eventually("the FIX session has ended", || house.gateway.metrics.fix_sessions.get() == 0);
    binary.order("b", wire::szse::code::CashMargin::CASH);
    assert_eq!(house.line.order().cl_ord_id, text("b"), "an order, not a cancel");
    drop(binary);
    let cancel: OrderCancelRequest = house.line.peer.expect();
    assert_eq!(cancel.orig_cl_ord_id, text("a"), "the last one has left");
    house.gateway.stop();
}

#[test]
fn what_the_core_says_against_the_gateways_own_cancels_is_not_the_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(folder.path(), |config| {
        config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms: 0 }];
    });
    let mut client = FixClient::log_on(house.address, 1);
    for (index, id) in [(1, "a"), (2, "b")] {
        client.order(id, "");
        let order = house.line.order();
        house.accept(&order, index);
        client.expect(&["35=8", "39=0"]);
    }
    client.lose();
    let [one, two] = [(); 2].map(|()| house.line.peer.expect::<OrderCancelRequest>());
    client.connect(house.address);
    client.logged_on();
    house.line.peer.send(&CancelReject {
        base: super::accepted(&NewOrder::default(), 1, 3).base,
        cl_ord_id: one.cl_ord_id,
        orig_cl_ord_id: one.orig_cl_ord_id,
        order_id: one.order_id,
        ..CancelReject::default()
    });
    house.line.peer.send(&BusinessReject {
        ref_msg_type: OrderCancelRequest::MSG_TYPE.into(),
        business_reject_ref_id: two.cl_ord_id,
        ..BusinessReject::default()
    });
    client.order("c", "");
    let order = loop {
        // The cancel that was refused without a report is sent anew.
        let frame = house.line.peer.next().expect("a frame");
        if let Ok(order) = crate::peers::decoded(&frame).view::<NewOrder>() {
            break *order;
        }
    };
    house.accept(&order, 4);
    client.expect(&["35=8", "11=c", "39=0"]);
    house.gateway.stop();
}
