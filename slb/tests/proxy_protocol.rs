//! Clients' addresses in PROXY headers: told to backends, and taken of a balancer in front.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use harness::{Balancer, assert_closed, config, read};
use slb::{Config, Scheduler, SendProxy};
use transport::proxy_protocol::{LOCAL, encode};

/// A backend that is told of clients.
struct Backend(TcpListener);

impl Backend {
    fn start() -> (Self, Config) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = config(Scheduler::Rr, &[('a', listener.local_addr().unwrap(), 1)]);
        config.pools[0].send_proxy = Some(SendProxy::V2);
        (Self(listener), config)
    }

    /// The next connection that is a client's, and what it begins with.
    fn accept(&self) -> (TcpStream, Vec<u8>) {
        loop {
            let (mut stream, _) = self.0.accept().unwrap();
            stream.set_read_timeout(Some(harness::GUARD)).unwrap();
            let mut header = read(&mut stream, LOCAL.len());
            if header != LOCAL {
                header.extend(read(&mut stream, usize::from(header[15])));
                return (stream, header);
            }
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "a health check says nothing more");
        }
    }
}

#[test]
fn a_backend_is_told_the_clients_address_and_then_gets_its_bytes() {
    let (backend, config) = Backend::start();
    let balancer = Balancer::start(config);
    let mut client = balancer.connect();
    client.write_all(b"hello").unwrap();
    let (mut stream, header) = backend.accept();
    assert_eq!(header, encode(client.local_addr().unwrap(), balancer.address));
    assert_eq!(read(&mut stream, 5), b"hello");
}

#[test]
fn the_word_of_a_balancer_in_front_is_taken_as_long_as_it_is_listed() {
    let (backend, mut config) = Backend::start();
    config.listeners[0].accept_proxy.from = vec!["127.0.0.1".parse().unwrap()];
    let balancer = Balancer::start(config.clone());
    let client: SocketAddr = "192.0.2.7:51000".parse().unwrap();
    let said = encode(client, balancer.address);

    let mut in_front = balancer.connect();
    in_front.write_all(&said).unwrap();
    assert_eq!(backend.accept().1, said);
    let mut silent = balancer.connect();
    silent.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert_closed(&mut silent);
    let counted = |outcome| format!("slb_proxy_headers_total{{listener=\"l\",outcome=\"{outcome}\"}}");
    balancer.wait_for_metric(&counted("malformed"), 1);
    assert_eq!(balancer.metric(&counted("client")), 1);

    config.listeners[0].accept_proxy.from.clear();
    balancer.control.apply(config).unwrap();
    let mut liar = balancer.connect();
    liar.write_all(&said).unwrap();
    let (mut stream, header) = backend.accept();
    assert_eq!(header, encode(liar.local_addr().unwrap(), balancer.address));
    assert_eq!(read(&mut stream, said.len()), said, "which is nothing but bytes of its own");
}
