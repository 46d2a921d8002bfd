//! Sources of an integrator's own: in a feed like any other source, whatever they do.

use crate::support::{DEADLINE, Feed, Upstream, bytes_of, subscribe, tick, wait_for};
use feed::config::{Source, Via};
use feed::door::{self, Inlet, Over, Wanted};
use feed::{Config, Server};
use service::Host;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// What a test has a source do next.
enum Do {
    /// Publish these numbers of channel 1.
    Publish(std::ops::RangeInclusive<u64>),
    /// Bring these bytes as a frame.
    Push(Vec<u8>),
    /// End with this reason.
    Fail(&'static str),
    /// Panic.
    Panic,
    /// Do nothing at all until the other end of this is dropped.
    Stand(Receiver<()>),
}

/// A source whose strings the test pulls.
struct Puppet {
    strings: Receiver<Do>,
    /// What the feed wanted of it, and why it was over.
    told: SyncSender<Told>,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Up,
    Wanted(Wanted),
    Stands,
    Over(Over),
}

impl door::Source for Puppet {
    fn run(&mut self, inlet: &mut Inlet) -> Result<(), Over> {
        self.play(inlet).inspect_err(|over| self.told.send(Told::Over(over.clone())).unwrap())
    }
}

impl Puppet {
    fn play(&self, inlet: &mut Inlet) -> Result<(), Over> {
        inlet.up()?;
        self.told.send(Told::Up).unwrap();
        loop {
            while let Some(wanted) = inlet.wanted()? {
                self.told.send(Told::Wanted(wanted)).unwrap();
            }
            match self.strings.recv_timeout(Duration::from_millis(1)) {
                Ok(Do::Publish(numbers)) => {
                    for number in numbers {
                        inlet.send(&tick(1, number))?;
                    }
                    inlet.flush()?;
                }
                Ok(Do::Push(bytes)) => {
                    inlet.push(&bytes)?;
                    inlet.flush()?;
                }
                Ok(Do::Panic) => panic!("a mistake of the integrator's"),
                Ok(Do::Stand(until)) => {
                    self.told.send(Told::Stands).unwrap();
                    // It ends with an error: nobody sends.
                    until.recv().unwrap_err();
                }
                Ok(Do::Fail(why)) => return Err(Over::Failed(why.to_owned())),
                Err(_) => inlet.alive()?,
            }
        }
    }
}

/// A feed with a source of the door, and beside it one that is dialled.
struct Stage {
    feed: Feed,
    strings: SyncSender<Do>,
    told: Receiver<Told>,
    dialled: Upstream,
    _tokens: tempfile::TempDir,
}

const OPERATE: &str = "0123456789abcdef";

fn config(dialled: &Upstream) -> Config {
    let mut config = Config::default();
    config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin = service::admin::Config::default();
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let quick = |source| Source { backoff_min_ms: 1, backoff_max_ms: 10, heartbeat_s: 60, ..source };
    config.sources = vec![
        quick(Source { via: Via::Door, ..Source::new("mine", nowhere) }),
        quick(Source::new("dialled", dialled.address())),
    ];
    config
}

impl Stage {
    fn start() -> Self {
        let dialled = Upstream::bind();
        let mut config = config(&dialled);
        let tokens = tempfile::tempdir().unwrap();
        config.control.token_file = tokens.path().join("tokens");
        std::fs::write(&config.control.token_file, format!("operate alice {OPERATE}\n")).unwrap();
        let ((strings, of_strings), (to_told, told)) = (sync_channel(8), sync_channel(1_000));
        let puppet = Puppet { strings: of_strings, told: to_told };
        let feed = Feed::of(config, |server| server.with_source("mine", puppet));
        let stage = Self { feed, strings, told, dialled, _tokens: tokens };
        stage.expect(&Told::Up);
        stage
    }

    fn pull(&self, what: Do) {
        self.strings.send(what).unwrap();
    }

    fn expect(&self, what: &Told) {
        assert_eq!(self.told.recv_timeout(DEADLINE).as_ref(), Ok(what));
    }

    fn operate(&self, path: &str) {
        let answer = self.feed.ask("POST", path, Some(OPERATE));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn wait_up(&self, up: i64) {
        let gauge = self.feed.metrics.source_up.with_label_values(&["mine"]);
        wait_for("the source to be up or down", || gauge.get() == up);
    }
}

#[test]
fn it_is_arbitrated_with_the_others_and_asked_for_what_is_missing() {
    let stage = Stage::start();
    let mut dialled = stage.dialled.accept();
    let mut reader = subscribe(stage.feed.address, &crate::support::Wanted::all());
    stage.pull(Do::Publish(1..=20_000));
    reader.expect_ticks(1, 1..=20_000);
    dialled.publish(1, 19_990..=20_010);
    reader.expect_ticks(1, 20_001..=20_010);
    dialled.publish(1, 20_014..=20_014);
    stage.expect(&Told::Wanted(Wanted { channel: 1, begin: 20_011, end: 20_013 }));
    stage.pull(Do::Publish(20_011..=20_013));
    reader.expect_ticks(1, 20_011..=20_014);
    assert_eq!(stage.feed.metrics.numbers_lost.get(), 0);
}

#[test]
fn it_may_fail_and_comes_back() {
    let stage = Stage::start();
    let mut reader = subscribe(stage.feed.address, &crate::support::Wanted::all());
    stage.pull(Do::Publish(1..=3));
    reader.expect_ticks(1, 1..=3);
    stage.pull(Do::Fail("out of quotes"));
    stage.expect(&Told::Over(Over::Failed("out of quotes".to_owned())));
    stage.expect(&Told::Up);
    stage.pull(Do::Publish(4..=6));
    reader.expect_ticks(1, 4..=6);
    wait_for("its end to be counted", || {
        stage.feed.metrics.source_ended.with_label_values(&["mine", "ended"]).get() == 1
    });
}

#[test]
fn an_operators_down_and_up_at_once_bring_it_back_though_it_saw_neither() {
    let stage = Stage::start();
    let _dialled = stage.dialled.accept();
    let mut reader = subscribe(stage.feed.address, &crate::support::Wanted::all());
    stage.pull(Do::Publish(1..=3));
    reader.expect_ticks(1, 1..=3);
    wait_for("the other source", || stage.feed.metrics.source_up.with_label_values(&["dialled"]).get() == 1);
    let (release, until) = sync_channel(0);
    stage.pull(Do::Stand(until));
    stage.expect(&Told::Stands);
    stage.operate("/sources/mine/down");
    stage.operate("/sources/mine/up");
    drop(release);
    stage.expect(&Told::Over(Over::Ended));
    stage.expect(&Told::Up);
    stage.wait_up(1);
    stage.pull(Do::Publish(4..=6));
    reader.expect_ticks(1, 4..=6);
}

#[test]
fn its_panic_ends_it_alone_and_it_comes_back() {
    let stage = Stage::start();
    let mut dialled = stage.dialled.accept();
    let mut reader = subscribe(stage.feed.address, &crate::support::Wanted::all());
    stage.pull(Do::Publish(1..=3));
    reader.expect_ticks(1, 1..=3);
    stage.pull(Do::Panic);
    dialled.publish(1, 4..=5);
    reader.expect_ticks(1, 4..=5);
    stage.expect(&Told::Up);
    stage.pull(Do::Publish(6..=8));
    reader.expect_ticks(1, 6..=8);
    assert_eq!(stage.feed.metrics.source_panics.with_label_values(&["mine"]).get(), 1);
}

#[test]
fn what_it_brings_wrongly_ends_it_and_harms_nobody() {
    let stage = Stage::start();
    let mut reader = subscribe(stage.feed.address, &crate::support::Wanted::all());
    stage.wait_up(1);
    let good = bytes_of(&tick(1, 1));
    for wrong in [good[..good.len() - 1].to_vec(), [&good[..], &good[..]].concat(), vec![]] {
        stage.pull(Do::Push(wrong));
        stage.expect(&Told::Over(Over::Refused("not one whole frame")));
        stage.expect(&Told::Up);
    }
    // A whole frame whose body is not what its type says.
    let mut short = Vec::new();
    wire::szse::frame::encode_with(300_192, &mut short, |body| {
        body.push(0);
        Ok::<_, ()>(())
    })
    .unwrap();
    stage.pull(Do::Push(short));
    stage.expect(&Told::Over(Over::Refused("what was brought is no message of the protocol")));
    stage.expect(&Told::Up);
    stage.pull(Do::Publish(1..=2));
    reader.expect_ticks(1, 1..=2);
}

#[test]
fn a_feed_does_not_start_with_a_door_that_nobody_uses() {
    let dialled = Upstream::bind();
    let server = |change: fn(&mut Config)| {
        let mut config = config(&dialled);
        change(&mut config);
        Server::bind(config, &Host::default()).unwrap()
    };
    let error = server(|_| {}).start().err().unwrap().to_string();
    assert_eq!(error, "source mine: its `via` is \"door\", and no program brings its quotes");
    let (_strings, of_strings) = sync_channel(1);
    let (to_told, _told) = sync_channel(1);
    let puppet = Puppet { strings: of_strings, told: to_told };
    let error = server(|config| _ = config.sources.remove(0)).with_source("mine", puppet).start();
    assert!(error.err().unwrap().to_string().contains("there is none of this name"));
}
