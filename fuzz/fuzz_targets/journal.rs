//! A journal that holds anything: records are whole or are none, and a journal that opens can be appended to and read to its end.
#![no_main]

use journal::format::{self, Place};
use journal::{Limits, Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Place::Record(record, len) = format::decode(rest) {
        assert!(len <= rest.len() && record.payload.len() < len);
        rest = &rest[len..];
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut segment = format::head(1).to_vec();
    segment.extend_from_slice(data);
    std::fs::write(folder.path().join("00000000000000000001.journal"), segment).expect("written");
    let Ok((mut writer, recovered)) = Writer::open(folder.path(), Limits::default()) else { return };
    let number = writer.append(1, 1, &[b"one more"]).expect("there is room");
    assert_eq!(number, recovered.next_number);
    writer.write().expect("written");
    drop(writer);
    let mut reader = Reader::open(folder.path(), 1).expect("it begins with 1");
    let mut last = 0;
    while let Some(record) = reader.next().expect("whole, as it was opened") {
        assert_eq!(record.number, last + 1);
        last = record.number;
    }
    assert_eq!(last, number);
});
