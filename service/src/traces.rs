//! Traces of a sample of what a server does, to a collector of OpenTelemetry: OTLP over HTTP, encoded as JSON.
//!
//! What is traced has a [`Subject`], such as an order, that every server on its way can name by itself. From it follow
//! whether it is in the sample, its trace id and the ids of its spans, so that the spans of one subject meet in one trace
//! although nothing about traces is in any protocol.
//!
//! [`Tracer`] is for hot threads: one branch where traces are off, a few multiplications where the subject is not in the
//! sample, and one copy into a bounded queue where it is. A thread of its own ([`Traces::start`]) makes ids and text of what is
//! queued and posts it. Nothing waits for that thread: what finds the queue full, or what no collector takes, is dropped and counted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::http::Uri;
use crossbeam::queue::ArrayQueue;
use gm::hmac;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};

use crate::config::Invalid;
use crate::host::Host;
use crate::running::Running;

mod export;
mod otlp;

/// The `[traces]` section of a server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where spans are posted, such as `http://127.0.0.1:4318/v1/traces`; empty: traces are off.
    pub endpoint: String,
    /// Of a million subjects so many are traced.
    pub sample_per_million: u32,
    /// A file with what keys the ids; empty: they follow from the subject alone.
    pub id_key_file: String,
    /// Whether spans have what names a person: accounts, and addresses of clients.
    pub personal_data: bool,
    /// What tells this server from others of its kind (`service.instance.id`).
    pub instance: String,
    /// Spans that wait to be posted; one more is dropped.
    pub queue_spans_max: u32,
    /// How often what is queued is posted, milliseconds.
    pub interval_ms: u64,
    /// How long one post may take, milliseconds.
    pub timeout_ms: u64,
    /// How often a batch is posted before it is given up.
    pub attempts_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            sample_per_million: 1_000,
            id_key_file: String::new(),
            personal_data: false,
            instance: String::new(),
            queue_spans_max: 4_096,
            interval_ms: 1_000,
            timeout_ms: 3_000,
            attempts_max: 3,
        }
    }
}

impl Config {
    /// Whether anything is traced.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Checks the values; `key` is what the section is called where it stands.
    ///
    /// # Errors
    /// [`Invalid`] for what makes no sense.
    pub fn validate(&self, key: &str) -> Result<(), Invalid> {
        let within = |name: &str, value: u64, range: std::ops::RangeInclusive<u64>| {
            let problem =
                || format!("{value} is out of range, expected {} to {}", range.start(), range.end());
            if range.contains(&value) {
                Ok(())
            } else {
                Err(Invalid::new(format!("{key}.{name}"), problem()))
            }
        };
        within("sample_per_million", self.sample_per_million.into(), 0..=1_000_000)?;
        within("queue_spans_max", self.queue_spans_max.into(), 1..=1 << 20)?;
        within("interval_ms", self.interval_ms, 10..=60_000)?;
        within("timeout_ms", self.timeout_ms, 1..=60_000)?;
        within("attempts_max", self.attempts_max.into(), 1..=10)?;
        if self.is_on() {
            let told = |problem| Invalid::new(format!("{key}.endpoint"), problem);
            self.target().map_err(|problem| told(problem.to_owned()))?;
        }
        Ok(())
    }

    /// Looks at the files that it names, for `--check-config`.
    ///
    /// # Errors
    /// [`Invalid`] when the file of the key cannot be read, or is too short for one.
    pub fn check_files(&self) -> Result<(), Invalid> {
        if self.is_on() { self.id_key().map(drop) } else { Ok(()) }
    }

    fn target(&self) -> Result<export::Target, &'static str> {
        let uri: Uri = self.endpoint.parse().map_err(|_| "expected a URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "expected http: a collector behind TLS is reached through an agent on this machine",
                );
            }
            _ => return Err("expected a URL such as http://127.0.0.1:4318/v1/traces"),
        }
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("expected a host")?;
        if authority.as_str().contains('@') {
            return Err("expected no user name or password");
        }
        Ok(export::Target {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    fn id_key(&self) -> Result<hmac::Key, Invalid> {
        if self.id_key_file.is_empty() {
            return Ok(hmac::Key::new(&[]));
        }
        let path = Path::new(&self.id_key_file);
        let key = std::fs::read(path).map_err(|error| Invalid::unreadable(ID_KEY_FILE, path, &error))?;
        let key = key.trim_ascii();
        if key.len() < KEY_BYTES_MIN {
            let short = format!("expected {KEY_BYTES_MIN} bytes at least");
            return Err(Invalid::in_file(ID_KEY_FILE, path, short));
        }
        Ok(hmac::Key::new(key))
    }
}

/// Fewer bytes are no key.
const KEY_BYTES_MIN: usize = 16;
/// What names its file.
const ID_KEY_FILE: &str = "traces.id_key_file";

/// Why traces cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The file of the key cannot be used.
    #[error("{0}")]
    Config(#[from] Invalid),
    /// The host's registry has these metrics already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

crate::metrics! {
    /// What becomes of spans.
    pub(crate) struct Metrics {
        /// Spans that a collector has taken.
        exported: IntCounter = "traces_spans_exported_total",
        /// Spans that no collector has: the queue was full, no collector took them, or it refused them.
        dropped: IntCounterVec = "traces_spans_dropped_total" ["why"],
        /// Posts to the collector that failed, each attempt counted.
        posts_failed: IntCounter = "traces_posts_failed_total",
    }
}

/// What a trace is about, as bytes that every server on its way has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject([u8; SUBJECT_BYTES]);

const NAME_BYTES: usize = 16;
const SUBJECT_BYTES: usize = 2 * NAME_BYTES + 8;

impl Subject {
    /// From two names, such as an account and what it has called its order, and a number that tells it from others of these
    /// names, such as [`day`].
    ///
    /// # Panics
    /// If a name has more than 16 bytes.
    #[inline]
    #[must_use]
    pub fn new(one: &[u8], two: &[u8], number: u64) -> Self {
        let mut bytes = [0; SUBJECT_BYTES];
        bytes[..NAME_BYTES][..one.len()].copy_from_slice(one);
        bytes[NAME_BYTES..2 * NAME_BYTES][..two.len()].copy_from_slice(two);
        bytes[2 * NAME_BYTES..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// A number that no two subjects share but by chance, the same everywhere. It decides about the sample and nothing else,
    /// so it is made to be fast: each word is mixed in by a multiplication whose halves are folded.
    #[inline]
    fn mixed(&self, seed: u64) -> u64 {
        let (words, _) = self.0.as_chunks::<8>();
        let mixed = words.iter().fold(seed, |mixed, word| fold(mixed ^ u64::from_le_bytes(*word)));
        fold(mixed)
    }
}

#[inline]
fn fold(word: u64) -> u64 {
    // The fractional part of the golden ratio, odd; and added, so that zero does not stay zero.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(word.wrapping_add(FACTOR)) * u128::from(FACTOR ^ (word >> 32));
    (product >> 64) as u64 ^ product as u64
}

/// Which day it is in China (UTC+8): for a [`Subject`] whose names are given anew each day.
#[inline]
#[must_use]
pub fn day(wall_ns: i64) -> u64 {
    const HOUR_NS: i64 = 3_600_000_000_000;
    (wall_ns + 8 * HOUR_NS).div_euclid(24 * HOUR_NS).cast_unsigned()
}

/// A number for a connection, from the address by which the server knows its client: a balancer and a server that it connects
/// to have the same for it. Not an address, and not more secret than one: whoever knows the key of ids is not needed to try them all.
#[must_use]
pub fn connection(client: SocketAddr) -> Value {
    let seen = SocketAddr::new(client.ip().to_canonical(), client.port());
    let (mut bytes, port) = ([0; NAME_BYTES], u64::from(seen.port()));
    match seen.ip() {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.copy_from_slice(&ip.octets()),
    }
    Value::Hex(Subject::new(&bytes, b"connection", port).mixed(0))
}

/// Where a span stands in its trace. A trace has one [`Place::Root`] of a name; its id follows from the subject and the name, so that
/// spans of other servers can stand under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under nothing, and others may stand under it.
    Root,
    /// Under the root of this name, whichever server has that.
    Under(&'static str),
    /// Under nothing, beside the root or without one.
    Apart,
}

/// What part a span plays, as OTLP numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Within a server.
    Internal = 1,
    /// A request that a server answers.
    Server = 2,
    /// A request to another server.
    Client = 3,
}

/// What an attribute says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// One of a few words.
    Word(&'static str),
    /// A name of up to 22 bytes.
    Name(Name),
    /// A number.
    Number(i64),
    /// A number that is shown as 16 hexadecimal digits.
    Hex(u64),
    /// An address and port.
    Address(SocketAddr),
}

/// A short text, without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 22],
    len: u8,
}

impl Name {
    /// The first 22 bytes of a text; spaces at its end are left out.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let (text, mut bytes) = (text.trim_ascii_end(), [0; 22]);
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        Self { bytes, len: len as u8 }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes[..usize::from(self.len)])
    }
}

/// Attributes that a span has room for.
const ATTRIBUTES_MAX: usize = 8;
/// Events that a span has room for.
const EVENTS_MAX: usize = 2;

/// Something that took its time. Of fixed size, so that it is queued without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    subject: Subject,
    place: Place,
    name: &'static str,
    kind: Kind,
    start_ns: i64,
    end_ns: i64,
    failed: Option<&'static str>,
    attributes: [Option<(&'static str, Value)>; ATTRIBUTES_MAX],
    events: [Option<(&'static str, i64)>; EVENTS_MAX],
}

impl Span {
    /// A span from one time of day to another, nanoseconds since 1970.
    #[must_use]
    pub fn new(name: &'static str, kind: Kind, place: Place, (start_ns, end_ns): (i64, i64)) -> Self {
        Self {
            subject: Subject([0; SUBJECT_BYTES]),
            place,
            name,
            kind,
            start_ns,
            // A step of the clock must not end it before it began.
            end_ns: end_ns.max(start_ns),
            failed: None,
            attributes: [None; ATTRIBUTES_MAX],
            events: [None; EVENTS_MAX],
        }
    }

    /// Adds an attribute.
    ///
    /// # Panics
    /// In tests and debug builds if there are more than 8; else the rest is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        let free = self.attributes.iter_mut().find(|place| place.is_none());
        debug_assert!(free.is_some(), "too many attributes");
        if let Some(free) = free {
            *free = Some((name, value));
        }
        self
    }

    /// Adds something that happened at a time, nanoseconds since 1970.
    ///
    /// # Panics
    /// In tests and debug builds if there are more than 2; else the rest is left out.
    #[must_use]
    pub fn with_event(mut self, name: &'static str, at_ns: i64) -> Self {
        let free = self.events.iter_mut().find(|place| place.is_none());
        debug_assert!(free.is_some(), "too many events");
        if let Some(free) = free {
            *free = Some((name, at_ns));
        }
        self
    }

    /// It did not go well: in words that stay the same.
    #[must_use]
    pub fn failed(mut self, why: &'static str) -> Self {
        self.failed = Some(why);
        self
    }
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    /// A subject whose mixed number is less is in the sample.
    below: u64,
    everything: bool,
    personal_data: bool,
    queue: ArrayQueue<Span>,
    queue_full: IntCounter,
}

/// What hot threads give their spans to; clones are the same. The default is off.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Shared>>);

/// A subject that is in the sample.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    shared: &'a Shared,
    subject: Subject,
}

impl Tracer {
    /// Whether anything is traced: one branch.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The subject, if it is in the sample. Where traces are off it is not asked for.
    #[inline]
    pub fn sampled(&self, subject: impl FnOnce() -> Subject) -> Option<Sampled<'_>> {
        let shared = self.0.as_deref()?;
        let subject = subject();
        let inside = shared.everything || subject.mixed(shared.seed) < shared.below;
        inside.then_some(Sampled { shared, subject })
    }
}

impl Sampled<'_> {
    /// Whether its spans may have what names a person.
    #[must_use]
    pub fn personal_data(&self) -> bool {
        self.shared.personal_data
    }

    /// Queues a span to be posted; where the queue is full it is dropped and counted.
    pub fn record(&self, span: Span) {
        let span = Span { subject: self.subject, ..span };
        if self.shared.queue.push(span).is_err() {
            self.shared.queue_full.inc();
        }
    }
}

/// Traces of one server: what its threads give their spans to, and what posts these.
#[derive(Debug, Default)]
pub struct Traces {
    tracer: Tracer,
    exporter: Option<export::Exporter>,
}

impl Traces {
    /// Traces of a server that is called `service` there; registers the metrics where they are on.
    ///
    /// # Errors
    /// [`BindError`]
    ///
    /// # Panics
    /// When the configuration was not validated.
    pub fn bind(config: &Config, service: &'static str, host: &Host) -> Result<Self, BindError> {
        if !config.is_on() {
            return Ok(Self::default());
        }
        let (key, metrics) = (config.id_key()?, Metrics::register(&host.registry)?);
        let [seed, ..] = *key.tag(&[b"sample"]).as_chunks::<8>().0 else {
            unreachable!("a digest is longer")
        };
        let shared = Arc::new(Shared {
            seed: u64::from_be_bytes(seed),
            below: (u128::from(config.sample_per_million) * (1 << 64) / 1_000_000) as u64,
            everything: config.sample_per_million == 1_000_000,
            personal_data: config.personal_data,
            queue: ArrayQueue::new(config.queue_spans_max as usize),
            queue_full: metrics.dropped.with_label_values(&["queue full"]),
        });
        let exporter = export::Exporter {
            config: config.clone(),
            target: config.target().expect("invariant: the configuration was validated"),
            encoder: otlp::Encoder::new(key, service, &config.instance),
            shared: Arc::clone(&shared),
            metrics,
            shutdown: host.shutdown.clone(),
            said_failing: false,
        };
        Ok(Self { tracer: Tracer(Some(shared)), exporter: Some(exporter) })
    }

    /// What hot threads give their spans to.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Starts the thread that posts, where traces are on. It ends as the last of the server's threads.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(self, running: &mut Running) -> io::Result<()> {
        match self.exporter {
            Some(exporter) => running.spawn("traces", move || exporter.run()),
            None => Ok(()),
        }
    }
}
