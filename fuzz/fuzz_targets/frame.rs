//! The frame decoder on a stream of anything: it makes progress, stays inside the buffer, and what it calls a frame
//! encodes to the same bytes. And on a datagram, which has one frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::szse::ext::{decode_datagram, encode_datagram};
use wire::szse::frame;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(found)) = frame::decode(rest, frame::BODY_LEN_MAX) {
        assert!(found.bytes.len() >= frame::OVERHEAD && found.body.len() <= frame::BODY_LEN_MAX);
        let mut again = Vec::new();
        frame::encode_with(found.msg_type, &mut again, |body| {
            body.extend_from_slice(found.body);
            Ok::<(), ()>(())
        })
        .expect("nothing refuses");
        assert_eq!(again, found.bytes);
        rest = &rest[found.bytes.len()..];
    }
    if let Some((seq, found)) = decode_datagram(data) {
        let mut again = Vec::new();
        encode_datagram(seq, found.bytes, &mut again);
        assert_eq!(again, data);
    }
});
