use super::*;

const STREAM: Text<3> = Text::literal("010");

fn tag(key: u32) -> Tag {
    Tag { lane: 1, number: 0, key }
}

fn store(count_max: usize, bytes_max: usize) -> Snapshots {
    Snapshots::new(Limits { count_max, bytes_max })
}

fn frames(store: &Snapshots, filter: &Filter) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let end = store.after(Progress::start(9), filter, 9, usize::MAX, |frame| frames.push(frame.to_vec()));
    assert_eq!(end, None);
    frames
}

#[test]
fn the_newest_of_each_security_and_stream_is_kept() {
    let mut store = store(10, 1_000);
    assert_eq!(store.offer(tag(1), &STREAM, 5, 0, b"a"), Offer::Newest);
    assert_eq!(store.offer(tag(1), &STREAM, 5, 1, b"a"), Offer::Duplicate);
    assert_eq!(store.offer(tag(1), &STREAM, 4, 1, b"c"), Offer::Duplicate);
    assert_eq!(store.offer(tag(1), &Text::literal("020"), 4, 1, b"d"), Offer::Newest);
    assert_eq!(store.offer(tag(2), &STREAM, 1, 2, b"e"), Offer::Newest);
    assert_eq!(store.offer(tag(1), &STREAM, 6, 3, b"f"), Offer::Newest);
    assert_eq!(frames(&store, &Filter::All), [b"f", b"d", b"e"]);
    assert_eq!(frames(&store, &Filter::Key(2)), [b"e"]);
    assert_eq!(frames(&store, &Filter::lanes([2])), [b""; 0]);
}

/// Two sources bring two states of one second, in any order of the copies.
#[test]
fn states_of_one_time_are_told_apart() {
    for copies in [[b"a", b"b", b"a", b"b"], [b"a", b"a", b"b", b"b"]] {
        let mut store = store(10, 1_000);
        let news = |frame: &&&[u8; 1]| store.offer(tag(1), &STREAM, 5, 0, &frame[..]) == Offer::Newest;
        assert_eq!(copies.iter().filter(news).count(), 2);
        assert_eq!(frames(&store, &Filter::All), [b"b"]);
        assert_eq!(store.offer(tag(1), &STREAM, 4, 0, b"c"), Offer::Duplicate);
    }
}

/// A source that makes up states of one time without end is not believed for ever.
#[test]
fn states_of_one_time_are_bounded() {
    let mut store = store(10, 1_000);
    let news = |state: &u8| store.offer(tag(1), &STREAM, 5, 0, &[*state]) == Offer::Newest;
    assert_eq!((0..100).filter(news).count(), SAME_TIME_MAX);
    assert_eq!(store.offer(tag(1), &STREAM, 6, 0, b"later"), Offer::Newest);
}

#[test]
fn its_size_is_bounded() {
    let mut store = store(2, 10);
    assert_eq!(store.offer(tag(1), &STREAM, 1, 0, b"123456"), Offer::Newest);
    assert_eq!(store.offer(tag(2), &STREAM, 1, 1, b"12345"), Offer::NotKept);
    assert_eq!(store.offer(tag(3), &STREAM, 1, 2, b"1"), Offer::NoPlace);
    assert_eq!(frames(&store, &Filter::All), [b"123456"]);
    // An old one is worse than none.
    assert_eq!(store.offer(tag(1), &STREAM, 2, 3, b"12345678901"), Offer::NotKept);
    assert_eq!(frames(&store, &Filter::All), [b""; 0]);
    assert_eq!(store.bytes(), 0);
    assert_eq!(store.offer(tag(2), &STREAM, 1, 4, b"12345"), Offer::Duplicate);
    assert_eq!(store.offer(tag(2), &STREAM, 2, 4, b"1"), Offer::Newest);
    assert_eq!(store.bytes(), 1);
}

#[test]
fn what_changes_while_it_goes_out_in_parts_goes_out_again() {
    let mut store = store(10, 1_000);
    for key in 1..=3 {
        store.offer(tag(key), &STREAM, 1, u64::from(key), &[key as u8, 1]);
    }
    let mut sent = Vec::new();
    let mut part = |store: &Snapshots, progress, end| {
        let progress = store.after(progress, &Filter::All, end, 4, |frame| sent.push((frame[0], frame[1])));
        (progress, std::mem::take(&mut sent))
    };
    let (progress, sent) = part(&store, Progress::start(4), 4);
    assert_eq!(sent, [(1, 1), (2, 1)]);
    // Security 1 was sent and changes; 3 was not yet.
    store.offer(tag(1), &STREAM, 2, 4, &[1, 2]);
    store.offer(tag(3), &STREAM, 2, 5, &[3, 2]);
    let (progress, sent) = part(&store, progress.unwrap(), 6);
    assert_eq!(sent, [(3, 2), (1, 2)]);
    let (progress, sent) = part(&store, progress.unwrap(), 6);
    assert_eq!(sent, [(3, 2)], "it came after the first pass had begun: sent again rather than missed");
    assert_eq!(progress, None);
}

#[test]
fn a_snapshot_larger_than_a_part_still_goes_out() {
    let mut store = store(10, 1_000);
    store.offer(tag(1), &STREAM, 1, 0, &[7; 100]);
    store.offer(tag(2), &STREAM, 1, 1, &[8; 100]);
    let mut lens = Vec::new();
    let progress = store.after(Progress::start(2), &Filter::All, 2, 10, |frame| lens.push(frame.len()));
    let progress = store.after(progress.unwrap(), &Filter::All, 2, 10, |frame| lens.push(frame.len()));
    assert_eq!((progress, lens), (None, vec![100, 100]));
}
