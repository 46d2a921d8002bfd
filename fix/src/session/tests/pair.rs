//! Our two ends against each other over a line that is cut at any byte: whatever happens, each receives what the other
//! sent, all of it, once and in order.

use proptest::prelude::*;

use crate::codec::Encoder;
use crate::message::Body;
use crate::session::{Config, Event, Session, Takes};
use crate::store::{MemoryStore, Store};
use crate::tag;
use crate::time::Now;

/// An order or a report, known by its identifier alone.
struct Mark {
    msg_type: &'static [u8],
    id: u64,
}

impl Body for Mark {
    fn msg_type(&self) -> &[u8] {
        self.msg_type
    }

    fn encode(&self, message: &mut Encoder<'_>) {
        if self.msg_type == b"D" {
            message.number(tag::CL_ORD_ID, self.id).text(tag::SYMBOL, b"000001").char(tag::SIDE, b'1');
            message.text(tag::TRANSACT_TIME, b"20240229-01:30:00").number(tag::ORDER_QTY, 1);
            message.char(tag::ORD_TYPE, b'1');
        } else {
            message.text(tag::ORDER_ID, b"o").number(tag::EXEC_ID, self.id).char(tag::EXEC_TYPE, b'0');
            message.char(tag::ORD_STATUS, b'0').text(tag::SYMBOL, b"000001").char(tag::SIDE, b'1');
            message.number(tag::LEAVES_QTY, 0).number(tag::CUM_QTY, 0).number(tag::AVG_PX, 0);
        }
    }
}

struct End {
    session: Session<MemoryStore>,
    sends: &'static [u8],
    /// Written, and not delivered yet.
    out: Vec<u8>,
    /// Delivered, and not taken yet.
    came: Vec<u8>,
    sent: u64,
    received: Vec<u64>,
}

impl End {
    fn new(us: &str, peer: &str, takes: Takes, sends: &'static [u8]) -> Self {
        let mut config = Config::new(us, peer, takes);
        config.resend_burst_bytes = 400;
        // Bytes lie in the line as long as they like.
        config.sending_time_slack_ms = 0;
        let session = Session::new(config, MemoryStore::new(1 << 20));
        Self { session, sends, out: Vec::new(), came: Vec::new(), sent: 0, received: Vec::new() }
    }

    fn send(&mut self, now: Now) {
        self.sent += 1;
        let mark = Mark { msg_type: self.sends, id: self.sent };
        self.session.send(&mark, now, &mut self.out).expect("kept");
    }

    fn cut(&mut self) {
        self.session.disconnected();
        self.out.clear();
        self.came.clear();
    }

    /// Takes what was delivered; false where the session is over.
    fn take(&mut self, now: Now) -> bool {
        let came = std::mem::take(&mut self.came);
        let mut rest = &came[..];
        loop {
            match self.session.receive(rest, now, &mut self.out) {
                Ok(None) => break,
                Ok(Some(received)) => {
                    rest = &rest[received.consumed..];
                    match received.event {
                        Event::LogonRequest(_) => {
                            self.session.accept_logon(now, &mut self.out).expect("numbers that go on");
                        }
                        Event::Application { message, .. } => {
                            let id = message.field(tag::EXEC_ID).or(message.field(tag::CL_ORD_ID));
                            let id = id.and_then(crate::codec::unsigned).expect("an identifier");
                            self.received.push(id);
                        }
                        Event::LoggedOut { .. } => return false,
                        Event::Rejected(message) => panic!("{}", String::from_utf8_lossy(message.bytes)),
                        Event::LoggedOn | Event::Handled(_) => {}
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        self.came = rest.to_vec();
        true
    }
}

struct Line {
    client: End,
    server: End,
    now: Now,
}

impl Line {
    fn new() -> Self {
        let client = End::new("C", "S", Takes::Reports, b"D");
        let server = End::new("S", "C", Takes::Orders, b"8");
        Self { client, server, now: Now { ns: 1, wall_ns: 1_709_170_200_000_000_000 } }
    }

    fn connect(&mut self) {
        if !self.client.session.is_connected() {
            self.server.cut();
            self.server.session.accept(self.now);
            self.client.session.connect(self.now, &mut self.client.out).expect("kept");
        }
    }

    fn cut(&mut self) {
        self.client.cut();
        self.server.cut();
    }

    /// Delivers up to `len` bytes each way.
    fn deliver(&mut self, to_server: usize, to_client: usize) {
        let to_server = to_server.min(self.client.out.len());
        self.server.came.extend(self.client.out.drain(..to_server));
        let to_client = to_client.min(self.server.out.len());
        self.client.came.extend(self.server.out.drain(..to_client));
        if !(self.client.take(self.now) & self.server.take(self.now)) {
            self.cut();
        }
    }

    fn resume(&mut self) {
        for end in [&mut self.client, &mut self.server] {
            end.session.resume(self.now, &mut end.out).expect("sent");
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now = Now { ns: self.now.ns + ms * 1_000_000, wall_ns: self.now.wall_ns + ms * 1_000_000 };
        let mut over = false;
        for end in [&mut self.client, &mut self.server] {
            over |= end.session.on_timeout(self.now, &mut end.out).is_err();
        }
        if over {
            self.cut();
        }
    }

    /// Connected, until nothing moves any more.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..10_000 {
            self.resume();
            self.deliver(usize::MAX, usize::MAX);
            let ends = [&self.client, &self.server];
            if ends.iter().all(|end| end.out.is_empty() && end.came.is_empty() && !end.session.has_backlog())
            {
                return;
            }
        }
        panic!("it does not settle");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_arrives_once_and_in_order_over_a_line_that_is_cut(
        steps in prop::collection::vec((0_u8..16, 0_usize..400, 0_usize..400), 0..120),
    ) {
        let mut line = Line::new();
        for (kind, a, b) in steps {
            match kind {
                0 => line.cut(),
                1..=3 => line.connect(),
                4..=6 => line.client.send(line.now),
                7..=9 => line.server.send(line.now),
                10 => line.resume(),
                11 => line.wait(a as u64 * 100),
                _ => line.deliver(a, b),
            }
        }
        line.settle();
        prop_assert_eq!(&line.server.received, &(1..=line.client.sent).collect::<Vec<_>>());
        prop_assert_eq!(&line.client.received, &(1..=line.server.sent).collect::<Vec<_>>());
        prop_assert_eq!(line.client.session.store().next_sender(), line.server.session.store().next_target());
        prop_assert_eq!(line.server.session.store().next_sender(), line.client.session.store().next_target());
    }
}
