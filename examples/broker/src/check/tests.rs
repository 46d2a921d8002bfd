use super::*;
use gateway::check::Moment;
use gateway::route::Core;
use wire::szse::frame;
use wire::szse::trading::{NewOrder, ReportBase};
use wire::szse::{Price, Qty};

/// 2026-07-06 in Shanghai, and a day later.
const MONDAY_NS: i64 = 1_783_300_000_000_000_000;
const TUESDAY_NS: i64 = MONDAY_NS + 86_400_000_000_000;

fn order(cl_ord_id: &str, yuan: i64) -> NewOrder {
    NewOrder {
        cl_ord_id: cl_ord_id.parse().unwrap(),
        ord_type: OrdType::LIMIT,
        price: Price::whole(10),
        order_qty: Qty::whole(yuan / 10),
        ..NewOrder::default()
    }
}

fn submission(order: &NewOrder, wall_ns: i64) -> Submission<'_> {
    Submission { at: Moment { now_ns: 0, wall_ns }, account: 1, core: Core::Cash, order }
}

fn report(of: &NewOrder, exec_type: ExecType, cum: i64, wall_ns: i64) -> OrderReport {
    let transact_time = Timestamp::from_unix_ns(wall_ns.unsigned_abs());
    OrderReport {
        base: ReportBase { transact_time, ..ReportBase::default() },
        cl_ord_id: of.cl_ord_id,
        orig_cl_ord_id: of.cl_ord_id,
        exec_type,
        ord_type: of.ord_type,
        price: of.price,
        order_qty: of.order_qty,
        cum_qty: Qty::whole(cum),
        ..OrderReport::default()
    }
}

fn tell(rule: &mut DailyLimit, report: &OrderReport) {
    let mut bytes = Vec::new();
    frame::encode(report, &mut bytes);
    let frame = frame::decode(&bytes, 1 << 10).unwrap().unwrap();
    rule.reported(&Reported { core: Core::Cash, account: 1, frame });
}

fn takes(rule: &mut DailyLimit, yuan: i64) -> bool {
    rule.order(&submission(&order("?", yuan), MONDAY_NS)).is_ok()
}

#[test]
fn a_list_forbids_what_it_names_and_can_be_replaced() {
    let list = forbidden("0042, 000001 # until the report\n\n# all of it\n0042,000002").unwrap();
    assert_eq!(list.len(), 2);
    let (mut rule, place) = BranchList::new(list);
    let mut order = order("x", 100);
    order.branch_id = "0042".parse().unwrap();
    order.base.security_id = "000001".parse().unwrap();
    let refused = rule.order(&submission(&order, 0)).unwrap_err();
    assert_eq!((refused.code, refused.text), (CODE_BRANCH, "10101: not from this branch"));
    let elsewhere = NewOrder { branch_id: "0043".parse().unwrap(), ..order };
    assert_eq!(rule.order(&submission(&elsewhere, 0)), Ok(()));
    place.store(Forbidden::new().into());
    assert_eq!(rule.order(&submission(&order, 0)), Ok(()));
}

#[test]
fn a_list_that_cannot_be_read_says_where() {
    assert_eq!(forbidden("0042,000001\n0042 000002"), Err(ListError { line: 2 }));
    assert_eq!(forbidden("00421,000001"), Err(ListError { line: 1 }), "a branch has four characters");
}

#[test]
fn what_is_under_way_counts_until_a_report_says_what_became_of_it() {
    let mut rule = DailyLimit::new(10_000);
    assert!(takes(&mut rule, 10_000) && !takes(&mut rule, 10_010));
    let first = order("x", 6_000);
    rule.sent(&submission(&first, MONDAY_NS));
    assert!(takes(&mut rule, 4_000) && !takes(&mut rule, 4_010));
    tell(&mut rule, &report(&first, ExecType::NEW, 0, MONDAY_NS));
    assert!(takes(&mut rule, 4_000) && !takes(&mut rule, 4_010), "counted once");
    tell(&mut rule, &report(&first, ExecType::CANCELLED, 100, MONDAY_NS));
    assert!(takes(&mut rule, 9_000) && !takes(&mut rule, 9_010), "1,000 had traded");
    let second = order("y", 5_000);
    rule.sent(&submission(&second, MONDAY_NS));
    tell(&mut rule, &report(&second, ExecType::REJECTED, 0, MONDAY_NS));
    let third = order("z", 5_000);
    rule.sent(&submission(&third, MONDAY_NS));
    rule.refused(1, third.cl_ord_id);
    assert!(takes(&mut rule, 9_000), "neither took place");
}

#[test]
fn it_has_the_day_again_from_reports_and_begins_each_day_anew() {
    let mut rule = DailyLimit::new(10_000);
    tell(&mut rule, &report(&order("x", 6_000), ExecType::NEW, 0, MONDAY_NS));
    assert!(!takes(&mut rule, 4_010), "by another gateway, or before a restart");
    let tomorrow = order("y", 10_000);
    assert_eq!(rule.order(&submission(&tomorrow, TUESDAY_NS)), Ok(()));
}

#[test]
fn an_order_without_a_price_has_no_worth() {
    let market = NewOrder { ord_type: OrdType::MARKET, ..order("x", 100) };
    let refused = DailyLimit::new(1).order(&submission(&market, MONDAY_NS)).unwrap_err();
    assert_eq!(refused.code, CODE_NO_PRICE);
}
