//! A feed's primary source dies in every way there is, and its subscribers miss nothing.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::path::Path;
use std::process::Command;

fn failover(args: &str, json: &Path) -> (Option<i32>, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output =
        command.arg("failover").args(args.split_whitespace()).arg("--json").arg(json).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    (output.status.code(), serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap())
}

const BROKEN: [&str; 6] = ["lost", "duplicated", "out_of_order", "altered", "noticed", "not_taken_over"];

#[test]
fn every_number_comes_once_and_in_order_whatever_becomes_of_the_primary() {
    let folder = tempfile::tempdir().unwrap();
    let line = "--count 4 --rate 2000 --subscribers 3 --outage-ms 400 --seed 5";
    let (code, json) = failover(line, &folder.path().join("failover.json"));
    // 3: a busy machine did not hold the rate, which is no loss.
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    for mode in ["arbitrated", "standby"] {
        let mode = &json["modes"][mode];
        for none in BROKEN {
            assert_eq!(mode[none], 0, "{none}");
        }
        assert_eq!(mode["received"], mode["expected"]);
        assert_eq!(mode["expected"].as_u64().unwrap(), 3 * mode["sent"].as_u64().unwrap());
        assert!(mode["sent"].as_u64().unwrap() > 0);
        for kind in ["killed", "silent", "late", "garbage"] {
            assert_eq!(mode["gap_us"][kind]["count"], 1, "{kind}");
        }
    }
}

/// Without a second source the same fault is seen: the gap is the outage, and the run says that nobody stood in.
#[test]
fn a_source_alone_leaves_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let line = "--count 1 --only killed --mode arbitrated --rate 1000 --outage-ms 400 --without-backup";
    let (code, json) = failover(line, &folder.path().join("failover.json"));
    assert_eq!(code, Some(1));
    let mode = &json["modes"]["arbitrated"];
    assert_eq!((&mode["not_taken_over"], &mode["lost"]), (&1.into(), &0.into()), "it has the past again");
    assert!(mode["gap_us"]["killed"]["max"].as_u64().unwrap() >= 400_000, "{mode}");
}
