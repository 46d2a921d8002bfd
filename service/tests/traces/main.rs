//! Traces from a hot thread to a collector, and what becomes of them where that is slow, wrong or not there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use service::traces::{Config, Kind, Name, Place, Span, Subject, Tracer, Traces, Value, connection, day};
use service::{Host, Phase, Running, prometheus};

mod collector;

use collector::{Answer, Collector};

const DEADLINE: Duration = Duration::from_secs(60);

fn config(endpoint: String) -> Config {
    Config { endpoint, sample_per_million: 1_000_000, interval_ms: 10, ..Config::default() }
}

fn order(number: u64) -> Subject {
    Subject::new(b"0100000001  ", format!("{number:<10}").as_bytes(), 20_000)
}

fn check(number: i64) -> Span {
    Span::new("check", Kind::Internal, Place::Under("order"), (1_000 + number, 2_000 + number))
}

/// A server whose one thread ends when it drains, and what it counts.
struct Served {
    host: Host,
    tracer: Tracer,
    running: Running,
}

impl Served {
    fn start(config: &Config) -> Self {
        config.validate("traces").unwrap();
        let host = Host::default();
        let traces = Traces::bind(config, "test", &host).unwrap();
        let (tracer, mut running) = (traces.tracer(), Running::new(&host.shutdown));
        traces.start(&mut running).unwrap();
        let shutdown = host.shutdown.clone();
        running.spawn("worker", move || shutdown.wait(Phase::Draining)).unwrap();
        Self { host, tracer, running }
    }

    fn record(&self, number: u64) {
        self.tracer.sampled(|| order(number)).unwrap().record(check(number.cast_signed()));
    }

    fn end(self) -> prometheus::Registry {
        self.running.drain(DEADLINE).unwrap();
        self.host.registry
    }
}

fn counted(registry: &prometheus::Registry, name: &str, why: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let mut metrics = family.into_iter().flat_map(|family| family.get_metric());
    let found =
        metrics.find(|metric| why.is_empty() || metric.get_label().iter().any(|label| label.value() == why));
    found.map_or(0, |metric| metric.get_counter().get_value() as u64)
}

fn exported(registry: &prometheus::Registry) -> u64 {
    counted(registry, "traces_spans_exported_total", "")
}

fn dropped(registry: &prometheus::Registry, why: &str) -> u64 {
    counted(registry, "traces_spans_dropped_total", why)
}

fn failed(registry: &prometheus::Registry) -> u64 {
    counted(registry, "traces_posts_failed_total", "")
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = transport::Clock::start();
    while !holds() {
        assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn without_an_endpoint_nothing_is_asked_counted_or_started() {
    assert!(!Config::default().is_on());
    let host = Host::default();
    let traces = Traces::bind(&Config::default(), "test", &host).unwrap();
    let tracer = traces.tracer();
    assert!(!tracer.is_on() && tracer.sampled(|| panic!("asked")).is_none());
    assert!(host.registry.gather().is_empty());
    let mut running = Running::new(&host.shutdown);
    traces.start(&mut running).unwrap();
    running.stop().unwrap();
}

#[test]
fn wrong_values_are_refused_by_their_keys() {
    let told = |config: Config| {
        let invalid = config.validate("traces").unwrap_err();
        format!("{}: {}", invalid.key, invalid.problem)
    };
    let at = |endpoint: &str| Config { endpoint: endpoint.to_owned(), ..Config::default() };
    assert!(told(at("https://collector/v1/traces")).contains("traces.endpoint: expected http:"));
    assert!(told(at("collector:4318")).contains("traces.endpoint: expected a URL such as http://"));
    assert!(told(at("http://user:word@collector/")).contains("no user name or password"));
    let more = Config { sample_per_million: 1_000_001, ..Config::default() };
    assert_eq!(told(more), "traces.sample_per_million: 1000001 is out of range, expected 0 to 1000000");
    for endpoint in ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/v1/traces", "http://collector"] {
        at(endpoint).validate("traces").unwrap();
    }
}

#[test]
fn the_file_of_the_key_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let named = Config { id_key_file: path.display().to_string(), ..config("http://collector".to_owned()) };
    assert!(named.check_files().unwrap_err().to_string().contains("No such file"));
    std::fs::write(&path, "short\n").unwrap();
    assert!(named.check_files().unwrap_err().to_string().contains("expected 16 bytes at least"));
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    named.check_files().unwrap();
    let off = Config { id_key_file: "/nonexistent".to_owned(), ..Config::default() };
    off.check_files().unwrap();
}

fn tracer(per_million: u32) -> Traces {
    let config = Config { sample_per_million: per_million, ..config("http://127.0.0.1:1/".to_owned()) };
    Traces::bind(&config, "test", &Host::default()).unwrap()
}

#[test]
fn a_sample_is_of_its_size_and_within_every_larger_one() {
    let [none, few, more, all] = [0, 10_000, 100_000, 1_000_000].map(|count| tracer(count).tracer());
    let sampled = |tracer: &Tracer, number| tracer.sampled(|| order(number)).is_some();
    let mut counts = [0; 2];
    for number in 0..100_000 {
        assert!(!sampled(&none, number) && sampled(&all, number));
        let both = [sampled(&few, number), sampled(&more, number)];
        assert!(both[1] || !both[0], "whoever samples more has these too");
        counts.iter_mut().zip(both).for_each(|(count, sampled)| *count += u32::from(sampled));
    }
    // Six standard deviations about 1,000 and 10,000.
    assert!((811..1_189).contains(&counts[0]) && (9_431..10_569).contains(&counts[1]), "{counts:?}");
}

#[test]
fn hot_threads_allocate_nothing() {
    let (traces, some) = (tracer(1_000_000), tracer(1_000));
    let (all, few, off) = (traces.tracer(), some.tracer(), Tracer::default());
    let counted = allocation_counter::measure(|| {
        for number in 0..1_000_u64 {
            let subject = || Subject::new(b"0100000001  ", &number.to_be_bytes(), 1);
            assert!(off.sampled(subject).is_none());
            if let Some(sampled) = few.sampled(subject) {
                sampled.record(check(1));
            }
            let name = Value::Name(Name::new(b"c1        "));
            all.sampled(subject).unwrap().record(check(1).with("tongdao.cl_ord_id", name));
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn days_are_those_of_china() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    assert_eq!([-9, -8, 15, 16].map(|hour| day(hour * HOUR_NS)), [u64::MAX, 0, 0, 1]);
}

#[test]
fn a_connection_has_one_number_however_its_address_is_written() {
    let at = |text: &str| connection(text.parse().unwrap());
    assert_eq!(at("10.0.0.1:4000"), at("[::ffff:10.0.0.1]:4000"));
    assert_ne!(at("10.0.0.1:4000"), at("10.0.0.1:4001"));
}

#[test]
fn spans_of_two_servers_meet_by_their_ids() {
    let collector = Collector::start(|_| Answer::Take);
    let folder = tempfile::tempdir().unwrap();
    let keyed = |name: &str, key: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, key).unwrap();
        Config { id_key_file: path.display().to_string(), ..config(collector.endpoint()) }
    };
    let [one, two, other] =
        [("a", "0123456789abcdef"), ("b", "0123456789abcdef\n"), ("c", "another key of ids")]
            .map(|(name, key)| Served::start(&keyed(name, key)));
    let root = Span::new("order", Kind::Server, Place::Root, (5, 4)).with("tongdao.n", Value::Number(-7));
    one.tracer.sampled(|| order(1)).unwrap().record(root);
    one.end();
    let below = check(1).with_event("sent", 9).failed("no line");
    two.tracer.sampled(|| order(1)).unwrap().record(below);
    two.end();
    other.record(1);
    other.end();
    let spans = collector.spans();
    let [root, child, other] = &spans[..] else { panic!("three: {spans:?}") };
    assert_eq!((&root.trace, root.parent.as_ref()), (&child.trace, None));
    assert_eq!(child.parent.as_ref(), Some(&root.id));
    assert_ne!(root.id, child.id);
    assert_ne!(other.trace, root.trace, "another key, other ids");
    assert_eq!((root.took, root.attribute("tongdao.n")), ([5, 5], Some("-7")));
    assert_eq!(child.whole["events"][0]["timeUnixNano"], "9");
    assert_eq!(child.whole["status"]["message"], "no line");
    // Written down once: they stay from version to version, since servers of two versions run side by side.
    assert_eq!(
        (root.trace.as_str(), root.id.as_str()),
        ("1483a2eb43972c2ea1088482842d9bae", "450c5fe13f22a4f8")
    );
}

/// What the collector here looks at was written by who wrote the posts: these definitions were not.
#[test]
fn opentelemetrys_own_definitions_read_the_posts() {
    const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/deploy-tools/bin/python");
    let imported = Command::new(PYTHON).args(["-c", "import opentelemetry.proto"]).output();
    let there = imported.is_ok_and(|imported| imported.status.success());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "opentelemetry-proto is missing");
    if !there {
        return eprintln!("skipped: no opentelemetry-proto here (bash deploy/check installs it)");
    }
    let collector = Collector::start(|_| Answer::Take);
    let served = Served::start(&Config { instance: "one".to_owned(), ..config(collector.endpoint()) });
    let root = Span::new("order", Kind::Server, Place::Root, (5, 7))
        .with("tongdao.n", Value::Number(-7))
        .with("tongdao.word", Value::Word("new"));
    let below = check(1).with_event("sent", 9).failed("no line");
    for span in [root, below] {
        served.tracer.sampled(|| order(1)).unwrap().record(span);
    }
    served.end();
    let read_by_them = |body: Vec<u8>| {
        let mut reader = Command::new(PYTHON)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/otlp.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        io::Write::write_all(&mut reader.stdin.take().unwrap(), &body).unwrap();
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success(), "a post that they do not read");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let found: Vec<_> = collector.bodies().into_iter().flat_map(read_by_them).collect();
    let seen = collector.spans();
    let expected = [
        json!({
            "service": "test", "instance": "one", "scope": "tongdao", "trace": seen[0].trace, "id": seen[0].id, "parent": "",
            "name": "order", "kind": "SPAN_KIND_SERVER", "took": [5, 7], "events": [],
            "attributes": { "tongdao.n": -7, "tongdao.word": "new" }, "status": ["STATUS_CODE_UNSET", ""],
        }),
        json!({
            "service": "test", "instance": "one", "scope": "tongdao", "trace": seen[1].trace, "id": seen[1].id, "parent": seen[0].id,
            "name": "check", "kind": "SPAN_KIND_INTERNAL", "took": [1_001, 2_001], "events": [["sent", 9]],
            "attributes": {}, "status": ["STATUS_CODE_ERROR", "no line"],
        }),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_recorded_comes_to_the_collector() {
    let collector = Collector::start(|_| Answer::Take);
    let served = Served::start(&config(collector.endpoint()));
    (0..1_000).for_each(|number| served.record(number));
    eventually("all have come", || collector.spans().len() == 1_000);
    served.record(1_000);
    let registry = served.end();
    let spans = collector.spans();
    assert_eq!(spans.len(), 1_001, "also what was left at the end");
    assert!(spans.iter().all(|span| span.service == "test" && span.name == "check" && span.parent.is_some()));
    let ids: std::collections::HashSet<_> = spans.iter().map(|span| (&span.trace, &span.id)).collect();
    assert_eq!((ids.len(), spans[7].took, spans[7].attribute("none")), (1_001, [1_007, 2_007], None));
    assert_eq!((exported(&registry), failed(&registry)), (1_001, 0));
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let answers = [Answer::Status(503), Answer::Take, Answer::Status(400), Answer::Refuse(1)];
    let collector = Collector::start(move |number| answers[number.min(3)]);
    let served = Served::start(&config(collector.endpoint()));
    served.record(1);
    eventually("taken the second time", || collector.posts() == 2);
    served.record(2);
    eventually("refused", || collector.posts() == 3);
    (3..6).for_each(|number| served.record(number));
    let registry = served.end();
    assert!(collector.posts() >= 4);
    assert_eq!((exported(&registry), failed(&registry)), (1 + 3 - (collector.posts() as u64 - 3), 2));
    assert_eq!(dropped(&registry, "refused"), 1 + (collector.posts() as u64 - 3));
}

/// It is given up after so many attempts; the queue has its bound, and the server ends in time.
#[test]
fn nobody_waits_for_a_collector_that_is_not_there() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let served = Served::start(&Config {
        queue_spans_max: 100,
        attempts_max: 2,
        ..config(format!("http://{nobody}/v1/traces"))
    });
    (0..1_000).for_each(|number| served.record(number));
    let registry = served.host.registry.clone();
    eventually("a batch is given up", || dropped(&registry, "no collector") > 0);
    assert!(failed(&registry) >= 2);
    served.end();
    assert_eq!(dropped(&registry, "queue full") + dropped(&registry, "no collector"), 1_000);
    assert!(dropped(&registry, "queue full") > 0 && exported(&registry) == 0);
}

#[test]
fn nobody_waits_for_a_collector_that_says_nothing() {
    let collector = Collector::start(|_| Answer::Silence);
    let patient = Config { timeout_ms: 60_000, queue_spans_max: 10, ..config(collector.endpoint()) };
    let served = Served::start(&patient);
    served.record(0);
    eventually("it has the first", || collector.posts() == 1);
    (1..=20).for_each(|number| served.record(number));
    let registry = served.end();
    assert_eq!((dropped(&registry, "queue full"), dropped(&registry, "no collector")), (10, 11));
}

#[test]
fn what_is_not_http_is_a_failed_post() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(io::Write::write_all(&mut stream.unwrap(), b"220 mail ready\r\n"));
        }
    });
    let served = Served::start(&Config { attempts_max: 1, ..config(format!("http://{address}/v1/traces")) });
    served.record(0);
    let registry = served.host.registry.clone();
    eventually("given up", || dropped(&registry, "no collector") == 1);
    assert_eq!(failed(&registry), 1);
    served.end();
}
