//! Cancel on disconnect at a whole gateway: whose open orders are cancelled when a session is gone, when, and how.

mod peers;

use gateway::Config;
use gateway::audit::{Outcome, Record};
use gateway::config::{CancelOnDisconnect, CoreName};
use peers::{Client, Core, Gateway, Line, accepted, config, eventually, text};
use std::collections::HashSet;
use wire::szse::code::{CashMargin, ExecType, OrdStatus};
use wire::szse::trading::{BusinessReject, NewOrder, OrderCancelRequest, OrderReport, PlatformStateInfo};
use wire::szse::{Message, Text, U32};

const CASH: CashMargin = CashMargin::CASH;

struct House {
    gateway: Gateway,
    line: Line,
    core: Core,
    reports: i64,
}

impl House {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let core = Core::listen(&[1]);
        let mut config = config(&[(CoreName::Cash, &core, 0)]);
        config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms: 0 }];
        change(&mut config);
        let (gateway, line) = Gateway::with_line(&core, config);
        Self { gateway, line, core, reports: 0 }
    }

    fn client(&self, number: usize) -> Client {
        Client::ready(self.gateway.address, number)
    }

    /// An order that rests at the core.
    fn rests(&mut self, client: &mut Client, name: &str) -> NewOrder {
        client.order(name, CASH);
        let order = self.line.order();
        self.accept(&order);
        assert_eq!(client.report().2, name);
        order
    }

    fn accept(&mut self, order: &NewOrder) {
        self.reports += 1;
        self.line.accept(order, 1, self.reports);
    }

    /// The gateway's own cancel of an order.
    fn cancel_of(&mut self, name: &str) -> OrderCancelRequest {
        let cancel: OrderCancelRequest = self.line.peer.expect();
        assert_eq!(cancel.orig_cl_ord_id, text(name));
        assert!(cancel.cl_ord_id.to_string().starts_with('~'), "{}", cancel.cl_ord_id);
        assert!(!cancel.order_id.is_blank(), "the core is told which order by its OrderID");
        cancel
    }

    /// The core carries a cancel out.
    fn cancelled(&mut self, order: &NewOrder, cancel: &OrderCancelRequest) {
        self.reports += 1;
        self.line.peer.send(&OrderReport {
            exec_type: ExecType::CANCELLED,
            ord_status: OrdStatus::CANCELLED,
            cl_ord_id: cancel.cl_ord_id,
            orig_cl_ord_id: cancel.orig_cl_ord_id,
            order_id: cancel.order_id,
            ..accepted(order, 1, self.reports)
        });
    }
}

#[test]
fn what_a_lost_session_left_open_is_cancelled_and_reported_to_who_comes_back() {
    let mut house = House::start(|_| {});
    let (mut client, mut other) = (house.client(1), house.client(2));
    let order = house.rests(&mut client, "a");
    let filled = house.rests(&mut client, "gone");
    house.rests(&mut other, "b");
    house.reports += 1;
    let rejected = OrderReport { exec_type: ExecType::REJECTED, ..accepted(&filled, 1, house.reports) };
    house.line.peer.send(&rejected);
    client.report();
    drop((client, other));

    let cancel = house.cancel_of("a");
    assert_eq!((cancel.side, cancel.base.security_id), (order.side, order.base.security_id));
    assert_eq!(
        (cancel.base.submitting_pbu_id, cancel.order_qty),
        (order.base.submitting_pbu_id, order.order_qty)
    );
    house.cancelled(&order, &cancel);
    let mut client = house.client(1);
    let seen: Vec<_> = (0..4).map(|_| client.report().2).collect();
    assert_eq!(seen[..3], ["a", "gone", "gone"]);
    assert_eq!(seen[3], cancel.cl_ord_id.to_string());
    client.order("c", CASH);
    assert_eq!(house.line.order().cl_ord_id, text("c"), "and nothing else was cancelled");
    eventually("it is counted", || house.gateway.metrics.disconnect_cancels.get() == 1);
    house.gateway.stop();
}

#[test]
fn a_session_that_is_replaced_or_comes_back_in_time_keeps_its_orders() {
    let mut house = House::start(|config| {
        let grace = |comp_id: &str, grace_ms| CancelOnDisconnect { comp_id: text(comp_id), grace_ms };
        config.cancel_on_disconnect = vec![grace("c1", 0), grace("c2", 600_000), grace("c3", 50)];
    });
    let mut replaced = house.client(1);
    house.rests(&mut replaced, "a");
    let mut replacing = house.client(1);
    replaced.peer.expect_logout("logged on from elsewhere");
    let mut patient = house.client(2);
    house.rests(&mut patient, "b");
    drop(patient);
    eventually("it is gone", || house.gateway.metrics.sessions.get() == 1);
    let mut patient = house.client(2);
    let mut short = house.client(3);
    house.rests(&mut short, "s");
    drop(short);
    house.cancel_of("s");
    replacing.report();
    house.rests(&mut replacing, "a2");
    patient.report();
    house.rests(&mut patient, "b2");
    eventually("the one cancel is counted", || house.gateway.metrics.disconnect_cancels.get() == 1);
    house.gateway.stop();
}

#[test]
fn an_order_that_the_core_has_not_answered_yet_is_cancelled_when_it_has() {
    let mut house = House::start(|_| {});
    let mut client = house.client(1);
    client.order("slow", CASH);
    let order = house.line.order();
    drop(client);
    eventually("it waits", || house.gateway.metrics.disconnect_cancels_waiting.get() == 1);
    house.accept(&order);
    house.cancel_of("slow");
    eventually("nothing waits", || house.gateway.metrics.disconnect_cancels_waiting.get() == 0);
    house.gateway.stop();
}

#[test]
fn a_line_that_is_down_delays_the_cancels_until_it_is_up() {
    let mut house = House::start(|_| {});
    let mut client = house.client(1);
    house.rests(&mut client, "a");
    house.line.peer.stream.shutdown(std::net::Shutdown::Both).expect("open");
    eventually("the line is down", || house.gateway.metrics.core_up.with_label_values(&["cash"]).get() == 0);
    drop(client);
    eventually("it waits", || house.gateway.metrics.disconnect_cancels_waiting.get() == 1);
    let (line, _) = house.core.accept();
    house.line = line;
    house.cancel_of("a");
    house.gateway.stop();
}

/// The line dies with the cancel on it, and when it is back that cancel has become too old to be sent again.
#[test]
fn a_cancel_that_was_lost_with_its_line_is_sent_anew() {
    let mut house = House::start(|config| {
        (config.forwarding.resend_within_ms, config.forwarding.settle_ms) = (0, 1);
    });
    let mut client = house.client(1);
    house.rests(&mut client, "a");
    drop(client);
    let lost = house.cancel_of("a");
    house.line.peer.stream.shutdown(std::net::Shutdown::Both).expect("open");
    let (line, _) = house.core.accept();
    house.line = line;
    let cancel = house.cancel_of("a");
    assert_ne!(cancel.cl_ord_id, lost.cl_ord_id, "another request");
    house.gateway.stop();
}

/// As a core does whose counter is away for a moment.
#[test]
fn a_cancel_that_the_core_refuses_without_a_report_is_sent_anew() {
    let mut house = House::start(|_| {});
    let mut client = house.client(1);
    house.rests(&mut client, "a");
    drop(client);
    let refused = house.cancel_of("a");
    house.line.peer.send(&BusinessReject {
        ref_msg_type: U32::new(OrderCancelRequest::MSG_TYPE),
        business_reject_ref_id: refused.cl_ord_id,
        ..BusinessReject::default()
    });
    let cancel = house.cancel_of("a");
    assert_ne!(cancel.cl_ord_id, refused.cl_ord_id, "another request");
    house.gateway.stop();
}

#[test]
fn an_order_whose_cancels_are_all_refused_stays_open_in_the_end_and_is_counted() {
    let mut house = House::start(|config| config.forwarding.disconnect_cancels_max = 2);
    let mut client = house.client(1);
    house.rests(&mut client, "a");
    drop(client);
    for _ in 0..2 {
        let cancel = house.cancel_of("a");
        house.line.peer.send(&BusinessReject {
            ref_msg_type: U32::new(OrderCancelRequest::MSG_TYPE),
            business_reject_ref_id: cancel.cl_ord_id,
            ..BusinessReject::default()
        });
    }
    eventually("it is given up", || house.gateway.metrics.disconnect_given_up.get() == 1);
    eventually("nothing waits", || house.gateway.metrics.disconnect_cancels_waiting.get() == 0);
    let mut client = house.client(1);
    client.report();
    client.order("b", CASH);
    assert_eq!(house.line.order().cl_ord_id, text("b"), "no third cancel went before");
    house.gateway.stop();
}

#[test]
fn an_order_that_was_taken_for_lost_and_turns_up_after_its_session_is_cancelled_too() {
    let mut house = House::start(|config| {
        (config.forwarding.resend_within_ms, config.forwarding.settle_ms) = (0, 1);
    });
    let mut client = house.client(1);
    client.order("slow", CASH);
    let order = house.line.order();
    house.line.peer.stream.shutdown(std::net::Shutdown::Both).expect("open");
    let (line, _) = house.core.accept();
    house.line = line;
    let _: [PlatformStateInfo; 2] = [client.peer.expect(), client.peer.expect()];
    assert_eq!(client.rejected(), "not taken by the core");
    drop(client);
    eventually("its session is gone", || house.gateway.metrics.sessions.get() == 0);
    house.accept(&order);
    house.cancel_of("slow");
    house.gateway.stop();
}

#[test]
fn an_order_that_one_core_has_not_answered_keeps_no_cancel_of_the_other_waiting() {
    let (cash, margin) = (Core::listen(&[1]), Core::listen(&[11]));
    let mut config = config(&[(CoreName::Cash, &cash, 0), (CoreName::Margin, &margin, 0)]);
    config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms: 0 }];
    let gateway = Gateway::start(config);
    let ((mut cash, _), (mut margin, _)) = (cash.accept(), margin.accept());
    gateway.wait_up(&["cash", "margin"]);
    let mut client = Client::ready(gateway.address, 1);
    client.order("unanswered", CASH);
    cash.order();
    client.order("m", CashMargin::MARGIN_OPEN);
    let order = margin.order();
    margin.accept(&order, 11, 1);
    assert_eq!(client.report().2, "m");
    drop(client);
    let cancel: OrderCancelRequest = margin.peer.expect();
    assert_eq!(cancel.orig_cl_ord_id, text("m"));
    gateway.stop();
}

/// They take half of what may be under way to the core, so that others have the rest.
#[test]
fn ten_thousand_open_orders_are_cancelled_and_others_trade_on() {
    const COUNT: usize = 10_000;
    const ROUND: usize = 500;
    let mut house = House::start(|config| {
        config.forwarding.in_flight_max = 2 * ROUND as u32;
        config.forwarding.orders_max = 20_000;
    });
    let (mut client, mut other) = (house.client(1), house.client(2));
    let mut open = Vec::new();
    while open.len() < COUNT {
        for number in 0..100 {
            client.order(&format!("o{}", open.len() + number), CASH);
        }
        for _ in 0..100 {
            let order = house.line.order();
            house.accept(&order);
            client.report();
            open.push(order);
        }
    }
    drop(client);
    let mut names = HashSet::new();
    let mut cancels: Vec<OrderCancelRequest> = Vec::new();
    let mut next = |house: &mut House, cancels: &mut Vec<OrderCancelRequest>| {
        let cancel = house.cancel_of(&format!("o{}", cancels.len()));
        assert!(names.insert(cancel.cl_ord_id.to_string()), "a name twice");
        cancels.push(cancel);
    };
    (0..ROUND).for_each(|_| next(&mut house, &mut cancels));
    other.order("mine", CASH);
    let order = house.line.order();
    assert_eq!(order.cl_ord_id, text("mine"), "no cancel is sent before one of these is answered");
    house.accept(&order);
    for (number, order) in open.iter().enumerate() {
        house.cancelled(order, &cancels[number]);
        if cancels.len() < COUNT {
            next(&mut house, &mut cancels);
        }
    }
    assert_eq!(other.report().2, "mine");
    eventually("all are counted", || house.gateway.metrics.disconnect_cancels.get() == COUNT as u64);
    eventually("nothing waits", || house.gateway.metrics.disconnect_cancels_waiting.get() == 0);
    house.gateway.stop();
}

#[test]
fn a_gateway_that_is_stopped_cancels_before_it_leaves_and_writes_it_into_the_audit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::start(|config| {
        config.audit.directory = Some(folder.path().to_owned());
        config.cancel_on_disconnect[0].grace_ms = 600_000;
    });
    let mut client = house.client(1);
    house.rests(&mut client, "a");
    let House { gateway, mut line, .. } = house;
    let stopping = std::thread::spawn(move || gateway.running.drain(peers::DEADLINE));
    client.peer.expect_logout("gateway is closing");
    drop(client);
    let cancel: OrderCancelRequest = line.peer.expect();
    drop(line);
    stopping.join().expect("it ends").expect("ended well");
    let mut reader = journal::Reader::oldest(folder.path()).expect("a journal");
    let mut said = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        said.push(match Record::parse(record.kind, record.payload).expect("an audit's") {
            Record::Request { comp_id, outcome: Outcome::Forwarded(core), frame } => {
                let name =
                    peers::decoded(frame).view::<OrderCancelRequest>().ok().map(|cancel| cancel.cl_ord_id);
                format!("{comp_id} to {} {}", core.name(), name.unwrap_or(Text::BLANK))
            }
            Record::Session { comp_id, what, .. } => format!("{comp_id} {what}"),
            other => format!("{other:?}"),
        });
    }
    let at = |what: &str| {
        said.iter().position(|said| said.starts_with(what)).unwrap_or_else(|| panic!("{what}: {said:?}"))
    };
    let cancelled = at(&format!("c1 to cash {}", cancel.cl_ord_id));
    assert!(at("c1 session ended") < at("c1 open orders are cancelled"));
    assert!(at("c1 open orders are cancelled") < cancelled);
}

#[test]
fn the_names_of_the_gateways_own_cancels_are_no_clients() {
    let house = House::start(|_| {});
    let mut client = house.client(1);
    client.order("~0", CASH);
    assert_eq!(client.rejected(), "ClOrdID begins with ~");
    client.cancel("~0", "a", "");
    assert_eq!(client.rejected(), "ClOrdID begins with ~");
    eventually("both are counted", || house.gateway.refused("ClOrdID begins with ~") == 2);
    house.gateway.stop();
}
