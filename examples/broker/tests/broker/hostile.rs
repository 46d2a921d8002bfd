//! A counter that dies at the worst moments, and one that talks nonsense: the test plays it, and the gateway too.

use crate::peers::{Client, eventually};
use crate::town::{Core, Script, Scripted, line, told};
use core_port::adapter::{Adapter, BindError, Config};
use service::Host;
use wire::szse::code::{CashMargin, SOURCE_SHENZHEN, Side};
use wire::szse::trading::NewOrder;

struct Stage {
    _folder: tempfile::TempDir,
    counter: Scripted,
    core: Core,
}

impl Stage {
    /// An adapter whose counter has said which requests it has.
    fn set(change: impl FnOnce(&mut Config)) -> (Self, Script) {
        let folder = tempfile::tempdir().expect("a folder");
        let counter = Scripted::listen();
        let core = Core::start(counter.address(), folder.path(), change);
        let (mut script, hello) = counter.accept();
        assert_eq!(hello, "HELLO 1");
        script.say("WELCOME 0\n");
        core.open();
        (Self { _folder: folder, counter, core }, script)
    }

    fn gateway(&self, from: &[(i32, i64)]) -> Client {
        line(self.core.addresses()[0], from)
    }

    /// The adapter connects again.
    fn back(&self, wanted: u64) -> Script {
        let (script, hello) = self.counter.accept();
        assert_eq!(hello, format!("HELLO {wanted}"));
        script
    }
}

const ALL: [(i32, i64); 2] = [(1, 1), (2, 1)];

fn order(gateway: &mut Client, cl_ord_id: &str) -> NewOrder {
    let mut order = gateway.new_order(cl_ord_id, CashMargin::CASH);
    order.base.security_id_source = SOURCE_SHENZHEN;
    order.side = Side::BUY;
    gateway.peer.send(&order);
    order
}

#[test]
fn what_the_counter_has_not_taken_is_sent_again_and_nothing_else() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    assert_eq!(script.line().unwrap(), "ORDER 2 a1 102.000001 BUY 10.0000 100.00");
    order(&mut gateway, "y");
    assert_eq!(script.line().unwrap(), "ORDER 3 a1 102.000001 BUY 10.0000 100.00");
    drop(script);
    let mut script = stage.back(1);
    script.say("WELCOME 2\n");
    assert_eq!(script.line().unwrap(), "ORDER 3 a1 102.000001 BUY 10.0000 100.00");
    script.say("ACCEPTED 1 2\nACCEPTED 2 3\nTRADED 3 2 10 100\n");
    let mut said = [told(&mut gateway.peer), told(&mut gateway.peer), told(&mut gateway.peer)];
    said.sort();
    assert_eq!(said, ["NEW x", "NEW y", "TRADE x 100.00 at 10.0000"]);
    drop(script);
    let mut script = stage.back(4);
    script.say("WELCOME 3\nTRADED 3 2 10 100\nTRADED 4 3 10 100\n");
    assert_eq!(told(&mut gateway.peer), "TRADE y 100.00 at 10.0000", "what came twice is passed over");
    eventually("counted", || stage.core.metrics.events_repeated.get() == 1);
}

#[test]
fn an_adapter_that_is_killed_knows_what_it_sent_and_what_it_was_told() {
    let (Stage { _folder, counter, core }, mut script) = Stage::set(|config| config.partitions = 1);
    let mut gateway = line(core.addresses()[0], &[(1, 1)]);
    order(&mut gateway, "x");
    script.line().expect("the order");
    order(&mut gateway, "y");
    script.line().expect("the order");
    script.say("ACCEPTED 1 2\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    let stage = Stage { _folder, counter, core: core.again() };
    assert_eq!(script.line(), None);
    let mut script = stage.back(2);
    script.say("WELCOME 3\nACCEPTED 2 3\n");
    let mut gateway = stage.gateway(&[(1, 1)]);
    assert_eq!(told(&mut gateway.peer), "NEW x", "the day again");
    assert_eq!(told(&mut gateway.peer), "NEW y");
    let mut other = line(stage.core.addresses()[1], &[(1, 3)]);
    script.say("TRADED 3 2 10 100\n");
    assert_eq!(told(&mut other.peer), "TRADE x 100.00 at 10.0000");
}

#[test]
fn a_repeated_order_has_one_fate_whenever_it_comes() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    order(&mut gateway, "x");
    order(&mut gateway, "y");
    script.line().expect("x");
    assert!(script.line().unwrap().starts_with("ORDER 4 "), "x once, then y");
    script.say("ACCEPTED 1 2\n");
    assert_eq!(told(&mut gateway.peer), "NEW x", "the answer to both");
    order(&mut gateway, "x");
    assert_eq!(told(&mut gateway.peer), "REJECTED x DUPLICATE_ORDER");
    eventually("counted", || stage.core.metrics.repeats.get() == 1 && stage.core.metrics.answered.get() == 1);
}

/// A gateway whose line has died sends again what has no report. To refuse that would tell the client that an order that lives
/// does not.
#[test]
fn what_is_sent_again_while_the_counter_is_away_is_not_refused() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x");
    drop(script);
    let mut script = stage.back(1);
    drop(gateway);
    let mut gateway = line(stage.core.addresses()[1], &ALL);
    order(&mut gateway, "x");
    order(&mut gateway, "y");
    assert_eq!(told(&mut gateway.peer), "refused y: counter not reachable (4)", "not x");
    script.say("WELCOME 0\n");
    assert!(script.line().unwrap().starts_with("ORDER 2 "));
    script.say("ACCEPTED 1 2\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    eventually("counted", || stage.core.metrics.repeats.get() == 1);
}

#[test]
fn an_order_that_has_waited_too_long_is_rejected_and_never_sent() {
    let (stage, mut script) = Stage::set(|config| config.counter.send_within_ms = 0);
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x, on its way at once");
    drop(script);
    let mut script = stage.back(1);
    script.say("WELCOME 0\n");
    assert_eq!(told(&mut gateway.peer), "REJECTED x OTHER");
    let stage = Stage { core: stage.core.again(), ..stage };
    let mut again = stage.back(1);
    again.say("WELCOME 0\n");
    let mut gateway = stage.gateway(&ALL);
    assert_eq!(told(&mut gateway.peer), "REJECTED x OTHER", "written down");
    order(&mut gateway, "y");
    assert!(again.line().unwrap().starts_with("ORDER 4 "), "3 was the adapter's own word");
    drop(script);
}

#[test]
fn a_counter_that_breaks_the_protocol_is_let_go_and_dialled_again() {
    let nonsense = [
        ("ACCEPTED 2 2\n", "gap in the events"),
        ("ACCEPTED 0 2\n", "gap in the events"),
        ("BLAH\n", "unknown line"),
        ("WELCOME 0\n", "opened twice"),
    ];
    let (stage, mut script) = Stage::set(|_| {});
    for (said, reason) in nonsense {
        script.say(said);
        assert_eq!(script.line(), None, "closed after {said}");
        script = stage.back(1);
        script.say("WELCOME 0\n");
        eventually("counted", || stage.core.ended(reason) > 0);
    }
    let long = "x".repeat(300);
    script.say(&long);
    assert_eq!(script.line(), None);
    eventually("counted", || stage.core.ended("line too long") == 1);
    let mut script = stage.back(1);
    script.say("WELCOME 9\n");
    assert_eq!(script.line(), None, "it has requests that were never made here");
    eventually("counted", || stage.core.ended("requests of another day") == 1);
}

#[test]
fn a_counter_that_has_forgotten_what_it_told_of_is_not_used() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x");
    script.say("ACCEPTED 1 2\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    let stage = Stage { core: stage.core.again(), ..stage };
    let mut script = stage.back(2);
    script.say("WELCOME 0\n");
    assert_eq!(script.line(), None, "x would live here alone");
    eventually("counted", || stage.core.ended("requests forgotten") == 1);
}

#[test]
fn a_counter_that_does_not_open_in_time_is_dialled_again_and_requests_are_refused_meanwhile() {
    let (stage, script) = Stage::set(|config| config.counter.open_timeout_ms = 2_000);
    drop(script);
    let silent = stage.back(1);
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    assert_eq!(told(&mut gateway.peer), "refused x: counter not reachable (4)");
    eventually("given up", || stage.core.ended("did not open") > 0);
    drop(silent);
}

#[test]
fn an_event_that_fits_no_order_is_counted_and_passed_over() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x");
    script.say("TRADED 1 2 10 100\nACCEPTED 2 77\nACCEPTED 3 2\nTRADED 4 2 10 100.01\nTRADED 5 2 10 100\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    assert_eq!(told(&mut gateway.peer), "TRADE x 100.00 at 10.0000");
    assert_eq!(stage.core.metrics.senseless.get(), 3);
    let stage = Stage { core: stage.core.again(), ..stage };
    assert_eq!(stage.core.metrics.senseless.get(), 3, "the same day, read again");
    let mut script = stage.back(6);
    script.say("WELCOME 2\n");
    stage.core.open();
}

#[test]
fn events_of_others_orders_are_counted_along_and_told_nobody() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x");
    script.say("OTHER 1\nACCEPTED 2 2\nOTHER 3\nTRADED 4 2 10 100\nOTHER 5\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    assert_eq!(told(&mut gateway.peer), "TRADE x 100.00 at 10.0000");
    let stage = Stage { core: stage.core.again(), ..stage };
    let mut script = stage.back(5);
    script.say("WELCOME 2\nOTHER 5\nOTHER 7\n");
    assert_eq!(script.line(), None, "6 is missing");
    eventually("counted", || stage.core.ended("gap in the events") == 1);
}

#[test]
fn what_the_counter_has_no_word_for_is_rejected_here() {
    let (stage, mut script) = Stage::set(|_| {});
    let mut gateway = stage.gateway(&ALL);
    let market = gateway.new_order("m", CashMargin::MARGIN_OPEN);
    gateway.peer.send(&market);
    assert_eq!(told(&mut gateway.peer), "REJECTED m UNSUPPORTED");
    gateway.cancel("c", "m", "");
    assert_eq!(told(&mut gateway.peer), "not cancelled c: too late");
    gateway.cancel("d", "nothing", "");
    assert_eq!(told(&mut gateway.peer), "not cancelled d: unknown order");
    order(&mut gateway, "x");
    assert!(script.line().unwrap().starts_with("ORDER "), "the first that it sees");
}

#[test]
fn a_day_is_bounded_and_belongs_to_its_settings() {
    let (stage, mut script) = Stage::set(|config| {
        config.limits.in_flight_max = 1;
        config.limits.inputs_max = 3;
    });
    let mut gateway = stage.gateway(&ALL);
    order(&mut gateway, "x");
    script.line().expect("x");
    order(&mut gateway, "y");
    assert_eq!(told(&mut gateway.peer), "refused y: too many requests under way (4)");
    script.say("ACCEPTED 1 2\n");
    assert_eq!(told(&mut gateway.peer), "NEW x");
    // The counter's word was number 3.
    order(&mut gateway, "z");
    assert_eq!(told(&mut gateway.peer), "refused z: too many requests today (4)");
    let config = stage.core.stop();
    let other = Config { core_no: 2, lines: vec![crate::town::ANY], ..config };
    let bound = Adapter::bind(other, broker_example::lines::Lines::default(), &Host::default());
    assert!(matches!(bound.err(), Some(BindError::Settings)));
}
