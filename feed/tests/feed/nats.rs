//! A real nats-server, which can be killed and started again at the same address.

use crate::support::wait_for;
use std::process::{Child, Command, Stdio};

/// One server.
pub(crate) struct Nats {
    child: Child,
    port: u16,
}

impl Nats {
    /// Starts one; `None` where there is none to be had.
    pub(crate) fn start() -> Option<Self> {
        let there = Command::new("nats-server").arg("--version").output().is_ok();
        assert!(there || std::env::var("CI").as_deref() != Ok("true"), "nats-server is missing");
        if !there {
            eprintln!("skipped: no nats-server here (.ci/peers installs it)");
            return None;
        }
        // It takes a free port and says in a file which.
        let folder = tempfile::tempdir().unwrap();
        let told = ["--ports_file_dir", folder.path().to_str().unwrap()];
        let child = serve("-1", &told);
        let file = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let mut port = None;
        wait_for("the server to say its port", || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let ports: Option<serde_json::Value> = serde_json::from_str(&text).ok();
            let url = ports.as_ref().and_then(|ports| ports["nats"][0].as_str());
            port = url.and_then(|url| url.rsplit(':').next()?.parse().ok());
            port.is_some()
        });
        Some(Self { child, port: port.unwrap() })
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
        self.child = serve(&self.port.to_string(), &[]);
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn serve(port: &str, more: &[&str]) -> Child {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", port]).args(more).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}
