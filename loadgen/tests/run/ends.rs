//! How runs end that do not go as their scenario has it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{loadgen, play};

#[test]
fn an_event_that_fails_is_told_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
name = "an event fails"
[orders]
sessions = 2
[[phases]]
name = "a"
seconds = 2
orders_per_s = 100
[[events]]
at_s = 0.5
what = "a line that is not there is cut"
do = { put = { server = "core-cash", path = "/ports/none/down" } }
"#;
    let run = play(folder.path(), "failing", text);
    assert_eq!((run.json["outcome"].as_str(), run.code), (Some("not_played"), Some(2)), "{}", run.said);
    assert_eq!(run.load("orders")["received"], 400, "{}", run.said);
    let events = run.json["events"].to_string();
    assert!(events.contains("FAILED: a line that is not there is cut"), "{events}");
    assert!(run.json["reasons"].to_string().contains("/ports/none/down"), "{}", run.json["reasons"]);
    assert!(run.html.contains("FAILED: a line that is not there is cut"));
}

#[test]
fn a_run_that_is_told_to_end_writes_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let (file, json) = (folder.path().join("long.toml"), folder.path().join("long.json"));
    let text = r#"
name = "long"
[orders]
sessions = 2
[quotes]
subscribers = 3
[[phases]]
name = "a"
seconds = 600
orders_per_s = 100
quotes_per_s = 100
[[phases]]
name = "never"
seconds = 600
orders_per_s = 100
"#;
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", file.to_str().unwrap(), "--json", json.to_str().unwrap()])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The second line of the run itself: five seconds have been played.
    said.by_ref().filter(|line| line.contains("p99")).nth(1).expect("it did not begin");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{rest:?}");
    let run: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(run["outcome"], "not_played", "{run}");
    assert!(run["reasons"].to_string().contains("told to end after"), "{}", run["reasons"]);
    let seconds = run["seconds"].as_f64().unwrap();
    assert!((1.0..600.0).contains(&seconds), "{seconds}");
    for load in run["loads"].as_array().unwrap() {
        let number = |key: &str| load[key].as_u64().unwrap();
        assert!(number("sent") > 0 && number("planned") < 60_000, "{load}");
        assert_eq!((number("lost"), number("expected")), (0, number("received")), "{load}");
        assert_eq!(load["phases"][1]["offered_per_s"], 0.0, "the second phase was not played");
        assert!(!load["rows"].as_array().unwrap().is_empty());
    }
    assert!(run["components"].as_array().unwrap().iter().all(|server| {
        server["memory"].as_array().unwrap().iter().all(|at| at[1].as_f64().unwrap() > 0.0)
    }));
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let (file, json) = (folder.path().join("x.toml"), folder.path().join("x.json"));
    let text = "name = \"x\"\n[orders]\n[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 10\n";
    std::fs::write(&file, text).unwrap();
    let html = folder.path().join("not/there.html");
    let args = ["run", file.to_str().unwrap(), "--json", json.to_str().unwrap(), "--html"];
    let output = loadgen(&[args.as_slice(), &[html.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there.html") && !said.contains("the servers start"), "{said}");
    assert!(!json.exists(), "no empty result is left");
}
