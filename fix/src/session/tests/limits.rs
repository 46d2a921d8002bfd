//! Bounds: bursts, gaps that are not filled, stores that forget or fail, allocations, and a peer that says anything.

use proptest::prelude::*;

use super::Play;
use super::harness::Play as AnyPlay;
use crate::codec::{Encoder, Limits};
use crate::session::{Config, Credentials, Identity, LogonRequest, SessionError, Takes, identify};
use crate::store::{FileLimits, FileStore, Mark, Marks, MemoryStore, OnReset, Store, StoreError};
use crate::time::Now;

const LOGON: &str = "
    accept
    > 35=A|34=1|98=0|108=30
    < 35=A|34=1|98=0|108=30";

fn with(change: impl FnOnce(&mut Config)) -> Play {
    let mut config = Config::new("S", "C", Takes::Orders);
    change(&mut config);
    Play::with(config, MemoryStore::new(1 << 20))
}

#[test]
fn sending_again_comes_in_bursts_and_new_messages_wait_behind() {
    let mut play = with(|config| config.resend_burst_bytes = 1);
    play.run(LOGON).run(
        "send e2
        < 35=8|34=2|17=e2
        send e3
        < 35=8|34=3|17=e3
        send e4
        < 35=8|34=4|17=e4
        > 35=2|34=2|7=2|16=3
        < 35=8|34=2|43=Y|122=*|17=e2
        # this one leaves for the first time, when its turn has come
        send e5
        # and says that it left when it did
        wait 5
        # so does an answer of the session's
        > 35=1|34=3|112=HELLO",
    );
    assert!(play.session.has_backlog());
    play.run(
        "resume
        < 35=8|34=3|43=Y|122=*|17=e3
        resume
        < 35=8|34=5|17=e5
        resume
        < 35=0|34=6|112=HELLO
        send e7
        < 35=8|34=7|17=e7",
    );
    assert!(!play.session.has_backlog());
}

#[test]
fn a_second_request_while_the_first_is_answered() {
    with(|config| config.resend_burst_bytes = 1).run(LOGON).run(
        "send e2
        < 35=8|34=2|17=e2
        send e3
        < 35=8|34=3|17=e3
        > 35=2|34=2|7=2|16=0
        < 35=8|34=2|43=Y|122=*|17=e2
        send e4
        > 35=2|34=3|7=2|16=0
        < 35=8|34=2|43=Y|122=*|17=e2
        resume
        < 35=8|34=3|43=Y|122=*|17=e3
        resume
        < 35=8|34=4|17=e4
        resume",
    );
}

#[test]
fn a_gap_that_is_not_filled_is_asked_for_again_and_given_up() {
    with(|config| config.heart_bt_s_max = 600).run(
        "accept
        > 35=A|34=1|98=0|108=600
        < 35=A|34=1|98=0|108=600
        > 35=0|34=4
        < 35=2|34=2|7=2|16=0
        wait 9999
        > 35=0|34=5
        wait 1
        < 35=2|34=3|7=2|16=0
        # getting on counts
        > 35=0|34=2|43=Y|122=time
        wait 10000
        < 35=2|34=4|7=3|16=0
        wait 10000
        < 35=2|34=5|7=3|16=0
        wait 10000
        < 35=5|34=6|58=ResendRequest was not answered
        error ResendRequest was not answered",
    );
}

#[test]
fn a_gap_may_be_too_wide() {
    with(|config| config.gap_max = 10).run(LOGON).run(
        "> 35=0|34=13
        < 35=5|34=2|58=MsgSeqNum too high, expecting 2 but received 13
        error MsgSeqNum too high, expecting 2 but received 13",
    );
}

#[test]
fn resets_may_be_forbidden() {
    with(|config| config.accept_reset = false).run(
        "accept
        > 35=A|34=1|98=0|108=30|141=Y
        < 35=5|34=1|58=ResetSeqNumFlag is not taken
        error ResetSeqNumFlag is not taken",
    );
}

#[test]
fn a_session_may_go_without_heartbeats() {
    with(|config| config.heart_bt_s_min = 0).run(
        "accept
        > 35=A|34=1|98=0|108=0
        < 35=A|34=1|98=0|108=0
        wait 86400000
        > 35=1|34=2|112=HELLO
        < 35=0|34=2|112=HELLO",
    );
}

#[test]
fn applications_may_be_filled_over() {
    with(|config| config.resend_applications = false).run(LOGON).run(
        "send e2
        < 35=8|34=2|17=e2
        > 35=2|34=2|7=1|16=0
        < 35=4|34=1|43=Y|122=*|123=Y|36=3",
    );
}

#[test]
fn what_the_store_no_longer_holds_is_filled_over() {
    let mut play = Play::with(Config::new("S", "C", Takes::Orders), MemoryStore::new(200));
    play.run(LOGON).run(
        "send e2
        < 35=8|34=2|17=e2
        send e3
        < 35=8|34=3|17=e3
        > 35=2|34=2|7=1|16=0
        < 35=4|34=1|43=Y|122=*|123=Y|36=3
        < 35=8|34=3|43=Y|122=*|17=e3",
    );
}

#[test]
fn no_logon_in_time_is_the_end() {
    Play::acceptor().run("accept\n wait 4999\n wait 1\n error no logon in time");
}

#[test]
fn a_session_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("C-S");
    let play = || {
        let store = FileStore::open(&path, FileLimits::default()).expect("open");
        AnyPlay::with(Config::new("S", "C", Takes::Orders), store)
    };
    play().run(LOGON).run(
        "> 35=D|34=2|11=id|ORDER
        app id
        send e2
        < 35=8|34=2|17=e2",
    );
    play().run(
        "accept
        > 35=A|34=3|98=0|108=30
        < 35=A|34=3|98=0|108=30
        > 35=2|34=4|7=1|16=0
        < 35=4|34=1|43=Y|122=*|123=Y|36=2
        < 35=8|34=2|43=Y|122=*|17=e2
        < 35=4|34=3|43=Y|122=*|123=Y|36=4",
    );
}

fn logon(msg_type: &[u8], version: &[u8], parties: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Encoder::begin(&mut out, version, msg_type);
    for (tag, name) in parties {
        message.text(*tag, name);
    }
    message.number(34, 1).number(98, 0).number(108, 30);
    message.finish();
    out
}

#[test]
fn a_connection_is_known_by_its_logon() {
    let limits = Limits::default();
    let both: &[(u32, &[u8])] = &[(49, b"C"), (56, b"S")];
    let whole = logon(b"A", b"FIX.4.4", both);
    for len in 0..whole.len() {
        assert_eq!(identify(&whole[..len], &limits), Ok(None));
    }
    assert_eq!(identify(&whole, &limits), Ok(Some(Identity { peer: b"C", us: b"S" })));
    for (bytes, error) in [
        (logon(b"0", b"FIX.4.4", both), SessionError::NotLogon),
        (logon(b"A", b"FIX.4.2", both), SessionError::WrongSession),
        (logon(b"A", b"FIX.4.4", &both[..1]), SessionError::WrongSession),
        (logon(b"A", b"FIX.4.4", &both[1..]), SessionError::WrongSession),
        (b"GET / HTTP/1.1".to_vec(), SessionError::NotLogon),
    ] {
        assert_eq!(identify(&bytes, &limits), Err(error));
    }
}

#[test]
#[should_panic(expected = "a second connection of a session")]
fn a_session_has_one_connection() {
    Play::acceptor().run("accept\n accept");
}

#[test]
fn credentials_are_compared_whole() {
    let kept = Credentials { username: "user".to_owned(), password: "secret".to_owned() };
    let is_by = |username: &str, password: &str| {
        let (username, password) = (username.as_bytes(), password.as_bytes());
        LogonRequest { username, password, reset: false }.is_by(&kept)
    };
    assert!(is_by("user", "secret"));
    for (username, password) in [
        ("", ""),
        ("user", ""),
        ("user", "secre"),
        ("user", "secret "),
        ("user", "Secret"),
        ("usee", "secret"),
        ("", "secret"),
    ] {
        assert!(!is_by(username, password), "{username} {password}");
    }
    assert!(!format!("{kept:?}").contains("secret"));
}

/// Refuses to keep anything.
#[derive(Default)]
struct Broken(Marks);

impl Store for Broken {
    fn next_sender(&self) -> u64 {
        1
    }
    fn next_target(&self) -> u64 {
        1
    }
    fn append(&mut self, _message: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }
    fn set_next_target(&mut self, _number: u64) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }
    fn read(&mut self, _number: u64, _out: &mut Vec<u8>) -> Result<bool, StoreError> {
        Err(StoreError::Full)
    }
    fn marks(&self) -> &Marks {
        &self.0
    }
    fn set_mark(&mut self, _mark: Mark) {}
    fn reset(&mut self, _marks: OnReset) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }
    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_kept_is_not_sent() {
    AnyPlay::with(Config::new("S", "C", Takes::Orders), Broken::default()).run(
        "accept
        > 35=A|34=1|98=0|108=30
        error the store is full",
    );
}

/// Between two sessions of ours: an order in, a report out.
#[test]
fn an_order_and_its_report_allocate_nothing() {
    let mut play = Play::acceptor();
    play.run(LOGON);
    let order = |number: u64| {
        let mut bytes = Vec::new();
        let mut message = Encoder::begin(&mut bytes, b"FIX.4.4", b"D");
        message.text(49, b"C").text(56, b"S").number(34, number).time(52, play.now.utc());
        message.text(11, b"id").text(55, b"000001").text(54, b"1").time(60, play.now.utc());
        message.text(38, b"100").text(40, b"1");
        message.finish();
        bytes
    };
    let orders: Vec<_> = (2..200).map(order).collect();
    let (session, now, mut out) = (&mut play.session, play.now, Vec::with_capacity(1 << 20));
    let mut turn = |bytes: &[u8]| {
        let received = session.receive(bytes, now, &mut out).expect("taken").expect("whole");
        let crate::session::Event::Application { message, .. } = received.event else { panic!("an order") };
        let order = crate::message::NewOrderSingle::parse(&message).expect("an order");
        let reason = crate::message::OrdRejReason::Broker;
        let report = crate::message::ExecutionReport::refusal(&order, b"e", reason, "", now.utc());
        session.send(&report, now, &mut out).expect("kept");
    };
    // The memory store's buffers double now and then.
    orders[..130].iter().for_each(|bytes| turn(bytes));
    let info = allocation_counter::measure(|| orders[130..140].iter().for_each(|bytes| turn(bytes)));
    assert_eq!(info.count_total, 0);
}

proptest! {
    /// A peer that is logged on and says anything, well framed or not: no panic, and what comes out is whole.
    #[test]
    fn a_peer_may_say_anything(
        lines in prop::collection::vec((0_usize..14, 0_u64..9, 0_u64..12, prop::collection::vec(any::<u8>(), 0..30), 0_u64..20_000), 0..30),
        reset in any::<bool>(),
    ) {
        let mut play = with(|config| config.resend_burst_bytes = 100);
        play.run(LOGON);
        for (kind, number, other, noise, ms) in lines {
            let types: [&[u8]; 14] =
                [b"0", b"1", b"2", b"3", b"4", b"5", b"A", b"D", b"F", b"8", b"j", b"*", b"AE", b"H"];
            let mut bytes = Vec::new();
            let mut message = Encoder::begin(&mut bytes, b"FIX.4.4", types[kind]);
            message.text(49, b"C").text(56, b"S").number(34, number + 1).time(52, play.now.utc());
            message.flag(43, other % 3 == 0).time(122, play.now.utc()).number(7, other).number(16, number);
            message.number(36, other).flag(123, number % 2 == 0).fields(&noise);
            message.flag(141, reset).number(98, 0).number(108, 30);
            message.finish();
            let bytes = if other == 11 { noise } else { bytes };
            let mut out = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match play.session.receive(rest, play.now, &mut out) {
                    Ok(Some(received)) => rest = &rest[received.consumed..],
                    Ok(None) => break,
                    Err(SessionError::Closed) => return Ok(()),
                    Err(_) => break,
                }
            }
            play.now = Now { ns: play.now.ns + ms * 1_000_000, wall_ns: play.now.wall_ns + ms * 1_000_000 };
            let timeout = play.session.on_timeout(play.now, &mut out);
            prop_assert!(timeout.is_ok() || !play.session.is_connected());
            prop_assert!(play.session.resume(play.now, &mut out).is_ok());
            let mut rest = &out[..];
            while !rest.is_empty() {
                let decoded = crate::codec::decode(rest, &play.session.config().limits);
                let crate::codec::Decoded::Message(message) = decoded else { panic!("half a message") };
                rest = &rest[message.bytes.len()..];
            }
        }
    }
}
