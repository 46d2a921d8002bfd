//! The generator proves itself: a server that stands still shows in its percentiles, and so does its own lateness.

use super::{Played, play};

/// How long the core stands still, nanoseconds: see `scenarios/pause.toml`.
const PAUSE_NS: u64 = 500_000_000;

/// Samples that took at least `ns`, from the distribution's points: at most so many.
fn at_least(played: &Played, ns: u64) -> u64 {
    let points = played.load("orders")["curve"]["points"].as_array().unwrap();
    let below = points.iter().filter(|point| point[1].as_u64().unwrap() < ns);
    let total = played.load("orders")["latency_ns"]["count"].as_u64().unwrap();
    total - below.map(|point| point[2].as_u64().unwrap()).max().unwrap_or(0)
}

/// A machine that stands still itself is met by the closed loop again and again, and by who should send the last of a phase: then
/// it is played once more.
const ATTEMPTS: usize = 5;

#[test]
fn a_server_that_stands_still_shows_and_a_closed_loop_hides_it() {
    let latency = |played: &Played, key: &str| played.load("orders")["latency_ns"][key].as_u64().unwrap();
    let played = || {
        let folder = tempfile::tempdir().unwrap();
        let open = play(folder.path(), "open", include_str!("../../scenarios/pause.toml"));
        let closed = play(folder.path(), "closed", include_str!("../../scenarios/pause-closed.toml"));
        for played in [&open, &closed] {
            assert_eq!(played.load("orders")["lost"], 0);
            assert_eq!(played.load("orders")["received"], 4_800, "2,400 orders, accepted and filled");
        }
        // 200 orders fell due while it stood still, and waited from 0 to 500 ms: 100 of them half of that or longer.
        assert!(at_least(&open, PAUSE_NS / 2) >= 95, "{}", open.said);
        assert!(latency(&open, "p999") >= PAUSE_NS * 9 / 10, "{}", open.said);
        assert!(latency(&closed, "max") >= PAUSE_NS * 8 / 10, "it stood still: {}", closed.said);
        (folder, open, closed)
    };
    // The closed loop met the same pause with as many orders as it may have in flight, and sent none meanwhile.
    let hides = |open: &Played, closed: &Played| {
        latency(closed, "p99") < PAUSE_NS / 2
            && at_least(open, PAUSE_NS / 2) >= 10 * at_least(closed, PAUSE_NS / 2).max(1)
    };
    let mut attempts = std::iter::repeat_with(played).take(ATTEMPTS);
    let (folder, open, closed) =
        attempts.find(|(_, open, closed)| hides(open, closed)).expect("the closed loop hides it");

    let (html, path) =
        (folder.path().join("both.html"), |played: &Played| played.json_file.display().to_string());
    let output = super::loadgen(&["compare", &path(&open), &path(&closed), "--html", html.to_str().unwrap()]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("(x "), "latencies that count from different moments have no ratio: {said}");
    super::page::beside_each_other(&html);
}

#[test]
fn a_generator_that_is_late_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is sent at the very nanosecond at which it is due. Only the last few go out when all should have been sent.
    let text = "name = \"late\"\ntolerance_ms = 0\n[orders]\nsessions = 2\n[[phases]]\nname = \"a\"\nseconds = 4\norders_per_s = 200\n";
    let mut attempts = std::iter::repeat_with(|| play(folder.path(), "late", text)).take(ATTEMPTS);
    let is_late = |played: &Played| played.load("orders")["schedule"]["verdict"] == "late";
    let late = attempts.find(is_late).expect("late, and not as much as that the rate was not held");
    assert_eq!((late.json["outcome"].as_str(), late.code), (Some("late"), Some(0)));
    assert!(late.said.contains("the generator itself was late with"), "{}", late.said);
    assert!(late.html.contains("the generator itself was late with"));
}

#[test]
fn a_limit_of_the_scenario_is_kept_or_said_to_be_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name = \"slow\"\ntolerance_ms = 2000\n[orders]\nsessions = 2\np99_ms_max = 0.000001\n[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 200\n";
    let slow = play(folder.path(), "slow", text);
    assert_eq!((slow.json["outcome"].as_str(), slow.code), (Some("too_slow"), Some(4)));
    assert!(slow.said.contains("where the scenario wants at most"), "{}", slow.said);
}

#[test]
fn the_generator_s_own_ceiling_is_measured_against_servers_that_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("ceiling.json");
    let output = super::loadgen(&["ceiling", "--seconds", "1", "--json", json.to_str().unwrap()]);
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    for part in ["orders", "quotes"] {
        assert!(json[part]["messages"].as_u64().unwrap() > 1_000, "{json}");
        let (all, core) = (&json[part]["messages_per_s"], &json[part]["messages_per_core_s"]);
        // One thread has at most the whole of one core; clock, time and count are not read at one moment.
        assert!(core.as_f64().unwrap() > 0.5 * all.as_f64().unwrap(), "{json}");
    }
}
