//! The checks, and that the shipped dictionary says what the tables say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::codec::{Decoded, Limits, SOH, checksum, decode};

const HEAD: &str = "49=C|56=S|34=2|52=20240229-01:30:00|";
const ORDER: &str = "11=id|55=000001|54=1|60=20240229-01:30:00|38=100|40=2|44=12.34|";

fn verdict(msg_type: &str, fields: &str) -> Result<(), Fault> {
    let body = format!("35={msg_type}|{fields}");
    let mut bytes = format!("8=FIX.4.4|9={}|{body}", body.len()).replace('|', "\u{1}").into_bytes();
    bytes.extend(format!("10={:03}", checksum(&bytes)).bytes().chain([SOH]));
    let Decoded::Message(read) = decode(&bytes, &Limits::default()) else { panic!("{body}") };
    check(&read, message(msg_type.as_bytes()).expect("a message"), 32)
}

#[test]
fn takes_what_the_tables_say() {
    assert_eq!(verdict("0", HEAD), Ok(()));
    assert_eq!(verdict("D", &format!("{HEAD}{ORDER}544=2|59=0|1=A1|5001=own|")), Ok(()));
    let other_order =
        "52=20240229-01:30:00|34=2|56=S|49=C|44=12.34|40=2|38=100|60=20240229-01:30:00|54=1|55=1|11=id|";
    assert_eq!(verdict("D", other_order), Ok(()));
}

#[test]
fn names_the_fault_and_its_tag() {
    use RejectReason::{
        IncorrectDataFormat, InvalidTagNumber, RequiredTagMissing, TagAppearsTwice, TagNotDefinedForMessage,
        TagOutOfOrder, TagWithoutValue, ValueIncorrect,
    };
    for (extra, reason, tag) in [
        ("999=HI|", InvalidTagNumber, 999),
        ("0=HI|", InvalidTagNumber, 0),
        ("-1=HI|", InvalidTagNumber, -1),
        ("40000=HI|", InvalidTagNumber, 40_000),
        ("111=HI|", TagNotDefinedForMessage, 111),
        ("150=0|", TagNotDefinedForMessage, 150),
        ("58=|", TagWithoutValue, 58),
        ("544=4|", ValueIncorrect, 544),
        ("207=XNYS|", ValueIncorrect, 207),
        ("110=+1|", IncorrectDataFormat, 110),
        ("1090=x|", IncorrectDataFormat, 1090),
        ("544=12|", IncorrectDataFormat, 544),
        ("354=9|355=a|", IncorrectDataFormat, 354),
        ("11=id2|", TagAppearsTwice, 11),
        ("8=FIX.4.4|", TagAppearsTwice, 8),
        ("43=Y|", TagOutOfOrder, 43),
    ] {
        let fault = verdict("D", &format!("{HEAD}{ORDER}{extra}")).expect_err(extra);
        assert_eq!((fault.reason, fault.tag), (reason, Some(tag)), "{extra}");
    }
    for (tag, field) in
        [(11, "11=id|"), (38, "38=100|"), (40, "40=2|"), (54, "54=1|"), (60, "60=20240229-01:30:00|")]
    {
        let fault = verdict("D", &format!("{HEAD}{ORDER}").replace(field, "")).expect_err(field);
        assert_eq!(fault, Fault::of(RequiredTagMissing, tag));
    }
    let headless = verdict("0", "49=C|34=2|52=20240229-01:30:00|");
    assert_eq!(headless, Err(Fault::of(RequiredTagMissing, 56)));
    let told = |fault: Fault| fault.to_string();
    assert_eq!(told(Fault::of(RequiredTagMissing, 38)), "Required tag missing: 38 OrderQty");
    assert_eq!(told(Fault { reason: InvalidTagNumber, tag: Some(-1) }), "Invalid tag number: -1");
    assert_eq!(told(Fault::new(RejectReason::InvalidMsgType)), "Invalid MsgType");
    let timeless = verdict("0", &HEAD.replace("20240229", "20240230"));
    assert_eq!(timeless, Err(Fault::of(IncorrectDataFormat, 52)));
}

#[test]
fn the_number_of_fields_is_bounded() {
    let many: String = (5_000..5_030).map(|tag| format!("{tag}=x|")).collect();
    assert_eq!(verdict("0", &format!("{HEAD}{many}")), Err(Fault::new(RejectReason::TooManyFields)));
}

#[test]
fn types_of_fix44_are_told_from_others() {
    for known in ["0", "8", "D", "j", "AE", "BH", "d"] {
        assert!(is_fix44_type(known.as_bytes()), "{known}");
    }
    for unknown in ["*", "", "I", "O", "U", "U1", "BI", "CA", "ABC"] {
        assert!(!is_fix44_type(unknown.as_bytes()), "{unknown}");
    }
    assert!(MESSAGES.iter().all(|def| is_fix44_type(def.msg_type.as_bytes())));
}

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/fix/TONGDAO-FIX44.xml")
}

/// `TONGDAO_WRITE_DICTIONARY=1 cargo test -p fix shipped` writes the file anew.
#[test]
fn the_shipped_dictionary_is_the_tables() {
    if std::env::var_os("TONGDAO_WRITE_DICTIONARY").is_some() {
        std::fs::write(shipped(), xml()).expect("written");
    }
    let text = std::fs::read_to_string(shipped()).expect("docs/fix/TONGDAO-FIX44.xml");
    assert_eq!(text, xml(), "the tables changed: write the dictionary anew");
}

/// Attributes of a line's element.
fn attributes(line: &str) -> BTreeMap<&str, &str> {
    line.split_once(' ')
        .map(|(_, rest)| rest.split("\" ").filter_map(|pair| pair.split_once("=\"")).collect())
        .unwrap_or_default()
}

/// Reads the file as an engine does, knowing nothing of how it is written.
#[test]
fn the_shipped_dictionary_reads_back() {
    let text = std::fs::read_to_string(shipped()).expect("docs/fix/TONGDAO-FIX44.xml");
    let (mut messages, mut numbers, mut values) = (BTreeMap::new(), BTreeMap::new(), 0);
    let mut within = String::new();
    for line in text.lines().map(str::trim) {
        let line =
            line.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/').trim_end_matches('"');
        let found = attributes(line);
        match (line.split(' ').next(), found.get("number")) {
            (Some("message"), _) => within = found["msgtype"].to_owned(),
            (Some("/message"), _) => within.clear(),
            (Some("field"), Some(number)) => {
                numbers.insert(found["name"].to_owned(), number.parse::<u32>().expect("a number"));
            }
            (Some("field"), None) if !within.is_empty() => {
                let fields: &mut Vec<_> = messages.entry(within.clone()).or_default();
                fields.push((found["name"].to_owned(), found["required"] == "Y"));
            }
            (Some("value"), _) => values += 1,
            _ => {}
        }
    }
    assert_eq!(numbers.len(), FIELDS.len());
    assert_eq!(values, FIELDS.iter().map(|field| field.values.len()).sum::<usize>());
    assert_eq!(messages.len(), MESSAGES.len());
    for def in MESSAGES {
        let read: Vec<_> =
            messages[def.msg_type].iter().map(|(name, required)| (numbers[name], *required)).collect();
        assert_eq!(read, def.fields, "{}", def.name);
    }
}
