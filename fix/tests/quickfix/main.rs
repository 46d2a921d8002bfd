//! Our sessions against QuickFIX (C++), which reads the data dictionary that we ship: each engine in turn begins.
//! Both keep their numbers in files, and everything goes over a socket.

mod end;
mod peer;

use std::net::{TcpListener, TcpStream};

use end::{End, credentials, until};
use fix::message::{Exchange, NewOrderSingle, OrdType, Side};
use fix::session::{Config, Takes};
use fix::{Price, Qty, UtcTimestamp};
use peer::{Peer, settings};

const ORDER: &str = "55=000001|207=XSHE|54=1|60=now|38=100|40=2|44=12.34";

/// An order of the peer's comes here, its report goes there.
fn trade(id: &str, end: &mut End, peer: &mut Peer) {
    end.forget();
    peer.forget();
    peer.tell(&format!("send 35=D|11={id}|544=2|{ORDER}"));
    until("a report", end, peer, |end, peer| {
        end.has(&format!("D {id}"))
            && peer.has_said("in ", &["35=8|", &format!("|11={id}|"), "|544=2|", "|39=0|"])
    });
}

/// What is wrong is answered with the message that it calls for, and the session goes on.
fn refusals(end: &mut End, peer: &mut Peer) {
    for (sent, answer) in [
        (format!("35=D|11=r1|{ORDER}").replace("54=1", "54=9"), &["35=3|", "|371=54|", "|373=5|"][..]),
        (format!("35=D|11=r2|{ORDER}").replace("38=100", "38=+1"), &["35=3|", "|371=38|", "|373=6|"]),
        (format!("35=D|11=r3|{ORDER}").replace("|40=2", ""), &["35=3|", "|371=40|", "|373=1|"]),
        (format!("35=D|11=r4|{ORDER}|111=5"), &["35=3|", "|371=111|", "|373=2|"]),
        ("35=E|66=l1".to_owned(), &["35=j|", "|372=E|", "|380=3|"]),
        (format!("35=D|11=r5|{ORDER}").replace("|44=12.34", ""), &["35=j|", "|379=r5|", "|380=5|"]),
        (
            format!("35=D|11=r6|{ORDER}").replace("38=100", "38=0"),
            &["35=8|", "|11=r6|", "|39=8|", "|103=13|"],
        ),
        (format!("35=D|11=r7|{ORDER}").replace("000001", "MSFT"), &["35=8|", "|11=r7|", "|39=8|", "|103=1|"]),
    ] {
        peer.forget();
        peer.tell(&format!("send {sent}"));
        until("a refusal", end, peer, |_, peer| peer.has_said("in ", answer));
    }
    trade("on", end, peer);
}

/// Numbers that never came are asked for; so is what the peer pretends not to have had.
fn gaps(end: &mut End, peer: &mut Peer) {
    let (next_sender, next_target) = end.numbers();
    end.forget();
    peer.forget();
    peer.tell(&format!("sender {}", next_target + 5));
    peer.tell(&format!("send 35=D|11=g1|{ORDER}"));
    until("the gap filled", end, peer, |end, peer| {
        end.has("OutOfSequence")
            && end.has("D g1 again")
            && peer.has_said("in ", &["35=2|", &format!("|7={next_target}|"), "|16=0|"])
            && peer.has_said("in ", &["35=8|", "|11=g1|"])
    });
    assert!(end.numbers().1 > next_target + 5);
    peer.forget();
    let wanted = next_sender - 1;
    peer.tell(&format!("target {wanted}"));
    peer.tell("send 35=1|112=AGAIN");
    until("what was sent, again", end, peer, |_, peer| {
        peer.has_said("out ", &["35=2|", &format!("|7={wanted}|")])
            && peer.has_said("in ", &["35=8|", &format!("|34={wanted}|"), "|43=Y|", "|122="])
            && peer.has_said("in ", &["35=8|", "|11=g1|", "|43=Y|"])
    });
    trade("g2", end, peer);
}

/// A reset forward, then silence.
fn moving_on(end: &mut End, peer: &mut Peer) {
    // Nothing is asked for.
    let next = end.numbers().1 + 100;
    end.forget();
    peer.tell(&format!("send 35=4|36={next}"));
    peer.tell(&format!("sender {next}"));
    trade("s1", end, peer);
    assert!(!end.has("OutOfSequence"));

    // Heartbeats go both ways.
    end.forget();
    peer.forget();
    until("heartbeats", end, peer, |end, peer| {
        end.has("Admin") && peer.has_said("in ", &["35=0|"]) && peer.has_said("out ", &["35=0|"])
    });
}

/// A peer that begins, in one life and then another.
#[test]
fn quickfix_initiates() {
    if peer::program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let config = || Config::new("TONGDAO", "PEER", Takes::Orders);
    let accept = |end: &mut End| end.accept(listener.accept().expect("a connection").0);
    let mut end = End::open(config(), folder.path());
    let mut peer = Peer::start("initiator", &settings("initiator", port, folder.path(), ""), folder.path());

    // A wrong password; then the right one, with the next numbers.
    end.client.password = "another".to_owned();
    accept(&mut end);
    until("a refusal", &mut end, &mut peer, |end, peer| {
        end.has("refused") && peer.has_said("in ", &["35=5|", "|58=Password is wrong|"])
    });
    end.client = credentials();
    accept(&mut end);
    until("a logon", &mut end, &mut peer, |end, peer| end.has("logged on") && peer.has_said("logon", &[]));
    trade("c1", &mut end, &mut peer);

    peer.tell("send 35=1|112=PING");
    until("an answer", &mut end, &mut peer, |_, peer| peer.has_said("in ", &["35=0|", "|112=PING|"]));
    refusals(&mut end, &mut peer);
    gaps(&mut end, &mut peer);

    moving_on(&mut end, &mut peer);

    // The peer logs out; we start anew from the file, and a report happens meanwhile.
    end.forget();
    peer.forget();
    peer.tell("logout");
    until("a logout", &mut end, &mut peer, |end, peer| {
        end.has("logged out ") && peer.has_said("in ", &["35=5|"]) && peer.has_said("logout", &[])
    });
    let numbers = end.numbers();
    drop(end);
    let mut end = End::open(config(), folder.path());
    assert_eq!(end.numbers(), numbers, "numbers outlive us");
    let order = order(b"late");
    end.send(&end::accepted(&order, b"LATE", fix::Now { ns: 0, wall_ns: 1_709_170_200_000_000_000 }));
    peer.forget();
    peer.tell("logon");
    accept(&mut end);
    until("the late report", &mut end, &mut peer, |end, peer| {
        end.has("logged on") && peer.has_said("in ", &["35=8|", "|17=LATE|", "|43=Y|"])
    });
    trade("c2", &mut end, &mut peer);

    // The peer is killed without a word and comes back.
    drop(peer);
    let mut peer = Peer::start("initiator", &settings("initiator", port, folder.path(), ""), folder.path());
    until("the end of the connection", &mut end, &mut peer, |end, _| !end.is_connected());
    accept(&mut end);
    until("a logon", &mut end, &mut peer, |end, peer| end.has("logged on") && peer.has_said("logon", &[]));
    trade("c3", &mut end, &mut peer);
    assert!(end.numbers().0 > numbers.0 && end.numbers().1 > numbers.1);

    // And once more, beginning at 1.
    drop(peer);
    let resets = settings("initiator", port, folder.path(), "ResetOnLogon=Y");
    let mut peer = Peer::start("initiator", &resets, folder.path());
    until("the end of the connection", &mut end, &mut peer, |end, _| !end.is_connected());
    end.forget();
    accept(&mut end);
    until("a logon", &mut end, &mut peer, |end, peer| {
        end.has("logged on") && peer.has_said("in ", &["35=A|34=1|", "|141=Y|"])
    });
    trade("c4", &mut end, &mut peer);
    assert!(end.numbers().0 < 10 && end.numbers().1 < 10, "both began at 1");
}

fn order(id: &[u8]) -> NewOrderSingle<'_> {
    NewOrderSingle {
        cl_ord_id: id,
        account: None,
        cash_margin: None,
        min_qty: None,
        max_price_levels: None,
        symbol: b"000001",
        security_id: None,
        security_id_source: None,
        security_exchange: Some(Exchange::Shenzhen),
        side: Side::Sell,
        transact_time: UtcTimestamp::from_unix_ms(1_709_170_200_123),
        order_qty: Qty::from_raw(10_000),
        ord_type: OrdType::Limit,
        price: Some(Price::from_raw(99_900)),
        time_in_force: None,
        order_restrictions: None,
    }
}

/// We begin; the peer accepts.
#[test]
fn quickfix_accepts() {
    if peer::program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let config = || {
        let mut config = Config::new("TONGDAO", "PEER", Takes::Reports);
        config.heart_bt_s = peer::HEART_BT_S;
        config.credentials = Some(credentials());
        config
    };
    let connect = |end: &mut End| end.connect(TcpStream::connect(("127.0.0.1", port)).expect("a connection"));
    let mut end = End::open(config(), folder.path());
    let mut peer = Peer::start("acceptor", &settings("acceptor", port, folder.path(), ""), folder.path());
    until("the peer listens", &mut end, &mut peer, |_, peer| peer.has_said("ready", &[]));

    connect(&mut end);
    until("a logon", &mut end, &mut peer, |end, peer| {
        end.has("logged on") && peer.has_said("in ", &["35=A|", "|553=user|", "|554=secret|"])
    });
    end.send(&order(b"c1"));
    until("the order", &mut end, &mut peer, |_, peer| {
        peer.has_said("in ", &["35=D|", "|11=c1|", "|44=9.99|"])
    });
    let report = "send 35=8|37=O1|11=c1|150=F|39=2|55=000001|54=2|32=100|31=9.99|151=0|14=100|6=9.99";
    peer.tell(&format!("{report}|17=X1"));
    until("the report", &mut end, &mut peer, |end, _| end.has("8 X1"));

    // Gaps of either side.
    let (_, next_target) = end.numbers();
    peer.forget();
    peer.tell(&format!("sender {}", next_target + 3));
    peer.tell(&format!("{report}|17=X2"));
    until("the gap filled", &mut end, &mut peer, |end, peer| {
        end.has("8 X2 again") && peer.has_said("in ", &["35=2|", &format!("|7={next_target}|")])
    });
    peer.tell("target 2");
    peer.tell("send 35=1|112=AGAIN");
    until("the order again", &mut end, &mut peer, |_, peer| {
        peer.has_said("in ", &["35=D|34=2|", "|43=Y|", "|11=c1|"])
            && peer.has_said("in ", &["35=4|", "|123=Y|"])
    });

    // What the peer refuses is told.
    end.send(&NewOrderSingle { cl_ord_id: b"", ..order(b"") });
    until("a reject", &mut end, &mut peer, |end, _| end.has("rejected: Required tag missing"));

    // Silence, our logout, and a new connection whose numbers go on.
    end.forget();
    peer.forget();
    until("heartbeats", &mut end, &mut peer, |end, peer| {
        end.has("Admin") && peer.has_said("in ", &["35=0|"])
    });
    end.log_out();
    until("a logout", &mut end, &mut peer, |end, _| end.has("logged out "));
    let numbers = end.numbers();
    drop(end);
    let mut end = End::open(config(), folder.path());
    assert_eq!(end.numbers(), numbers, "numbers outlive us");
    peer.forget();
    connect(&mut end);
    until("a logon", &mut end, &mut peer, |end, peer| {
        end.has("logged on") && peer.has_said("in ", &["35=A|", &format!("|34={}|", numbers.0)])
    });
    peer.tell(&format!("{report}|17=X3"));
    until("the report", &mut end, &mut peer, |end, _| end.has("8 X3"));
    assert!(!end.has("OutOfSequence"));
}
