use super::*;
use crate::{ReadError, Reader};
use proptest::prelude::*;
use std::path::Path;

const SMALL: Limits = Limits { segment_bytes: 2 << 20, buffer_bytes_max: 4 << 20 };

fn open(directory: &Path) -> (Writer, Recovered) {
    Writer::open(directory, SMALL).unwrap()
}

fn written(directory: &Path, payloads: &[&[u8]]) {
    let (mut writer, _) = open(directory);
    for payload in payloads {
        writer.append(1, 2, &[payload]).unwrap();
    }
    writer.write().unwrap();
}

fn all(directory: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::oldest(directory).unwrap();
    let mut payloads = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        payloads.push(record.payload.to_vec());
    }
    payloads
}

fn only_segment(directory: &Path) -> PathBuf {
    segment::path(directory, 1)
}

#[test]
fn it_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("made/for/it");
    written(&directory, &[b"one", b"two"]);
    let (mut writer, recovered) = open(&directory);
    assert_eq!(recovered, Recovered { next_number: 3, cut_bytes: 0 });
    assert_eq!(writer.append(1, 2, &[b"th", b"ree"]), Ok(3));
    writer.write().unwrap();
    writer.sync().unwrap();
    assert_eq!(all(&directory), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
}

#[test]
fn a_record_that_begins_with_zeros_at_the_end_of_a_read_is_no_end() {
    let first = vec![7; crate::reader::READ_BYTES - format::RECORD_HEAD_BYTES - 1];
    // Of the second record the first read has one byte, the lowest of its CRC-32.
    let begins_with_zero = |unix_ns: &u64| {
        let mut record = Vec::new();
        format::encode((2, 1, *unix_ns), 0, &[b"second"], &mut record);
        record[0] == 0
    };
    let unix_ns = (0..).find(begins_with_zero).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(folder.path());
    writer.append(1, 2, &[&first]).unwrap();
    writer.append(1, unix_ns, &[b"second"]).unwrap();
    writer.write().unwrap();
    let bytes = fs::read(only_segment(folder.path())).unwrap();
    let second = format::HEAD_BYTES + format::RECORD_HEAD_BYTES + first.len();
    assert!(bytes[second] == 0 && bytes[second..].ends_with(&[0; 64]) && bytes[second + 8] == 1);
    assert_eq!(all(folder.path()), [first, b"second".to_vec()]);
}

#[test]
fn one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = open(folder.path());
    assert!(matches!(Writer::open(folder.path(), SMALL), Err(OpenError::InUse(_))));
    drop(first);
    open(folder.path());
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &[b"first", b"second"]);
    let path = only_segment(folder.path());
    let good = fs::read(&path).unwrap();
    let second = HEAD_BYTES + RECORD_HEAD_BYTES + b"first".len();
    let end = second + RECORD_HEAD_BYTES + b"second".len();
    for torn in second..end {
        let mut bytes = good.clone();
        bytes[torn..end].fill(0);
        fs::write(&path, &bytes).unwrap();
        let (mut writer, recovered) = open(folder.path());
        assert_eq!(recovered.next_number, 2, "{torn}");
        assert!(recovered.cut_bytes <= (torn - second) as u64, "{torn}");
        writer.append(1, 2, &[b"other"]).unwrap();
        writer.write().unwrap();
        assert_eq!(all(folder.path()), [b"first".to_vec(), b"other".to_vec()], "{torn}");
        // The same in a file that ends there.
        fs::write(&path, &good[..torn]).unwrap();
        drop(writer);
        assert_eq!(open(folder.path()).1.next_number, 2, "{torn}");
        assert_eq!(all(folder.path()), [b"first".to_vec()], "{torn}");
    }
}

/// Where record 2 of three is, and its end.
fn three(directory: &Path, synced: u64) -> std::ops::Range<usize> {
    let (mut writer, _) = open(directory);
    for (number, payload) in (1..).zip([&b"first"[..], b"second", b"third"]) {
        writer.append(1, 2, &[payload]).unwrap();
        writer.write().unwrap();
        if number <= synced {
            writer.sync().unwrap();
        }
    }
    let second = HEAD_BYTES + RECORD_HEAD_BYTES + b"first".len();
    second..second + RECORD_HEAD_BYTES + b"second".len()
}

fn refused_and_unchanged(directory: &Path, bytes: &[u8], at: usize) {
    let path = only_segment(directory);
    fs::write(&path, bytes).unwrap();
    let opened = Writer::open(directory, SMALL);
    assert!(matches!(opened, Err(OpenError::Damaged { number: 2, .. })), "{at}: {opened:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "{at}");
    let mut reader = Reader::oldest(directory).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().payload, b"first");
    assert!(matches!(reader.next(), Err(ReadError::Damaged { number: 2, .. })), "{at}");
}

#[test]
fn damage_of_what_was_synced_is_an_error_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let second = three(folder.path(), 3);
    let good = fs::read(only_segment(folder.path())).unwrap();
    for with_mark in [true, false] {
        for at in second.clone() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            if !with_mark {
                // As old as may be: the third record says that the second was synced.
                fs::write(folder.path().join("synced"), b"").unwrap();
            }
            refused_and_unchanged(folder.path(), &bytes, at);
        }
    }
}

#[test]
fn what_the_last_sync_made_safe_and_is_gone_is_an_error_too() {
    let folder = tempfile::tempdir().unwrap();
    let second = three(folder.path(), 3);
    let mut gone = fs::read(only_segment(folder.path())).unwrap();
    gone[second.start..].fill(0);
    fs::write(only_segment(folder.path()), &gone).unwrap();
    let error = Writer::open(folder.path(), SMALL).unwrap_err().to_string();
    assert!(error.contains("where record 2 should be, and all up to 3 had been synced"), "{error}");
    // With all segments gone it is no journal that begins, however often it is opened, unless the mark was taken away, too.
    fs::remove_file(only_segment(folder.path())).unwrap();
    for _ in 0..2 {
        let error = Writer::open(folder.path(), SMALL).unwrap_err().to_string();
        assert!(error.contains("all records up to 3 had been synced, and no segment is there"), "{error}");
    }
    fs::remove_file(folder.path().join("synced")).unwrap();
    assert_eq!(open(folder.path()).1.next_number, 1);
    written(folder.path(), &[b"first"]);
    assert_eq!(open(folder.path()).1.next_number, 2);
}

#[test]
fn whole_records_behind_a_torn_one_that_was_never_synced_are_cut_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let second = three(folder.path(), 1);
    let good = fs::read(only_segment(folder.path())).unwrap();
    for at in second {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(only_segment(folder.path()), &bytes).unwrap();
        let (mut writer, recovered) = open(folder.path());
        assert_eq!(recovered.next_number, 2, "{at}");
        assert!(recovered.cut_bytes > 0);
        writer.append(1, 2, &[b"other"]).unwrap();
        writer.write().unwrap();
        assert_eq!(all(folder.path()), [b"first".to_vec(), b"other".to_vec()], "{at}");
    }
}

/// Records of before their synced was written have a zero there.
#[test]
fn of_records_that_do_not_say_what_was_synced_none_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let second = three(folder.path(), 0);
    let path = only_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let third = second.end..second.end + RECORD_HEAD_BYTES + b"third".len();
    bytes[third.start + 10..third.start + 12].fill(0);
    let crc = crc32fast::hash(&bytes[third.start + 4..third.end]);
    bytes[third.start..third.start + 4].copy_from_slice(&crc.to_le_bytes());
    bytes[second.start + RECORD_HEAD_BYTES] ^= 1;
    refused_and_unchanged(folder.path(), &bytes, second.start);
}

#[test]
fn segments_follow_each_other_and_a_reader_crosses_them() {
    let folder = tempfile::tempdir().unwrap();
    let payload = vec![7; 300_000];
    let (mut writer, _) = open(folder.path());
    for _ in 0..3 {
        for _ in 0..10 {
            writer.append(1, 2, &[&payload]).unwrap();
        }
        writer.write().unwrap();
    }
    let firsts = segment::list(folder.path()).unwrap();
    assert_eq!(firsts, [1, 7, 13, 19, 25]);
    assert_eq!(all(folder.path()).len(), 30);
    let mut reader = Reader::open(folder.path(), 20).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().number, 20);
    drop(writer);
    assert_eq!(open(folder.path()).1.next_number, 31);
    fs::remove_file(segment::path(folder.path(), 1)).unwrap();
    let gone = Reader::open(folder.path(), 3);
    assert!(matches!(gone, Err(ReadError::NoLongerHeld { oldest: 7, .. })));
}

#[test]
fn a_crash_between_two_segments_leaves_a_good_journal() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &[b"first"]);
    fs::write(folder.path().join("next.unfinished"), b"half of a segment").unwrap();
    // Made, and nothing written into it.
    drop(segment::create(folder.path(), 2, SMALL.segment_bytes).unwrap());
    let (mut writer, recovered) = open(folder.path());
    assert_eq!(recovered.next_number, 2);
    writer.append(1, 2, &[b"second"]).unwrap();
    writer.write().unwrap();
    assert_eq!(all(folder.path()), [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn a_reader_follows_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::open(folder.path(), 1).unwrap();
    assert!(reader.next().unwrap().is_none(), "nothing is there yet");
    let (mut writer, _) = open(folder.path());
    for number in 1..=20 {
        writer.append(number as u16, 2, &[&vec![1; 200_000]]).unwrap();
        assert!(reader.next().unwrap().is_none(), "not written");
        writer.write().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().number, number);
    }
}

#[test]
fn a_reader_of_records_to_come_is_not_shown_those_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut before_all = Reader::open(folder.path(), 3).unwrap();
    assert!(before_all.next().unwrap().is_none(), "nothing is there yet");
    written(folder.path(), &[b"first"]);
    let mut after_one = Reader::open(folder.path(), 3).unwrap();
    for reader in [&mut before_all, &mut after_one] {
        assert!(reader.next().unwrap().is_none(), "the first is not asked for");
        assert_eq!(reader.next_number(), 3);
    }
    written(folder.path(), &[b"second", b"third"]);
    for reader in [&mut before_all, &mut after_one] {
        assert_eq!(reader.next().unwrap().unwrap().payload, b"third");
        assert!(reader.next().unwrap().is_none());
    }
}

#[test]
fn bounds_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(folder.path(), Limits { buffer_bytes_max: 100, ..SMALL }).unwrap();
    assert_eq!(writer.append(1, 2, &[&vec![0; PAYLOAD_MAX + 1]]), Err(AppendError::TooLong));
    assert_eq!(writer.append(1, 2, &[&[0; 60]]), Ok(1));
    assert_eq!(writer.append(1, 2, &[&[0; 60]]), Err(AppendError::BufferFull));
    writer.write().unwrap();
    assert_eq!(writer.append(1, 2, &[&[0; 60]]), Ok(2));
    let limits = Limits { segment_bytes: 1_000, ..SMALL };
    assert!(matches!(Writer::open(&folder.path().join("x"), limits), Err(OpenError::Limits { .. })));
}

/// The directory goes away under the writer, as a disk that is full does: the next segment cannot be made.
#[test]
fn what_could_not_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, aside) = (folder.path().join("journal"), folder.path().join("aside"));
    let (mut writer, _) = open(&directory);
    writer.append(1, 2, &[b"before"]).unwrap();
    writer.write().unwrap();
    fs::rename(&directory, &aside).unwrap();
    for _ in 0..3 {
        writer.append(1, 2, &[&vec![5; 900_000]]).unwrap();
    }
    writer.write().unwrap_err();
    writer.write().unwrap_err();
    assert!(writer.waiting_bytes() > 0);
    writer.append(1, 2, &[b"after"]).unwrap();
    fs::rename(&aside, &directory).unwrap();
    writer.write().unwrap();
    assert_eq!(writer.waiting_bytes(), 0);
    let lens: Vec<_> = all(&directory).iter().map(Vec::len).collect();
    assert_eq!(lens, [6, 900_000, 900_000, 900_000, 5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_in_comes_out(
        batches in prop::collection::vec(prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20), 1..8),
        reopened in any::<u8>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        let mut writer = open(folder.path()).0;
        for (index, batch) in batches.iter().enumerate() {
            if reopened >> (index % 8) & 1 == 1 {
                drop(writer);
                writer = open(folder.path()).0;
            }
            for (kind, payload) in batch {
                let number = writer.append(*kind, 9, &[payload]).unwrap();
                expected.push((number, *kind, payload.clone()));
            }
            writer.write().unwrap();
        }
        let mut reader = Reader::oldest(folder.path()).unwrap();
        for (number, kind, payload) in expected {
            let record = reader.next().unwrap().unwrap();
            prop_assert_eq!((record.number, record.kind, record.payload), (number, kind, payload.as_slice()));
        }
        prop_assert!(reader.next().unwrap().is_none());
    }
}

/// What a disk has after a loss of power: of each sector that was written since the last sync, what it had then or what it
/// was given. Sectors are shorter here than any disk's, so that records lie across many.
const SECTOR_BYTES: usize = 64;

fn after_a_loss_of_power(synced: &[u8], written: &[u8], kept: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = written.to_vec();
    for (index, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
        let at = index * SECTOR_BYTES;
        if !kept(index) {
            let old = synced.get(at..at + sector.len());
            sector.copy_from_slice(old.unwrap_or(&[0; SECTOR_BYTES][..sector.len()]));
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever sectors of the last records reached the disk, and whichever of the marks did: the journal opens, has all that
    /// was synced, and of what comes behind a beginning.
    #[test]
    fn a_loss_of_power_costs_nothing_that_was_synced(
        groups in prop::collection::vec((prop::collection::vec(0_usize..300, 1..6), any::<bool>()), 1..8),
        kept in any::<[u64; 2]>(),
        mark_of in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(folder.path());
        let path = only_segment(folder.path());
        let (mut payloads, mut safe, mut safe_bytes) = (Vec::new(), 0, format::head(1).to_vec());
        let mut marks = vec![Vec::new()];
        for (group, sync) in &groups {
            for len in group {
                let payload: Vec<u8> = (0..*len).map(|at| (at * 7 + payloads.len() * 31) as u8 | 1).collect();
                writer.append(1, 2, &[&payload]).unwrap();
                payloads.push(payload);
            }
            writer.write().unwrap();
            if *sync {
                writer.sync().unwrap();
                safe = payloads.len();
                safe_bytes = fs::read(&path).unwrap();
                marks.push(fs::read(folder.path().join("synced")).unwrap());
            }
        }
        drop(writer);
        let written = fs::read(&path).unwrap();
        safe_bytes.resize(written.len(), 0);
        let bytes = after_a_loss_of_power(&safe_bytes, &written, |sector| kept[sector / 64 % 2] >> (sector % 64) & 1 == 1);
        fs::write(&path, &bytes).unwrap();
        fs::write(folder.path().join("synced"), mark_of.get(&marks)).unwrap();
        let (mut writer, recovered) = open(folder.path());
        let left = recovered.next_number as usize - 1;
        prop_assert!((safe..=payloads.len()).contains(&left), "{left} of {safe}");
        writer.append(1, 2, &[b"other"]).unwrap();
        writer.write().unwrap();
        payloads.truncate(left);
        payloads.push(b"other".to_vec());
        prop_assert_eq!(all(folder.path()), payloads);
    }

    /// A bit that flips in what was synced is found, however far behind the mark is, unless the mark has nothing of the very
    /// last sync.
    #[test]
    fn damage_of_what_was_synced_is_not_taken_for_a_torn_end(
        groups in prop::collection::vec(prop::collection::vec(1_usize..300, 1..6), 2..6),
        bit in any::<prop::sample::Index>(),
        mark_of in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(folder.path());
        let path = only_segment(folder.path());
        let (mut ends, mut marks, mut number, mut end) = (Vec::new(), vec![Vec::new()], 0, HEAD_BYTES);
        for group in &groups {
            for len in group {
                number = writer.append(1, 2, &[&vec![0xa5; *len]]).unwrap();
                end += RECORD_HEAD_BYTES + len;
            }
            writer.write().unwrap();
            writer.sync().unwrap();
            ends.push(end);
            marks.push(fs::read(folder.path().join("synced")).unwrap());
        }
        prop_assert!(number >= 2);
        drop(writer);
        let mut bytes = fs::read(&path).unwrap();
        let mark_of = mark_of.index(marks.len());
        fs::write(folder.path().join("synced"), &marks[mark_of]).unwrap();
        // Of the last group only where its own mark is there.
        let until = if mark_of == groups.len() { ends[groups.len() - 1] } else { ends[groups.len() - 2] };
        let bit = bit.index((until - HEAD_BYTES) * 8);
        bytes[HEAD_BYTES + bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let opened = Writer::open(folder.path(), SMALL);
        prop_assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{:?}", opened);
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
