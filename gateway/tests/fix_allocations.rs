//! The FIX order path allocates nothing for an order: a whole gateway, from the FIX client's socket to the core's and back, with
//! every allocation of the process counted. The peers' own steps, on this thread, are made without any.

#[path = "peers/counting.rs"]
mod counting;
mod peers;

use counting::{COUNTED, WARM_UP, encoded};
use fix::UtcTimestamp;
use fix::codec::Encoder;
use gateway::config::CoreName;
use gateway::fix::config::{Authentication, Session};
use peers::{Client, Core, Gateway, accepted, config, text};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use wire::szse::Text;
use wire::szse::code::CashMargin;

fn now() -> UtcTimestamp {
    let clock = transport::Clock::start();
    UtcTimestamp::from_unix_ms(clock.wall_ns(clock.now_ns()).unsigned_abs() / 1_000_000)
}

fn message(msg_type: &[u8], number: usize, time: UtcTimestamp, rest: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Encoder::begin(&mut out, b"FIX.4.4", msg_type);
    message.text(49, b"c1").text(56, b"TONGDAO").number(34, number as u64).time(52, time);
    message.fields(rest.replace('|', "\x01").as_bytes());
    message.finish();
    out
}

/// Reads one message: to the end of its CheckSum.
fn read_message(stream: &mut TcpStream, buffer: &mut [u8; 4096]) -> usize {
    let mut len = 0;
    loop {
        len += stream.read(&mut buffer[len..]).expect("read");
        if len > 8 && buffer[len - 8] == 1 && buffer[len - 7..].starts_with(b"10=") {
            return len;
        }
    }
}

#[test]
fn an_order_by_fix_and_its_report_allocate_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)]);
    config.fix.address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.fix.store.directory = folder.path().to_owned();
    config.fix.sessions = vec![Session {
        comp_id: text("c1"),
        authentication: Authentication::Password,
        default_account: Text::BLANK,
    }];
    let (gateway, mut line) = Gateway::with_line(&core, config);
    let mut stream = TcpStream::connect(gateway.fix_address.expect("configured")).expect("it listens");
    stream.set_nodelay(true).expect("set");
    let (time, mut buffer) = (now(), [0; 4096]);
    stream.write_all(&message(b"A", 1, time, "98=0|108=60|554=secret|")).expect("written");
    read_message(&mut stream, &mut buffer);

    let binary = Client::log_on(gateway.address, 1);
    let rounds: Vec<_> = (1..=WARM_UP + COUNTED)
        .map(|number| {
            let order = binary.new_order(&number.to_string(), CashMargin::CASH);
            let fields =
                format!("11={number}|55=000001|207=XSHE|54=1|60={time}|38=100|40=2|44=10|59=0|544=1|");
            (message(b"D", number + 1, time, &fields), encoded(&accepted(&order, 1, number as i64)))
        })
        .collect();
    let mut order = encoded(&binary.new_order("1", CashMargin::CASH));
    let mut before = 0;
    for (number, (sent, report)) in rounds.iter().enumerate() {
        if number == WARM_UP {
            before = counting::allocations();
        }
        stream.write_all(sent).expect("written");
        line.peer.stream.read_exact(&mut order).expect("forwarded");
        line.peer.stream.write_all(report).expect("written");
        let len = read_message(&mut stream, &mut buffer);
        assert!(buffer[..len].windows(6).any(|part| part == b"\x01150=0"), "round {number}");
    }
    let allocations = counting::allocations() - before;
    // A few for what happens now and then: a segment of a log, the store's index of messages.
    assert!(allocations < COUNTED as u64 / 100, "{allocations} in {COUNTED} rounds");
    gateway.stop();
}
