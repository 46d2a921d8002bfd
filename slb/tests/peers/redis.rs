//! redis-server, and redis-benchmark.

use std::net::SocketAddr;
use std::process::Command;

use crate::load::Generator;
use crate::program::{Program, free_address, wait_for_listener};
use crate::story::Behind;

pub(crate) struct Redis {
    address: SocketAddr,
    program: Program,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let address = free_address();
        Self { address, program: Self::run(address) }
    }

    fn run(address: SocketAddr) -> Program {
        let program = Program::start(
            Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
                .args(["--save", "", "--appendonly", "no"]),
        );
        wait_for_listener(address);
        program
    }
}

impl Behind for Redis {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn kill(&mut self) {
        self.program.kill();
    }

    fn revive(&mut self) {
        self.program = Self::run(self.address);
    }
}

/// Each request on a connection of its own. It ends at the first error, or is ended: when a connection of its breaks off before
/// its first answer it may turn in circles for ever.
pub(crate) fn benchmark(at: SocketAddr) -> Generator {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20", "redis-benchmark"]);
    command.args(["-h", "127.0.0.1", "-p", &at.port().to_string()]);
    command.args(["-t", "set", "-n", "1000", "-c", "16", "-k", "0", "-q"]);
    Generator { command, error: |content, text| !content || text.contains("Error") }
}
