//! The audit in a stream of three NATS servers, of which one dies. Skipped where nats-server is not installed
//! (`.ci/peers` installs it); with CI=true that is a failure.

#[path = "peers/nats.rs"]
mod nats;
mod peers;

use gateway::audit::{JetStreamSettings, JetStreamStore, Kind, Record, Store};
use gateway::config::{CoreName, JetStream};
use nats::{Cluster, NODES, TIMEOUT_MS};
use peers::{Client, Core, Gateway, config, eventually};
use std::collections::HashSet;
use std::time::Duration;
use wire::szse::code::CashMargin;

fn settings(servers: &[String]) -> JetStreamSettings {
    JetStreamSettings {
        servers: servers.to_vec(),
        stream: "audit".to_owned(),
        replicas: NODES,
        timeout: Duration::from_millis(TIMEOUT_MS),
    }
}

/// Opens it once the cluster has found itself.
fn opened(servers: &[String]) -> JetStreamStore {
    let mut store = None;
    eventually("the cluster has a leader", || {
        store = JetStreamStore::open(settings(servers)).ok();
        store.is_some()
    });
    store.expect("open")
}

/// The records of the stream, in order.
fn kept(servers: &[String]) -> Vec<(String, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = async_nats::connect(servers).await.expect("connected");
        let context = async_nats::jetstream::new(client);
        let mut stream = context.get_stream("audit").await.expect("there");
        let state = stream.info().await.expect("told").state.clone();
        let mut all = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("kept");
            all.push((message.subject.to_string(), message.payload.to_vec()));
        }
        all
    })
}

#[test]
fn a_node_dies_while_it_is_written_and_nothing_is_missing_or_there_twice() {
    let Some(mut cluster) = Cluster::start() else { return };
    let mut store = opened(&cluster.servers);
    let mut written = 0_u64;
    let mut failures = 0;
    for batch in 0..60 {
        for _ in 0..20 {
            written += 1;
            store
                .append(Kind::Operator, written, &[b"record ", written.to_string().as_bytes()])
                .expect("room");
        }
        if batch == 20 {
            cluster.nodes[0].kill();
        }
        eventually("committed, by whichever node leads", || {
            let committed = store.commit();
            failures += u32::from(committed.is_err());
            committed.is_ok()
        });
    }
    drop(store);
    let payloads: Vec<String> = kept(&cluster.servers[1..])
        .into_iter()
        .map(|(_, bytes)| String::from_utf8_lossy(&bytes[10..]).into_owned())
        .collect();
    let expected: Vec<String> = (1..=written).map(|number| format!("record {number}")).collect();
    assert_eq!(payloads, expected, "after {failures} commits that failed");
}

#[test]
fn of_two_writers_of_a_stream_the_second_writes_nothing_however_often_it_tries() {
    let Some(cluster) = Cluster::start() else { return };
    let (mut one, mut two) = (opened(&cluster.servers), opened(&cluster.servers));
    let write = |store: &mut JetStreamStore, what: &str| {
        for number in 1..=3 {
            store.append(Kind::Operator, number, &[what.as_bytes()]).expect("room");
        }
        store.commit()
    };
    eventually("the first has written", || one.commit().is_ok() && write(&mut one, "one").is_ok());
    for _ in 0..3 {
        write(&mut two, "two").expect_err("it is the second");
    }
    assert!(two.commit().expect_err("for good").to_string().contains("another writer"));
    write(&mut one, "one").expect("it goes on");
    // A third one, which is opened behind all that, takes over; the first is told.
    let mut three = opened(&cluster.servers);
    write(&mut three, "three").expect("it has the place");
    write(&mut one, "late").expect_err("it is no longer the writer");
    write(&mut one, "late").expect_err("not after a failed batch either");
    let payloads: Vec<String> = kept(&cluster.servers)
        .into_iter()
        .map(|(_, bytes)| String::from_utf8_lossy(&bytes[10..]).into_owned())
        .collect();
    assert_eq!(payloads, ["one", "one", "one", "one", "one", "one", "three", "three", "three"]);
}

#[test]
fn a_gateway_that_starts_again_goes_on_behind_the_last_report_of_each_partition() {
    let Some(cluster) = Cluster::start() else { return };
    drop(opened(&cluster.servers));
    let core = Core::listen(&[1, 2]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.audit.jetstream = Some(JetStream {
        servers: cluster.servers.clone(),
        stream: "audit".to_owned(),
        replicas: NODES,
        timeout_ms: TIMEOUT_MS,
    });
    let mut seen = HashSet::new();
    for run in 0..2 {
        let (gateway, mut line) = Gateway::with_line(&core, config.clone());
        let mut client = Client::ready(gateway.address, 1);
        let order = client.new_order("x", CashMargin::CASH);
        if run == 0 {
            client.peer.send(&order);
            line.order();
        }
        // The whole day again, and one more than before.
        for index in 1..=3 + run {
            line.accept(&order, 1, index);
            line.accept(&order, 2, index);
            client.report();
            client.report();
        }
        eventually("safe", || gateway.metrics.audit_lag.get() == 0);
        gateway.stop();
    }
    for (subject, bytes) in kept(&cluster.servers) {
        if let Ok(Record::Report { partition_no, report_index, .. }) = Record::parse(2, &bytes[10..])
            && subject.starts_with("audit.report.")
        {
            assert!(seen.insert((partition_no, report_index)), "{partition_no}/{report_index} twice");
        }
    }
    assert_eq!(seen.len(), 8);
}
