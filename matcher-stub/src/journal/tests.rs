use super::*;

const PRINT: u64 = 7;

fn open(directory: &Path) -> Result<(Journal, Found, Vec<Vec<u8>>), JournalError> {
    let mut records = Vec::new();
    let (journal, found) = Journal::open(directory, Durability::Write, (PRINT, 1), |record| {
        records.push(record.to_vec());
        Ok(())
    })?;
    Ok((journal, found, records))
}

/// A journal of these records, and its bytes.
fn written(directory: &Path, records: &[&[u8]]) -> Vec<u8> {
    let (mut journal, ..) = open(directory).unwrap();
    records.iter().for_each(|record| journal.append(record).unwrap());
    std::fs::read(directory.join("inputs")).unwrap()
}

#[test]
fn what_was_appended_is_there_again_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("made/for/it");
    written(&directory, &[b"one", b"two"]);
    let (mut journal, found, records) = open(&directory).unwrap();
    assert_eq!(records, [b"one", b"two"]);
    assert_eq!((found.records, found.cut_bytes, found.begun_unix_ns), (2, 0, 1));
    journal.append(b"three").unwrap();
    drop(journal);
    assert_eq!(open(&directory).unwrap().2.len(), 3);
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = written(folder.path(), &[b"first", b"second"]);
    let whole = bytes.len() - (HEAD_LEN + b"second".len());
    for len in whole..bytes.len() {
        std::fs::write(folder.path().join("inputs"), &bytes[..len]).unwrap();
        let (mut journal, found, records) = open(folder.path()).unwrap();
        assert_eq!((records.as_slice(), found.cut_bytes), (&[b"first".to_vec()][..], (len - whole) as u64));
        journal.append(b"other").unwrap();
        drop(journal);
        assert_eq!(open(folder.path()).unwrap().2, [b"first", b"other"]);
    }
    // Power was lost: the file is as long as it should be, and its end was never written.
    let mut zeros = bytes.clone();
    zeros[whole..].fill(0);
    zeros.resize(bytes.len() + 4_096, 0);
    std::fs::write(folder.path().join("inputs"), &zeros).unwrap();
    assert_eq!(open(folder.path()).unwrap().2, [b"first"]);
}

#[test]
fn damage_with_good_records_behind_it_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = written(folder.path(), &[b"first", b"second", b"third"]);
    let second = bytes.len() - 2 * HEAD_LEN - b"secondthird".len();
    for at in second..second + HEAD_LEN + b"second".len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(folder.path().join("inputs"), &damaged).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { offset, .. } if offset == second as u64),
            "byte {at}: {error}"
        );
        assert_eq!(std::fs::read(folder.path().join("inputs")).unwrap(), damaged, "nothing was changed");
    }
}

#[test]
fn one_process_has_it_and_it_is_of_these_settings() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, ..) = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()).unwrap_err(), JournalError::InUse(_)));
    drop(journal);
    let others = Journal::open(folder.path(), Durability::Sync, (PRINT + 1, 1), |_| Ok(()));
    assert!(matches!(others.unwrap_err(), JournalError::Settings(_)));
    let refused = |_: &[u8]| Err(InputError::Kind(9));
    let (mut journal, ..) = open(folder.path()).unwrap();
    journal.append(b"x").unwrap();
    drop(journal);
    let error = Journal::open(folder.path(), Durability::Write, (PRINT, 1), refused).unwrap_err();
    assert!(error.to_string().ends_with("input of unknown kind 9"), "{error}");
    std::fs::write(folder.path().join("inputs"), [7; 100]).unwrap();
    assert!(matches!(open(folder.path()).unwrap_err(), JournalError::Foreign(_)));
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path()).unwrap();
    journal.append(b"one").unwrap();
    // A file that takes no writes stands in for a disk that does not; one that was half written, for its rest.
    let good = std::mem::replace(&mut journal.file, File::open(folder.path().join("inputs")).unwrap());
    assert!(journal.append(b"two").is_err() && journal.append(b"two").is_err());
    good.write_all_at(b"half of a record that is longer than the next", journal.end).unwrap();
    journal.file = good;
    journal.append(b"three").unwrap();
    assert_eq!((journal.counts.records, journal.counts.errors), (2, 2));
    drop(journal);
    let (_, found, records) = open(folder.path()).unwrap();
    assert_eq!((records, found.cut_bytes), (vec![b"one".to_vec(), b"three".to_vec()], 0));
}
