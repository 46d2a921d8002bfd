//! A FIX client on a plain socket, with a session of the crate `fix`.

use crate::peers::DEADLINE;
use fix::message::Body;
use fix::session::{Config, Credentials, Event, Session, Takes};
use fix::store::MemoryStore;
use fix::{Now, tag};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use transport::Clock;

/// One message that came, with its delimiters as `|`.
pub(crate) type Said = String;

pub(crate) struct FixClient {
    pub(crate) session: Session<MemoryStore>,
    stream: Option<TcpStream>,
    came: Vec<u8>,
    said: Vec<Said>,
    clock: Clock,
    /// Why the connection ended.
    pub(crate) ended: Option<String>,
}

impl FixClient {
    pub(crate) fn config(number: usize) -> Config {
        let name = format!("c{number}");
        let mut config = Config::new(&name, "TONGDAO", Takes::Reports);
        config.heart_bt_s = 60;
        config.credentials = Some(Credentials { username: name, password: "secret".to_owned() });
        config
    }

    pub(crate) fn new(config: Config) -> Self {
        Self {
            session: Session::new(config, MemoryStore::new(1 << 20)),
            stream: None,
            came: Vec::new(),
            said: Vec::new(),
            clock: Clock::start(),
            ended: None,
        }
    }

    /// Connected, and the logon sent.
    pub(crate) fn connect(&mut self, address: SocketAddr) {
        self.connect_behind(address, &[]);
    }

    /// The same through a balancer that says these bytes first.
    pub(crate) fn connect_behind(&mut self, address: SocketAddr, header: &[u8]) {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream.set_nodelay(true).expect("set");
        self.stream = Some(stream);
        self.came.clear();
        self.ended = None;
        let (now, mut out) = (self.now(), header.to_vec());
        self.session.connect(now, &mut out).expect("kept");
        self.write(&out);
    }

    pub(crate) fn log_on(address: SocketAddr, number: usize) -> Self {
        let mut client = Self::new(Self::config(number));
        client.connect(address);
        client.logged_on();
        client
    }

    pub(crate) fn logged_on(&mut self) {
        while !self.session.is_active() {
            assert!(self.turn(), "logged on, not {:?}", self.ended);
        }
    }

    pub(crate) fn now(&self) -> Now {
        let ns = self.clock.now_ns();
        Now { ns, wall_ns: self.clock.wall_ns(ns).unsigned_abs() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A gateway that was killed or has ended the session takes nothing more: what it said before, and its end, is read.
        if let Some(stream) = &mut self.stream {
            drop(stream.write_all(bytes));
        }
    }

    pub(crate) fn send(&mut self, body: &impl Body) {
        let (now, mut out) = (self.now(), Vec::new());
        self.session.send(body, now, &mut out).expect("kept");
        self.write(&out);
    }

    /// A message of these fields; `now` is the time.
    pub(crate) fn tell(&mut self, msg_type: &'static str, fields: &str) {
        let time = self.now().utc().to_string();
        let fields = fields.replace("=now", &format!("={time}")).replace('|', "\x01");
        self.send(&Raw { msg_type: msg_type.as_bytes(), fields: fields.as_bytes() });
    }

    pub(crate) fn order(&mut self, id: &str, more: &str) {
        self.tell("D", &format!("11={id}|55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=10|{more}"));
    }

    /// The connection is lost: nobody says anything.
    pub(crate) fn lose(&mut self) {
        self.stream = None;
        self.session.disconnected();
        self.said.clear();
    }

    /// It turns away from a connection that stays open.
    pub(crate) fn turn_away(&mut self) -> TcpStream {
        let stream = self.stream.take().expect("connected");
        self.session.disconnected();
        self.said.clear();
        stream
    }

    pub(crate) fn log_out(&mut self) {
        let (now, mut out) = (self.now(), Vec::new());
        self.session.log_out("", now, &mut out).expect("kept");
        self.write(&out);
        while self.turn() {}
    }

    /// Reads once; false at the end of the connection.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut chunk = [0; 1 << 16];
        match stream.read(&mut chunk) {
            Ok(0) => return self.end("closed"),
            Ok(bytes) => self.came.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return self.end("closed"),
            Err(error) => panic!("nothing came: {error}; {:#?}", self.said),
        }
        let (came, now, mut out) = (std::mem::take(&mut self.came), self.now(), Vec::new());
        let mut done = 0;
        let ended = loop {
            match self.session.receive(&came[done..], now, &mut out) {
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
                Ok(Some(received)) => {
                    done += received.consumed;
                    match received.event {
                        Event::Application { message, .. } | Event::Rejected(message) => {
                            let text = String::from_utf8_lossy(message.bytes).replace('\x01', "|");
                            self.said.push(text);
                        }
                        Event::LoggedOut { text } => break Some(String::from_utf8_lossy(text).into_owned()),
                        Event::LoggedOn | Event::Handled(_) => {}
                        Event::LogonRequest(_) => unreachable!("an initiator"),
                    }
                }
            }
        };
        self.write(&out);
        self.came = came[done..].to_vec();
        match ended {
            Some(why) => self.end(&why),
            None => true,
        }
    }

    fn end(&mut self, why: &str) -> bool {
        self.ended.get_or_insert_with(|| why.to_owned());
        self.session.disconnected();
        self.stream = None;
        false
    }

    /// The next message, in order.
    pub(crate) fn next(&mut self) -> Said {
        while self.said.is_empty() {
            assert!(self.turn(), "a message, not the end: {:?}", self.ended);
        }
        self.said.remove(0)
    }

    /// The next message that came before the connection ended; `None` at its end.
    pub(crate) fn next_before_the_end(&mut self) -> Option<Said> {
        while self.said.is_empty() {
            if !self.turn() && self.said.is_empty() {
                return None;
            }
        }
        Some(self.said.remove(0))
    }

    /// The next message, which has all these parts.
    pub(crate) fn expect(&mut self, parts: &[&str]) -> Said {
        let said = self.next();
        for part in parts {
            assert!(said.contains(&format!("|{part}|")), "{part} in {said}");
        }
        said
    }

    /// The end of the connection, and what was said then.
    pub(crate) fn expect_end(&mut self) -> String {
        while self.turn() {}
        self.ended.clone().unwrap_or_default()
    }
}

/// The value of a field.
pub(crate) fn field(said: &str, tag: u32) -> Option<&str> {
    said.split('|').find_map(|field| field.strip_prefix(&format!("{tag}=")))
}

/// Whether a message says that it may have been had before.
pub(crate) fn repeats(said: &str) -> bool {
    field(said, tag::POSS_DUP_FLAG) == Some("Y") || field(said, tag::POSS_RESEND) == Some("Y")
}

struct Raw<'a> {
    msg_type: &'a [u8],
    fields: &'a [u8],
}

impl Body for Raw<'_> {
    fn msg_type(&self) -> &[u8] {
        self.msg_type
    }

    fn encode(&self, message: &mut fix::codec::Encoder<'_>) {
        message.fields(self.fields);
    }
}
