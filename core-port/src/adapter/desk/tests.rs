use super::*;
use crate::ports::Line;
use proptest::prelude::*;
use shard::LogId;
use wire::szse::Frame;
use wire::szse::code::{OrdType, PlatformId, Side};

const RESERVED: usize = 100;

/// A desk, and what it says, in short.
struct Told {
    desk: Desk,
    frames: Vec<(Tag, Vec<u8>)>,
}

const TIME: Timestamp = Timestamp::from_unix_ns(1_700_000_000_000_000_000);

impl Told {
    fn new() -> Self {
        let line = Line {
            name: "a".to_owned(),
            platform_id: PlatformId::CASH_AUCTION,
            partition_first: 1,
            partitions: 2,
            reports: LogId(0),
        };
        Self { desk: Desk::new(7, &line, RESERVED), frames: Vec::new() }
    }

    /// What its maps have room for.
    fn room(&self) -> [usize; 4] {
        let Desk { orders, cancels, by_identity, by_name, .. } = &self.desk;
        [orders.capacity(), cancels.capacity(), by_identity.capacity(), by_name.capacity()]
    }

    fn order(&mut self, number: u64, request: &NewOrder) -> Taken {
        let frames = &mut self.frames;
        self.desk.order(number, (5, TIME), request, &mut |tag, frame| frames.push((tag, frame.to_vec())))
    }

    fn cancel(&mut self, number: u64, request: &OrderCancelRequest) -> Taken {
        let frames = &mut self.frames;
        self.desk.cancel(number, (5, TIME), request, &mut |tag, frame| frames.push((tag, frame.to_vec())))
    }

    fn event(&mut self, event: Event) -> Result<(), Senseless> {
        let frames = &mut self.frames;
        self.desk.event(TIME, event, &mut |tag, frame| frames.push((tag, frame.to_vec())))
    }

    /// What was said since the last look.
    fn said(&mut self) -> Vec<String> {
        self.frames.drain(..).map(|(_, frame)| short(&frame)).collect()
    }
}

fn decoded(frame: &[u8]) -> Frame<'_> {
    frame::decode(frame, 1 << 12).unwrap().unwrap()
}

fn short(bytes: &[u8]) -> String {
    let frame = decoded(bytes);
    if let Ok(report) = frame.view::<OrderReport>() {
        let OrderReport { cl_ord_id, orig_cl_ord_id, exec_type, ord_rej_reason, .. } = *report;
        return format!("{exec_type:?} {cl_ord_id}/{orig_cl_ord_id} {ord_rej_reason:?}");
    }
    if let Ok(report) = frame.view::<TradeReport>() {
        let TradeReport { cl_ord_id, ord_status, leaves_qty, cum_qty, .. } = *report;
        return format!("{ord_status:?} {cl_ord_id} {cum_qty} {leaves_qty}");
    }
    let report = frame.view::<CancelReject>().unwrap();
    let CancelReject { cl_ord_id, cxl_rej_reason, ord_status, .. } = *report;
    format!("not cancelled {cl_ord_id} {cxl_rej_reason:?} {ord_status:?}")
}

fn order(account: &str, cl_ord_id: &str) -> NewOrder {
    NewOrder {
        base: RequestBase { security_id: "000001".parse().unwrap(), ..RequestBase::default() },
        cl_ord_id: cl_ord_id.parse().unwrap(),
        account_id: account.parse().unwrap(),
        side: Side::BUY,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(300),
        price: Price::whole(10),
        ..NewOrder::default()
    }
}

fn cancel(cl_ord_id: &str, of: &str) -> OrderCancelRequest {
    OrderCancelRequest {
        base: order("", "").base,
        cl_ord_id: cl_ord_id.parse().unwrap(),
        orig_cl_ord_id: of.parse().unwrap(),
        side: Side::BUY,
        ..OrderCancelRequest::default()
    }
}

fn traded(order: u64, quantity: i64) -> Event {
    Event::Traded { order, price: Price::whole(10), quantity: Qty::whole(quantity) }
}

#[test]
fn an_order_is_accepted_trades_and_its_rest_is_cancelled() {
    let mut told = Told::new();
    assert_eq!(told.order(2, &order("a", "x")), Taken::ForCounter);
    assert_eq!(told.said(), [""; 0], "nothing before the counter has spoken");
    told.event(Event::Accepted { order: 2 }).unwrap();
    told.event(traded(2, 100)).unwrap();
    assert_eq!(told.cancel(3, &cancel("y", "x")), Taken::ForCounter);
    told.event(Event::Cancelled { order: 2, cancel: 3 }).unwrap();
    let expected = ["NEW x/ NONE", "PARTIALLY_FILLED x 100.00 200.00", "CANCELLED y/x NONE"];
    assert_eq!(told.said(), expected);
    assert_eq!(told.cancel(4, &cancel("z", "x")), Taken::Answered);
    assert_eq!(told.said(), ["not cancelled z TOO_LATE CANCELLED"]);
    assert_eq!(told.desk.open_len(), 0);
}

#[test]
fn a_repetition_waits_for_the_first_ones_answer_and_is_refused_after_it() {
    let mut told = Told::new();
    told.order(2, &order("a", "x"));
    assert_eq!(told.order(3, &order("a", "x")), Taken::Repeats);
    assert_eq!(told.order(4, &order("b", "x")), Taken::ForCounter, "of another account");
    assert_eq!(told.said(), [""; 0], "a reject now would deny an order that lives");
    told.event(Event::Accepted { order: 2 }).unwrap();
    assert_eq!(told.order(5, &order("a", "x")), Taken::Answered);
    let Some((_, frame)) = told.frames.last() else { panic!("told") };
    let reject = decoded(frame).view::<OrderReport>().unwrap();
    assert_eq!(reject.order_id, told.desk.order_id(2), "the first one's");
    assert_eq!(told.said(), ["NEW x/ NONE", "REJECTED x/ DUPLICATE_ORDER"]);
    assert_eq!(told.desk.open_after(0).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_cancel_finds_its_order_by_id_or_by_a_name_that_is_one_orders() {
    let mut told = Told::new();
    told.order(2, &order("a", "x"));
    let by_id = |id: Text<16>| OrderCancelRequest { order_id: id, ..cancel("c", "") };
    assert_eq!(told.cancel(3, &by_id(told.desk.order_id(2))), Taken::ForCounter);
    assert_eq!(told.cancel(4, &by_id(told.desk.order_id(9))), Taken::Answered);
    assert_eq!(told.cancel(5, &by_id("nonsense".parse().unwrap())), Taken::Answered);
    assert_eq!(told.cancel(6, &OrderCancelRequest { side: Side::SELL, ..cancel("d", "x") }), Taken::Answered);
    told.order(7, &order("b", "x"));
    assert_eq!(told.cancel(8, &cancel("e", "x")), Taken::Answered, "whose?");
    let reasons = ["UNKNOWN_ORDER", "UNKNOWN_ORDER", "UNKNOWN_ORDER", "OTHER"];
    for (said, reason) in told.said().iter().zip(reasons) {
        assert!(said.contains(reason), "{said}: {reason}");
    }
}

#[test]
fn a_cancel_that_comes_twice_is_asked_once_while_it_is_open() {
    let mut told = Told::new();
    told.order(2, &order("a", "x"));
    told.cancel(3, &cancel("c", "x"));
    assert_eq!(told.cancel(4, &cancel("c", "x")), Taken::Repeats);
    assert_eq!(told.cancel(5, &cancel("d", "x")), Taken::ForCounter, "another cancel");
    told.event(Event::Accepted { order: 2 }).unwrap();
    told.event(Event::CancelRejected { cancel: 3, reason: CxlRejReason::OTHER }).unwrap();
    assert_eq!(told.said().last().unwrap(), "not cancelled c OTHER NEW");
}

#[test]
fn orders_are_spread_over_the_partitions_evenly_whatever_their_numbers() {
    for step in [1, 2, 4, 10] {
        let first = (0..1_000).filter(|at| partition_of(2 + at * step, 2) == 0).count();
        assert!((450..550).contains(&first), "{first} of 1000 by {step}");
    }
}

#[test]
fn what_came_before_is_known() {
    let mut told = Told::new();
    assert!(!told.desk.knows(&Input::Order(order("a", "x"))));
    told.order(2, &order("a", "x"));
    assert!(
        told.desk.knows(&Input::Order(order("a", "x"))) && !told.desk.knows(&Input::Order(order("b", "x")))
    );
    assert!(!told.desk.knows(&Input::Cancel(cancel("c", "x"))));
    told.cancel(3, &cancel("c", "x"));
    assert!(
        told.desk.knows(&Input::Cancel(cancel("c", "x")))
            && !told.desk.knows(&Input::Cancel(cancel("d", "x")))
    );
    assert!(!told.desk.knows(&Input::Cancel(cancel("c", "nothing"))));
}

#[test]
fn events_that_do_not_fit_change_nothing() {
    let mut told = Told::new();
    told.order(2, &order("a", "x"));
    let accepted = Event::Accepted { order: 2 };
    let early = [traded(2, 100), Event::Cancelled { order: 2, cancel: 0 }, Event::Accepted { order: 9 }];
    early.into_iter().for_each(|event| assert_eq!(told.event(event), Err(Senseless), "{event:?}"));
    told.event(accepted).unwrap();
    let none = Event::Traded { order: 2, price: Price::ZERO, quantity: Qty::whole(1) };
    let late = [
        accepted,
        Event::Rejected { order: 2, reason: OrdRejReason::OTHER },
        traded(2, 301),
        traded(2, 0),
        traded(2, -1),
        none,
        Event::Cancelled { order: 2, cancel: 8 },
        Event::CancelRejected { cancel: 8, reason: CxlRejReason::OTHER },
    ];
    late.into_iter().for_each(|event| assert_eq!(told.event(event), Err(Senseless), "{event:?}"));
    told.event(traded(2, 300)).unwrap();
    assert_eq!(told.said(), ["NEW x/ NONE", "FILLED x 300.00 0.00"]);
    assert_eq!(told.event(traded(2, 1)), Err(Senseless), "it is over");
}

proptest! {
    /// Whatever comes, in whatever order: each partition's numbers have no hole, all reports of an order are in one partition,
    /// and no order trades more than it asked for.
    #[test]
    fn reports_are_numbered_without_a_hole(steps in prop::collection::vec((0_u8..7, 1_u64..12, 1_i64..200), 0..200)) {
        let mut told = Told::new();
        for (number, (what, of, quantity)) in (2_u64..).zip(steps) {
            let name = of.to_string();
            let before = told.frames.len();
            let outcome = match what {
                0 => {
                    told.order(number, &order("a", &name));
                    continue;
                }
                1 => {
                    told.cancel(number, &cancel("c", &name));
                    continue;
                }
                2 => told.event(Event::Accepted { order: of }),
                3 => told.event(Event::Rejected { order: of, reason: OrdRejReason::OTHER }),
                4 => told.event(traded(of, quantity)),
                5 => told.event(Event::Cancelled { order: of, cancel: 0 }),
                _ => told.event(Event::CancelRejected { cancel: of, reason: CxlRejReason::OTHER }),
            };
            prop_assert_eq!(told.frames.len() - before, usize::from(outcome.is_ok()));
        }
        let mut next = [1_u64; 2];
        let mut traded: HashMap<Text<16>, i64> = HashMap::new();
        for (tag, bytes) in &told.frames {
            let at = usize::from(tag.lane) - 1;
            prop_assert_eq!(tag.number, next[at]);
            next[at] += 1;
            if let Ok(trade) = decoded(bytes).view::<TradeReport>() {
                let sum = traded.entry(trade.order_id).or_default();
                *sum += trade.last_qty.raw();
                prop_assert_eq!(*sum, trade.cum_qty.raw());
                prop_assert!(*sum <= Qty::whole(300).raw());
                prop_assert_eq!(*sum + trade.leaves_qty.raw(), Qty::whole(300).raw());
            }
        }
    }
}

#[test]
fn as_many_orders_as_are_reserved_move_none_of_the_others() {
    let mut told = Told::new();
    let room = told.room();
    for number in 1..=RESERVED as u64 {
        let name = number.to_string().parse().unwrap();
        told.order(number, &NewOrder { cl_ord_id: name, ..NewOrder::default() });
    }
    assert_eq!(told.room(), room);
}
