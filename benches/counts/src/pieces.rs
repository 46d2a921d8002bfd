//! What is counted. Each piece makes what it needs, the same however often it runs, and then runs: the difference of two counts
//! is the piece's own.

use crate::message;
use crate::stream::{OPEN_NS, core, requests};
use crate::walk::Walk;
use fix::codec::{Decoded, Limits, decode};
use flow::{Cursor, Tag, Writer};
use gateway::check::Group;
use gm::gcm::Key;
use gm::sm2::SecretKey;
use gm::sm4::Backend;
use matcher_stub::core::{DeskNo, Now, Outlet};
use service::Host;
use service::traces::{Config, Kind, Name, Place, Span, Subject, Traces, Value};
use slb::schedule::{most_attracted, stable_hash};
use std::hint::black_box;
use wire::szse::frame;
use wire::szse::market::TickOrder;
use wire::szse::trading::NewOrder;

/// A piece: its name, how often it runs for a count, and itself.
pub(crate) struct Piece {
    pub(crate) name: &'static str,
    pub(crate) times: u32,
    pub(crate) run: fn(u32),
}

pub(crate) const PIECES: &[Piece] = &[
    Piece { name: "encode NewOrder", times: 10_000, run: encode },
    Piece { name: "decode TickOrder", times: 10_000, run: decode_tick },
    Piece { name: "checksum of 512 B", times: 10_000, run: checksum },
    Piece { name: "FIX decode and check", times: 2_000, run: fix_decode },
    Piece { name: "log append and read", times: 10_000, run: log },
    Piece { name: "choose of 16 backends", times: 2_000, run: schedule },
    Piece { name: "check chain, all rules", times: 5_000, run: check_chain },
    Piece { name: "match a request", times: 5_000, run: match_requests },
    Piece { name: "order untraced", times: 10_000, run: traces_off },
    Piece { name: "order not in the sample", times: 10_000, run: not_in_the_sample },
    Piece { name: "order in the sample", times: 10_000, run: in_the_sample },
    Piece { name: "SM4-GCM seal of 1 KiB", times: 1_000, run: seal },
    Piece { name: "SM2 sign", times: 50, run: sign },
    Piece { name: "SM2 agree", times: 50, run: agree },
];

/// As many as a run walks through at most, so that what is made does not depend on how many are.
const MADE: u32 = 10_000;

fn encode(times: u32) {
    let (order, mut out) = (NewOrder::default(), Vec::with_capacity(1_024));
    for _ in 0..times {
        out.clear();
        frame::encode(black_box(&order), &mut out);
    }
}

fn decode_tick(times: u32) {
    let mut bytes = Vec::new();
    frame::encode(&TickOrder::default(), &mut bytes);
    for _ in 0..times {
        let frame = frame::decode(black_box(&bytes), frame::BODY_LEN_MAX).expect("a frame").expect("whole");
        black_box(frame.view::<TickOrder>().expect("a TickOrder").appl_seq_num.get());
    }
}

fn checksum(times: u32) {
    let bytes = [7; 512];
    for _ in 0..times {
        black_box(frame::checksum(black_box(&bytes)));
    }
}

fn fix_decode(times: u32) {
    let (mut bytes, limits) = (Vec::new(), Limits::default());
    message::write(&message::order(), 2, &mut bytes);
    let definition = fix::dictionary::message(b"D").expect("a definition");
    for _ in 0..times {
        let Decoded::Message(order) = decode(black_box(&bytes), &limits) else { panic!("a message") };
        black_box(fix::dictionary::check(&order, definition, 64)).expect("good");
    }
}

/// In turns of 64 frames, as the log is used.
fn log(times: u32) {
    let mut writer = Writer::new(flow::Limits::default());
    let (mut reader, mut cursor) = (writer.reader(), Cursor::at(0));
    for number in 1..=u64::from(times) {
        let tag = Tag { lane: 1, number, key: 1 };
        writer.append(tag, black_box(&[7; 128])).expect("ascending");
        if number % 64 == 0 {
            writer.publish();
            reader.refresh();
            let len = black_box(reader.slice(cursor, 1 << 18).expect("held")).len();
            black_box(reader.advance(&mut cursor, len));
        }
    }
}

/// By the client's address, which costs most.
fn schedule(times: u32) {
    let names: Vec<u64> = (0..16_u8).map(|at| stable_hash(&[at])).collect();
    for number in 0..times {
        let client = stable_hash(&number.to_be_bytes());
        black_box(most_attracted(client, names.iter(), |name| (*name, 100)));
    }
}

fn check_chain(times: u32) {
    let mut walk = Walk::new(&Group::ALL, 1_000, MADE);
    (0..times).for_each(|_| walk.step());
}

struct Counted(u64);

impl Outlet for Counted {
    fn report(&mut self, _: DeskNo, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }

    fn market(&mut self, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }
}

fn match_requests(times: u32) {
    let (requests, mut core, mut out) = (requests(MADE), core(MADE), Counted(0));
    for (step, request) in (0_u64..).zip(&requests[..times as usize]) {
        core.apply(Now::at(OPEN_NS + step * 2_000), request.input(), &mut out);
    }
    black_box(out.0);
}

/// What traces cost an order at a gateway: it is looked for when it comes and when it is answered.
fn traced(times: u32, config: &Config) {
    let traces = Traces::bind(config, "counts", &Host::default()).expect("a tracer");
    let tracer = traces.tracer();
    for number in 0..times {
        let cl_ord_id = *b"0000000000";
        for place in [Place::Under("order"), Place::Root] {
            let subject = || Subject::new(b"0100000001  ", black_box(&cl_ord_id), u64::from(number));
            if let Some(sampled) = black_box(&tracer).sampled(subject) {
                let span = Span::new("order", Kind::Server, place, (1, 2));
                let span = span.with("tongdao.cl_ord_id", Value::Name(Name::new(&cl_ord_id)));
                sampled.record(span.with("tongdao.core", Value::Word("cash")));
            }
        }
    }
}

fn traces_off(times: u32) {
    traced(times, &Config::default());
}

fn sample_of(sample_per_million: u32) -> Config {
    // Room for all of a count's spans: what is dropped is cheaper.
    let endpoint = "http://127.0.0.1:4318/v1/traces".to_owned();
    Config { endpoint, sample_per_million, queue_spans_max: 65_536, ..Config::default() }
}

fn not_in_the_sample(times: u32) {
    traced(times, &sample_of(0));
}

fn in_the_sample(times: u32) {
    traced(times, &sample_of(1_000_000));
}

/// With the instructions that callgrind knows.
fn seal(times: u32) {
    let key = Key::with_backend(&[1; 16], Backend::Aes).expect("AES-NI, AVX2 and PCLMULQDQ");
    let mut data = [0; 1_024];
    for _ in 0..times {
        black_box(key.seal(&[2; 12], &[23, 3, 3, 0, 0], &mut data));
    }
}

fn sign(times: u32) {
    let key = SecretKey::generate().expect("random numbers");
    for _ in 0..times {
        black_box(key.sign(b"id", b"message")).expect("signed");
    }
}

fn agree(times: u32) {
    let (key, peer) =
        (SecretKey::generate().expect("random numbers"), SecretKey::generate().expect("random numbers"));
    for _ in 0..times {
        black_box(key.diffie_hellman(peer.public_key()));
    }
}
