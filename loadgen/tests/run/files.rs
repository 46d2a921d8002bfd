//! What stands in a scenario's file, and what is refused.

use std::path::Path;

use loadgen::scenario::{described, file::Scenario};

/// The least that is a scenario.
const LEAST: &str = "name = \"x\"\n[orders]\n[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 10\n";

#[test]
fn the_scenarios_that_come_along_can_be_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let (scenario, _) =
            Scenario::read(&path).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        let text = described(&scenario);
        assert!(scenario.phases.iter().all(|phase| text.contains(&phase.name)), "{text}");
        assert!(!scenario.about.is_empty(), "{}", path.display());
    }
}

#[test]
fn a_rate_that_changes_is_one_schedule() {
    let text = LEAST.to_owned()
        + "[[phases]]\nname = \"pause\"\nseconds = 3\n[[phases]]\nname = \"b\"\nseconds = 1\norders_per_s = 4\n";
    let scenario = Scenario::parse(&text).unwrap();
    let schedule = scenario.schedule(1_000, |phase| phase.orders_per_s).unwrap();
    assert_eq!((schedule.count(), scenario.seconds()), (24, 6));
    assert_eq!((schedule.due_ns(19), schedule.due_ns(20)), (1_900_001_000, 5_000_001_000));
    assert!(scenario.schedule(0, |phase| phase.quotes_per_s).is_none());
}

#[test]
fn what_is_wrong_is_said_by_its_name() {
    let refused =
        |text: &str| format!("{:#}", Scenario::parse(text).err().unwrap_or_else(|| panic!("taken: {text}")));
    let with = |more: &str| LEAST.to_owned() + more;
    let phase = |text: &str| LEAST.replace("orders_per_s = 10", text);
    let event = |deed: &str| with(&format!("[[events]]\nat_s = 1.0\ndo = {deed}\n"));
    for (text, wanted) in [
        (with("speed = 3\n"), "speed"),
        (LEAST.replace("[orders]\n", "[orders]\nsesions = 3\n"), "sesions"),
        (LEAST.replace("[orders]\n", ""), "needs a section [orders]"),
        (with("[quotes]\n"), "no phase has quotes_per_s"),
        ("name = \"x\"\nphases = []\n".to_owned(), "phases = 0: from 1 to 8"),
        (phase("orders_per_s = 20000000"), "orders_per_s = 20000000"),
        (phase("orders_per_s = 5").replace("seconds = 2", "seconds = 1"), "must be even"),
        (LEAST.replace("seconds = 2", "seconds = 0"), "seconds = 0"),
        (
            LEAST.replace("[orders]\n", "[orders]\nsessions = 3\nthreads = 2\n"),
            "threads must divide sessions",
        ),
        (LEAST.replace("[orders]\n", "[orders]\nprice = \"dear\"\n"), "dear"),
        (LEAST.replace("[orders]\n", "[orders]\np99_ms_max = -1.0\n"), "p99_ms_max"),
        (LEAST.replace("[orders]\n", "[orders]\nprotocol = \"fix\"\n"), "needs [targets]"),
        (with("[targets]\n"), "gateway: an address is missing"),
        (with("[targets]\ngateway = \"127.0.0.1:1\"\n"), "ca:"),
        (with("[memory_growth_percent_max]\ngateway-z = 1.0\n"), "gateway-z"),
        (with("[memory_growth_percent_max]\nfeed = 1.0\n"), "has no feed"),
        (with("[memory_growth_percent_max]\nslb = -1.0\n"), "slb = -1"),
        (event("{ kill = \"gateway-z\" }"), "gateway-z"),
        (event("{ kill = \"slb\" }").replace("at_s = 1.0", "at_s = 99.0"), "at_s = 99"),
        (event("{ hold = { server = \"slb\", ms = 0 } }"), "hold: ms = 0"),
        (
            event("{ hold = { server = \"slb\", ms = 50000 } }"),
            "hold: ms = 50000 from 1 s on: until 51 s, and the run ends at 2 s",
        ),
        (event("{ put = { server = \"slb\", path = \"backends\" } }"), "path"),
        (event("{ primary_source = \"down\" }"), "sources = 2"),
        (event("{ explode = \"slb\" }"), "explode"),
    ] {
        let said = refused(&text);
        assert!(said.contains(wanted), "wanted {wanted:?} of:\n{text}\nbut: {said}");
    }
    Scenario::parse(LEAST).unwrap();
    Scenario::parse(&event("{ hold = { server = \"slb\", ms = 1000 } }")).unwrap();
}

#[test]
fn servers_that_run_already_are_not_ours_to_kill() {
    let text = LEAST.to_owned()
        + "[targets]\ngateway = \"127.0.0.1:1\"\nca = \"ca.pem\"\n[[targets.components]]\nname = \"gw\"\nadmin = \"127.0.0.1:2\"\n\
           [[events]]\nat_s = 1.0\ndo = { kill = \"gw\" }\n";
    let said = format!("{:#}", Scenario::parse(&text).unwrap_err());
    assert!(said.contains("only servers of a town"), "{said}");
    Scenario::parse(&text.replace("kill = \"gw\"", "put = { server = \"gw\", path = \"/x\" }")).unwrap();
}

#[test]
fn a_file_is_checked_without_being_played() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, LEAST).unwrap();
    let output = super::loadgen(&["run", file.to_str().unwrap(), "--check"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("a: 10 orders"));
    std::fs::write(&file, LEAST.replace("seconds", "secs")).unwrap();
    let output = super::loadgen(&["run", file.to_str().unwrap(), "--check"]);
    assert_eq!(output.status.code(), Some(2), "it could not run");
    assert!(String::from_utf8_lossy(&output.stderr).contains("secs"));
}
