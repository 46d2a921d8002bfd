//! Cancel on disconnect of sessions in JetStream: who has a session cancels what it has left open, and nobody else does, whatever became
//! of the store's answers; and what its client has sent by the binary port is cancelled where it was sent.

use crate::House;
use crate::client::FixClient;
use crate::elsewhere::{elsewhere, log_on, named, resting, stop, through};
use crate::gate::Gate;
use crate::nats::Cluster;
use crate::peers::{self, Client, Core, Gateway, text};
use gateway::config::{CancelOnDisconnect, CoreName};
use gateway::{Config, Server};
use service::admin::{Admin, Serving};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use wire::szse::code::{CashMargin, ExecType, OrdStatus};
use wire::szse::trading::{BusinessReject, NewOrder, OrderCancelRequest, OrderReport};
use wire::szse::{Logout, Message, Qty};

const TOKEN: &str = "0123456789abcdef";

/// What a gateway has that cancels for c1 after this grace.
fn cancels(servers: &[String], grace_ms: u32) -> impl Fn(&mut Config) {
    let elsewhere = elsewhere(servers);
    move |config| {
        elsewhere(config);
        config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: text("c1"), grace_ms }];
    }
}

/// A gateway with an end of the cores' flow, and its way to the store.
fn house(cluster: &Cluster, name: &str, servers: &[String], grace_ms: u32) -> House {
    House::around(Core::listen(&[1, 2]), &cluster.path().join(name), cancels(servers, grace_ms))
}

/// Two gateways, each with an end of the cores' flow.
fn two_houses(cluster: &Cluster, grace_ms: u32) -> [House; 2] {
    ["a", "b"].map(|name| house(cluster, name, &cluster.servers, grace_ms))
}

/// The same, and a gate before the store of the first or the second.
fn gated(cluster: &Cluster, which: usize, grace_ms: u32) -> (Gate, [House; 2]) {
    let gate = Gate::before(&cluster.servers[0]);
    let behind = [gate.server()];
    let servers = |at: usize| if at == which { &behind[..] } else { &cluster.servers[..] };
    let houses = [house(cluster, "a", servers(0), grace_ms), house(cluster, "b", servers(1), grace_ms)];
    (gate, houses)
}

/// c1 has an order open that was sent through the first gateway, and is nowhere any more.
fn gone_from_the_first(houses: &mut [House; 2]) -> (FixClient, NewOrder) {
    let mut client = log_on(&houses[0]);
    let order = resting(houses, &mut client);
    client.lose();
    missed(&houses[0]);
    (client, order)
}

fn missed(house: &House) {
    peers::eventually("missed", || house.gateway.metrics.fix_sessions.get() == 0);
}

/// The gateway knows that the session is another one's.
fn went_on(house: &House) {
    peers::eventually("it is another's", || house.gateway.metrics.fix_went_on.get() == 1);
}

/// How often the store has not answered a gateway: also while it begins.
fn not_answered(house: &House) -> u64 {
    house.gateway.metrics.fix_store_failures.with_label_values(&["session store failed"]).get()
}

/// What the gateway cancels next, nothing else having come over its line before.
fn cancelled(house: &mut House) -> String {
    house.line.peer.expect::<OrderCancelRequest>().orig_cl_ord_id.to_string()
}

/// The gateway cancels nothing: what comes over its line is what another client asks for now.
fn cancels_nothing(house: &mut House, other: &mut Client, name: &str) {
    other.order(name, CashMargin::CASH);
    assert_eq!(house.line.order().cl_ord_id, text(name), "an order, not a cancel");
}

#[test]
fn what_a_session_left_open_at_the_gateway_before_is_cancelled_by_the_one_where_it_ends() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 0);
    let mut client = log_on(&houses[0]);
    let order = resting(&mut houses, &mut client);
    // Another client's, who is nowhere near.
    let others = NewOrder { account_id: text("a2"), ..named(&order, "x2") };
    houses.iter_mut().for_each(|house| house.accept(&others, 2));
    let left = client.turn_away();
    through(&mut client, &houses[1]);
    // Sent through the first gateway before it lost the session, and reported later.
    houses.iter_mut().for_each(|house| house.accept(&named(&order, "y"), 3));
    client.expect(&["11=y"]);
    client.order("w", "");
    let order = houses[1].line.order();
    houses.iter_mut().for_each(|house| house.accept(&order, 4));
    client.expect(&["11=w"]);
    client.lose();
    let mut cancelled: Vec<_> = (0..3)
        .map(|_| houses[1].line.peer.expect::<OrderCancelRequest>())
        .map(|cancel| cancel.orig_cl_ord_id.to_string())
        .collect();
    cancelled.sort_unstable();
    assert_eq!(cancelled, ["w", "x", "y"], "by whichever gateway they were sent");
    // Nothing else is: what comes behind them on the line is what a client asks for.
    let mut other = FixClient::log_on(houses[1].address, 2);
    other.order("v", "");
    assert_eq!(houses[1].line.order().cl_ord_id, text("v"));
    drop(left);
    stop(houses);
}

#[test]
fn who_goes_on_elsewhere_within_its_grace_keeps_its_orders() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 1_000);
    let mut client = log_on(&houses[0]);
    resting(&mut houses, &mut client);
    client.lose();
    peers::eventually("missed", || houses[0].gateway.metrics.fix_sessions.get() == 0);
    through(&mut client, &houses[1]);
    // The gateway that it left has no word of where it is, and asks when the grace is over.
    went_on(&houses[0]);
    let mut other = FixClient::log_on(houses[0].address, 2);
    other.order("v", "");
    assert_eq!(houses[0].line.order().cl_ord_id, text("v"), "an order, not a cancel");
    client.lose();
    let cancel: OrderCancelRequest = houses[1].line.peer.expect();
    assert_eq!(cancel.orig_cl_ord_id, text("x"), "where it ends");
    stop(houses);
}

/// c1 has two sessions at the first gateway, and an order open by each: "x" by FIX, and "b", which is given back.
fn by_both_ports(houses: &mut [House; 2]) -> (FixClient, Client, NewOrder) {
    let mut client = log_on(&houses[0]);
    resting(houses, &mut client);
    let mut binary = Client::ready(houses[0].gateway.address, 1);
    binary.order("b", CashMargin::CASH);
    let order = houses[0].line.order();
    houses.iter_mut().for_each(|house| house.accept(&order, 2));
    client.expect(&["11=b", "150=0"]);
    (client, binary, order)
}

/// c1 goes on through the second gateway, of which the first hears when it has something to say: the report of "y", which is the third.
fn taken_from_the_first(houses: &mut [House; 2], client: &mut FixClient, order: &NewOrder) {
    let left = client.turn_away();
    through(client, &houses[1]);
    houses.iter_mut().for_each(|house| house.accept(&named(order, "y"), 3));
    client.expect(&["11=y"]);
    went_on(&houses[0]);
    drop(left);
}

/// The first gateway cancels "b" and nothing else; the cores report so.
fn only_b_is_cancelled(houses: &mut [House; 2], client: &mut FixClient, order: &NewOrder, index: i64) {
    let cancel: OrderCancelRequest = houses[0].line.peer.expect();
    assert_eq!(cancel.orig_cl_ord_id, order.cl_ord_id);
    let mut other = Client::ready(houses[0].gateway.address, 2);
    cancels_nothing(&mut houses[0], &mut other, "v");
    for house in houses {
        house.line.peer.send(&OrderReport {
            exec_type: ExecType::CANCELLED,
            ord_status: OrdStatus::CANCELLED,
            cl_ord_id: cancel.cl_ord_id,
            orig_cl_ord_id: cancel.orig_cl_ord_id,
            order_id: cancel.order_id,
            leaves_qty: Qty::ZERO,
            ..crate::accepted(order, 1, index)
        });
    }
    client.expect(&["39=4", "41=b"]);
}

/// It ends at the second gateway.
fn lost_at_the_second(houses: &mut [House; 2], client: &mut FixClient, open: &[&str]) {
    client.lose();
    let mut left: Vec<_> = open.iter().map(|_| cancelled(&mut houses[1])).collect();
    left.sort_unstable();
    assert_eq!(left, open);
}

#[test]
fn a_binary_session_that_ends_after_its_clients_fix_session_was_taken_over_takes_its_own_orders_with_it() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 0);
    let (mut client, binary, order) = by_both_ports(&mut houses);
    taken_from_the_first(&mut houses, &mut client, &order);
    drop(binary);
    only_b_is_cancelled(&mut houses, &mut client, &order, 4);
    lost_at_the_second(&mut houses, &mut client, &["x", "y"]);
    stop(houses);
}

#[test]
fn a_binary_session_that_ends_takes_its_own_orders_with_it_also_where_the_store_must_say_that_fix_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 0);
    let (mut client, binary, order) = by_both_ports(&mut houses);
    client.lose();
    missed(&houses[0]);
    through(&mut client, &houses[1]);
    drop(binary);
    only_b_is_cancelled(&mut houses, &mut client, &order, 3);
    went_on(&houses[0]);
    let mut other = Client::ready(houses[0].gateway.address, 2);
    cancels_nothing(&mut houses[0], &mut other, "w");
    lost_at_the_second(&mut houses, &mut client, &["x"]);
    stop(houses);
}

#[test]
fn what_a_binary_session_that_has_ended_left_open_does_not_go_on_with_its_clients_fix_session() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 0);
    let (mut client, binary, order) = by_both_ports(&mut houses);
    drop(binary);
    peers::eventually("it has ended", || houses[0].gateway.metrics.sessions.get() == 0);
    let mut other = Client::ready(houses[0].gateway.address, 2);
    // Its client is logged on here still.
    cancels_nothing(&mut houses[0], &mut other, "u");
    taken_from_the_first(&mut houses, &mut client, &order);
    only_b_is_cancelled(&mut houses, &mut client, &order, 4);
    lost_at_the_second(&mut houses, &mut client, &["x", "y"]);
    stop(houses);
}

#[test]
fn who_is_not_let_in_where_it_goes_on_has_its_orders_cancelled_there() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 1_000);
    gone_from_the_first(&mut houses);
    peers::eventually("it is told why", || {
        // One that has lost its numbers, and does not say so.
        let mut client = FixClient::new(FixClient::config(1));
        client.connect(houses[1].address);
        client.expect_end().starts_with("MsgSeqNum too low")
    });
    assert_eq!(cancelled(&mut houses[1]), "x");
    stop(houses);
}

#[test]
fn who_tries_again_and_again_and_is_not_let_in_does_not_put_off_the_end_of_its_grace() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 1_000);
    gone_from_the_first(&mut houses);
    let cancels = houses[1].gateway.metrics.disconnect_cancels.clone();
    peers::eventually("cancelled", || {
        let mut client = FixClient::new(FixClient::config(1));
        client.connect(houses[1].address);
        client.expect_end();
        cancels.get() >= 1
    });
    assert_eq!(cancelled(&mut houses[1]), "x");
    stop(houses);
}

#[test]
fn a_claim_whose_answer_is_lost_is_followed_to_the_end_of_its_session() {
    let Some(cluster) = Cluster::start() else { return };
    let (gate, mut houses) = gated(&cluster, 1, 1_000);
    let (mut client, _) = gone_from_the_first(&mut houses);
    // It has a connection to the store.
    let mut other = FixClient::new(FixClient::config(2));
    through(&mut other, &houses[1]);
    gate.shut();
    client.connect(houses[1].address);
    assert_eq!(client.expect_end(), "closed", "without a number no word can be said");
    gate.open();
    assert_eq!(cancelled(&mut houses[1]), "x");
    stop(houses);
}

/// A gateway whose operator may command.
fn operated(folder: &Path, change: impl FnOnce(&mut Config)) -> (House, Serving) {
    let core = Core::listen(&[1, 2]);
    let mut config = crate::config(&[(CoreName::Cash, &core, 0)], folder);
    change(&mut config);
    config.control.token_file = folder.join("tokens");
    config.control.kill_file = folder.join("kill.toml");
    std::fs::create_dir_all(folder).expect("made");
    std::fs::write(&config.control.token_file, format!("operate alice {TOKEN}\n")).expect("written");
    let host = service::Host::default();
    let server = Server::bind(config, &host).expect("bound");
    let admin = Admin::bind(&service::admin::Config::default(), &host).expect("bound");
    let admin = admin.routes(server.routes()).start().expect("served");
    let gateway = Gateway::run(server, host);
    let address = gateway.fix_address.expect("configured");
    let (line, _) = core.accept();
    (House { core, line, gateway, address }, admin)
}

/// The operator ends c1's connection; whether it had one.
fn dismissed(admin: &Serving) -> bool {
    let mut stream = TcpStream::connect(admin.address()).expect("it listens");
    let asked = format!(
        "POST /sessions/c1/disconnect HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn a_claim_that_comes_behind_the_end_of_its_connection_is_followed_too() {
    let Some(cluster) = Cluster::start() else { return };
    let gate = Gate::before(&cluster.servers[0]);
    let a = House::around(Core::listen(&[1, 2]), &cluster.path().join("a"), cancels(&cluster.servers, 1_000));
    let (b, admin) = operated(&cluster.path().join("b"), cancels(&[gate.server()], 1_000));
    let mut houses = [a, b];
    let (mut client, _) = gone_from_the_first(&mut houses);
    let mut other = FixClient::new(FixClient::config(2));
    through(&mut other, &houses[1]);
    gate.shut();
    client.connect(houses[1].address);
    peers::eventually("it waits for its claim", || dismissed(&admin));
    assert_eq!(client.expect_end(), "closed");
    gate.open();
    assert_eq!(cancelled(&mut houses[1]), "x");
    stop(houses);
}

#[test]
fn a_batch_that_was_not_answered_does_not_cost_a_session_its_orders() {
    let Some(cluster) = Cluster::start() else { return };
    let (gate, mut houses) = gated(&cluster, 0, 1_000);
    let mut client = log_on(&houses[0]);
    let order = resting(&mut houses, &mut client);
    gate.shut();
    let before = not_answered(&houses[0]);
    houses.iter_mut().for_each(|house| house.accept(&named(&order, "y"), 2));
    peers::eventually("a batch", || not_answered(&houses[0]) > before);
    assert_eq!(client.expect_end(), "closed");
    through(&mut client, &houses[1]);
    // Its grace is over where it was.
    peers::eventually("a question", || not_answered(&houses[0]) > before + 1);
    let mut other = Client::ready(houses[0].gateway.address, 2);
    cancels_nothing(&mut houses[0], &mut other, "v");
    gate.open();
    went_on(&houses[0]);
    cancels_nothing(&mut houses[0], &mut other, "w");
    client.lose();
    let mut left = [(); 2].map(|()| cancelled(&mut houses[1]));
    left.sort_unstable();
    assert_eq!(left, ["x", "y"], "where it ends");
    stop(houses);
}

#[test]
fn what_a_core_refuses_while_it_is_asked_whose_a_session_is_does_not_make_it_anothers() {
    let Some(cluster) = Cluster::start() else { return };
    let (gate, mut houses) = gated(&cluster, 0, 0);
    let mut client = log_on(&houses[0]);
    resting(&mut houses, &mut client);
    client.order("y", "");
    let order = houses[0].line.order();
    // What is answered behind it says that it was kept.
    client.order("x", "");
    client.expect(&["103=6", "11=x"]);
    gate.shut();
    client.lose();
    missed(&houses[0]);
    houses[0].line.peer.send(&BusinessReject {
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: order.cl_ord_id,
        business_reject_text: text("not taken"),
        ..BusinessReject::default()
    });
    peers::eventually("refused", || {
        houses[0].gateway.metrics.core_rejects.with_label_values(&["cash"]).get() == 1
    });
    gate.open();
    assert_eq!(cancelled(&mut houses[0]), "x");
    through(&mut client, &houses[0]);
    client.expect(&["35=8", "150=8", "39=8", "11=y", "58=not taken"]);
    let metrics = &houses[0].gateway.metrics;
    assert_eq!((metrics.fix_refusals_lost.get(), metrics.fix_went_on.get()), (0, 0));
    stop(houses);
}

#[test]
fn a_store_that_stays_silent_does_not_leave_orders_open_for_ever() {
    let Some(cluster) = Cluster::start() else { return };
    let gate = Gate::before(&cluster.servers[0]);
    let mut house = House::start(cluster.path(), |config| {
        cancels(&[gate.server()], 0)(config);
        let jetstream = config.fix.store.jetstream.as_mut().expect("set above");
        // It is asked for twenty times this.
        (jetstream.timeout_ms, jetstream.replicas) = (500, 1);
    });
    let mut client = log_on(&house);
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["11=x", "39=0"]);
    gate.shut();
    client.lose();
    assert_eq!(cancelled(&mut house), "x");
    gate.open();
    house.gateway.stop();
}

#[test]
fn a_gateway_that_is_stopped_asks_too_whose_a_session_is() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster, 600_000);
    let (mut client, _) = gone_from_the_first(&mut houses);
    through(&mut client, &houses[1]);
    let [House { gateway, mut line, .. }, there] = houses;
    let stopping = std::thread::spawn(move || gateway.running.drain(peers::DEADLINE));
    let _: Logout = line.peer.expect();
    drop(line);
    stopping.join().expect("it ends").expect("ended well");
    there.gateway.stop();
}

#[test]
fn a_gateway_that_is_stopped_does_not_wait_for_a_silent_store() {
    let Some(cluster) = Cluster::start() else { return };
    let (gate, mut houses) = gated(&cluster, 0, 600_000);
    gone_from_the_first(&mut houses);
    gate.shut();
    let [House { gateway, mut line, .. }, there] = houses;
    let stopping = std::thread::spawn(move || gateway.running.drain(peers::DEADLINE));
    let cancel: OrderCancelRequest = line.peer.expect();
    assert_eq!(cancel.orig_cl_ord_id, text("x"));
    drop(line);
    gate.open();
    stopping.join().expect("it ends").expect("ended well");
    there.gateway.stop();
}
