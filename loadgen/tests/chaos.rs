//! The whole order path as real processes, while lines are cut, gateways and cores killed, and gateways drained.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn loadgen() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    (output, text)
}

/// Runs it small; what it says is shown where the run failed.
fn chaos(args: &str, json: &Path) -> serde_json::Value {
    let (output, text) = run(loadgen().arg("chaos").args(args.split_whitespace()).arg("--json").arg(json));
    assert!(output.status.success(), "{}\n{text}", output.status);
    println!("{text}");
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

/// The folder that a run says it has kept.
fn kept(text: &str) -> PathBuf {
    let line =
        text.lines().find_map(|line| line.strip_prefix("configurations, logs, journals and audits are in "));
    PathBuf::from(line.expect("it says where").trim())
}

#[test]
fn every_order_exactly_once_whatever_dies() {
    let folder = tempfile::tempdir().unwrap();
    let json = chaos("--seconds 8 --rate 200 --sessions 10", &folder.path().join("chaos.json"));
    let keys: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["seed", "orders", "acknowledged", "lost", "duplicated", "report_gaps", "faults", "recovery_ms"];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!((json["orders"].as_u64(), json["acknowledged"].as_u64()), (Some(1_600), Some(1_600)));
    for none in ["lost", "duplicated", "report_gaps"] {
        assert_eq!(json[none], 0, "{none}");
    }
    for kind in ["line_cut", "gateway_killed", "core_killed", "slb_drain"] {
        assert!(json["faults"][kind].as_u64() >= Some(1), "{kind}");
    }
    assert!(json["recovery_ms"]["max"].as_u64() >= json["recovery_ms"]["p50"].as_u64());
}

/// The checker itself is checked on real processes: cores that keep no journal forget when they are killed.
#[test]
fn cores_that_forget_are_found() {
    let line = "--seconds 1 --rate 100 --sessions 4 --faults-per-minute 0 --without-journal --transport tcp --seed 7";
    let (output, text) = run(loadgen().arg("chaos").args(line.split_whitespace()));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("BROKEN") && text.contains("is gone after its core was killed"), "{text}");
    assert!(text.contains("again with: loadgen chaos --seed 7 "), "{text}");
    let folder = kept(&text);
    for name in ["core-cash", "core-margin", "gateway-a", "gateway-b", "slb"] {
        assert!(folder.join(name).with_extension("toml").is_file(), "{name}");
        assert!(folder.join(name).with_extension("log").is_file(), "{name}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Whatever ends the load generator, no server stays behind.
#[test]
fn servers_end_with_who_started_them() {
    let line = "chaos --seconds 600 --rate 10 --sessions 2 --faults-per-minute 0 --transport tcp";
    let mut command = loadgen();
    command.args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let folder = lines.find_map(|line| Some(line.split_once(", folder ")?.1.to_string())).unwrap();
    assert!(lines.any(|line| line.contains(" due ")), "it runs");
    let servers = children_of(child.id());
    assert_eq!(servers.len(), 5, "two cores, two gateways, a balancer");
    child.kill().unwrap();
    child.wait().unwrap();
    // They are nobody's children now, so there is nothing to wait on.
    while servers.iter().any(|server| is_alive(*server)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Processes, by their parent.
fn children_of(parent: u32) -> Vec<u32> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|process| status_of(*process).is_some_and(|(_, of)| of == parent)).collect()
}

fn is_alive(process: u32) -> bool {
    status_of(process).is_some_and(|(state, _)| state != "Z")
}

/// Its state and its parent.
fn status_of(process: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it is in brackets, and may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace();
    Some((fields.next()?.to_string(), fields.next()?.parse().ok()?))
}
