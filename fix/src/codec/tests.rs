//! Golden bytes, every prefix, garbled input, data fields, and round trips.

use proptest::prelude::*;

use super::*;
use crate::decimal::{Price, Qty};
use crate::tag;
use crate::time::UtcTimestamp;

const LIMITS: Limits = Limits { message_bytes_max: 1_024, fields_max: 64 };
/// Length and sum computed apart from this code; `|` for the delimiter.
const GOLDEN: &str = "8=FIX.4.4|9=63|35=A|34=1|49=ISLD|52=20240229-01:30:00.123|56=TW44|98=0|108=30|10=045|";

fn soh(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| if byte == b'|' { SOH } else { byte }).collect()
}

/// With BodyLength and CheckSum put right.
fn framed(body: &str) -> Vec<u8> {
    let mut bytes = soh(&format!("8=FIX.4.4|9={}|{body}", body.len()));
    bytes.extend(soh(&format!("10={:03}|", checksum(&bytes))));
    bytes
}

fn message(bytes: &[u8]) -> Message<'_> {
    match decode(bytes, &LIMITS) {
        Decoded::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn garbled(bytes: &[u8]) -> (Garble, usize) {
    match decode(bytes, &LIMITS) {
        Decoded::Garbled { why, skip } => (why, skip),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_and_writes_the_golden_logon() {
    let golden = soh(GOLDEN);
    let logon = message(&golden);
    assert_eq!((logon.begin_string, logon.msg_type), (&b"FIX.4.4"[..], &b"A"[..]));
    assert_eq!(logon.field(tag::SENDER_COMP_ID), Some(&b"ISLD"[..]));
    assert_eq!(logon.field(tag::HEART_BT_INT), Some(&b"30"[..]));
    assert_eq!(logon.field(tag::TEXT), None);
    let mut out = b"before".to_vec();
    let mut encoder = Encoder::begin(&mut out, BEGIN_STRING, b"A");
    encoder.number(tag::MSG_SEQ_NUM, 1).text(tag::SENDER_COMP_ID, b"ISLD");
    encoder.time(tag::SENDING_TIME, UtcTimestamp::from_unix_ms(1_709_170_200_123));
    encoder.text(tag::TARGET_COMP_ID, b"TW44").char(tag::ENCRYPT_METHOD, b'0').number(tag::HEART_BT_INT, 30);
    encoder.finish();
    assert_eq!(out[6..], golden);
}

#[test]
fn every_prefix_needs_more_and_what_follows_is_left() {
    let mut bytes = soh(GOLDEN);
    for len in 0..bytes.len() {
        assert_eq!(
            decode(&bytes[..len], &LIMITS),
            if len == 0 { decode(b"", &LIMITS) } else { Decoded::NeedMore }
        );
    }
    let len = bytes.len();
    bytes.extend_from_slice(b"8=FI");
    assert_eq!(message(&bytes).bytes.len(), len);
}

#[test]
fn lengths_of_any_width_are_filled_in() {
    for len in [1, 20, 60, 90, 300, 900, 990] {
        let mut out = Vec::new();
        let mut encoder = Encoder::begin(&mut out, BEGIN_STRING, b"B");
        encoder.text(tag::TEXT, &vec![b'x'; len]);
        encoder.finish();
        let limits = Limits { message_bytes_max: 2_000, ..LIMITS };
        let Decoded::Message(read) = decode(&out, &limits) else { panic!("{len}") };
        assert_eq!(read.field(tag::TEXT).map(<[u8]>::len), Some(len));
        assert!(!out.starts_with(b"8=FIX.4.4\x019=0"), "no leading zeros");
    }
}

#[test]
fn garbled_input_is_skipped_to_the_next_start() {
    let good = soh(GOLDEN);
    for (bad, why) in [
        ("noise", Garble::BeginString),
        ("8=FUX.4.4|9=5|35=0|10=000|", Garble::BeginString),
        ("8=FIX.4.4.4.4.4.4.4.4.4|9=5|35=0|10=000|", Garble::BeginString),
        ("8=FIX.4.4|34=1|9=5|35=0|10=000|", Garble::BodyLength),
        ("8=FIX.4.4|9=x|35=0|10=000|", Garble::BodyLength),
        ("8=FIX.4.4|9=-5|35=0|10=000|", Garble::BodyLength),
        ("8=FIX.4.4|9=1234567890|35=0|10=000|", Garble::BodyLength),
        ("8=FIX.4.4|9=99999|35=0|10=000|", Garble::TooLong),
        ("8=FIX.4.4|9=4|35=0|10=000|", Garble::Length),
        ("8=FIX.4.4|9=9|35=0|10=000|", Garble::Length),
        ("8=FIX.4.4|9=5|35=0|10=000|", Garble::CheckSum),
        ("8=FIX.4.4|9=5|35=0|10=0x0|", Garble::CheckSum),
    ] {
        let mut bytes = soh(bad);
        let len = bytes.len();
        bytes.extend_from_slice(&good);
        assert_eq!(garbled(&bytes), (why, len), "{bad}");
    }
    assert_eq!(garbled(&framed("34=1|35=0|")).0, Garble::MsgType);
    assert_eq!(garbled(&framed("35=|34=1|")).0, Garble::MsgType);
    assert_eq!(garbled(&framed("")).0, Garble::MsgType);
}

#[test]
fn a_start_may_come_in_pieces_behind_noise() {
    assert_eq!(garbled(b"noise8=F"), (Garble::BeginString, 5));
    assert_eq!(garbled(b"noise"), (Garble::BeginString, 5));
    assert_eq!(garbled(b"x"), (Garble::BeginString, 1));
}

#[test]
fn data_may_hold_the_delimiter() {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(&mut out, BEGIN_STRING, b"B");
    encoder.data(tag::RAW_DATA_LENGTH, tag::RAW_DATA, b"a\x0110=000\x01b").text(tag::TEXT, b"t\x01t");
    encoder.data(tag::ENCODED_TEXT_LEN, tag::ENCODED_TEXT, "通道".as_bytes());
    encoder.finish();
    let read = message(&out);
    assert_eq!(read.field(tag::RAW_DATA), Some(&b"a\x0110=000\x01b"[..]));
    assert_eq!(read.field(tag::TEXT), Some(&b"t?t"[..]));
    assert_eq!(read.field(tag::ENCODED_TEXT), Some("通道".as_bytes()));
}

#[test]
fn bad_fields_are_told_apart() {
    for (body, error) in [
        ("35=0|x=1|", FieldError::Syntax),
        ("35=0|34|", FieldError::Syntax),
        ("35=0|=1|", FieldError::Syntax),
        ("35=0|1234567890=1|", FieldError::Syntax),
        ("35=0|0=1|", FieldError::Tag(0)),
        ("35=0|-1=1|", FieldError::Tag(-1)),
        ("35=0|034=1|", FieldError::Tag(34)),
        ("35=0|34=|", FieldError::Empty(34)),
        ("35=0|95=3|96=ab|", FieldError::Data(95)),
        ("35=0|95=9|96=ab|", FieldError::Data(95)),
        ("35=0|95=x|96=ab|", FieldError::Data(95)),
        ("35=0|95=2|58=ab|", FieldError::Data(95)),
        ("35=0|95=2|", FieldError::Data(95)),
    ] {
        let bytes = framed(body);
        let found = message(&bytes).fields().find_map(Result::err);
        assert_eq!(found, Some(error), "{body}");
    }
    let bytes = framed("35=0|-1=1|58=on|");
    assert_eq!(message(&bytes).field(tag::TEXT), Some(&b"on"[..]), "an odd tag does not end the fields");
}

#[test]
fn writing_a_message_allocates_nothing() {
    let mut out = Vec::with_capacity(1_024);
    let info = allocation_counter::measure(|| {
        let mut encoder = Encoder::begin(&mut out, BEGIN_STRING, b"8");
        encoder.number(tag::MSG_SEQ_NUM, 7).price(tag::PRICE, Price::from_raw(123_400));
        encoder.qty(tag::ORDER_QTY, Qty::from_raw(10_000)).time(tag::SENDING_TIME, UtcTimestamp::default());
        encoder.finish();
        assert_eq!(message(&out).field(tag::PRICE), Some(&b"12.34"[..]));
    });
    assert_eq!(info.count_total, 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        fields in prop::collection::vec((1_u32..40_000, prop::collection::vec(2_u8.., 1..40)), 0..20),
        data in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        let fields: Vec<_> = fields.into_iter().filter(|(tag, _)| tag::data_of(*tag).is_none()).collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::begin(&mut out, BEGIN_STRING, b"AE");
        for (tag, value) in &fields {
            encoder.text(*tag, value);
        }
        encoder.data(tag::RAW_DATA_LENGTH, tag::RAW_DATA, &data);
        encoder.finish();
        let limits = Limits { message_bytes_max: 4_096, ..LIMITS };
        let Decoded::Message(read) = decode(&out, &limits) else { panic!("not read") };
        let back: Vec<_> = read.fields().map(|field| field.expect("a field")).collect();
        prop_assert_eq!(back.len(), fields.len() + 2);
        for (back, (tag, value)) in back.iter().zip(&fields) {
            prop_assert_eq!((back.tag, back.value), (*tag, &value[..]));
        }
        prop_assert_eq!(back[fields.len() + 1].value, &data[..]);
    }

    #[test]
    fn anything_else_is_skipped_or_waited_for(noise in prop::collection::vec(prop_oneof![Just(1_u8), Just(b'8'), Just(b'='), any::<u8>()], 0..200)) {
        let mut bytes = noise;
        bytes.extend_from_slice(b"\x018=FIX.4.4\x019=5\x0135=0\x0110=163\x01");
        let mut rest = &bytes[..];
        let mut found = false;
        while !rest.is_empty() {
            match decode(rest, &LIMITS) {
                Decoded::NeedMore => break,
                Decoded::Message(message) => {
                    found = true;
                    rest = &rest[message.bytes.len()..];
                }
                Decoded::Garbled { skip, .. } => {
                    prop_assert!(skip > 0);
                    rest = &rest[skip..];
                }
            }
        }
        prop_assert!(found);
    }
}
