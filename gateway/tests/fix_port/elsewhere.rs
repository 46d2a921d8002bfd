//! Sessions whose memory is in JetStream go on through another gateway. Skipped where nats-server is not installed (`.ci/peers` installs
//! it); with CI=true that is a failure.

use crate::House;
use crate::client::{FixClient, field, repeats};
use crate::nats::{Cluster, NODES, TIMEOUT_MS};
use crate::peers::{self, Core, text};
use gateway::Config;
use gateway::config::JetStream;
use gateway::fix::config::Kind;
use std::io::Read;
use wire::szse::Message;
use wire::szse::trading::{BusinessReject, NewOrder};

pub(crate) fn elsewhere(servers: &[String]) -> impl Fn(&mut Config) {
    let servers = servers.to_vec();
    move |config| {
        config.fix.store.kind = Kind::JetStream;
        config.fix.store.jetstream = Some(JetStream {
            servers: servers.clone(),
            stream: "fix".to_owned(),
            replicas: NODES,
            timeout_ms: TIMEOUT_MS,
        });
    }
}

/// Two gateways, each with an end of the cores' flow.
fn two_houses(cluster: &Cluster) -> [House; 2] {
    ["a", "b"].map(|name| {
        House::around(Core::listen(&[1, 2]), &cluster.path().join(name), elsewhere(&cluster.servers))
    })
}

pub(crate) fn stop(houses: [House; 2]) {
    houses.into_iter().for_each(|house| house.gateway.stop());
}

pub(crate) fn log_on(house: &House) -> FixClient {
    let mut client = FixClient::new(FixClient::config(1));
    through(&mut client, house);
    client
}

/// Logged on, as soon as the servers have found a leader: a logon is refused meanwhile.
pub(crate) fn through(client: &mut FixClient, house: &House) {
    peers::eventually("logged on", || {
        client.connect(house.address);
        while client.turn() && !client.session.is_active() {}
        client.session.is_active()
    });
}

pub(crate) fn named(order: &NewOrder, id: &str) -> NewOrder {
    NewOrder { cl_ord_id: text(id), ..*order }
}

/// An order that has been accepted through the first gateway, as report 1 of both.
pub(crate) fn resting([here, there]: &mut [House; 2], client: &mut FixClient) -> NewOrder {
    client.order("x", "");
    let order = here.line.order();
    here.accept(&order, 1);
    there.accept(&order, 1);
    client.expect(&["150=0", "11=x", "17=e1-1"]);
    order
}

#[test]
fn a_session_goes_on_through_another_gateway_and_back_while_a_server_dies() {
    let Some(mut cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster);
    let mut client = log_on(&houses[0]);
    let order = resting(&mut houses, &mut client);
    // Sent through the first gateway, and lost on its way.
    houses[0].accept(&named(&order, "y"), 2);
    peers::eventually("it is sent", || houses[0].gateway.metrics.fix_reports.get() == 2);
    client.lose();
    cluster.nodes[0].kill();
    houses[1].accept(&named(&order, "y"), 2);
    for house in &mut houses {
        house.accept(&named(&order, "z"), 3);
    }

    through(&mut client, &houses[1]);
    let again = client.expect(&["17=e1-2"]);
    assert!(repeats(&again), "the message that the first gateway sent, from the store: {again}");
    assert_eq!(field(&again, 43), Some("Y"));
    client.expect(&["17=e1-3"]);
    client.order("w", "");
    let order = houses[1].line.order();
    assert_eq!(order.cl_ord_id, text("w"));
    for house in &mut houses {
        house.accept(&order, 4);
    }
    client.expect(&["11=w", "17=e1-4"]);
    client.log_out();
    assert_eq!(client.ended.as_deref(), Some(""), "an orderly end, which is told after it is safe");

    // Back to the first, which has had it and knows that it does no longer.
    through(&mut client, &houses[0]);
    for house in &mut houses {
        house.accept(&named(&order, "v"), 5);
    }
    let next = client.expect(&["17=e1-5"]);
    assert!(!repeats(&next), "{next}");
    let took: Vec<_> = houses.iter().map(|house| house.gateway.metrics.fix_takeovers.get()).collect();
    assert!(took[0] >= 2 && took[1] >= 1, "{took:?}");
    client.lose();
    // A short absence: nobody else had it.
    peers::eventually("missed", || houses[0].gateway.metrics.fix_sessions.get() == 0);
    through(&mut client, &houses[0]);
    assert_eq!(houses[0].gateway.metrics.fix_takeovers.get(), took[0]);
    stop(houses);
}

#[test]
fn a_gateway_whose_session_was_taken_over_says_nothing_more_in_it() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster);
    let mut client = log_on(&houses[0]);
    let order = resting(&mut houses, &mut client);
    let mut left = client.turn_away();
    client.connect(houses[1].address);
    client.logged_on();
    houses[0].accept(&named(&order, "y"), 2);
    let mut said = Vec::new();
    left.read_to_end(&mut said).expect("the end");
    assert_eq!(String::from_utf8_lossy(&said), "", "the report is the other gateway's to send");
    let metrics = &houses[0].gateway.metrics;
    let reason = ["taken over by another gateway"];
    peers::eventually("counted", || metrics.fix_store_failures.with_label_values(&reason).get() == 1);
    peers::eventually("ended", || houses[0].gateway.ended(reason[0]) == 1);
    houses[1].accept(&named(&order, "y"), 2);
    client.expect(&["17=e1-2"]);
    stop(houses);
}

#[test]
fn a_reset_begins_anew_and_what_was_before_it_is_let_go() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster);
    let mut client = log_on(&houses[0]);
    resting(&mut houses, &mut client);
    client.log_out();
    let mut client = FixClient::new(fix::session::Config { reset_on_logon: true, ..FixClient::config(1) });
    client.connect(houses[1].address);
    client.logged_on();
    client.expect(&["17=e1-1", "97=Y", "34=2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kept = || {
        runtime.block_on(async {
            let client = async_nats::connect(&cluster.servers[..]).await.expect("connected");
            let context = async_nats::jetstream::new(client);
            let mut stream = context.get_stream("fix").await.expect("there");
            stream.info().await.expect("told").state.first_sequence
        })
    };
    peers::eventually("the day before is let go", || kept() > 1);
    stop(houses);
}

#[test]
fn what_a_core_refuses_after_its_client_has_gone_elsewhere_is_counted_and_the_client_learns_of_it_there() {
    let Some(cluster) = Cluster::start() else { return };
    let mut houses = two_houses(&cluster);
    let mut client = log_on(&houses[0]);
    client.order("x", "");
    let order = houses[0].line.order();
    let mut left = client.turn_away();
    through(&mut client, &houses[1]);
    let reject = BusinessReject {
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: order.cl_ord_id,
        business_reject_text: text("not taken"),
        ..BusinessReject::default()
    };
    houses[0].line.peer.send(&reject);
    let lost = |house: &House| house.gateway.metrics.fix_refusals_lost.get();
    peers::eventually("counted", || lost(&houses[0]) == 1);
    let mut said = Vec::new();
    left.read_to_end(&mut said).expect("the end");
    assert_eq!(String::from_utf8_lossy(&said), "", "nothing is said in a session that is another's");
    // Of one that is known to be another's nothing is even numbered.
    houses[0].line.peer.send(&reject);
    peers::eventually("counted", || lost(&houses[0]) == 2);
    // Where the client is, nobody knows of the order, which is true, and it may be sent again.
    client.tell("H", "11=x|55=000001|207=XSHE|54=1|");
    client.expect(&["150=I", "39=8", "103=5", "11=x"]);
    client.tell("D", "97=Y|11=x|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|");
    let order = houses[1].line.order();
    houses.iter_mut().for_each(|house| house.accept(&order, 1));
    client.expect(&["150=0", "11=x"]);
    // A client that is only away gets it when it comes back.
    client.order("y", "");
    let order = houses[1].line.order();
    client.lose();
    peers::eventually("missed", || houses[1].gateway.metrics.fix_sessions.get() == 0);
    houses[1].line.peer.send(&BusinessReject { business_reject_ref_id: order.cl_ord_id, ..reject });
    peers::eventually("refused", || {
        houses[1].gateway.metrics.core_rejects.with_label_values(&["cash"]).get() == 1
    });
    through(&mut client, &houses[1]);
    client.expect(&["35=8", "150=8", "39=8", "11=y", "58=not taken"]);
    assert_eq!(lost(&houses[1]), 0);
    stop(houses);
}

#[test]
fn without_its_servers_a_gateway_starts_and_refuses_logons() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path(), |config| {
        elsewhere(&["nats://127.0.0.1:1".to_owned()])(config);
        config.fix.store.jetstream.as_mut().expect("set above").timeout_ms = 50;
    });
    let mut client = FixClient::new(FixClient::config(1));
    client.connect(house.address);
    assert_eq!(client.expect_end(), "closed", "without a number no word can be said");
    let refused = |reason| house.gateway.metrics.fix_logons_refused.with_label_values(&[reason]).get();
    assert_eq!(refused("session store not reachable"), 1);
    let failures = &house.gateway.metrics.fix_store_failures;
    assert_eq!(failures.with_label_values(&["session store failed"]).get(), 1);
    // Who is not admitted does not get as far as the store.
    let mut wrong = FixClient::config(1);
    wrong.credentials.as_mut().expect("set").password = "wrong".to_owned();
    let mut client = FixClient::new(wrong);
    client.connect(house.address);
    assert_eq!(client.expect_end(), "closed");
    assert_eq!(refused("Username or Password is wrong"), 1);
    assert_eq!(failures.with_label_values(&["session store failed"]).get(), 1);
    house.gateway.stop();
}
