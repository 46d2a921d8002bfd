//! Random streams of requests: the same bytes twice, and books that add up.

use super::checker::Checker;
use super::{CASH, MARGIN, OPEN_NS, Tapped, cancel_of, listings, order, settings};
use crate::core::{Call, Core, Input, Now, Phase, Schedule};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use wire::szse::code::{CashMargin, OrdType, Side, TimeInForce};
use wire::szse::trading::NewOrder;
use wire::szse::{Price, Qty, SecurityId, Text, U16};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An order, at the desk of its CashMargin or, seldom, at the other.
    Order { order: Box<NewOrder>, astray: bool },
    /// An order sent before, again.
    Again(usize),
    /// A cancel of an order sent before.
    Cancel(usize),
    /// Time passes, ms.
    Wait(u64),
}

const SECURITIES: u32 = 3;

fn an_order() -> impl Strategy<Value = NewOrder> {
    let kind = prop_oneof![
        6 => Just((OrdType::LIMIT, TimeInForce::DAY)),
        2 => Just((OrdType::LIMIT, TimeInForce::IMMEDIATE_OR_CANCEL)),
        1 => Just((OrdType::MARKET, TimeInForce::DAY)),
        1 => Just((OrdType::OWN_BEST, TimeInForce::DAY)),
    ];
    let side = prop_oneof![Just(Side::BUY), Just(Side::SELL)];
    let credit = prop_oneof![
        4 => Just(CashMargin::CASH),
        1 => Just(CashMargin::MARGIN_OPEN),
        1 => Just(CashMargin::MARGIN_CLOSE),
    ];
    // Prices a few ticks around 10.00, some outside the limits; lots, and some that are none.
    let price = prop_oneof![12 => 990..1_011_i64, 1 => 850..1_150_i64];
    let shares = prop_oneof![12 => (1..20_i64).prop_map(|lots| lots * 100), 1 => -50..400_i64];
    // One beyond those listed.
    let security = 1..=SECURITIES + 1;
    let details = (0..3_u16, any::<bool>(), 0..3_u32);
    (side, kind, credit, price, shares, security, details).prop_map(
        |(side, (ord_type, time_in_force), cash_margin, cents, shares, security, (levels, all, account))| {
            let price = Price::from_raw(cents * 100);
            let mut order = order(0, side, price, Qty::whole(shares));
            order.base.security_id = SecurityId::truncated(&format!("{security:06}"));
            order.account_id = Text::truncated(&format!("A{account}"));
            (order.ord_type, order.ext.time_in_force) = (ord_type, time_in_force);
            order.ext.cash_margin = cash_margin;
            if ord_type == OrdType::MARKET {
                order.ext.max_price_levels = U16::new(levels);
                order.ext.min_qty = if all { order.order_qty } else { Qty::ZERO };
            }
            order
        },
    )
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (an_order(), proptest::bool::weighted(0.05))
            .prop_map(|(order, astray)| Step::Order { order: Box::new(order), astray }),
        1 => any::<usize>().prop_map(Step::Again),
        6 => any::<usize>().prop_map(Step::Cancel),
        2 => (0..4_000_u64).prop_map(Step::Wait),
    ]
}

fn desk_of(order: &NewOrder, astray: bool) -> u8 {
    if (order.ext.cash_margin == CashMargin::CASH) == astray { MARGIN } else { CASH }
}

/// Makes the inputs of a stream, and says when time has passed without one.
pub(super) fn inputs(steps: &[Step], mut each: impl FnMut(Now, Option<Input<'_>>)) {
    let mut sent: Vec<(NewOrder, u8)> = Vec::new();
    let mut now_ns = OPEN_NS;
    for (number, step) in steps.iter().enumerate() {
        now_ns += 1_000_000;
        let now = Now::at(now_ns);
        match step {
            Step::Order { order, astray } => {
                let mut order = **order;
                order.cl_ord_id = Text::truncated(&format!("{number:010}"));
                let desk = desk_of(&order, *astray);
                sent.push((order, desk));
                each(now, Some(Input::Order(desk, &order)));
            }
            Step::Again(pick) if !sent.is_empty() => {
                let (order, desk) = sent[pick % sent.len()];
                each(now, Some(Input::Order(desk, &order)));
            }
            Step::Cancel(pick) if !sent.is_empty() => {
                let (order, desk) = sent[pick % sent.len()];
                each(now, Some(Input::Cancel(desk, &cancel_of(&order, number as u64))));
            }
            Step::Again(_) | Step::Cancel(_) => {}
            Step::Wait(ms) => {
                now_ns += ms * 1_000_000;
                each(Now::at(now_ns), None);
            }
        }
    }
}

/// Around the clock, or a day of a minute that a stream may outlast.
pub(super) fn schedule() -> impl Strategy<Value = Schedule> {
    let call = |call, cancels| Phase::Call { call, cancels };
    let phases = [
        ("09:29:00", call(Call::Opening, true)),
        ("09:30:06", call(Call::Opening, false)),
        ("09:30:10", Phase::Break),
        ("09:30:11", Phase::Continuous),
        ("09:30:25", call(Call::Closing, false)),
        ("09:30:32", Phase::Continuous),
        ("09:30:45", call(Call::Closing, true)),
        ("09:30:50", Phase::Closed),
        ("09:31:00", Phase::Continuous),
    ];
    let phases = phases.map(|(from, phase)| (from.parse().unwrap(), phase)).to_vec();
    prop_oneof![Just(Schedule::default()), Just(Schedule::new(phases).unwrap())]
}

/// Runs a stream through a new core, telling `after` what each step said.
fn run(steps: &[Step], schedule: Schedule, mut after: impl FnMut(&Core, &mut Tapped)) {
    let mut core = Core::new(settings(), listings(SECURITIES)).with_schedule(schedule);
    let mut said = Tapped::default();
    inputs(steps, |now, input| {
        match input {
            Some(input) => core.apply(now, input, &mut said),
            None => core.tick(now, &mut said),
        }
        after(&core, &mut said);
    });
}

proptest! {
    #[test]
    fn the_same_requests_at_the_same_times_give_the_same_bytes(
        steps in proptest::collection::vec(step(), 1..300),
        schedule in schedule(),
    ) {
        let mut once = Vec::new();
        run(&steps, schedule.clone(), |_, said| once.append(&mut said.frames));
        let mut twice = Vec::new();
        run(&steps, schedule, |_, said| twice.append(&mut said.frames));
        assert_eq!(once, twice);
    }

    #[test]
    fn quantities_add_up_and_no_book_is_crossed(
        steps in proptest::collection::vec(step(), 1..300),
        schedule in schedule(),
    ) {
        let mut checker = Checker::default();
        run(&steps, schedule, |core, said| {
            for (flow, tag, bytes) in said.frames.drain(..) {
                checker.frame(flow, tag, &bytes);
            }
            if core.course.phase().call().is_none() {
                checker.after_step();
            }
        });
        checker.at_end();
    }
}
