//! A collector of traces for tests: it takes OTLP over HTTP, looks whether each post is what the standard says, and answers as it
//! is told.

use serde_json::Value as Json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it does with a post.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Takes it.
    Take,
    /// Takes it but for so many spans.
    Refuse(u32),
    /// Answers with this status.
    Status(u16),
    /// Reads it and says nothing until the client has gone.
    Silence,
}

/// A span as it was posted.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    pub(crate) took: [u64; 2],
    pub(crate) whole: Json,
}

impl Seen {
    /// An attribute's text; of a number its digits.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let attributes = self.whole["attributes"].as_array()?;
        let found = attributes.iter().find(|attribute| attribute["key"] == name)?;
        found["value"].as_object()?.values().next()?.as_str()
    }
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Seen>,
    posts: Vec<Vec<u8>>,
}

/// See the module. It listens until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Collector {
    /// One that answers its posts by their number, from 0.
    pub(crate) fn start(answer: impl Fn(usize) -> Answer + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let own = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, answer) = (own.clone(), answer.clone());
                std::thread::spawn(move || own.serve(stream.unwrap(), answer));
            }
        });
        collector
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// What it has taken.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.state.lock().unwrap().spans.clone()
    }

    /// How often it was posted to.
    pub(crate) fn posts(&self) -> usize {
        self.state.lock().unwrap().posts.len()
    }

    /// What was posted, each a body.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().posts.clone()
    }

    fn serve(&self, mut stream: TcpStream, answer: impl Fn(usize) -> Answer) {
        let body = read_post(&mut stream);
        let spans = spans(&serde_json::from_slice(&body).expect("JSON"));
        let number = {
            let mut state = self.state.lock().unwrap();
            state.posts.push(body);
            state.posts.len() - 1
        };
        let answer = answer(number);
        if let Answer::Take | Answer::Refuse(_) = answer {
            self.state.lock().unwrap().spans.extend(spans);
        }
        let (status, said) = match answer {
            Answer::Take => (200, "{}".to_owned()),
            Answer::Refuse(count) => {
                (200, format!(r#"{{"partialSuccess":{{"rejectedSpans":"{count}","errorMessage":"no"}}}}"#))
            }
            Answer::Status(status) => (status, String::new()),
            Answer::Silence => return drop(stream.read(&mut [0; 1])),
        };
        let said = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        drop(stream.write_all(said.as_bytes()));
    }
}

/// The body of a post, whose head is as OTLP wants it.
fn read_post(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("text").to_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
            assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
            let length = head.split("content-length: ").nth(1).expect("its length").lines().next().unwrap();
            let length: usize = length.parse().expect("a number");
            if bytes.len() >= end + 4 + length {
                return bytes[end + 4..][..length].to_vec();
            }
        }
        let read = stream.read(&mut chunk).expect("a post");
        assert!(read > 0, "a whole post");
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// The spans of a request, each looked at as opentelemetry/proto/trace/v1/trace.proto has it in JSON.
fn spans(request: &Json) -> Vec<Seen> {
    let mut seen = Vec::new();
    for of_resource in list(request, "resourceSpans", &["resourceSpans"]) {
        keys(of_resource, &["resource", "scopeSpans"]);
        let resource = list(&of_resource["resource"], "attributes", &["attributes"]);
        let service = resource.iter().find(|attribute| attribute["key"] == "service.name").expect("a name");
        let service = service["value"]["stringValue"].as_str().expect("text");
        for of_scope in list(of_resource, "scopeSpans", &["resource", "scopeSpans"]) {
            keys(&of_scope["scope"], &["name", "version"]);
            let spans = list(of_scope, "spans", &["scope", "spans"]);
            seen.extend(spans.iter().map(|span| look_at(span, service)));
        }
    }
    seen
}

fn look_at(span: &Json, service: &str) -> Seen {
    let known = [
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "events",
        "status",
    ];
    keys(span, &known);
    let id = |key: &str, digits: usize| {
        let id = span[key].as_str()?;
        let hex = id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        assert!(hex && id.len() == digits && id.bytes().any(|byte| byte != b'0'), "{key}: {id}");
        Some(id.to_owned())
    };
    let time =
        |of: &Json, key: &str| of[key].as_str().expect("a string").parse::<u64>().expect("nanoseconds");
    assert!((1..=5).contains(&span["kind"].as_u64().expect("a number")), "{span}");
    for attribute in span["attributes"].as_array().expect("a list") {
        keys(attribute, &["key", "value"]);
        keys(&attribute["value"], &["stringValue", "intValue"]);
        let value = attribute["value"].as_object().expect("a value").values().next().expect("one");
        assert!(value.is_string(), "64-bit numbers are strings too: {attribute}");
    }
    for event in span["events"].as_array().into_iter().flatten() {
        keys(event, &["timeUnixNano", "name"]);
        assert!(time(event, "timeUnixNano") > 0);
    }
    if span["status"].is_object() {
        keys(&span["status"], &["code", "message"]);
        assert_eq!(span["status"]["code"], 2);
    }
    let took = [time(span, "startTimeUnixNano"), time(span, "endTimeUnixNano")];
    assert!(took[0] <= took[1], "{span}");
    Seen {
        service: service.to_owned(),
        trace: id("traceId", 32).expect("an id"),
        id: id("spanId", 16).expect("an id"),
        parent: id("parentSpanId", 16),
        name: span["name"].as_str().expect("text").to_owned(),
        took,
        whole: span.clone(),
    }
}

fn keys(of: &Json, known: &[&str]) {
    for key in of.as_object().expect("an object").keys() {
        assert!(known.contains(&key.as_str()), "{key} in {of}");
    }
}

fn list<'a>(of: &'a Json, key: &str, known: &[&str]) -> &'a [Json] {
    keys(of, known);
    of[key].as_array().unwrap_or_else(|| panic!("{key} in {of}"))
}
