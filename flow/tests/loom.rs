//! Every interleaving of one writer and two readers over a log of tiny segments, with at most
//! three preemptions:
//! `RUSTFLAGS="--cfg loom" cargo test -p flow --release --test loom`
#![cfg(loom)]

use flow::{Cursor, Limits, Reader, Tag, Writer};

fn frame(number: u64) -> [u8; 4] {
    (number as u32).wrapping_mul(0x0101_0101).to_be_bytes()
}

/// Whatever is seen is whole, in order, and what was appended; what was let go is said to be.
fn check(reader: &mut Reader, cursor: &mut Cursor) {
    reader.refresh();
    if cursor.seq() < reader.start() {
        assert!(reader.end() == cursor.seq() || reader.entry(cursor.seq()).is_err());
        *cursor = Cursor::at(reader.start());
    }
    while let Some(entry) = reader.entry(cursor.seq()).expect("moved to what is held") {
        assert_eq!(entry.tag.number, entry.seq + 1);
        assert_eq!(entry.frame, frame(entry.tag.number));
        *cursor = Cursor::at(entry.seq + 1);
    }
}

fn story(frames: u64, frames_per_segment: usize, readers: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let segment_bytes = 4 * frames_per_segment;
        let mut writer = Writer::new(Limits { segment_bytes, window_bytes: 2 * segment_bytes });
        let threads: Vec<_> = (0..readers)
            .map(|_| {
                let mut reader = writer.reader();
                loom::thread::spawn(move || {
                    let mut cursor = Cursor::at(0);
                    check(&mut reader, &mut cursor);
                    check(&mut reader, &mut cursor);
                })
            })
            .collect();
        for number in 1..=frames {
            writer.append(Tag { lane: 1, number, key: 1 }, &frame(number)).expect("fits");
            writer.publish();
        }
        for thread in threads {
            thread.join().expect("no reader panicked");
        }
        let mut reader = writer.reader();
        check(&mut reader, &mut Cursor::at(0));
        assert_eq!(reader.end(), frames);
    });
}

#[test]
fn readers_see_only_what_is_published() {
    story(2, 2, 2);
}

#[test]
fn a_reader_follows_over_rolled_segments() {
    story(3, 2, 1);
}

#[test]
fn a_segment_is_written_again_only_when_no_reader_holds_it() {
    story(5, 1, 1);
}
