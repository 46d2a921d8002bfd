//! Who may see what: accounts from a file, what each of them gets, and what happens when the file changes.

use crate::support::*;
use std::path::PathBuf;
use tempfile::TempDir;
use wire::szse::code::{ResendStatus, SOURCE_SHANGHAI};
use wire::szse::ext::{RequestStatus, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::TickOrder;
use wire::szse::{Logon, Password, Text};

const SHENZHEN: u16 = 1 << 1;
const SHANGHAI: u16 = 1 << 2;

/// A file of rights, and a feed by it.
struct Place {
    folder: TempDir,
    feed: Feed,
}

impl Place {
    fn open(accounts: &[&str]) -> Self {
        Self::with(accounts, 1)
    }

    fn with(accounts: &[&str], shards: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&path(&folder), accounts);
        let feed = Feed::start(|config| {
            config.entitlement.file = Some(path(&folder));
            config.listen.shards = shards;
        });
        Self { folder, feed }
    }

    fn change(&mut self, accounts: &[&str]) {
        write(&path(&self.folder), accounts);
        (self.feed.reload)();
    }
}

pub(crate) fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("rights.toml")
}

/// Accounts whose password is their name.
pub(crate) fn write(path: &PathBuf, accounts: &[&str]) {
    std::fs::write(path, format!("accounts = [{}]", accounts.join(", "))).unwrap();
}

pub(crate) fn account(name: &str, rights: &str) -> String {
    format!("{{ name = \"{name}\", comp_id = \"{name}\", password = \"{name}\", {rights} }}")
}

pub(crate) fn logon_of(name: &str) -> Logon {
    Logon {
        sender_comp_id: Text::new(name.as_bytes()).unwrap(),
        password: Password::new(name.as_bytes()).unwrap(),
        ..logon()
    }
}

pub(crate) fn subscribe_as(feed: &Feed, name: &str, wanted: &Wanted) -> Peer {
    let mut peer = log_on_as(feed.address, &logon_of(name));
    peer.request(wanted);
    assert_eq!(peer.see(), Seen::Ack(RequestStatus::ACCEPTED));
    peer
}

fn refused(feed: &Feed, logon: &Logon) -> Seen {
    let mut peer = Peer::connect(feed.address);
    peer.send(logon);
    peer.see()
}

fn shanghai(channel: u16, number: u64) -> TickOrder {
    TickOrder { security_id_source: SOURCE_SHANGHAI, ..tick(channel, number) }
}

/// What both markets publish: Shanghai on channel 2, Shenzhen on channel 1.
pub(crate) fn publish(source: &mut Peer, number: u64) {
    source.send(&shanghai(2, number));
    source.send(&tick(1, number));
    source.send_bytes(&snapshot_of(SOURCE_SHANGHAI, 7, 2, number as i64));
    source.send_bytes(&snapshot(1, 1, number as i64));
}

#[test]
fn each_account_sees_its_markets_at_its_level_and_no_more() {
    let place = Place::open(&[
        &account("all", "level = 2, connections_max = 1"),
        &account("ticks", "markets = [\"SZSE\"], level = 2, connections_max = 1"),
        &account("shots", "markets = [\"SSE\"], level = 1, connections_max = 1"),
    ]);
    let [mut primary, _backup] = place.feed.sources();
    let mut all = subscribe_as(&place.feed, "all", &Wanted::all());
    let mut ticks = subscribe_as(&place.feed, "ticks", &Wanted::all());
    let channels = Wanted { mode: SubscriptionMode::CHANNELS, channels: vec![(2, 0)], ..Wanted::all() };
    let mut shots = subscribe_as(&place.feed, "shots", &channels);
    for number in 1..=3 {
        publish(&mut primary, number);
        let seen = [all.see(), all.see(), all.see(), all.see()];
        let time = number as i64;
        let expected =
            [Seen::Tick(2, number), Seen::Tick(1, number), Seen::Snapshot(7, time), Seen::Snapshot(1, time)];
        assert_eq!(seen, expected);
        assert_eq!([ticks.see(), ticks.see()], [Seen::Tick(1, number), Seen::Snapshot(1, time)]);
        assert_eq!(shots.see(), Seen::Snapshot(7, time));
    }
    // Who comes late gets no snapshot beyond its right either, and no resend brings what the log would not.
    drop(shots);
    wait_for("the seat", || place.feed.metrics.subscribers.get() == 2);
    let mut late = subscribe_as(&place.feed, "shots", &Wanted { snapshots: true, ..Wanted::all() });
    assert_eq!(late.see(), Seen::Snapshot(7, 3));
    late.send(&resend(2, 1, 3, ResendStatus::NONE));
    assert_eq!(late.see(), Seen::Resend(1, ResendStatus::UNAVAILABLE));
    ticks.send(&resend(2, 1, 3, ResendStatus::NONE));
    assert_eq!(ticks.see(), Seen::Resend(1, ResendStatus::COMPLETE), "and nothing of Shanghai");
    ticks.send(&resend(1, 1, 3, ResendStatus::NONE));
    ticks.expect_ticks(1, 1..=3);
    assert_eq!(ticks.see(), Seen::Resend(1, ResendStatus::COMPLETE));
}

#[test]
fn what_is_asked_for_by_name_beyond_the_right_is_refused() {
    let place = Place::open(&[
        &account("ticks", "markets = [\"SSE\"], level = 2, connections_max = 1"),
        &account("shots", "level = 1, connections_max = 1"),
    ]);
    let [mut primary, _backup] = place.feed.sources();
    let mut ticks = subscribe_as(&place.feed, "ticks", &Wanted::all());
    let one = Wanted { mode: SubscriptionMode::SECURITIES, securities: vec![1], ..Wanted::all() };
    ticks.request(&one);
    assert_eq!(ticks.see(), Seen::Ack(RequestStatus::NOT_ENTITLED), "a security of Shenzhen");
    publish(&mut primary, 1);
    assert_eq!(ticks.see(), Seen::Tick(2, 1), "what stood before stands");
    let mut shots = log_on_as(place.feed.address, &logon_of("shots"));
    shots.request(&Wanted::from(1, 1));
    assert_eq!(shots.see(), Seen::Ack(RequestStatus::NOT_ENTITLED), "numbers are of ticks");
    let refused = place.feed.metrics.requests.with_label_values(&["NOT_ENTITLED"]);
    assert_eq!(refused.get(), 2);
}

#[test]
fn an_account_has_so_many_connections_over_all_threads() {
    let place = Place::with(&[&account("two", "level = 2, connections_max = 2")], 4);
    let _sources = place.feed.sources();
    let one = log_on_as(place.feed.address, &logon_of("two"));
    let _two = log_on_as(place.feed.address, &logon_of("two"));
    let refused = |count| {
        (0..count).for_each(|_| {
            let seen = refused(&place.feed, &logon_of("two"));
            assert_eq!(seen, Seen::Logout("too many sessions".into()));
        });
    };
    refused(5);
    let refusals = place.feed.metrics.rights_refused.with_label_values(&["connections"]);
    assert_eq!(refusals.get(), 5);
    drop(one);
    wait_for("the seat", || place.feed.metrics.subscribers.get() == 1);
    let _three = log_on_as(place.feed.address, &logon_of("two"));
    refused(1);
}

#[test]
fn who_is_not_in_the_file_is_refused_and_a_token_is_enough() {
    let token = "{ name = \"t\", token = \"0123456789abcdef\", level = 2, connections_max = 9 }";
    let place = Place::open(&[&account("known", "level = 2, connections_max = 1"), token]);
    let [mut primary, _backup] = place.feed.sources();
    let wrong = Seen::Logout("wrong CompID or password".into());
    assert_eq!(refused(&place.feed, &logon_of("unknown")), wrong);
    assert_eq!(refused(&place.feed, &Logon { password: Password::default(), ..logon_of("known") }), wrong);
    let with_token = Logon { password: Password::new(b"0123456789abcdef").unwrap(), ..logon_of("any") };
    let mut peer = log_on_as(place.feed.address, &with_token);
    peer.request(&Wanted::all());
    assert_eq!(peer.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.publish(1, 1..=2);
    peer.expect_ticks(1, 1..=2);
    assert_eq!(place.feed.metrics.rights_refused.with_label_values(&["unknown"]).get(), 2);
}

#[test]
fn open_sessions_get_the_new_rights() {
    let full = "level = 2, connections_max = 1";
    let other = account("other", full);
    let mut place = Place::open(&[&account("a", full), &account("gone", full), &other]);
    let [mut primary, _backup] = place.feed.sources();
    let resume = Wanted { policy: SlowReaderPolicy::SKIP_WITH_NOTICE, ..Wanted::all() };
    let mut a = subscribe_as(&place.feed, "a", &resume);
    let mut gone = subscribe_as(&place.feed, "gone", &Wanted::all());
    let mut same = subscribe_as(&place.feed, "other", &Wanted::all());
    publish(&mut primary, 1);
    for peer in [&mut a, &mut gone, &mut same] {
        (0..4).for_each(|_| drop(peer.see()));
    }

    place.change(&[&account("a", "markets = [\"SSE\"], level = 2, connections_max = 1"), &other]);
    assert_eq!(a.see(), Seen::Entitlement(SHANGHAI, 2));
    assert_eq!(gone.see(), Seen::Logout("right withdrawn".into()));
    assert_eq!(gone.see(), Seen::Closed);
    assert_eq!(refused(&place.feed, &logon_of("gone")), Seen::Logout("wrong CompID or password".into()));
    publish(&mut primary, 2);
    assert_eq!([a.see(), a.see()], [Seen::Tick(2, 2), Seen::Snapshot(7, 2)]);
    (0..4).for_each(|_| assert!(!matches!(same.see(), Seen::Entitlement(..)), "nothing changed for it"));

    place.change(&[&account("a", "markets = [\"SZSE\", \"SSE\"], level = 1, connections_max = 1"), &other]);
    assert_eq!(a.see(), Seen::Entitlement(SHENZHEN | SHANGHAI, 1));
    publish(&mut primary, 3);
    assert_eq!([a.see(), a.see()], [Seen::Snapshot(7, 3), Seen::Snapshot(1, 3)]);

    // A file that cannot be used changes nothing.
    place.change(&["{ name = "]);
    publish(&mut primary, 4);
    assert_eq!([a.see(), a.see()], [Seen::Snapshot(7, 4), Seen::Snapshot(1, 4)]);
    let loaded = |outcome| place.feed.metrics.rights_loaded.with_label_values(&[outcome]).get();
    assert_eq!((loaded("applied"), loaded("refused")), (2, 1));
}

#[test]
fn a_smaller_quota_ends_as_many_sessions_as_are_too_many() {
    let mut place = Place::with(&[&account("a", "level = 2, connections_max = 5")], 2);
    let _sources = place.feed.sources();
    let _peers: Vec<Peer> = (0..5).map(|_| log_on_as(place.feed.address, &logon_of("a"))).collect();
    place.change(&[
        &account("a", "level = 2, connections_max = 5"),
        &account("b", "level = 1, connections_max = 1"),
    ]);
    place.change(&[&account("a", "level = 2, connections_max = 2")]);
    wait_for("those beyond to be gone", || place.feed.metrics.subscribers.get() == 2);
    let ended = place.feed.metrics.rights_changed.with_label_values(&["too many sessions"]);
    wait_for("the count", || ended.get() == 3);
}
