//! Real sockets on the loopback address: backends that say who they are, and a balancer in front.
#![allow(dead_code, unreachable_pub, missing_docs)] // Each test program uses its part of it.
#![allow(clippy::unwrap_used)] // Clippy takes this module for no test.
#![allow(clippy::disallowed_methods)] // A guard against hanging needs the clock.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use service::{Host, Running};
use slb::{BackendConfig, Config, Control, HealthConfig, ListenerConfig, PoolConfig, Scheduler, Server};

/// Nothing takes so long but a hang.
pub const GUARD: Duration = Duration::from_secs(60);

/// A backend that says its name on each connection, echoes, and on the byte [`FLOOD`] sends
/// [`FLOOD_BYTES`] instead.
pub struct Backend {
    pub name: char,
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub const FLOOD: u8 = 0xf1;
pub const FLOOD_BYTES: usize = 64 << 20;
/// A server that answers what it is sent with `answer`, each connection once, and closes: for checks. It says what
/// it was sent.
pub fn answering(answer: &'static [u8]) -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (to, from) = std::sync::mpsc::sync_channel(1000);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = vec![0; 4096];
            let Ok(read) = stream.read(&mut asked) else { continue };
            asked.truncate(read);
            // Who asks may have gone; who listens to what was asked too.
            if stream.write_all(answer).is_err() || to.try_send(asked).is_err() {
                continue;
            }
        }
    });
    (address, from)
}

/// On this byte a backend drops the connection without having read the rest.
pub const DIE: u8 = 0xde;

impl Backend {
    pub fn start(name: char) -> Self {
        Self::start_at(name, dead_address())
    }

    /// At an address of the past, for a backend that comes back.
    pub fn start_at(name: char, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Acquire) {
                    return;
                }
                // Without a file for it, as one test wants it, the next attempt may have one.
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || serve(stream, name));
            }
        });
        Self { name, address, stopped, thread: Some(thread) }
    }

    /// Stops listening; open connections go on.
    pub fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(TcpStream::connect(self.address)); // Wakes it up.
            thread.join().unwrap();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A peer that goes away is part of these tests, so errors only end the connection.
fn serve(mut stream: TcpStream, name: char) {
    let mut buffer = [0; 4096];
    if stream.write_all(&[name as u8]).is_err() {
        return;
    }
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let answered = match buffer[0] {
            FLOOD => (0..FLOOD_BYTES / buffer.len()).try_for_each(|_| stream.write_all(&[b'.'; 4096])),
            DIE => return,
            _ => stream.write_all(&buffer[..read]),
        };
        if answered.is_err() {
            return;
        }
    }
}

/// An address where nobody listens, and which the system gives to nobody who asks for any: those are above it.
pub fn dead_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 16_000) as u16;
    loop {
        let port = 15_000 + (NEXT.fetch_add(1, Ordering::Relaxed) % 16_000 + begin) % 16_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Two workers, one listener named "l", one pool named "p"; checks so rare that none happens after
/// the first.
pub fn config(scheduler: Scheduler, backends: &[(char, SocketAddr, u32)]) -> Config {
    let backend = |&(name, address, weight): &(char, SocketAddr, u32)| BackendConfig {
        weight,
        ..BackendConfig::new(&name.to_string(), address)
    };
    Config {
        workers: 2,
        listeners: vec![ListenerConfig::new("l", SocketAddr::from(([127, 0, 0, 1], 0)), "p")],
        pools: vec![PoolConfig {
            scheduler,
            health: HealthConfig { interval_ms: 3_600_000, ..HealthConfig::default() },
            ..PoolConfig::new("p", backends.iter().map(backend).collect())
        }],
        ..Config::default()
    }
}

/// Checks often, and believes them at once.
pub fn eager_checks(config: &mut Config) {
    config.pools[0].health =
        HealthConfig { interval_ms: 5, timeout_ms: 60_000, rise: 2, fall: 2, ..HealthConfig::default() };
}

pub struct Balancer {
    pub address: SocketAddr,
    pub control: Control,
    pub host: Host,
    running: Option<Running>,
}

impl Balancer {
    pub fn start(config: Config) -> Self {
        let host = Host::default();
        let server = Server::bind(config, &host).unwrap();
        let (address, control) = (server.address("l").unwrap(), server.control().clone());
        Self { address, control, host, running: Some(server.start().unwrap()) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A connection and the name of the backend that it came to.
    pub fn open(&self) -> (char, TcpStream) {
        let mut stream = self.connect();
        (char::from(read(&mut stream, 1)[0]), stream)
    }

    /// Opens so many connections, one after the other, and counts how many came to `name`.
    pub fn count(&self, connections: usize, name: char) -> usize {
        (0..connections).filter(|_| self.open().0 == name).count()
    }

    pub fn wait_until(&self, wanted: impl FnMut(&[slb::PoolView]) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(GUARD, self.control.wait_until(wanted)).await })
            .expect("the pools never became as wanted");
    }

    pub fn wait_for_state(&self, name: char, state: slb::State) {
        let name = name.to_string();
        self.wait_until(|pools| pools[0].backends.iter().any(|b| b.name == name && b.state == state));
    }

    pub fn metric(&self, name: &str) -> i64 {
        let text = service::metrics::text(&self.host.registry);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().unwrap()
    }

    pub fn wait_for_metric(&self, name: &str, value: i64) {
        wait_for(|| self.metric(name) == value);
    }

    pub fn end(&mut self) -> Running {
        self.running.take().unwrap()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().unwrap();
        }
    }
}

pub fn wait_for(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < GUARD, "this never became true");
        // What is waited for may want this core.
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends and receives, without allocating.
pub fn assert_echoes(stream: &mut TcpStream) {
    let mut answer = [0; 4];
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

/// Reads to the end: an orderly close, or a reset where the far end had not read everything.
pub fn assert_closed(stream: &mut TcpStream) {
    if let Err(error) = std::io::copy(stream, &mut std::io::sink()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// Reads to the end, which must not look like the regular end of what was sent.
pub fn assert_reset(stream: &mut TcpStream) {
    let error = std::io::copy(stream, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

pub fn close_sending(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// The program with a configuration, and what it logs.
pub struct Program {
    pub child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub config: PathBuf,
}

impl Program {
    /// Starts it with a file of this text; `name` tells the file from those of other tests.
    pub fn start(name: &str, text: &str) -> Self {
        let config = std::env::temp_dir().join(format!("slb-{name}-{}.toml", std::process::id()));
        std::fs::write(&config, text).unwrap();
        Self::start_with(config)
    }

    pub fn start_with(config: PathBuf) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slb"))
            .args(["--log-format", "json", "--config", config.to_str().unwrap()])
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, config }
    }

    /// Waits until it logs a message; returns a field of it.
    pub fn logged(&mut self, message: &str, field: &str) -> String {
        loop {
            let line = self.lines.next().expect("the program ended early").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["fields"]["message"] == message {
                return line["fields"][field].to_string().trim_matches('"').to_owned();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The rest of its log, to its end, which must be one in order.
    pub fn end(mut self) -> Vec<serde_json::Value> {
        let rest = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}
