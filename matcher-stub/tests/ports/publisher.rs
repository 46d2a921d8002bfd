//! The market-data ports over real sockets: what a feed gets from them, and what a rude peer gets.

use crate::peer::{Came, DEADLINE, PASSWORD, Peer, SERVER, logon, rude_openings};
use flow::{Limits as LogLimits, Tag, Writer};
use matcher_stub::publisher::{Command, Counts, ResendLimits, Served, Setup, serve};
use matcher_stub::{Admission, Client, PortState};
use std::sync::mpsc::sync_channel;
use wire::szse::code::{ResendStatus, ResendType, SessionStatus, VERSION_MARKET_DATA};
use wire::szse::market::{BusinessReject, Resend, TickOrder};
use wire::szse::session::Limits;
use wire::szse::{Heartbeat, I32, I64, Logon, Message, Password, Text, U16, frame};

const CHANNEL: u16 = 2011;
const OTHER: u16 = 2012;

/// A publisher of two ports and the log that it serves.
struct Source {
    log: Writer,
    served: Served,
}

impl Source {
    fn new(limits: LogLimits, numbers_max: u64) -> Self {
        let log = Writer::new(limits);
        let clients = ["FEED", "RUDE"].map(|comp_id| Client {
            comp_id: comp_id.parse().unwrap(),
            password: Password::new(PASSWORD.as_bytes()).unwrap(),
        });
        let setup = Setup {
            listen: vec!["127.0.0.1:0".parse().unwrap(); 2],
            admission: Admission {
                comp_id: SERVER,
                clients: clients.to_vec(),
                version: VERSION_MARKET_DATA,
                limits: Limits::default(),
            },
            resend: ResendLimits { numbers_max, ..ResendLimits::default() },
            limits: shard::Limits::default(),
        };
        let served = serve("publisher", setup, log.reader()).unwrap();
        Self { log, served }
    }

    fn small() -> Self {
        Self::new(LogLimits::default(), 1_000)
    }

    /// Publishes the next number of a channel, and returns its frame.
    fn tick(&mut self, channel: u16) -> Vec<u8> {
        let number = self.log.next_number(channel);
        let tick = TickOrder {
            channel_no: U16::new(channel),
            appl_seq_num: I64::new(number as i64),
            ..TickOrder::default()
        };
        let mut bytes = Vec::new();
        frame::encode(&tick, &mut bytes);
        self.log.append(Tag { lane: channel, number, key: Tag::EVERYONE }, &bytes).unwrap();
        self.log.publish();
        bytes
    }

    /// A feed that is logged on; from here on it gets what is published.
    fn peer(&self, port: usize) -> Peer {
        // A turn of the shard, so that it has seen all that was published before.
        self.counts();
        Peer::logged_on(self.served.addresses[port], "FEED")
    }

    fn command(&self, command: Command) {
        self.served.running.handle().send(command).unwrap_or_else(|_| panic!("commands are taken"));
    }

    fn counts(&self) -> Counts {
        let (to, from) = sync_channel(1);
        self.command(Command::Counts(to));
        from.recv_timeout(DEADLINE).unwrap()
    }

    fn stop(self) {
        self.served.running.handle().stop();
        self.served.running.join().unwrap();
    }
}

fn request(begin: i64, end: i64) -> Resend {
    Resend {
        resend_type: ResendType::TICKS,
        channel_no: U16::new(CHANNEL),
        appl_beg_seq_num: I64::new(begin),
        appl_end_seq_num: I64::new(end),
        ..Resend::default()
    }
}

/// Numbers sent again for a request, and its answer.
fn resent(peer: &mut Peer, request: &Resend) -> (Vec<i64>, Resend) {
    peer.send(request);
    let mut numbers = Vec::new();
    loop {
        let came = peer.next().expect("an answer");
        if came.msg_type == Resend::MSG_TYPE {
            return (numbers, came.view());
        }
        let tick: TickOrder = came.view();
        assert_eq!(tick.channel_no, request.channel_no);
        numbers.push(tick.appl_seq_num.get());
    }
}

#[test]
fn both_ports_say_the_same_to_everyone() {
    let mut source = Source::small();
    source.tick(CHANNEL);
    let mut peers = [source.peer(0), source.peer(1), source.peer(1)];
    for _ in 0..100 {
        let bytes = source.tick(CHANNEL);
        for peer in &mut peers {
            assert_eq!(peer.next().unwrap().bytes, bytes, "live, from the logon on");
        }
    }
    assert_eq!(source.counts().sessions.active, 3);
    source.stop();
}

#[test]
fn numbers_come_again_and_then_the_answer() {
    let mut source = Source::small();
    for _ in 0..500 {
        source.tick(CHANNEL);
        source.tick(OTHER);
    }
    let mut peer = source.peer(0);
    let (numbers, answer) = resent(&mut peer, &request(10, 400));
    assert!(numbers.into_iter().eq(10..=400));
    assert_eq!(answer, Resend { resend_status: ResendStatus::COMPLETE, ..request(10, 400) });
    let (numbers, answer) = resent(&mut peer, &request(498, 0));
    assert_eq!((numbers, answer.resend_status), (vec![498, 499, 500], ResendStatus::COMPLETE));
    let (numbers, answer) = resent(&mut peer, &request(499, 600));
    assert_eq!((numbers, answer.resend_status), (vec![499, 500], ResendStatus::PARTIAL));
    let counts = source.counts();
    assert_eq!((counts.resends, counts.resends_short, counts.frames_resent), (3, 1, 391 + 3 + 2));
    source.stop();
}

#[test]
fn a_request_that_cannot_be_met_says_why() {
    let mut source = Source::small();
    source.tick(CHANNEL);
    let mut peer = source.peer(0);
    let elsewhere = Resend { channel_no: U16::new(7), ..request(1, 0) };
    let news = Resend { resend_type: ResendType::NEWS, ..request(1, 0) };
    let cases = [
        (request(2, 0), "not yet sent"),
        (elsewhere, "not yet sent"),
        (request(0, 0), "bad range"),
        (request(-5, 5), "bad range"),
        (request(5, 4), "bad range"),
        (request(1, -1), "bad range"),
        (news, "only ticks"),
    ];
    for (request, text) in cases {
        let (numbers, answer) = resent(&mut peer, &request);
        assert!(numbers.is_empty());
        assert_eq!(
            (answer.resend_status, answer.reject_text.to_string()),
            (ResendStatus::UNAVAILABLE, text.into())
        );
    }
    assert_eq!(source.counts().resends_short, 7);
    source.stop();
}

#[test]
fn what_the_window_let_go_is_said_to_be_gone() {
    // 63 bytes a frame: some 65 frames a segment, two segments held.
    let mut source = Source::new(LogLimits { segment_bytes: 4096, window_bytes: 8192 }, 1_000);
    for _ in 0..1_000 {
        source.tick(CHANNEL);
    }
    let mut peer = source.peer(0);
    let (numbers, answer) = resent(&mut peer, &request(1, 0));
    assert_eq!(
        (answer.resend_status, answer.reject_text),
        (ResendStatus::PARTIAL, Text::literal("no longer held"))
    );
    let first = numbers[0];
    assert!(first > 800, "the oldest that is held");
    assert!(numbers.iter().copied().eq(first..=1_000));
    let (numbers, answer) = resent(&mut peer, &request(1, 10));
    assert_eq!((numbers.len(), answer.resend_status), (0, ResendStatus::UNAVAILABLE));
    source.stop();
}

#[test]
fn a_large_request_is_cut_and_many_wait_their_turn() {
    let mut source = Source::new(LogLimits::default(), 20_000);
    for _ in 0..50_000 {
        source.tick(CHANNEL);
    }
    let mut peer = source.peer(0);
    let (numbers, answer) = resent(&mut peer, &request(1, 0));
    assert!(numbers.into_iter().eq(1..=20_000));
    assert_eq!(
        (answer.resend_status, answer.reject_text),
        (ResendStatus::PARTIAL, Text::literal("ask for the rest"))
    );

    // Four that are 5 MB together, while only 1 MiB of private bytes may wait.
    let mut bytes = Vec::new();
    for _ in 0..4 {
        frame::encode(&request(20_001, 40_000), &mut bytes);
    }
    peer.send_bytes(&bytes);
    for _ in 0..4 {
        for number in 20_001..=40_000 {
            assert_eq!(peer.expect::<TickOrder>().appl_seq_num.get(), number);
        }
        assert_eq!(peer.expect::<Resend>().resend_status, ResendStatus::COMPLETE);
    }
    source.stop();
}

#[test]
fn rude_peers_are_told_why_and_disturb_nobody() {
    let mut source = Source::small();
    let mut polite = source.peer(0);
    for (bytes, text) in rude_openings() {
        let before = count(&source.counts().sessions.errors, text);
        let mut rude = Peer::connect(source.served.addresses[0]);
        rude.send_bytes(&bytes);
        let logout = rude.next().expect("a logout").view::<wire::szse::Logout>();
        assert_eq!(logout.text.to_string(), text);
        assert_eq!(rude.next(), None);
        assert_eq!(count(&source.counts().sessions.errors, text), before + 1, "{text}");
    }
    let mut twice = source.peer(0);
    twice.send(&logon("FEED"));
    assert_eq!(twice.expect_logout(SessionStatus::INVALID_MESSAGE), "second logon");

    let mut chatty = source.peer(0);
    let mut unknown = Vec::new();
    frame::encode_with(4711, &mut unknown, |_| Ok::<(), ()>(())).unwrap();
    chatty.send_bytes(&unknown);
    let reject: BusinessReject = chatty.expect();
    assert_eq!((reject.ref_msg_type.get(), reject.ref_seq_num.get()), (4711, 2));
    assert_eq!(source.counts().sessions.rejects, [("unsupported message", 1)]);

    let bytes = source.tick(CHANNEL);
    assert_eq!(polite.next(), Some(Came { msg_type: TickOrder::MSG_TYPE, bytes }));
    source.stop();
}

fn count(counts: &[(&'static str, u64)], text: &str) -> u64 {
    counts.iter().find(|(of, _)| *of == text).map_or(0, |(_, count)| *count)
}

#[test]
fn heartbeats_go_both_ways() {
    let source = Source::small();
    let mut peer = Peer::connect(source.served.addresses[0]);
    peer.send(&Logon { heart_bt_int_s: I32::new(2), ..logon("FEED") });
    peer.expect::<Logon>();
    // Six seconds: one more than it would be borne with, did it say nothing.
    for _ in 0..3 {
        peer.expect::<Heartbeat>();
        peer.send(&Heartbeat);
    }
    // From here on this side says nothing.
    let end = loop {
        match peer.next() {
            Some(came) if came.msg_type == Heartbeat::MSG_TYPE => {}
            end => break end,
        }
    };
    let logout: wire::szse::Logout = end.expect("a logout").view();
    assert_eq!(logout.text.to_string(), "heartbeat timeout");
    source.stop();
}

#[test]
fn each_port_fails_by_itself_and_mends() {
    let mut source = Source::small();
    let [mut first, mut second] = [source.peer(0), source.peer(1)];
    source.command(Command::Port(0, PortState::Mute));
    source.counts();
    let bytes = source.tick(CHANNEL);
    assert_eq!(second.next().unwrap().bytes, bytes);
    source.counts();
    assert!(first.is_silent());
    source.command(Command::Port(0, PortState::Up));
    assert_eq!(first.next().unwrap().bytes, bytes, "a line that was dead goes on where it stood");

    source.command(Command::Port(0, PortState::Cut));
    source.counts();
    first.send(&request(1, 0));
    let bytes = source.tick(CHANNEL);
    assert_eq!(second.next().unwrap().bytes, bytes);
    assert_eq!(source.counts().resends, 0, "it does not hear");
    assert!(first.is_silent());
    source.command(Command::Port(0, PortState::Up));
    let mut numbers = [0; 2].map(|_: i32| first.expect::<TickOrder>().appl_seq_num.get());
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2], "what was published, and the first of what it asked for");

    source.command(Command::Port(0, PortState::Down));
    while first.next().is_some() {}
    assert_eq!(Peer::connect(source.served.addresses[0]).next(), None);
    let bytes = source.tick(CHANNEL);
    assert_eq!(second.next().unwrap().bytes, bytes);
    source.command(Command::Port(0, PortState::Up));
    source.counts();
    source.peer(0);
    source.stop();
}

#[test]
fn draining_logs_everyone_out() {
    let source = Source::small();
    let mut peer = source.peer(0);
    source.served.running.handle().drain();
    let logout: wire::szse::Logout = peer.expect();
    assert_eq!(logout.session_status, SessionStatus::LOGOUT_COMPLETE);
    peer.send(&logout);
    assert_eq!(peer.next(), None);
    source.stop();
}
