//! What an operator does: the admin port, and the program with its arguments and signals.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use harness::{Backend, Program, config, dead_address, eager_checks};
use rustix::process::Signal;
use service::Host;
use service::admin::{self, Admin};
use slb::{Scheduler, Server};

fn request(admin: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn backends_are_seen_and_changed_through_the_admin_port() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Wlc, &[('a', a.address, 100), ('x', dead_address(), 50)]);
    eager_checks(&mut config);
    let host = Host::default();
    let server = Server::bind(config, &host).unwrap();
    let admin = Admin::bind(&admin::Config::default(), &host).unwrap();
    let admin = admin.ready(server.readiness()).routes(server.routes()).start().unwrap();
    let (control, at) = (server.control().clone(), admin.address());
    let running = server.start().unwrap();
    harness::wait_for(|| control.backend("p", "x").unwrap().state == slb::State::Down);

    let (status, body) = request(at, "GET", "/backends", "");
    let pools: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(pools[0]["pool"], "p");
    assert_eq!(pools[0]["scheduler"], "wlc");
    assert_eq!(pools[0]["backends"][0]["state"], "up");
    assert_eq!(pools[0]["backends"][1]["state"], "down");
    assert_eq!(pools[0]["backends"][1]["weight"], 50);

    assert_eq!(request(at, "GET", "/ready", "").0, 200);
    let (status, body) = request(at, "POST", "/backends/p/a/weight", r#"{"weight": 0}"#);
    assert_eq!((status, body.contains(r#""weight":0"#)), (200, true), "{body}");
    let (status, body) = request(at, "GET", "/ready", "");
    assert_eq!((status, body.as_str()), (503, "not ready: pool p has no backend that takes connections\n"));
    assert_eq!(request(at, "POST", "/backends/p/a/weight", r#"{"weight": 1}"#).0, 200);
    let (status, body) = request(at, "POST", "/backends/p/a/drain", r#"{"draining": true}"#);
    assert_eq!((status, body.contains(r#""state":"draining""#)), (200, true), "{body}");

    let unknown = "no such pool or backend: p/nobody (GET /backends lists them)\n";
    let answer = request(at, "POST", "/backends/p/nobody/weight", r#"{"weight": 1}"#);
    assert_eq!(answer, (404, unknown.to_owned()));
    assert_eq!(request(at, "GET", "/backends/p/a/drain", ""), (405, "use POST\n".to_owned()));
    assert_eq!(request(at, "PUT", "/config", ""), (405, "use GET or POST\n".to_owned()));
    let (status, list) = request(at, "GET", "/", "");
    assert_eq!(status, 200, "{list}");
    for line in list.lines() {
        let (asked, _) = line.split_once("  ").expect("what it does stands behind it");
        let (method, path) = asked.split_once(' ').unwrap();
        // No route has this one, so that nothing is done and each says what it has.
        let (status, methods) = request(at, "PATCH", path, "");
        assert!(status == 405 && methods.contains(method), "{line}: {status} {methods}");
    }
    for asked in ["GET /backends", "POST /backends/POOL/BACKEND/drain", "POST /config", "POST /reload"] {
        assert!(list.contains(&format!("{asked}  ")), "{asked}: {list}");
    }
    assert_eq!(request(at, "POST", "/backends/p/a/weight", r#"{"weight": 101}"#).0, 422);
    assert_eq!(request(at, "POST", "/backends/p/a/weight", r#"{"wait": 1}"#).0, 422);
    assert!(request(at, "GET", "/metrics", "").1.contains("slb_backend_weight{backend=\"a\",pool=\"p\"} 1"));
    running.stop().unwrap();
}

#[test]
fn a_second_balancer_needs_a_host_of_its_own() {
    let config = config(Scheduler::Rr, &[('x', dead_address(), 1)]);
    let host = Host::default();
    let _first = Server::bind(config.clone(), &host).unwrap();
    assert!(Server::bind(config.clone(), &host).is_err());
    assert!(Server::bind(config, &Host::default()).is_ok());
}

fn slb(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_slb")).args(args).output().unwrap()
}

#[test]
fn the_program_prints_its_defaults_and_refuses_what_it_does_not_know() {
    let printed = slb(&["--print-config"]);
    assert!(printed.status.success());
    let path = std::env::temp_dir().join(format!("slb-{}.toml", std::process::id()));
    let path_text = path.to_str().unwrap();
    std::fs::write(&path, &printed.stdout).unwrap();
    assert!(slb(&["--check-config", "--config", path_text]).status.success());
    std::fs::write(&path, "workers = 1\nworkerz = 2\n").unwrap();
    let refused = slb(&["--check-config", "--config", path_text]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(error.contains(&format!("{path_text}:2:1: unknown field `workerz`")), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_the_program_cannot_use_is_told_with_file_line_and_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slb.toml");
    let refused = |text: &str, check: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let refused = slb(&[check, &["--config", path.to_str().unwrap()]].concat());
        assert!(!refused.status.success());
        String::from_utf8(refused.stderr).unwrap()
    };
    let in_use = refused(&format!("[admin]\nlisten = '{address}'\n"), &[]);
    let expected = format!(
        "error: {}:2:10: `admin.listen`: cannot listen on {address}: Address already in use (os error 98); \
         is another one running?\n 2 | listen = '{address}'",
        path.display()
    );
    assert!(in_use.contains(&expected), "{in_use}");
    let absent = "[traces]\nendpoint = 'http://127.0.0.1:1/'\nid_key_file = '/nonexistent/x'\n";
    let no_file = refused(absent, &["--check-config"]);
    let expected = format!(
        "error: {}:3:15: `traces.id_key_file`: cannot read /nonexistent/x: No such file or directory (os error 2)",
        path.display()
    );
    assert!(no_file.starts_with(&expected), "{no_file}");
}

#[test]
fn the_program_serves_reloads_its_weights_and_drains() {
    let a = Backend::start('a');
    let text = |weight| {
        format!(
            "workers = 1\n[admin]\nlisten = '127.0.0.1:0'\n[[listeners]]\nname = 'l'\nlisten = '127.0.0.1:0'\n\
             pool = 'p'\n[[pools]]\nname = 'p'\n[[pools.backends]]\nname = 'a'\naddress = '{}'\nweight = {weight}\n",
            a.address
        )
    };
    let mut program = Program::start("run", &text(100));
    let path = program.config.clone();
    let at: SocketAddr = program.logged("listening", "address").parse().unwrap();
    let admin: SocketAddr = program.logged("admin port", "address").parse().unwrap();
    let mut client = TcpStream::connect(at).unwrap();
    assert_eq!(harness::read(&mut client, 1), b"a");

    assert_eq!(request(admin, "GET", "/ready", "").0, 200);
    std::fs::write(&path, text(7)).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(program.logged("weight", "weight"), "7");
    assert_eq!(request(admin, "POST", "/reload", "").0, 200);

    std::fs::write(&path, text(101)).unwrap();
    program.signal(Signal::HUP);
    assert!(program.logged("reload refused, all stays as it was", "error").contains("expected 0 to 100"));
    let (status, body) = request(admin, "POST", "/reload", "");
    assert!(status == 422 && body.contains("weight = 101"), "{status} {body}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let second = format!("[[listeners]]\nname = 'm'\nlisten = '{address}'\npool = 'p'\n[[pools]]");
    std::fs::write(&path, text(7).replace("[[pools]]", &second)).unwrap();
    program.signal(Signal::HUP);
    let error = program.logged("configuration refused, all stays as it was", "error");
    let wanted = format!("{}:10:10: `listeners[1].listen`: cannot listen on {address}", path.display());
    assert!(error.starts_with(&wanted) && !error.contains("\\n"), "{error}");
    let (status, body) = request(admin, "POST", "/reload", "");
    assert!(status == 409 && body.contains(&wanted), "{status} {body}");
    assert!(body.contains(&format!("\n 10 | listen = '{address}'")), "{body}");
    let (status, body) = request(admin, "POST", "/config", "workers = 1\nworkerz = 2\n");
    assert!(status == 422 && body.contains("configuration:2:1: unknown field `workerz`"), "{status} {body}");
    assert!(request(admin, "GET", "/metrics", "").1.contains("slb_reloads_total{result=\"refused\"} 5"));

    let (status, body) = request(admin, "POST", "/config", &text(9).replace("workers = 1", "workers = 2"));
    let applied: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &applied["wait_for_restart"][0]), (200, &"workers".into()));
    let in_force: serde_json::Value = serde_json::from_str(&request(admin, "GET", "/config", "").1).unwrap();
    assert_eq!(
        (&in_force["workers"], &in_force["pools"][0]["backends"][0]["weight"]),
        (&1.into(), &9.into())
    );
    let probe = format!(
        "{}[pools.health]\n[pools.health.check]\nkind = 'exchange'\nsend = 'hush'\nexpect = 'a'\n",
        text(9)
    );
    assert_eq!(request(admin, "POST", "/config", &probe).0, 200);
    let in_force = request(admin, "GET", "/config", "").1;
    assert!(in_force.contains(r#""send":"(not shown)""#) && !in_force.contains("hush"), "{in_force}");
    program.signal(Signal::TERM);
    assert_eq!(program.logged("shutdown", "phase"), "draining");
    assert_eq!(request(admin, "GET", "/ready", "").0, 503);
    harness::assert_echoes(&mut client);
    drop(client);
    program.end();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_port_that_another_balancer_has_is_refused() {
    let a = Backend::start('a');
    let mut config = config(Scheduler::Wrr, &[('a', a.address, 100)]);
    let first = harness::Balancer::start(config.clone());
    config.listeners[0].listen = first.address;
    let error = Server::bind(config, &Host::default()).unwrap_err().to_string();
    assert!(error.contains(&first.address.to_string()) && error.contains("in use"), "{error}");
    assert_eq!(first.open().0, 'a', "the one that was there goes on");
}

#[test]
fn of_a_sample_of_connections_each_leaves_a_line_when_it_ends() {
    let a = Backend::start('a');
    let mut program = Program::start(
        "access",
        &format!(
            "workers = 1\n[admin]\nlisten = '127.0.0.1:0'\n[[listeners]]\nname = 'l'\nlisten = '127.0.0.1:0'\n\
             pool = 'p'\naccess_log_every = 2\n[[pools]]\nname = 'p'\n[[pools.backends]]\nname = 'a'\naddress = '{}'\n",
            a.address
        ),
    );
    let path = program.config.clone();
    let at: SocketAddr = program.logged("listening", "address").parse().unwrap();
    for _ in 0..3 {
        let mut client = TcpStream::connect(at).unwrap();
        assert_eq!(harness::read(&mut client, 1), b"a");
        harness::assert_echoes(&mut client);
        harness::close_sending(&client);
        harness::assert_closed(&mut client);
    }
    program.signal(Signal::TERM);
    let access: Vec<_> = program.end().into_iter().filter(|line| line["target"] == "slb::access").collect();
    assert_eq!(access.len(), 2, "the first of three and the third: {access:?}");
    let fields = &access[0]["fields"];
    assert_eq!((&fields["backend"], &fields["end"]), (&"a".into(), &"done".into()));
    assert_eq!((&fields["bytes_in"], &fields["bytes_out"]), (&4.into(), &5.into()));
    std::fs::remove_file(path).unwrap();
}
