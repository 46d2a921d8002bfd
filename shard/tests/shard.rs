//! A shard over real sockets: what peers do, and what they must not be able to do.

use flow::{Cursor, Filter, Limits as LogLimits, Selection, Tag, Writer};
use shard::{
    App, ConnId, Cx, Limits, Log, LogId, Opened, Origin, Port, Reason, Running, Setup, Stats, spawn,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use transport::{Connector, Listener, SocketOptions};

const LOG: LogId = LogId(0);
/// A failing test ends here; a passing one never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Frames are lines. `echo …` is sent back, `follow` follows the log, `log …` is appended to it, `bad` is an error,
/// `flood` asks for more private bytes than may wait.
struct Lines {
    events: SyncSender<Event>,
}

#[derive(Debug, PartialEq)]
enum Event {
    Opened(ConnId),
    Closed(Reason),
    DialFailed(u32, ErrorKind),
    Stats(Stats),
}

enum Command {
    Stats,
    Dial(SocketAddr, u32),
    Hold(ConnId, bool),
    GoOn(ConnId),
    Append(usize),
    Number(u64),
    Answer(SyncSender<()>),
}

impl Lines {
    fn tell(&self, event: Event) {
        self.events.send(event).expect("the test listens");
    }
}

impl App for Lines {
    type Command = Command;

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        if let Origin::Dialled(tag) = opened.origin {
            cx.send(id, |out| out.extend_from_slice(format!("dialled {tag}\n").as_bytes()));
        }
        self.tell(Event::Opened(id));
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, tag: u32, error: std::io::Error) {
        self.tell(Event::DialFailed(tag, error.kind()));
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let mut consumed = 0;
        while let Some(len) = data[consumed..].iter().position(|byte| *byte == b'\n') {
            let line = &data[consumed..=consumed + len];
            consumed += line.len();
            match line {
                b"follow\n" => {
                    let start = Cursor::at(cx.log(LOG).start());
                    cx.attach(id, LOG, start, Selection::new(Filter::All));
                }
                b"from 5\n" => {
                    let end = Cursor::at(cx.log(LOG).end());
                    cx.attach(id, LOG, end, Selection::new(Filter::All).from_numbers([(0, 5)]));
                }
                b"leave\n" => cx.detach(id),
                b"wait\n" => {
                    cx.pause_reading(id, true);
                    return Ok(consumed);
                }
                b"bad\n" => {
                    cx.send(id, |out| out.extend_from_slice(b"that was bad\n"));
                    return Err(Reason::App("bad line"));
                }
                b"flood\n" => cx.send(id, |out| out.resize(out.len() + (2 << 20), b'x')),
                line if line.starts_with(b"log ") => append(cx, line),
                line => cx.send(id, |out| out.extend_from_slice(line)),
            }
        }
        Ok(consumed)
    }

    fn on_close(&mut self, _cx: &mut Cx, _id: ConnId, reason: Reason) {
        self.tell(Event::Closed(reason));
    }

    fn on_tick(&mut self, _cx: &mut Cx) {}

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Stats => self.tell(Event::Stats(cx.stats())),
            Command::Dial(address, tag) => cx.dial(address, &Connector::default(), DEADLINE, tag),
            Command::Hold(id, held) => cx.hold_writing(id, held),
            Command::GoOn(id) => {
                cx.pause_reading(id, false);
                cx.offer_again(id);
            }
            Command::Append(bytes) => append(cx, &vec![b'y'; bytes]),
            Command::Answer(reply) => reply.send(()).expect("the test listens"),
            Command::Number(number) => {
                let line = format!("number {number}\n");
                cx.writer(LOG).append(Tag { lane: 0, number, key: 1 }, line.as_bytes()).expect("fits");
            }
        }
    }
}

fn append(cx: &mut Cx, frame: &[u8]) {
    cx.writer(LOG).append(Tag { lane: 0, number: 0, key: 1 }, frame).expect("fits");
}

struct Server {
    running: Running<Command>,
    events: Receiver<Event>,
    address: SocketAddr,
}

fn serve(limits: Limits) -> Server {
    let writer = Writer::new(LogLimits { segment_bytes: 64 << 10, window_bytes: 256 << 10 });
    let (setup, address) = setup(limits, Log::Own(writer));
    start(setup, address)
}

fn setup(limits: Limits, log: Log) -> (Setup, SocketAddr) {
    let options = SocketOptions { send_buffer_bytes: 8 << 10, ..SocketOptions::default() };
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), options).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let ports = vec![Port { listener, tag: 7 }];
    (Setup { ports, logs: vec![log], limits, core: None }, address)
}

fn start(setup: Setup, address: SocketAddr) -> Server {
    let (sender, events) = sync_channel(1024);
    let running = spawn("lines", setup, move || Lines { events: sender }).expect("a thread");
    Server { running, events, address }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(DEADLINE).expect("an event")
    }

    fn opened(&self) -> ConnId {
        match self.event() {
            Event::Opened(id) => id,
            other => panic!("expected a connection, got {other:?}"),
        }
    }

    fn command(&self, command: Command) {
        assert!(self.running.handle().send(command).is_ok());
    }

    fn stats(&self) -> Stats {
        self.command(Command::Stats);
        match self.event() {
            Event::Stats(stats) => stats,
            other => panic!("expected figures, got {other:?}"),
        }
    }

    fn stop(self) {
        self.running.handle().stop();
        self.running.join().expect("ended well");
    }
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

#[test]
fn nobody_waits_for_the_answer_of_a_shard_that_has_ended() {
    let server = serve(Limits::default());
    let handle = server.running.handle().clone();
    let ask = || {
        let (reply, answer) = sync_channel(1);
        assert!(handle.send(Command::Answer(reply)).is_ok());
        answer.recv_timeout(DEADLINE)
    };
    assert_eq!(ask(), Ok(()));
    server.stop();
    assert_eq!(ask(), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn frames_split_anywhere_come_whole() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    server.opened();
    for part in [&b"echo on"[..], b"e\necho two\necho t", b"hree", b"\n"] {
        client.write_all(part).expect("written");
    }
    assert_eq!(read(&mut client, 29), b"echo one\necho two\necho three\n");
    drop(client);
    assert_eq!(server.event(), Event::Closed(Reason::PeerClosed));
    server.stop();
}

#[test]
fn a_frame_that_never_ends_is_refused_at_its_limit() {
    let server = serve(Limits { kept_bytes_max: 1000, ..Limits::default() });
    let mut client = server.connect();
    server.opened();
    client.write_all(&[b'a'; 2000]).expect("written");
    assert_eq!(server.event(), Event::Closed(Reason::InboundFull));
    server.stop();
}

#[test]
fn a_closed_peer_still_gets_the_reason_though_it_was_sending() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    server.opened();
    client.write_all(b"bad\n").expect("written");
    client.write_all(&[b'z'; 1000]).expect("written");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an end, not a reset");
    assert_eq!(text, "that was bad\n");
    assert_eq!(server.event(), Event::Closed(Reason::App("bad line")));
    server.stop();
}

#[test]
fn private_bytes_are_bounded() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    server.opened();
    client.write_all(b"flood\n").expect("written");
    assert_eq!(server.event(), Event::Closed(Reason::OutboundFull));
    server.stop();
}

#[test]
fn followers_get_every_byte_and_a_stalled_one_costs_the_others_nothing() {
    let server = serve(Limits::default());
    let (mut reader, mut stalled) = (server.connect(), server.connect());
    reader.write_all(b"follow\n").expect("written");
    stalled.write_all(b"follow\nhello\n").expect("written");
    assert_eq!(read(&mut stalled, 6), b"hello\n", "it follows by now");
    server.opened();
    server.opened();
    // Far more than the sockets between them hold, and than the log's window.
    for round in 0..400 {
        server.command(Command::Append(50_000));
        assert_eq!(read(&mut reader, 50_000).len(), 50_000, "round {round}");
    }
    assert_eq!(server.event(), Event::Closed(Reason::Overrun));
    let stats = server.stats();
    assert_eq!((stats.overruns, stats.connections), (1, 1));
    drop(stalled);
    server.stop();
}

#[test]
fn followers_come_and_go_and_those_that_stay_get_everything() {
    let server = serve(Limits::default());
    let mut clients: Vec<TcpStream> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        server.opened();
        client.write_all(b"follow\nready\n").expect("written");
        read(client, 6);
    }
    let mut left = clients.remove(0);
    left.write_all(b"leave\nleft\n").expect("written");
    assert_eq!(read(&mut left, 5), b"left\n");
    for place in [4, 1] {
        drop(clients.remove(place));
        assert_eq!(server.event(), Event::Closed(Reason::PeerClosed));
    }
    for number in 1..=50 {
        server.command(Command::Number(number));
        let line = format!("number {number}\n");
        for client in &mut clients {
            assert_eq!(read(client, line.len()), line.as_bytes());
        }
    }
    left.write_all(b"follow\n").expect("written");
    assert_eq!(read(&mut left, 9), b"number 1\n", "nothing came while it followed nothing");
    server.stop();
}

#[test]
fn a_number_to_begin_with_that_is_not_yet_written_is_waited_for() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    client.write_all(b"from 5\nready\n").expect("written");
    assert_eq!(read(&mut client, 6), b"ready\n");
    server.opened();
    for number in 1..=6 {
        server.command(Command::Number(number));
        server.stats(); // A turn of its own.
    }
    assert_eq!(read(&mut client, 18), b"number 5\nnumber 6\n");
    server.stop();
}

#[test]
fn a_held_connection_is_silent_until_it_is_let_go() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    let id = server.opened();
    server.command(Command::Hold(id, true));
    server.stats(); // Answered in a later turn than the command before it.
    client.write_all(b"follow\necho\n").expect("written");
    server.command(Command::Append(10));
    client.set_nonblocking(true).expect("set");
    while server.stats().bytes_in < 12 {}
    assert_eq!(client.read(&mut [0; 64]).expect_err("nothing yet").kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("set");
    server.command(Command::Hold(id, false));
    assert_eq!(read(&mut client, 15), b"echo\nyyyyyyyyyy");
    server.stop();
}

#[test]
fn what_was_left_is_offered_again_though_nothing_new_comes() {
    let server = serve(Limits::default());
    let mut client = server.connect();
    let id = server.opened();
    client.write_all(b"wait\nhere\n").expect("written");
    client.set_nonblocking(true).expect("set");
    while server.stats().bytes_in < 10 {}
    assert_eq!(client.read(&mut [0; 64]).expect_err("nothing yet").kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("set");
    server.command(Command::GoOn(id));
    assert_eq!(read(&mut client, 5), b"here\n");
    client.write_all(b"echo\n").expect("written");
    assert_eq!(read(&mut client, 5), b"echo\n", "once");
    server.stop();
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let server = serve(Limits { connections_max: 1, ..Limits::default() });
    let mut first = server.connect();
    server.opened();
    let mut second = server.connect();
    assert!(matches!(second.read(&mut [0; 1]), Ok(0) | Err(_)), "closed without a word");
    first.write_all(b"echo\n").expect("written");
    assert_eq!(read(&mut first, 5), b"echo\n");
    assert_eq!(server.stats().refused_full, 1);
    server.stop();
}

#[test]
fn dials_succeed_or_say_why_not() {
    let server = serve(Limits::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    server.command(Command::Dial(address, 3));
    let (mut peer, _) = listener.accept().expect("dialled");
    assert_eq!(read(&mut peer, 10), b"dialled 3\n");
    server.opened();
    drop(listener);
    server.command(Command::Dial(address, 4));
    assert_eq!(server.event(), Event::DialFailed(4, ErrorKind::ConnectionRefused));
    drop(peer);
    assert_eq!(server.event(), Event::Closed(Reason::PeerClosed));
    server.stop();
}

#[test]
fn a_second_shard_follows_the_log_of_the_first() {
    let writer = Writer::new(LogLimits::default());
    let reader = writer.reader();
    let (setup_first, address) = setup(Limits::default(), Log::Own(writer));
    let first = start(setup_first, address);
    let (setup_second, address) = setup(Limits::default(), Log::Follow(reader));
    let second = start(setup_second, address);
    let mut client = second.connect();
    client.write_all(b"follow\nready\n").expect("written");
    assert_eq!(read(&mut client, 6), b"ready\n");
    for _ in 0..100 {
        first.command(Command::Append(100));
        assert_eq!(read(&mut client, 100).len(), 100);
    }
    first.stop();
    second.stop();
}
