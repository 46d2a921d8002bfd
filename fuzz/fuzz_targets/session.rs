//! A session, acceptor or initiator, that is sent anything at any time: pieces of (kind, milliseconds, length, bytes).
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::szse::code::VERSION_TRADING;
use wire::szse::session::{Event, Limits, LogonRefusal, Session};
use wire::szse::{Heartbeat, I32, Logon, Logout, frame};

const MS: u64 = 1_000_000;

fn logon() -> Logon {
    Logon { heart_bt_int_s: I32::new(3), ..Logon::default() }
}

/// One piece of input as bytes of the peer: noise as it is, or a frame, so that the state machine is reached.
fn bytes_of(kind: u8, noise: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match kind % 5 {
        0 => frame::encode(&logon(), &mut out),
        1 => frame::encode(&Heartbeat, &mut out),
        2 => frame::encode_with(2, &mut out, |body| {
            body.resize(size_of::<Logout>(), b' ');
            Ok::<(), ()>(())
        })
        .expect("nothing refuses"),
        3 => frame::encode_with(u32::from(kind), &mut out, |body| {
            body.extend_from_slice(noise);
            Ok::<(), ()>(())
        })
        .expect("nothing refuses"),
        _ => out.extend_from_slice(noise),
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let (mut out, mut now_ns) = (Vec::new(), 0);
    let mut session = if first & 1 == 0 {
        Session::acceptor(Limits::default(), now_ns)
    } else {
        Session::initiator(Limits::default(), &logon(), now_ns, &mut out)
    };
    while let [kind, quarter_s, len, tail @ ..] = rest {
        let (noise, later) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = later;
        now_ns += u64::from(*quarter_s) * 250 * MS;
        let (bytes, closed) = (bytes_of(*kind, noise), session.is_closed());
        out.clear();
        let result = session.receive(&bytes, now_ns, &mut out).map(|received| received.map(|it| it.event));
        let ended = result.is_err();
        match result {
            Ok(Some(Event::LogonRequest(_))) if kind & 0x40 == 0 => {
                session.accept(VERSION_TRADING, now_ns, &mut out)
            }
            Ok(Some(Event::LogonRequest(_))) => session.refuse(LogonRefusal::Credentials, &mut out),
            Ok(_) | Err(_) => {}
        }
        assert!(!ended || session.is_closed());
        let timeout = session.on_timeout(now_ns, &mut out);
        assert!(timeout.is_ok() || session.is_closed());
        assert!(session.next_timeout_ns() > now_ns);
        assert!(!closed || out.is_empty());
    }
});
