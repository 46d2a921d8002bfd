//! The PROXY protocol with HAProxy and nginx: what slb writes they read, and what they write slb reads. In each story a client
//! from 127.0.0.9 is told by the last server which address it has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use socket2::{Domain, Socket, Type};

use crate::balancer::Balancer;
use crate::program::{GUARD, Program, folder, free_address, missing};
use crate::{haproxy, nginx};

/// HAProxy that takes headers, and says whom it has on the line.
fn haproxy_behind(folder: &Path) -> (Program, SocketAddr) {
    let at = free_address();
    let text = "\"%[src] %[src_port]\"";
    let sections = format!(
        "frontend f\n mode http\n bind {at} accept-proxy\n \
         http-request return status 200 content-type text/plain lf-string {text}\n"
    );
    (haproxy::run(folder, &sections, at), at)
}

/// The same of nginx.
fn nginx_behind(folder: &Path) -> (Program, SocketAddr) {
    let at = free_address();
    let answer = "return 200 \"$proxy_protocol_addr $proxy_protocol_port\";";
    let server = format!("server {{ listen {at} proxy_protocol; location / {{ {answer} }} }}");
    (nginx::run(folder, &nginx::http(&server), at), at)
}

/// slb, which tells the backend of its clients, and believes balancers on these addresses.
fn slb(backend: SocketAddr, from: &str) -> Balancer {
    Balancer::with(&format!(
        "workers = 2\n[[listeners]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\npool = \"p\"\n\
         accept_proxy = {{ from = [{from}] }}\n\
         [[pools]]\nname = \"p\"\nsend_proxy = \"v2\"\nhealth = {{ interval_ms = 50 }}\n\
         [[pools.backends]]\nname = \"a\"\naddress = \"{backend}\"\n"
    ))
}

/// The client is known at the end of the way that begins at this address.
fn is_known(at: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&at.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let own = stream.local_addr().unwrap();
    assert!(answer.ends_with(&format!("{} {}", own.ip(), own.port())), "{own}: {answer}");
}

#[test]
fn haproxy_and_nginx_behind_it_know_the_client() {
    if missing(&["haproxy", "nginx"]) {
        return;
    }
    for behind in [haproxy_behind, nginx_behind] {
        let folder = folder();
        let (_program, backend) = behind(folder.path());
        let balancer = slb(backend, "");
        is_known(balancer.address);
        // Its health checks have headers too, which say that they are nobody's.
        balancer.wait_for_state("a", "up");
        let failed = "slb_backend_checks_total{backend=\"a\",pool=\"p\",result=\"failed\"}";
        assert_eq!(balancer.metric(failed), 0);
    }
}

#[test]
fn clients_of_haproxy_in_front_of_it_are_known_behind_it() {
    if missing(&["haproxy", "nginx"]) {
        return;
    }
    let folder = folder();
    let (_behind, backend) = nginx_behind(&folder.path().join("nginx"));
    let balancer = slb(backend, "\"127.0.0.1\"");
    let at = free_address();
    for (version, option) in [(2, "send-proxy-v2"), (1, "send-proxy")] {
        let sections = format!("listen l\n mode tcp\n bind {at}\n server s {} {option}\n", balancer.address);
        let _front = haproxy::run(folder.path(), &sections, at);
        is_known(at);
        is_counted(&balancer, version);
    }
}

#[test]
fn clients_of_nginx_in_front_of_it_are_known_behind_it() {
    if missing(&["haproxy", "nginx"]) {
        return;
    }
    let folder = folder();
    let (_behind, backend) = haproxy_behind(folder.path());
    let balancer = slb(backend, "\"127.0.0.1\"");
    let at = free_address();
    // This nginx writes version 1 only.
    let stream = format!("server {{ listen {at}; proxy_pass {}; proxy_protocol on; }}", balancer.address);
    let _front = nginx::run(&folder.path().join("nginx"), &nginx::stream(&stream), at);
    is_known(at);
    is_counted(&balancer, 1);
}

/// Connections for clients, at least: whoever waits for a program in front to listen is one, too.
fn is_counted(balancer: &Balancer, at_least: u64) {
    let counted = |outcome| {
        balancer.metric(&format!("slb_proxy_headers_total{{listener=\"l\",outcome=\"{outcome}\"}}"))
    };
    assert!(counted("client") >= at_least);
    assert_eq!((counted("malformed"), counted("timed_out")), (0, 0));
}
