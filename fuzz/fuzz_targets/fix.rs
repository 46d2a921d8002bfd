//! A FIX session, acceptor or initiator, that is sent anything at any time: pieces of (kind, number, seconds, length,
//! bytes). What comes out is whole messages, and its store never forgets a number.
#![no_main]

use fix::Now;
use fix::codec::{BEGIN_STRING, Decoded, Encoder, Limits, Message, decode};
use fix::message::{
    CxlRejReason, ExecutionReport, NewOrderSingle, OrdRejReason, OrderCancelReject, OrderCancelRequest,
    OrderMassCancelRequest, OrderStatusRequest,
};
use fix::session::{Config, Event, Session, Takes, identify};
use fix::store::{MemoryStore, Store};
use libfuzzer_sys::fuzz_target;

const TYPES: [&[u8]; 15] =
    [b"A", b"0", b"1", b"2", b"3", b"4", b"5", b"D", b"F", b"8", b"j", b"*", b"AE", b"H", b"q"];

/// One piece of input as bytes of the peer: noise as it is, or a message, so that the state machine is reached.
fn bytes_of(kind: u8, number: u8, noise: &[u8], now: Now) -> Vec<u8> {
    let Some(msg_type) = TYPES.get(usize::from(kind) & 0x0f) else { return noise.to_vec() };
    let mut out = Vec::new();
    let mut message = Encoder::begin(&mut out, BEGIN_STRING, msg_type);
    message.text(49, b"C").text(56, b"S").number(34, u64::from(number)).time(52, now.utc());
    if kind & 0x40 != 0 {
        message.flag(43, true).time(122, now.utc());
    }
    if kind & 0x0f == 0 {
        message.char(98, b'0').number(108, 30).flag(141, kind & 0x80 != 0);
    }
    message.fields(noise);
    message.finish();
    out
}

/// What an application does with a message: any of them is refused, where it is one that has an answer.
fn answer(session: &mut Session<MemoryStore>, message: &Message<'_>, now: Now, out: &mut Vec<u8>) {
    let sent = match message.msg_type {
        b"D" => NewOrderSingle::parse(message).ok().map(|order| {
            let text = order.check().map_or("refused", |_| "");
            let report = ExecutionReport::refusal(&order, b"E", OrdRejReason::Other, text, now.utc());
            session.send(&report, now, out)
        }),
        b"F" => OrderCancelRequest::parse(message).ok().map(|request| {
            let text = request.check().map_or("refused", |_| "");
            let reject = OrderCancelReject::refusal(&request, CxlRejReason::UnknownOrder, text, now.utc());
            session.send(&reject, now, out)
        }),
        b"H" => OrderStatusRequest::parse(message).ok().map(|request| session.send(&request, now, out)),
        b"q" => OrderMassCancelRequest::parse(message).ok().map(|request| session.send(&request, now, out)),
        _ => None,
    };
    assert!(sent.is_none_or(|sent| sent.is_ok()), "memory keeps it");
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let takes = if first & 1 == 0 { Takes::Orders } else { Takes::Reports };
    let mut config = Config::new("S", "C", takes);
    config.resend_burst_bytes = 300;
    let mut session = Session::new(config, MemoryStore::new(10_000));
    let mut now = Now { ns: 0, wall_ns: 1_709_170_200_000_000_000 };
    let mut out = Vec::new();
    if first & 1 == 0 {
        session.accept(now);
    } else {
        session.connect(now, &mut out).expect("memory keeps it");
    }
    while let [kind, number, s, len, tail @ ..] = rest {
        let (noise, later) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = later;
        now = Now {
            ns: now.ns + u64::from(*s) * 500_000_000,
            wall_ns: now.wall_ns + u64::from(*s) * 500_000_000,
        };
        out.clear();
        let bytes = bytes_of(*kind, *number, noise, now);
        let mut came = &bytes[..];
        if let Ok(Some(identity)) = identify(came, &Limits::default()) {
            assert!(identity.peer.len() + identity.us.len() < came.len());
        }
        while !came.is_empty() {
            let Ok(Some(received)) = session.receive(came, now, &mut out) else { break };
            came = &came[received.consumed..];
            match received.event {
                Event::LogonRequest(_) if kind & 0x20 == 0 => {
                    let admitted = session.accept_logon(now, &mut out);
                    assert!(admitted.is_ok() == session.is_active());
                }
                Event::LogonRequest(_) => session.refuse_logon("no", now, &mut out).expect("kept"),
                Event::Application { message, .. } => {
                    answer(&mut session, &message, now, &mut out);
                }
                Event::LoggedOn | Event::Rejected(_) | Event::Handled(_) | Event::LoggedOut { .. } => {}
            }
        }
        let timely = session.on_timeout(now, &mut out);
        assert!(timely.is_ok() || !session.is_connected());
        assert!(session.next_timeout_ns() > now.ns);
        session.resume(now, &mut out).expect("memory reads");
        let mut said = &out[..];
        while !said.is_empty() {
            let Decoded::Message(message) = decode(said, &Limits::default()) else {
                panic!("half a message")
            };
            said = &said[message.bytes.len()..];
        }
        assert!(session.store().next_sender() >= 1 && session.store().next_target() >= 1);
        if !session.is_connected() {
            session.disconnected();
            session.accept(now);
        }
    }
});
