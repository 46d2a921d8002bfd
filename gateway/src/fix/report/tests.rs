use super::*;
use crate::accounts::Credentials;
use wire::szse::trading::NewOrder;
use wire::szse::{I32, I64, Password, frame};

fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().unwrap()
}

fn accounts() -> Accounts {
    Accounts::new(vec![Credentials {
        comp_id: text("c"),
        password: Password::new(b"p").unwrap(),
        accounts: vec![text("a1")],
        read_only: false,
    }])
}

/// Reports of one order on their way.
struct Desk {
    book: Book,
    accounts: Accounts,
    index: u64,
}

impl Desk {
    fn new() -> Self {
        Self { book: Book::new(8, 1), accounts: accounts(), index: 0 }
    }

    fn tell<M: wire::szse::Message>(&mut self, report: &M) -> (Made, String) {
        self.index += 1;
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        frame::encode(report, &mut bytes);
        let frame = frame::decode(&bytes, 1 << 16).unwrap().unwrap();
        let tag = Tag { lane: 3, number: self.index, key: 1 };
        let made = translate(&mut self.book, &self.accounts, tag, frame, &mut out);
        let fields = if out.is_empty() { &[][..] } else { Entry::read(&out).fields };
        (made, String::from_utf8(fields.to_vec()).unwrap().replace('\x01', "|"))
    }
}

fn base(security: &str) -> ReportBase {
    ReportBase {
        partition_no: I32::new(3),
        report_index: I64::new(1),
        security_id: text(security),
        security_id_source: code::SOURCE_SHENZHEN,
        // 2024-02-29 09:30:00.123 in Shenzhen.
        transact_time: Timestamp::from_raw(20_240_229_093_000_123),
        ..ReportBase::default()
    }
}

fn report(id: &str, exec_type: code::ExecType, ord_status: code::OrdStatus) -> OrderReport {
    OrderReport {
        base: base("000001"),
        order_id: text("0001000000000077"),
        cl_ord_id: text(id),
        exec_id: text("0001000000000005"),
        exec_type,
        ord_status,
        side: code::Side::SELL,
        ord_type: code::OrdType::LIMIT,
        order_qty: wire::szse::Qty::whole(300),
        leaves_qty: wire::szse::Qty::whole(300),
        price: "12.34".parse().unwrap(),
        account_id: text("a1"),
        ext: wire::szse::trading::CashAuctionExt {
            time_in_force: code::TimeInForce::DAY,
            cash_margin: code::CashMargin::MARGIN_OPEN,
            ..Default::default()
        },
        ..OrderReport::default()
    }
}

fn trade(id: &str, price: &str, quantity: i64, cum: i64) -> TradeReport {
    TradeReport {
        base: base("000001"),
        order_id: text("0001000000000077"),
        cl_ord_id: text(id),
        exec_type: code::ExecType::TRADE,
        ord_status: if cum == 300 { code::OrdStatus::FILLED } else { code::OrdStatus::PARTIALLY_FILLED },
        last_px: price.parse().unwrap(),
        last_qty: wire::szse::Qty::whole(quantity),
        cum_qty: wire::szse::Qty::whole(cum),
        leaves_qty: wire::szse::Qty::whole(300 - cum),
        side: code::Side::SELL,
        account_id: text("a1"),
        ..TradeReport::default()
    }
}

#[test]
fn an_order_is_told_from_its_acceptance_to_its_fill() {
    let mut desk = Desk::new();
    let new = report("c1", code::ExecType::NEW, code::OrdStatus::NEW);
    assert_eq!(
        desk.tell(&new),
        (
            Made::Message,
            "37=0001000000000077|11=c1|17=0001000000000005|150=0|39=0|1=a1|544=2|55=000001|207=XSHE|54=2|38=300|\
             40=2|44=12.34|59=0|151=300|14=0|6=0|60=20240229-01:30:00.123|"
                .to_owned()
        )
    );
    let (_, first) = desk.tell(&trade("c1", "12.34", 100, 100));
    assert!(first.contains("|17=P3-2|150=F|39=1|"), "{first}");
    assert!(first.contains("|38=300|40=2|44=12.34|59=0|32=100|31=12.34|151=200|14=100|6=12.34|"), "{first}");
    let (_, last) = desk.tell(&trade("c1", "12.40", 200, 300));
    assert!(last.contains("|39=2|") && last.contains("|32=200|31=12.4|151=0|14=300|6=12.38|"), "{last}");
}

#[test]
fn a_cancel_has_its_own_name_and_the_orders_and_one_that_nobody_asked_for_has_one() {
    let mut desk = Desk::new();
    desk.tell(&report("c1", code::ExecType::NEW, code::OrdStatus::NEW));
    let cancelled = OrderReport {
        cl_ord_id: text("c2"),
        orig_cl_ord_id: text("c1"),
        leaves_qty: wire::szse::Qty::ZERO,
        ..report("c2", code::ExecType::CANCELLED, code::OrdStatus::CANCELLED)
    };
    let (_, told) = desk.tell(&cancelled);
    assert!(told.contains("|11=c2|41=c1|") && told.contains("|150=4|39=4|"), "{told}");
    assert!(told.contains("|38=300|") && told.contains("|151=0|14=0|"), "{told}");
    desk.tell(&report("c3", code::ExecType::NEW, code::OrdStatus::NEW));
    let (_, told) =
        desk.tell(&OrderReport { cl_ord_id: text("c3"), orig_cl_ord_id: text("c3"), ..cancelled });
    assert!(told.contains("|11=c3|17="), "{told}");
}

#[test]
fn a_reject_says_why_and_that_of_a_second_copy_is_not_told() {
    let mut desk = Desk::new();
    desk.book.sent(1, &NewOrder { cl_ord_id: text("c1"), ..NewOrder::default() });
    let rejected = OrderReport {
        ord_rej_reason: code::OrdRejReason::PRICE_OUT_OF_BAND,
        leaves_qty: wire::szse::Qty::ZERO,
        ..report("c1", code::ExecType::REJECTED, code::OrdStatus::REJECTED)
    };
    let (_, told) = desk.tell(&rejected);
    assert!(told.contains("|150=8|39=8|103=16|") && told.contains("|58=PRICE_OUT_OF_BAND|"), "{told}");
    desk.tell(&report("c2", code::ExecType::NEW, code::OrdStatus::NEW));
    let copy = OrderReport {
        cl_ord_id: text("c2"),
        ord_rej_reason: code::OrdRejReason::DUPLICATE_ORDER,
        ..rejected
    };
    assert_eq!(desk.tell(&copy), (Made::Other, String::new()));
    // A reason that only the core knows.
    let own =
        OrderReport { cl_ord_id: text("c3"), ord_rej_reason: code::OrdRejReason::from_raw(102), ..rejected };
    let (_, told) = desk.tell(&own);
    assert!(told.contains("|103=0|") && told.contains("|58=the core's own reason|"), "{told}");
}

#[test]
fn a_cancel_that_is_refused_is_told_with_the_orders_state() {
    let mut desk = Desk::new();
    let reject = CancelReject {
        base: base("000001"),
        cl_ord_id: text("c2"),
        orig_cl_ord_id: text("c1"),
        ord_status: code::OrdStatus::FILLED,
        cxl_rej_reason: code::CxlRejReason::TOO_LATE,
        reject_text: text("too late"),
        order_id: text("0001000000000077"),
        ..CancelReject::default()
    };
    let (made, told) = desk.tell(&reject);
    assert_eq!(made, Made::Message);
    assert_eq!(
        told,
        "37=0001000000000077|11=c2|41=c1|39=2|1=a1|60=20240229-01:30:00.123|434=1|102=0|58=too late|"
    );
}

#[test]
fn trades_of_an_order_that_is_not_known_have_no_average() {
    let mut desk = Desk::new();
    let (made, told) = desk.tell(&trade("old", "10.00", 100, 200));
    assert_eq!(made, Made::Message);
    assert!(told.contains("|11=old|") && told.contains("|14=200|6=0|"), "{told}");
}
