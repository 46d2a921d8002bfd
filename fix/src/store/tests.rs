//! All stores keep the same promises; the file keeps them across restarts and torn ends, the batches wherever they are kept.

use std::fs;

use super::*;

/// A place of the first flow.
fn at(lane: u16, number: u64) -> Mark {
    Mark { lane, flow: 1, number }
}

/// How far the first flow's lanes came.
fn marks<const N: usize>(store: &impl Store, lanes: [u16; N]) -> [u64; N] {
    lanes.map(|lane| store.marks().of(lane, 1))
}

fn keeps_its_promises(store: &mut impl Store) {
    assert_eq!((store.next_sender(), store.next_target()), (1, 1));
    for number in 1..=5_u64 {
        store.append(format!("message {number}").as_bytes()).expect("kept");
        assert_eq!(store.next_sender(), number + 1);
    }
    store.set_next_target(42).expect("kept");
    let mut out = b"before ".to_vec();
    assert_eq!(store.read(3, &mut out), Ok(true));
    store.commit().expect("safe");
    assert_eq!(store.read(5, &mut out), Ok(true));
    assert_eq!(out, b"before message 3message 5");
    assert_eq!(store.read(0, &mut out), Ok(false));
    assert_eq!(store.read(6, &mut out), Ok(false));
    assert_eq!((store.next_sender(), store.next_target()), (6, 42));
    store.set_mark(at(7, 30));
    assert_eq!(marks(store, [7]), [0], "not without its message");
    store.append(b"made of a flow").expect("kept");
    store.append(b"not made of one").expect("kept");
    store.set_mark(at(9, 4));
    store.append(b"made of another lane").expect("kept");
    out.clear();
    assert_eq!(store.read(6, &mut out), Ok(true));
    assert_eq!(out, b"made of a flow");
    assert_eq!(marks(store, [7, 8, 9]), [30, 0, 4]);
    store.reset(OnReset::Continue).expect("empty");
    assert_eq!((store.next_sender(), store.next_target()), (1, 1));
    assert_eq!(store.read(1, &mut out), Ok(false));
    assert_eq!(marks(store, [7, 8, 9]), [30, 0, 4]);
    // A new flow begins at 1 in one of its lanes: what was had of the one before says nothing of it.
    store.set_mark(Mark { lane: 7, flow: 2, number: 1 });
    store.append(b"of a new day").expect("kept");
    assert_eq!((marks(store, [7, 9]), store.marks().of(7, 2)), ([0, 4], 1));
    store.set_mark(Mark { lane: 7, flow: 2, number: 2 });
    store.append(b"anew").expect("kept");
    store.reset(OnReset::Continue).expect("empty");
    assert_eq!(store.marks().all(), [Mark { lane: 7, flow: 2, number: 2 }, at(9, 4)]);
    store.reset(OnReset::Replay).expect("empty");
    assert_eq!(marks(store, [7, 8, 9]), [0, 0, 0]);
}

#[test]
fn memory_keeps_its_promises() {
    keeps_its_promises(&mut MemoryStore::new(1_000));
}

#[test]
fn a_file_keeps_its_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    for durability in [Durability::Process, Durability::Power] {
        let limits = FileLimits { durability, ..FileLimits::default() };
        let path = folder.path().join(format!("{durability:?}"));
        keeps_its_promises(&mut FileStore::open(&path, limits).expect("open"));
    }
}

#[test]
fn memory_lets_the_oldest_go() {
    let mut store = MemoryStore::new(10);
    for message in [&b"aaaa"[..], b"bbbb", b"cc", b"dddd"] {
        store.append(message).expect("kept");
    }
    let mut out = Vec::new();
    let held: Vec<_> = (1..=4).map(|number| store.read(number, &mut out).expect("readable")).collect();
    assert_eq!(held, [false, true, true, true]);
    assert_eq!(out, b"bbbbccdddd");
    store.append(&[b'x'; 11]).expect("kept");
    assert_eq!(store.read(5, &mut out), Ok(false), "larger than the store");
    assert_eq!(store.next_sender(), 6);
}

#[test]
fn a_file_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("session");
    let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
    assert_eq!(
        FileStore::open(&path, FileLimits::default()).map(|_| ()),
        Err(StoreError::InUse),
        "one process has it"
    );
    store.append(b"one").expect("kept");
    store.set_next_target(7).expect("kept");
    store.commit().expect("safe");
    store.append(b"lost").expect("kept");
    drop(store);
    let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
    assert_eq!((store.next_sender(), store.next_target(), store.cut_bytes()), (2, 7, 0));
    store.append(b"two").expect("kept");
    store.commit().expect("safe");
    let mut out = Vec::new();
    assert!(store.read(1, &mut out).expect("readable") && store.read(2, &mut out).expect("readable"));
    assert_eq!(out, b"onetwo");
}

#[test]
fn a_mark_and_its_message_are_kept_together_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("session");
    let open = || FileStore::open(&path, FileLimits::default()).expect("open");
    let mut store = open();
    store.set_mark(at(2, 10));
    store.append(b"ten").expect("kept");
    store.commit().expect("safe");
    let safe = fs::read(&path).expect("read").len();
    store.set_mark(at(2, 11));
    store.append(b"eleven").expect("kept");
    store.commit().expect("safe");
    drop(store);
    let whole = fs::read(&path).expect("read");
    for len in safe..=whole.len() {
        fs::write(&path, &whole[..len]).expect("written");
        let store = open();
        let expected = if len == whole.len() { (3, [11]) } else { (2, [10]) };
        assert_eq!((store.next_sender(), marks(&store, [2])), expected, "cut at {len}");
    }
    let mut store = open();
    let mut out = Vec::new();
    assert!(store.read(1, &mut out).expect("readable") && store.read(2, &mut out).expect("readable"));
    assert_eq!(out, b"teneleven");
    store.reset(OnReset::Continue).expect("empty");
    drop(store);
    let mut store = open();
    assert_eq!((store.next_sender(), marks(&store, [2])), (1, [11]), "a reset and a restart");
    store.set_mark(at(2, 12));
    let long = vec![b'x'; FileLimits::default().message_bytes_max as usize + 1];
    assert_eq!(store.append(&long), Err(StoreError::Full));
    store.append(b"of no flow").expect("kept");
    assert_eq!(marks(&store, [2]), [11], "a mark does not wait for another message");
}

/// The file cut at every length, and with every byte of its last record changed: what was whole before is there,
/// nothing else is, and it can be written on.
#[test]
fn a_torn_end_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("session");
    let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
    store.append(b"first").expect("kept");
    store.set_next_target(3).expect("kept");
    store.commit().expect("safe");
    let safe = fs::read(&path).expect("read").len();
    store.append(b"second").expect("kept");
    store.commit().expect("safe");
    drop(store);
    let whole = fs::read(&path).expect("read");
    let torn = (safe..whole.len()).map(|len| whole[..len].to_vec());
    let changed = (safe..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    for bytes in torn.chain(changed) {
        fs::write(&path, &bytes).expect("written");
        let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
        assert_eq!((store.next_sender(), store.next_target()), (2, 3));
        assert_eq!(store.cut_bytes(), (bytes.len() - safe) as u64);
        store.append(b"again").expect("kept");
        store.commit().expect("safe");
        drop(store);
        let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
        let mut out = Vec::new();
        assert_eq!((store.read(2, &mut out), &out[..]), (Ok(true), &b"again"[..]));
    }
}

#[test]
fn a_file_has_a_limit_and_a_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("session");
    let limits = FileLimits { file_bytes_max: 100, ..FileLimits::default() };
    let mut store = FileStore::open(&path, limits).expect("open");
    store.append(&[b'x'; 60]).expect("kept");
    assert_eq!(store.append(&[b'x'; 60]), Err(StoreError::Full));
    assert_eq!(store.next_sender(), 2);
    store.reset(OnReset::Continue).expect("empty");
    store.append(&[b'x'; 60]).expect("kept");
    drop(store);
    fs::write(&path, b"something else").expect("written");
    assert_eq!(FileStore::open(&path, limits).map(|_| ()), Err(StoreError::Format));
    fs::write(&path, b"TDF").expect("written");
    assert_eq!(FileStore::open(&path, limits).map(|store| store.cut_bytes()), Ok(3));
}

/// What was committed is kept batch by batch, as if the whole of them were somewhere else, and made again from there.
fn kept(store: &mut BatchStore, elsewhere: &mut Vec<Batch>, bytes_max: usize) {
    store.commit().expect("committed");
    while let Some(batch) = store.take_batch(bytes_max) {
        assert!(!store.is_safe(), "a batch is under way");
        assert_eq!(store.take_batch(bytes_max), None, "one at a time");
        elsewhere.push(batch);
        store.acknowledged();
    }
    assert!(store.is_safe());
}

fn restored(batches: &[Batch], bytes_max: usize) -> BatchStore {
    let mut store = BatchStore::new(bytes_max);
    batches.iter().for_each(|batch| store.restore(&batch.records).expect("a batch"));
    assert!(store.is_safe());
    store
}

#[test]
fn batches_keep_the_promises_and_make_the_store_again() {
    keeps_its_promises(&mut BatchStore::new(1_000));
    for bytes_max in [1, 20, 10_000] {
        let (mut store, mut elsewhere) = (BatchStore::new(1_000), Vec::new());
        store.append(b"one").expect("kept");
        assert!(!store.is_safe());
        store.set_mark(at(7, 30));
        store.append(b"two").expect("kept");
        store.set_next_target(9).expect("kept");
        kept(&mut store, &mut elsewhere, bytes_max);
        assert!(elsewhere.iter().all(|batch| !batch.reset));
        let mut again = restored(&elsewhere, 1_000);
        let mut out = Vec::new();
        assert!(again.read(1, &mut out).expect("readable") && again.read(2, &mut out).expect("readable"));
        assert_eq!(out, b"onetwo");
        assert_eq!((again.next_sender(), again.next_target(), marks(&again, [7])), (3, 9, [30]));

        again.reset(OnReset::Continue).expect("empty");
        again.append(b"anew").expect("kept");
        let before = elsewhere.len();
        kept(&mut again, &mut elsewhere, bytes_max);
        let at = elsewhere.iter().position(|batch| batch.reset).expect("there is a reset");
        assert_eq!(at, before);
        // What was before the reset is not needed.
        let anew = restored(&elsewhere[at..], 1_000);
        assert_eq!((anew.next_sender(), anew.next_target(), marks(&anew, [7])), (2, 1, [30]));
    }
}

#[test]
fn a_batch_store_has_a_limit_and_a_format() {
    let (mut store, mut elsewhere) = (BatchStore::new(10), Vec::new());
    store.append(b"12345678").expect("kept");
    store.set_mark(at(1, 1));
    assert_eq!(store.append(b"123"), Err(StoreError::Full));
    assert_eq!(store.next_sender(), 2);
    store.append(b"12").expect("kept");
    assert_eq!(marks(&store, [1]), [0], "a mark does not wait for another message");
    kept(&mut store, &mut elsewhere, 1_000);
    let mut smaller = restored(&elsewhere, 5);
    let mut out = Vec::new();
    assert_eq!((smaller.read(1, &mut out), smaller.read(2, &mut out)), (Ok(false), Ok(true)));
    store.reset(OnReset::Replay).expect("empty");
    store.append(b"1234567890").expect("kept");

    let whole = &elsewhere[0].records;
    for len in (1..whole.len()).filter(|len| *len != 13) {
        assert_eq!(BatchStore::new(10).restore(&whole[..len]), Err(StoreError::Format), "cut at {len}");
    }
    assert_eq!(BatchStore::new(10).restore(&[9, 0, 0, 0, 0]), Err(StoreError::Format));
}

/// What earlier versions kept is read: the messages are there to be sent again, and marks that do not say of which flow they are
/// are none.
#[test]
fn what_was_kept_before_marks_named_their_flow_is_read_without_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("session");
    let record = |kind: u8, payload: &[&[u8]]| {
        let payload = payload.concat();
        let sum = crc32fast::hash(&[&[kind], &payload[..]].concat());
        [&(payload.len() as u32).to_le_bytes()[..], &[kind], &sum.to_le_bytes(), &payload].concat()
    };
    let mark = record(3, &[&30_u64.to_le_bytes(), &7_u16.to_le_bytes()]);
    let marked =
        record(4, &[&1_u64.to_le_bytes(), &7_u16.to_le_bytes(), &31_u64.to_le_bytes(), b"of a flow"]);
    fs::write(&path, [b"TDFIX01\n", &mark[..], &marked].concat()).expect("written");
    let mut store = FileStore::open(&path, FileLimits::default()).expect("open");
    let mut out = Vec::new();
    assert_eq!((store.read(1, &mut out), store.next_sender(), store.cut_bytes()), (Ok(true), 2, 0));
    assert_eq!((out.as_slice(), store.marks().all()), (&b"of a flow"[..], &[][..]));

    let in_batch =
        |kind: u8, payload: &[u8]| [&[kind], &(payload.len() as u32).to_le_bytes()[..], payload].concat();
    let lane_and_number = [&7_u16.to_le_bytes()[..], &31_u64.to_le_bytes()].concat();
    let mut store = BatchStore::new(100);
    store.restore(&in_batch(1, b"before a reset")).expect("a batch");
    store.restore(&in_batch(4, &lane_and_number)).expect("a batch");
    store.restore(&in_batch(3, &[&lane_and_number[..], b"of a flow"].concat())).expect("a batch");
    out.clear();
    assert_eq!((store.read(1, &mut out), store.next_sender()), (Ok(true), 2));
    assert_eq!((out.as_slice(), store.marks().all()), (&b"of a flow"[..], &[][..]));
}
