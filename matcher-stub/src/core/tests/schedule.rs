//! Phases of the day.

use super::{Bench, CASH, MARGIN, OPEN_NS, Tapped, cancel_of};
use crate::core::{CancelRefusal, Core, Input, Now, Phase, Refusal, Schedule, TimeOfDay};
use wire::szse::code::{OrdRejReason, Side};
use wire::szse::frame;
use wire::szse::market::Snapshot;
use wire::szse::trading::{CancelReject, OrderReport};

fn schedule() -> Schedule {
    let from = |text: &str| -> TimeOfDay { text.parse().unwrap() };
    let phases = [
        ("09:30:00", Phase::Continuous),
        ("11:30:00", Phase::Break),
        ("13:00:00", Phase::Continuous),
        ("15:00:00", Phase::Closed),
    ];
    Schedule::new(phases.map(|(text, phase)| (from(text), phase)).to_vec()).unwrap()
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.core = core();
    bench
}

fn core() -> Core {
    Core::new(super::settings(), super::listings(3)).with_schedule(schedule())
}

/// Milliseconds after 09:30.
fn at(bench: &mut Bench, ms: i64) {
    bench.now_ns = OPEN_NS.checked_add_signed(ms * 1_000_000).unwrap();
}

const HOUR: i64 = 3_600_000;

#[test]
fn orders_are_taken_in_their_hours_to_the_millisecond() {
    let closed = OrdRejReason::EXCHANGE_CLOSED;
    let cases = [
        (-9 * HOUR, closed),
        (-1, closed),
        (0, OrdRejReason::NONE),
        (2 * HOUR - 1, OrdRejReason::NONE),
        (2 * HOUR, closed),
        (7 * HOUR / 2 - 1, closed),
        (7 * HOUR / 2, OrdRejReason::NONE),
        (11 * HOUR / 2 - 1, OrdRejReason::NONE),
        (11 * HOUR / 2, closed),
        (24 * HOUR - 1, closed),
        (24 * HOUR, OrdRejReason::NONE),
    ];
    let mut bench = bench();
    for (ms, reason) in cases {
        at(&mut bench, ms);
        bench.limit(Side::BUY, "9.90", 100);
        assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, reason, "{ms} ms after the open");
    }
    assert_eq!(bench.core.counts().refused[Refusal::Closed as usize], 6);
}

#[test]
fn a_cancel_waits_for_its_hours_too() {
    let mut bench = bench();
    let order = bench.limit(Side::BUY, "9.90", 100);
    bench.said.frames.clear();
    at(&mut bench, 2 * HOUR);
    bench.cancel(&cancel_of(&order, 1));
    let reject: CancelReject = bench.said.one();
    assert_eq!(reject.cxl_rej_reason, CancelRefusal::Closed.reason());
    assert_eq!(bench.core.counts().cancels_refused[CancelRefusal::Closed as usize], 1);
    at(&mut bench, 7 * HOUR / 2);
    bench.cancel(&cancel_of(&order, 2));
    assert_eq!(bench.said.take::<OrderReport>().len(), 1, "it was there all the while");
}

#[test]
fn every_security_shows_the_phase_that_it_is_in() {
    let mut bench = bench();
    let cases = [(-4_000, "E0"), (0, "T0"), (2 * HOUR, "B0"), (7 * HOUR / 2, "T0"), (11 * HOUR / 2, "E0")];
    for (ms, code) in cases {
        at(&mut bench, ms);
        bench.said.frames.clear();
        // The first tick may come before snapshots are due.
        bench.tick(0);
        bench.tick(3_000);
        let mut shown = Vec::new();
        for (_, tag, bytes) in &bench.said.frames {
            let frame = frame::decode(bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            if let Ok(snapshot) = frame.group::<Snapshot<'_>>() {
                shown.push((tag.key, snapshot.head.trading_phase_code.to_string()));
            }
        }
        shown.sort();
        let expected = [1, 2, 3].map(|key| (key, code.to_owned()));
        assert_eq!(shown, expected, "{ms} ms after the open");
    }
}

#[test]
fn a_replay_has_the_phases_of_its_inputs() {
    let (mut live, mut said, mut journal) = (core(), Tapped::default(), Vec::new());
    for (number, ms) in (0..).zip([0, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR]) {
        let now = Now::at(OPEN_NS + ms as u64 * 1_000_000);
        let order =
            super::order(number, Side::BUY, wire::szse::Price::whole(10), wire::szse::Qty::whole(100));
        let cancel = cancel_of(&order, number);
        for input in
            [Input::Order(CASH, &order), Input::Cancel(MARGIN, &cancel), Input::Cancel(CASH, &cancel)]
        {
            input.encode(now, &mut journal);
            live.apply(now, input, &mut said);
        }
    }
    let (mut again, mut repeated) = (core(), Tapped::default());
    again.replay(&journal, &mut repeated).unwrap();
    assert_eq!(repeated, said);
    assert_eq!(live.counts().refused[Refusal::Closed as usize], 3);
}
