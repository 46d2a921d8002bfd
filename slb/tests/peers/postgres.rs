//! PostgreSQL, and pgbench.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::load::Generator;
use crate::program::{Program, free_address, missing, said, wait_for};
use crate::story::Behind;

/// Where Debian puts the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The programs of one version.
#[derive(Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
    script: PathBuf,
}

impl Programs {
    /// Those of the newest version; `None` where there is none.
    pub(crate) fn find() -> Option<Self> {
        let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
        let folders = versions.map(|version| version.path().join("bin"));
        let found = folders.filter(|folder| folder.join("postgres").exists()).max();
        if found.is_none() && missing(&["postgres"]) {
            return None;
        }
        Some(Self {
            folder: found?,
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/one.sql"),
        })
    }

    fn program(&self, name: &str) -> Command {
        // PostgreSQL's servers refuse to run as root.
        if !rustix::process::getuid().is_root() {
            return Command::new(self.folder.join(name));
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"])
            .arg(self.folder.join(name));
        command
    }

    /// Each transaction on a connection of its own.
    pub(crate) fn pgbench(&self, at: SocketAddr) -> Generator {
        let mut command = Command::new(self.folder.join("pgbench"));
        command.args(["-h", "127.0.0.1", "-p", &at.port().to_string(), "-U", "postgres"]);
        command.args(["-n", "-C", "-c", "4", "-t", "50", "-f"]).arg(&self.script).arg("postgres");
        Generator { command, error: |content, text| !content || text.contains("error") }
    }
}

pub(crate) struct Postgres {
    programs: Programs,
    data: PathBuf,
    address: SocketAddr,
    program: Program,
}

impl Postgres {
    /// So many, each with its data in the folder: one is made, the others are copies.
    pub(crate) fn start(programs: &Programs, folder: &Path, count: usize) -> Vec<Self> {
        let data = |at: usize| folder.join("data").join(at.to_string());
        std::fs::create_dir(folder.join("data")).unwrap();
        if rustix::process::getuid().is_root() {
            done(Command::new("chown").arg("postgres:").arg(folder.join("data")));
        }
        let mut initdb = programs.program("initdb");
        done(initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(data(0)));
        for at in 1..count {
            done(Command::new("cp").arg("-a").args([data(0), data(at)]));
        }
        let start = |at| {
            let (data, address) = (data(at), free_address());
            Self { program: Self::run(programs, &data, address), programs: programs.clone(), data, address }
        };
        (0..count).map(start).collect()
    }

    fn run(programs: &Programs, data: &Path, address: SocketAddr) -> Program {
        let port = address.port().to_string();
        let mut postgres = programs.program("postgres");
        postgres.current_dir("/").args(["-h", "127.0.0.1", "-p", &port, "-D"]).arg(data);
        for setting in ["fsync=off", "shared_buffers=16MB", "unix_socket_directories=", "max_connections=200"]
        {
            postgres.args(["-c", setting]);
        }
        let program = Program::start(&mut postgres);
        let ready =
            || said(programs.program("pg_isready").current_dir("/").args(["-h", "127.0.0.1", "-p", &port])).0;
        wait_for("PostgreSQL takes connections", ready);
        program
    }

    /// Its immediate shutdown: all its processes end at once, without a checkpoint. A SIGKILL to the first of them alone
    /// would leave the others, and a new one would refuse to start beside them.
    fn end(&mut self) {
        if let Some(pid) = Pid::from_raw(self.program.id())
            && kill_process(pid, Signal::QUIT).is_ok()
        {
            self.program.wait();
        }
    }
}

impl Behind for Postgres {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn kill(&mut self) {
        self.end();
    }

    fn revive(&mut self) {
        self.program = Self::run(&self.programs, &self.data, self.address);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

fn done(command: &mut Command) {
    let (content, text) = said(command.current_dir("/"));
    assert!(content, "{command:?}: {text}");
}
