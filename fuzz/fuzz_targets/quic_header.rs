//! QUIC headers: any bytes are a header whose connection IDs lie within them, or an error; and a server's number that is
//! found in one is the one that stands there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transport::quic_route::{CONNECTION_ID_BYTES_MAX, Header, ServerId, header};

fuzz_target!(|bytes: &[u8]| {
    let destination = match header(bytes) {
        Ok(Header::Long { destination, source, .. }) => {
            assert!(destination.len().max(source.len()) <= CONNECTION_ID_BYTES_MAX);
            assert_eq!(&bytes[6..6 + destination.len()], destination);
            assert_eq!(&bytes[7 + destination.len()..][..source.len()], source);
            destination
        }
        Ok(Header::Short { destination }) => destination,
        Err(_) => return,
    };
    for len in 0..=20 {
        if let Some(server) = ServerId::of(destination, len) {
            assert_eq!(server.bytes(), &destination[1..=len]);
        }
    }
});
