use super::*;

fn text<const N: usize>(text: &str) -> Text<N> {
    text.parse().unwrap()
}

fn report(id: &str) -> OrderReport {
    OrderReport {
        cl_ord_id: text(id),
        order_id: text("77"),
        order_qty: Qty::whole(300),
        leaves_qty: Qty::whole(300),
        price: Price::whole(10),
        ..OrderReport::default()
    }
}

fn trade(id: &str, price: i64, quantity: i64, cum: i64) -> TradeReport {
    TradeReport {
        cl_ord_id: text(id),
        ord_status: if cum == 300 { OrdStatus::FILLED } else { OrdStatus::PARTIALLY_FILLED },
        last_px: Price::from_raw(price),
        last_qty: Qty::whole(quantity),
        cum_qty: Qty::whole(cum),
        leaves_qty: Qty::whole(300 - cum),
        ..TradeReport::default()
    }
}

fn open(book: &Book, account: AccountKey) -> Vec<String> {
    book.open_orders(account).map(|order| order.cl_ord_id.to_string()).collect()
}

#[test]
fn an_order_trades_until_nothing_is_left() {
    let mut book = Book::new(8, 3);
    book.accepted(1, &report("a"));
    assert_eq!(open(&book, 1), ["a"]);
    let after = book.traded(1, &trade("a", 100_000, 100, 100)).unwrap();
    assert_eq!((after.avg_px(), after.leaves_qty), (Price::whole(10), Qty::whole(200)));
    let after = book.traded(1, &trade("a", 99_999, 200, 300)).unwrap();
    assert_eq!(after.avg_px().raw(), (100_000 * 100 + 99_999 * 200) / 300);
    assert_eq!(after.order_qty, Qty::whole(300));
    assert!(open(&book, 1).is_empty());
    assert!(book.traded(2, &trade("a", 1, 1, 1)).is_none(), "another account's");
}

#[test]
fn a_second_reject_of_a_known_order_is_told_from_the_first() {
    let mut book = Book::new(8, 3);
    book.sent(1, &NewOrder { cl_ord_id: text("a"), ..NewOrder::default() });
    assert!(book.find(1, text("a")).unwrap().status.is_none());
    assert!(book.rejected(1, &report("a")).is_some(), "the answer to it");
    assert!(book.rejected(1, &report("a")).is_none(), "to another attempt");
    book.accepted(1, &report("b"));
    assert!(book.rejected(1, &report("b")).is_none());
    assert_eq!(open(&book, 1), ["b"], "it lives on");
}

#[test]
fn what_the_core_says_goes_before_what_was_thought() {
    let mut book = Book::new(8, 3);
    book.sent(1, &NewOrder { cl_ord_id: text("a"), ..NewOrder::default() });
    book.refused(1, text("a"));
    assert_eq!(book.find(1, text("a")).unwrap().status, Some(OrdStatus::REJECTED));
    // It was under way after all.
    assert_eq!(book.accepted(1, &report("a")).status, Some(OrdStatus::NEW));
    assert_eq!(open(&book, 1), ["a"]);
    book.refused(1, text("a"));
    assert_eq!(book.find(1, text("a")).unwrap().status, Some(OrdStatus::NEW), "the core has spoken");
}

#[test]
fn a_cancel_ends_the_order_that_it_names() {
    let mut book = Book::new(8, 3);
    for id in ["a", "b", "c"] {
        book.accepted(1, &report(id));
    }
    book.accepted(2, &report("a"));
    let cancel = OrderReport { cl_ord_id: text("x"), orig_cl_ord_id: text("b"), ..report("x") };
    let order = book.cancelled(1, &cancel);
    assert_eq!((order.cl_ord_id, order.leaves_qty), (text("b"), Qty::ZERO));
    assert_eq!(open(&book, 1), ["c", "a"]);
    assert_eq!(open(&book, 2), ["a"]);
    assert!(book.find(1, text("x")).is_none(), "a cancel is no order");
}

#[test]
fn the_oldest_make_room_and_leave_no_trace() {
    let mut book = Book::new(2, 2);
    for id in ["a", "b", "c"] {
        book.accepted(1, &report(id));
    }
    assert_eq!((open(&book, 1), book.forgotten()), (vec!["c".to_owned(), "b".to_owned()], 1));
    assert!(book.find(1, text("a")).is_none());
    // What is heard of it after all is taken as it comes.
    assert!(book.traded(1, &trade("a", 100_000, 100, 100)).is_none());
    let cancel = OrderReport {
        cl_ord_id: text("x"),
        orig_cl_ord_id: text("a"),
        cum_qty: Qty::whole(100),
        ..report("x")
    };
    let order = book.cancelled(1, &cancel);
    assert_eq!((order.cum_qty, order.avg_px()), (Qty::whole(100), Price::ZERO));
}
