//! Round trips, the refusals, and that codes and tables agree.

use proptest::prelude::*;

use super::*;
use crate::codec::{BEGIN_STRING, Decoded, Limits, Message, decode};
use crate::decimal::{Price, Qty};
use crate::dictionary::{self, RejectReason, field};
use crate::tag;
use crate::time::UtcTimestamp;

fn encoded(body: &impl Body) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Encoder::begin(&mut out, BEGIN_STRING, body.msg_type());
    message.number(34, 2).text(49, b"C").time(52, UtcTimestamp::default()).text(56, b"S");
    body.encode(&mut message);
    message.finish();
    out
}

fn message(bytes: &[u8]) -> Message<'_> {
    let Decoded::Message(message) = decode(bytes, &Limits::default()) else { panic!("a message") };
    let def = dictionary::message(message.msg_type).expect("a type of ours");
    assert_eq!(dictionary::check(&message, def, 64), Ok(()), "{}", String::from_utf8_lossy(bytes));
    message
}

fn order() -> NewOrderSingle<'static> {
    NewOrderSingle {
        cl_ord_id: b"c1",
        account: Some(b"0100000001"),
        cash_margin: Some(CashMargin::MarginOpen),
        min_qty: None,
        max_price_levels: None,
        symbol: b"000001",
        security_id: None,
        security_id_source: Some(b"102"),
        security_exchange: Some(Exchange::Shenzhen),
        side: Side::Buy,
        transact_time: UtcTimestamp::from_unix_ms(1_709_170_200_123),
        order_qty: Qty::from_raw(20_000),
        ord_type: OrdType::Limit,
        price: Some(Price::from_raw(123_400)),
        time_in_force: Some(TimeInForce::Day),
        order_restrictions: None,
    }
}

fn cancel() -> OrderCancelRequest<'static> {
    OrderCancelRequest {
        orig_cl_ord_id: b"c1",
        order_id: None,
        cl_ord_id: b"c2",
        account: None,
        symbol: b"600000",
        security_id: None,
        security_id_source: None,
        security_exchange: Some(Exchange::Shanghai),
        side: Side::Sell,
        transact_time: UtcTimestamp::default(),
        order_qty: None,
    }
}

#[test]
fn an_order_is_written_as_expected() {
    let bytes = encoded(&order());
    let text = String::from_utf8_lossy(&bytes).replace('\u{1}', "|");
    let body = "11=c1|1=0100000001|544=2|55=000001|22=102|207=XSHE|54=1|60=20240229-01:30:00.123|38=200|40=2|44=12.34|59=0|";
    assert!(text.contains(body), "{text}");
    assert_eq!(NewOrderSingle::parse(&message(&bytes)), Ok(order()));
    assert_eq!(order().check(), Ok(Security { code: b"000001", exchange: Exchange::Shenzhen }));
}

#[test]
fn every_message_comes_back() {
    let time = UtcTimestamp::from_unix_ms(5);
    let report = ExecutionReport::refusal(&order(), b"e1", OrdRejReason::Other, "why", time);
    let bytes = encoded(&report);
    assert_eq!(ExecutionReport::parse(&message(&bytes)), Ok(report));
    let bytes = encoded(&cancel());
    assert_eq!(OrderCancelRequest::parse(&message(&bytes)), Ok(cancel()));
    let refusal = OrderCancelReject::refusal(&cancel(), CxlRejReason::UnknownOrder, "", time);
    let bytes = encoded(&refusal);
    assert_eq!(OrderCancelReject::parse(&message(&bytes)), Ok(refusal));
    let status = OrderStatusRequest {
        order_id: None,
        cl_ord_id: b"c1",
        ord_status_req_id: Some(b"r1"),
        account: None,
        symbol: b"000001",
        security_id: None,
        security_id_source: None,
        security_exchange: None,
        side: Side::Buy,
    };
    let bytes = encoded(&status);
    assert_eq!(OrderStatusRequest::parse(&message(&bytes)), Ok(status));
    let all = OrderMassCancelRequest {
        cl_ord_id: b"c3",
        mass_cancel_request_type: MassCancelRequestType::All,
        symbol: None,
        security_id: None,
        security_id_source: None,
        security_exchange: None,
        side: None,
        transact_time: time,
    };
    let bytes = encoded(&all);
    assert_eq!(OrderMassCancelRequest::parse(&message(&bytes)), Ok(all));
    let answer = OrderMassCancelReport {
        cl_ord_id: Some(b"c3"),
        order_id: b"NONE",
        mass_cancel_request_type: MassCancelRequestType::All,
        mass_cancel_response: MassCancelResponse::Rejected,
        mass_cancel_reject_reason: Some(MassCancelRejectReason::NotSupported),
        total_affected_orders: Some(0),
        transact_time: Some(time),
        text: Some(b"not here"),
    };
    let bytes = encoded(&answer);
    assert_eq!(OrderMassCancelReport::parse(&message(&bytes)), Ok(answer));
    let reject = BusinessMessageReject {
        ref_seq_num: 9,
        ref_msg_type: b"D",
        business_reject_ref_id: Some(b"c1"),
        business_reject_reason: BusinessRejectReason::ApplicationNotAvailable,
        text: None,
    };
    let bytes = encoded(&reject);
    assert_eq!(BusinessMessageReject::parse(&message(&bytes)), Ok(reject));
    let reject = SessionReject {
        ref_seq_num: 9,
        ref_tag_id: Some(b"44"),
        ref_msg_type: Some(b"D"),
        session_reject_reason: Some(6),
        text: Some(b"Incorrect data format for value"),
    };
    let bytes = encoded(&reject);
    assert_eq!(SessionReject::parse(&message(&bytes)), Ok(reject));
}

#[test]
fn a_reject_a_business_reject_or_a_report() {
    use OrdRejReason::{IncorrectQuantity, Other, UnknownSymbol};
    let business = |tag| {
        let reason = BusinessRejectReason::ConditionallyRequiredFieldMissing;
        Err(Refusal::Business { reason, tag })
    };
    let price = Refusal::Business {
        reason: BusinessRejectReason::ConditionallyRequiredFieldMissing,
        tag: tag::PRICE,
    };
    assert_eq!(price.to_string(), "missing 44 Price");
    let refused = |changed: NewOrderSingle<'static>| match changed.check() {
        Err(Refusal::Order { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(NewOrderSingle { price: None, ..order() }.check(), business(tag::PRICE));
    let nowhere = NewOrderSingle { security_exchange: None, security_id_source: None, ..order() };
    assert_eq!(nowhere.check(), business(tag::SECURITY_EXCHANGE));
    let twice = NewOrderSingle { security_exchange: Some(Exchange::Shanghai), ..order() };
    assert_eq!(refused(twice), UnknownSymbol);
    assert_eq!(refused(NewOrderSingle { security_id: Some(b"MSFT"), ..order() }), UnknownSymbol);
    assert_eq!(refused(NewOrderSingle { order_qty: Qty::ZERO, ..order() }), IncorrectQuantity);
    assert_eq!(refused(NewOrderSingle { price: Some(Price::from_raw(-1)), ..order() }), Other);
    assert_eq!(refused(NewOrderSingle { cl_ord_id: b"longer than ten", ..order() }), Other);
    let market = NewOrderSingle { ord_type: OrdType::Market, price: None, ..order() };
    assert!(market.check().is_ok());
    assert!(OrderCancelRequest { orig_cl_ord_id: b"longer than ten", ..cancel() }.check().is_err());
}

#[test]
fn numbers_that_are_not_traded_in_are_the_orders_fault() {
    let with = |tag: u32, value: &str| {
        let mut out = Vec::new();
        let mut message = Encoder::begin(&mut out, BEGIN_STRING, b"D");
        for (number, text) in
            [(11, "c"), (55, "1"), (54, "1"), (60, "20240229-01:30:00"), (38, "1"), (40, "2"), (44, "1")]
        {
            message.text(number, if number == tag { value } else { text }.as_bytes());
        }
        message.finish();
        let Decoded::Message(message) = decode(&out, &Limits::default()) else { panic!("a message") };
        NewOrderSingle::parse(&message).map(|_| ())
    };
    let order = |reason, text| Err(Refusal::Order { reason, text });
    let session = |reason, tag| Err(Refusal::Session(Fault::of(reason, tag)));
    assert_eq!(with(44, "1.00000"), Ok(()));
    assert_eq!(with(44, "1.00001"), order(OrdRejReason::Other, "more decimals than are traded in"));
    assert_eq!(with(38, "1.001"), order(OrdRejReason::IncorrectQuantity, "more decimals than are traded in"));
    assert_eq!(
        with(38, "99999999999999999"),
        order(OrdRejReason::IncorrectQuantity, "a number out of range")
    );
    assert_eq!(with(44, "1e3"), session(RejectReason::IncorrectDataFormat, 44));
    assert_eq!(with(54, "5"), session(RejectReason::ValueIncorrect, 54));
    assert_eq!(with(60, "today"), session(RejectReason::IncorrectDataFormat, 60));
    assert_eq!(with(11, ""), session(RejectReason::RequiredTagMissing, 11));
}

/// The values in the tables are those of the types.
#[test]
fn codes_are_those_of_the_tables() {
    let listed = |tag| field(tag).expect("a field").values.iter().map(|(code, _)| *code).collect::<Vec<_>>();
    macro_rules! characters {
        ($($tag:ident $name:ident),*) => {$(
            let own: Vec<_> = $name::ALL.iter().map(|value| char::from(value.byte()).to_string()).collect();
            assert_eq!(listed(tag::$tag), own);
            assert!($name::ALL.iter().all(|value| $name::from_byte(value.byte()) == Some(*value)));
        )*};
    }
    characters!(
        SIDE Side, ORD_TYPE OrdType, TIME_IN_FORCE TimeInForce, CASH_MARGIN CashMargin, EXEC_TYPE ExecType,
        ORD_STATUS OrdStatus, CXL_REJ_RESPONSE_TO CxlRejResponseTo,
        MASS_CANCEL_REQUEST_TYPE MassCancelRequestType, MASS_CANCEL_RESPONSE MassCancelResponse
    );
    macro_rules! numbers {
        ($($tag:ident $name:ident),*) => {$(
            let own: Vec<_> = $name::ALL.iter().map(|value| value.code().to_string()).collect();
            assert_eq!(listed(tag::$tag), own);
            assert!($name::ALL.iter().all(|value| $name::from_code(value.code()) == Some(*value)));
        )*};
    }
    numbers!(ORD_REJ_REASON OrdRejReason, CXL_REJ_REASON CxlRejReason, MASS_CANCEL_REJECT_REASON MassCancelRejectReason);
    assert_eq!(listed(tag::SECURITY_EXCHANGE), ["XSHE", "XSHG"]);
    for exchange in [Exchange::Shenzhen, Exchange::Shanghai] {
        assert_eq!(Exchange::from_code(exchange.code()), Some(exchange));
        assert_eq!(Exchange::from_security_id_source(exchange.security_id_source()), Some(exchange));
    }
}

proptest! {
    #[test]
    fn orders_come_back(id in "[!-~]{1,10}", qty in 0_i64..=Qty::RAW_MAX, price in prop::option::of(-Price::RAW_MAX..=Price::RAW_MAX), ms in 0_u64..200_000_000_000_000) {
        let order = NewOrderSingle {
            cl_ord_id: id.as_bytes(),
            order_qty: Qty::from_raw(qty),
            price: price.map(Price::from_raw),
            transact_time: UtcTimestamp::from_unix_ms(ms),
            ..order()
        };
        let bytes = encoded(&order);
        prop_assert_eq!(NewOrderSingle::parse(&message(&bytes)), Ok(order));
    }
}
