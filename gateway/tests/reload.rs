//! The gateway as a process that is told to read its files again.

#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Nothing for so long: the test fails instead of hanging.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn rules_that_cannot_be_read_again_are_logged_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (rules, config) = (path("rules.toml"), path("gateway.toml"));
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/a-share.toml"), &rules).unwrap();
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[checks]\nrules = \"{}\"\n",
        rules.display()
    );
    std::fs::write(&config, text).unwrap();
    let manager = UnixDatagram::bind(path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .arg("--config")
        .arg(&config)
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", path("notify"))
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    manager.recv(&mut [0; 256]).expect("it is ready");
    std::fs::remove_file(&rules).unwrap();
    assert!(Command::new("kill").args(["-HUP", &program.id().to_string()]).status().unwrap().success());
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("rules and reference data not loaded")).expect("it is logged");
    let wanted = format!("{}:6:9: `checks.rules`: cannot read {}", config.display(), rules.display());
    assert!(line.contains(&wanted), "{line}");
    program.kill().unwrap();
    program.wait().unwrap();
}
