//! A real nats-server, which can be killed and started again at the same address.

use crate::support::{free_address, wait_for};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

#[path = "../../../gateway/tests/peers/nats.rs"]
mod cluster;

/// One server.
pub(crate) struct Nats {
    child: Child,
    port: u16,
}

impl Nats {
    /// Starts one; `None` where there is none to be had.
    pub(crate) fn start() -> Option<Self> {
        if !cluster::installed() {
            return None;
        }
        let address = free_address();
        let server = Self { child: serve(address.port()), port: address.port() };
        wait_for("the server to listen", || TcpStream::connect(address).is_ok());
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// At the same address.
    pub(crate) fn revive(&mut self) {
        self.child = serve(self.port);
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn serve(port: u16) -> Child {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}
