//! A zone is lost whole, comes back, and the other one is lost: real processes, nothing lost.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

fn drill(args: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("drill.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output =
        command.arg("drill").args(args.split_whitespace()).arg("--json").arg(&json).output().unwrap();
    let text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}\n{text}", output.status);
    println!("{text}");
    serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap()
}

fn nothing_lost(result: &serde_json::Value, orders: u64) {
    assert_eq!((result["orders"].as_u64(), result["acknowledged"].as_u64()), (Some(orders), Some(orders)));
    for none in ["lost", "duplicated", "report_gaps"] {
        assert_eq!(result[none], 0, "{none}");
    }
    let quotes = &result["quotes"];
    for none in ["lost", "duplicated", "out_of_order", "altered", "announced_lost"] {
        assert_eq!(quotes[none], 0, "quotes {none}");
    }
    assert!(quotes["published"].as_u64() > Some(orders), "orders and trades are published");
    assert_eq!(quotes["received"], quotes["expected"]);
}

#[test]
fn either_zone_carries_all_when_the_other_one_is_killed() {
    let result = drill("--seconds 8 --rate 200 --sessions 10 --subscribers 4");
    nothing_lost(&result, 1_600);
    let zones = result["zones"].as_array().unwrap();
    let lost: BTreeSet<&str> = zones.iter().map(|zone| zone["zone"].as_str().unwrap()).collect();
    assert_eq!((zones.len(), lost), (2, BTreeSet::from(["a", "b"])));
    // Half of the sessions and subscribers were at home there.
    assert!(zones[0]["orders_recovery_ms"].is_u64() && zones[0]["quotes_recovery_ms"].is_u64(), "{result}");
}

/// Nobody is told that it is gone: connections stay, and are found dead by their silence.
#[test]
fn a_zone_that_only_falls_silent_is_left_as_well() {
    // Long enough that the silence is noticed while it lasts, though the machine may be late with that.
    let result = drill("--seconds 30 --rate 100 --sessions 10 --subscribers 4 --how frozen --transport tcp");
    nothing_lost(&result, 3_000);
    assert!(result["zones"][0]["quotes_recovery_ms"].is_u64(), "{result}");
}

#[test]
fn sessions_that_make_no_pairs_are_refused_before_anything_is_on_the_disk() {
    for command in ["drill", "chaos"] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args([command, "--sessions", "3"])
            .env("TMPDIR", folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--sessions: an even number") && !text.contains("folder"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{text}");
    }
}
