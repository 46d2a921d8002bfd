//! Two ends talk through byte buffers; time is a number.

use super::*;
use crate::szse::DecodeError;
use crate::szse::code::VERSION_TRADING;
use crate::szse::market::ChannelHeartbeat;

const S: u64 = NS_PER_S;
const MS: u64 = NS_PER_MS;

fn logon(heart_bt_s: i32) -> Logon {
    Logon {
        sender_comp_id: Text::literal("broker"),
        target_comp_id: Text::literal("exchange"),
        heart_bt_int_s: I32::new(heart_bt_s),
        password: Password::new(b"secret").unwrap(),
        default_appl_ver_id: VERSION_TRADING,
    }
}

fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(message, &mut out);
    out
}

fn logout_in(out: &[u8]) -> (SessionStatus, String) {
    let frame = frame::decode(out, 204).unwrap().expect("a whole logout");
    assert_eq!(frame.bytes.len(), out.len(), "nothing but the logout");
    let logout = frame.view::<Logout>().unwrap();
    (logout.session_status, logout.text.to_string())
}

/// An acceptor that is logged on at time 0 with the given interval.
fn active(heart_bt_s: i32) -> Session {
    let mut session = Session::acceptor(Limits::default(), 0);
    let mut out = Vec::new();
    session.receive(&bytes_of(&logon(heart_bt_s)), 0, &mut out).unwrap().unwrap();
    session.accept(VERSION_TRADING, 0, &mut out);
    session
}

#[test]
fn logon_messages_logout() {
    let (mut to_acceptor, mut to_initiator) = (Vec::new(), Vec::new());
    let mut acceptor = Session::acceptor(Limits::default(), 0);
    let mut initiator = Session::initiator(Limits::default(), &logon(3), 0, &mut to_acceptor);

    let received = acceptor.receive(&to_acceptor, MS, &mut to_initiator).unwrap().unwrap();
    assert_eq!(received.consumed, to_acceptor.len());
    let Event::LogonRequest(request) = received.event else { panic!("{received:?}") };
    assert_eq!(request, &logon(3));
    assert!(!acceptor.is_active() && to_initiator.is_empty());
    acceptor.accept(VERSION_TRADING, MS, &mut to_initiator);
    assert!(acceptor.is_active());

    let received = initiator.receive(&to_initiator, 2 * MS, &mut to_acceptor).unwrap().unwrap();
    let Event::LoggedOn(answer) = received.event else { panic!("{received:?}") };
    assert_eq!(answer.sender_comp_id, logon(3).target_comp_id);
    assert_eq!(answer.password, Password::default());
    assert_eq!(answer.heart_bt_int_s.get(), 3);

    to_acceptor = bytes_of(&ChannelHeartbeat::default());
    let received = acceptor.receive(&to_acceptor, 3 * MS, &mut to_initiator).unwrap().unwrap();
    assert!(matches!(received.event, Event::Message(frame) if frame.msg_type == ChannelHeartbeat::MSG_TYPE));

    to_acceptor.clear();
    initiator.log_out(SessionStatus::LOGOUT_COMPLETE, "bye", 4 * MS, &mut to_acceptor);
    assert!(!initiator.is_active() && !initiator.is_closed());
    to_initiator.clear();
    let received = acceptor.receive(&to_acceptor, 5 * MS, &mut to_initiator).unwrap().unwrap();
    assert!(matches!(received.event, Event::LoggedOut(logout) if logout.text.trimmed() == b"bye"));
    assert!(acceptor.is_closed());
    let received = initiator.receive(&to_initiator, 6 * MS, &mut to_acceptor).unwrap().unwrap();
    assert!(matches!(received.event, Event::LoggedOut(_)));
    assert!(initiator.is_closed());
    assert_eq!((acceptor.received(), initiator.received()), (3, 2));
}

#[test]
fn crossing_logouts_end_both_sides_without_a_third() {
    let mut session = active(3);
    let mut out = Vec::new();
    session.log_out(SessionStatus::LOGOUT_COMPLETE, "", 0, &mut out);
    let before = out.len();
    let logout = bytes_of(&Logout { session_status: SessionStatus::LOGOUT_COMPLETE, text: Text::BLANK });
    session.receive(&logout, 0, &mut out).unwrap().unwrap();
    assert!(session.is_closed());
    assert_eq!(out.len(), before);
}

#[test]
fn a_connection_without_logon_is_closed_at_the_deadline() {
    let mut session = Session::acceptor(Limits::default(), 10);
    let mut out = Vec::new();
    assert_eq!(session.next_timeout_ns(), 10 + 5 * S);
    assert_eq!(session.on_timeout(9 + 5 * S, &mut out), Ok(()));
    assert_eq!(session.on_timeout(10 + 5 * S, &mut out), Err(SessionError::LogonTimeout));
    assert_eq!(logout_in(&out), (SessionStatus::OTHER, "logon timeout".into()));
    assert_eq!(session.next_timeout_ns(), u64::MAX);
}

#[test]
fn bytes_that_make_no_frame_do_not_move_the_logon_deadline() {
    let mut session = Session::acceptor(Limits::default(), 0);
    let mut out = Vec::new();
    let logon = bytes_of(&logon(3));
    assert!(session.receive(&logon[..50], 4 * S, &mut out).unwrap().is_none());
    assert_eq!(session.next_timeout_ns(), 5 * S);
}

#[test]
fn an_undecided_logon_and_an_unanswered_one_run_into_the_same_deadline() {
    let mut out = Vec::new();
    let mut acceptor = Session::acceptor(Limits::default(), 0);
    acceptor.receive(&bytes_of(&logon(3)), 4 * S, &mut out).unwrap().unwrap();
    assert_eq!(acceptor.on_timeout(5 * S, &mut out), Err(SessionError::LogonTimeout));
    let mut initiator = Session::initiator(Limits::default(), &logon(3), 0, &mut out);
    assert_eq!(initiator.on_timeout(5 * S, &mut out), Err(SessionError::LogonTimeout));
}

#[test]
fn heartbeats_go_out_when_nothing_else_does() {
    let mut session = active(3);
    let mut out = Vec::new();
    assert_eq!(session.next_timeout_ns(), 3 * S);
    session.sent(S);
    assert_eq!(session.next_timeout_ns(), 4 * S);
    session.on_timeout(4 * S, &mut out).unwrap();
    assert_eq!(out, bytes_of(&Heartbeat));
    session.on_timeout(4 * S, &mut out).unwrap();
    assert_eq!(out.len(), 12, "one heartbeat an interval");
}

#[test]
fn a_silent_peer_is_dead_after_two_intervals_and_the_slack() {
    let mut session = active(3);
    let mut out = Vec::new();
    session.receive(&bytes_of(&Heartbeat), S, &mut out).unwrap().unwrap();
    let dead_ns = S + 2 * 3 * S + S;
    session.sent(dead_ns);
    assert_eq!(session.next_timeout_ns(), dead_ns);
    assert_eq!(session.on_timeout(dead_ns - 1, &mut out), Ok(()));
    assert_eq!(session.on_timeout(dead_ns, &mut out), Err(SessionError::PeerSilent));
    assert_eq!(logout_in(&out), (SessionStatus::OTHER, "heartbeat timeout".into()));
}

#[test]
fn the_interval_is_the_nearest_within_the_limits() {
    for (stated_s, in_force_s) in [(i32::MIN, 1), (0, 1), (1, 1), (30, 30), (61, 60), (i32::MAX, 60)] {
        let mut session = Session::acceptor(Limits::default(), 0);
        let mut out = Vec::new();
        session.receive(&bytes_of(&logon(stated_s)), 0, &mut out).unwrap().unwrap();
        session.accept(VERSION_TRADING, 0, &mut out);
        let answer = frame::decode(&out, 92).unwrap().unwrap();
        assert_eq!(answer.view::<Logon>().unwrap().heart_bt_int_s.get(), in_force_s);
        assert_eq!(session.next_timeout_ns(), u64::from(in_force_s.unsigned_abs()) * S);
    }
}

#[test]
fn an_initiator_takes_the_answers_interval_or_none() {
    let answer = |heart_bt_s| Logon {
        sender_comp_id: Text::literal("exchange"),
        target_comp_id: Text::literal("broker"),
        heart_bt_int_s: I32::new(heart_bt_s),
        ..Logon::default()
    };
    let mut out = Vec::new();
    let mut session = Session::initiator(Limits::default(), &logon(3), 0, &mut out);
    session.receive(&bytes_of(&answer(10)), 0, &mut out).unwrap().unwrap();
    assert_eq!(session.next_timeout_ns(), 10 * S);

    for stated_s in [0, -1, 61] {
        out.clear();
        let mut session = Session::initiator(Limits::default(), &logon(3), 0, &mut out);
        out.clear();
        let error = session.receive(&bytes_of(&answer(stated_s)), 0, &mut out).unwrap_err();
        assert_eq!(error, SessionError::HeartBtInt { stated_s });
        assert_eq!(logout_in(&out).1, "HeartBtInt out of range");
    }
}

#[test]
fn an_answer_from_someone_else_is_not_taken() {
    let mut out = Vec::new();
    let mut session = Session::initiator(Limits::default(), &logon(3), 0, &mut out);
    out.clear();
    assert_eq!(session.receive(&bytes_of(&logon(3)), 0, &mut out).unwrap_err(), SessionError::CompId);
    assert_eq!(logout_in(&out), (SessionStatus::INVALID_CREDENTIALS, "unexpected CompID".into()));
}

#[test]
fn a_refused_logon_ends_both_sides() {
    let (mut to_acceptor, mut to_initiator) = (Vec::new(), Vec::new());
    let mut acceptor = Session::acceptor(Limits::default(), 0);
    let mut initiator = Session::initiator(Limits::default(), &logon(3), 0, &mut to_acceptor);
    acceptor.receive(&to_acceptor, 0, &mut to_initiator).unwrap().unwrap();
    acceptor.refuse(LogonRefusal::Credentials, &mut to_initiator);
    assert!(acceptor.is_closed());
    assert_eq!(
        logout_in(&to_initiator),
        (SessionStatus::INVALID_CREDENTIALS, "wrong CompID or password".into())
    );
    to_acceptor.clear();
    let received = initiator.receive(&to_initiator, 0, &mut to_acceptor).unwrap().unwrap();
    assert!(matches!(received.event, Event::LogonRefused(_)));
    assert!(initiator.is_closed() && to_acceptor.is_empty());
}

#[test]
fn nothing_comes_before_the_logon() {
    for bytes in [bytes_of(&Heartbeat), bytes_of(&ChannelHeartbeat::default())] {
        let mut session = Session::acceptor(Limits::default(), 0);
        let mut out = Vec::new();
        let error = session.receive(&bytes, 0, &mut out).unwrap_err();
        assert!(matches!(error, SessionError::MessageBeforeLogon { .. }));
        assert_eq!(logout_in(&out), (SessionStatus::INVALID_MESSAGE, "message before logon".into()));
        assert_eq!(session.receive(&bytes, 0, &mut out).unwrap_err(), SessionError::Closed);
    }
}

#[test]
fn a_second_logon_ends_the_session() {
    let mut session = active(3);
    let mut out = Vec::new();
    assert_eq!(session.receive(&bytes_of(&logon(3)), 0, &mut out).unwrap_err(), SessionError::SecondLogon);
    assert_eq!(logout_in(&out), (SessionStatus::INVALID_MESSAGE, "second logon".into()));

    let mut undecided = Session::acceptor(Limits::default(), 0);
    let twice = [bytes_of(&logon(3)), bytes_of(&logon(3))].concat();
    let consumed = undecided.receive(&twice, 0, &mut out).unwrap().unwrap().consumed;
    assert_eq!(undecided.receive(&twice[consumed..], 0, &mut out).unwrap_err(), SessionError::SecondLogon);
}

#[test]
fn frames_are_small_before_the_logon_and_bounded_after_it() {
    let header = |len: u32| [&7_u32.to_be_bytes()[..], &len.to_be_bytes()].concat();
    let mut out = Vec::new();
    let error = Session::acceptor(Limits::default(), 0).receive(&header(205), 0, &mut out).unwrap_err();
    assert_eq!(error, SessionError::Frame(DecodeError::Oversize { len: 205, max: 204 }));
    assert_eq!(logout_in(&out).1, "frame too large");
    assert!(active(3).receive(&header(32 * 1024), 0, &mut out).unwrap().is_none());
    assert!(active(3).receive(&header(32 * 1024 + 1), 0, &mut out).is_err());
}

#[test]
fn an_admin_message_of_the_wrong_length_is_an_error() {
    let mut out = Vec::new();
    for msg_type in [1, 2, 3] {
        let mut bytes = Vec::new();
        frame::encode_with(msg_type, &mut bytes, |body| {
            body.push(0);
            Ok::<(), ()>(())
        })
        .unwrap();
        out.clear();
        let error = active(3).receive(&bytes, 0, &mut out).unwrap_err();
        assert_eq!(error, SessionError::Frame(DecodeError::BodyLength { msg_type, len: 1 }));
        assert_eq!(logout_in(&out).1, "wrong body length");
    }
}

#[test]
fn an_unanswered_logout_ends_at_its_deadline_and_messages_come_until_then() {
    let mut session = active(3);
    let mut out = Vec::new();
    session.log_out(SessionStatus::LOGON_NOT_ALLOWED, "closing down", S, &mut out);
    let sent = out.len();
    session.log_out(SessionStatus::LOGON_NOT_ALLOWED, "closing down", S, &mut out);
    session.receive(&bytes_of(&ChannelHeartbeat::default()), S, &mut out).unwrap().unwrap();
    assert_eq!(session.next_timeout_ns(), 3 * S);
    assert_eq!(session.on_timeout(3 * S, &mut out), Err(SessionError::LogoutTimeout));
    assert_eq!(out.len(), sent, "one logout is enough");
}

#[test]
fn before_the_logon_a_logout_ends_at_once() {
    let mut session = Session::acceptor(Limits::default(), 0);
    let mut out = Vec::new();
    session.log_out(SessionStatus::LOGON_NOT_ALLOWED, "closing down", 0, &mut out);
    assert!(session.is_closed());
    assert_eq!(logout_in(&out), (SessionStatus::LOGON_NOT_ALLOWED, "closing down".into()));
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 128, "{}", size_of::<Session>());
}
