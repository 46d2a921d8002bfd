use super::*;
use flow::{Cursor, Filter, Limits, Selection, Tag, Writer};
use proptest::prelude::*;
use service::prometheus::Registry;
use tempfile::TempDir;
use wire::szse::market::TickOrder;
use wire::szse::{I64, Text, U16, frame};

const NOON: u64 = 1_767_585_600_000_000_000;
const DAY: u64 = 86_400_000_000_000;

/// A log, and what is kept of it.
struct Kept {
    log: Writer,
    retention: Retention,
    keeper: Keeper,
    recaller: Recaller,
    metrics: Metrics,
    unix_ns: u64,
}

fn kept(folder: &TempDir, unix_ns: u64) -> Kept {
    let log = Writer::new(Limits { segment_bytes: 1_024, window_bytes: 8_192 });
    let config = config::Retention { readers_max: 2, ..config::Retention::new(folder.path().join("kept")) };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let directory = Directory::new(100);
    let opened = Retention::open(&config, log.reader(), directory, &metrics, unix_ns);
    let (retention, Threads { keeper, recaller }) = opened.unwrap();
    Kept { log, retention, keeper, recaller, metrics, unix_ns }
}

fn tick(lane: u16, number: u64) -> Vec<u8> {
    let order = TickOrder {
        channel_no: U16::new(lane),
        appl_seq_num: I64::new(number as i64),
        security_id: Text::literal("000001"),
        security_id_source: Text::literal("102"),
        ..TickOrder::default()
    };
    let mut bytes = Vec::new();
    frame::encode(&order, &mut bytes);
    bytes
}

fn numbers_of(mut bytes: &[u8]) -> Vec<(u16, u64)> {
    let mut numbers = Vec::new();
    while let Some(frame) = frame::decode(bytes, 1_000).unwrap() {
        let order: &TickOrder = frame.view().unwrap();
        numbers.push((order.channel_no.get(), order.appl_seq_num.get() as u64));
        bytes = &bytes[frame.bytes.len()..];
    }
    numbers
}

impl Kept {
    fn append(&mut self, lane: u16, number: u64) {
        self.log.append(Tag { lane, number, key: 1 }, &tick(lane, number)).unwrap();
    }

    /// What is appended is seen, and kept.
    fn publish(&mut self) {
        self.log.publish();
        self.keeper.follow(self.unix_ns);
    }

    fn append_all(&mut self, lane: u16, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            self.append(lane, number);
            if number % 8 == 0 {
                self.publish();
            }
        }
        self.publish();
    }

    /// All that one gets who wants a lane from a number on: from disk until memory has its place, then from there.
    fn read(
        &mut self,
        lane: u16,
        number: u64,
        pieces_between: &mut dyn FnMut(&mut Self),
    ) -> Option<Vec<u64>> {
        let mut log = self.log.reader();
        let wanted = |floor| Selection::new(Filter::lanes([lane])).from_numbers([(lane, floor)]);
        let mut numbers = Vec::new();
        let mut seq = log.find(lane, number);
        if let Some(mut record) = self.retention.find(&log, lane, number) {
            loop {
                log.refresh();
                if let Some(place) = self.retention.in_memory(&log, record) {
                    seq = Ok(place);
                    break;
                }
                let piece = self.recaller.piece(0, record, &Want::Selection(wanted(number)));
                assert!(piece.next > record || piece.gone, "it gets on");
                if piece.gone {
                    return None;
                }
                numbers.extend(numbers_of(&piece.frames));
                record = piece.next;
                pieces_between(self);
            }
        }
        let floor = self.retention.before().get(&lane).map_or(number, |next| number.max(*next));
        let selection = wanted(floor);
        let mut cursor = Cursor::at(seq.ok()?);
        while let Some(entry) = log.entry(cursor.seq()).ok()? {
            if selection.wants(entry.tag) {
                numbers.push((entry.tag.lane, entry.tag.number));
            }
            cursor = Cursor::at(entry.seq + 1);
        }
        assert!(numbers.iter().all(|(of, _)| *of == lane));
        Some(numbers.into_iter().map(|(_, number)| number).collect())
    }

    fn read_all(&mut self, lane: u16, number: u64) -> Option<Vec<u64>> {
        self.read(lane, number, &mut |_| {})
    }
}

fn all(numbers: std::ops::RangeInclusive<u64>) -> Option<Vec<u64>> {
    Some(numbers.collect())
}

#[test]
fn what_memory_let_go_comes_from_disk_and_memory_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = kept(&folder, NOON);
    for number in 1..=3_000 {
        kept.append(1, number);
        kept.append(2, 2 * number);
        kept.publish();
    }
    assert!(kept.log.reader().find(1, 1).is_err(), "memory has let go of it");
    assert_eq!(kept.read_all(1, 1), all(1..=3_000));
    assert_eq!(kept.read_all(1, 1_234), all(1_234..=3_000));
    assert_eq!(kept.read_all(2, 5_001).unwrap()[0], 5_002);
    assert_eq!(kept.read_all(1, 2_999), all(2_999..=3_000), "memory alone");
}

#[test]
fn a_range_says_what_it_lacks_and_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = kept(&folder, NOON);
    kept.append_all(1, 1..=500);
    kept.append_all(1, 503..=9_000);
    let range = |begin, end| Want::Range { lane: 1, begin, end, bounds: None };
    let record = kept.retention.find(&kept.log.reader(), 1, 499).unwrap();
    let piece = kept.recaller.piece(7, record, &range(499, 504));
    let numbers: Vec<u64> = piece.numbers.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, piece.frames_count, piece.ticket), (vec![499, 500, 503, 504], 4, 7));
    let whole = kept.recaller.piece(8, 1, &range(1, 8_000));
    assert!((96 << 10..97 << 10).contains(&whole.frames.len()), "a piece, not all of it");
}

#[test]
fn a_restart_goes_on_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    kept(&folder, NOON).append_all(1, 1..=1_000);
    let mut kept = kept(&folder, NOON + DAY / 4);
    assert_eq!(kept.retention.before(), BTreeMap::from([(1, 1_001)]));
    // What the log says of a channel that goes on: those numbers are not in memory.
    kept.log.append(Tag { lane: 1, number: 1_000, key: Tag::EVERYONE }, b"a notice").unwrap();
    kept.append_all(1, 1_001..=1_500);
    assert_eq!(kept.read_all(1, 1), all(1..=1_500));
    assert_eq!(kept.read_all(1, 1_000), all(1_000..=1_500));
}

#[test]
fn what_does_not_join_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    kept(&folder, NOON).append_all(1, 1..=1_000);
    let mut kept = kept(&folder, NOON);
    kept.retention.give_up_before();
    kept.append_all(1, 1..=700);
    assert_eq!(kept.read_all(1, 1), all(1..=700));
    assert!(kept.retention.before().is_empty());
}

#[test]
fn another_day_and_damage_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    kept(&folder, NOON).append_all(1, 1..=1_000);
    let mut tomorrow = kept(&folder, NOON + DAY);
    assert!(tomorrow.retention.before().is_empty());
    assert_eq!(tomorrow.metrics.retention_discarded.get(), 1);
    tomorrow.append_all(1, 1..=400);
    assert_eq!(tomorrow.read_all(1, 1), all(1..=400));
    drop(tomorrow);
    let file = segment(&folder.path().join("kept"), 1);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut kept = kept(&folder, NOON + DAY);
    assert!(kept.retention.before().is_empty());
    kept.append_all(1, 1..=300);
    assert_eq!(kept.read_all(1, 1), all(1..=300));
}

/// What a crash leaves at the end is cut; the channel goes on where the whole records end.
#[test]
fn a_torn_tail_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    kept(&folder, NOON).append_all(1, 1..=1_000);
    let file = segment(&folder.path().join("kept"), 1);
    let mut bytes = std::fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 20..=end].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let mut kept = kept(&folder, NOON);
    assert_eq!(kept.retention.before(), BTreeMap::from([(1, 1_000)]));
    kept.log.append(Tag { lane: 1, number: 999, key: Tag::EVERYONE }, b"a notice").unwrap();
    kept.append_all(1, 1_000..=1_400);
    assert_eq!(kept.read_all(1, 1), all(1..=1_400));
}

/// A disk that takes no more stops retention; the log goes on, and readers are told.
#[test]
fn a_disk_that_fails_stops_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = kept(&folder, NOON);
    kept.append_all(1, 1..=1_000);
    assert_eq!(kept.metrics.retention_on.get(), 1);
    // Nothing can be made in a folder that is a file.
    std::fs::remove_dir_all(folder.path().join("kept")).unwrap();
    std::fs::write(folder.path().join("kept"), b"").unwrap();
    let mut number = 1_000;
    while kept.metrics.retention_stopped.get() == 0 {
        kept.append_all(1, number + 1..=number + 1_000);
        number += 1_000;
        assert!(number < 1_000_000, "a new file is needed after {SEGMENT_BYTES} bytes");
    }
    assert_eq!(kept.metrics.retention_on.get(), 0);
    assert_eq!(kept.read_all(1, 1), None);
    assert!(kept.recaller.piece(0, 1, &Want::Selection(Selection::new(Filter::All))).gone);
    kept.append_all(1, number + 1..=number + 10);
    assert_eq!(kept.read_all(1, number + 1), all(number + 1..=number + 10));
}

#[test]
fn the_oldest_goes_when_there_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = kept(&folder, NOON);
    // Some six files of 16 MiB, of which three may stay.
    kept.keeper.limit(4 * SEGMENT_BYTES);
    let big = vec![b'.'; 1_000];
    for number in 1..=96_000 {
        kept.log.append(Tag { lane: 1, number, key: 1 }, &big).unwrap();
        kept.publish();
    }
    let files = segments(&folder.path().join("kept")).unwrap();
    assert!(files.len() <= 4 && files[0] > 1, "{files:?}");
    let log = kept.log.reader();
    assert_eq!(kept.retention.find(&log, 1, 1), None);
    let record = kept.retention.find(&log, 1, 90_000).unwrap();
    assert!(kept.recaller.piece(0, 1, &Want::Selection(Selection::new(Filter::All))).gone);
    assert!(!kept.recaller.piece(0, record, &Want::Selection(Selection::new(Filter::All))).gone);
}

#[test]
fn no_more_read_at_a_time_than_may() {
    let folder = tempfile::tempdir().unwrap();
    let kept = kept(&folder, NOON);
    let seats = [kept.retention.seat().unwrap(), kept.retention.seat().unwrap()];
    assert!(kept.retention.seat().is_none());
    drop(seats);
    let reading = Reading::new(kept.retention.seat().unwrap(), 1, 1);
    assert!(!reading.asked);
}

#[test]
fn a_keeper_that_is_too_slow_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = kept(&folder, NOON);
    (1..=1_000).for_each(|number| kept.append(1, number));
    kept.publish();
    assert_eq!(kept.metrics.retention_stopped.get(), 1);
}

proptest! {
    /// Whenever one comes and whatever is written meanwhile, over restarts: each number from the one asked for, once.
    #[test]
    fn nothing_is_missing_between_disk_and_memory(
        runs in prop::collection::vec((1_u64..400, 0_u64..3, 1_u64..20), 1..4),
        from in 1_u64..600,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut last, mut written) = (0, Vec::new());
        for (count, hole, step) in runs {
            let mut kept = kept(&folder, NOON);
            if let Some(next) = kept.retention.before().get(&1) {
                let notice = Tag { lane: 1, number: next - 1, key: Tag::EVERYONE };
                kept.log.append(notice, b"a notice").unwrap();
            }
            for number in last + 1..=last + count {
                if number % 50 >= hole {
                    kept.append(1, number);
                    written.push(number);
                }
                kept.append(2, number);
                kept.publish();
            }
            last += count;
            let begin = from.min(last);
            let read = kept.read(1, begin, &mut |kept| {
                for number in last + 1..=last + step {
                    kept.append(1, number);
                    written.push(number);
                }
                last += step;
                kept.publish();
            });
            let expected: Vec<u64> = written.iter().copied().filter(|number| *number >= begin).collect();
            if !expected.is_empty() {
                prop_assert_eq!(read, Some(expected));
            }
        }
    }
}
