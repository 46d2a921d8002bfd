//! Three NATS servers that are one cluster.

#![allow(dead_code)] // Each test program uses its part.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

pub(crate) const NODES: usize = 3;
/// How long one exchange with them may take: no busy machine is taken for a dead server, milliseconds.
pub(crate) const TIMEOUT_MS: u64 = 5_000;

/// Whether there is a nats-server; says that a test is skipped without.
///
/// # Panics
/// Without one where nothing may be skipped (`CI=true`).
pub(crate) fn installed() -> bool {
    let there = Command::new("nats-server").arg("--version").output().is_ok();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "nats-server is missing");
    if !there {
        eprintln!("skipped: no nats-server here (.ci/peers installs it)");
    }
    there
}

/// One server.
pub(crate) struct Node(Child);

impl Node {
    /// Without a warning.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("killed");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Ports that are free, below those that the system gives to connections which go out: a server is started on each after this, and
/// would not get one that was given away meanwhile.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = RandomState::new().hash_one(std::process::id());
    NEXT.compare_exchange(0, 15_000 + (begin % 16_000) as u16, Ordering::Relaxed, Ordering::Relaxed).ok();
    let next = || match NEXT.fetch_add(1, Ordering::Relaxed) {
        port @ 15_000..32_000 => port,
        _ => {
            NEXT.store(15_001, Ordering::Relaxed);
            15_000
        }
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::array::from_fn(|_| std::iter::repeat_with(next).find(is_free).expect("it goes on"))
}

/// Three servers that are one cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// Their addresses.
    pub(crate) servers: Vec<String>,
    folder: TempDir,
}

impl Cluster {
    /// `None` where there are none to be had.
    pub(crate) fn start() -> Option<Self> {
        if !installed() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (ports, routes) = (free_ports::<NODES>(), free_ports::<NODES>());
        let all: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let start = |at: usize| {
            let child = Command::new("nats-server")
                .args(["-a", "127.0.0.1", "-p", &ports[at].to_string(), "-js", "--cluster_name", "test"])
                .args(["--server_name", &format!("n{at}"), "--routes", &all.join(","), "--cluster", &all[at]])
                .arg("-sd")
                .arg(folder.path().join(format!("n{at}")))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            Node(child.expect("it starts"))
        };
        let nodes = (0..NODES).map(start).collect();
        let servers = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        Some(Self { nodes, servers, folder })
    }

    /// A folder for what else a test keeps.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}
