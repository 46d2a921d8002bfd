//! PROXY headers: any bytes are a client's address, nobody's, or an error; and an address that is written is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transport::proxy_protocol::{Said, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Said::Client(client)) = decode(bytes) {
        assert!(matches!(decode(&encode(client, client)), Ok(Said::Client(again)) if again == client));
    }
});
