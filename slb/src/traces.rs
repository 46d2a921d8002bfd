//! What is traced of a connection that is in the sample (docs/traces.md). What goes over it is not looked at, so orders are not
//! seen here; what their spans and a connection's have in common is the connection's number.

use std::net::{IpAddr, SocketAddr};

use service::traces::{Kind, Name, Place, Span, Subject, Tracer, Value, connection};
use transport::Clock;

use crate::access::Outcome;
use crate::config::SendProxy;
use crate::port::Slot;

/// The root of a connection's trace.
const CONNECTION: &str = "connection";

/// A connection in the sample. In a box, so that others keep no room for it.
#[derive(Debug)]
pub(crate) struct Traced {
    clock: Clock,
    subject: Subject,
    client: SocketAddr,
    /// Its number, once a backend knows it.
    number: Option<Value>,
}

impl Traced {
    /// A connection that has come now, if it is in the sample.
    #[inline]
    pub(crate) fn begin(tracer: &Tracer, client: SocketAddr) -> Option<Box<Self>> {
        if tracer.is_on() { Self::sampled(tracer, client) } else { None }
    }

    #[cold]
    fn sampled(tracer: &Tracer, client: SocketAddr) -> Option<Box<Self>> {
        let clock = Clock::start();
        let mut ip = [0; 16];
        match client.ip() {
            IpAddr::V4(v4) => ip[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => ip.copy_from_slice(&v6.octets()),
        }
        let subject = Subject::new(&ip, &client.port().to_be_bytes(), clock.wall_ns(0).cast_unsigned());
        tracer.sampled(|| subject)?;
        Some(Box::new(Self { clock, subject, client, number: None }))
    }

    /// It came to a backend, from this address of ours.
    #[cold]
    pub(crate) fn reached(&mut self, slot: &Slot, backend: &str, own: Option<SocketAddr>) {
        let told = slot.rules().pool.plan().config.send_proxy;
        // By that address the backend knows it.
        let seen = match told {
            Some(SendProxy::V2) => Some(self.client),
            None => own,
        };
        self.number = seen.map(connection);
        let span = Span::new("connect", Kind::Client, Place::Under(CONNECTION), self.took());
        self.record(slot, span.with("tongdao.backend", name(backend)));
    }

    /// It is over; `bytes` went to the backend and back.
    #[cold]
    pub(crate) fn ended(&self, slot: &Slot, outcome: Outcome, (backend, bytes): (Option<&str>, [u64; 2])) {
        let [inward, outward] = bytes.map(|bytes| Value::Number(bytes.cast_signed()));
        let mut span = Span::new(CONNECTION, Kind::Server, Place::Root, self.took())
            .with("tongdao.bytes_in", inward)
            .with("tongdao.bytes_out", outward)
            .with("tongdao.end", Value::Word(outcome.name()));
        if let Some(backend) = backend {
            span = span.with("tongdao.backend", name(backend));
        }
        if matches!(outcome, Outcome::NoBackend | Outcome::Connect) {
            span = span.failed(outcome.name());
        }
        self.record(slot, span);
    }

    fn record(&self, slot: &Slot, span: Span) {
        let Some(sampled) = slot.port().tracer.sampled(|| self.subject) else { return };
        let mut span = span
            .with("tongdao.listener", name(&slot.port().name))
            .with("tongdao.pool", name(slot.rules().pool.name()));
        if let Some(number) = self.number {
            span = span.with("tongdao.connection", number);
        }
        if sampled.personal_data() {
            span = span.with("client.address", Value::Address(self.client));
        }
        sampled.record(span);
    }

    fn took(&self) -> (i64, i64) {
        (self.clock.wall_ns(0), self.clock.wall_ns(self.clock.now_ns()))
    }
}

fn name(text: &str) -> Value {
    Value::Name(Name::new(text.as_bytes()))
}
