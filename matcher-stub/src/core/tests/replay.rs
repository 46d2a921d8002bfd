//! A core made again from its inputs is the same core.

use super::stream::{Step, inputs, schedule, step};
use super::{CASH, Flow, OPEN_NS, Tapped, cancel_of, listings, order, settings};
use crate::core::{Core, INPUT_LEN_MAX, Input, InputError, Now, Schedule};
use flow::Tag;
use proptest::prelude::proptest;
use wire::szse::code::Side;
use wire::szse::{Price, Qty};

const SECURITIES: u32 = 3;

/// The frames that have a number: all but snapshots and heartbeats.
fn numbered(said: &Tapped) -> Vec<(Flow, Tag, Vec<u8>)> {
    said.frames.iter().filter(|(_, tag, _)| tag.number != 0).cloned().collect()
}

/// What the steps say live, with ticks between them, and the bytes of their inputs.
fn live(steps: &[Step], schedule: Schedule) -> (Core, Tapped, Vec<u8>, Vec<usize>) {
    let mut core = Core::new(settings(), listings(SECURITIES)).with_schedule(schedule);
    let (mut said, mut journal, mut ends) = (Tapped::default(), Vec::new(), Vec::new());
    inputs(steps, |now, input| match input {
        Some(input) => {
            input.encode(now, &mut journal);
            ends.push(journal.len());
            core.apply(now, input, &mut said);
        }
        None => core.tick(now, &mut said),
    });
    (core, said, journal, ends)
}

proptest! {
    #[test]
    fn a_replay_says_the_same_and_goes_on_the_same(
        steps in proptest::collection::vec(step(), 1..200),
        schedule in schedule(),
        cut in 0.0..1.0_f64,
    ) {
        let (mut core, mut said, journal, ends) = live(&steps, schedule.clone());
        // Killed after some input: what was said up to there is said again, and what comes later gets the numbers that
        // it would have had.
        let killed_after = (ends.len() as f64 * cut) as usize;
        let killed_at = killed_after.checked_sub(1).map_or(0, |last| ends[last]);
        let mut again = Core::new(settings(), listings(SECURITIES)).with_schedule(schedule);
        let mut repeated = Tapped::default();
        let count = again.replay(&journal[..killed_at], &mut repeated).unwrap();
        assert_eq!(count, killed_after as u64);
        let all = numbered(&said);
        let repeated_first = numbered(&repeated);
        assert_eq!(repeated_first, all[..repeated_first.len()]);
        again.replay(&journal[killed_at..], &mut repeated).unwrap();
        // The last phases passed without an input.
        let end = Now::at(OPEN_NS + 98_000_000_000_000);
        core.pass(end, &mut said);
        again.pass(end, &mut repeated);
        let all = numbered(&said);
        assert_eq!(numbered(&repeated), all);
        assert_eq!(again.counts(), core.counts());

        // Snapshots and heartbeats say the same from now on, whatever the pace before.
        let later = Now::at(OPEN_NS + 100_000_000_000_000);
        for core in [&mut core, &mut again] {
            let mut quiet = Tapped::default();
            core.tick(Now::at(OPEN_NS + 99_000_000_000_000), &mut quiet);
        }
        let order = order(999_999, Side::BUY, Price::whole(10), Qty::whole(100));
        (said.frames, repeated.frames) = (Vec::new(), Vec::new());
        for (core, said) in [(&mut core, &mut said), (&mut again, &mut repeated)] {
            core.new_order(later, CASH, &order, said);
            core.cancel(later, CASH, &cancel_of(&order, 1), said);
            core.tick(later, said);
        }
        assert_eq!(said, repeated);
    }
}

#[test]
fn what_is_no_input_is_told() {
    let mut core = Core::new(settings(), listings(1));
    let mut journal = Vec::new();
    let request = order(1, Side::BUY, Price::whole(10), Qty::whole(100));
    Input::Order(CASH, &request).encode(Now::at(OPEN_NS), &mut journal);
    assert_eq!(journal.len(), INPUT_LEN_MAX);
    let mut replay = |bytes: &[u8]| core.replay(bytes, &mut Tapped::default());
    for len in 1..journal.len() {
        assert_eq!(replay(&journal[..len]), Err(InputError::Short));
    }
    assert_eq!(replay(&[99]), Err(InputError::Kind(99)));
    let mut elsewhere = journal.clone();
    elsewhere[1] = 7;
    assert_eq!(replay(&elsewhere), Err(InputError::Desk(7)));
    assert_eq!(replay(&journal), Ok(1));
}
