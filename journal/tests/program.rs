//! The program `journal`: what it says of what is there, and of what is not.

use journal::{Limits, Writer};
use std::path::Path;
use std::process::Command;

/// Exit code, standard output and standard error.
fn journal(command: &str, directory: &Path) -> (Option<i32>, String, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_journal")).arg(command).arg(directory).output();
    let ended = ended.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

fn open(directory: &Path) -> Writer {
    Writer::open(directory, Limits { segment_bytes: 2 << 20, buffer_bytes_max: 4 << 20 }).expect("opened").0
}

#[test]
fn a_directory_without_a_journal_is_no_good_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in ["verify", "print"] {
        let (code, out, error) = journal(command, folder.path());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{command}");
        let expected = format!("journal: {}: there is no journal in it", folder.path().display());
        assert!(error.starts_with(&expected), "{error}");
        let (code, _, error) = journal(command, &folder.path().join("nowhere"));
        assert!(code == Some(1) && error.contains("No such file"), "{error}");
    }
}

#[test]
fn one_without_a_record_yet_is_good_and_one_whose_segments_are_gone_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = open(folder.path());
    assert_eq!(journal("verify", folder.path()), (Some(0), "no record\n".to_owned(), String::new()));
    writer.append(1, 2, &[b"one"]).expect("taken");
    writer.write().expect("written");
    writer.sync().expect("synced");
    let (code, out, _) = journal("verify", folder.path());
    assert!(code == Some(0) && out.starts_with("1 records, 1 to 1\n"), "{out}");
    std::fs::remove_file(folder.path().join("00000000000000000001.journal")).expect("it is there");
    assert_eq!(journal("verify", folder.path()).0, Some(1));
}
