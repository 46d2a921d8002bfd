//! Operators switch sources, each known by a token; nobody else does.

use crate::support::*;
use feed::Config;
use feed::config::ModeName;

const OPERATE: &str = "0123456789abcdef";
const READ: &str = "fedcba9876543210";

/// A feed in standby with a token of each kind.
fn start(change: impl FnOnce(&mut Config)) -> (Feed, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("operate alice {OPERATE}\nread bob {READ}\n")).unwrap();
    let feed = Feed::start(|config| {
        config.arbitration.mode = ModeName::Standby;
        // Away by an operator alone, however slow this machine is.
        config.arbitration.standby.behind_ms = 3_600_000;
        config.arbitration.standby.silent_ms = 3_600_000;
        config.control.token_file = tokens;
        change(config);
    });
    (feed, folder)
}

impl Feed {
    /// Status of a command, and what is said to it.
    fn command(&self, path: &str) -> (u16, String) {
        let answer = self.ask("POST", path, Some(OPERATE));
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split("\r\n\r\n").nth(1).unwrap().to_owned())
    }

    fn commands(&self, outcome: &str) -> u64 {
        self.metrics.commands.with_label_values(&[outcome]).get()
    }
}

#[test]
fn what_is_preferred_becomes_the_primary_and_nothing_is_missing() {
    let (feed, _folder) = start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    backup.publish(1, 1..=15);
    wait_for("what the backup has more to wait", || feed.metrics.held.get() == 5);
    assert_eq!(feed.command("/sources/source-1/prefer").0, 200);
    reader.expect_ticks(1, 11..=15);
    primary.publish(1, 11..=20);
    wait_for("what the first one has more to wait", || feed.metrics.held.get() == 10);
    backup.publish(1, 16..=25);
    reader.expect_ticks(1, 16..=25);
    assert_eq!(feed.metrics.failovers.get(), 0, "nobody failed");
}

#[test]
fn a_source_that_is_taken_down_stays_down_until_it_is_wanted() {
    let (feed, _folder) = start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    assert_eq!(feed.command("/sources/source-0/down").0, 200);
    assert_eq!(primary.see(), Seen::Logout("down by the operator".into()));
    drop(primary);
    feed.wait_for_sources(1);
    assert!(feed.get_as_reader("/sources").contains(r#""state":"down""#));
    assert_eq!(feed.command("/sources/source-1/down"), (409, "no other source is up\n".into()));
    assert_eq!(feed.command("/sources/source-0/prefer"), (409, "it is not up\n".into()));
    backup.publish(1, 11..=20);
    reader.expect_ticks(1, 11..=20);
    assert_eq!(feed.command("/sources/source-0/up").0, 200);
    let mut primary = feed.upstreams[0].accept();
    primary.publish(1, 21..=21);
    drop(backup);
    reader.expect_ticks(1, 21..=21);
    wait_for("the commands to be counted", || (feed.commands("done"), feed.commands("failed")) == (2, 2));
}

#[test]
fn two_downs_at_once_leave_one_source_and_nothing_of_the_other_is_filed() {
    let (feed, _folder) = start(|config| config.arbitration.mode = ModeName::Arbitrated);
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    assert_eq!(feed.command("/sources/source-0/down").0, 200);
    // Its logout is not answered yet.
    assert!(feed.get_as_reader("/sources").contains(r#""state":"logging out""#));
    assert_eq!(feed.command("/sources/source-1/down"), (409, "no other source is up\n".into()));
    assert_eq!(feed.command("/sources/source-0/up").0, 200);
    assert_eq!(feed.command("/sources/source-1/down").0, 409, "it is not up again yet");
    primary.publish(1, 11..=15);
    drop(primary);
    let mut primary = feed.upstreams[0].accept();
    feed.wait_for_sources(2);
    backup.publish(1, 11..=12);
    reader.expect_ticks(1, 11..=12);
    let won = |name| feed.metrics.won.with_label_values(&[name]).get();
    wait_for("all to be counted", || won("source-0") + won("source-1") == 12);
    assert_eq!([won("source-0"), won("source-1")], [10, 2]);
    primary.publish(1, 13..=13);
    reader.expect_ticks(1, 13..=13);
}

#[test]
fn who_has_no_right_to_it_switches_nothing() {
    let (feed, _folder) = start(|_| {});
    let [_primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let status = |token| feed.ask("POST", "/sources/source-0/down", token)[9..12].to_owned();
    assert_eq!([None, Some("0123456789abcdee"), Some(READ)].map(status), ["401", "401", "403"]);
    assert!(feed.get("/sources").starts_with("HTTP/1.1 401"), "looking wants a token too");
    assert!(feed.get_as_reader("/sources").contains(r#""state":"up","preferred":true"#));
    let denied = ["no token", "wrong token", "read only"].map(|outcome| feed.commands(outcome));
    assert_eq!((denied, feed.commands("done")), ([2, 1, 1], 0));
    assert!(feed.get("/").starts_with("HTTP/1.1 401"), "and so does looking for what there is");
    assert!(feed.get_as_reader("/").contains("\nPOST /sources/NAME/down  "));
    let unknown = "no source \"nobody\" (GET /sources lists them)\n";
    assert_eq!(feed.command("/sources/nobody/down"), (404, unknown.to_owned()));
    assert_eq!(feed.command("/sources/source-0/drop").0, 404);
}

#[test]
fn each_path_of_the_list_is_there_and_does_what_it_says() {
    let (feed, _folder) = start(|_| {});
    let answer = feed.get_as_reader("/");
    let (_, list) = answer.split_once("\r\n\r\n").unwrap();
    for line in list.lines() {
        let (request, _) = line.split_once("  ").expect("what it does stands behind it");
        let (method, path) = request.split_once(' ').unwrap();
        // No route has this one, so that nothing is done and each says what it has.
        let answer = feed.ask("PATCH", path, Some(OPERATE));
        assert!(answer.ends_with(&format!("\r\n\r\nuse {method}\n")), "{line}: {answer}");
        if method == "POST" {
            let unknown = "no source \"NAME\" (GET /sources lists them)\n";
            assert_eq!(feed.command(path), (404, unknown.to_owned()), "{line}");
        }
    }
    for request in ["GET /sources", "GET /subscribers", "GET /book", "POST /sources/NAME/up", "GET /metrics"]
    {
        assert!(list.contains(&format!("{request}  ")), "{request}: {list}");
    }
}

#[test]
fn without_tokens_there_are_no_commands_and_without_standby_nothing_to_prefer() {
    let feed = Feed::start(|_| {});
    assert!(feed.get("/sources").starts_with("HTTP/1.1 200"));
    let answer = feed.ask("POST", "/sources/source-0/down", None);
    assert!(answer.contains("403") && answer.contains("configure control.token_file"), "{answer}");
    let (feed, _folder) = start(|config| config.arbitration.mode = ModeName::Arbitrated);
    let (status, text) = feed.command("/sources/source-1/prefer");
    assert!(status == 409 && text.contains("whichever is first"), "{text}");
}

impl Feed {
    fn get_as_reader(&self, path: &str) -> String {
        self.ask("GET", path, Some(READ))
    }
}
