//! A new process takes over from the old one, and no client notices.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Backend, GUARD, Program, assert_closed, assert_echoes, dead_address, read, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// With so short a drain that nothing outlives it.
fn text(listen: SocketAddr, admin: SocketAddr, handover: &Path, backend: &Backend) -> String {
    format!(
        "workers = 2\nhandover = '{}'\ndrain_timeout_ms = 1\n[admin]\nlisten = '{admin}'\n[[listeners]]\nname = 'l'\nlisten = '{listen}'\n\
         pool = 'p'\n[[pools]]\nname = 'p'\n[[pools.backends]]\nname = '{}'\naddress = '{}'\n",
        handover.display(),
        backend.name,
        backend.address
    )
}

fn connect(at: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    assert_eq!(read(&mut stream, 1), b"a");
    stream
}

/// A process at work, and the addresses of its listener and its admin port.
struct Town {
    handover: PathBuf,
    program: Program,
    at: SocketAddr,
    admin: SocketAddr,
}

/// The configuration names the ports that the process has, so that the next one wants the same.
fn start(name: &str, backend: &Backend) -> Town {
    let handover = std::env::temp_dir().join(format!("slb-{name}-{}.sock", std::process::id()));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut program = Program::start(name, &text(any, any, &handover, backend));
    let at = program.logged("listening", "address").parse().unwrap();
    let admin = program.logged("admin port", "address").parse().unwrap();
    std::fs::write(&program.config, text(at, admin, &handover, backend)).unwrap();
    program.logged("can be taken over from", "path");
    Town { handover, program, at, admin }
}

#[test]
fn while_a_new_process_takes_over_nobody_is_refused_and_nobody_is_closed() {
    let a = Backend::start('a');
    let Town { program: mut old, at, admin, .. } = start("restart", &a);
    let mut held = connect(at);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert_echoes(&mut connect(at));
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let more = |count| {
            let before = served.load(Ordering::Relaxed);
            wait_for(|| served.load(Ordering::Relaxed) >= before + count);
        };
        more(200);
        let mut new = Program::start_with(old.config.clone());
        assert_eq!(new.logged("admin port", "address"), admin.to_string(), "the same, on the same socket");
        assert_eq!(old.logged("shutdown", "why"), "another process took over");
        more(200);
        assert_echoes(&mut held);
        drop(held);
        let [pid, successor] = [&old, &new].map(|program| program.child.id());
        let log = old.end();
        let last = &log.last().unwrap()["fields"];
        assert_eq!(last["message"], "the old process has ended, the one that took over goes on");
        assert_eq!((&last["pid"], &last["successor"]), (&pid.into(), &successor.into()));
        more(200);
        assert!(TcpStream::connect(admin).is_ok());

        // And once more, by signal: the new process starts its successor itself.
        new.logged("can be taken over from", "path");
        let config = new.config.clone();
        new.signal(Signal::USR2);
        let successor = new.logged("another process asks to take over", "pid").parse().unwrap();
        assert_eq!(new.logged("shutdown", "why"), "another process took over");
        more(200);
        assert!(new.child.wait().unwrap().success());
        more(200);
        stop.store(true, Ordering::Relaxed);
        // The last process has no successor: who comes while it ends may be refused.
        for client in clients {
            client.join().unwrap();
        }
        kill_process(Pid::from_raw(successor).unwrap(), Signal::TERM).unwrap();
        new.end(); // The successor logs to the same place.
        std::fs::remove_file(config).unwrap();
    });
}

#[test]
fn when_the_new_process_fails_the_old_one_goes_on() {
    let a = Backend::start('a');
    let Town { handover, program: mut old, at, .. } = start("failing", &a);
    let mut held = connect(at);
    drop(UnixStream::connect(&handover).unwrap());
    old.logged("nothing was handed over, all goes on here", "error");
    drop(connect(at));
    assert_echoes(&mut held);
    drop(held);
    let config = old.config.clone();
    old.signal(Signal::TERM);
    old.end();
    std::fs::remove_file(config).unwrap();
    std::fs::remove_file(handover).unwrap();
}

#[test]
fn without_a_handover_in_force_the_signal_is_answered_by_an_error_and_all_goes_on() {
    let refused =
        "SIGUSR2: no handover configured, all goes on here; it takes a restart to turn `handover` on";
    let a = Backend::start('a');
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut program = Program::start("unprepared", &text(any, any, Path::new(""), &a));
    let at = program.logged("listening", "address").parse().unwrap();
    let mut held = connect(at);
    program.signal(Signal::USR2);
    assert_eq!(program.logged(refused, "message"), refused);
    // In the file alone it is not in force.
    let handover = std::env::temp_dir().join(format!("slb-unprepared-{}.sock", std::process::id()));
    std::fs::write(&program.config, text(any, any, &handover, &a)).unwrap();
    program.signal(Signal::HUP);
    assert!(program.logged("these wait for a restart", "keys").contains("handover"));
    program.signal(Signal::USR2);
    assert_eq!(program.logged(refused, "message"), refused);
    assert_echoes(&mut held);
    drop(connect(at));
    drop(held);
    assert!(!handover.exists());
    end(program);
}

#[test]
fn connections_that_outlive_the_time_after_a_handover_are_closed() {
    let a = Backend::start('a');
    let Town { program: mut old, at, .. } = start("timed", &a);
    let bounded = std::fs::read_to_string(&old.config).unwrap();
    std::fs::write(&old.config, format!("handover_timeout_ms = 50\n{bounded}")).unwrap();
    old.signal(Signal::HUP);
    old.logged("configuration taken over", "opened");
    let mut held = connect(at);
    let mut new = Program::start_with(old.config.clone());
    new.logged("can be taken over from", "path");
    assert_closed(&mut held);
    old.end();
    assert_echoes(&mut connect(at));
    let config = new.config.clone();
    new.signal(Signal::TERM);
    new.end();
    std::fs::remove_file(config).unwrap();
}

/// What the admin port answers.
fn ask(admin: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn weights_drains_and_health_go_with_the_sockets() {
    let a = Backend::start('a');
    let Town { program: mut old, admin, .. } = start("states", &a);
    let mut text = std::fs::read_to_string(&old.config).unwrap();
    for name in ["drained", "light", "dead"] {
        text += &format!("[[pools.backends]]\nname = '{name}'\naddress = '{}'\n", dead_address());
    }
    // Two failures are one too few for the new process, which asks no more than once.
    let checks = |interval_ms| format!("{text}[pools.health]\nfall = 2\ninterval_ms = {interval_ms}\n");
    std::fs::write(&old.config, checks(1)).unwrap();
    old.signal(Signal::HUP);
    let mut down = 0;
    while down < 3 {
        old.logged("health", "backend");
        down += 1;
    }
    ask(admin, "POST", "/backends/p/drained/drain", "{\"draining\": true}");
    ask(admin, "POST", "/backends/p/light/weight", "{\"weight\": 7}");
    std::fs::write(&old.config, checks(3_600_000)).unwrap();
    let mut new = Program::start_with(old.config.clone());
    new.logged("can be taken over from", "path");
    old.end();
    let seen: serde_json::Value = serde_json::from_str(&ask(admin, "GET", "/backends", "")).unwrap();
    let seen: Vec<_> = seen[0]["backends"].as_array().unwrap().iter().collect();
    let states: Vec<_> = seen.iter().map(|backend| backend["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["up", "draining", "down", "down"]);
    assert_eq!(seen[2]["weight"], 7);
    let config = new.config.clone();
    new.signal(Signal::TERM);
    new.end();
    std::fs::remove_file(config).unwrap();
}

/// A process that was taken over from while its backend drains, the one that took over, and a connection that the first has
/// to this backend. It drains because an operator says so, or because it `leaves` the configuration.
fn taken_over_in_a_drain(
    name: &str,
    backend: &Backend,
    drain_timeout_ms: u32,
    leaves: bool,
) -> (Program, Program, TcpStream) {
    let Town { program: mut old, at, admin, .. } = start(name, backend);
    let text = std::fs::read_to_string(&old.config).unwrap();
    let text = text.replace("[[pools]]\n", &format!("[[pools]]\ndrain_timeout_ms = {drain_timeout_ms}\n"));
    let reload = |program: &mut Program, text: &str| {
        std::fs::write(&program.config, text).unwrap();
        program.signal(Signal::HUP);
        program.logged("configuration taken over", "opened");
    };
    reload(&mut old, &text);
    let held = connect(at);
    if leaves {
        // Of another name it is another backend.
        reload(&mut old, &text.replace("name = 'a'", "name = 'another'"));
    } else {
        ask(admin, "POST", "/backends/p/a/drain", "{\"draining\": true}");
    }
    let mut new = Program::start_with(old.config.clone());
    new.logged("can be taken over from", "path");
    assert_eq!(old.logged("shutdown", "why"), "another process took over");
    (old, new, held)
}

fn end(program: Program) {
    let config = program.config.clone();
    program.signal(Signal::TERM);
    program.end();
    std::fs::remove_file(config).unwrap();
}

#[test]
fn a_drain_that_began_before_a_handover_still_ends_in_time() {
    let a = Backend::start('a');
    for (name, leaves) in [("drained", false), ("left", true)] {
        let (old, new, mut held) = taken_over_in_a_drain(name, &a, 2_000, leaves);
        assert_closed(&mut held);
        old.end();
        end(new);
    }
}

#[test]
fn a_drain_that_lasts_keeps_no_process_without_connections() {
    let a = Backend::start('a');
    let (old, new, held) = taken_over_in_a_drain("emptied", &a, 900_000, false);
    drop(held);
    old.end();
    end(new);
}
