//! Servers as processes of a run: what they say when they cannot start.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::net::TcpListener;
use std::process::Command;

#[test]
fn what_keeps_a_server_from_running_is_told_with_file_line_and_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("server.toml");
    std::fs::write(&config, format!("[admin]\nlisten = \"{address}\"\n")).unwrap();
    for server in ["gateway", "core", "slb", "feed"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.args(["role", server, "--parent", &std::process::id().to_string(), "--config"]).arg(&config);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let wanted = format!("error: {}:2:10: `admin.listen`: cannot listen on {address}", config.display());
        assert!(!output.status.success() && said.contains(&wanted), "{server}: {said}");
    }
}
