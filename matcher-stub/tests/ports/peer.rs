//! A peer as a test writes one: a blocking socket, frames in and out, nothing answered by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use wire::szse::code::SessionStatus;
use wire::szse::{I32, Logon, Logout, Message, Password, Text, frame};

/// A failing test ends here; a passing one never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) const SERVER: Text<20> = Text::literal("MATCHER");
pub(crate) const PASSWORD: &str = "secret";

pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) msg_type: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Came {
    /// As a message of this type, if it is one.
    pub(crate) fn try_view<M: Message + Copy>(&self) -> Option<M> {
        (self.msg_type == M::MSG_TYPE).then(|| self.view())
    }

    /// As a message of fixed length.
    pub(crate) fn view<M: Message + Copy>(&self) -> M {
        let frame = frame::decode(&self.bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        *frame.view::<M>().unwrap_or_else(|error| panic!("{}: {error}", M::NAME))
    }
}

pub(crate) fn logon(comp_id: &str) -> Logon {
    Logon {
        sender_comp_id: comp_id.parse().unwrap(),
        target_comp_id: SERVER,
        heart_bt_int_s: I32::new(30),
        password: Password::new(PASSWORD.as_bytes()).unwrap(),
        default_appl_ver_id: Text::BLANK,
    }
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Connected and logged on.
    pub(crate) fn logged_on(address: SocketAddr, comp_id: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.send(&logon(comp_id));
        assert_eq!(peer.expect::<Logon>().target_comp_id, comp_id.parse().unwrap());
        peer
    }

    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn first(&mut self) -> Option<Came> {
        let frame = frame::decode(&self.buffer, frame::BODY_LEN_MAX).expect("the server sends frames")?;
        let came = Came { msg_type: frame.msg_type, bytes: frame.bytes.to_vec() };
        self.buffer.drain(..came.bytes.len());
        Some(came)
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Came> {
        loop {
            if let Some(came) = self.first() {
                return Some(came);
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The next frame, which is this message.
    pub(crate) fn expect<M: Message + Copy>(&mut self) -> M {
        self.next().unwrap_or_else(|| panic!("the end came instead of a {}", M::NAME)).view()
    }

    /// The next frame is a logout with this status, and then the end.
    pub(crate) fn expect_logout(&mut self, status: SessionStatus) -> String {
        let logout = self.expect::<Logout>();
        assert_eq!(logout.session_status, status, "{}", logout.text);
        assert_eq!(self.next(), None, "the end follows");
        logout.text.to_string()
    }

    /// Whether nothing has come that was not taken yet.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.buffer.is_empty() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Ways to break the protocol before a logon, and the text of the logout that answers each.
pub(crate) fn rude_openings() -> Vec<(Vec<u8>, &'static str)> {
    let encode = |message: &Logon| {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes);
        bytes
    };
    let mut wrong_sum = encode(&logon("RUDE"));
    *wrong_sum.last_mut().unwrap() ^= 1;
    let mut short_body = vec![0, 0, 0, 1, 0, 0, 0, 1, b'x'];
    short_body.extend_from_slice(&frame::checksum(&short_body).to_be_bytes());
    let password = Password::new(b"guess").unwrap();
    let stranger = Logon { password, ..logon("RUDE") };
    let elsewhere = Logon { target_comp_id: Text::literal("OTHER"), ..logon("RUDE") };
    vec![
        (b"GET / HTTP/1.1\r\nHost: there\r\n\r\n".to_vec(), "frame too large"),
        (wrong_sum, "wrong checksum"),
        (short_body, "wrong body length"),
        (vec![0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], "frame too large"),
        (vec![0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3], "message before logon"),
        (encode(&stranger), "wrong CompID or password"),
        (encode(&elsewhere), "wrong CompID or password"),
    ]
}
