//! Our end: a session over a plain socket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use fix::message::{
    Body, BusinessMessageReject, ExecType, ExecutionReport, NewOrderSingle, OrdStatus, Refusal,
};
use fix::session::{Config, Credentials, Event, Session};
use fix::store::{FileLimits, FileStore, Store};
use fix::{Now, tag};

use crate::peer::Peer;

/// How long a turn waits for something to come.
const TURN: Duration = Duration::from_millis(5);
/// A failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the peer logs on with, and we.
pub(crate) fn credentials() -> Credentials {
    Credentials { username: "user".to_owned(), password: "secret".to_owned() }
}

pub(crate) struct End {
    pub(crate) session: Session<FileStore>,
    /// What happened since the last [`End::forget`].
    pub(crate) events: Vec<String>,
    pub(crate) client: Credentials,
    stream: Option<TcpStream>,
    came: Vec<u8>,
    reports: u64,
    begin: Instant,
}

impl End {
    #[expect(clippy::disallowed_methods, reason = "the test is the loop: it reads the clock")]
    pub(crate) fn open(config: Config, folder: &Path) -> Self {
        let store = FileStore::open(&folder.join("store"), FileLimits::default()).expect("a store");
        Self {
            session: Session::new(config, store),
            events: Vec::new(),
            client: credentials(),
            stream: None,
            came: Vec::new(),
            reports: 0,
            begin: Instant::now(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the loop: it reads the clock")]
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Now { ns: self.begin.elapsed().as_nanos() as u64, wall_ns: wall.as_nanos() as u64 }
    }

    fn attach(&mut self, stream: TcpStream) {
        stream.set_read_timeout(Some(TURN)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        self.stream = Some(stream);
        self.came.clear();
    }

    pub(crate) fn accept(&mut self, stream: TcpStream) {
        self.attach(stream);
        self.session.accept(self.now());
    }

    pub(crate) fn connect(&mut self, stream: TcpStream) {
        self.attach(stream);
        let mut out = Vec::new();
        self.session.connect(self.now(), &mut out).expect("kept");
        self.write(&out);
    }

    /// Sends a message, or keeps it where there is no connection.
    pub(crate) fn send(&mut self, body: &impl Body) {
        let mut out = Vec::new();
        self.session.send(body, self.now(), &mut out).expect("kept");
        self.write(&out);
    }

    pub(crate) fn log_out(&mut self) {
        let mut out = Vec::new();
        self.session.log_out("", self.now(), &mut out).expect("kept");
        self.write(&out);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub(crate) fn numbers(&self) -> (u64, u64) {
        (self.session.store().next_sender(), self.session.store().next_target())
    }

    pub(crate) fn forget(&mut self) {
        self.events.clear();
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.events.iter().any(|happened| happened == event)
    }

    fn write(&mut self, out: &[u8]) {
        self.session.commit().expect("safe");
        let Some(stream) = &mut self.stream else { return };
        if let Err(error) = stream.write_all(out) {
            self.close(&error.to_string());
        }
    }

    fn close(&mut self, why: &str) {
        self.events.push(why.to_owned());
        self.session.disconnected();
        self.stream = None;
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer) {
            Ok(0) => return self.close("closed"),
            Ok(len) => self.came.extend_from_slice(&buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return self.close(&error.to_string()),
        }
        let mut out = Vec::new();
        let came = std::mem::take(&mut self.came);
        let result = self.take(&came, &mut out);
        let timely = self.session.on_timeout(self.now(), &mut out);
        self.session.resume(self.now(), &mut out).expect("sent");
        self.write(&out);
        match result.and_then(|done| timely.map(|()| done).map_err(|error| error.to_string())) {
            Ok(done) => self.came = came[done..].to_vec(),
            Err(why) => self.close(&why),
        }
    }

    fn take(&mut self, came: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
        let (mut done, now) = (0, self.now());
        while let Some(received) =
            self.session.receive(&came[done..], now, out).map_err(|error| error.to_string())?
        {
            done += received.consumed;
            match received.event {
                Event::LogonRequest(request) => {
                    if request.is_by(&self.client) {
                        self.session.accept_logon(now, out).map_err(|error| error.to_string())?;
                        self.events.push("logged on".to_owned());
                    } else {
                        self.session.refuse_logon("Password is wrong", now, out).expect("kept");
                        return Err("refused".to_owned());
                    }
                }
                Event::LoggedOn => self.events.push("logged on".to_owned()),
                Event::Application { message, number, may_repeat } => {
                    let id_tag = if message.msg_type == b"8" { tag::EXEC_ID } else { tag::CL_ORD_ID };
                    let id = message.field(id_tag).unwrap_or_default();
                    let again = if may_repeat { " again" } else { "" };
                    let msg_type = String::from_utf8_lossy(message.msg_type);
                    self.events.push(format!("{msg_type} {}{again}", String::from_utf8_lossy(id)));
                    if message.msg_type == b"D" {
                        self.answer(&message, number, out);
                    }
                }
                Event::Rejected(message) => {
                    let text = String::from_utf8_lossy(message.field(tag::TEXT).unwrap_or_default());
                    self.events.push(format!("rejected: {text}"));
                }
                Event::Handled(handled) => self.events.push(format!("{handled:?}")),
                Event::LoggedOut { text } => {
                    return Err(format!("logged out {}", String::from_utf8_lossy(text)));
                }
            }
        }
        Ok(done)
    }

    /// What a core would say.
    fn answer(&mut self, message: &fix::codec::Message<'_>, number: u64, out: &mut Vec<u8>) {
        self.reports += 1;
        let now = self.now();
        let exec_id = format!("E{}", self.reports);
        let order = NewOrderSingle::parse(message).expect("an order");
        match order.check() {
            Ok(_) => {
                let report = accepted(&order, exec_id.as_bytes(), now);
                self.session.send(&report, now, out).expect("kept");
            }
            Err(Refusal::Business { reason, .. }) => {
                let answer = BusinessMessageReject {
                    ref_seq_num: number,
                    ref_msg_type: message.msg_type,
                    business_reject_ref_id: Some(order.cl_ord_id),
                    business_reject_reason: reason,
                    text: Some(b"a field is missing"),
                };
                self.session.send(&answer, now, out).expect("kept");
            }
            Err(Refusal::Order { reason, text }) => {
                let report = ExecutionReport::refusal(&order, exec_id.as_bytes(), reason, text, now.utc());
                self.session.send(&report, now, out).expect("kept");
            }
            Err(Refusal::Session(fault)) => {
                self.session.reject(number, message.msg_type, fault, now, out).expect("kept");
            }
        }
    }
}

/// The report of an order that rests.
pub(crate) fn accepted<'a>(order: &NewOrderSingle<'a>, exec_id: &'a [u8], now: Now) -> ExecutionReport<'a> {
    ExecutionReport {
        order_id: b"O1",
        exec_type: ExecType::New,
        ord_status: OrdStatus::New,
        ord_rej_reason: None,
        leaves_qty: order.order_qty,
        ..ExecutionReport::refusal(order, exec_id, fix::message::OrdRejReason::Other, "", now.utc())
    }
}

/// Lets both ends run until it is so.
#[expect(clippy::disallowed_methods, reason = "a test that waits for nothing must fail")]
pub(crate) fn until(what: &str, end: &mut End, peer: &mut Peer, is_so: impl Fn(&End, &Peer) -> bool) {
    let begin = Instant::now();
    loop {
        if end.is_connected() {
            end.turn();
            peer.listen();
        } else {
            peer.listen_for(TURN);
        }
        if is_so(end, peer) {
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{what} did not come; here {:#?}, there {:#?}",
            end.events,
            peer.said
        );
    }
}
