//! Runs that need more open files than a process may have say so, and nothing is started.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::process::Command;

/// What it says, where a process may open 200 files, and that it ends with 2.
fn refused(args: &[&str]) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_loadgen")]);
    let output = command.args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    said
}

#[test]
fn what_needs_more_files_than_there_may_be_does_not_begin() {
    for (args, wanted) in [
        ("demo", "100 order sessions, 100 subscribers, 6 servers need 820 files, the limit is 200"),
        ("demo --transport quic", "need 720 files"),
        ("chaos --sessions 100", "100 client sessions need 300 files"),
        ("drill --sessions 20 --subscribers 100", "20 client sessions, 100 subscribers need 340 files"),
    ] {
        let said = refused(&args.split_whitespace().collect::<Vec<_>>());
        assert!(said.contains(wanted) && said.contains("or have fewer ("), "{args}: {said}");
        assert!(!said.contains("seed"), "{args}: {said}");
    }
}

#[test]
fn a_scenario_that_needs_more_files_than_there_may_be_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    let phase = "[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 10\n";
    let targets = "[targets]\ngateway = \"127.0.0.1:1\"\n";
    for (sections, more, wanted) in [
        ("[orders]\n", "", "the balancer: 100 order sessions need 300 files, the limit is 200"),
        (
            "transport = \"tcp\"\n[orders]\nsessions = 101\n",
            targets,
            "error: 101 order sessions need 201 files",
        ),
        (
            "[orders]\nsessions = 20\n[quotes]\nsubscribers = 90\n",
            "quotes_per_s = 10\n",
            "error: 20 order sessions, 90 subscribers need 210 files",
        ),
        (
            "[orders]\nsessions = 20\n[handshakes]\nat = \"gateway\"\n",
            "handshakes_per_s = 20\n",
            "the balancer: 20 order sessions, 40 handshakes under way need 220 files",
        ),
        (
            "[orders]\nsessions = 20\n[handshakes]\nat = \"gateway\"\n",
            "handshakes_per_s = 2_000\n",
            "error: 20 order sessions, 1,024 handshakes under way need 1,144 files",
        ),
    ] {
        std::fs::write(&path, format!("name = \"x\"\n{sections}{phase}{more}")).unwrap();
        let said = refused(&["run", path.to_str().unwrap()]);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
