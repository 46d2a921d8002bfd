//! The log against a plain vector: any appends, any filter, any write sizes give the wanted bytes, once, in order.

use flow::{AppendError, Cursor, Filter, FindError, Limits, NoLongerHeld, Selection, Tag, Writer};
use proptest::prelude::*;
use std::io::IoSlice;

fn frames() -> impl Strategy<Value = Vec<(Tag, Vec<u8>)>> {
    let frame = (0_u16..4, 0_u32..6, any::<bool>(), prop::collection::vec(any::<u8>(), 1..80));
    prop::collection::vec(frame, 0..200).prop_map(|frames| {
        let mut numbers = [0_u64; 4];
        let number = |lane: u16, numbered: bool, numbers: &mut [u64; 4]| {
            numbers[usize::from(lane)] += u64::from(numbered);
            if numbered { numbers[usize::from(lane)] } else { 0 }
        };
        frames
            .into_iter()
            .map(|(lane, key, numbered, bytes)| {
                (Tag { lane, number: number(lane, numbered, &mut numbers), key }, bytes)
            })
            .collect()
    })
}

fn selections() -> impl Strategy<Value = Selection> {
    let filter = prop_oneof![
        Just(Filter::All),
        prop::collection::vec(0_u16..4, 0..4).prop_map(Filter::lanes),
        (1_u32..6).prop_map(Filter::Key),
        prop::collection::vec(1_u32..6, 0..5).prop_map(|keys| Filter::Keys(keys.into_iter().collect())),
    ];
    (filter, prop::collection::vec((0_u16..4, 1_u64..30), 0..3)).prop_map(|(filter, mut floors)| {
        floors.dedup_by_key(|floor| floor.0);
        Selection::new(filter).from_numbers(floors)
    })
}

proptest! {
    #[test]
    fn gather_gives_the_wanted_bytes_whatever_a_write_takes(
        frames in frames(),
        selection in selections(),
        writes in prop::collection::vec(1_usize..200, 1..50),
        slices_max in 1_usize..5,
    ) {
        let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 1 << 20 });
        let mut reader = writer.reader();
        for (tag, frame) in &frames {
            writer.append(*tag, frame).expect("fits");
        }
        writer.publish();
        reader.refresh();
        let wanted: Vec<u8> =
            frames.iter().filter(|(tag, _)| selection.wants(*tag)).flat_map(|(_, frame)| frame.clone()).collect();
        let (mut cursor, mut got) = (Cursor::at(0), Vec::new());
        for write in writes.iter().cycle().take(100_000) {
            if cursor.seq() == reader.end() {
                break;
            }
            let mut slices = vec![IoSlice::new(&[]); slices_max];
            let gathered = reader.gather(cursor, &selection, (300, 20), &mut slices).expect("held");
            let joined: Vec<u8> = slices[..gathered.slices].iter().flat_map(|slice| slice.to_vec()).collect();
            prop_assert_eq!(joined.len(), gathered.bytes);
            let written = joined.len().min(*write);
            got.extend_from_slice(&joined[..written]);
            got.extend_from_slice(reader.advance_gathered(&mut cursor, &selection, &gathered, written));
        }
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn slices_give_all_bytes_whatever_a_write_takes(
        frames in frames(),
        writes in prop::collection::vec(1_usize..300, 1..50),
    ) {
        let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 1 << 20 });
        let mut reader = writer.reader();
        for (tag, frame) in &frames {
            writer.append(*tag, frame).expect("fits");
        }
        writer.publish();
        reader.refresh();
        let wanted: Vec<u8> = frames.iter().flat_map(|(_, frame)| frame.clone()).collect();
        let (mut cursor, mut got) = (Cursor::at(0), Vec::new());
        for write in writes.iter().cycle().take(100_000) {
            let slice = reader.slice(cursor, 300).expect("held");
            if slice.is_empty() {
                break;
            }
            let written = slice.len().min(*write);
            got.extend_from_slice(&slice[..written]);
            got.extend_from_slice(reader.advance(&mut cursor, written));
        }
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn find_agrees_with_a_search_from_the_start(frames in frames(), lane in 0_u16..4, number in 1_u64..60) {
        let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 1 << 20 });
        let mut reader = writer.reader();
        for (tag, frame) in &frames {
            writer.append(*tag, frame).expect("fits");
        }
        writer.publish();
        reader.refresh();
        let next_number = writer.next_number(lane);
        let place = frames.iter().position(|(tag, _)| tag.lane == lane && tag.number == number);
        let expected = match place {
            Some(place) => Ok(place as u64),
            None if number == next_number => Ok(reader.end()),
            None => Err(FindError::NotYet { next_number }),
        };
        prop_assert_eq!(reader.find(lane, number), expected);
    }
}

fn numbered(number: u64) -> Tag {
    Tag { lane: 3, number, key: 1 }
}

#[test]
fn what_was_let_go_has_a_defined_answer() {
    let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 512 });
    let mut reader = writer.reader();
    for number in 1..=100 {
        writer.append(numbered(number), &[0; 50]).expect("fits");
    }
    writer.publish();
    reader.refresh();
    let oldest = reader.start();
    assert!(oldest > 0, "a window of 512 bytes does not hold 5,000");
    assert_eq!(reader.slice(Cursor::at(0), 100), Err(NoLongerHeld { oldest }));
    assert_eq!(reader.entry(0), Err(NoLongerHeld { oldest }));
    assert_eq!(reader.find(3, 1), Err(FindError::NoLongerHeld { oldest_number: oldest + 1 }));
    assert_eq!(reader.find(3, oldest + 1), Ok(oldest));
    assert_eq!(reader.find(3, 101), Ok(100), "the next number: live");
    assert_eq!(reader.find(3, 102), Err(FindError::NotYet { next_number: 101 }));
    assert_eq!(reader.find(9, 1), Ok(100), "a lane never seen starts at 1: live");
}

#[test]
fn numbers_left_out_are_passed_over() {
    let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 1 << 20 });
    let mut reader = writer.reader();
    for number in [1, 2, 9, 10] {
        writer.append(numbered(number), &[0; 100]).expect("fits");
    }
    writer.publish();
    reader.refresh();
    assert_eq!(reader.find(3, 5), Ok(2));
}

#[test]
fn an_append_that_is_refused_changes_nothing() {
    let mut writer = Writer::new(Limits { segment_bytes: 64, window_bytes: 128 });
    writer.append(numbered(5), b"x").expect("fits");
    let refused = writer.append(numbered(5), b"y");
    assert_eq!(refused, Err(AppendError::NotAscending { lane: 3, number: 5, next: 6 }));
    let refused = writer.append(numbered(6), &[0; 65]);
    assert_eq!(refused, Err(AppendError::FrameTooLong { len: 65, segment_bytes: 64 }));
    assert_eq!((writer.end(), writer.next_number(3)), (1, 6));
}

#[test]
fn readers_see_nothing_before_it_is_published() {
    let mut writer = Writer::new(Limits::default());
    let mut reader = writer.reader();
    writer.append(numbered(1), b"frame").expect("fits");
    assert_eq!(reader.refresh(), 0);
    writer.publish();
    assert_eq!(reader.end(), 0, "a view moves only when it is refreshed");
    assert_eq!(reader.refresh(), 1);
}

#[test]
fn floors_are_forgotten_when_every_lane_has_reached_its_own() {
    let mut writer = Writer::new(Limits { segment_bytes: 256, window_bytes: 512 });
    let mut reader = writer.reader();
    let mut selection = Selection::new(Filter::All).from_numbers([(1, 40), (2, 3)]);
    for number in 1..=40 {
        assert_eq!((reader.next_number(1), reader.next_number(2)), (number, if number == 1 { 1 } else { 3 }));
        selection.forget_floors_passed(|lane| reader.next_number(lane));
        assert_eq!(selection.takes_all(), number == 40, "at {number}");
        writer.append(Tag { lane: 1, number, key: 1 }, &[0; 60]).expect("fits");
        if number == 1 {
            writer.append(Tag { lane: 2, number: 2, key: 1 }, &[0; 60]).expect("fits");
        }
        writer.publish();
        reader.refresh();
    }
    assert_eq!(reader.next_number(9), 1, "a lane never seen");
}
