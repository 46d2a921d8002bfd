//! Recorded days become frames, and the frames give the recorded values back.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]
mod recorded;

use std::fs;
use std::path::{Path, PathBuf};

use loadgen::ticks::{Counts, Day, DayError, Market, Row, TableError};
use wire::szse::frame;

/// A folder with `entrust.csv`, `trade.csv` and `snapshot.csv` of a real day; they are nobody's to redistribute.
const REAL_DAY: &str = "TONGDAO_TICKS";

fn sample(market: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(market).join("20240105")
}

/// Streams the folder, decodes every frame and compares every field with the files; says how many rows there were.
fn round_trip(folder: &Path, number_column: &str) -> (Counts, [u64; 3]) {
    let mut wanted = recorded::Day::read(folder);
    let sequence = wanted.sequence(number_column);
    let mut day = Day::open(folder, Some(20_240_105)).unwrap();
    let (mut bytes, mut kinds, mut ticks, mut time) = (Vec::new(), Vec::new(), 0, None);
    while let Some(tick) = day.next(&mut bytes) {
        let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        assert_eq!(frame.bytes.len(), bytes.len());
        let kind = wanted.expect(&Row::from_frame(&frame).unwrap());
        if kind < 2 {
            ticks += 1;
            assert_eq!(tick.number, ticks, "one sequence from 1, without a hole");
            kinds.push(kind);
        }
        assert!(time <= Some(tick.time), "time goes on");
        time = Some(tick.time);
        bytes.clear();
    }
    assert_eq!(wanted.left(), [0; 3]);
    assert_eq!(day.bad_rows(), []);
    assert_eq!(
        kinds,
        sequence.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(),
        "in the order of the exchange"
    );
    assert_eq!(day.channels().map(|(_, last)| last).sum::<u64>(), ticks);
    (day.counts(), wanted.compared)
}

#[test]
fn shanghai_comes_back_field_by_field() {
    let (counts, compared) = round_trip(&sample("sse"), "BizIndex");
    assert_eq!(compared, [54, 18, 9]);
    assert_eq!(counts, Counts { orders: 54, trades: 18, snapshots: 9, bad: 0, underivable: 0 });
}

#[test]
fn shenzhen_comes_back_field_by_field() {
    let (counts, compared) = round_trip(&sample("szse"), "ApplSeqNum");
    assert_eq!(compared, [30, 16, 3]);
    assert_eq!(counts, Counts { orders: 30, trades: 16, snapshots: 3, bad: 0, underivable: 0 });
}

#[test]
fn a_real_day_comes_back_field_by_field() {
    let Some(folder) = std::env::var_os(REAL_DAY) else {
        eprintln!(
            "skipped: set {REAL_DAY} to a folder with entrust.csv, trade.csv and snapshot.csv of a real day"
        );
        return;
    };
    let (counts, compared) = round_trip(Path::new(&folder), "BizIndex");
    assert_eq!(compared, [counts.orders, counts.trades, counts.snapshots]);
    assert_eq!((counts.bad, counts.underivable), (0, 0));
    eprintln!("{counts:?}");
}

#[test]
fn a_bad_row_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["trade.csv", "snapshot.csv"] {
        fs::copy(sample("sse").join(name), folder.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(sample("sse").join("entrust.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines[2] = lines[2].replace(",45.710000000000001,", ",45.71O,");
    lines[4] = lines[4].replace(",A,", ",X,");
    lines[6] = "0,1,4".to_string();
    // After the good lines around it, this one is older than its place.
    lines[8] = lines[8].replace(",5032,", ",5031,");
    fs::write(folder.path().join("entrust.csv"), lines.join("\n")).unwrap();

    let mut day = Day::open(folder.path(), Some(20_240_105)).unwrap();
    let mut bytes = Vec::new();
    let numbers: Vec<u64> =
        std::iter::from_fn(|| day.next(&mut bytes)).map(|tick| tick.number).filter(|&n| n > 0).collect();
    assert_eq!(numbers, (1..=54 + 18 - 4).collect::<Vec<_>>(), "the rest has no hole");
    let said: Vec<String> = day.bad_rows().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "entrust.csv, line 3: OrderPrice: not a decimal number",
            "entrust.csv, line 5: OrderType: not A or D",
            "entrust.csv, line 7: 3 fields where the header has 13",
            "entrust.csv, line 9: number 5031 of channel 4 after 5031",
        ]
    );
    assert_eq!(day.counts().bad, 4);
}

#[test]
fn a_folder_that_is_no_day_says_why() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Day::open(folder.path(), Some(20_240_105)), Err(DayError::NoFile(_))));
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sse/20240105/trade.csv");
    fs::copy(sample, folder.path().join("trade.csv")).unwrap();
    assert!(matches!(Day::open(folder.path(), None), Err(DayError::NoDate(_))));
    fs::write(folder.path().join("trade.csv"), "A,B\n1,2\n").unwrap();
    let error = Day::open(folder.path(), Some(20_240_105)).err().unwrap();
    assert!(matches!(error, DayError::File { error: TableError::MissingColumn("TradeChan"), .. }), "{error}");
}

#[test]
fn finds_the_day_inside_an_unpacked_archive() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("20240105");
    fs::create_dir(&inside).unwrap();
    fs::copy(sample("szse").join("trade.csv"), inside.join("trade.csv")).unwrap();
    let day = Day::open(folder.path(), None).unwrap();
    assert_eq!((day.date(), day.market()), (20_240_105, Market::Szse));
}

#[test]
fn a_folder_that_is_not_there_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("20240105");
    let text = |folder: &Path| Day::open(folder, None).err().unwrap().to_string();
    assert_eq!(text(&missing), format!("{}: there is no such folder", missing.display()));
    assert!(text(folder.path()).contains("none of entrust.csv"), "{}", text(folder.path()));
}
