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
use slb::schedule::{attraction, stable_hash};
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
        let pull = |name: &&u64| attraction(client, **name, 100);
        black_box(names.iter().max_by(|a, b| pull(a).total_cmp(&pull(b))));
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
