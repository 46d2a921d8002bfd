//! Spans as OTLP's JSON: ids in hexadecimal, 64-bit numbers as strings, enumerations as numbers.

use gm::hmac;
use serde_json::{Value as Json, json};

use super::{Place, Span, Value};

/// What makes ids and text of spans.
#[derive(Debug)]
pub(super) struct Encoder {
    key: hmac::Key,
    resource: Json,
}

impl Encoder {
    pub(super) fn new(key: hmac::Key, service: &str, instance: &str) -> Self {
        let mut attributes = vec![
            attribute("service.namespace", json!({ "stringValue": "tongdao" })),
            attribute("service.name", json!({ "stringValue": service })),
            attribute("service.version", json!({ "stringValue": env!("CARGO_PKG_VERSION") })),
        ];
        if !instance.is_empty() {
            attributes.push(attribute("service.instance.id", json!({ "stringValue": instance })));
        }
        Self { key, resource: json!({ "attributes": attributes }) }
    }

    /// The body of a post.
    pub(super) fn request(&self, spans: &[Span]) -> Vec<u8> {
        let spans: Vec<_> = spans.iter().map(|span| self.span(span)).collect();
        let scope = json!({ "name": "tongdao", "version": env!("CARGO_PKG_VERSION") });
        let request = json!({
            "resourceSpans": [{ "resource": self.resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }]
        });
        request.to_string().into_bytes()
    }

    fn span(&self, span: &Span) -> Json {
        let trace = self.id::<16>(&[b"trace", &span.subject.0]);
        let root = |name: &str| self.id::<8>(&[b"root", &trace, name.as_bytes()]);
        let (id, parent) = match span.place {
            Place::Root => (root(span.name), None),
            Place::Under(name) => (self.own(&trace, span), Some(root(name))),
            Place::Apart => (self.own(&trace, span), None),
        };
        let mut encoded = json!({
            "traceId": hex(&trace),
            "spanId": hex(&id),
            "name": span.name,
            "kind": span.kind as u8,
            "startTimeUnixNano": span.start_ns.to_string(),
            "endTimeUnixNano": span.end_ns.to_string(),
            "attributes": span.attributes.iter().flatten().map(|(name, value)| attribute(name, any(value))).collect::<Vec<_>>(),
        });
        if let Some(parent) = parent {
            encoded["parentSpanId"] = hex(&parent).into();
        }
        let event = |(name, at_ns): &(&str, i64)| json!({ "timeUnixNano": at_ns.to_string(), "name": name });
        let events: Vec<_> = span.events.iter().flatten().map(event).collect();
        if !events.is_empty() {
            encoded["events"] = events.into();
        }
        if let Some(why) = span.failed {
            encoded["status"] = json!({ "code": 2, "message": why });
        }
        encoded
    }

    /// The id of a span that is no root: two of a name differ by when they began.
    fn own(&self, trace: &[u8], span: &Span) -> [u8; 8] {
        self.id(&[b"span", trace, &span.start_ns.to_be_bytes(), span.name.as_bytes()])
    }

    /// The first bytes of a digest. All zero, which is no id, comes once in 2^64.
    fn id<const N: usize>(&self, pieces: &[&[u8]]) -> [u8; N] {
        let digest = self.key.tag(pieces);
        let mut id = [0; N];
        id.copy_from_slice(&digest[..N]);
        id
    }
}

fn attribute(name: &str, value: Json) -> Json {
    json!({ "key": name, "value": value })
}

fn any(value: &Value) -> Json {
    match value {
        Value::Word(word) => json!({ "stringValue": word }),
        Value::Name(name) => json!({ "stringValue": name.text() }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Hex(number) => json!({ "stringValue": format!("{number:016x}") }),
        Value::Address(address) => json!({ "stringValue": address.to_string() }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
