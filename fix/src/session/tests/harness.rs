//! Plays a scenario.

use std::collections::VecDeque;

use crate::codec::{Decoded, SOH, checksum, decode};
use crate::decimal::{Price, Qty};
use crate::message::{ExecType, ExecutionReport, OrdStatus, Side};
use crate::session::{Config, Event, Received, Session, Takes};
use crate::store::{MemoryStore, Store};
use crate::time::{Now, UtcTimestamp};

/// 2024-02-29 01:30:00 UTC.
const START_NS: u64 = 1_709_170_200_000_000_000;

pub(super) struct Play<S = MemoryStore> {
    pub(super) session: Session<S>,
    pub(super) out: Vec<u8>,
    /// What the peer sent and was not taken yet.
    came: Vec<u8>,
    said: VecDeque<String>,
    events: VecDeque<String>,
    pub(super) now: Now,
}

impl Play {
    /// The acceptor's end.
    pub(super) fn acceptor() -> Self {
        Self::with(Config::new("S", "C", Takes::Orders), MemoryStore::new(1 << 20))
    }
}

impl<S: Store> Play<S> {
    pub(super) fn with(config: Config, store: S) -> Self {
        let now = Now { ns: 1_000_000_000, wall_ns: START_NS };
        let session = Session::new(config, store);
        Self {
            session,
            out: Vec::new(),
            came: Vec::new(),
            said: VecDeque::new(),
            events: VecDeque::new(),
            now,
        }
    }

    /// Plays the lines; every message and event must have been named at the end.
    pub(super) fn run(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            self.step(verb, rest, line);
        }
        assert!(self.said.is_empty(), "we said too: {:?}", self.said);
        assert!(self.events.is_empty(), "there was too: {:?}", self.events);
        self
    }

    fn step(&mut self, verb: &str, rest: &str, line: &str) {
        match verb {
            ">" => self.receive(&peer_message(rest, self.now)),
            "raw" => self.receive(&soh(rest)),
            "<" => {
                let said = self.said.pop_front();
                assert_eq!(said.as_deref(), Some(rest), "{line}; events {:?}", self.events);
            }
            "app" | "logged" | "error" | "rejected" => {
                assert_eq!(self.events.pop_front().as_deref(), Some(line), "we said {:?}", self.said);
            }
            "send" => {
                let report = report(rest);
                self.session.send(&report, self.now, &mut self.out).expect("kept");
            }
            "wait" => self.wait(rest.parse().expect("milliseconds")),
            "accept" => self.session.accept(self.now),
            "connect" => self.session.connect(self.now, &mut self.out).expect("kept"),
            "admit" => {
                if let Err(error) = self.session.accept_logon(self.now, &mut self.out) {
                    self.events.push_back(format!("error {error}"));
                }
            }
            "refuse" => self.session.refuse_logon(rest, self.now, &mut self.out).expect("kept"),
            "log" => {
                let text = rest.strip_prefix("out").unwrap_or(rest).trim();
                self.session.log_out(text, self.now, &mut self.out).expect("kept");
            }
            "resume" => self.session.resume(self.now, &mut self.out).expect("sent"),
            "close" => self.session.disconnected(),
            _ => panic!("{line}"),
        }
        self.listen(verb == "wait");
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut came = std::mem::take(&mut self.came);
        came.extend_from_slice(bytes);
        let mut rest = &came[..];
        while !rest.is_empty() {
            match self.session.receive(rest, self.now, &mut self.out) {
                Ok(None) => {
                    self.came = rest.to_vec();
                    return;
                }
                Ok(Some(Received { event, consumed })) => {
                    self.note(&event);
                    rest = &rest[consumed..];
                }
                Err(error) => {
                    self.events.push_back(format!("error {error}"));
                    return;
                }
            }
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match event {
            Event::LogonRequest(request) if request.username == b"wait" => {}
            Event::LogonRequest(_) => self.step("admit", "", "admit"),
            Event::Application { message, may_repeat, .. } => {
                let id = message.field(crate::tag::CL_ORD_ID).or(message.field(crate::tag::EXEC_ID));
                let again = if *may_repeat { " again" } else { "" };
                self.events.push_back(format!("app {}{again}", text(id.unwrap_or_default())));
            }
            Event::Rejected(message) => {
                let number = message.field(crate::tag::REF_SEQ_NUM).unwrap_or_default();
                self.events.push_back(format!("rejected {}", text(number)));
            }
            Event::LoggedOut { text: why } => {
                self.events.push_back(format!("logged out {}", text(why)).trim().to_owned());
            }
            Event::LoggedOn => self.events.push_back("logged on".to_owned()),
            Event::Handled(_) => {}
        }
    }

    fn wait(&mut self, ms: u64) {
        let end_ns = self.now.ns + ms * 1_000_000;
        while self.session.next_timeout_ns() <= end_ns {
            let due_ns = self.session.next_timeout_ns().max(self.now.ns);
            self.now.wall_ns += due_ns - self.now.ns;
            self.now.ns = due_ns;
            if let Err(error) = self.session.on_timeout(self.now, &mut self.out) {
                self.events.push_back(format!("error {error}"));
            }
        }
        self.now.wall_ns += end_ns - self.now.ns;
        self.now.ns = end_ns;
    }

    /// Takes what we said apart, and checks what every message must have.
    fn listen(&mut self, time_passed: bool) {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let Decoded::Message(message) = decode(rest, &self.session.config().limits) else {
                panic!("not a message: {}", String::from_utf8_lossy(rest));
            };
            let (us, peer) = (&self.session.config().sender_comp_id, &self.session.config().target_comp_id);
            assert_eq!(message.field(49), Some(us.as_bytes()));
            assert_eq!(message.field(56), Some(peer.as_bytes()));
            let sent = UtcTimestamp::parse(message.field(52).expect("SendingTime")).expect("a time");
            assert!(sent == self.now.utc() || time_passed, "it says that it was sent at {sent}");
            let mut said = format!("35={}", String::from_utf8_lossy(message.msg_type));
            for field in message.fields() {
                let field = field.expect("a field");
                match field.tag {
                    49 | 52 | 56 => {}
                    // Known by its ExecID and its number.
                    6 | 14 | 37 | 39 | 54 | 55 | 150 | 151 => {}
                    112 if message.msg_type == b"1" => said += "|112=*",
                    122 => said += "|122=*",
                    tag => said += &format!("|{tag}={}", String::from_utf8_lossy(field.value)),
                }
            }
            self.said.push_back(said);
            rest = &rest[message.bytes.len()..];
        }
        self.session.commit().expect("safe");
    }
}

fn soh(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| if byte == b'|' { SOH } else { byte }).collect()
}

/// `time-121` is 121 s ago, `time+10` in 10 s.
fn times(text: &str, now: Now) -> String {
    let mut out = String::new();
    for part in text.split_inclusive('|') {
        match part.split_once("=time") {
            Some((tag, offset)) => {
                let end = if offset.ends_with('|') { "|" } else { "" };
                let offset_s: i64 = offset.trim_end_matches('|').parse().unwrap_or(0);
                let ms = (now.wall_ns / 1_000_000).saturating_add_signed(offset_s * 1_000);
                out += &format!("{tag}={}{end}", UtcTimestamp::from_unix_ms(ms));
            }
            None => out += part,
        }
    }
    out
}

/// A message of the peer's: what the script leaves out is added.
fn peer_message(fields: &str, now: Now) -> Vec<u8> {
    let (msg_type, rest) = fields.split_once('|').unwrap_or((fields, ""));
    let mut body = format!("{msg_type}|");
    for (tag, value) in [("49", "C"), ("56", "S"), ("52", "time")] {
        if !rest.split('|').any(|field| field.starts_with(&format!("{tag}="))) {
            body += &format!("{tag}={value}|");
        }
    }
    body += rest;
    if !body.ends_with('|') {
        body.push('|');
    }
    let body = times(&body.replace("ORDER", "55=000001|54=1|60=time|38=100|40=1"), now);
    // `8=…` in the line is another version.
    let (version, body) = match body.split_once("|8=") {
        Some((before, after)) => {
            let (version, after) = after.split_once('|').expect("a delimiter");
            (version.to_owned(), format!("{before}|{after}"))
        }
        None => ("FIX.4.4".to_owned(), body),
    };
    let mut bytes = soh(&format!("8={version}|9={}|{body}", body.len()));
    bytes.extend(soh(&format!("10={:03}|", checksum(&bytes))));
    bytes
}

fn report(exec_id: &str) -> ExecutionReport<'_> {
    ExecutionReport {
        order_id: b"o",
        cl_ord_id: None,
        orig_cl_ord_id: None,
        ord_status_req_id: None,
        exec_id: exec_id.as_bytes(),
        exec_type: ExecType::New,
        ord_status: OrdStatus::New,
        ord_rej_reason: None,
        account: None,
        cash_margin: None,
        symbol: b"000001",
        security_id: None,
        security_id_source: None,
        security_exchange: None,
        side: Side::Buy,
        order_qty: None,
        ord_type: None,
        price: None,
        time_in_force: None,
        last_qty: None,
        last_px: None,
        leaves_qty: Qty::ZERO,
        cum_qty: Qty::ZERO,
        avg_px: Price::ZERO,
        transact_time: None,
        text: None,
    }
}
