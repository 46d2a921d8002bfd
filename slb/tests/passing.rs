//! What happens to the bytes: half-close, death, silence, slow readers, drains.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::{
    Backend, Balancer, DIE, FLOOD, FLOOD_BYTES, GUARD, assert_echoes, assert_reset, close_sending, config,
    read, wait_for,
};
use service::Phase;
use slb::Scheduler;

const SENT: i64 = 32 << 20;

fn one(backend: &Backend) -> slb::Config {
    config(Scheduler::Rr, &[(backend.name, backend.address, 1)])
}

#[test]
fn a_client_that_closes_its_sending_half_gets_the_rest_of_the_answer() {
    let a = Backend::start('a');
    let balancer = Balancer::start(one(&a));
    let (_, mut stream) = balancer.open();
    // Long enough that reads grow; never a byte that is a command to the backend.
    let sent: Vec<u8> = (0..SENT).map(|at| (at % 191) as u8).collect();
    let mut sending = stream.try_clone().unwrap();
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sending.write_all(&sent).unwrap();
            close_sending(&sending);
        });
        stream.read_to_end(&mut received).unwrap();
    });
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"done\"}", 1);
    assert_eq!(balancer.metric("slb_backend_bytes_total{backend=\"a\",direction=\"in\",pool=\"p\"}"), SENT);
    assert_eq!(
        balancer.metric("slb_backend_bytes_total{backend=\"a\",direction=\"out\",pool=\"p\"}"),
        SENT + 1
    );
}

#[test]
fn a_backend_that_dies_takes_its_clients_with_it_and_no_others() {
    let (a, b) = (Backend::start('a'), Backend::start('b'));
    let balancer = Balancer::start(config(Scheduler::Rr, &[('a', a.address, 1), ('b', b.address, 1)]));
    let ((_, mut victim), (_, mut other)) = (balancer.open(), balancer.open());
    // More than the backend reads before it drops the connection: that is a reset.
    victim.write_all(&[DIE; 64 * 1024]).unwrap();
    assert_reset(&mut victim);
    balancer.wait_for_metric("slb_connections_open{listener=\"l\"}", 1);
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    assert_echoes(&mut other);
}

#[test]
fn a_client_that_breaks_off_gives_its_backend_free() {
    let a = Backend::start('a');
    let balancer = Balancer::start(one(&a));
    let ((_, mut leaver), (_, mut other)) = (balancer.open(), balancer.open());
    leaver.write_all(&[FLOOD]).unwrap();
    wait_for(|| balancer.metric("slb_held_bytes") > 0);
    drop(leaver); // With bytes that it has not read: that is a reset.
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    balancer.wait_for_metric("slb_backend_connections_open{backend=\"a\",pool=\"p\"}", 1);
    assert_eq!(balancer.metric("slb_held_bytes"), 0);
    assert_echoes(&mut other);
}

#[test]
fn a_silent_connection_is_closed() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.listeners[0].idle_timeout_ms = 20;
    let balancer = Balancer::start(config);
    let (_, mut stream) = balancer.open();
    let rest = std::io::copy(&mut stream, &mut std::io::sink()).expect("nothing was under way: no reset");
    assert_eq!(rest, 0);
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"idle\"}", 1);
    balancer.wait_for_metric("slb_backend_connections_open{backend=\"a\",pool=\"p\"}", 0);
}

#[test]
fn a_reader_that_stops_holds_up_itself_alone_and_little_memory() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.workers = 1; // So that all of them are on the thread of the slow one.
    let read_bytes_max = config.read_bytes_max as i64;
    let balancer = Balancer::start(config);
    let (_, mut slow) = balancer.open();
    slow.write_all(&[FLOOD]).unwrap();
    wait_for(|| balancer.metric("slb_held_bytes") > 0);
    let (_, mut quick) = balancer.open();
    for _ in 0..1000 {
        assert_echoes(&mut quick);
        assert!(balancer.metric("slb_held_bytes") <= read_bytes_max);
    }
    let mut flood = vec![0; FLOOD_BYTES];
    slow.read_exact(&mut flood).unwrap();
    assert!(flood.iter().all(|&byte| byte == b'.'));
    assert_eq!(balancer.metric("slb_held_bytes"), 0);
    assert_echoes(&mut slow);
}

#[test]
fn a_reader_that_takes_nothing_for_long_is_cut_only_where_a_user_timeout_is_set() {
    let a = Backend::start('a');
    let mut config = one(&a);
    config.listeners[0].idle_timeout_ms = 3_600_000;
    let patient = Balancer::start(config.clone());
    // Linux counts a full window as bytes that are not acknowledged.
    config.socket.user_timeout_ms = 300;
    let impatient = Balancer::start(config);
    let mut stalled = [&patient, &impatient].map(|balancer| {
        let (_, mut slow) = balancer.open();
        slow.write_all(&[FLOOD]).unwrap();
        wait_for(|| balancer.metric("slb_held_bytes") > 0);
        slow
    });
    impatient.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    let mut flood = vec![0; FLOOD_BYTES];
    stalled[0].read_exact(&mut flood).unwrap();
    assert!(flood.iter().all(|&byte| byte == b'.'));
    assert_echoes(&mut stalled[0]);
}

#[test]
fn a_draining_balancer_takes_nothing_new_and_waits_for_the_old() {
    let a = Backend::start('a');
    let mut balancer = Balancer::start(one(&a));
    let (_, mut old) = balancer.open();
    balancer.host.shutdown.drain("test");
    wait_for(|| TcpStream::connect(balancer.address).is_err());
    assert_echoes(&mut old);
    drop(old);
    balancer.end().wait(GUARD).unwrap();
    assert_eq!(balancer.host.shutdown.phase(), Phase::Draining, "nothing had to be cut");
}

#[test]
fn past_the_deadline_a_drain_cuts_what_is_left() {
    let a = Backend::start('a');
    let mut balancer = Balancer::start(one(&a));
    let (_, mut old) = balancer.open();
    balancer.end().drain(Duration::from_millis(1)).unwrap();
    assert_reset(&mut old);
}

#[test]
fn a_client_that_speaks_before_the_backend_is_reached_loses_nothing() {
    let a = Backend::start('a');
    let balancer = Balancer::start(one(&a));
    let mut stream = balancer.connect();
    stream.write_all(b"early").unwrap();
    assert_eq!(read(&mut stream, 6), b"aearly");
}
