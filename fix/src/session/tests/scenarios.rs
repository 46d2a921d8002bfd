//! What the FIX 4.4 session test cases ask for; the numbers in the names are theirs. The acceptor's end unless said.

use super::Play;
use crate::session::{Config, Credentials, Takes};
use crate::store::MemoryStore;

const LOGON: &str = "
    accept
    > 35=A|34=1|98=0|108=30
    < 35=A|34=1|98=0|108=30";

/// Plays `script` after a logon.
fn after_logon(script: &str) {
    Play::acceptor().run(LOGON).run(script);
}

#[test]
fn s1a_a_logon_is_answered() {
    after_logon("> 35=5|34=2\n < 35=5|34=2\n logged out");
}

#[test]
fn s1a_a_logon_beyond_a_gap_is_answered_and_the_gap_asked_for() {
    Play::acceptor().run(
        "accept
        > 35=A|34=5|98=0|108=30
        < 35=A|34=1|98=0|108=30
        < 35=2|34=2|7=1|16=0
        > 35=4|34=1|43=Y|122=time|123=Y|36=6
        > 35=D|34=6|11=id|ORDER
        app id",
    );
}

#[test]
fn s1c_s1d_s1e_who_is_not_known_gets_no_answer() {
    for (logon, error) in [
        ("> 35=A|34=1|49=X|98=0|108=30", "error the logon is not for this session"),
        ("> 35=A|34=1|56=X|98=0|108=30", "error the logon is not for this session"),
        ("> 35=A|34=1|8=FIX.4.2|98=0|108=30", "error the logon is not for this session"),
        ("> 35=A|34=1|52=20010101-00:00:00|98=0|108=30", "error the logon is not valid"),
        ("> 35=A|34=1|98=0", "error the logon is not valid"),
        ("> 35=0|34=1", "error the first message is not a logon"),
        ("raw 8=FIX.4.4|9=5|35=A|34=1|10=000|", "error the first message is not a logon"),
    ] {
        Play::acceptor().run(&format!("accept\n {logon}\n {error}"));
    }
}

#[test]
fn a_logon_that_cannot_be_taken_is_told_why() {
    for (logon, why) in [
        ("> 35=A|34=1|98=1|108=30", "EncryptMethod is not supported"),
        ("> 35=A|34=1|98=0|108=0", "HeartBtInt 0 is not from 1 to 120"),
        ("> 35=A|34=1|98=0|108=121", "HeartBtInt 121 is not from 1 to 120"),
        ("> 35=A|34=2|98=0|108=30|141=Y", "ResetSeqNumFlag is not taken"),
    ] {
        Play::acceptor().run(&format!("accept\n {logon}\n < 35=5|34=1|58={why}\n error {why}"));
    }
}

#[test]
fn a_refused_logon_gets_a_reason_and_the_next_one_goes_on() {
    Play::acceptor().run(
        "accept
        > 35=A|34=1|98=0|108=30|553=wait|554=wrong
        refuse Username or Password is wrong
        < 35=5|34=1|58=Username or Password is wrong
        close
        accept
        > 35=A|34=2|98=0|108=30
        < 35=A|34=2|98=0|108=30
        < 35=2|34=3|7=1|16=0
        > 35=4|34=1|43=Y|122=time|123=Y|36=3
        > 35=D|34=3|11=id|ORDER
        app id",
    );
}

#[test]
fn s2b_what_is_beyond_a_gap_is_dropped_and_asked_for_once() {
    after_logon(
        "> 35=0|34=2
        > 35=D|34=5|11=5|ORDER
        < 35=2|34=2|7=3|16=0
        > 35=D|34=6|11=6|ORDER
        > 35=D|34=3|43=Y|122=time|11=3|ORDER
        app 3 again
        > 35=4|34=4|43=Y|122=time|123=Y|36=5
        > 35=D|34=5|43=Y|122=time|11=5|ORDER
        app 5 again
        > 35=D|34=6|43=Y|122=time|11=6|ORDER
        app 6 again
        > 35=D|34=7|11=7|ORDER
        app 7
        # another gap is another question
        > 35=D|34=9|11=9|ORDER
        < 35=2|34=3|7=8|16=0",
    );
}

#[test]
fn s2b_a_peer_that_fills_only_the_hole_is_asked_for_the_rest() {
    after_logon(
        "> 35=1|34=3|112=HELLO1
        < 35=2|34=2|7=2|16=0
        > 35=D|34=2|43=Y|122=time|11=2|ORDER
        app 2 again
        > 35=1|34=4|112=HELLO2
        < 35=2|34=3|7=3|16=0
        > 35=4|34=3|43=Y|122=time|123=Y|36=5
        > 35=1|34=5|112=HELLO3
        < 35=0|34=4|112=HELLO3",
    );
}

#[test]
fn s2c_a_number_that_was_had_ends_the_session() {
    after_logon(
        "> 35=0|34=2
        > 35=0|34=3
        > 35=0|34=2
        < 35=5|34=2|58=MsgSeqNum too low, expecting 4 but received 2
        error MsgSeqNum too low, expecting 4 but received 2",
    );
    after_logon("> 35=0\n < 35=5|34=2|58=MsgSeqNum missing\n error MsgSeqNum missing");
}

#[test]
fn s2d_s3b_s3c_garbled_messages_are_as_if_they_had_not_come() {
    let mut play = Play::acceptor();
    play.run(LOGON).run(
        "raw 8=FIX.4.4|9=52|35=0|34=2|10=000|
        raw 8=FIX.4.4|9=16|35=0|34=2|4x9=C|10=018|
        raw noise
        > 35=0|34=2
        raw 8=FIX.4.4|9=10|35=D|34=3|10=256|
        > 35=0|34=4
        < 35=2|34=2|7=3|16=0",
    );
    assert_eq!(play.session.counters().garbled, 4);
}

#[test]
fn s2e_repetitions_are_dropped_if_they_were_had() {
    after_logon(
        "> 35=D|34=2|11=2|ORDER
        app 2
        > 35=D|34=2|43=Y|122=time|11=2|ORDER
        > 35=D|34=3|43=Y|122=time|11=3|ORDER
        app 3 again
        > 35=D|34=4|97=Y|11=4|ORDER
        app 4 again",
    );
}

#[test]
fn s2f_s2g_a_repetition_says_when_it_was_first_sent() {
    after_logon(
        "> 35=D|34=2|11=2|ORDER
        app 2
        > 35=D|34=2|43=Y|11=2|ORDER
        < 35=3|34=2|45=2|371=122|372=D|373=1|58=Required tag missing
        > 35=D|34=2|43=Y|122=time+10|11=2|ORDER
        < 35=3|34=3|45=2|372=D|373=10|58=SendingTime accuracy problem
        < 35=5|34=4
        > 35=5|34=3
        logged out",
    );
}

#[test]
fn s2i_s2k_s2o_what_cannot_be_from_this_peer_ends_the_session() {
    for (message, said) in [
        ("35=1|34=2|8=FIX.4.1|112=id", "< 35=5|34=2|58=Incorrect BeginString"),
        ("35=D|34=2|49=X|11=id|ORDER", "< 35=3|34=2|45=2|372=D|373=9|58=CompID problem\n < 35=5|34=3"),
        ("35=D|34=2|56=X|11=id|ORDER", "< 35=3|34=2|45=2|372=D|373=9|58=CompID problem\n < 35=5|34=3"),
        (
            "35=0|34=2|52=time-121",
            "< 35=3|34=2|45=2|372=0|373=10|58=SendingTime accuracy problem\n < 35=5|34=3",
        ),
        (
            "35=0|34=2|52=time+121",
            "< 35=3|34=2|45=2|372=0|373=10|58=SendingTime accuracy problem\n < 35=5|34=3",
        ),
    ] {
        after_logon(&format!("> {message}\n {said}\n > 35=5|34=3\n logged out"));
        after_logon(&format!("> {message}\n {said}\n wait 2000\n error no answer to the logout in time"));
    }
}

#[test]
fn s2q_s2r_s14_what_is_wrong_with_a_message_is_named_and_the_session_goes_on() {
    for (message, said) in [
        ("35=*", "35=3|34=2|45=2|372=*|373=11|58=Invalid MsgType"),
        ("35=8|37=o|17=e", "35=j|34=2|45=2|372=8|380=3|58=Unsupported Message Type"),
        ("35=AE", "35=j|34=2|45=2|372=AE|380=3|58=Unsupported Message Type"),
        ("35=0|999=HI", "35=3|34=2|45=2|371=999|372=0|373=0|58=Invalid tag number"),
        ("35=0|0=HI", "35=3|34=2|45=2|371=0|372=0|373=0|58=Invalid tag number"),
        ("35=0|-1=HI", "35=3|34=2|45=2|371=-1|372=0|373=0|58=Invalid tag number"),
        ("35=D|11=id|55=1|54=1|60=time|38=1", "35=3|34=2|45=2|371=40|372=D|373=1|58=Required tag missing"),
        ("35=0|55=MSFT", "35=3|34=2|45=2|371=55|372=0|373=2|58=Tag not defined for this message type"),
        ("35=0|56=|49=C", "35=3|34=2|45=2|371=56|372=0|373=4|58=Tag specified without a value"),
        (
            "35=D|11=id|ORDER|21=4",
            "35=3|34=2|45=2|371=21|372=D|373=5|58=Value is incorrect (out of range) for this tag",
        ),
        ("35=D|11=id|ORDER|44=+2", "35=3|34=2|45=2|371=44|372=D|373=6|58=Incorrect data format for value"),
        ("35=D|11=id|ORDER|43=Y", "35=3|34=2|45=2|371=122|372=D|373=1|58=Required tag missing"),
        (
            "35=D|11=id|ORDER|97=Y",
            "35=3|34=2|45=2|371=97|372=D|373=14|58=Tag specified out of required order",
        ),
        ("35=D|11=id|ORDER|40=2", "35=3|34=2|45=2|371=40|372=D|373=13|58=Tag appears more than once"),
        ("35=1", "35=3|34=2|45=2|371=112|372=1|373=1|58=Required tag missing"),
    ] {
        let (kind, fields) = message.split_once('|').unwrap_or((message, ""));
        after_logon(&format!("> {kind}|34=2|{fields}\n < {said}\n > 35=D|34=3|11=on|ORDER\n app on"));
    }
}

#[test]
fn s15_fields_may_come_in_any_order_within_header_and_body() {
    after_logon("> 35=D|49=C|34=2|56=S|52=time|40=1|55=1|60=time|54=1|38=7|11=id\n app id");
}

#[test]
fn s4_heartbeats_go_out_when_nothing_else_does() {
    after_logon(
        "wait 29999
        > 35=0|34=2
        wait 1
        < 35=0|34=2
        wait 10000
        send e
        < 35=8|34=3|17=e
        > 35=0|34=3
        wait 29999
        wait 1
        < 35=0|34=4
        > 35=1|34=4|112=HELLO
        < 35=0|34=5|112=HELLO",
    );
}

#[test]
fn s6_a_silent_peer_is_tested_and_then_given_up() {
    after_logon(
        "wait 36000
        < 35=0|34=2
        < 35=1|34=3|112=*
        > 35=0|34=2|112=any
        wait 36000
        < 35=0|34=4
        < 35=1|34=5|112=*
        wait 36000
        < 35=0|34=6
        < 35=5|34=7|58=no heartbeat in time
        error no heartbeat in time",
    );
}

#[test]
fn s7_a_reject_is_handed_on_and_counted() {
    after_logon("> 35=3|34=2|45=1\n rejected 1\n > 35=0|34=3\n > 35=5|34=4\n < 35=5|34=2\n logged out");
}

#[test]
fn s8_admin_messages_are_gap_filled_and_others_sent_again() {
    after_logon(
        "> 35=1|34=2|112=HELLO
        < 35=0|34=2|112=HELLO
        send e3
        < 35=8|34=3|17=e3
        send e4
        < 35=8|34=4|17=e4
        > 35=1|34=3|112=HELLO
        < 35=0|34=5|112=HELLO
        send e6
        < 35=8|34=6|17=e6
        # only session messages
        > 35=2|34=4|7=1|16=2
        < 35=4|34=1|43=Y|122=*|123=Y|36=3
        # both
        > 35=2|34=5|7=2|16=5
        < 35=4|34=2|43=Y|122=*|123=Y|36=3
        < 35=8|34=3|43=Y|122=*|17=e3
        < 35=8|34=4|43=Y|122=*|17=e4
        < 35=4|34=5|43=Y|122=*|123=Y|36=6
        # to infinity
        > 35=2|34=6|7=4|16=0
        < 35=8|34=4|43=Y|122=*|17=e4
        < 35=4|34=5|43=Y|122=*|123=Y|36=6
        < 35=8|34=6|43=Y|122=*|17=e6
        # beyond the last: as if to infinity
        > 35=2|34=7|7=6|16=99
        < 35=8|34=6|43=Y|122=*|17=e6
        # our own numbers went on
        > 35=1|34=8|112=HELLO
        < 35=0|34=7|112=HELLO",
    );
}

#[test]
fn s8_a_request_for_what_never_was_is_refused() {
    let wrong = "58=Value is incorrect (out of range) for this tag";
    after_logon(&format!(
        "> 35=2|34=2|7=9|16=0
        < 35=3|34=2|45=2|371=7|372=2|373=5|{wrong}
        > 35=2|34=3|7=0|16=0
        < 35=3|34=3|45=3|371=7|372=2|373=5|{wrong}
        > 35=2|34=4|7=2|16=1
        < 35=3|34=4|45=4|371=16|372=2|373=5|{wrong}
        # a reject is worth sending again
        > 35=2|34=5|7=4|16=0
        < 35=3|34=4|43=Y|122=*|45=4|371=16|372=2|373=5|{wrong}"
    ));
}

#[test]
fn s10_a_gap_fill_moves_on_from_its_own_number() {
    after_logon("> 35=4|34=2|36=20|123=Y\n > 35=1|34=20|112=HELLO\n < 35=0|34=2|112=HELLO");
    after_logon("> 35=4|34=10|36=20|123=Y\n < 35=2|34=2|7=2|16=0");
    after_logon(
        "> 35=4|34=1|43=Y|122=time|36=20|123=Y
        > 35=1|34=2|112=HELLO
        < 35=0|34=2|112=HELLO
        > 35=4|34=1|36=20|123=Y
        < 35=5|34=3|58=MsgSeqNum too low, expecting 3 but received 1
        error MsgSeqNum too low, expecting 3 but received 1",
    );
    after_logon(
        "> 35=4|34=2|36=2|123=Y
        < 35=3|34=2|45=2|371=36|372=4|373=5|58=Value is incorrect (out of range) for this tag",
    );
}

#[test]
fn s11_a_reset_moves_forward_whatever_its_number() {
    after_logon(
        "> 35=4|34=0|36=25
        > 35=1|34=25|112=HELLO
        < 35=0|34=2|112=HELLO
        > 35=4|34=999|36=26|123=N
        > 35=4|34=0|36=1
        < 35=3|34=3|45=0|371=36|372=4|373=5|58=Value is incorrect (out of range) for this tag
        > 35=4|34=0
        < 35=3|34=4|45=0|371=36|372=4|373=1|58=Required tag missing
        > 35=1|34=26|112=HELLO
        < 35=0|34=5|112=HELLO",
    );
}

#[test]
fn s13_a_logout_of_ours_waits_for_the_peers() {
    after_logon(
        "log out end of day
        < 35=5|34=2|58=end of day
        > 35=D|34=2|11=id|ORDER
        app id
        > 35=5|34=3
        logged out",
    );
    after_logon(
        "log out
        < 35=5|34=2
        wait 2000
        error no answer to the logout in time",
    );
}

#[test]
fn s20_two_gaps_at_once_do_not_wait_for_each_other() {
    after_logon(
        "send e2
        < 35=8|34=2|17=e2
        > 35=0|34=7
        < 35=2|34=3|7=2|16=0
        > 35=2|34=8|7=2|16=2
        < 35=8|34=2|43=Y|122=*|17=e2
        > 35=4|34=2|43=Y|122=time|123=Y|36=9
        > 35=D|34=9|11=id|ORDER
        app id",
    );
}

#[test]
fn a_second_logon_ends_the_session_unless_it_resets() {
    after_logon("> 35=A|34=2|98=0|108=30\n < 35=5|34=2|58=logged on already\n error logged on already");
    after_logon(
        "> 35=0|34=2
        send e2
        < 35=8|34=2|17=e2
        > 35=A|34=1|98=0|108=30|141=Y
        < 35=A|34=1|98=0|108=30|141=Y
        > 35=D|34=2|11=id|ORDER
        app id
        send e2
        < 35=8|34=2|17=e2",
    );
}

#[test]
fn numbers_go_on_over_connections_and_what_was_missed_is_sent() {
    after_logon(
        "> 35=D|34=2|11=id|ORDER
        app id
        send e2
        < 35=8|34=2|17=e2
        close
        # kept, and asked for later
        send e3
        accept
        > 35=A|34=3|98=0|108=30
        < 35=A|34=4|98=0|108=30
        > 35=2|34=4|7=3|16=0
        < 35=8|34=3|43=Y|122=*|17=e3
        < 35=4|34=4|43=Y|122=*|123=Y|36=5
        close
        accept
        > 35=A|34=2|98=0|108=30
        < 35=5|34=5|58=MsgSeqNum too low, expecting 5 but received 2
        error MsgSeqNum too low, expecting 5 but received 2
        close
        # a reset makes it good
        accept
        > 35=A|34=1|98=0|108=30|141=Y
        < 35=A|34=1|98=0|108=30|141=Y
        send e2
        < 35=8|34=2|17=e2",
    );
}

fn initiator(reset: bool) -> Play {
    let mut config = Config::new("S", "C", Takes::Reports);
    config.credentials = Some(Credentials { username: "user".to_owned(), password: "secret".to_owned() });
    config.reset_on_logon = reset;
    Play::with(config, MemoryStore::new(1 << 20))
}

#[test]
fn an_initiator_logs_on_and_numbers_go_on() {
    initiator(false).run(
        "connect
        < 35=A|34=1|98=0|108=30|553=user|554=secret
        > 35=A|34=1|98=0|108=30
        logged on
        > 35=8|34=2|37=o|17=e2|150=0|39=0|55=1|54=1|151=0|14=0|6=0
        app e2
        > 35=D|34=3|11=id|ORDER
        < 35=j|34=2|45=3|372=D|380=3|58=Unsupported Message Type
        > 35=5|34=4
        < 35=5|34=3
        logged out
        connect
        < 35=A|34=4|98=0|108=30|553=user|554=secret
        > 35=A|34=6|98=0|108=30
        < 35=2|34=5|7=5|16=0
        logged on",
    );
}

#[test]
fn an_initiator_that_resets_begins_at_1() {
    initiator(true).run(
        "connect
        < 35=A|34=1|98=0|108=30|141=Y|553=user|554=secret
        > 35=A|34=1|98=0|108=30|141=Y
        logged on
        close
        connect
        < 35=A|34=1|98=0|108=30|141=Y|553=user|554=secret
        > 35=A|34=1|98=0|108=30|141=Y
        logged on",
    );
}

#[test]
fn an_initiator_hears_why_it_is_refused() {
    initiator(false).run(
        "connect
        < 35=A|34=1|98=0|108=30|553=user|554=secret
        > 35=5|34=1|58=not today
        logged out not today
        connect
        < 35=A|34=2|98=0|108=30|553=user|554=secret
        wait 5000
        error no logon in time",
    );
    initiator(false).run(
        "connect
        < 35=A|34=1|98=0|108=30|553=user|554=secret
        > 35=0|34=1
        error the first message is not a logon",
    );
}

#[test]
fn what_is_sent_before_the_logon_is_answered_leaves_after_it() {
    initiator(false).run(
        "connect
        < 35=A|34=1|98=0|108=30|553=user|554=secret
        send e2
        send e3
        > 35=A|34=1|98=0|108=30
        < 35=8|34=2|17=e2
        < 35=8|34=3|17=e3
        logged on
        send e4
        < 35=8|34=4|17=e4",
    );
}
