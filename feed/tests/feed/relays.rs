//! Feeds behind feeds.

use crate::support::*;
use feed::Config;
use feed::config::{FromName, Source};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use wire::szse::Text;

/// Feeds ask for everything, and for the whole day.
fn relay(id: &'static str) -> impl Fn(&mut Config) {
    move |config| {
        config.relay.id = Text::literal(id);
        config.arbitration.from = FromName::Open;
        config.sources.iter_mut().for_each(|source| source.subscribe = true);
    }
}

/// The top tier: its source is no feed.
fn top(source: &Upstream, id: &'static str, change: impl FnOnce(&mut Config)) -> Feed {
    Feed::with_sources(&[source.address()], |config| {
        relay(id)(config);
        config.sources[0].subscribe = false;
        change(config);
    })
}

fn wait_for_source(feed: &Feed, source: &str) {
    wait_for(source, || feed.metrics.source_up.with_label_values(&[source]).get() == 1);
}

#[test]
fn three_tiers_lose_and_double_nothing_while_a_middle_one_is_killed_and_comes_back() {
    let exchange = Upstream::bind();
    let top = top(&exchange, "top", |_| {});
    let mut primary = exchange.accept();
    let address = free_address();
    let middle = || {
        Feed::with_sources(&[top.address], |config| {
            relay("middle-1")(config);
            config.listen.address = address;
        })
    };
    let mut killed = middle();
    let other = Feed::with_sources(&[top.address], relay("middle-2"));
    let low = Feed::with_sources(&[address, other.address], relay("low"));
    low.wait_for_sources(2);
    primary.publish(1, 1..=100);
    let mut reader = subscribe(low.address, &Wanted::from(1, 1));
    reader.expect_ticks(1, 1..=100);

    let hops = |source: &str| low.metrics.relay_hops.with_label_values(&[source]).get();
    wait_for("the paths", || hops("source-0") == 2 && hops("source-1") == 2);
    let status = low.get("/sources");
    assert!(status.contains("\"relays\":[\"middle-1\",\"top\"]"), "{status}");

    killed.take_running().stop().unwrap();
    low.wait_for_sources(1);
    drop(killed);
    assert_eq!(hops("source-0"), 0, "what is gone has no path");
    primary.publish(1, 101..=200);
    reader.expect_ticks(1, 101..=200);

    let back = middle();
    low.wait_for_sources(2);
    wait_for("its path", || hops("source-0") == 2);
    primary.publish(1, 201..=300);
    reader.expect_ticks(1, 201..=300);
    // And now the other one: what came back has everything.
    drop(other);
    low.wait_for_sources(1);
    primary.publish(1, 301..=400);
    reader.expect_ticks(1, 301..=400);
    assert_eq!((low.metrics.numbers_lost.get(), back.metrics.numbers_lost.get()), (0, 0));
}

/// A relay as a process of its own, which a test can kill.
struct Program(Child);

impl Program {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feed"));
        Self(command.arg("--config").arg(config).stderr(Stdio::null()).spawn().unwrap())
    }

    /// SIGKILL: it has no time to say a word to anybody.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Killed already, unless the test failed.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

#[test]
fn a_relay_that_is_killed_and_comes_back_costs_nobody_a_number() {
    const EACH: u64 = 2_000;
    let exchange = Upstream::bind();
    let top = top(&exchange, "top", |_| {});
    let mut primary = exchange.accept();
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let config = folder.path().join("middle-1.toml");
    let text = format!(
        "[listen]\naddress = \"{address}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[relay]\nid = \"middle-1\"\n\
         [arbitration]\nfrom = \"open\"\n[[sources]]\nname = \"top\"\naddress = \"{}\"\nsubscribe = true\n",
        top.address
    );
    std::fs::write(&config, text).unwrap();
    let other = Feed::with_sources(&[top.address], relay("middle-2"));
    let low = Feed::with_sources(&[address, other.address], relay("low"));
    let mut reader = subscribe(low.address, &Wanted::from(1, 1));
    let mut last = 0;
    let mut go_on = |reader: &mut Peer| {
        primary.publish(1, last + 1..=last + EACH);
        reader.expect_ticks(1, last + 1..=last + EACH);
        last += EACH;
    };
    for _ in 0..3 {
        let program = Program::start(&config);
        wait_for_source(&low, "source-0");
        go_on(&mut reader);
        program.kill();
        low.wait_for_sources(1);
        go_on(&mut reader);
    }
    // What only it brings: the other way is gone, and nothing of the day is missing on this one.
    let _program = Program::start(&config);
    low.wait_for_sources(2);
    drop(other);
    low.wait_for_sources(1);
    go_on(&mut reader);
    let mut late = subscribe(low.address, &Wanted::from(1, 1));
    late.expect_ticks(1, 1..=last);
    assert_eq!(low.metrics.numbers_lost.get(), 0);
}

#[test]
fn a_loop_is_refused_and_quotes_go_on() {
    let exchange = Upstream::bind();
    let address = free_address();
    let one = top(&exchange, "one", |config| {
        let source = Source {
            subscribe: true,
            backoff_min_ms: 1,
            backoff_max_ms: 10,
            ..Source::new("source-1", address)
        };
        config.sources.push(source);
    });
    let mut primary = exchange.accept();
    let two = Feed::with_sources(&[one.address], |config| {
        relay("two")(config);
        config.listen.address = address;
    });
    let refused =
        |feed: &Feed, source| feed.metrics.source_ended.with_label_values(&[source, "relay loop"]).get();
    wait_for("the loop to be seen", || refused(&one, "source-1") + refused(&two, "source-0") > 0);
    wait_for_source(&two, "source-0");
    let mut reader = subscribe(two.address, &Wanted::from(1, 1));
    for hundred in 0..5 {
        let numbers = hundred * 100 + 1..=hundred * 100 + 100;
        primary.publish(1, numbers.clone());
        reader.expect_ticks(1, numbers);
    }
}

#[test]
fn a_source_that_is_too_far_away_is_refused() {
    let exchange = Upstream::bind();
    let top = top(&exchange, "top", |_| {});
    let _primary = exchange.accept();
    let middle = Feed::with_sources(&[top.address], relay("middle"));
    wait_for("its path", || middle.metrics.relay_hops.with_label_values(&["source-0"]).get() == 1);
    let low = Feed::with_sources(&[middle.address], |config| {
        relay("low")(config);
        config.relay.hops_max = 1;
    });
    let refused = low.metrics.source_ended.with_label_values(&["source-0", "too many relay hops"]);
    wait_for("the refusal", || refused.get() > 1);
}
