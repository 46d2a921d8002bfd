//! Records that were altered, cut, repeated or left out on their way.

use crate::handshake::our_client;
use crate::openssl::tls::{SHANGMI, Settings};
use crate::pair::Pair;
use crate::pki::{NOW_S, strict};
use rustls::Error;
use std::io::{ErrorKind, Read, Write};

/// Header of a record.
const HEADER_BYTES: usize = 5;

fn established(suites: &std::ffi::CStr) -> Pair {
    let mut pair = our_client(strict(), Settings { suites, now_s: NOW_S, ..SHANGMI });
    pair.run().unwrap();
    pair.talk();
    pair
}

/// One record from us to them.
fn our_record(pair: &mut Pair, text: &[u8]) -> Vec<u8> {
    pair.ours.writer().write_all(text).unwrap();
    pair.take_ours()
}

/// One record from them to us.
fn their_record(pair: &mut Pair, text: &[u8]) -> Vec<u8> {
    pair.theirs.write(text).unwrap();
    pair.theirs.take()
}

/// What they say of these bytes.
fn their_error(pair: &mut Pair, bytes: &[u8]) -> String {
    pair.theirs.give(bytes);
    let mut read = Vec::new();
    let error = pair.theirs.read(&mut read).unwrap_err();
    assert!(read.is_empty(), "nothing of it was delivered");
    error.0
}

const BAD_MAC: &str = "decryption failed or bad record mac";

#[test]
fn an_altered_record() {
    for suites in [c"TLS_SM4_GCM_SM3", c"TLS_SM4_CCM_SM3"] {
        for at in [HEADER_BYTES, HEADER_BYTES + 8, HEADER_BYTES + 9, HEADER_BYTES + 24] {
            let mut pair = established(suites);
            let mut record = our_record(&mut pair, b"an order");
            record[at] ^= 1;
            let error = their_error(&mut pair, &record);
            assert!(error.contains(BAD_MAC), "{error}");
            let mut pair = established(suites);
            let mut record = their_record(&mut pair, b"a report");
            record[at] ^= 0x80;
            assert_eq!(pair.give_ours(&record), Err(Error::DecryptError));
        }
    }
}

/// The header says that the record ends earlier: what is left of it is not what the tag is over.
#[test]
fn a_record_that_was_cut() {
    for suites in [c"TLS_SM4_GCM_SM3", c"TLS_SM4_CCM_SM3"] {
        for by in [1, 8] {
            let cut = |mut record: Vec<u8>| {
                record[4] -= by;
                record.truncate(record.len() - usize::from(by));
                record
            };
            let mut pair = established(suites);
            let record = our_record(&mut pair, b"an order of some length");
            let error = their_error(&mut pair, &cut(record));
            assert!(error.contains(BAD_MAC), "{error}");
            let mut pair = established(suites);
            let record = their_record(&mut pair, b"a report of some length");
            assert_eq!(pair.give_ours(&cut(record)), Err(Error::DecryptError));
        }
    }
}

#[test]
fn a_record_that_comes_twice() {
    let mut pair = established(c"TLS_SM4_GCM_SM3");
    let record = our_record(&mut pair, b"an order");
    pair.theirs.give(&record);
    let mut read = Vec::new();
    pair.theirs.read(&mut read).unwrap();
    assert_eq!(read, b"an order");
    let error = their_error(&mut pair, &record);
    assert!(error.contains(BAD_MAC), "{error}");
    let mut pair = established(c"TLS_SM4_GCM_SM3");
    let record = their_record(&mut pair, b"a report");
    pair.give_ours(&record).unwrap();
    assert_eq!(pair.give_ours(&record), Err(Error::DecryptError));
}

#[test]
fn a_record_that_was_left_out() {
    let mut pair = established(c"TLS_SM4_GCM_SM3");
    our_record(&mut pair, b"the first order");
    let second = our_record(&mut pair, b"the second order");
    let error = their_error(&mut pair, &second);
    assert!(error.contains(BAD_MAC), "{error}");
    let mut pair = established(c"TLS_SM4_GCM_SM3");
    their_record(&mut pair, b"the first report");
    let second = their_record(&mut pair, b"the second report");
    assert_eq!(pair.give_ours(&second), Err(Error::DecryptError));
}

/// The stream ends in the middle of a record, or between two but without a word: neither is taken for an end.
#[test]
fn a_stream_that_was_cut() {
    for whole in [false, true] {
        let mut pair = established(c"TLS_SM4_GCM_SM3");
        let record = our_record(&mut pair, b"an order");
        let arrived = if whole { &record[..] } else { &record[..record.len() - 1] };
        pair.theirs.give(arrived);
        pair.theirs.give_end();
        let mut read = Vec::new();
        let error = pair.theirs.read(&mut read).unwrap_err().0;
        assert!(error.contains("unexpected eof"), "{error}");
        assert_eq!(read.is_empty(), !whole);
        let mut pair = established(c"TLS_SM4_GCM_SM3");
        let record = their_record(&mut pair, b"a report");
        pair.give_ours(if whole { &record } else { &record[..record.len() - 1] }).unwrap();
        pair.ours.read_tls(&mut &[][..]).unwrap();
        pair.ours.process_new_packets().unwrap();
        let mut read = Vec::new();
        let error = pair.ours.reader().read_to_end(&mut read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read.is_empty(), !whole);
    }
}
